"""Where a model or a tokenizer lies: a directory, an artifact of ours, a remote URI, a hub name."""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError

from electra_pipeline.storage.artifact import Artifact, open_artifact
from electra_pipeline.storage.folder import Folder
from electra_pipeline.storage.permissions import check_readable
from electra_pipeline.storage.uri import check_model
from electra_pipeline.storage.weights import check_files

MODEL_FILES = ("config.json",)
# For `from_pretrained`: unless told so, transformers asks on stdin whether it may run the code that
# comes with a model, and `predict` has a user's text there.
NO_CODE: Mapping[str, bool] = {"trust_remote_code": False}
TOKENIZER_FILES = ("tokenizer.json", "vocab.txt")

# Of the artifacts that hold a model or a tokenizer, the newest formats that are known here; all
# older ones hold it in the same place.
NEWEST_FORMATS = {"tokenizer": 2, "publish": 1, "finetune": 4}


def load_problem(error: Exception) -> str:
    """The first line of why a model cannot be loaded."""
    if isinstance(error, UnpicklingError):  # torch advises to run it
        return "its weights are damaged, or a program; ask for safetensors"
    if "ignore_mismatched_sizes" in str(error):  # transformers names them in its log alone
        return "its weights have other shapes than its config.json gives"
    told = str(error).strip().splitlines()
    return told[0] if told else type(error).__name__


@contextmanager
def model_directory(model: str, *, generator: bool) -> Iterator[str]:
    """What `from_pretrained` takes for `model`: a local directory, or the name as it stands.

    Of a published artifact it is the `discriminator/`, or the `generator/` if that is wanted; of a
    fine-tuned one its `model/`. A remote directory is copied, and the copy removed in the end.
    Raises ValueError if there is no model, or one that cannot be trained.
    """
    with _directory(
        model, "model", MODEL_FILES, lambda artifact: _model_within(artifact, generator)
    ) as directory:
        if Path(directory).is_dir():
            check_files(Path(directory))
        yield directory


@contextmanager
def tokenizer_directory(place: str) -> Iterator[str]:
    """What `from_pretrained` takes for a tokenizer; see `model_directory`.

    An artifact may also be one of the tokenizer stage. Raises ValueError if there is no tokenizer.
    """

    def within(artifact: Artifact) -> str:
        is_tokenizer = artifact.stage == "tokenizer"
        return "tokenizer" if is_tokenizer else _model_within(artifact, generator=False)

    with _directory(place, "tokenizer", TOKENIZER_FILES, within) as directory:
        yield directory


@contextmanager
def _directory(
    place: str, what: str, files: tuple[str, ...], within: Callable[[Artifact], str]
) -> Iterator[str]:
    """The directory at `place` that has one of `files`, or that an artifact has `within` it."""
    check_model(place)
    folder = check_readable(Folder(place))
    if not folder.exists():
        if not folder.is_local:
            raise ValueError(f"{place}: there is nothing; give the folder of a {what}")
        if place.startswith((".", "/", "~")) or place.count("/") > 1:
            raise ValueError(f"{place}: no such directory; give the folder of a {what}")
        yield place
    elif any(map(folder.exists, files)):
        if folder.is_local:
            yield folder.path
        else:
            with tempfile.TemporaryDirectory(prefix="electra-pipeline-") as scratch:
                folder.copy_to(Path(scratch))
                yield scratch
    elif (artifact := open_artifact(folder)) is not None:
        made = artifact.manifest["format"]
        if made > (newest := NEWEST_FORMATS.get(artifact.stage, made)):
            raise ValueError(
                f"{place}: a {artifact.stage} artifact of format {made}, this version reads up to "
                f"{newest}; use the version that wrote it, or a newer one"
            )
        yield str(artifact.local_folder(within(artifact)))
    else:
        raise ValueError(
            f"{place}: neither a {what} (no {' or '.join(files)}) nor a finished artifact (no "
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
    raise ValueError(f"{artifact.folder}: a {artifact.stage} artifact is no model; {remedy}")
