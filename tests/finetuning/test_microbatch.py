"""Memory that runs out: half the batch goes through the model, to the gradient of the whole one."""

import logging

import numpy as np
import pytest
import torch
from transformers import ElectraConfig

from electra_pipeline.finetuning.hyperparameters import Hyperparameters
from electra_pipeline.finetuning.loop import backward, train
from electra_pipeline.tasks.kinds.inference import predict_logits
from electra_pipeline.tasks.kinds.kind import IGNORED, Feature
from electra_pipeline.tasks.kinds.microbatch import MicroBatches, is_out_of_memory
from electra_pipeline.tasks.kinds.question_answering import QuestionAnswering
from electra_pipeline.tasks.kinds.tagging import Tagging
from electra_pipeline.tasks.kinds.text_classification import Classification, Regression

CPU_MESSAGE = (
    "[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: "
    "you tried to allocate 99999999999 bytes. Error code 12 (Cannot allocate memory)"
)
# a kind, and the target of a feature of so many tokens
KINDS = {
    "classification": (Classification(("a", "b", "c")), lambda rng, n: np.int64(rng.integers(3))),
    "regression": (Regression(0.0, 1.0), lambda rng, n: np.float32(rng.normal())),
    "tagging": (
        Tagging(("a", "b")),
        lambda rng, n: np.where(np.arange(n) % 3 > 0, rng.integers(2, size=n), IGNORED),
    ),
    "question-answering": (QuestionAnswering(True), lambda rng, n: rng.integers(n, size=2)),
}


def make(name, num_features=7):
    """A tiny model without dropout, and features of several lengths."""
    kind, target = KINDS[name]
    torch.manual_seed(0)
    config = ElectraConfig(
        vocab_size=50,
        embedding_size=16,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        **kind.head,
    )
    rng = np.random.default_rng(0)
    features = []
    for origin in range(num_features):
        length = int(rng.integers(4, 12))
        ids = rng.integers(5, 50, size=length).astype(np.int32)
        features.append(Feature(ids, length // 2, np.asarray(target(rng, length)), origin))
    return kind.build(config), kind, features


def limited(model, num_examples, error):
    """The model, failing with `error` for more examples; and the sizes that it was called with."""
    sizes = []

    def check(module, arguments, keywords):
        sizes.append(len(keywords["input_ids"]))
        if sizes[-1] > num_examples:
            raise error

    model.register_forward_pre_hook(check, with_kwargs=True)
    return sizes


@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize("name", KINDS)
def test_parts_of_a_batch_give_the_gradient_and_loss_of_the_whole(name, reduction):
    model, kind, features = make(name)
    found = []
    for size in (7, 3, 1):
        parts = [features[i : i + size] for i in range(0, len(features), size)]
        loss = backward(model, kind, parts, reduction=reduction)
        found.append((loss, [p.grad.clone() for p in model.parameters() if p.grad is not None]))
    for loss, gradients in found[1:]:
        torch.testing.assert_close(loss, found[0][0])
        torch.testing.assert_close(gradients, found[0][1])


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError(CPU_MESSAGE)]
)
def test_training_continues_with_half_the_batch_and_warns(error, caplog):
    values = Hyperparameters(
        learning_rate=1e-3,
        layer_decay=1.0,
        layer_extra_exponent=0,
        weight_decay=0.0,
        warmup_fraction=0.0,
        batch_examples=8,
        epochs=2,
        max_length=16,
        loss_reduction="mean",
        adam_bias_correction=True,
        max_gradient_norm=1.0,
    )
    weights, losses = [], []
    for most in (8, 3):
        model, kind, features = make("classification", 16)
        sizes = limited(model, most, error)
        told = []
        with caplog.at_level(logging.WARNING):
            facts = train(
                model,
                kind,
                features,
                values,
                seed=0,
                report=lambda step, steps, loss, told=told: told.append((step, loss)),
            )
        assert facts["micro_batch_examples"] == {8: 8, 3: 2}[most]
        assert facts["features_seen"] == 32 and [step for step, _ in told] == [1, 2, 3, 4]
        weights.append(model.state_dict())
        losses.append([loss for _, loss in told])
    assert sizes[:3] == [8, 4, 2] and set(sizes[2:]) == {2}
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-4)
    torch.testing.assert_close(weights[1], weights[0], rtol=1e-3, atol=1e-5)
    assert [record.getMessage() for record in caplog.records] == [
        "memory ran out with 8 examples at once; continuing with 4 and the same gradient",
        "memory ran out with 4 examples at once; continuing with 2 and the same gradient",
    ]


def test_scoring_continues_with_half_the_batch():
    model, kind, features = make("tagging")
    expected = predict_logits(model, kind, features, batch_examples=4)
    sizes = limited(model, 1, torch.OutOfMemoryError("CUDA out of memory"))
    found = predict_logits(model, kind, features, batch_examples=4)
    assert sizes == [4, 2] + [1] * 7
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_example_that_does_not_fit_is_an_error_in_one_line():
    model, kind, features = make("classification")
    limited(model, 0, torch.OutOfMemoryError("CUDA out of memory"))
    with pytest.raises(ValueError, match=r"one example of up to \d+ tokens; lower finetune\.max"):
        predict_logits(model, kind, features, batch_examples=4)


def test_other_errors_are_not_taken_for_a_lack_of_memory():
    attempts = []

    def fail(parts):
        attempts.append(len(parts))
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        MicroBatches(2).run(fail, make("regression")[2])
    assert attempts == [4]


def test_cpu_error_of_torch_is_recognized():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)
