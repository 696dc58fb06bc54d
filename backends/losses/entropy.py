"""Entropy of next-token distributions: what CurioSFT keeps up and what its authors measure.

Shapes: B rows, T positions, V vocabulary. Entropies are in nats, float32 (float64 for float64 logits).
"""

from __future__ import annotations

import torch
from torch import Tensor

from backends.losses.chunks import accumulation_dtype
from backends.losses.positions import Logits, over_positions
from backends.losses.reduction import check_shape
from backends.losses.selection import most_uncertain
from harness.errors import ConfigError


def token_entropy(logits: Logits, mask_BT: Tensor, *, chunk: int | None = None) -> Tensor:
    """H = -sum p log p at each position where the mask (B, T) is true, 0 elsewhere, (B, T); differentiable, chunked."""
    return over_positions(lambda scores, b, t: (entropy(scores),), logits, mask_BT, chunk=chunk)[0]


def top_share_entropy(entropy_BT: Tensor, mask_BT: Tensor, *, share: float = 0.2) -> Tensor:
    """The entropies of each row's most uncertain tokens, 0 elsewhere, (B, T), without gradient; CurioSFT reports .2.

    So weighed that the mean over all tokens that count, of however many micro-batches, is that over these. In float64.
    Raises `ConfigError` for a share outside (0, 1].
    """
    check_shape("the mask", mask_BT, like=entropy_BT)
    if not 0.0 < share <= 1.0:
        raise ConfigError(f"share is {share!r}; it must lie in (0, 1]")
    chosen_BT = most_uncertain(entropy_BT, mask_BT, share)
    weight_B1 = mask_BT.bool().sum(1, keepdim=True).double() / chosen_BT.sum(1, keepdim=True).clamp(min=1)
    return torch.where(chosen_BT, entropy_BT.detach(), torch.zeros_like(entropy_BT)) * weight_B1


def entropy(logits: Tensor) -> Tensor:
    """H of softmax(logits) along the last dimension, whole: (..., V) -> (...). A logit of -inf is no token."""
    log_p = logits.to(accumulation_dtype(logits.dtype)).log_softmax(-1)
    p = log_p.exp()
    return -(p * torch.where(p > 0, log_p, torch.zeros_like(log_p))).sum(-1)
