"""Entropy of next-token distributions: what CurioSFT keeps up and what its authors measure.

Shapes: B rows, T positions, V vocabulary. Entropies are in nats, float32 (float64 for float64 logits).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from backends.losses.chunks import accumulation_dtype
from backends.losses.positions import Logits, over_positions
from backends.losses.reduction import check_shape
from harness.errors import ConfigError, DataError


def token_entropy(logits: Logits, mask_BT: Tensor, *, chunk: int | None = None) -> Tensor:
    """H = -sum p log p at each position where the mask (B, T) is true, 0 elsewhere, (B, T); differentiable, chunked."""
    return over_positions(lambda scores, b, t: (entropy(scores),), logits, mask_BT, chunk=chunk)[0]


def top_share_entropy(entropy_BT: Tensor, mask_BT: Tensor, *, share: float = 0.2) -> Tensor:
    """Mean of the highest `share` of the counted positions' entropies over the whole batch, a scalar.

    The positions are ceil(share * count) in number, at least one; CurioSFT reports the top 20 %. Raises DataError when
    no position counts and ConfigError for a share outside (0, 1].
    """
    check_shape("the mask", mask_BT, like=entropy_BT)
    if not 0.0 < share <= 1.0:
        raise ConfigError(f"share is {share!r}; it must lie in (0, 1]")
    counted = entropy_BT[mask_BT.bool()]
    if counted.numel() == 0:
        raise DataError("no token of this batch counts: the loss mask is empty")
    number = math.ceil(round(share * counted.numel(), 9))  # 0.07 * 100 is a hair above 7 in binary
    return counted.topk(number).values.mean()


def entropy(logits: Tensor) -> Tensor:
    """H of softmax(logits) along the last dimension, whole: (..., V) -> (...). A logit of -inf is no token."""
    log_p = logits.to(accumulation_dtype(logits.dtype)).log_softmax(-1)
    p = log_p.exp()
    return -(p * torch.where(p > 0, log_p, torch.zeros_like(log_p))).sum(-1)
