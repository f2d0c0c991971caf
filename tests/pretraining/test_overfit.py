"""Overfitting one batch: objective, model and optimizer together."""

import torch

from electra_pipeline.core.execution import Scale, Worker
from electra_pipeline.core.optim import Adam, clip_gradients, parameter_groups
from electra_pipeline.core.schedule import learning_rate
from electra_pipeline.pretraining import objective
from electra_pipeline.pretraining.batches import Batch
from electra_pipeline.pretraining.config import PretrainConfig
from electra_pipeline.pretraining.model import Electra
from electra_pipeline.pretraining.objective import Masking, SpecialIds
from electra_pipeline.pretraining.sizes import ModelOverrides, model_config
from electra_pipeline.pretraining.step import Step, held_out_metrics, tally

SPECIAL = SpecialIds(pad=0, cls=2, sep=3, mask=4)
NUM_SEQUENCES, LENGTH, VOCAB_SIZE, STEPS = 8, 24, 100, 400


def test_the_model_overfits_one_batch() -> None:
    """The generator beats a blind guess, the discriminator every constant one."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(10, VOCAB_SIZE, (NUM_SEQUENCES, LENGTH), generator=generator)
    ids[:, 0], ids[:, -1] = SPECIAL.cls, SPECIAL.sep
    lengths = torch.full((NUM_SEQUENCES,), LENGTH)
    masking = Masking(0.15, objective.num_slots(LENGTH, 0.15), False, SPECIAL)
    counts = masking.count(ids, lengths)

    def batch() -> Batch:
        return Batch(
            ids,
            lengths,
            lengths,
            counts,
            torch.rand(NUM_SEQUENCES, masking.num_slots, generator=generator),
            torch.rand(NUM_SEQUENCES, masking.num_slots, 2, generator=generator),
            torch.randint(2**62, (NUM_SEQUENCES, 2), generator=generator),
            int(lengths.sum()),
            int(counts.sum()),
            2,
            is_packed=False,
        )

    overrides = ModelOverrides(hidden_size=64, feed_forward_size=128, embedding_size=32)
    model = Electra(model_config("tiny", overrides), VOCAB_SIZE, masking, 0, 0.13).train()
    step = Step(Worker(), PretrainConfig(), Scale(precision="float32"))
    optimizer = Adam(parameter_groups(model, 0.01))
    for index in range(STEPS):
        step.backward(model, batch())
        clip_gradients(model.parameters(), 1.0)
        optimizer.set_learning_rate(learning_rate(index, 5e-4, STEPS, 50))
        optimizer.step()
        optimizer.zero_grad()
    with torch.no_grad():
        found = held_out_metrics([tally(step.forward(model, batch())) for _ in range(8)], 1.0, 50.0)
    # Limits half way between chance and the worst of seeds 0 to 5 (4.10, 0.68 and 0.85), as another
    # processor's rounding acts like another seed. The generator is the slower learner.
    assert found["generator_loss"] < 4.35  # a blind guess: ln 100 = 4.61
    assert found["discriminator_loss"] < 0.84 * found["prior_entropy"]
    assert found["discriminator_auc"] > 0.67
