"""A cluster of three nodes loses one in each stage that runs on it: the same bytes at the end.

The driver's node has no CPU to give; the two others have one each. In the corpus, in pre-training
on two workers and in fine-tuning, the work itself kills the node that it runs on, at a place in its
code, so that no timing matters. Another node takes its place, but not before fine-tuning ends.

    python -m tests.faults.lost_nodes FOLDER
"""

import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from electra_pipeline import pipeline
from electra_pipeline.config import PipelineConfig
from electra_pipeline.execution import Executor, Scale, TrainFunction
from electra_pipeline.on_ray import RayExecutor, cluster
from electra_pipeline.progress import Progress, silent
from electra_pipeline.storage.artifact import Artifact, find_artifacts
from tests.faults.stack import ENVIRONMENT, patiently, wait_until
from tests.flows.conftest import tiny_config, write_inputs
from tests.pretraining.test_loop import Processes

STAGES = ("corpus", "pretrain", "finetune")
# A killed node refuses each check at once, a busy one is waited for: 5 checks of 10 seconds.
NOTICED_SOON = {"health_check_period_ms": 500, "health_check_initial_delay_ms": 1000}


def run_chain(config: PipelineConfig, executor: Executor) -> dict[str, dict[str, Any]]:
    """The manifests of the chain, by folder."""
    corpus = pipeline.build_corpus(config, executor, silent)
    tokenizer = pipeline.train_tokenizer(config, corpus, silent)
    sequences = pipeline.build_sequences(config, corpus, tokenizer, executor, silent)
    pretrained = pipeline.pretrain(config, tokenizer, sequences, executor, silent)
    model = pipeline.publish(config, pretrained, tokenizer, corpus)
    legs: list[Artifact] = []
    for outcome in pipeline.run_legs(config, pipeline.plan_legs(config, model), executor, silent):
        assert outcome.value is not None, outcome.error
        legs.append(outcome.value)
    return {str(each.folder.name): dict(each.manifest) for each in find_artifacts(config.root)}


class Deadly:
    """Ray's executor, where the first to come to a certain place in each stage loses its node."""

    def __init__(self, executor: RayExecutor, marks: Path) -> None:
        self.executor, self.marks = executor, marks

    def __getattr__(self, name: str) -> Any:
        return getattr(self.executor, name)

    def map(self, function: Callable[[Any], Any], items: Sequence[Any], **rest: Any) -> Any:
        return self.executor.map(_armed(function, self.marks), items, **rest)

    def train(self, function: TrainFunction, scale: Scale, progress: Progress) -> None:
        self.executor.train(_armed(function, self.marks), scale, progress)


def _armed(function: Callable[[Any], Any], marks: Path) -> Callable[[Any], Any]:
    def lose_node(stage: str) -> None:
        try:
            (marks / stage).touch(exist_ok=False)
        except FileExistsError:
            return
        os.kill(os.getppid(), signal.SIGKILL)  # the raylet; without it there is no node
        os.kill(os.getpid(), signal.SIGKILL)

    def run(item: Any) -> Any:
        from electra_pipeline.corpus import pieces

        judge = pieces.judge

        def judge_or_die(*arguments: Any) -> Any:
            lose_node("corpus")  # within a piece
            return judge(*arguments)

        pieces.judge = judge_or_die
        if "electra_pipeline.pretraining.loop" in sys.modules:  # imported with the function
            from electra_pipeline.pretraining import saving

            collect = saving.Saver.collect  # each worker calls it in each step

            def collect_or_die(saver: Any, **options: bool) -> None:
                collect(saver, **options)
                if any(marks.parent.glob("runs/pretrain/*/work/checkpoints/step-*.pt")):
                    lose_node("pretrain")

            saving.Saver.collect = collect_or_die  # type: ignore[method-assign]
        if "electra_pipeline.evaluation.leg" in sys.modules:
            from electra_pipeline.evaluation import leg

            score = leg.score

            def score_or_die(*arguments: Any, **options: Any) -> Any:
                lose_node("finetune")  # it has been trained
                return score(*arguments, **options)

            leg.score = score_or_die
        return function(item)

    return run


def main(folder: Path) -> None:
    logging.basicConfig(level=logging.INFO)
    os.environ.update(ENVIRONMENT)
    from ray.cluster_utils import Cluster

    marks, inputs = folder / "marks", folder / "inputs"
    for each in (marks, inputs):
        each.mkdir()
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

    head = {
        "num_cpus": 0,
        "include_dashboard": False,
        "object_store_memory": 10**8,
        "_system_config": NOTICED_SOON,
    }
    nodes = patiently(lambda: Cluster(initialize_head=True, head_node_args=head))

    def add_node() -> None:
        patiently(lambda: nodes.add_node(num_cpus=1, object_store_memory=10**8))

    def run() -> dict[str, dict[str, Any]]:
        with cluster(str(nodes.address)) as executor:
            deadly = Deadly(executor, marks)
            return run_chain(config.model_copy(update={"root": str(folder / "runs")}), deadly)

    try:
        add_node()
        add_node()
        with ThreadPoolExecutor(1) as thread:  # nodes can be added in the main thread alone
            running = thread.submit(run)
            for num_lost in (1, 2):
                wait_until(
                    lambda lost=num_lost: len(list(marks.iterdir())) >= lost or running.done(),
                    f"{num_lost} nodes lost, or an end",
                )
                if not running.done():
                    add_node()
            found = running.result()
    finally:
        nodes.shutdown()
    lost = {mark.name for mark in marks.iterdir()}
    assert lost == set(STAGES), f"no node was lost in {set(STAGES) - lost}"
    assert found == expected, "not the same bytes"
    print("same bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
