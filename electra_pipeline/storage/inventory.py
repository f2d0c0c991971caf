"""What lies in a root, as far as it is ours: artifacts, finished or not, and what is beside."""

import re
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson

from electra_pipeline.storage.artifact import DRAFT, MANIFEST, OBSERVED, checked
from electra_pipeline.storage.folder import Folder, cache_directory
from electra_pipeline.storage.locks import InUseError
from electra_pipeline.storage.names import is_plain_name
from electra_pipeline.storage.stores import (
    abort_upload,
    read_each,
    remove_files,
    unfinished_uploads,
)

TOLD = (MANIFEST, OBSERVED, DRAFT)
BESIDE = ("checkpoints", "tensorboard")  # their folders are named like the artifact they belong to
PIECES = "corpus-pieces"
NAMED = re.compile(r".+-([0-9a-f]{12})")
HALF_FILE = re.compile(r"\..+\.[0-9a-f]{8}\.tmp")
HALF_FILE_SECONDS = 86_400.0  # nobody writes one file for longer
NO_WRITER = "its writer is gone"


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
    """What counts as one of the newest: all trials of a model, any other artifact by itself."""
    model: str = ""
    """Fingerprint of the model that it was made from, if it was: its main input."""
    inputs: frozenset[str] = frozenset()
    at: str = ""
    """When it was made; of an unfinished one, when it was last begun."""
    is_finished: bool = False
    pieces: frozenset[str] | None = None
    """Names of the pieces that a corpus was made from, where that is known."""
    upload: str = ""
    """Of an upload in parts that was never completed: what the store calls it."""
    reason: str = ""
    """Why it goes."""

    @property
    def name(self) -> str:
        return self.place.name.rpartition("-")[0]


def survey(root: Folder) -> Iterator[Item]:
    """Everything of a root that is ours, each with its files, in the order of their places."""
    filesystem = root.filesystem
    filesystem.invalidate_cache()
    listed = filesystem.find(root.path, detail=True) if root.exists() else {}
    folders: dict[tuple[str, str], dict[str, int]] = defaultdict(dict)
    now = time.time()
    for path, info in listed.items():
        relative = str(path).removeprefix(root.path.rstrip("/") + "/")
        *parents, name = parts = relative.split("/")
        if not all(map(is_plain_name, parts)):
            continue
        if HALF_FILE.fullmatch(name) and now - info.get("mtime", now) > HALF_FILE_SECONDS:
            size = {path: info["size"]}
            yield Item(root / relative, "half-written file", "", size, reason=NO_WRITER)
        elif len(parents) > 1:
            folders[parents[0], parents[1]][path] = info["size"]
    for name, upload, seconds in unfinished_uploads(filesystem, root.path):
        if seconds > HALF_FILE_SECONDS and all(map(is_plain_name, name.split("/"))):
            place = root / name
            yield Item(place, "unfinished upload", "", {}, upload=upload, reason=NO_WRITER)
    texts = _read(filesystem, [path for files in folders.values() for path in files])
    for (kind, name), files in folders.items():
        place = root / kind / name
        if (digits := NAMED.fullmatch(name)) is None:
            continue
        if kind in (*BESIDE, PIECES):
            yield Item(place, kind, digits[1], files)
            continue
        said = {file: texts.get(place.join(file)) for file in TOLD}
        if (manifest := said[MANIFEST]) is not None:
            checked(manifest, place.join(MANIFEST))
        about = manifest or said[DRAFT]
        # One that was moved or copied is not ours any more.
        if about is None or (kind, name) != (
            about["stage"],
            f"{about['name']}-{about['fingerprint']}",
        ):
            continue
        item = Item(
            place,
            kind,
            about["fingerprint"],
            files,
            run=about["name"],
            version=about["fingerprint"],
            model=about["inputs"].get("pretrained", about["inputs"].get("model", "")),
            inputs=frozenset(about["inputs"].values()),
        )
        if manifest is None:
            yield replace(item, at=about["started_at"])
        else:
            yield _finished(item, manifest, said[OBSERVED] or {})


def _read(filesystem: Any, paths: list[str]) -> dict[str, dict[str, Any]]:
    """What manifests and the like say, by path; one that has gone since it was listed is left out.

    Raises whatever else keeps one from being read: not to know of it could cost its inputs.
    """
    found = read_each(filesystem, (path for path in paths if path.endswith(TOLD)))
    return {path: orjson.loads(text) for path, text in found.items()}


def _finished(item: Item, manifest: Mapping[str, Any], observed: Mapping[str, Any]) -> Item:
    pieces = observed.get("piece_folders")
    return replace(
        item,
        run=manifest["counters"].get("run", item.run),
        version=manifest["inputs"].get("model", item.version),
        at=observed.get("created_at", "unknown"),  # later than any date: among the newest
        is_finished=True,
        pieces=None if pieces is None else frozenset(pieces),
    )


def delete(item: Item) -> None:
    """Let an item go. Raises InUseError if a driver is writing it, or has since the survey."""
    folder = item.place
    if item.upload:
        abort_upload(folder.filesystem, folder.path, item.upload)
        return
    if not item.run:
        folder.remove()
        return
    with folder.lock(wait=False):
        if folder.exists(MANIFEST) != item.is_finished:
            raise InUseError(f"{folder} was finished, or begun again, meanwhile")
        if item.is_finished:  # known as an unfinished one from here on
            manifest = folder.read_json(MANIFEST)
            named = {key: manifest[key] for key in ("stage", "name", "fingerprint", "inputs")}
            folder.write_json(DRAFT, named | {"started_at": item.at})
            folder.remove(MANIFEST)
        last = {folder.join(MANIFEST), folder.join(DRAFT)}
        remove_files(folder.filesystem, (path for path in item.files if path not in last))
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


def is_held(item: Item) -> bool:
    """Whether a driver is writing an unfinished artifact."""
    if item.is_finished:
        return False
    try:
        with item.place.lock(wait=False):
            return False
    except InUseError:
        return True
