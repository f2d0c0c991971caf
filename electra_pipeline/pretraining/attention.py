"""Attention of documents of any length on GPUs, without a matrix of which token sees which.

Rows hold one or more documents and padding. torch's variable-length attention takes the tokens of
all rows as one sequence, and where each document begins in it; its kernel (FlashAttention 2, Dao
2023, arXiv:2307.08691) computes no scores between documents and stores none. It has no dropout, so
training with attention dropout keeps the explicit form, `transformer.attend`, which is also the one
that tests compare with. FlexAttention, the alternative, has no dropout after the softmax either,
computes blocks of 128 tokens, and is fast only when it is compiled.

Shapes: b rows, l tokens, h hidden size, n parts of a row (documents and padding).
"""

import torch
from torch import Tensor
from torch.nn.attention.varlen import varlen_attn

# of FlashAttention 2, in torch's check_flash_attention_head_dim_size and pad_last_dim
HEAD_SIZES = range(8, 257, 8)


def is_fused(device: torch.device, dtype: torch.dtype, head_size: int) -> bool:
    """Return whether `attend_documents` computes attention without dropout.

    bfloat16 has instructions on the same GPUs as the kernel: compute capability 8 and above.
    """
    return (
        device.type == "cuda"
        and dtype == torch.bfloat16
        and head_size in HEAD_SIZES
        and torch.cuda.get_device_capability(device) >= (8, 0)
    )


def boundaries(begins: Tensor, num_parts: int) -> Tensor:
    """Return where each part begins in all rows one after another, (b * n + 1,) int32, ascending.

    begins: (b, l) bool, true at the first token of each part. The last entry is the end of all
    rows. A row with fewer than `num_parts` parts repeats its end: the parts there are empty.
    """
    num_rows, length = begins.shape
    position = torch.arange(length, device=begins.device)
    starts = torch.where(begins, position, length).sort(dim=1).values[:, :num_parts]
    starts = starts + torch.arange(num_rows, device=begins.device)[:, None] * length
    end = starts.new_full((1,), num_rows * length)
    return torch.cat([starts.flatten(), end]).to(torch.int32)


def attend_documents(joint: Tensor, starts: Tensor, num_heads: int, scale: float) -> Tensor:
    """Return attention inside each part of each row, (b, l, h).

    joint: (b, l, 3h), queries, keys and values; starts: from `boundaries`; scale: of the scores.
    """
    num_rows, length, width = joint.shape
    heads = joint.view(num_rows * length, 3, num_heads, width // (3 * num_heads))
    queries, keys, values = heads.unbind(1)
    # a part may have as many tokens as a row; the exact maximum would have to be waited for
    mixed = varlen_attn(queries, keys, values, starts, starts, length, length, scale=scale)
    assert isinstance(mixed, Tensor)  # a pair only where more is asked for
    return mixed.view(num_rows, length, width // 3)
