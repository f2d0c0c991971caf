"""The process's memory allocator."""

import ctypes
import sys

# mallopt(3) of glibc, malloc.h
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4


def keep_freed_memory() -> None:
    """Keep freed memory in the process, on Linux with glibc; elsewhere do nothing.

    By default glibc returns large blocks to the system as soon as they are freed, and the system
    hands them out again page by page, cleared: in a training, whose activations are the same blocks
    in each step, this takes a tenth to a quarter of the time (benchmarks/LOG.md). The process keeps
    its peak memory until it ends.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is not None:
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, -1)
