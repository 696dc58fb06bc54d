"""CoTD-PO: align the student's distribution over K of its own answers with a reward model's.

Given a teacher rationale, the student has written K answers y_i, and a reward model has scored them. With the teacher
distribution p_t = softmax(reward) over the K (Eq. 4), the APA loss (Eq. 8) is the cross-entropy

    L_apa = −Σ_i p_t,i · log p_s,i,    p_s = softmax_i(λ · log π(y_i | rationale, prompt))

and the total (Eq. 9) adds the rationale's own NLL: L = NLL(rationale) + α·L_apa. No reference policy.

λ and α are not in the paper; the authors' code has α = 1 and a λ of 0.5 over the length of the prompt's longest
sequence: it takes the mean over all predicted positions of rows that are padded to that length, of which only the
answer's are not 0. So log π is the equation's *sum* (`answer_scores`, "sum"), and the divisor keeps the softmax from
saturating. "mean", over each answer's own tokens, is ours: it forgives long answers their length. Rewards are min-max
scaled to [0, 5) in each group, as in the code.

Shapes: B prompts, K answers of each (`valid_BK` false where a prompt has fewer), in nats.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from backends.losses.preference import PreferenceLoss, simpo_loss
from backends.losses.reduction import check_shape, row_means, row_sums
from harness.errors import ConfigError, DataError

RewardNorm = Literal["minmax5", "raw"]
ScoreNorm = Literal["sum", "mean"]


class ApaLoss(NamedTuple):
    """Per prompt: the loss and both distributions."""

    loss_B: Tensor
    """Differentiable; at least the entropy of the target, and equal to it only where student and target agree."""
    target_BK: Tensor
    """p_t, detached; 0 at answers that are not there."""
    student_BK: Tensor
    """p_s, detached; 0 at answers that are not there."""
    student_entropy_B: Tensor
    """Entropy of p_s in nats, detached: 0 says that the student always prefers one of the K."""


def reward_target(rewards_BK: Tensor, *, norm: RewardNorm = "minmax5", valid_BK: Tensor | None = None) -> Tensor:
    """p_t (B, K): softmax of the rewards, Eq. 4; detached, 0 at answers that are not there.

    "minmax5": 5(r − min)/(max − min + 0.001) within the prompt first, so that the scale of the reward model does not
    matter; "raw": as they are. Raises ConfigError for another name, DataError for a prompt without answers and for a
    reward that is not finite.
    """
    valid_BK = _valid(rewards_BK, valid_BK)
    rewards_BK = rewards_BK.detach()
    if not bool(torch.isfinite(rewards_BK[valid_BK]).all()):
        raise DataError("a reward is not finite: an answer that could not be scored must be left out of its group")
    if norm == "minmax5":
        low_B1 = rewards_BK.masked_fill(~valid_BK, torch.inf).amin(-1, keepdim=True)
        high_B1 = rewards_BK.masked_fill(~valid_BK, -torch.inf).amax(-1, keepdim=True)
        rewards_BK = 5.0 * (rewards_BK - low_B1) / (high_B1 - low_B1 + 1e-3)
    elif norm != "raw":
        raise ConfigError(f"unknown reward norm {norm!r}; choose 'minmax5' or 'raw'")
    return rewards_BK.masked_fill(~valid_BK, -torch.inf).softmax(-1)


def answer_scores(logps_RT: Tensor, answer_RT: Tensor, positions_R: Tensor, *, norm: ScoreNorm = "sum") -> Tensor:
    """Each answer's score, (R,), of log-probabilities (R, T) and a mask of the answers' tokens.

    "sum": their sum over `positions_R`, one divisor for all answers of a prompt: the predicted positions of its longest
    sequence, prompt and rationale included. "mean": over the answer's own tokens. Raises ConfigError for another name
    and for shapes that differ, DataError for an answer without tokens where a mean is asked for.
    """
    check_shape("the divisors", positions_R, like=logps_RT[:, 0])
    if norm == "sum":
        return row_sums(logps_RT, answer_RT) / positions_R
    if norm == "mean":
        return row_means(logps_RT, answer_RT)
    raise ConfigError(f"unknown reduction {norm!r} of a sequence; choose 'sum' or 'mean'")


def apa_loss(
    logps_BK: Tensor,
    rewards_BK: Tensor,
    *,
    lam: float = 0.5,
    reward_norm: RewardNorm = "minmax5",
    valid_BK: Tensor | None = None,
) -> ApaLoss:
    """The APA loss of each prompt. Its gradient in log π(y_i) is λ(p_s,i − p_t,i) and sums to 0 (Eq. 10).

    `logps_BK`: the score of each answer given rationale and prompt (`answer_scores`); `rewards_BK`: its reward. A
    constant added to either within a prompt changes nothing; one answer gives 0. Raises as `reward_target` does, and
    ConfigError for λ that is not above 0 and for shapes that differ.
    """
    if not lam > 0:
        raise ConfigError(f"lam of APA must be above 0, not {lam!r}")
    check_shape("the rewards", rewards_BK, like=logps_BK)
    valid_BK = _valid(logps_BK, valid_BK)
    target_BK = reward_target(rewards_BK, norm=reward_norm, valid_BK=valid_BK).to(logps_BK.dtype)
    # A finite floor instead of −inf: 0 · −inf would be NaN, in the loss and in its gradient.
    floor = torch.finfo(logps_BK.dtype).min
    log_student_BK = (lam * logps_BK).masked_fill(~valid_BK, floor).log_softmax(-1).masked_fill(~valid_BK, 0.0)
    student_BK = log_student_BK.detach().exp().masked_fill(~valid_BK, 0.0)
    return ApaLoss(
        loss_B=-(target_BK * log_student_BK).sum(-1),
        target_BK=target_BK,
        student_BK=student_BK,
        student_entropy_B=-(student_BK * log_student_BK.detach()).sum(-1),
    )


def cotd_po_loss(rationale_mean_B: Tensor, apa_B: Tensor, *, alpha: float = 1.0) -> Tensor:
    """Eq. 9 for each prompt: −mean log π(rationale) + α·L_apa. α = 0 is SFT on the rationales by sequence mean.

    The rationale stands before every one of the K answers with the same log-probability: give it once. The equation
    sums over its tokens, the authors' code takes the mean, and so does this: a sum would drown the bounded APA term.
    Raises ConfigError for α below 0 and for shapes that differ.
    """
    if alpha < 0:
        raise ConfigError(f"alpha of CoTD-PO must be 0 or more, not {alpha!r}")
    check_shape("the APA losses", apa_B, like=rationale_mean_B)
    return alpha * apa_B - rationale_mean_B


def cotd_po_pairwise_loss(
    mean_logps_BK: Tensor,
    rewards_BK: Tensor,
    *,
    beta: float = 2.0,
    gamma: float = 1.0,
    valid_BK: Tensor | None = None,
) -> PreferenceLoss:
    """The paper's pairwise ablation (Eq. 11): SimPO on the best and the worst answer, plus the NLL of the best.

    Of equal rewards the first answer counts; where all are equal, best and worst are one answer and only the NLL has a
    gradient. Raises as `simpo_loss` and `reward_target` do.
    """
    check_shape("the rewards", rewards_BK, like=mean_logps_BK)
    valid_BK = _valid(rewards_BK, valid_BK)
    best_B1 = rewards_BK.masked_fill(~valid_BK, -torch.inf).argmax(-1, keepdim=True)
    worst_B1 = rewards_BK.masked_fill(~valid_BK, torch.inf).argmin(-1, keepdim=True)
    best_B, worst_B = mean_logps_BK.gather(-1, best_B1)[:, 0], mean_logps_BK.gather(-1, worst_B1)[:, 0]
    pair = simpo_loss(best_B, worst_B, beta=beta, gamma=gamma)
    return PreferenceLoss(pair.loss_P - best_B, pair.margin_P)


def _valid(like_BK: Tensor, valid_BK: Tensor | None) -> Tensor:
    """The mask, all true if there is none; raises DataError for a prompt without answers."""
    if valid_BK is None:
        valid_BK = torch.ones_like(like_BK, dtype=torch.bool)
    check_shape("the mask of answers", valid_BK, like=like_BK)
    if like_BK.shape[-1] == 0 or not bool(valid_BK.any(-1).all()):
        raise DataError("a prompt has no scored answer; drop it before training")
    return valid_BK
