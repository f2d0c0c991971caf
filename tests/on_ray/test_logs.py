"""Log records of workers reach the driver."""

import logging

import pytest

from electra_pipeline.core.execution import LocalExecutor, Scale
from electra_pipeline.core.progress import Update, silent
from electra_pipeline.on_ray import cluster


def test_the_driver_logs_what_its_tasks_logged(ray_cluster, caplog):
    def invert(number):
        logging.getLogger("electra_pipeline.somewhere").info("dividing by %d", number)
        logging.getLogger("elsewhere").warning("not ours")
        if number == 0:
            raise ValueError("cannot divide by 0")
        return 1 / number

    with cluster() as executor, caplog.at_level(logging.INFO, "electra_pipeline"):
        outcomes = {outcome.index: outcome for outcome in executor.map(invert, [2, 0])}
    assert outcomes[0].value == 0.5
    assert str(outcomes[1].error) == "cannot divide by 0"
    ours = [r for r in caplog.records if r.name == "electra_pipeline.somewhere"]
    assert {r.getMessage() for r in ours} == {"dividing by 2", "dividing by 0"}
    assert {r.levelno for r in ours} == {logging.INFO}
    assert not [r for r in caplog.records if r.name == "elsewhere"]


def test_messages_of_a_training_are_logged_once(ray_cluster, caplog):
    def train(worker):
        worker.report(Update("pretrain", 1, 2, "steps", message=f"on {worker.world_size}"))

    LocalExecutor().train(train, Scale(), silent)
    with cluster() as executor:
        executor.train(train, Scale(workers=1), silent)
    assert [record.getMessage() for record in caplog.records] == ["on 1", "on 1"]


@pytest.mark.parametrize("level", [logging.INFO, logging.WARNING])
def test_a_worker_captures_logs_from_a_level_on_and_leaves_the_logger_as_it_was(level):
    from electra_pipeline.on_ray.messages import PACKAGE, captured_logs

    package, records = logging.getLogger(PACKAGE), []
    before = package.level, list(package.handlers)
    with captured_logs(records.append, level):
        logging.getLogger(f"{PACKAGE}.a").info("quiet %s", object())
        logging.getLogger(f"{PACKAGE}.a").warning("loud")
    logging.getLogger(f"{PACKAGE}.a").error("later")
    assert (package.level, package.handlers) == before
    assert [r.levelno for r in records] == [
        n for n in (logging.INFO, logging.WARNING) if n >= level
    ]
    assert all(not r.args for r in records)  # picklable: only text is left
