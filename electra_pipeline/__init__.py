"""ELECTRA encoders from raw text.

corpus -> tokenizer -> sequences -> pretrain -> publish -> finetune -> results

Each arrow is an artifact on disk (`storage/artifact.py`); `stages.py` is the chain, in order.
"""

__version__ = "0.2.0"
