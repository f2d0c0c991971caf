"""Metrics for TensorBoard, beside the artifacts: they hold times, and no result depends on them."""

import contextlib
from collections.abc import Mapping
from pathlib import Path


class TensorBoardWriter:
    """TensorBoard's file of one attempt at a run; all attempts share `directory`.

    Of an attempt that was interrupted, TensorBoard hides the steps from `first_step` on, because
    this one takes them again.
    """

    def __init__(self, directory: Path, first_step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter  # takes a second to import

        self._writer = SummaryWriter(str(directory), purge_step=first_step)

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Write the values of a step, for TensorBoard to see at once; raises OSError."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def close(self) -> None:
        with contextlib.suppress(OSError):  # every line was flushed when it was written
            self._writer.close()
