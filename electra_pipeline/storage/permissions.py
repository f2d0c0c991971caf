"""Whether a folder can be read or written here, found out before work starts."""

import uuid

from electra_pipeline.storage.folder import Folder

# Of 1,024 bytes of an S3 key and 4,096 of a path on Linux, less 400 for the names within a root.
STORE_NAME_BYTES = 624
LOCAL_NAME_BYTES = 3696


def check_readable(folder: Folder) -> Folder:
    """The folder, which need not exist. Raises ValueError if it cannot be read, or is a file."""
    try:
        is_file = folder.filesystem.info(folder.path)["type"] == "file"
    except (FileNotFoundError, NotADirectoryError):
        return folder
    except ValueError:
        raise
    except Exception as error:  # each filesystem has its own
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(
            f"{folder}: cannot be read ({reason}); check its address, credentials and permissions"
        ) from error
    if is_file:
        raise ValueError(f"{folder}: a file; give a folder")
    return folder


def check_writable(folder: Folder) -> None:
    """Raise ValueError, in one line, if nothing can be written here; leaves nothing behind.

    Nor can a store be used that puts an object over one that is there when it was told not to:
    two drivers could then both believe that they hold a lease.
    """
    longest = STORE_NAME_BYTES if "://" in folder.uri else LOCAL_NAME_BYTES
    if (num_bytes := len(folder.path.encode())) > longest:
        raise ValueError(
            f"root {folder}: its name has {num_bytes} bytes, and {longest} at most leave room "
            "for the names of artifacts; give a shorter --root"
        )
    probe = f".{uuid.uuid4().hex[:8]}.probe"
    try:
        folder.write_bytes(probe, b"")
        try:
            is_safe = folder.is_local or folder.is_memory or not _put_over(folder, probe)
        finally:
            folder.remove(probe)
    except Exception as error:  # each filesystem has its own
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(
            f"root {folder}: cannot be written ({reason}); give another --root, or check its "
            "address, credentials and permissions"
        ) from error
    if not is_safe:
        raise ValueError(
            f"root {folder}: this store has no conditional writes (If-None-Match), without which "
            "two drivers can mix; take a newer version of it, or another --root"
        )


def _put_over(folder: Folder, name: str) -> bool:
    """Whether a put that must only create replaces what is there."""
    try:
        folder.filesystem.pipe_file(folder.join(name), b"", mode="create")
    except Exception:  # each filesystem has its own
        return False
    return True
