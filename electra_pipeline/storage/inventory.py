"""List what the pipeline keeps in a root (artifacts and what belongs to them), and delete it."""

import re
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import orjson

from electra_pipeline.storage.artifact import DRAFT, MANIFEST, OBSERVED, checked_manifest
from electra_pipeline.storage.folder import Folder, cache_directory
from electra_pipeline.storage.locks import InUseError
from electra_pipeline.storage.stores import read_each, remove_files
from electra_pipeline.storage.uri import is_plain_name

DESCRIPTIONS = (MANIFEST, OBSERVED, DRAFT)
ARTIFACT_NAME = re.compile(r".+-([0-9a-f]{12})")
TEMPORARY_FILE = re.compile(r"\..+\.[0-9a-f]{8}\.tmp")
TEMPORARY_FILE_SECONDS = 86_400.0  # no file takes longer to write


@dataclass(frozen=True)
class RetentionRules:
    """How artifacts, and the folders beside them, depend on one another; the stages define it."""

    companions: frozenset[str]
    """Folders of a root whose subfolders are named like the artifact that they belong to."""
    caches: Mapping[str, tuple[str, str]]
    """Folders of a root with intermediate results; of each, the stage that uses it, and the key of
    `observed.json` where an artifact of that stage lists the subfolders that it was made from."""
    parent_roles: tuple[str, ...]
    """Roles of inputs; the first that an artifact has is its parent."""
    version_role: str
    """Role of the input that all artifacts of one version share (all trials of one model)."""
    step_separator: str
    """In the name of a run, what precedes a step; such a run is kept as long as its parent."""


@dataclass(frozen=True)
class Item:
    """What is kept or deleted as a whole: an artifact, finished or not, or a folder beside it."""

    folder: Folder
    kind: str
    """Stage of an artifact, else the name of the folder that contains it."""
    fingerprint: str
    files: Mapping[str, int]
    """Bytes of each, by its path on the filesystem."""
    run: str = ""
    """Only for artifacts."""
    version: str = ""
    """What `--keep-last` counts: all trials of a model together, any other artifact by itself."""
    parent: str = ""
    """Fingerprint of the input that `RetentionRules.parent_roles` selects, or empty."""
    inputs: frozenset[str] = frozenset()
    at: str = ""
    """When it was created; for an unfinished one, when it was last started."""
    is_finished: bool = False
    cached: frozenset[str] | None = None
    """Names of the cache subfolders that it was made from; None if it did not record them."""
    reason: str = ""
    """Why it is deleted."""

    @property
    def name(self) -> str:
        return self.folder.name.rpartition("-")[0]


def survey(root: Folder, rules: RetentionRules) -> Iterator[Item]:
    """Yield everything in a root that the pipeline wrote, each with its files, by path."""
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
        age_seconds = now - info.get("mtime", now)
        if TEMPORARY_FILE.fullmatch(name) and age_seconds > TEMPORARY_FILE_SECONDS:
            size = {path: info["size"]}
            yield Item(
                root / relative, "half-written file", "", size, reason="left by a killed writer"
            )
        elif len(parents) > 1:
            folders[parents[0], parents[1]][path] = info["size"]
    # Any error but a missing file is raised: an unread manifest could cost an artifact its inputs.
    paths = (path for files in folders.values() for path in files if path.endswith(DESCRIPTIONS))
    described = read_each(filesystem, paths)
    for (kind, name), files in folders.items():
        folder = root / kind / name
        if (match := ARTIFACT_NAME.fullmatch(name)) is None:
            continue
        if kind in rules.companions or kind in rules.caches:
            yield Item(folder, kind, match[1], files)
            continue
        manifest, observed, draft = (
            orjson.loads(described.get(folder.join(file), "null")) for file in DESCRIPTIONS
        )
        if manifest is not None:
            checked_manifest(manifest, folder.join(MANIFEST))
        about = manifest or draft
        # A folder that was moved or copied does not belong to the pipeline any more.
        if about is None or (kind, name) != (
            about["stage"],
            f"{about['name']}-{about['fingerprint']}",
        ):
            continue
        inputs = about["inputs"]
        item = Item(
            folder,
            kind,
            about["fingerprint"],
            files,
            run=about["name"],
            version=about["fingerprint"],
            parent=next((inputs[role] for role in rules.parent_roles if role in inputs), ""),
            inputs=frozenset(inputs.values()),
            at=about.get("started_at", ""),
        )
        if manifest is not None:
            observed = observed or {}
            keys = (key for stage, key in rules.caches.values() if stage == kind)
            cached = next((observed[key] for key in keys if key in observed), None)
            item = replace(
                item,
                run=manifest["counters"].get("run", item.run),
                version=inputs.get(rules.version_role, item.version),
                at=observed.get("created_at", "unknown"),  # later than any date: among the newest
                is_finished=True,
                cached=None if cached is None else frozenset(cached),
            )
        yield item


def delete(item: Item) -> None:
    """Delete an item. Raises InUseError if a driver is writing it, or has since the survey."""
    folder = item.folder
    if not item.run:
        folder.remove()
        return
    with folder.lock(wait=False):
        if folder.exists(MANIFEST) != item.is_finished:
            raise InUseError(f"{folder} was finished, or started again, meanwhile")
        if item.is_finished:  # from here on it counts as unfinished
            manifest = folder.read_json(MANIFEST)
            named = {key: manifest[key] for key in ("stage", "name", "fingerprint", "inputs")}
            folder.write_json(DRAFT, named | {"started_at": item.at})
            folder.remove(MANIFEST)
        last = {folder.join(MANIFEST), folder.join(DRAFT)}
        remove_files(folder.filesystem, (path for path in item.files if path not in last))
        folder.remove()
        if folder.is_local:
            folder.lock_file.unlink(missing_ok=True)


def local_copies() -> list[Item]:
    """Return this machine's copies of remote artifacts, which are fetched again when needed."""
    folders = (Folder(str(cache_directory() / name)) for name in ("objects", "artifacts"))
    reason = "fetched again when it is needed"
    return [
        Item(each, "local copies", "", each.filesystem.du(each.path, total=False), reason=reason)
        for each in folders
        if each.exists()
    ]


def is_held(item: Item) -> bool:
    """Return whether a driver is writing an unfinished artifact."""
    if item.is_finished:
        return False
    try:
        with item.folder.lock(wait=False):
            return False
    except InUseError:
        return True
