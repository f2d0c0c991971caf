"""What models are asked: the fields of an input, and how a line of plain text gives them."""

from pydantic import Field, model_validator

from electra_pipeline.core.identity import Config


class Text(Config):
    """One text."""

    text: str

    @classmethod
    def from_line(cls, line: str) -> "Text":
        """The line as it stands."""
        return cls(text=line)


class TextOrPair(Text):
    """One text, or two that belong together."""

    text_pair: str | None = None

    @classmethod
    def from_line(cls, line: str) -> "TextOrPair":
        """A line with one TAB is a pair."""
        text, *pair = line.split("\t")
        return cls(text=text, text_pair=pair[0]) if len(pair) == 1 else cls(text=line)


class TextOrWords(Config):
    """A text, or the words that it was already split into."""

    text: str | None = None
    words: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _check_one(self) -> "TextOrWords":
        if (self.text is None) == (not self.words):
            raise ValueError("give either text or words")
        return self

    @classmethod
    def from_line(cls, line: str) -> "TextOrWords":
        """The line as it stands."""
        return cls(text=line)


class TextWithChoices(Config):
    """A text, and what may complete it."""

    text: str
    choices: tuple[str, ...] = Field(min_length=2)

    @classmethod
    def from_line(cls, line: str) -> "TextWithChoices":
        """A line holds the text and its choices, with TABs between them."""
        text, *choices = line.split("\t")
        if len(choices) < 2:
            raise ValueError(
                'needs a text and its choices: {"text": ..., "choices": [..., ...]}, '
                "or all of them with TABs between them"
            )
        return cls(text=text, choices=tuple(choices))


class Question(Config):
    """A question and the text that answers it, or does not."""

    question: str = Field(min_length=1)
    context: str = Field(min_length=1)

    @classmethod
    def from_line(cls, line: str) -> "Question":
        """A line holds question and context, with a TAB between them."""
        question, tab, context = line.partition("\t")
        if not tab:
            raise ValueError(
                'needs a question and a context: {"question": ..., "context": ...}, '
                "or both with a TAB between them"
            )
        return cls(question=question, context=context)
