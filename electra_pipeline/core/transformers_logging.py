"""Silence the progress bars and load reports of transformers, which would disturb our own."""

from collections.abc import Iterator
from contextlib import contextmanager
from logging import ERROR, getLogger

from transformers.utils import logging


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Keep transformers from writing to the terminal; restore its settings afterwards."""
    hub = getLogger("huggingface_hub")  # logs each attempt to reach the hub
    verbosity, hub_level = logging.get_verbosity(), hub.level
    has_bars = logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    hub.setLevel(ERROR)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        hub.setLevel(hub_level)
        if has_bars:
            logging.enable_progress_bar()
