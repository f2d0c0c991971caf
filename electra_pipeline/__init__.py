"""ELECTRA encoders from raw text.

corpus -> tokenizer -> sequences -> pretrain -> publish -> finetune -> results

Each arrow is an artifact on disk (`storage/artifact.py`); `pipeline.py` is the chain, in order.
"""
