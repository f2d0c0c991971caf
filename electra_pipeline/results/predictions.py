"""The predictions of a trial, one row an example, in one Parquet file."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from electra_pipeline.storage.artifact import Artifact, Draft

FILE = "predictions.parquet"
SCHEMA = pa.schema(
    [
        pa.field("split", pa.string(), nullable=False),
        pa.field("id", pa.string(), nullable=False),
        pa.field("input", pa.string(), nullable=False),  # readable text
        pa.field("expected", pa.string()),  # JSON; null where the labels are not public
        pa.field("prediction", pa.string(), nullable=False),  # JSON
        pa.field("score", pa.float64()),  # of this example, higher is better; null without a label
        pa.field("detail", pa.string()),  # JSON: probabilities, margins; null if there are none
    ]
)

JSON_COLUMNS = ("expected", "prediction", "detail")
Shown = Mapping[str, Any]
"""A row of the file with Python values instead of JSON, as `TaskKind.row` returns it."""


@contextmanager
def writer(draft: Draft) -> Iterator[Callable[[Iterable[Shown]], None]]:
    """Write `predictions.parquet` into the draft, one row group a call of the yielded function."""
    with (
        draft.create(FILE) as file,
        pq.ParquetWriter(file, SCHEMA, compression="zstd") as parquet,
    ):
        yield lambda rows: parquet.write_table(
            pa.Table.from_pylist([_stored(row) for row in rows], schema=SCHEMA)
        )


def is_labelled(row: Shown) -> bool:
    """Return whether a row of the file has a label, hence a score."""
    return row["score"] is not None and row["expected"] is not None


def read(
    artifact: Artifact, is_selected: Callable[[Shown], bool] = lambda row: True
) -> dict[str, list[dict[str, Any]]]:
    """Return the selected rows of a finished trial by split, in the file's order.

    `is_selected` gets rows as they are in the file: with JSON.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    absent = dict.fromkeys(SCHEMA.names)  # columns that an older version did not write
    # read_table, and expressions to filter with, would import pandas
    with pq.ParquetFile(artifact.local_file(FILE)) as file:
        for batch in file.iter_batches():
            for row in filter(is_selected, (absent | row for row in batch.to_pylist())):
                for name in JSON_COLUMNS:
                    row[name] = None if row[name] is None else orjson.loads(row[name])
                found.setdefault(row["split"], []).append(row)
    return found


def _stored(row: Shown) -> dict[str, Any]:
    values = ((name, row[name]) for name in JSON_COLUMNS)
    return {
        **row,
        **{name: None if value is None else orjson.dumps(value).decode() for name, value in values},
    }
