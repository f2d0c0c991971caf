"""Kill a node of a three-node cluster in each stage that runs on it; the bytes must be the same.

The driver's node has no CPUs; the two others have one each. In the corpus, in pre-training on two
workers and in fine-tuning, the work itself kills its node at a fixed line of the code, so that
timing does not matter. A new node replaces it, except in fine-tuning.

With `--cut`, which needs root, each node has a network of its own, and after the corpus the node's
network is cut instead. The node continues to write to the same root while others repeat its work;
when the network is back, Ray tells the node that it was replaced.

    python -m tests.faults.lost_nodes FOLDER [--cut]
"""

import argparse
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

from electra_pipeline import stages
from electra_pipeline.config import PipelineConfig
from electra_pipeline.core.execution import Executor, Scale, TrainFunction
from electra_pipeline.core.progress import Progress
from electra_pipeline.on_ray import RayExecutor, cluster
from electra_pipeline.storage.artifact import find_artifacts
from electra_pipeline.workflows import evaluate
from tests.faults.network import HEAD_IP, Network
from tests.faults.stack import ENVIRONMENT, patiently, wait_until
from tests.pretraining.test_loop import Processes
from tests.tiny_world import tiny_config, write_inputs

STAGES = ("corpus", "pretrain", "finetune")
OBJECT_STORE_BYTES = 10**8
# A killed node refuses each check at once, a busy one is waited for: 5 checks of 10 seconds.
NOTICED_SOON = {"health_check_period_ms": 500, "health_check_initial_delay_ms": 1000}
# One behind a cut cable says nothing, like a busy one.
SILENCE_NOTICED_SOON = NOTICED_SOON | {"health_check_timeout_ms": 2000}


def run_chain(config: PipelineConfig, executor: Executor) -> dict[str, dict[str, Any]]:
    """The manifests of the chain, by folder."""
    context = config.context(executor)
    model = stages.run_until("publish", config, context)["publish"]
    found = evaluate.run(config, evaluate.plan_trials(config, model), context)
    assert not found.failed
    return {str(each.folder.name): dict(each.manifest) for each in find_artifacts(config.root)}


# What the first to come to a place does to its node: it is given the mark of the stage.
Lose = Callable[[Path], None]


class Nodes(Protocol):
    """The driver's node and how others come and go."""

    address: str
    lose: Lose

    def add(self) -> None: ...

    def is_lost(self, mark: Path) -> bool: ...

    def close(self) -> None: ...


def _head(**options: Any) -> Any:
    from ray.cluster_utils import Cluster

    options |= {"num_cpus": 0, "include_dashboard": False}
    options |= {"object_store_memory": OBJECT_STORE_BYTES}
    return patiently(lambda: Cluster(initialize_head=True, head_node_args=options))


def _die(mark: Path) -> None:
    os.kill(os.getppid(), signal.SIGKILL)  # the raylet; without it there is no node
    os.kill(os.getpid(), signal.SIGKILL)


class MortalNodes:
    """A node is killed by who works on it."""

    lose = staticmethod(_die)

    def __init__(self) -> None:
        self.cluster = _head(_system_config=NOTICED_SOON)
        self.address = str(self.cluster.address)

    def add(self) -> None:
        options = {"num_cpus": 1, "object_store_memory": OBJECT_STORE_BYTES}
        patiently(lambda: self.cluster.add_node(**options))

    def is_lost(self, mark: Path) -> bool:
        return mark.exists()

    def close(self) -> None:
        self.cluster.shutdown()


def _be_cut_off(mark: Path) -> None:
    """Go on as soon as nobody knows; in the corpus, die."""
    import ray

    if mark.name == "corpus":
        _die(mark)
    mark.write_text(ray.util.get_node_ip_address())
    wait_until(lambda: not mark.read_text(), "the cable is cut")


class CutNodes:
    """A node's cable is cut while it works, and mended when the others have given it up."""

    lose = staticmethod(_be_cut_off)

    def __init__(self) -> None:
        self.network = Network()
        self.cluster = _head(_system_config=SILENCE_NOTICED_SOON, node_ip_address=HEAD_IP)
        self.address = str(self.cluster.address)

    def add(self) -> None:
        ip = self.network.add_node(self.address, OBJECT_STORE_BYTES)
        wait_until(lambda: ip in self._living(), f"{ip} has joined")

    def is_lost(self, mark: Path) -> bool:
        if mark.name == "corpus":
            return mark.exists()
        if not mark.exists() or not (ip := mark.read_text()):
            return False
        self.network.cut(ip)
        mark.write_text("")
        wait_until(lambda: ip not in self._living(), f"{ip} is given up")
        self.network.mend(ip)
        return True

    def _living(self) -> set[str]:
        nodes = self.cluster.global_state.node_table()
        return {node["NodeManagerAddress"] for node in nodes if node["Alive"]}

    def close(self) -> None:
        self.network.close()
        self.cluster.shutdown()


class Deadly:
    """Ray's executor, where the first to come to a certain place in each stage loses its node."""

    def __init__(self, executor: RayExecutor, marks: Path, lose: Lose) -> None:
        self.executor, self.marks, self.lose = executor, marks, lose

    def __getattr__(self, name: str) -> Any:
        return getattr(self.executor, name)

    def map(self, function: Callable[[Any], Any], items: Sequence[Any], **rest: Any) -> Any:
        return self.executor.map(_armed(function, self.marks, self.lose), items, **rest)

    def train(self, function: TrainFunction, scale: Scale, progress: Progress) -> None:
        self.executor.train(_armed(function, self.marks, self.lose), scale, progress)


def _armed(function: Callable[[Any], Any], marks: Path, lose: Lose) -> Callable[[Any], Any]:
    def lose_node(stage: str) -> None:
        try:
            (marks / stage).touch(exist_ok=False)
        except FileExistsError:
            return
        lose(marks / stage)

    def run(item: Any, **options: Any) -> Any:
        from electra_pipeline.corpus import partitions

        clean_documents = partitions.clean_documents

        def clean_or_die(*arguments: Any) -> Any:
            lose_node("corpus")  # within a partition
            return clean_documents(*arguments)

        partitions.clean_documents = clean_or_die
        if "electra_pipeline.pretraining.loop" in sys.modules:  # imported with the function
            from electra_pipeline.pretraining import async_checkpoint

            collect = (
                async_checkpoint.AsyncCheckpointWriter.collect
            )  # each worker calls it in each step

            def collect_or_die(saver: Any, **options: bool) -> None:
                collect(saver, **options)
                if any(marks.parent.glob("runs/pretrain/*/work/checkpoints/step-*.pt")):
                    lose_node("pretrain")

            async_checkpoint.AsyncCheckpointWriter.collect = collect_or_die  # type: ignore[method-assign]
        if "electra_pipeline.finetuning.run" in sys.modules:
            from electra_pipeline.finetuning import run as finetuning

            score = finetuning.score

            def score_or_die(*arguments: Any, **options: Any) -> Any:
                lose_node("finetune")  # it has been trained
                return score(*arguments, **options)

            finetuning.score = score_or_die
        return function(item, **options)

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cut", action="store_true", help="cut cables; needs root")
    arguments = parser.parse_args()
    folder: Path = arguments.folder
    logging.basicConfig(level=logging.INFO)
    os.environ.update(ENVIRONMENT)

    marks, inputs = folder / "marks", folder / "inputs"
    for each in (marks, inputs):
        each.mkdir(parents=True)
    write_inputs(inputs)
    parts = [inputs / f"part-{number}.jsonl" for number in range(3)]
    lines = (inputs / "documents.jsonl").read_text().splitlines(keepends=True)
    for number, part in enumerate(parts):
        part.write_text("".join(lines[number :: len(parts)]))
    values = tiny_config(inputs, str(folder / "undisturbed"))
    values["corpus"]["sources"][0]["urls"] = [str(part) for part in parts]
    values["finetune"]["seeds"] = [0]
    config = PipelineConfig.model_validate(values)
    expected = run_chain(config, Processes())

    nodes: Nodes = CutNodes() if arguments.cut else MortalNodes()

    def run() -> dict[str, dict[str, Any]]:
        with cluster(nodes.address) as executor:
            deadly = Deadly(executor, marks, nodes.lose)
            return run_chain(config.model_copy(update={"root": str(folder / "runs")}), deadly)

    try:
        nodes.add()
        nodes.add()
        with ThreadPoolExecutor(1) as thread:  # nodes can be added in the main thread alone
            running = thread.submit(run)
            for stage in STAGES:
                wait_until(
                    lambda mark=marks / stage: nodes.is_lost(mark) or running.done(),
                    f"a node lost in {stage}, or an end",
                )
                if stage != STAGES[-1] and not running.done():
                    nodes.add()
            found = running.result()
    finally:
        nodes.close()
    lost = {mark.name for mark in marks.iterdir()}
    assert lost == set(STAGES), f"no node was lost in {set(STAGES) - lost}"
    assert found == expected, "not the same bytes"
    print("same bytes")


if __name__ == "__main__":
    main()
