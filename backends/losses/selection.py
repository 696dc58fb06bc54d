"""Which tokens a teacher's word is worth most at (TSD-KD, CORD), and a ranking of what could be said there (TSD-KD).

Selections are by completion, so that how completions are cut into micro-batches changes nothing; the authors' code has
them over the flattened batch. Everything is 0, or False, outside the mask.

Shapes: R completions, T positions, K candidates, n positions of a chunk, V vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor

from backends.losses.chunks import map_rows, spread
from backends.losses.positions import Logits, chunk_of, positions_shape, row_scores, row_states
from backends.losses.reduction import check_shape
from harness.errors import ConfigError


def opener(entropy_RT: Tensor, mask_RT: Tensor, share: float) -> Tensor:
    """The beginning of each completion in which this share of its entropy has been spent, (R, T) bool.

    The smallest such beginning: one token at least, all of them for a share of 1.
    """
    counted, spent_RT = mask_RT.bool(), _spent(entropy_RT, mask_RT)
    before_RT = spent_RT.cumsum(1) - spent_RT
    first_RT = (counted.cumsum(1) == 1) & counted
    return counted & ((before_RT < share * spent_RT.sum(1, keepdim=True)) | first_RT)


def most_uncertain(entropy_RT: Tensor, mask_RT: Tensor, share: float) -> Tensor:
    """The tokens of the highest entropies of each completion, (R, T) bool: this share of them, one at least.

    Of equal ones the first count.
    """
    counted = mask_RT.bool()
    number_R = torch.ceil(counted.sum(1) * share - 1e-6).clamp(min=1)
    order_RT = torch.where(counted, entropy_RT.detach(), -torch.ones_like(entropy_RT)).argsort(
        dim=1, descending=True, stable=True
    )
    rank_RT = order_RT.argsort(1)
    return counted & (rank_RT < number_R[:, None])


def entropy_gate(student_RT: Tensor, teacher_RT: Tensor, tau: float = 1.0) -> Tensor:
    """How much a token counts by how much less certain the student is than the teacher: sigma of the difference."""
    return torch.sigmoid((student_RT - teacher_RT).detach() / tau)


def ranking_nll(student: Logits, teacher: Logits, mask_RT: Tensor, *, top_k: int, chunk: int | None = None) -> Tensor:
    """Plackett-Luce likelihood that the student ranks its own k likeliest tokens as the teacher does, (R, T).

    -sum_j (z_j - log sum_{l >= j} exp z_l) over the student's scores z in the order of the teacher's.
    """
    check_shape("the mask", mask_RT, like=positions_shape(student))
    check_shape("the teacher's positions", positions_shape(teacher), like=positions_shape(student))
    if top_k < 1:
        raise ConfigError(f"top_k is {top_k!r}; it must be at least 1")
    (student_N, student_head), (teacher_N, teacher_head) = row_states(student), row_states(teacher)
    heads = len(student_head)

    def rank(student: Tensor, teacher: Tensor, *head: Tensor) -> Tensor:
        ours, theirs = row_scores(student, head[:heads]), row_scores(teacher, head[heads:])
        width = min(ours.shape[-1], theirs.shape[-1])  # rows beyond the tokens are padding
        ours, theirs = ours[:, :width], theirs[:, :width]
        ids = ours.detach().topk(min(top_k, width), dim=-1).indices
        order = theirs.gather(-1, ids).argsort(dim=-1, descending=True, stable=True)
        return plackett_luce(ours.gather(-1, ids).gather(-1, order))

    rows = mask_RT.reshape(-1).bool().nonzero().flatten()
    width = min(chunk_of(student, chunk), chunk_of(teacher, chunk))
    found = map_rows(rank, (student_N, teacher_N), (*student_head, *teacher_head), chunk=width, index=rows)
    return spread(found, rows, like=mask_RT)


def plackett_luce(scores: Tensor) -> Tensor:
    """Negative log-likelihood of the order that scores (..., K) stand in, the best first."""
    return (scores.flip(-1).logcumsumexp(-1).flip(-1) - scores).sum(-1)


def _spent(entropy_RT: Tensor, mask_RT: Tensor) -> Tensor:
    check_shape("the mask", mask_RT, like=entropy_RT)
    return torch.where(mask_RT.bool(), entropy_RT.detach(), torch.zeros_like(entropy_RT))


def early_and_far(values_RT: Tensor, mask_RT: Tensor, *, alpha: float, top: int, beta: float) -> Tensor:
    """CORD's weight of each token, (R, T): more at the beginning, more where the value is large, 0 outside the mask.

    Of a row's n tokens the t-th has beta - (beta - 1)(t - 1)/(n - 1), beta where it is alone, times alpha if its value
    is among the row's `top` largest.
    """
    mask_RT = mask_RT.bool()
    tokens_R1 = mask_RT.sum(1, keepdim=True)
    place_RT = (mask_RT.cumsum(1) - 1).clamp(min=0)
    early_RT = beta - (beta - 1) * place_RT / (tokens_R1 - 1).clamp(min=1)
    ordered_RT = values_RT.masked_fill(~mask_RT, float("-inf")).argsort(stable=True, dim=1, descending=True)
    rank_RT = ordered_RT.argsort(dim=1)
    far_RT = torch.where(rank_RT < top, alpha, 1.0)
    return (early_RT * far_RT * mask_RT).to(values_RT.dtype)
