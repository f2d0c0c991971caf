"""The inputs of each kind of model, as JSON objects or lines of plain text."""

from pydantic import Field, model_validator

from electra_pipeline.core.identity import Config


class Input(Config):
    """An input of a model."""

    @classmethod
    def from_line(cls, line: str) -> "Input":
        """Parse a line of plain text: here the whole line is the field `text`."""
        return cls.model_validate({"text": line})


class Text(Input):
    """A text."""

    text: str


class TextOrPair(Text):
    """A text, or a pair of texts."""

    text_pair: str | None = None

    @classmethod
    def from_line(cls, line: str) -> "TextOrPair":
        """Parse a line; one TAB separates a pair."""
        text, *pair = line.split("\t")
        return cls(text=text, text_pair=pair[0]) if len(pair) == 1 else cls(text=line)


class TextOrWords(Input):
    """A text, or the list of its words."""

    text: str | None = None
    words: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _check_one(self) -> "TextOrWords":
        if (self.text is None) == (not self.words):
            raise ValueError("give either text or words")
        return self


class TextWithChoices(Input):
    """A text, and the choices to complete it."""

    text: str
    choices: tuple[str, ...] = Field(min_length=2)

    @classmethod
    def from_line(cls, line: str) -> "TextWithChoices":
        """Parse a line of the text and its choices, separated by TABs."""
        text, *choices = line.split("\t")
        if len(choices) < 2:
            raise ValueError(
                'needs a text and its choices: {"text": ..., "choices": [..., ...]}, '
                "or all of them with TABs between them"
            )
        return cls(text=text, choices=tuple(choices))


class Question(Input):
    """A question and the context that may contain its answer."""

    question: str = Field(min_length=1)
    context: str = Field(min_length=1)

    @classmethod
    def from_line(cls, line: str) -> "Question":
        """Parse a line of question and context, separated by a TAB."""
        question, tab, context = line.partition("\t")
        if not tab:
            raise ValueError(
                'needs a question and a context: {"question": ..., "context": ...}, '
                "or both with a TAB between them"
            )
        return cls(question=question, context=context)
