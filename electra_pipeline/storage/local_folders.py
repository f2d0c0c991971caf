"""Local folders that a run needs beside its root (caches, temporary files), and their checks."""

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

# With less a run fails soon: logs of Ray, a wheel or one file of a remote artifact fill it.
LEAST_BYTES = 200_000_000
# A socket's whole path, with its closing zero, has 108 bytes (sun_path, unix(7)).
SOCKET_BYTES = 107
# The longest of Ray 2.60: _private/node.py names the session by date, microseconds and process.
RAY_SOCKET = "ray/session_2026-12-31_23-59-59_999999_4194304/sockets/plasma_store"


@dataclass(frozen=True)
class MachineFolder:
    """A folder, which need not exist yet, and the environment variable that configures it."""

    use: str
    variable: str
    path: Path
    least_bytes: int = LEAST_BYTES
    socket: str = ""
    """The longest path of a socket that is created below it."""

    def problem(self) -> str:
        """Return in a few words why it cannot be used, or "". Leaves no files behind."""
        if self.socket and (num_bytes := len(os.fsencode(self.path / self.socket))) > SOCKET_BYTES:
            longest = SOCKET_BYTES - len(self.socket) - 1
            return (
                f"is too long for a socket below it ({num_bytes} bytes, {SOCKET_BYTES} at most): "
                f"at most {longest} bytes"
            )
        try:
            existing = next(each for each in (self.path, *self.path.parents) if each.exists())
            with tempfile.TemporaryDirectory(dir=existing):
                free = shutil.disk_usage(existing).free
        except OSError as error:
            return f"cannot be written ({error.strerror})"
        if free < self.least_bytes:
            return (
                f"has {free / 1e6:,.0f} MB free, at least {self.least_bytes / 1e6:,.0f} are needed"
            )
        return ""

    def check(self) -> None:
        """Raise ValueError, in one line with the variable's name, if it cannot be used."""
        if problem := self.problem():
            is_set = "" if os.environ.get(self.variable) else "not set, by default "
            raise ValueError(
                f"{self.variable} ({is_set}{self.path}, {self.use}) {problem}; "
                f"set {self.variable} to another folder"
            )


def home() -> Path:
    """Return the home directory, or an unwritable path if there is none."""
    try:
        return Path.home()
    except RuntimeError:  # HOME is not set, and the user has no entry in the password database
        return Path("/nonexistent")


def _configured(variable: str, default: Path) -> Path:
    return Path(os.path.expanduser(os.environ.get(variable) or default)).absolute()  # noqa: PTH111


def _folder(use: str, variable: str, default: Path, socket: str = "") -> MachineFolder:
    return MachineFolder(use, variable, _configured(variable, default), socket=socket)


def cache() -> MachineFolder:
    default = home() / ".cache" / "electra-pipeline"
    return _folder("downloads and copies of remote files", "ELECTRA_PIPELINE_CACHE", default)


def temporary() -> MachineFolder:
    default = os.environ.get("TEMP") or os.environ.get("TMP") or "/tmp"  # as tempfile does
    return _folder("temporary files", "TMPDIR", Path(default))


def of_ray() -> MachineFolder:
    """Return the folder for logs and sockets of a local Ray."""
    source = "TMPDIR" if not os.environ.get("RAY_TMPDIR") and os.environ.get("TMPDIR") else ""
    use = f"Ray's logs and sockets, from {source}" if source else "Ray's logs and sockets"
    return _folder(use, "RAY_TMPDIR", _configured("TMPDIR", Path("/tmp")), RAY_SOCKET)


def of_prefect() -> MachineFolder:
    return _folder("Prefect's profiles and database", "PREFECT_HOME", home() / ".prefect")


def of_hugging_face() -> MachineFolder:
    default = _configured("XDG_CACHE_HOME", home() / ".cache") / "huggingface"
    return _folder("models and data sets", "HF_HOME", default)


def all_folders() -> list[MachineFolder]:
    return [temporary(), cache(), of_ray(), of_prefect(), of_hugging_face()]
