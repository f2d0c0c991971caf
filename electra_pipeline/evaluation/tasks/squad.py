"""Questions in SQuAD's JSON, and where their answers stand."""

from collections.abc import Iterator, Sequence

import orjson

from electra_pipeline.evaluation.problems.questions import QuestionExample
from electra_pipeline.inputs.files import SourceFile


def squad_questions(file: SourceFile) -> Iterator[QuestionExample]:
    """Questions of a file in SQuAD's form, version 1.1 or 2.0."""
    with file.open() as stream:
        try:
            content = orjson.loads(stream.read().removeprefix(b"\xef\xbb\xbf"))
        except orjson.JSONDecodeError as error:
            raise ValueError(f"{file.name}: broken JSON ({error}); download it again") from error
    try:
        for article in content["data"]:
            for paragraph in article["paragraphs"]:
                for question in paragraph["qas"]:
                    unanswerable = question.get("is_impossible", False)
                    answers = [] if unanswerable else question["answers"]
                    yield question_example(
                        str(question["id"]),
                        question["question"],
                        paragraph["context"],
                        [answer["text"] for answer in answers],
                        [answer["answer_start"] for answer in answers],
                    )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{file.name}: not in SQuAD's form ({type(error).__name__}: {error}); needed is "
            '{"data": [{"paragraphs": [{"context": ..., "qas": [{"id", "question", "answers"}]}]}]}'
        ) from error


def question_example(
    identifier: str, question: str, context: str, answers: Sequence[str], starts: Sequence[int]
) -> QuestionExample:
    """A question with its distinct answers; the first one's place is what training points at."""
    start = int(starts[0]) if starts else -1
    return QuestionExample(
        identifier, question.strip(), context, tuple(dict.fromkeys(answers)), start
    )


def is_misplaced(example: QuestionExample) -> bool:
    """Whether the context does not have the first answer where the example says."""
    if not example.answers:
        return False
    answer = example.answers[0]
    return example.context[example.start : example.start + len(answer)] != answer
