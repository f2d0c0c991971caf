"""Check, before work starts, that a folder can be read or written."""

import uuid

from electra_pipeline.core.errors import one_line
from electra_pipeline.storage.folder import Folder

# An S3 key has at most 1,024 bytes, a path on Linux 4,096; 400 are reserved for names in a root.
STORE_NAME_BYTES = 624
LOCAL_NAME_BYTES = 3696


def check_readable(folder: Folder) -> Folder:
    """Return the folder, which need not exist. Raises ValueError if unreadable or a file."""
    try:
        is_file = folder.filesystem.info(folder.path)["type"] == "file"
    except (FileNotFoundError, NotADirectoryError):
        return folder
    except ValueError:
        raise
    except Exception as error:  # each filesystem has its own exceptions
        raise ValueError(
            f"{folder}: cannot be read ({one_line(error)}); check its address, credentials and "
            "permissions"
        ) from error
    if is_file:
        raise ValueError(f"{folder}: a file; give a folder")
    return folder


def check_writable(folder: Folder) -> None:
    """Raise ValueError, in one line, if the folder is not writable; leave no files behind.

    A store must also support conditional writes, which fail if the object exists: otherwise two
    drivers could both hold a lease.
    """
    longest = STORE_NAME_BYTES if "://" in folder.uri else LOCAL_NAME_BYTES
    if (num_bytes := len(folder.path.encode())) > longest:
        raise ValueError(
            f"root {folder}: its name has {num_bytes} bytes, expected at most {longest}, which "
            "leave room for the names of artifacts; give a shorter --root"
        )
    probe = f".{uuid.uuid4().hex[:8]}.probe"
    try:
        folder.write_bytes(probe, b"")
        try:
            is_safe = folder.is_local or not _overwrites(folder, probe)
        finally:
            folder.remove(probe)
    except Exception as error:  # each filesystem has its own
        raise ValueError(
            f"root {folder}: cannot be written ({one_line(error)}); give another --root, or check "
            "its address, credentials and permissions"
        ) from error
    if not is_safe:
        raise ValueError(
            f"root {folder}: this store has no conditional writes (If-None-Match), without which "
            "two drivers could write the same artifact; use a newer version, or another --root"
        )


def _overwrites(folder: Folder, name: str) -> bool:
    """Return whether a write that must only create replaces an existing object."""
    try:
        folder.filesystem.pipe_file(folder.join(name), b"", mode="create")
    except Exception:  # each filesystem has its own exceptions
        return False
    return True
