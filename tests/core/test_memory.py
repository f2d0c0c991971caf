"""The allocator keeps what is freed."""

import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
import torch
from electra_pipeline.core.memory import keep_freed_memory

if sys.argv[1] == "keep":
    keep_freed_memory()

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

for _ in range(12):  # the heap grows to its size
    torch.ones(2**24)  # 64 MiB, 16,384 pages: above glibc's largest threshold
before = faults()
for _ in range(10):
    torch.ones(2**24)
print(faults() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's allocator")
def test_memory_that_is_used_again_needs_no_new_pages() -> None:
    def page_faults(argument: str) -> int:
        command = [sys.executable, "-c", PROGRAM, argument]
        return int(subprocess.run(command, capture_output=True, check=True, text=True).stdout)

    # Otherwise each block is returned, and handed out anew; huge pages make few faults of it.
    assert 10 * page_faults("keep") < page_faults("leave")
