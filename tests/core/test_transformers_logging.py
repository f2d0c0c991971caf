"""Loggers of other libraries are silenced only within the block."""

import logging

import pytest

from electra_pipeline.core.transformers_logging import quiet_transformers


def test_retries_of_hub_requests_are_not_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    logger = logging.getLogger("huggingface_hub.utils._http")
    with quiet_transformers():
        logger.warning("Retrying in 1s")
    logger.warning("told again")
    assert caplog.messages == ["told again"]
