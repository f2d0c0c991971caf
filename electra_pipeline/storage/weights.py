"""The files of a model's directory: which hold its weights, and what is wrong with them."""

from pathlib import Path
from typing import Any

import orjson
from safetensors import SafetensorError, safe_open

WEIGHTS = ("model.safetensors", "pytorch_model.bin")  # the first that is there is read
INDEX = ".index.json"  # beside shards, and names them
ADAPTER = "adapter_config.json"  # of peft
# What stands in place of a file that was not fetched (specification of Git LFS, version 1)
POINTER = b"version https://git-lfs"
# Those of safetensors that weights can be trained in, and of numbers of positions
PRECISIONS = ("F64", "F32", "F16", "BF16", "I64")


def check_files(directory: Path) -> None:
    """Raise ValueError, in one line, unless the files are a whole model that can be trained.

    That is no adapter, whose weights would be left out, no pointers in place of files, and no
    quantised weights, which would be read as if they were the numbers themselves.
    """
    if (directory / ADAPTER).exists():
        raise ValueError(
            f"{directory}: an adapter ({ADAPTER}); merge it into its model and save that, as "
            "peft's merge_and_unload does"
        )
    if _is_quantised(directory / "config.json"):
        raise ValueError(
            f"{directory}: a quantised model (quantization_config in config.json); give the model "
            "in float32, float16 or bfloat16"
        )
    for file in sorted(directory.iterdir()):
        if file.is_file():
            with file.open("rb") as stream:
                is_pointer = stream.read(len(POINTER)) == POINTER
            if is_pointer:
                raise ValueError(
                    f"{file}: a pointer of Git LFS in place of the file; fetch it with git lfs pull"
                )
    for file in weights_files(directory):
        if file.suffix == ".safetensors":
            _check_precision(file)


def _is_quantised(config: Path) -> bool:
    try:
        return bool(orjson.loads(config.read_bytes())["quantization_config"])
    except (OSError, ValueError, LookupError, TypeError):
        return False  # or broken, which reading it tells


def not_finite(model: Any) -> str | None:
    """The name of a weight of a torch module that is infinite or NaN; None if all are finite."""
    return next((name for name, w in model.named_parameters() if not w.isfinite().all()), None)


def _check_precision(file: Path) -> None:
    try:
        with safe_open(file, framework="pt") as tensors:
            found = {name: tensors.get_slice(name).get_dtype() for name in tensors.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{file} cannot be read ({error}); copy it again") from error
    for name, precision in found.items():
        if precision not in PRECISIONS:
            raise ValueError(
                f"{file}: {name} is quantised ({precision}); give the model in float32, float16 or "
                "bfloat16"
            )


def weights_files(directory: Path) -> list[Path]:
    """The files that `from_pretrained` reads the weights from: one, or the shards of an index."""
    for name in WEIGHTS:
        if (directory / name).exists():
            return [directory / name]
        if (index := directory / f"{name}{INDEX}").exists():
            try:
                names = sorted(set(orjson.loads(index.read_bytes())["weight_map"].values()))
                missing = [each for each in names if not (directory / each).is_file()]
            except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
                raise ValueError(
                    f"{index} holds no JSON object with a weight_map of shards; copy it again"
                ) from error
            if missing:
                raise ValueError(
                    f"{directory} has no {missing[0]}, which {index.name} names; copy it again"
                )
            return [directory / each for each in names]
    raise ValueError(
        f"{directory} has neither {' nor '.join(WEIGHTS)}; give a folder with a model's weights"
    )
