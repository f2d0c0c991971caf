"""Clean-up of a root: the newest artifacts of each name are kept, all of the runs that are told,
and whatever those were made from; the rest goes.

What is not recognized as ours is left alone, and so is what a driver is writing, with its inputs.
An artifact loses its manifest first, so that one half gone is never taken for a finished one.
"""

import fnmatch
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from electra_pipeline.storage.folder import Folder
from electra_pipeline.storage.inventory import BESIDE, PIECES, Item, is_held, survey


@dataclass(frozen=True)
class Plan:
    kept: Sequence[Item]
    going: Sequence[Item]


def plan(root: str, *, keep_runs: Sequence[str] = (), keep_last: int = 1) -> Plan:
    """What of a root stays, and what goes.

    Of each name the `keep_last` newest stay, and all of `keep_runs`, where `*` and `?` stand for
    any. Raises ValueError for a run that is not there, if nothing would stay, and for a manifest of
    another format, since it might name inputs in another way.
    """
    if keep_last < 1 and not keep_runs:
        raise ValueError("--keep-last 0 keeps nothing; name the runs to keep with --keep-run")
    items = list(survey(Folder(root)))
    artifacts = [item for item in items if item.run]
    runs = sorted({item.run for item in artifacts})
    for wanted in keep_runs:
        if not fnmatch.filter(runs, wanted):
            raise ValueError(
                f"--keep-run {wanted}: no such run in {root}; there are {', '.join(runs) or 'none'}"
            )
    kept = _with_inputs(_wanted(artifacts, keep_runs, keep_last), artifacts)
    while held := [item for item in artifacts if item.place not in kept and is_held(item)]:
        kept = _with_inputs([*kept.values(), *held], artifacts)
    # A run's checkpoints that were published and evaluated (NAME@STEP) stay as long as the run.
    for item in sorted((each for each in artifacts if "@" in each.run), key=lambda each: each.at):
        if item.model in {each.fingerprint for each in kept.values()}:
            kept |= _with_inputs([item], artifacts)
    digests = {item.fingerprint for item in kept.values()}
    pieces = [item.pieces for item in kept.values() if item.kind == "corpus"]

    def stays(item: Item) -> bool:
        if item.kind in BESIDE:
            return item.fingerprint in digests
        if item.kind == PIECES:  # a corpus that did not note its pieces might have any
            return any(names is None or item.place.name in names for names in pieces)
        return item.place in kept

    going = [replace(item, reason=_reason(item)) for item in items if not stays(item)]
    # What was made last goes first: nothing is left whose inputs are gone.
    going.sort(key=lambda item: item.at, reverse=True)
    return Plan([item for item in items if stays(item)], going)


def _wanted(artifacts: Sequence[Item], keep_runs: Sequence[str], keep_last: int) -> Iterator[Item]:
    """What is kept for its own sake."""
    versions: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    finished: dict[tuple[str, str], str] = {}  # when the newest of a name was
    for item in artifacts:
        if item.is_finished:
            made = versions[item.kind, item.run]
            made[item.version] = max(item.at, made.get(item.version, ""))
            finished[item.kind, item.name] = max(item.at, finished.get((item.kind, item.name), ""))
    for item in artifacts:
        if item.is_finished:
            made = versions[item.kind, item.run]
            stays = item.version in sorted(made, key=made.__getitem__, reverse=True)[:keep_last]
        else:  # work to go on with, until another one of its name is finished
            stays = keep_last > 0 and finished.get((item.kind, item.name), "") <= item.at
        if (stays and "@" not in item.run) or any(
            fnmatch.fnmatch(item.run, wanted) for wanted in keep_runs
        ):
            yield item


def _with_inputs(kept: Iterable[Item], artifacts: Sequence[Item]) -> dict[Folder, Item]:
    """The artifacts and all that they were made from, by place."""
    by_fingerprint = defaultdict(list)
    for item in artifacts:
        by_fingerprint[item.fingerprint].append(item)
    found: dict[Folder, Item] = {}
    unseen = list(kept)
    while unseen:
        item = unseen.pop()
        if item.place not in found:
            found[item.place] = item
            unseen += [each for digest in item.inputs for each in by_fingerprint[digest]]
    return found


def _reason(item: Item) -> str:
    if item.reason:
        return item.reason
    if item.kind in BESIDE:
        return "its artifact does not stay"
    if item.kind == PIECES:
        return "no corpus that stays has it"
    if not item.is_finished:
        return "unfinished, and not the newest of its name"
    return "nothing that stays needs it"
