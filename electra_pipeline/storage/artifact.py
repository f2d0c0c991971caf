"""The idea that joins the stages: a finished output is a folder whose manifest was written last.

`produce` is the skeleton of every stage: it names the folder after the fingerprint, returns at once
what is already finished, lets one writer in, and writes `manifest.json` when all files are there.
"""

import importlib.metadata
import logging
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from electra_pipeline.core.identity import Config, fingerprint
from electra_pipeline.storage.folder import Folder, appearing, cache_directory

logger = logging.getLogger(__name__)

MANIFEST = "manifest.json"
DRAFT = ".draft.json"  # what an unfinished artifact will be
OBSERVED = "observed.json"  # times, rates, scale: facts about one run, never hashed
WORK = "work"  # intermediate files of an unfinished artifact
MANIFEST_FORMAT_VERSION = 1
VERSIONED_LIBRARIES = ("torch", "transformers", "tokenizers", "datasets", "pyarrow", "numpy")

Counters = Mapping[str, Any]


@dataclass(frozen=True)
class Artifact:
    """A finished stage output: `folder` holds the `manifest` that was written last."""

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
        config: Mapping[str, Any] = self.manifest["config"]
        return config

    @property
    def counters(self) -> Mapping[str, Any]:
        counters: Mapping[str, Any] = self.manifest["counters"]
        return counters

    @property
    def inputs(self) -> Mapping[str, str]:
        inputs: Mapping[str, str] = self.manifest["inputs"]
        return inputs

    @property
    def observed(self) -> Mapping[str, Any]:
        """What the run that made it saw: `created_at`, `seconds` and whatever the stage added."""
        observed: Mapping[str, Any] = self.folder.read_json(OBSERVED)
        return observed

    def file_names(self, prefix: str = "") -> list[str]:
        """Names of the artifact's files that begin with `prefix`, sorted."""
        return sorted(name for name in self.manifest["files"] if name.startswith(prefix))

    def local_file(self, name: str) -> Path:
        """A local, memory-mappable path of one of the artifact's files.

        Raises ValueError if it has no such file, as one that another version wrote.
        """
        if name not in self.manifest["files"]:
            raise ValueError(
                f"{self.folder}: has no {name}; it is a {self.stage} artifact of format "
                f"{self.manifest['format']}, of another version: run its stage again"
            )
        return self.folder.local_file(name, self.manifest["files"][name]["sha256"])

    def local_folder(self, name: str) -> Path:
        """A local directory with the artifact's files below `name` (a model, a tokenizer)."""
        if self.folder.is_local:
            return Path((self.folder / name).path)
        target = cache_directory() / "artifacts" / f"{self.stage}-{self.fingerprint}" / name
        for file in self.file_names(f"{name}/"):
            copy = target / file.removeprefix(f"{name}/")
            original = self.local_file(file)
            if not copy.exists():  # nor does a link whose end was cleared away
                copy.parent.mkdir(parents=True, exist_ok=True)
                with appearing(copy) as link:
                    link.symlink_to(original)
        return target


@dataclass(frozen=True)
class Draft:
    """An artifact being written: files in `folder`, intermediate ones in `work`."""

    folder: Folder
    fingerprint: str

    @property
    def work(self) -> Folder:
        """Where a stage keeps what lets it resume; removed when the artifact is finished."""
        return self.folder / WORK

    @contextmanager
    def create(self, name: str) -> Iterator[IO[bytes]]:
        """Write one file of the artifact, whole or not at all."""
        with self.folder.create(name) as file:
            yield file


@dataclass(frozen=True)
class Written:
    """What a stage says of its files: `counters` are reproducible facts, `observed` are not."""

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
    """The folder that the artifact of this identity has or will have."""
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

    `config` is the stage's identity and `inputs` the fingerprints of what it reads. `write` fills
    the draft and may find there what an interrupted run left. Two drivers never mix: the second
    waits and then finds the artifact finished.
    """
    identity = config.model_dump(mode="json") if isinstance(config, Config) else dict(config)
    folder = locate(root, stage, name, format_version, identity, inputs)
    finished = open_artifact(folder)
    if finished is not None:
        logger.info("%s: already there, nothing to do (%s)", stage, folder)
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
        confirm()  # before anything is removed that could be another driver's by now
        draft.work.remove()
        folder.remove(OBSERVED)
        files = {file: _describe(folder, file) for file in folder.files()}
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
        manifest = folder.read_json(MANIFEST)  # as every later run will see it
    logger.info("%s: finished in %.1f s (%s)", stage, observed["seconds"], folder)
    return Artifact(folder, manifest)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _describe(folder: Folder, file: str) -> dict[str, Any]:
    return {"bytes": folder.size(file), "sha256": folder.sha256(file)}


def open_artifact(folder: Folder) -> Artifact | None:
    """The finished artifact in `folder`, or None while its manifest is missing.

    Raises ValueError if the manifest was written in a format that this version does not read, or
    if it names files outside of the artifact, as none of ours does.
    """
    if not folder.exists(MANIFEST):
        return None
    return Artifact(folder, checked(folder.read_json(MANIFEST), f"{folder}/{MANIFEST}"))


def checked(manifest: Mapping[str, Any], place: str) -> Mapping[str, Any]:
    """The manifest, if it is in the format that this version reads; else ValueError."""
    if manifest.get("manifest_format") != MANIFEST_FORMAT_VERSION:
        raise ValueError(
            f"{place}: format {manifest.get('manifest_format')!r}, this version reads "
            f"{MANIFEST_FORMAT_VERSION}; use another root or the version that wrote it"
        )
    for name, facts in manifest["files"].items():
        # Copies in the cache are named after both.
        if ".." in name.split("/") or not re.fullmatch("[0-9a-f]{64}", str(facts.get("sha256"))):
            raise ValueError(
                f"{place}: {name!r} is no file of an artifact; do not use it, or ask "
                "whoever wrote it"
            )
    return manifest


def find_artifacts(root: str, stage: str | None = None) -> list[Artifact]:
    """All finished artifacts of a stage (or of every stage) below `root`, sorted by folder."""
    folder = Folder(root)
    stages = [stage] if stage is not None else folder.folders()
    places = [folder / each / name for each in stages for name in (folder / each).folders()]
    return [artifact for place in places if (artifact := open_artifact(place)) is not None]


def verify(artifact: Artifact) -> list[str]:
    """Re-hash an artifact; one line for each file that is missing, damaged or unknown."""
    problems = []
    expected: Mapping[str, Mapping[str, Any]] = artifact.manifest["files"]
    present = set(artifact.folder.files()) - {MANIFEST, OBSERVED}
    for name, facts in sorted(expected.items()):
        place = f"{artifact.folder}/{name}"
        if name not in present:
            problems.append(f"{place}: missing")
        elif (size := artifact.folder.size(name)) != facts["bytes"]:
            problems.append(f"{place}: {size} bytes, the manifest says {facts['bytes']}")
        elif (digest := artifact.folder.sha256(name)) != facts["sha256"]:
            problems.append(f"{place}: sha256 {digest}, the manifest says {facts['sha256']}")
    problems += [
        f"{artifact.folder}/{name}: not in the manifest" for name in sorted(present - set(expected))
    ]
    return problems


def find_newest(root: str, stage: str, name: str | None = None) -> Artifact | None:
    """Return the newest finished artifact of a stage, of the run `name` if given, or None."""
    found = [each for each in find_artifacts(root, stage) if name in (None, each.name)]
    return max(found, key=lambda each: str(each.observed["created_at"]), default=None)
