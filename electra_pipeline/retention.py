"""Clean-up of a root: the newest artifacts of each name are kept, all of the runs that are told,
and whatever those were made from; the rest goes.

What is not recognized as ours is left alone, and so is what a driver is writing, with its inputs.
An artifact loses its manifest first, so that one half gone is never taken for a finished one.
"""

import fnmatch
import re
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from electra_pipeline.artifact import DRAFT, MANIFEST, OBSERVED, checked
from electra_pipeline.locks import InUseError
from electra_pipeline.storage import Folder, cache_directory

BESIDE = ("checkpoints", "tensorboard")  # their folders are named like the artifact they belong to
PIECES = "corpus-pieces"
NAMED = re.compile(r".+-([0-9a-f]{12})")
HALF_FILE = re.compile(r"\..+\.[0-9a-f]{8}\.tmp")
HALF_FILE_SECONDS = 86_400.0  # nobody writes one file for longer


@dataclass(frozen=True)
class Item:
    """What stays or goes as a whole: an artifact, finished or not, or what lies beside them."""

    place: Folder
    kind: str
    """Stage of an artifact, else the name of the folder that it is in."""
    fingerprint: str
    files: Mapping[str, int]
    """Bytes of each, by its path on the filesystem."""
    run: str = ""
    """Of artifacts alone."""
    version: str = ""
    """What counts as one of the newest: all legs of a model, any other artifact by itself."""
    inputs: frozenset[str] = frozenset()
    at: str = ""
    """When it was made; of an unfinished one, when it was last begun."""
    is_finished: bool = False
    pieces: frozenset[str] | None = None
    """Names of the pieces that a corpus was made from, where that is known."""
    reason: str = ""
    """Why it goes."""

    @property
    def name(self) -> str:
        return self.place.name.rpartition("-")[0]


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
    items = list(_survey(Folder(root)))
    artifacts = [item for item in items if item.run]
    runs = sorted({item.run for item in artifacts})
    for wanted in keep_runs:
        if not fnmatch.filter(runs, wanted):
            raise ValueError(
                f"--keep-run {wanted}: no such run in {root}; there are {', '.join(runs) or 'none'}"
            )
    kept = _with_inputs(_wanted(artifacts, keep_runs, keep_last), artifacts)
    while held := [item for item in artifacts if item.place not in kept and _is_held(item)]:
        kept = _with_inputs([*kept.values(), *held], artifacts)
    digests = {item.fingerprint for item in kept.values()}
    pieces = [item.pieces for item in kept.values() if item.kind == "corpus"]

    def stays(item: Item) -> bool:
        if item.kind in BESIDE:
            return item.fingerprint in digests
        if item.kind == PIECES:  # a corpus that did not note its pieces might have any
            return any(names is None or item.place.name in names for names in pieces)
        return item.place in kept

    going = [replace(item, reason=_reason(item, keep_last)) for item in items if not stays(item)]
    # What was made last goes first: nothing is left whose inputs are gone.
    going.sort(key=lambda item: item.at, reverse=True)
    return Plan([item for item in items if stays(item)], going)


def delete(item: Item) -> None:
    """Let an item go. Raises InUseError if a driver has begun to write it."""
    folder = item.place
    if not item.run:
        folder.remove()
        return
    with folder.lock(wait=False):
        if item.is_finished:  # known as an unfinished one from here on
            manifest = folder.read_json(MANIFEST)
            named = {key: manifest[key] for key in ("stage", "name", "fingerprint", "inputs")}
            folder.write_json(DRAFT, named | {"started_at": item.at})
            folder.remove(MANIFEST)
        last = {folder.join(MANIFEST), folder.join(DRAFT)}
        if others := [path for path in item.files if path not in last]:
            folder.filesystem.rm(others)
        folder.remove()
        if folder.is_local:
            folder.lock_file.unlink(missing_ok=True)


def copies() -> list[Item]:
    """What this machine keeps of remote artifacts, and fetches again when it is needed."""
    places = (Folder(str(cache_directory() / name)) for name in ("objects", "artifacts"))
    reason = "fetched again when it is needed"
    return [
        Item(place, "local copies", "", place.filesystem.du(place.path, total=False), reason=reason)
        for place in places
        if place.exists()
    ]


def _survey(root: Folder) -> Iterator[Item]:
    """Everything of a root that is ours, each with its files, in the order of their places."""
    filesystem = root.filesystem
    filesystem.invalidate_cache()
    listed = filesystem.find(root.path, detail=True) if root.exists() else {}
    folders: dict[tuple[str, str], dict[str, int]] = defaultdict(dict)
    now = time.time()
    for path, info in listed.items():
        relative = str(path).removeprefix(root.path.rstrip("/") + "/")
        *parents, name = relative.split("/")
        if HALF_FILE.fullmatch(name) and now - info.get("mtime", now) > HALF_FILE_SECONDS:
            size = {path: info["size"]}
            yield Item(root / relative, "half-written file", "", size, reason="its writer is gone")
        elif len(parents) > 1:
            folders[parents[0], parents[1]][path] = info["size"]
    written = (MANIFEST, OBSERVED, DRAFT)
    texts = (
        filesystem.cat(
            [path for files in folders.values() for path in files if path.endswith(written)]
        )
        if folders
        else {}
    )
    for (kind, name), files in folders.items():
        if (digits := NAMED.fullmatch(name)) is None:
            continue
        place = root / kind / name
        said = {
            file: orjson.loads(texts[path])
            for file in written
            if (path := place.join(file)) in texts
        }
        if kind in (*BESIDE, PIECES):
            yield Item(place, kind, digits[1], files)
        elif MANIFEST in said:
            manifest = checked(said[MANIFEST], place.join(MANIFEST))
            yield _finished(place, manifest, said.get(OBSERVED, {}), files)
        elif DRAFT in said:
            draft = said[DRAFT]
            yield Item(
                place,
                kind,
                digits[1],
                files,
                run=draft["name"],
                inputs=frozenset(draft["inputs"].values()),
                at=draft["started_at"],
            )


def _finished(
    place: Folder, manifest: Mapping[str, Any], observed: Mapping[str, Any], files: dict[str, int]
) -> Item:
    pieces = observed.get("piece_folders")
    return Item(
        place,
        manifest["stage"],
        manifest["fingerprint"],
        files,
        run=manifest["counters"].get("run", manifest["name"]),
        version=manifest["inputs"].get("model", manifest["fingerprint"]),
        inputs=frozenset(manifest["inputs"].values()),
        at=observed.get("created_at", "unknown"),  # later than any date: among the newest
        is_finished=True,
        pieces=None if pieces is None else frozenset(pieces),
    )


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
        if stays or any(fnmatch.fnmatch(item.run, wanted) for wanted in keep_runs):
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


def _is_held(item: Item) -> bool:
    """Whether a driver is writing an unfinished artifact."""
    if item.is_finished:
        return False
    try:
        with item.place.lock(wait=False):
            return False
    except InUseError:
        return True


def _reason(item: Item, keep_last: int) -> str:
    if item.reason:
        return item.reason
    if item.kind in BESIDE:
        return "its artifact goes, or is gone"
    if item.kind == PIECES:
        return "no corpus that stays has it"
    if not item.is_finished:
        return "unfinished, and not the newest of its name"
    return f"not of the newest {keep_last} of its name, and nothing that stays needs it"
