"""Model and tokenizer directories: find them by path, URI, artifact or hub name, and check them."""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import orjson
from safetensors import SafetensorError, safe_open

from electra_pipeline.core.errors import first_line
from electra_pipeline.storage.artifact import Artifact, open_artifact
from electra_pipeline.storage.folder import Folder
from electra_pipeline.storage.permissions import check_readable
from electra_pipeline.storage.uri import check_model_allowed

# For `from_pretrained`: by default transformers asks on stdin whether it may run the code that
# comes with a model, and `predict` reads a user's text from there.
NO_CODE: Mapping[str, bool] = {"trust_remote_code": False}
MODEL_FILES = ("config.json",)
TOKENIZER_FILES = ("tokenizer.json", "vocab.txt")
WEIGHTS = ("model.safetensors", "pytorch_model.bin")  # the first that exists is read
INDEX = ".index.json"  # suffix of the file that names the shards of a model's weights
ADAPTER = "adapter_config.json"  # of peft
# Beginning of the file that replaces one that was not fetched (Git LFS specification, version 1)
POINTER = b"version https://git-lfs"
# Those of safetensors that weights can be trained in, and that of position ids
PRECISIONS = ("F64", "F32", "F16", "BF16", "I64")

# Format versions of the artifacts that users may give as a model or a tokenizer. They are defined
# here, not in the stages that write them, since stages read one another's artifacts without
# importing one another. All older versions hold the model in the same directory.
MODEL_FORMATS: Mapping[str, int] = {
    "tokenizer": 2,  # 2: texts are normalized as in the corpus, long words cut; losses counted
    "publish": 1,
    "finetune": 5,
}


def load_problem(error: Exception) -> str:
    """Return, in one line, why a model cannot be loaded."""
    if isinstance(error, UnpicklingError):  # torch's message recommends to run it
        return "its weights are damaged, or a program; ask for safetensors"
    if "ignore_mismatched_sizes" in str(error):  # transformers names them only in its log
        return "its weights have other shapes than its config.json gives"
    return first_line(error)


@contextmanager
def model_directory(model: str, *, generator: bool) -> Iterator[str]:
    """Yield what `from_pretrained` loads for `model`: a local directory, or the hub name itself.

    For a published artifact it is `discriminator/`, or `generator/` if that is requested; for a
    fine-tuned one `model/`. A remote directory is copied, and the copy is removed afterwards.
    Raises ValueError if there is no model, or one that cannot be trained.
    """
    with _directory(
        model, "model", MODEL_FILES, lambda artifact: _model_within(artifact, generator)
    ) as directory:
        if Path(directory).is_dir():
            _check_trainable(Path(directory))
        yield directory


@contextmanager
def tokenizer_directory(uri: str) -> Iterator[str]:
    """Yield what `from_pretrained` loads for a tokenizer; see `model_directory`.

    An artifact of the tokenizer stage is accepted too. Raises ValueError if there is no tokenizer.
    """

    def within(artifact: Artifact) -> str:
        is_tokenizer = artifact.stage == "tokenizer"
        return "tokenizer" if is_tokenizer else _model_within(artifact, generator=False)

    with _directory(uri, "tokenizer", TOKENIZER_FILES, within) as directory:
        yield directory


@contextmanager
def _directory(
    uri: str, kind: str, files: tuple[str, ...], within: Callable[[Artifact], str]
) -> Iterator[str]:
    """Yield the directory at `uri` that has one of `files`, or that an artifact has `within` it."""
    check_model_allowed(uri)
    folder = check_readable(Folder(uri))
    if not folder.exists():
        if not folder.is_local:
            raise ValueError(f"{uri}: does not exist; give the folder of a {kind}")
        if uri.startswith((".", "/", "~")) or uri.count("/") > 1:
            raise ValueError(f"{uri}: no such directory; give the folder of a {kind}")
        yield uri
    elif any(map(folder.exists, files)):
        if folder.is_local:
            yield folder.path
        else:
            with tempfile.TemporaryDirectory(prefix="electra-pipeline-") as scratch:
                folder.copy_to(Path(scratch))
                yield scratch
    elif (artifact := open_artifact(folder)) is not None:
        version = artifact.manifest["format"]
        if version > (newest := MODEL_FORMATS.get(artifact.stage, version)):
            raise ValueError(
                f"{uri}: a {artifact.stage} artifact of format {version}, this version reads up to "
                f"{newest}; use the version that wrote it, or a newer one"
            )
        yield str(artifact.local_folder(within(artifact)))
    else:
        raise ValueError(
            f"{uri}: neither a {kind} (no {' or '.join(files)}) nor a finished artifact (no "
            "manifest.json); give the folder of a published or fine-tuned model"
        )


def _model_within(artifact: Artifact, generator: bool) -> str:
    if artifact.stage == "publish":
        return "generator" if generator else "discriminator"
    if artifact.stage == "finetune":
        if not artifact.file_names("model/"):
            raise ValueError(
                f"{artifact.folder}: the fine-tuned model was not kept; fine-tune with "
                "finetune.keep_models=all"
            )
        return "model"
    remedy = "publish it first" if artifact.stage == "pretrain" else "give a published model"
    raise ValueError(f"{artifact.folder}: a {artifact.stage} artifact is not a model; {remedy}")


def _check_trainable(directory: Path) -> None:
    """Raise ValueError, in one line, unless the files are a whole model that can be trained.

    Refuses an adapter, whose weights would be ignored, Git LFS pointers in place of files, and
    quantised weights, which would be read as if they were the values themselves.
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
                    f"{file}: a Git LFS pointer instead of the file; fetch it with git lfs pull"
                )
    for file in weights_files(directory):
        if file.suffix == ".safetensors":
            _check_precision(file)


def _is_quantised(config: Path) -> bool:
    try:
        return bool(orjson.loads(config.read_bytes())["quantization_config"])
    except (OSError, ValueError, LookupError, TypeError):
        return False  # or damaged, which loading it reports


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
    """Return the files that `from_pretrained` reads weights from: one, or the shards of an index.

    Raises ValueError if the weights or a shard are missing, or the index is damaged.
    """
    for name in WEIGHTS:
        if (directory / name).exists():
            return [directory / name]
        if (index := directory / f"{name}{INDEX}").exists():
            try:
                names = sorted(set(orjson.loads(index.read_bytes())["weight_map"].values()))
                missing = [each for each in names if not (directory / each).is_file()]
            except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
                raise ValueError(
                    f"{index} has no JSON object with a weight_map of shards; copy it again"
                ) from error
            if missing:
                raise ValueError(
                    f"{directory} has no {missing[0]}, which {index.name} names; copy it again"
                )
            return [directory / each for each in names]
    raise ValueError(
        f"{directory} has neither {' nor '.join(WEIGHTS)}; give a folder with a model's weights"
    )


def find_nonfinite_weight(model: Any) -> str | None:
    """Return the name of a torch module's weight that is infinite or NaN, or None."""
    return next((name for name, w in model.named_parameters() if not w.isfinite().all()), None)
