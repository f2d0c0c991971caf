"""Files for leaderboards: GLUE's zip of TSV files and SQuAD's JSON files.

They are written from finished trials: `predictions.parquet` and the manifest.
"""

import io
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from electra_pipeline.results import predictions
from electra_pipeline.results.validation import validation_score
from electra_pipeline.storage.artifact import Artifact
from electra_pipeline.tasks.catalog.published import TASKS
from electra_pipeline.tasks.task import VALIDATION

ZIP_NAME = "glue.zip"

# File, task and split, as gluebenchmark.com/faq names them; the server wants all eleven.
GLUE_FILES: Mapping[str, tuple[str, str]] = {
    "CoLA.tsv": ("cola", "test"),
    "SST-2.tsv": ("sst2", "test"),
    "MRPC.tsv": ("mrpc", "test"),
    "STS-B.tsv": ("stsb", "test"),
    "QQP.tsv": ("qqp", "test"),
    "MNLI-m.tsv": ("mnli", "test_matched"),
    "MNLI-mm.tsv": ("mnli", "test_mismatched"),
    "QNLI.tsv": ("qnli", "test"),
    "RTE.tsv": ("rte", "test"),
    "WNLI.tsv": ("wnli", "test"),
    "AX.tsv": ("mnli", "ax"),
}
SQUAD_TASKS = ("squad", "squad_v2")
SIMILARITY = 0.0, 5.0  # the scale of STS-B; predictions are clipped to it
# Fixed, so that equal predictions give equal bytes: the earliest time that a zip can store
ZIP_TIME = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Submission:
    """The files written, the trials they are from, and the files that a leaderboard expects
    but that could not be written."""

    files: tuple[Path, ...]
    chosen: tuple[str, ...]
    """One line a task: the seed whose predictions were taken, and its validation score."""
    missing: tuple[str, ...]


def write_submission(trials: Iterable[Artifact], output: Path) -> Submission:
    """Write `glue.zip`, and for each SQuAD a folder of the official JSON files, into `output`.

    `trials` are the finished trials of one run. Of the trials of its newest pre-trained model, the
    seed with the best validation score is taken for each task. Raises ValueError if no trial has
    predictions that a leaderboard takes.
    """
    best = choose(trials)
    tables, missing = {}, []
    for file, (task, split) in GLUE_FILES.items():
        rows = _rows(best[task], split) if task in best else []
        if rows:
            tables[file] = glue_table(task, rows)
        else:
            missing.append(f"{file} ({task}: {'no trial' if task not in best else f'no {split}'})")
    squads = {task: _rows(best[task], VALIDATION) for task in SQUAD_TASKS if task in best}
    if not tables and not squads:
        raise ValueError(
            "no trial of the run has predictions for GLUE's test files or SQuAD; fine-tune on "
            "those tasks, with test.tsv beside train.tsv or from the Hub"
        )
    output.mkdir(parents=True, exist_ok=True)
    written = []
    if tables:
        written.append(output / ZIP_NAME)
        written[-1].write_bytes(_zip(tables))
    for task, rows in squads.items():
        (output / task).mkdir(exist_ok=True)
        for name, content in squad_files(rows).items():
            written.append(output / task / name)
            written[-1].write_bytes(orjson.dumps(content, option=orjson.OPT_INDENT_2))
    used = {task for task, _ in GLUE_FILES.values() if task in best} | set(squads)
    chosen = [_why(best[task]) for task in sorted(used)]
    return Submission(tuple(written), tuple(chosen), tuple(missing) if tables else ())


def choose(trials: Iterable[Artifact]) -> dict[str, Artifact]:
    """Return the trial with the best validation score by task; ties go to the lowest seed.

    A run whose configuration was changed has trials of several models: only those of the newest
    one are considered.
    """
    pretrained = [trial for trial in trials if trial.config["start"] == "pretrained"]
    if not pretrained:
        return {}
    newest = max(pretrained, key=lambda trial: str(trial.observed["created_at"])).inputs["model"]
    best_first = sorted(
        (trial for trial in pretrained if trial.inputs["model"] == newest),
        key=lambda trial: (-validation_score(trial)[1], int(trial.config["seed"])),
    )
    found: dict[str, Artifact] = {}
    for trial in best_first:
        found.setdefault(str(trial.config["task"]), trial)
    return found


def glue_table(task: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the TSV file that GLUE's server expects: columns `index` and `prediction`.

    Classes are written as in the task's own files (0 and 1, or names); similarities are clipped to
    0..5.
    """
    names = dict(zip(TASKS[task].labels or (), TASKS[task].label_values or (), strict=False))

    def cell(prediction: Any) -> str:
        if TASKS[task].type == "regression":
            low, high = SIMILARITY
            return f"{min(high, max(low, float(prediction))):.3f}"
        return names.get(prediction, str(prediction))

    lines = [f"{row['id']}\t{cell(row['prediction'])}\n" for row in rows]
    return "index\tprediction\n" + "".join(lines)


def squad_files(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the files that SQuAD's evaluate-v2.0.py reads, by name; n-best lists as in run_squad.

    `null_odds.json` is written where questions may be unanswerable. It holds the null score minus
    the answer's score minus the calibrated threshold: positive values mean no answer
    (`--na-prob-thresh 0`).
    """
    details = {row["id"]: row["detail"] or {} for row in rows}
    files: dict[str, dict[str, Any]] = {
        "predictions.json": {row["id"]: row["prediction"] for row in rows},
        "nbest_predictions.json": {key: detail.get("best", []) for key, detail in details.items()},
    }
    odds = {key: detail.get("null_margin") for key, detail in details.items()}
    if any(margin is not None for margin in odds.values()):
        # a question with an empty context has no margin: it cannot be answered
        files["null_odds.json"] = {
            key: 0.0 if margin is None else margin for key, margin in odds.items()
        }
    return files


def _rows(trial: Artifact, split: str) -> list[dict[str, Any]]:
    """Return the trial's predictions of one split, in the order of the examples."""
    return predictions.read(trial, lambda row: row["split"] == split).get(split, [])


def _why(trial: Artifact) -> str:
    metric, value = validation_score(trial)
    return (
        f"{trial.config['task']}: seed {trial.config['seed']}, the best on validation "
        f"({metric} {value:.4f})"
    )


def _zip(tables: Mapping[str, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in tables.items():
            info = zipfile.ZipInfo(name, ZIP_TIME)
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, text)
    return buffer.getvalue()
