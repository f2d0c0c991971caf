"""Pre-training: from documents to a trained generator and discriminator.

Sequences stage: sequences, text_encoding, rows, sequence_shards, vocabulary.
Pre-training stage: loop, which resumes from a checkpoint and takes a step per batch.
A step: batches (data and noise), objective, model (transformer, dropout), step.
Results: metrics_log, checkpoint, async_checkpoint, outputs, snapshot.
Initial weights: model, or initialization from initial_models.
"""

# Folders of a root, each with subfolders that are named like the artifact that they belong to
CHECKPOINTS = "checkpoints"
TENSORBOARD = "tensorboard"
STEP_SEPARATOR = "@"  # in the name of a run at one of its steps: NAME@STEP
