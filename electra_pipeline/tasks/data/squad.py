"""Questions on contexts: SQuAD's JSON, its rows as jsonl or parquet, MRQA's lines."""

import json
import logging
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import orjson

from electra_pipeline.inputs.files import SourceFile
from electra_pipeline.inputs.records import decoded_text
from electra_pipeline.tasks.data.cells import Record, checked_text
from electra_pipeline.tasks.kinds.question_answering import QuestionExample

logger = logging.getLogger(__name__)

LEVELS = ("data", "paragraphs", "qas")
ANSWERS = ("answers", "answer", "detected_answers", "is_impossible")
# The names of SQuAD and what others have for them: CMRC 2018's, MRQA's and KLUE's
CONTEXTS = ("context", "context_text")
QUESTIONS = ("question", "query_text")
IDS = ("id", "qid", "query_id", "guid")
COLUMNS = (*LEVELS, *ANSWERS, *CONTEXTS, *QUESTIONS, *IDS)
"""All columns of a file that are read."""
FORM = (
    '{"data": [{"paragraphs": [{"context": ..., "qas": [{"id", "question", "answers"}]}]}]}, or '
    'one {"id", "context", "question", "answers"} a line with format jsonl'
)


def squad_document(file: SourceFile, encoding: str = "utf-8") -> Iterator[Record]:
    """The one JSON value of a file in SQuAD's form, version 1.1 or 2.0."""
    with file.open() as stream:
        text = "".join(decoded_text(stream, file.name, encoding))
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        value = _lenient(text, file.name)
    yield file.name, value


def _lenient(text: str, name: str) -> Any:
    """What the standard library takes as well: lone surrogates, of which the question is told."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{name}: broken JSON ({error}); if it has one object a line, set format to "
            "jsonl, else download it again"
        ) from error


def question_examples(
    records: Iterable[tuple[str, Any]], dropped: Counter[str], *, labelled: bool = True
) -> Iterator[QuestionExample]:
    """The questions of records in any of the layouts; those of nothing are dropped and counted.

    Without labels, what a question says of its answers is not looked at.
    """
    number = 0
    seen: set[str] = set()
    found: Counter[str] = Counter()
    for place, record in records:
        whole = {"data": record} if isinstance(record, list) else record
        for question, context in _questions(whole, place):
            number += 1
            example = _example(question, context, number, place, found, labelled)
            if not example.question or not example.context.strip():
                dropped["empty_question" if not example.question else "empty_context"] += 1
                continue
            if example.id in seen:
                found["question ids that come twice"] += 1
            seen.add(example.id)
            yield example
    for what, count in found.items():
        logger.warning("%s: %d %s", place, count, what)


def has_answers(value: Any) -> bool:
    """Whether the first question of a record, at whatever level, has a word of answers."""
    if isinstance(value, list):
        value = value[0] if value else {}
    if not isinstance(value, Mapping):
        return True  # reading it tells what is wrong
    level = next((value[level] for level in LEVELS if level in value), None)
    if level is not None:
        return has_answers(level)
    return any(key in value for key in ANSWERS)


def _questions(
    value: Any, place: str, context: Any = None, levels: Sequence[str] = LEVELS
) -> Iterator[tuple[Mapping[str, Any], Any]]:
    """Each question and its context, at whatever level a file begins."""
    if isinstance(value, Mapping):
        own = _first(value, CONTEXTS, context)
        for number, level in enumerate(levels, start=1):
            if isinstance(value.get(level), list):
                for item in value[level]:
                    yield from _questions(item, place, own, levels[number:])
                return
        if any(key in value for key in QUESTIONS) and (
            own is not None or any(key in value for key in CONTEXTS)
        ):
            yield value, own
            return
        if set(value) == {"header"}:  # MRQA's first line
            return
    keys = ", ".join(map(repr, value)) if isinstance(value, Mapping) else f"{value!r:.80}"
    raise ValueError(
        f"{place}: not in SQuAD's form (neither 'data', 'paragraphs' nor 'qas', and no 'question' "
        f"with a 'context', in {keys or 'an empty object'}); needed is {FORM}"
    )


def _example(
    question: Mapping[str, Any],
    context: Any,
    number: int,
    place: str,
    found: Counter[str],
    labelled: bool,
) -> QuestionExample:
    """A question with its distinct answers; the first one's place is what training points at."""
    identifier = str(_first(question, IDS, number))
    place = f"{place}: question {number} (id {identifier})"
    asked = _text(_first(question, QUESTIONS, None) or "", "question", place).strip()
    context = _text(context or "", "context", place)
    answers = _answers(question, context, place) if labelled else []
    if not answers:
        return QuestionExample(identifier, asked, context, (), -1)
    placed = (_placed(context, text, given) for text, given in answers)
    first, start, how = next((each for each in placed if each[1] >= 0), (answers[0][0], -1, None))
    if how is not None:
        found[how] += 1
    texts = dict.fromkeys([first, *(text for text, _ in answers)])
    return QuestionExample(identifier, asked, context, tuple(texts), start)


def _first(value: Mapping[str, Any], keys: Sequence[str], default: Any) -> Any:
    """What the first of the keys that there is holds."""
    return next((value[key] for key in keys if key in value), default)


def _answers(question: Mapping[str, Any], context: str, place: str) -> list[tuple[str, int | None]]:
    """The accepted answers and where each begins; none for a question that has no answer.

    A question is unanswerable if it is marked so, or if no answer of it has a text.
    """
    if _is_true(question.get("is_impossible", False), place):
        return []
    if "detected_answers" in question:
        given: Any = [*_detected(question["detected_answers"], context, place)]
        given += question.get("answers") or []
    elif "answers" in question:
        given = question["answers"]
    elif "answer" in question:
        given = question["answer"]
    elif "is_impossible" in question:
        given = None
    else:
        raise ValueError(
            f"{place}: it has no 'answers'; an unanswerable question has 'answers': [], and files "
            "without answers are to be given as test"
        )
    return [answer for answer in _listed(given, place) if answer[0].strip()]


def _detected(detected: Any, context: str, place: str) -> Iterator[dict[str, Any]]:
    """MRQA's answers, given by the first and the last character in the context."""
    try:
        for each in detected:
            first, last = each["char_spans"][0]
            yield {"text": context[first : last + 1], "answer_start": first}
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise ValueError(
            f"{place}: detected_answers hold {detected!r:.80}; needed are char_spans of first and "
            "last character"
        ) from error


def _listed(given: Any, place: str) -> list[tuple[str, int | None]]:
    """Answers as pairs: of a text, of lists side by side, of a list of texts or objects."""
    if given is None:
        return []
    if isinstance(given, str):
        return [(_text(given, "answers", place), None)]
    if isinstance(given, list):
        return [pair for each in given for pair in _listed(each, place)]
    if not isinstance(given, Mapping) or "text" not in given:
        raise ValueError(
            f'{place}: answers hold {given!r:.80}; needed is {{"text", "answer_start"}}, or a list '
            "of them"
        )
    texts, starts = given["text"], given.get("answer_start")
    if not isinstance(texts, list):
        texts, starts = [texts], [starts]
    if starts is None:
        starts = [None] * len(texts)
    if not isinstance(starts, list) or len(starts) != len(texts):
        raise ValueError(
            f"{place}: answers have {len(texts)} texts and answer_start {starts!r:.80}; each text "
            "needs one"
        )
    return [
        (_text(text or "", "answers", place), _offset(start, place))
        for text, start in zip(texts, starts, strict=True)
    ]


def _placed(context: str, answer: str, given: int | None) -> tuple[str, int, str | None]:
    """The answer as the context has it, where it begins in characters, and how that was found out.

    Some files count UTF-16 units (JavaScript, Java) or UTF-8 bytes: an answer that stands there is
    meant, else the nearest place, whatever the white space and the normal form. Without an offset
    the first place is. If there is none, the start is -1.
    """
    if given is not None and context.startswith(answer, given):
        return answer, given, None
    if given is not None and not context.isascii():
        for encoding, width in (("utf-16-le", 2), ("utf-8", 1)):
            start = len(context.encode(encoding)[: width * given].decode(encoding, "ignore"))
            if context.startswith(answer, start):
                return answer, start, f"answers whose answer_start counts units of {encoding[:6]}"
    forms = {unicodedata.normalize(form, answer) for form in ("NFC", "NFD")} | {answer}
    pattern = "|".join(r"\s+".join(map(re.escape, form.split())) for form in sorted(forms))
    places = re.finditer(pattern, context)
    nearest = min(places, key=lambda match: abs(match.start() - (given or 0)), default=None)
    if nearest is None:
        return answer, -1, None
    what = "without answer_start: the first" if given is None else "elsewhere: the nearest"
    return nearest[0], nearest.start(), f"answers {what} place is taken"


def _offset(value: Any, place: str) -> int | None:
    """An offset, which some files write as a text; None where there is none, or it is negative."""
    try:
        offset = None if value is None or isinstance(value, bool) else int(value)
    except (TypeError, ValueError):
        raise ValueError(
            f"{place}: answer_start is {value!r:.80}, not a number; repair it"
        ) from None
    return None if offset is None or offset < 0 else offset


def _is_true(value: Any, place: str) -> bool:
    """A truth value, which some files write as a text."""
    flag = {"true": True, "1": True, "false": False, "0": False, "none": False, "": False}
    if (name := str(value).strip().lower()) not in flag:
        raise ValueError(f"{place}: is_impossible is {value!r:.80}; needed is true or false")
    return flag[name]


def _text(value: Any, key: str, place: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{place}: {key} holds {value!r:.80}, not a text; repair it")
    return checked_text(value, key, place)


def is_misplaced(example: QuestionExample) -> bool:
    """Whether the context has none of the answers."""
    return bool(example.answers) and example.start < 0
