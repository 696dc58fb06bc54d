"""QCRD: right rationales up, wrong ones down while they are likely, each by how good a discriminator finds it.

    L = α1 CE(label) + α2 [D(r+) CE(r+) + β (1 − D(r−)) max(0, δ − CE(r−))] + α3 BCE(D)

r+ is the right rationale of the lowest cross-entropy, r− a wrong one: that of the lowest ("hardest") or of the highest.
The paper's total cannot be read in what is public of it; this form is ours, with its pieces and signs. A wrong
rationale that is unlikelier than δ gets no gradient. Shapes: B questions, K rationales.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor
from torch.nn import functional

from backends.losses.reduction import check_shape
from harness.errors import ConfigError, DataError

NegSelect = Literal["hardest", "farthest"]


class Contrast(NamedTuple):
    """Per question, (B,)."""

    right_B: Tensor
    """D(r+) CE(r+)."""
    wrong_B: Tensor
    """(1 − D(r−)) max(0, δ − CE(r−)); 0 where there is no wrong rationale."""
    pushed_B: Tensor
    """Whether a wrong rationale is likely enough to be pushed down."""


def contrast(
    nll_BK: Tensor,
    quality_BK: Tensor,
    right_BK: Tensor,
    wrong_BK: Tensor,
    *,
    delta: float = 3.0,
    neg_select: NegSelect = "hardest",
) -> Contrast:
    """Both sides of each question, of mean cross-entropies and a discriminator's D, which gets no gradient.

    Raises ConfigError for shapes and another choice, DataError for a question without a right rationale.
    """
    for name, table in (("the qualities", quality_BK), ("the right ones", right_BK), ("the wrong ones", wrong_BK)):
        check_shape(name, table, like=nll_BK)
    if neg_select not in get_args(NegSelect):
        raise ConfigError(f"unknown neg_select {neg_select!r}; choose one of {', '.join(get_args(NegSelect))}")
    if not bool(right_BK.any(-1).all()):
        raise DataError("a question without a right rationale cannot be learnt")
    quality_BK, fixed_BK = quality_BK.detach(), nll_BK.detach()
    best_B1 = fixed_BK.masked_fill(~right_BK, torch.inf).argmin(-1, keepdim=True)
    if neg_select == "hardest":
        worst_B1 = fixed_BK.masked_fill(~wrong_BK, torch.inf).argmin(-1, keepdim=True)
    else:
        worst_B1 = fixed_BK.masked_fill(~wrong_BK, -torch.inf).argmax(-1, keepdim=True)
    right_B = (quality_BK * nll_BK).gather(-1, best_B1)[:, 0]
    room_B = torch.relu(delta - nll_BK.gather(-1, worst_B1)[:, 0])  # unlike clamp's, its slope at delta is 0
    there_B = wrong_BK.any(-1)
    wrong_B = torch.where(there_B, (1 - quality_BK.gather(-1, worst_B1)[:, 0]) * room_B, torch.zeros_like(room_B))
    return Contrast(right_B, wrong_B, there_B & (room_B.detach() > 0))


def discriminator_loss(scores_BK: Tensor, right_BK: Tensor, wrong_BK: Tensor) -> Tensor:
    """Binary cross-entropy of D = σ(scores), (B,): the mean over a question's rationales, right 1 and wrong 0."""
    check_shape("the right ones", right_BK, like=scores_BK)
    check_shape("the wrong ones", wrong_BK, like=scores_BK)
    there_BK = right_BK | wrong_BK
    found_BK = functional.binary_cross_entropy_with_logits(scores_BK, right_BK.to(scores_BK), reduction="none")
    return torch.where(there_BK, found_BK, torch.zeros_like(found_BK)).sum(-1) / there_BK.sum(-1).clamp(min=1)
