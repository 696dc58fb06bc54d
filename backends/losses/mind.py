"""MIND: several perspectives on one question, weighed by what a scorer says that the student can learn from now.

    L_meta = KL(softmax(s / τ) ‖ softmax(−L / τ)),   L_k the student's cross-entropy on rationale k
    π = softmax(s),  I = {k : π_k >= β max π},  α = softmax of s / τ_s over I
    L = Σ_{k in I} α_k CE_k + λ Σ_{i < j in I} α_i α_j JSD(P_i ‖ P_j),   P_k the answer's distribution after rationale k

The paper's β max s means nothing for scores below 0, so I goes by probabilities (ours). Shapes: B questions, K
perspectives (`valid_BK` false where one is missing).
"""

from __future__ import annotations

import torch
from torch import Tensor

from backends.losses.divergence import divergence
from backends.losses.mcc_kd import over_aligned
from backends.losses.positions import Logits
from backends.losses.reduction import check_shape
from harness.errors import ConfigError, DataError


def meta_loss(scores_BK: Tensor, losses_BK: Tensor, valid_BK: Tensor, *, tau: float = 1.0) -> Tensor:
    """L_meta of each question, (B,); 0 where the scores are −L and a constant. The losses get no gradient.

    Raises ConfigError for shapes and a τ that cannot be, DataError for a question without a perspective.
    """
    _check(scores_BK, valid_BK, tau)
    check_shape("the losses", losses_BK, like=scores_BK)
    ours_BK, theirs_BK = (
        (side / tau).masked_fill(~valid_BK, -torch.inf).log_softmax(-1) for side in (scores_BK, -losses_BK.detach())
    )
    gap_BK = torch.where(valid_BK, ours_BK - theirs_BK, torch.zeros_like(ours_BK))
    return (ours_BK.exp() * gap_BK).sum(-1)


def dynamic_weights(scores_BK: Tensor, valid_BK: Tensor, *, beta: float = 0.8, tau: float = 1.0) -> Tensor:
    """α (B, K), 0 outside the dynamic set; rows sum to 1. Equal scores weigh the same; no gradient.

    Raises as `meta_loss` does, and ConfigError for a β that is not from 0 to 1.
    """
    _check(scores_BK, valid_BK, tau)
    if not 0 <= beta <= 1:
        raise ConfigError(f"beta must be from 0 to 1, not {beta!r}")
    scores_BK = scores_BK.detach().masked_fill(~valid_BK, -torch.inf)
    share_BK = scores_BK.softmax(-1)
    kept_BK = valid_BK & (share_BK >= beta * share_BK.amax(-1, keepdim=True))
    return (scores_BK / tau).masked_fill(~kept_BK, -torch.inf).softmax(-1)


def answer_jsd(first: Logits, second: Logits, answer_first_PT: Tensor, answer_second_PT: Tensor) -> Tensor:
    """JSD(P_i ‖ P_j) of each pair of rows, the mean over the aligned positions of their answers, (P,).

    0 for a pair whose answers differ in length. Both sides get gradients.
    """

    def jsd(log_p_nV: Tensor, log_q_nV: Tensor) -> Tensor:
        return divergence(log_p_nV, log_q_nV, kind="jsd", beta=0.5)

    found_N, pair_N, _ = over_aligned(jsd, first, second, answer_first_PT, answer_second_PT)
    sums_P = found_N.new_zeros(len(answer_first_PT)).index_add(0, pair_N, found_N)
    return sums_P / torch.bincount(pair_N, minlength=len(answer_first_PT)).clamp(min=1)


def _check(scores_BK: Tensor, valid_BK: Tensor, tau: float) -> None:
    check_shape("what is there", valid_BK, like=scores_BK)
    if not tau > 0:
        raise ConfigError(f"tau must be above 0, not {tau!r}")
    if not bool(valid_BK.any(-1).all()):
        raise DataError("a question without a perspective cannot be learnt")
