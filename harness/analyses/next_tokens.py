"""How alike two models' next-token distributions are at every position of a text, and what stress would leave of them.

Engines tell the k likeliest tokens of a position. Ranks are of the tokens that either list has; one that is missing
from a list stands below it, equal to others that are. The divergence takes the tokens that both lists have and all
others as one: never more than KL(teacher || student), by data processing. Stress is of the teacher's list: noise on its
logits or a temperature, and what then is left of its order and its top token.

Shapes: L positions, K tokens of a list, U tokens of either.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.stats.ranks import rank_correlations
from harness.stats.standard_errors import Array
from harness.types import TokenScores

_TINY = 1e-12
_BELOW = 1.0
"""Nats below a list: any number gives the same ranks."""


@dataclass(frozen=True)
class TopTokens:
    """The likeliest tokens of each position, likeliest first."""

    text: tuple[int, ...]
    """Ids of the text itself: those of two models are equal where their tokenizers are."""
    ids: npt.NDArray[np.int64]
    logprobs: Array


def top_tokens(scores: TokenScores, top: int) -> TopTokens:
    """The first `top` of each position. Raises `ValueError` where the engine tells fewer than two."""
    tables = scores.top or ()
    width = min((len(table) for table in tables), default=0)
    if len(tables) != len(scores.ids) or width < min(2, top):
        raise ValueError("the engine does not tell the likeliest tokens")
    width = min(width, top)
    ids = np.array([[*table][:width] for table in tables], dtype=np.int64)
    return TopTokens(scores.ids, ids, np.array([[*table.values()][:width] for table in tables], dtype=np.float64))


def alike(student: TopTokens, teacher: TopTokens) -> dict[str, float]:
    """Means over the positions of a text: equal top token, overlap of the lists, rank correlations, KL at least."""
    width = min(student.ids.shape[1], teacher.ids.shape[1])
    equal = student.ids[:, :width, None] == teacher.ids[:, None, :width]
    of_student, of_teacher = student.logprobs[:, :width], teacher.logprobs[:, :width]
    in_teacher, in_student = equal.any(axis=2), equal.any(axis=1)
    extra = np.argsort(in_student, axis=1, kind="stable")[:, : int((~in_student).sum(axis=1).max())]
    alone, told = (np.take_along_axis(one, extra, axis=1) for one in (~in_student, of_teacher))
    below = np.broadcast_to(of_student.min(axis=1, keepdims=True) - _BELOW, told.shape)
    x, y = np.concatenate([of_student, below], axis=1), np.concatenate([_looked_up(equal, of_teacher), told], axis=1)
    known = np.concatenate([np.ones_like(in_teacher), alone], axis=1)
    rho, tau = rank_correlations(x, y, known)
    p, q = np.where(in_student, np.exp(of_teacher), 0.0), np.where(in_teacher, np.exp(of_student), 0.0)
    logs = np.where(in_student, of_teacher - _looked_up(equal.transpose(0, 2, 1), of_student), 0.0)
    rest_p, rest_q = (np.clip(1 - one.sum(axis=1), _TINY, 1.0) for one in (p, q))
    kl = (p * logs).sum(axis=1) + rest_p * np.log(rest_p / rest_q)
    return {
        "top_token": float(equal[:, 0, 0].mean()),
        "overlap": float(in_teacher.mean()),
        "spearman": _mean(rho),
        "kendall": _mean(tau),
        "kl": float(np.maximum(kl, 0.0).mean()),
    }


def shared(student: TopTokens, teacher: TopTokens, k: int) -> dict[str, float]:
    """Of the k likeliest tokens of both: the share that both have, and what the student gives those; NaN for fewer."""
    if k > min(student.ids.shape[1], teacher.ids.shape[1]):
        return {"overlap": math.nan, "mass": math.nan}
    both = (student.ids[:, :k, None] == teacher.ids[:, None, :k]).any(axis=2)
    mass = np.where(both, np.exp(student.logprobs[:, :k]), 0.0).sum(axis=1)
    return {"overlap": float(both.mean()), "mass": float(mass.mean())}


def stressed(
    student: TopTokens, teacher: TopTokens, stress: Sequence[tuple[str, float]], rng: np.random.Generator
) -> list[dict[str, float]]:
    """The same of a teacher under each stress: ("noise", deviation on its logits) or ("temperature", of its softmax).

    Means over positions: its own top token kept, its top token the student's, Spearman with the student over its list,
    and how far its list moved (KL in nats from what it was).
    """
    clean = teacher.logprobs
    other = _looked_up(teacher.ids[:, :, None] == student.ids[:, None, :], student.logprobs)
    before, ordered = _normalised(clean), _mean(rank_correlations(clean, other)[0])
    found = []
    for kind, level in stress:
        moved = clean / level if kind == "temperature" else clean + level * rng.normal(size=clean.shape)
        best = moved.argmax(axis=1)
        chosen = np.take_along_axis(teacher.ids, best[:, None], axis=1)[:, 0]
        found.append(
            {
                "kept": float((best == 0).mean()),
                "top_token": float((chosen == student.ids[:, 0]).mean()),
                "spearman": ordered if kind == "temperature" else _mean(rank_correlations(moved, other)[0]),
                "moved": float((np.exp(before) * (before - _normalised(moved))).sum(axis=1).mean()),
            }
        )
    return found


def _looked_up(equal: npt.NDArray[np.bool_], logprobs: Array) -> Array:
    """[L, rows of `equal`]: each token's log-probability in the other list, below all of them where it is missing."""
    floor = logprobs.min(axis=1)[:, None, None] - _BELOW
    found: Array = np.where(equal, logprobs[:, None, :], floor).max(axis=2)
    return found


def _normalised(logprobs: Array) -> Array:
    shifted = logprobs - logprobs.max(axis=1, keepdims=True)
    found: Array = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return found


def _mean(values: Array) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def mean_over(rows: Mapping[str, list[dict[str, float]]], name: str) -> Array:
    """Of each problem the mean over its texts; NaN where none is known. Shape [problems]."""
    return np.array([_mean(np.array([one[name] for one in texts])) for texts in rows.values()])
