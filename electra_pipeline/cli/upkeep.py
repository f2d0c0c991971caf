"""Commands that keep a root in order."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from electra_pipeline.cli.options import RootOption
from electra_pipeline.cli.runtime import complain

if TYPE_CHECKING:
    from electra_pipeline.storage.inventory import Item


def gc(
    root: RootOption = None,
    keep_run: Annotated[
        list[str] | None,
        typer.Option("--keep-run", metavar="NAME", help="A run of which all stays; * for any."),
    ] = None,
    keep_last: Annotated[
        int, typer.Option("--keep-last", min=0, help="How many artifacts of each name stay.")
    ] = 1,
    cache: Annotated[
        bool, typer.Option("--cache", help="This machine's copies of remote files too.")
    ] = False,
    delete: Annotated[
        bool, typer.Option("--delete", help="Delete it; without, it is only shown.")
    ] = False,
) -> None:
    """Show what a root no longer needs, and delete it with --delete.

    Of each name the newest artifacts stay, all of the runs given with --keep-run, and whatever
    those were made from. The results table keeps its rows.
    """
    from electra_pipeline.storage import gc as retention
    from electra_pipeline.storage import inventory
    from electra_pipeline.storage.folder import Folder
    from electra_pipeline.storage.locks import InUseError
    from electra_pipeline.storage.permissions import check_readable
    from electra_pipeline.workflows.retention import RETENTION_RULES

    place = root or "./runs"
    check_readable(Folder(place))
    found = retention.plan(place, RETENTION_RULES, keep_runs=keep_run or [], keep_last=keep_last)
    going = [*found.deleted, *(inventory.local_copies() if cache else [])]
    table = Table("what", Column("where", overflow="fold"), "files", "MB", "why")
    for item in going:
        table.add_row(*map(Text, (item.kind, item.folder.name, *_size([item]), item.reason)))
    console = Console()
    if going:
        console.print(table)
    done = []
    for item in going if delete else []:
        try:
            inventory.delete(item)
            done.append(item)
        except InUseError as error:
            complain(f"{item.folder} stays: {error}")
    for verb, items in (
        ("deleted" if delete else "would go", done if delete else going),
        ("stays", found.kept),
    ):
        files, megabytes = _size(items)
        print(f"{verb:8}  {len(items):,} items, {files} files, {megabytes} MB")
    if going and not delete:
        print("nothing was deleted yet; give --delete to do it")


def _size(items: "Sequence[Item]") -> tuple[str, str]:
    num_bytes = sum(sum(item.files.values()) for item in items)
    return f"{sum(len(item.files) for item in items):,}", f"{num_bytes / 1e6:,.1f}"
