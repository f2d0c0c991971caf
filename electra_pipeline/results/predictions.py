"""The predictions of a trial, one row an example, in one Parquet file."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
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
LABELLED = pc.is_valid(pc.field("score")) & pc.is_valid(pc.field("expected"))
"""Selects the rows that have a label, hence a score."""

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


def read(
    artifact: Artifact, selected: pc.Expression | None = None
) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of a finished trial (or those selected) by split, in the file's order."""
    found: dict[str, list[dict[str, Any]]] = {}
    table = pq.read_table(artifact.local_file(FILE), schema=SCHEMA, filters=selected)
    for row in table.to_pylist():
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
