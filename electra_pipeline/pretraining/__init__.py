"""Pre-training: from documents to a trained generator and discriminator.

Sequences stage: sequences, text_encoding, rows (segments, packing), sequence_shards, vocabulary.
Pre-training stage: loop, which resumes from a checkpoint and takes a step per batch.
A step: batches (data and noise), objective, model (transformer, dropout), step, metrics.
Results: metrics_log, checkpoint, async_checkpoint, outputs, snapshot.
Initial weights: model, or initialization from initial_models.
"""
