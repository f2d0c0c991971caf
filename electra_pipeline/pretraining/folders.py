"""Names that other parts read: folders beside the artifacts of pre-training, runs at a step."""

# Folders of a root, each with subfolders that are named like the artifact that they belong to
CHECKPOINTS = "checkpoints"
TENSORBOARD = "tensorboard"
STEP_SEPARATOR = "@"  # in the name of a run at one of its steps: NAME@STEP
