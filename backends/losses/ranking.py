"""List-wise distillation of scores (DeAR): a student's scores of N candidates follow a teacher's.

    L = (1 − α) L_rank + α T² KL(softmax(t / T) ‖ softmax(s / T))

with t the teacher's scores and s the student's. L_rank is the cross-entropy of the best candidate, RankNet's binary
cross-entropy of every pair with the target σ(t_i − t_j), ListNet's −Σ softmax(t) log softmax(s), or RankNet's and the
first by halves.

Shapes: B lists, N candidates of each (`valid_BN` false where a list has fewer). One value per list, in nats; the
teacher's scores get no gradient.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional

from backends.losses.reduction import check_shape
from harness.errors import ConfigError, DataError

Rank = Literal["ce", "ranknet", "listnet", "ranknet+ce"]


def listwise_kl(student_BN: Tensor, teacher_BN: Tensor, valid_BN: Tensor, *, temperature: float = 2.0) -> Tensor:
    """T² KL(softmax(t / T) ‖ softmax(s / T)), (B,): Hinton's scaling. Raises as `rank_loss` does."""
    _check(student_BN, teacher_BN, valid_BN)
    if not temperature > 0:
        raise ConfigError(f"a temperature must be above 0, not {temperature!r}")
    ours_BN, theirs_BN = (_log_softmax(side / temperature, valid_BN) for side in (student_BN, teacher_BN.detach()))
    gap_BN = torch.where(valid_BN, theirs_BN - ours_BN, torch.zeros_like(ours_BN))
    return temperature**2 * (theirs_BN.exp() * gap_BN).sum(-1)


def rank_loss(student_BN: Tensor, teacher_BN: Tensor, valid_BN: Tensor, *, kind: Rank = "ranknet+ce") -> Tensor:
    """L_rank, (B,): "ranknet" is a mean over a list's pairs. Of equal best candidates the first counts in "ce".

    Raises ConfigError for another kind and for shapes that differ, DataError for a list of fewer than two candidates
    and for a teacher's score that is not finite.
    """
    _check(student_BN, teacher_BN, valid_BN)
    if kind not in get_args(Rank):
        raise ConfigError(f"unknown ranking loss {kind!r}; choose one of {', '.join(get_args(Rank))}")
    teacher_BN = teacher_BN.detach()
    if kind == "listnet":
        ours_BN, theirs_BN = _log_softmax(student_BN, valid_BN), _log_softmax(teacher_BN, valid_BN)
        return -(theirs_BN.exp() * torch.where(valid_BN, ours_BN, torch.zeros_like(ours_BN))).sum(-1)
    ranknet_B = _ranknet(student_BN, teacher_BN, valid_BN) if "ranknet" in kind else None
    if ranknet_B is not None and kind == "ranknet":
        return ranknet_B
    best_B = teacher_BN.masked_fill(~valid_BN, -torch.inf).argmax(-1)
    ce_B = -_log_softmax(student_BN, valid_BN).gather(-1, best_B[:, None])[:, 0]
    return ce_B if ranknet_B is None else (ranknet_B + ce_B) / 2


def _ranknet(student_BN: Tensor, teacher_BN: Tensor, valid_BN: Tensor) -> Tensor:
    first, second = torch.triu_indices(*valid_BN.shape[1:], valid_BN.shape[1], offset=1, device=valid_BN.device)
    pairs_BM = valid_BN[:, first] & valid_BN[:, second]
    gaps = (torch.where(pairs_BM, side[:, first] - side[:, second], 0.0) for side in (student_BN, teacher_BN))
    ours_BM, theirs_BM = gaps
    loss_BM = functional.binary_cross_entropy_with_logits(ours_BM, theirs_BM.sigmoid(), reduction="none")
    return torch.where(pairs_BM, loss_BM, 0.0).sum(-1) / pairs_BM.sum(-1)


def _log_softmax(scores_BN: Tensor, valid_BN: Tensor) -> Tensor:
    """Over the candidates that are there; −inf at the others."""
    return scores_BN.masked_fill(~valid_BN, -torch.inf).log_softmax(-1)


def _check(student_BN: Tensor, teacher_BN: Tensor, valid_BN: Tensor) -> None:
    check_shape("the teacher's scores", teacher_BN, like=student_BN)
    check_shape("what is there", valid_BN, like=student_BN)
    if valid_BN.numel() == 0 or int(valid_BN.sum(-1).min()) < 2:
        raise DataError("a list of fewer than two candidates has no order")
    if not bool(torch.isfinite(teacher_BN[valid_BN]).all()):
        raise DataError("a teacher's score is not finite: a candidate that could not be scored must be left out")
