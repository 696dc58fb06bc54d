"""Diversity of the final answers, from graded attempts alone: how many different ones, and their entropy.

Answers are compared in the grader's canonical form, as for majority vote. Attempts without a graded answer (no answer,
cut, failed, unscored) are left out; a problem with fewer than two graded answers has no value: it is left out of the
mean and seen in `n_problems`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from harness.errors import DataError
from harness.metrics.attempts import Attempts
from harness.types import Estimate, Graded, Metric


def distinct_answers(graded: Sequence[Graded], k: int | None = None) -> Estimate:
    """Number of different answers to a problem among its samples; mean over problems.

    Grows with the number of samples: compare runs of equal n. Raises `DataError` if no problem has two answers.
    """
    return _per_problem(graded, "distinct_answers", lambda votes: float(len(votes)))


def answer_entropy(graded: Sequence[Graded], k: int | None = None) -> Estimate:
    """Entropy of the answers to a problem in bits, so that 2^H is an effective number of answers; mean over problems.

    The plug-in estimate from the n samples, between 0 and log2 n: too low for few samples, so compare runs of equal n.
    Raises `DataError` if no problem has two answers.
    """
    return _per_problem(graded, "answer_entropy", _entropy)


def _entropy(votes: Counter[str]) -> float:
    total = votes.total()
    return max(0.0, math.log2(total) - sum(count * math.log2(count) for count in votes.values()) / total)


def _per_problem(graded: Sequence[Graded], name: str, value: Callable[[Counter[str]], float]) -> Estimate:
    attempts = Attempts.of(graded)
    votes: list[Counter[str]] = [Counter() for _ in attempts.problems]
    for row, code in zip(attempts.rows, attempts.codes, strict=True):
        if row.score.status == "scored" and row.score.answer is not None:
            votes[code][row.score.answer] += 1
    values = np.array([value(found) if found.total() > 1 else math.nan for found in votes], dtype=np.float64)
    if np.isnan(values).all():
        raise DataError(
            f"{name} needs at least two graded answers to a problem, and no problem has them: generate more samples "
            "with --n 4 (or another number)"
        )
    return attempts.estimate(values, sum(found.total() for found in votes if found.total() > 1), share=False)


DISTINCT_ANSWERS = Metric("distinct_answers", distinct_answers, unit="answers")
ANSWER_ENTROPY = Metric("answer_entropy", answer_entropy, unit="bits")
