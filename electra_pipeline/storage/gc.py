"""Choose what of a root to delete: old artifacts that nothing newer was made from.

Kept are the newest artifacts of each name, all of the runs that the user lists, everything that
these were made from, and what a driver is writing, with its inputs. Files that the pipeline did not
write are left alone. `inventory.delete` removes the manifest first, so that a half-deleted artifact
never counts as finished.
"""

import fnmatch
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from electra_pipeline.storage.folder import Folder
from electra_pipeline.storage.inventory import Item, RetentionRules, is_held, survey


@dataclass(frozen=True)
class Plan:
    kept: Sequence[Item]
    deleted: Sequence[Item]


def plan(
    root: str, rules: RetentionRules, *, keep_runs: Sequence[str] = (), keep_last: int = 1
) -> Plan:
    """Return what of a root to keep and what to delete.

    Of each name the `keep_last` newest are kept, and all of `keep_runs`, where `*` and `?` are
    wildcards. Raises ValueError for a run that does not exist, if nothing would be kept, and for a
    manifest of another format, since it might name inputs in another way.
    """
    if keep_last < 1 and not keep_runs:
        raise ValueError("--keep-last 0 keeps nothing; name the runs to keep with --keep-run")
    items = list(survey(Folder(root), rules))
    artifacts = [item for item in items if item.run]
    runs = sorted({item.run for item in artifacts})
    for wanted in keep_runs:
        if not fnmatch.filter(runs, wanted):
            raise ValueError(
                f"--keep-run {wanted}: no such run in {root}; there are {', '.join(runs) or 'none'}"
            )
    steps = [item for item in artifacts if rules.step_separator in item.run]
    kept = _with_inputs(_wanted(artifacts, steps, keep_runs, keep_last), artifacts)
    while held := [item for item in artifacts if item.folder not in kept and is_held(item)]:
        kept = _with_inputs([*kept.values(), *held], artifacts)
    for item in sorted(steps, key=lambda each: each.at):  # parents come before their children
        if item.parent in {each.fingerprint for each in kept.values()}:
            kept |= _with_inputs([item], artifacts)
    fingerprints = {item.fingerprint for item in kept.values()}

    def is_kept(item: Item) -> bool:
        if item.kind in rules.companions:
            return item.fingerprint in fingerprints
        if item.kind in rules.caches:
            stage, _ = rules.caches[item.kind]
            uses = [each.cached for each in kept.values() if each.kind == stage]
            # An artifact that did not record what it uses might use any.
            return any(names is None or item.folder.name in names for names in uses)
        return item.folder in kept

    deleted = [replace(item, reason=_reason(item, rules)) for item in items if not is_kept(item)]
    # The newest is deleted first, so that no artifact remains without its inputs.
    deleted.sort(key=lambda item: item.at, reverse=True)
    return Plan([item for item in items if is_kept(item)], deleted)


def _wanted(
    artifacts: Sequence[Item], steps: Sequence[Item], keep_runs: Sequence[str], keep_last: int
) -> Iterator[Item]:
    """Yield what is kept for its own sake, not as an input of something else."""
    versions: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    newest: dict[tuple[str, str], str] = {}  # creation time of the newest finished of a name
    for item in artifacts:
        if item.is_finished:
            created = versions[item.kind, item.run]
            created[item.version] = max(item.at, created.get(item.version, ""))
            newest[item.kind, item.name] = max(item.at, newest.get((item.kind, item.name), ""))
    for item in artifacts:
        if item.is_finished:
            created = versions[item.kind, item.run]
            by_date = sorted(created, key=created.__getitem__, reverse=True)
            is_new = item.version in by_date[:keep_last]
        else:  # can be resumed, until another one of its name is finished
            is_new = keep_last > 0 and newest.get((item.kind, item.name), "") <= item.at
        if (is_new and item not in steps) or any(
            fnmatch.fnmatch(item.run, wanted) for wanted in keep_runs
        ):
            yield item


def _with_inputs(kept: Iterable[Item], artifacts: Sequence[Item]) -> dict[Folder, Item]:
    """Return the artifacts and everything that they were made from, by folder."""
    by_fingerprint = defaultdict(list)
    for item in artifacts:
        by_fingerprint[item.fingerprint].append(item)
    found: dict[Folder, Item] = {}
    unseen = list(kept)
    while unseen:
        item = unseen.pop()
        if item.folder not in found:
            found[item.folder] = item
            unseen += [each for digest in item.inputs for each in by_fingerprint[digest]]
    return found


def _reason(item: Item, rules: RetentionRules) -> str:
    if item.reason:
        return item.reason
    if item.kind in rules.companions:
        return "its artifact is deleted"
    if item.kind in rules.caches:
        return "no artifact that is kept uses it"
    if not item.is_finished:
        return "unfinished, and not the newest of its name"
    return "nothing that is kept needs it"
