"""Pre-training: from documents to a trained generator and discriminator.

Sequences stage: sequences, text_encoding, rows, sequence_shards, vocabulary.
Pre-training stage: loop, which resumes from a checkpoint and takes a step per batch.
A step: batches (data and noise), objective, model (weights, transformer, dropout, generator_head),
step. Its speed: kernels chooses between transformer, layer_on_cpu and compiled layers; row_threads,
attention and sharding divide the work of CPUs and GPUs.
Results: metrics_log, checkpoint, async_checkpoint, outputs, snapshot.
Initial weights: model, or initialization from initial_models.
"""

# Folders of a root, each with subfolders that are named like the artifact that they belong to
CHECKPOINTS = "checkpoints"
TENSORBOARD = "tensorboard"
STEP_SEPARATOR = "@"  # in the name of a run at one of its steps: NAME@STEP
