"""The rules by which `gc` keeps everything that a kept artifact needs."""

from electra_pipeline.corpus.partitions import PARTITIONS_FOLDER
from electra_pipeline.pretraining import CHECKPOINTS, STEP_SEPARATOR, TENSORBOARD
from electra_pipeline.storage.inventory import RetentionRules

RETENTION_RULES = RetentionRules(
    companions=frozenset({CHECKPOINTS, TENSORBOARD}),
    caches={PARTITIONS_FOLDER: ("corpus", "piece_folders")},
    parent_roles=("pretrained", "model"),  # of snapshots and published models; of trials
    version_role="model",
    step_separator=STEP_SEPARATOR,
)
