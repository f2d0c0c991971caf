"""Predictions of every kind of task, of labelled splits and of those whose labels are kept back."""

import dataclasses
import math

import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoTokenizer, ElectraConfig

from electra_pipeline.finetuning.config import FinetuneConfig
from electra_pipeline.finetuning.plan import resolve
from electra_pipeline.finetuning.scoring import score
from electra_pipeline.results import predictions
from electra_pipeline.storage.artifact import Written, produce
from electra_pipeline.tasks.catalog.user_task import UserTask
from electra_pipeline.tasks.data.load import load
from electra_pipeline.tasks.kinds.inference import predict

KEPT_BACK = {
    "classification": {"label": None},
    "regression": {"label": None},
    "tagging": {},  # its readers give every word some tag
    "question-answering": {"answers": (), "start": -1},
}


@pytest.fixture(scope="module", params=KEPT_BACK)
def scored(request, published, task_files, tmp_path_factory):
    """A kind, its data with a split `test` without labels, and what an untrained model scores."""
    train, validation = task_files[request.param]
    task = UserTask(name="own", type=request.param, train=train, validation=validation).as_task()
    data = load(task, None)
    hidden = [
        dataclasses.replace(example, **KEPT_BACK[request.param])
        for example in data.scored["validation"][:7]
    ]
    data = dataclasses.replace(data, unlabelled={"test": hidden})
    directory = published.local_folder("discriminator")
    torch.manual_seed(0)
    model = data.kind.build(ElectraConfig.from_pretrained(directory, **data.kind.head))
    hyperparameters = resolve(FinetuneConfig(tasks=("rte",)), task, model.config)
    tokenizer = AutoTokenizer.from_pretrained(directory)

    reported = []

    def predicted(kind, examples, step):
        return predict(
            model,
            tokenizer,
            kind,
            examples,
            max_length=hyperparameters.max_length,
            batch_examples=hyperparameters.batch_examples,
            report=lambda done, total: reported.append((step, done, total)),
        )[1]

    def write(draft):
        scores = score(data, predicted, draft)
        assert {step for step, _, _ in reported} == {"scoring validation", "scoring test"}
        assert {(step, total) for step, done, total in reported if done == total} == {
            (step, total) for step, _, total in reported
        }
        return Written(dataclasses.asdict(scores), {})

    place = str(tmp_path_factory.mktemp("scored"))
    artifact = produce(
        root=place, stage="s", name="n", format_version=1, config={}, inputs={}, write=write
    )
    return request.param, data, artifact


def test_the_file_has_the_agreed_columns_and_every_example(scored):
    _, data, artifact = scored
    table = pq.read_table(artifact.local_file("predictions.parquet"))
    assert {field.name: str(field.type) for field in table.schema} == {
        **dict.fromkeys(("split", "id", "input", "expected", "prediction", "detail"), "string"),
        "score": "double",
    }
    examples = [*data.scored["validation"], *data.unlabelled["test"]]
    assert table["id"].to_pylist() == [example.id for example in examples]
    assert table["split"].to_pylist() == ["validation"] * 60 + ["test"] * 7


def test_rows_have_the_example_and_its_score(scored):
    kind, data, artifact = scored
    rows = predictions.read(artifact)["validation"]
    metrics = artifact.counters["metrics"]["validation"]
    mean = math.fsum(row["score"] for row in rows) / len(rows)
    first = data.scored["validation"][0]
    match kind:
        case "classification":
            assert mean == pytest.approx(metrics["accuracy"])
            assert rows[0]["input"] == first.text and rows[0]["expected"] == first.label
            shares = rows[0]["detail"]["probabilities"]
            assert sum(shares.values()) == pytest.approx(1, abs=1e-5)
            assert rows[0]["prediction"] == max(shares, key=shares.get)
        case "regression":
            errors = [row["score"] for row in rows]
            assert errors == [-abs(row["prediction"] - row["expected"]) for row in rows]
        case "tagging":  # all sentences have equally many words
            assert mean == pytest.approx(metrics["accuracy"])
            assert rows[0]["input"].split() == list(first.words)
        case "question-answering":
            assert mean == pytest.approx(metrics["f1"])
            assert rows[0]["input"] == f"{first.question}\t{first.context}"
            assert {"answer", "null_margin"} <= set(rows[0]["detail"])


def test_every_metric_lies_in_its_interval(scored):
    _, _, artifact = scored
    metrics = artifact.counters["metrics"]["validation"]
    intervals = artifact.counters["intervals"]["validation"]
    assert list(intervals) == list(metrics) and "test" not in artifact.counters["intervals"]
    for metric, (lower, upper) in intervals.items():
        assert lower <= metrics[metric] <= upper


def test_unlabelled_examples_are_predicted_and_not_scored(scored):
    kind, _, artifact = scored
    found = predictions.read(artifact)
    assert set(artifact.counters["metrics"]) == set(artifact.counters["majority"]) == {"validation"}
    for hidden, labelled in zip(found["test"], found["validation"][:7], strict=True):
        assert hidden["expected"] is None and hidden["score"] is None
        assert hidden["input"] == labelled["input"]
        if kind == "regression":  # batches of other examples: sums in another order
            labelled["prediction"] = pytest.approx(labelled["prediction"], rel=1e-4)
        assert hidden["prediction"] == labelled["prediction"]
