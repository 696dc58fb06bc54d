"""Specialised KD: match a teacher's top-5 distribution although its tokenizer differs (arXiv 2301.12726).

Fu et al. 2023 train on teacher text in four formats with one of two losses: `match_sample`, which is the token NLL, and
`match_distribution`: KL(teacher's top 5 ‖ student). For the latter, the teacher's tokens are aligned with the student's
by dynamic programming; here by the edit alignment, and only tokens of the same text carry their distribution over.

Shapes: B rows, T positions, K stored teacher tokens, V student vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from backends.losses.edit import levenshtein_ops
from backends.losses.positions import Logits, over_positions, vocabulary_size
from backends.losses.reduction import check_shape
from harness.errors import DataError

TOP_K = 5
"""Teacher tokens kept at each position: as many as the API gave the authors."""


def matched_positions(student_tokens: Sequence[str], teacher_tokens: Sequence[str]) -> list[tuple[int, int]]:
    """Pairs (student position, teacher position) of tokens with the same text in the edit alignment, in order.

    Both are the tokens of one response as plain text (word markers such as "▁" or "Ġ" resolved to blanks).
    """
    number: dict[str, int] = {}
    student = [number.setdefault(text, len(number)) for text in student_tokens]
    teacher = [number.setdefault(text, len(number)) for text in teacher_tokens]
    return [(i, j) for op, i, j in levenshtein_ops(student, teacher) if op == "match"]


def carry_over(
    student_tokens: Sequence[str],
    teacher_tokens: Sequence[str],
    teacher_top: Sequence[Mapping[str, float]],
    vocabulary: Mapping[str, int],
    *,
    top_k: int = TOP_K,
) -> tuple[Tensor, Tensor]:
    """(log-probabilities T x K, ids T x K) of the teacher's likeliest tokens where the student has the same text.

    The ids are the student's; unused slots are −inf and 0, each row is normalised over its used ones. A position
    without any can only learn the sample.

    `teacher_top`: for each teacher token the log-probabilities (nats) of the likeliest tokens there, by text;
    `vocabulary`: text -> id of the student's tokens. The `top_k` likeliest that the student has are kept and
    normalised; a position of which none is left has no distribution. Raises DataError if `teacher_top` is not one for
    each token or holds what is no log-probability.
    """
    if len(teacher_top) != len(teacher_tokens):
        raise DataError(f"{len(teacher_top)} distributions for {len(teacher_tokens)} teacher tokens")
    logps_TK = torch.full((len(student_tokens), top_k), -math.inf)
    ids_TK = torch.zeros((len(student_tokens), top_k), dtype=torch.int64)
    for here, there in matched_positions(student_tokens, teacher_tokens):
        top = teacher_top[there]
        if not all(value <= 0 for value in top.values()):  # `not <=` also catches NaN
            raise DataError(f"teacher token {there} has values that are no log-probabilities: {dict(top)!r}")
        known = [text for text in top if text in vocabulary and top[text] > -math.inf]
        kept = sorted(known, key=lambda text: (-top[text], text))[:top_k]
        if kept:
            logps_TK[here, : len(kept)] = torch.tensor([top[text] for text in kept]).log_softmax(-1)
            ids_TK[here, : len(kept)] = torch.tensor([vocabulary[text] for text in kept])
    return logps_TK, ids_TK


def match_distribution(
    student: Logits, teacher_logps_BTK: Tensor, ids_BTK: Tensor, mask_BT: Tensor, *, chunk: int | None = None
) -> Tensor:
    """KL(teacher's top K, normalised ‖ student over its whole vocabulary) at each position of the mask, (B, T), nats.

    −inf marks an unused slot, whose id is not read. One token of probability 1 gives its NLL: `match_sample`. Unlike
    `stored_divergence` with `mass="renormalise"` it also draws the student's mass to the K tokens. 0 outside the mask;
    the teacher gets no gradient; `chunk` positions at a time. Raises ConfigError for shapes that do not fit, DataError
    for a position without a used slot and for an id outside the vocabulary.
    """
    check_shape("the stored ids", ids_BTK, like=teacher_logps_BTK)
    check_shape("the teacher's positions", teacher_logps_BTK[..., 0], like=mask_BT)
    counted_BT = mask_BT.bool()
    used_MK = ~teacher_logps_BTK[counted_BT].isneginf()
    if not bool(used_MK.any(-1).all()):
        raise DataError("a position of the mask has no teacher token: leave it out of the mask")
    used_ids = ids_BTK[counted_BT][used_MK]
    if used_ids.numel() and (int(used_ids.min()) < 0 or int(used_ids.max()) >= vocabulary_size(student)):
        raise DataError(f"a stored id is outside the student's {vocabulary_size(student)} tokens")

    def kl(scores_nV: Tensor, b_n: Tensor, t_n: Tensor) -> tuple[Tensor]:
        logps_nK = teacher_logps_BTK[b_n, t_n].detach().to(scores_nV.dtype)
        unused_nK = logps_nK.isneginf()
        log_q_nK = scores_nV.log_softmax(-1).gather(1, ids_BTK[b_n, t_n].masked_fill(unused_nK, 0))
        p_nK, log_p_nK = logps_nK.softmax(-1), logps_nK.log_softmax(-1).masked_fill(unused_nK, 0.0)
        return ((p_nK * torch.where(p_nK > 0, log_p_nK - log_q_nK, 0.0)).sum(-1),)

    return over_positions(kl, student, counted_BT, chunk=chunk)[0]
