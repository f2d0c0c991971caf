"""Commands on artifacts: verify them, delete those no longer needed, show a corpus's documents."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from electra_pipeline.cli.options import Location
from electra_pipeline.cli.runtime import print_error

if TYPE_CHECKING:
    from electra_pipeline.storage.artifact import Artifact
    from electra_pipeline.storage.inventory import Item


def verify(
    where: Location,
    path: Annotated[
        str | None, typer.Argument(help="An artifact or a root; default ./runs.")
    ] = None,
) -> None:
    """Hash the files of an artifact or a whole root again; name damaged ones and exit with 1."""
    from electra_pipeline.storage.artifact import find_artifacts, open_artifact
    from electra_pipeline.storage.artifact import verify as problems_of
    from electra_pipeline.storage.folder import Folder
    from electra_pipeline.storage.permissions import check_readable

    _check_one(path, where)
    uri = path or where.root
    artifact = open_artifact(check_readable(Folder(uri)))
    artifacts = [artifact] if artifact is not None else find_artifacts(uri)
    if not artifacts:
        raise ValueError(f"{uri}: no finished artifact here; give an artifact or a root")
    num_damaged = 0
    for artifact in artifacts:
        problems = problems_of(artifact)
        num_damaged += len(problems)
        print(f"{'damaged' if problems else 'ok':8} {artifact.folder}")
        for problem in problems:
            print(f"         {problem}", file=sys.stderr)
    if num_damaged:
        raise typer.Exit(1)


def gc(
    where: Location,
    keep_run: Annotated[
        list[str] | None,
        typer.Option(
            "--keep-run", metavar="NAME", help="A run whose artifacts are all kept; * for any."
        ),
    ] = None,
    keep_last: Annotated[
        int, typer.Option("--keep-last", min=0, help="Number of artifacts kept for each name.")
    ] = 1,
    cache: Annotated[
        bool, typer.Option("--cache", help="Also this machine's copies of remote files.")
    ] = False,
    delete: Annotated[
        bool, typer.Option("--delete", help="Delete them; without it they are only listed.")
    ] = False,
) -> None:
    """List the artifacts that a root no longer needs; delete them with --delete.

    Kept are the newest artifacts of each name, all of the runs given with --keep-run, and the
    artifacts that those were made from. The rows of the results table are kept.
    """
    from rich.console import Console
    from rich.table import Column, Table
    from rich.text import Text

    from electra_pipeline.storage import gc as retention
    from electra_pipeline.storage import inventory
    from electra_pipeline.storage.folder import Folder
    from electra_pipeline.storage.locks import InUseError
    from electra_pipeline.storage.permissions import check_readable
    from electra_pipeline.workflows.retention import RETENTION_RULES

    check_readable(Folder(where.root))
    found = retention.plan(
        where.root, RETENTION_RULES, keep_runs=keep_run or [], keep_last=keep_last
    )
    unneeded = [*found.deleted, *(inventory.local_copies() if cache else [])]
    table = Table("what", Column("where", overflow="fold"), "files", "MB", "why")
    for item in unneeded:
        table.add_row(*map(Text, (item.kind, item.folder.name, *_size([item]), item.reason)))
    if unneeded:
        Console().print(table)
    deleted = []
    for item in unneeded if delete else []:
        try:
            inventory.delete(item)
            deleted.append(item)
        except InUseError as error:
            print_error(f"{item.folder} is kept: {error}")
    for label, items in (
        ("deleted" if delete else "unneeded", deleted if delete else unneeded),
        ("kept", found.kept),
    ):
        files, megabytes = _size(items)
        print(f"{label:8}  {len(items):,} items, {files} files, {megabytes} MB")
    if unneeded and not delete:
        print("nothing was deleted; give --delete to delete them")


def _size(items: "Sequence[Item]") -> tuple[str, str]:
    num_bytes = sum(sum(item.files.values()) for item in items)
    return f"{sum(len(item.files) for item in items):,}", f"{num_bytes / 1e6:,.1f}"


def inspect(
    where: Location,
    path: Annotated[
        str | None,
        typer.Argument(metavar="ARTIFACT", help="A corpus artifact; default: the root's newest."),
    ] = None,
    reason: Annotated[str | None, typer.Option("--reason", help="A rule, or kept.")] = None,
    source: Annotated[str | None, typer.Option("--source", help="A source of the corpus.")] = None,
    number: Annotated[int, typer.Option("-n", "--number", min=1, help="Of each reason.")] = 3,
    seed: Annotated[int, typer.Option("--seed", help="Another seed, other documents.")] = 0,
) -> None:
    """Show random documents of a corpus, kept and dropped, with the rule that dropped them."""
    from electra_pipeline.core.console import print_document
    from electra_pipeline.corpus import inspect as inspection

    corpus = _find_corpus(path, where)
    found = inspection.inspect(corpus, reason=reason, source=source, number=number, seed=seed)
    for document in found:
        origin = f"{document.source}  {document.url or ''}"
        print_document(f"{document.reason} {document.value}", origin, document.text)


def _find_corpus(path: str | None, where: Location) -> "Artifact":
    from electra_pipeline.storage.artifact import find_newest, open_artifact
    from electra_pipeline.storage.folder import Folder
    from electra_pipeline.storage.permissions import check_readable

    _check_one(path, where)
    if path is not None:
        if (corpus := open_artifact(check_readable(Folder(path)))) is None:
            raise ValueError(f"{path}: no finished artifact here; give a corpus's folder")
        return corpus
    check_readable(Folder(where.root))
    if (corpus := find_newest(where.root, "corpus", where.run)) is None:
        of_run = f" of the run {where.run}" if where.run else ""
        raise ValueError(f"{where.root}: no corpus{of_run}; `corpus` or `run` builds one")
    return corpus


def _check_one(path: str | None, where: Location) -> None:
    if path is not None and where.is_given:
        raise ValueError(f"{path}: give either a path or --root, --config, --preset; not both")
