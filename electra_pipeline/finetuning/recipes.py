"""Hyperparameters in which the paper and the published code differ, by recipe and model size."""

from collections.abc import Mapping
from typing import Any, Literal

Recipe = Literal["google", "paper"]
Size = Literal["small", "base", "large"]

# google: configure_finetuning.py:54-60, 71-73, 150-151 (google-research/electra 8a46635), with the
# extra power of layer_decay of its issue 51 and an Adam without bias correction. paper: table 7; it
# does not state the reduction of the loss; its Adam is assumed to be that of Kingma and Ba (2015).
_GOOGLE = {
    "weight_decay": 0.01,
    "layer_extra_exponent": 1,
    "loss_reduction": "sum",
    "adam_bias_correction": False,
}
_PAPER = {
    "weight_decay": 0.0,
    "layer_extra_exponent": 0,
    "loss_reduction": "mean",
    "adam_bias_correction": True,
}
RECIPES: Mapping[Recipe, Mapping[Size, Mapping[str, Any]]] = {
    "google": {
        "small": {"learning_rate": 1e-4, "layer_decay": 0.8, **_GOOGLE},
        "base": {"learning_rate": 1e-4, "layer_decay": 0.8, **_GOOGLE},
        "large": {"learning_rate": 5e-5, "layer_decay": 0.9, **_GOOGLE},
    },
    "paper": {
        "small": {"learning_rate": 3e-4, "layer_decay": 0.8, **_PAPER},
        "base": {"learning_rate": 1e-4, "layer_decay": 0.8, **_PAPER},
        "large": {"learning_rate": 5e-5, "layer_decay": 0.9, **_PAPER},
    },
}


def recipe_values(recipe: Recipe, hidden_size: int) -> Mapping[str, Any]:
    """Return a recipe's values for a model of that width (table 6: 256, 768, 1024)."""
    size: Size = "small" if hidden_size < 768 else "base" if hidden_size < 1024 else "large"
    return RECIPES[recipe][size]
