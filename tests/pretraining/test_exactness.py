"""A driver dies by SIGKILL on a Ray that lives on: the same bytes as if nothing had happened.

Its two workers are those of a cluster. A worker's node is lost in tests/faults/test_nodes.py, the
whole tree with one worker is killed in tests/flows/test_interruption.py.
"""

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from electra_pipeline.core.execution import Scale, StageContext
from electra_pipeline.core.progress import Progress, silent
from electra_pipeline.on_ray import RayExecutor, cluster
from electra_pipeline.pretraining import loop
from electra_pipeline.pretraining.config import PretrainConfig
from electra_pipeline.pretraining.sizes import ModelOverrides
from electra_pipeline.storage.artifact import Artifact

CHECKPOINT_STEPS = 10
NUM_WORKERS = 2
CONFIG = PretrainConfig(
    size="tiny",
    model=ModelOverrides(embedding_size=16, hidden_size=32, num_layers=1, num_heads=2, dropout=0.1),
    steps=150,
    batch_sequences=6,
    learning_rate=2e-3,
    warmup_steps=4,
    log_every_steps=50,
    evaluate_every_steps=75,
    held_out_sequences=20,
)


def pretrain(
    inputs: tuple[Artifact, Artifact],
    root: Path,
    executor: Any,
    progress: Progress = silent,
) -> Artifact:
    scale = Scale(
        workers=NUM_WORKERS, checkpoint_every_steps=CHECKPOINT_STEPS, retries=1, tensorboard=False
    )
    return loop.pretrain(
        CONFIG, *inputs, StageContext(str(root), "test", executor, progress), scale=scale
    )


@pytest.fixture(scope="module")
def inputs(tokenizer: Artifact, sequences: Artifact) -> tuple[Artifact, Artifact]:
    return tokenizer, sequences


@pytest.fixture(scope="module")
def executor(ray_cluster: None) -> Iterator[RayExecutor]:
    with cluster() as executor:
        yield executor


@pytest.fixture(scope="module")
def undisturbed(
    inputs: tuple[Artifact, Artifact], tmp_path_factory: pytest.TempPathFactory
) -> Artifact:
    """The artifact of a run that nothing happened to: two processes, without Ray."""
    from tests.pretraining.test_loop import Processes  # the driver below has no such module

    return pretrain(inputs, tmp_path_factory.mktemp("undisturbed"), Processes())


DRIVER = """
    import os, signal, sys
    from pathlib import Path
    sys.path.insert(0, {tests!r})
    from test_exactness import pretrain
    from electra_pipeline.storage.artifact import open_artifact
    from electra_pipeline.on_ray import cluster
    from electra_pipeline.storage.folder import Folder

    root = Path({root!r})

    def progress(update):
        if any(root.glob("pretrain/*/work/checkpoints/step-*.pt")):
            os.kill(os.getpid(), signal.SIGKILL)

    inputs = tuple(open_artifact(Folder(place)) for place in {places!r})
    with cluster() as executor:
        pretrain(inputs, root, executor, progress)
"""


def test_a_killed_driver_resumes_to_equal_bytes(
    undisturbed: Artifact,
    inputs: tuple[Artifact, Artifact],
    executor: RayExecutor,
    tmp_path: Path,
) -> None:
    import ray

    places = [str(artifact.folder) for artifact in inputs]
    code = DRIVER.format(tests=str(Path(__file__).parent), places=places, root=str(tmp_path))
    driver = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env=os.environ | {"RAY_ADDRESS": ray.get_runtime_context().gcs_address},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=1500,
        start_new_session=True,
    )
    assert driver.returncode == -signal.SIGKILL, driver.stdout[-4000:]
    assert not list(tmp_path.glob("pretrain/*/manifest.json"))
    artifact = pretrain(inputs, tmp_path, executor)
    assert artifact.observed["resumed"]
    assert artifact.manifest == undisturbed.manifest
