"""Questions on contexts: SQuAD's JSON, rows as jsonl or parquet, MRQA's lines."""

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import orjson

from electra_pipeline.inputs.decoding import decoded_text
from electra_pipeline.inputs.files import SourceFile
from electra_pipeline.tasks.data.context import ReadContext
from electra_pipeline.tasks.data.values import Record, checked_text
from electra_pipeline.tasks.kinds.question_answering import QuestionExample

LEVELS = ("data", "paragraphs", "qas")
ANSWERS = ("answers", "answer", "detected_answers", "is_impossible")
# SQuAD's keys and those of CMRC 2018, MRQA and KLUE
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
    """Yield the JSON value of a file in SQuAD's format, version 1.1 or 2.0."""
    with file.open() as stream:
        text = "".join(decoded_text(stream, file.name, encoding))
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        value = _parse_leniently(text, file.name)
    yield file.name, value


def _parse_leniently(text: str, name: str) -> Any:
    """Parse JSON with lone surrogates, for which a later error names the question."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{name}: broken JSON ({error}); if it has one object a line, set format to "
            "jsonl, else download it again"
        ) from error


def question_examples(
    read_context: ReadContext, records: Iterable[tuple[str, Any]]
) -> Iterator[QuestionExample]:
    """Yield the questions of records in any layout; empty ones are dropped and counted."""
    number = 0
    seen: set[str] = set()
    warnings: Counter[str] = Counter()
    for where, record in records:
        whole = {"data": record} if isinstance(record, list) else record
        for question, context in _questions(whole, where):
            number += 1
            identifier = str(_first(question, IDS, number))
            position = f"{where}: question {number} (id {identifier})"
            asked = _text(_first(question, QUESTIONS, None) or "", "question", position).strip()
            context = _text(context or "", "context", position)
            answers = _answers(question, context, position) if read_context.labelled else []
            texts, start, warning = _distinct(answers, context)
            if warning is not None:
                warnings[warning] += 1
            if not asked or not context.strip():
                read_context.dropped["empty_question" if not asked else "empty_context"] += 1
                continue
            if identifier in seen:
                warnings["duplicate question ids"] += 1
            seen.add(identifier)
            yield QuestionExample(identifier, asked, context, texts, start)
    for warning, count in warnings.items():
        read_context.logger.warning("%s: %d %s", where, count, warning)


def has_answers(value: Any) -> bool:
    """Return whether the first question of a record, at any level, has a key for answers."""
    if isinstance(value, list):
        value = value[0] if value else {}
    if not isinstance(value, Mapping):
        return True  # invalid: reading it raises the error
    level = next((value[level] for level in LEVELS if level in value), None)
    if level is not None:
        return has_answers(level)
    return any(key in value for key in ANSWERS)


def _questions(
    value: Any, where: str, context: Any = None, levels: Sequence[str] = LEVELS
) -> Iterator[tuple[Mapping[str, Any], Any]]:
    """Yield each question and its context, from any of the levels at which a file may begin."""
    if isinstance(value, Mapping):
        own = _first(value, CONTEXTS, context)
        for number, level in enumerate(levels, start=1):
            if isinstance(value.get(level), list):
                for item in value[level]:
                    yield from _questions(item, where, own, levels[number:])
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
        f"{where}: not in SQuAD's format (neither 'data', 'paragraphs' nor 'qas', and no "
        f"'question' with a 'context', in {keys or 'an empty object'}); expected {FORM}"
    )


def _distinct(
    answers: Sequence[tuple[str, int | None]], context: str
) -> tuple[tuple[str, ...], int, str | None]:
    """Return the distinct answers, the offset of the first in the context, and a warning.

    Training uses the first of the answers; it is the first that is in the context, if any is.
    """
    if not answers:
        return (), -1, None
    located = (_locate(context, text, start) for text, start in answers)
    first, start, warning = next(
        (each for each in located if each[1] >= 0), (answers[0][0], -1, None)
    )
    return tuple(dict.fromkeys([first, *(text for text, _ in answers)])), start, warning


def _first(value: Mapping[str, Any], keys: Sequence[str], default: Any) -> Any:
    """Return the value of the first key that exists, or the default."""
    return next((value[key] for key in keys if key in value), default)


def _answers(question: Mapping[str, Any], context: str, where: str) -> list[tuple[str, int | None]]:
    """Return the accepted answers and the offset of each, if given; none if unanswerable.

    A question is unanswerable if it is marked as impossible, or if all its answers are empty.
    """
    if _is_true(question.get("is_impossible", False), where):
        return []
    if "detected_answers" in question:
        value: Any = [*_detected(question["detected_answers"], context, where)]
        value += question.get("answers") or []
    elif "answers" in question:
        value = question["answers"]
    elif "answer" in question:
        value = question["answer"]
    elif "is_impossible" in question:
        value = None
    else:
        raise ValueError(
            f"{where}: no 'answers'; write 'answers': [] if it is unanswerable, and set test to "
            "files without answers"
        )
    return [answer for answer in _listed(value, where) if answer[0].strip()]


def _detected(detected: Any, context: str, where: str) -> Iterator[dict[str, Any]]:
    """Yield MRQA's answers, whose first and last characters in the context are given."""
    try:
        for each in detected:
            first, last = each["char_spans"][0]
            yield {"text": context[first : last + 1], "answer_start": first}
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise ValueError(
            f"{where}: invalid detected_answers: expected char_spans of first and last character, "
            f"got {detected!r:.80}"
        ) from error


def _listed(value: Any, where: str) -> list[tuple[str, int | None]]:
    """Return (text, offset) pairs of a text, an object with lists, or a list of either."""
    if value is None:
        return []
    if isinstance(value, str):
        return [(_text(value, "answers", where), None)]
    if isinstance(value, list):
        return [pair for each in value for pair in _listed(each, where)]
    if not isinstance(value, Mapping) or "text" not in value:
        raise ValueError(
            f'{where}: invalid answers: expected {{"text", "answer_start"}}, or a list of them, '
            f"got {value!r:.80}"
        )
    texts, starts = value["text"], value.get("answer_start")
    if not isinstance(texts, list):
        texts, starts = [texts], [starts]
    if starts is None:
        starts = [None] * len(texts)
    if not isinstance(starts, list) or len(starts) != len(texts):
        raise ValueError(
            f"{where}: answers have {len(texts)} texts and answer_start {starts!r:.80}; each text "
            "needs one"
        )
    return [
        (_text(text or "", "answers", where), _offset(start, where))
        for text, start in zip(texts, starts, strict=True)
    ]


def _locate(context: str, answer: str, given: int | None) -> tuple[str, int, str | None]:
    """Return an answer as spelled in the context, its offset in characters, and a warning.

    Some files count UTF-16 units (JavaScript, Java) or UTF-8 bytes: such an offset is converted if
    the answer is there. Else the occurrence nearest to the given offset is taken, or the first if
    none is given, whatever its white space and normal form. The offset is -1 if there is none.
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
    matches = re.finditer(pattern, context)
    nearest = min(matches, key=lambda match: abs(match.start() - (given or 0)), default=None)
    if nearest is None:
        return answer, -1, None
    what = (
        "without answer_start: the first" if given is None else "not at answer_start: the nearest"
    )
    return nearest[0], nearest.start(), f"answers {what} occurrence is used"


def _offset(value: Any, where: str) -> int | None:
    """Return an offset, which may be a string; None for null, booleans and negative numbers."""
    try:
        offset = None if value is None or isinstance(value, bool) else int(value)
    except (TypeError, ValueError):
        raise ValueError(
            f"{where}: invalid answer_start: expected a number, got {value!r:.80}; repair it"
        ) from None
    return None if offset is None or offset < 0 else offset


def _is_true(value: Any, where: str) -> bool:
    """Return a truth value, which may be a string."""
    flag = {"true": True, "1": True, "false": False, "0": False, "none": False, "": False}
    if (name := str(value).strip().lower()) not in flag:
        raise ValueError(
            f"{where}: invalid is_impossible: expected true or false, got {value!r:.80}"
        )
    return flag[name]


def _text(value: Any, key: str, where: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{where}: invalid {key}: expected text, got {value!r:.80}; repair it")
    return checked_text(value, key, where)


def is_misplaced(example: QuestionExample) -> bool:
    """Return whether none of the answers is in the context."""
    return bool(example.answers) and example.start < 0
