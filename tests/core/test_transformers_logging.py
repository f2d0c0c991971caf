"""What others write over our lines is kept back, and only while it would."""

import logging

import pytest

from electra_pipeline.core.transformers_logging import quiet_transformers


def test_attempts_to_reach_the_hub_are_not_told_one_by_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    logger = logging.getLogger("huggingface_hub.utils._http")
    with quiet_transformers():
        logger.warning("Retrying in 1s")
    logger.warning("told again")
    assert caplog.messages == ["told again"]
