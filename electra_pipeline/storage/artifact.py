"""Artifacts: outputs of stages, each a folder that is finished once it has a manifest.

`produce` runs every stage: it names the folder after the fingerprint, returns a finished artifact
at once, allows one writer at a time, and writes `manifest.json` after all other files.
"""

import importlib.metadata
import logging
import re
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from electra_pipeline.core.identity import Config, fingerprint
from electra_pipeline.storage.folder import Folder, cache_directory, replaced_when_complete

logger = logging.getLogger(__name__)

MANIFEST = "manifest.json"
DRAFT = ".draft.json"  # identity of an unfinished artifact
OBSERVED = "observed.json"  # times, rates, scale: values of one run, never hashed
WORK = "work"  # intermediate files of an unfinished artifact
MANIFEST_FORMAT_VERSION = 1
VERSIONED_LIBRARIES = ("torch", "transformers", "tokenizers", "datasets", "pyarrow", "numpy")

Counters = Mapping[str, Any]


@dataclass(frozen=True)
class Artifact:
    """A finished output of a stage: its `folder`, and the `manifest` in it."""

    folder: Folder
    manifest: Mapping[str, Any]

    @property
    def stage(self) -> str:
        return str(self.manifest["stage"])

    @property
    def name(self) -> str:
        return str(self.manifest["name"])

    @property
    def fingerprint(self) -> str:
        return str(self.manifest["fingerprint"])

    @property
    def config(self) -> Mapping[str, Any]:
        return dict(self.manifest["config"])

    @property
    def counters(self) -> Mapping[str, Any]:
        return dict(self.manifest["counters"])

    @property
    def inputs(self) -> Mapping[str, str]:
        return dict(self.manifest["inputs"])

    @property
    def observed(self) -> Mapping[str, Any]:
        """Values of the run that wrote it: `created_at`, `seconds`, those of the stage."""
        return dict(self.folder.read_json(OBSERVED))

    def file_names(self, prefix: str = "") -> list[str]:
        """Return the names of the artifact's files that begin with `prefix`, sorted."""
        return sorted(name for name in self.manifest["files"] if name.startswith(prefix))

    def local_file(self, name: str) -> Path:
        """Return a local, memory-mappable path of one of the artifact's files.

        Raises ValueError if it has no such file, for instance if another version wrote it.
        """
        if name not in self.manifest["files"]:
            raise ValueError(
                f"{self.folder}: has no {name}; it is a {self.stage} artifact of format "
                f"{self.manifest['format']}, of another version: run its stage again"
            )
        return self.folder.local_file(name, self.manifest["files"][name]["sha256"])

    def local_folder(self, name: str) -> Path:
        """Return a local directory with the artifact's files below `name` (such as a model)."""
        if self.folder.is_local:
            return Path((self.folder / name).path)
        target = cache_directory() / "artifacts" / f"{self.stage}-{self.fingerprint}" / name
        for file in self.file_names(f"{name}/"):
            copy = target / file.removeprefix(f"{name}/")
            original = self.local_file(file)
            if not copy.exists():  # false also for a link whose target was deleted
                copy.parent.mkdir(parents=True, exist_ok=True)
                with replaced_when_complete(copy) as link:
                    link.symlink_to(original)
        return target


@dataclass(frozen=True)
class Draft:
    """An artifact that is being written: its files in `folder`, intermediate ones in `work`."""

    folder: Folder
    fingerprint: str

    @property
    def work(self) -> Folder:
        """Files from which the stage resumes; removed when the artifact is finished."""
        return self.folder / WORK

    def create(self, name: str) -> AbstractContextManager[IO[bytes]]:
        """Write one file of the artifact, whole or not at all."""
        return self.folder.create(name)


@dataclass(frozen=True)
class Written:
    """What a stage records: `counters` are reproducible, `observed` (times, rates) are not."""

    counters: Counters
    observed: Mapping[str, Any]


def locate(
    root: str,
    stage: str,
    name: str,
    format_version: int,
    config: Mapping[str, Any],
    inputs: Mapping[str, str],
) -> Folder:
    """Return the folder of the artifact with this identity, which need not exist yet."""
    digits = fingerprint(stage, format_version, config, inputs)
    return Folder(root) / stage / f"{name}-{digits}"


def produce(
    *,
    root: str,
    stage: str,
    name: str,
    format_version: int,
    config: Config | Mapping[str, Any],
    inputs: Mapping[str, str],
    write: Callable[[Draft], Written],
) -> Artifact:
    """Return the artifact of this identity, writing it first if it is not finished.

    `config` is the stage's identity, and `inputs` has the fingerprints of what it reads. `write`
    writes the files; the draft may already contain those of an interrupted run, from which it
    resumes. Of two drivers the second waits, and then finds the artifact finished.
    """
    identity = config.model_dump(mode="json") if isinstance(config, Config) else dict(config)
    folder = locate(root, stage, name, format_version, identity, inputs)
    finished = open_artifact(folder)
    if finished is not None:
        logger.info("%s: reused (%s)", stage, folder)
        return finished
    with folder.lock() as confirm:
        finished = open_artifact(folder)
        if finished is not None:
            logger.info("%s: finished by another driver meanwhile (%s)", stage, folder)
            return finished
        resumed = bool(folder.files())
        draft = Draft(folder, fingerprint(stage, format_version, identity, inputs))
        named = {
            "stage": stage,
            "name": name,
            "fingerprint": draft.fingerprint,
            "inputs": dict(inputs),
        }
        folder.write_json(DRAFT, {**named, "started_at": _now()})
        logger.info("%s: %s %s", stage, "resuming" if resumed else "writing", folder)
        started = time.monotonic()
        written = write(draft)
        confirm()  # before removing files that could belong to another driver by now
        draft.work.remove()
        folder.remove(OBSERVED)
        files = {
            file: {"bytes": folder.size(file), "sha256": folder.sha256(file)}
            for file in folder.files()
        }
        observed = {
            "created_at": _now(),
            "seconds": round(time.monotonic() - started, 3),
            "resumed": resumed,
            **written.observed,
        }
        folder.write_json(OBSERVED, observed)
        manifest = {
            "manifest_format": MANIFEST_FORMAT_VERSION,
            "format": format_version,
            **named,
            "config": identity,
            "files": files,
            "counters": dict(written.counters),
            "libraries": {
                library: importlib.metadata.version(library) for library in VERSIONED_LIBRARIES
            },
        }
        confirm()
        folder.write_json(MANIFEST, manifest)
        folder.remove(DRAFT)
        manifest = folder.read_json(MANIFEST)  # as every later run reads it
    logger.info("%s: finished in %.1f s (%s)", stage, observed["seconds"], folder)
    return Artifact(folder, manifest)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def open_artifact(folder: Folder) -> Artifact | None:
    """Return the finished artifact in `folder`, or None while its manifest is missing.

    Raises ValueError if the manifest has a format that this version does not read, or if it names
    files outside of the artifact, which this package never writes.
    """
    if not folder.exists(MANIFEST):
        return None
    return Artifact(folder, checked_manifest(folder.read_json(MANIFEST), f"{folder}/{MANIFEST}"))


def checked_manifest(manifest: Mapping[str, Any], path: str) -> Mapping[str, Any]:
    """Return the manifest. Raises ValueError if this version does not read its format."""
    if manifest.get("manifest_format") != MANIFEST_FORMAT_VERSION:
        raise ValueError(
            f"{path}: format {manifest.get('manifest_format')!r}, this version reads "
            f"{MANIFEST_FORMAT_VERSION}; use another root or the version that wrote it"
        )
    for name, entry in manifest["files"].items():
        # Name and digest are parts of the path of the file's copy in the cache.
        if ".." in name.split("/") or not re.fullmatch("[0-9a-f]{64}", str(entry.get("sha256"))):
            raise ValueError(
                f"{path}: {name!r} is not a valid file of an artifact; do not use the artifact, or "
                "ask its author"
            )
    return manifest


def find_artifacts(root: str, stage: str | None = None) -> list[Artifact]:
    """Return the finished artifacts of a stage (or of all stages) in `root`, sorted by folder."""
    folder = Folder(root)
    stages = [stage] if stage is not None else folder.folders()
    folders = [folder / each / name for each in stages for name in (folder / each).folders()]
    return [artifact for each in folders if (artifact := open_artifact(each)) is not None]


def verify(artifact: Artifact) -> list[str]:
    """Re-hash an artifact; return one line for each missing, damaged or unexpected file."""
    problems = []
    expected: Mapping[str, Mapping[str, Any]] = artifact.manifest["files"]
    present = set(artifact.folder.files()) - {MANIFEST, OBSERVED}
    for name, entry in sorted(expected.items()):
        path = f"{artifact.folder}/{name}"
        if name not in present:
            problems.append(f"{path}: missing")
        elif (size := artifact.folder.size(name)) != entry["bytes"]:
            problems.append(f"{path}: {size} bytes, expected {entry['bytes']}")
        elif (digest := artifact.folder.sha256(name)) != entry["sha256"]:
            problems.append(f"{path}: sha256 is {digest}, expected {entry['sha256']}")
    problems += [
        f"{artifact.folder}/{name}: not in the manifest" for name in sorted(present - set(expected))
    ]
    return problems


def find_newest(root: str, stage: str, name: str | None = None) -> Artifact | None:
    """Return the newest finished artifact of a stage, of the run `name` if given, or None."""
    found = [each for each in find_artifacts(root, stage) if name in (None, each.name)]
    return max(found, key=lambda each: str(each.observed["created_at"]), default=None)
