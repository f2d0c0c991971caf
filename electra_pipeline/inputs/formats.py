"""The formats of data files; apart from their readers, which configurations do not need."""

from typing import Literal

Format = Literal["auto", "text", "jsonl", "csv", "tsv", "json", "parquet", "arrow"]

FORMAT_OF_SUFFIX: dict[str, Format] = {
    ".txt": "text",
    ".text": "text",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".json": "json",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",  # its second version
}
