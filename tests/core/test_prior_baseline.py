import pytest

from electra_pipeline.core.prior_baseline import no_better_than_prior

LEARNT = {"discriminator_loss": 0.30, "prior_entropy": 0.37, "discriminator_auc": 0.85}


def test_a_discriminator_better_than_the_prior_gives_none() -> None:
    assert no_better_than_prior(LEARNT) is None
    assert no_better_than_prior({}) is None  # nothing held out, nothing known
    just = LEARNT | {"discriminator_loss": 0.366, "discriminator_auc": 0.56}
    assert no_better_than_prior(just) is None


@pytest.mark.parametrize(
    "change",
    [
        {"discriminator_loss": 0.3695},  # within 1 % of the prior
        {"discriminator_loss": 0.7},
        {"discriminator_auc": 0.52},
    ],
)
def test_a_discriminator_no_better_than_the_prior_gives_a_sentence_with_the_numbers(
    change: dict[str, float],
) -> None:
    held_out = LEARNT | change
    sentence = no_better_than_prior(held_out)
    assert sentence is not None and "\n" not in sentence
    for value in (f"{held_out['discriminator_loss']:.4f}", "0.3700"):
        assert value in sentence
    assert f"AUC is {held_out['discriminator_auc']:.3f}, chance is 0.5" in sentence
