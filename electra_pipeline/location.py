"""Where a model lies: a directory, an artifact of ours, a remote URI, or a name on the hub."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from electra_pipeline.artifact import Artifact, open_artifact
from electra_pipeline.storage import Folder


@contextmanager
def model_directory(model: str, *, generator: bool) -> Iterator[str]:
    """What `from_pretrained` takes for `model`: a local directory, or the name as it stands.

    Of a published artifact it is the `discriminator/`, or the `generator/` if that is wanted; of a
    fine-tuned one its `model/`. A remote directory is copied, and the copy removed in the end.
    Raises ValueError if there is no model.
    """
    folder = Folder(model)
    if not folder.exists():
        if not folder.is_local:
            raise ValueError(f"{model}: there is nothing; give the folder of a model")
        if model.startswith((".", "/", "~")) or model.count("/") > 1:
            raise ValueError(f"{model}: no such directory; give the folder of a model")
        yield model
    elif folder.exists("config.json"):
        if folder.is_local:
            yield folder.path
        else:
            with tempfile.TemporaryDirectory(prefix="electra-pipeline-") as scratch:
                for name in folder.files():
                    target = Path(scratch) / name
                    target.parent.mkdir(parents=True, exist_ok=True)
                    folder.filesystem.get_file(folder.join(name), str(target))
                yield scratch
    elif (artifact := open_artifact(folder)) is not None:
        yield str(artifact.local_folder(_model_within(artifact, generator)))
    else:
        raise ValueError(
            f"{model}: neither a model (no config.json) nor a finished artifact (no "
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
