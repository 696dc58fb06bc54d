"""Where the sentences of a trained model's answer come from: likely to its teacher, to the student before, to both.

A sentence's probability under a model is the geometric mean of its tokens', `exp(mean log p)`, by the model's own
tokenizer: comparable across vocabularies. Three of them, of the student before training, the student trained and the
teacher, say where the sentence comes from (arXiv 2512.20908). The paper gives no alpha; .05 is ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from harness.sentences import math_segments, sentences
from harness.types import TokenScores

Origin = Literal["shared", "teacher", "student", "boosted"]
ORIGINS: tuple[Origin, ...] = get_args(Origin)
ALPHA, BETA = 0.05, 0.1
_FEWEST = 3
"""Words of a sentence; what is shorter belongs to the one before it."""


def origin(before: float, trained: float, teacher: float, alpha: float = ALPHA, beta: float = BETA) -> Origin:
    """Whose a sentence is, from its probability under the student before training, the trained one and the teacher.

    Shared where no two differ by more than alpha; the teacher's or the student's where one of them finds it likelier
    than the other by more than beta; else boosted: training alone made it likely.
    """
    if max(abs(before - trained), abs(teacher - trained), abs(teacher - before)) <= alpha:
        return "shared"
    if teacher - before > beta:
        return "teacher"
    return "student" if before - teacher > beta else "boosted"


def sentence_starts(text: str) -> tuple[int, ...]:
    """Where each sentence of a text begins: together they are all of it, formulas whole, fragments joined."""
    found = sentences(text, math_segments(text))
    starts: list[int] = []
    for begin, end in found:
        if not starts or len(text[begin:end].split()) >= _FEWEST:
            starts.append(begin)
    if len(starts) > 1 and len(text[: starts[1]].split()) < _FEWEST:
        del starts[1]  # a fragment at the head belongs to what follows
    return (0, *starts[1:]) if starts else ()


def sentence_probabilities(scores: TokenScores, starts: Sequence[int]) -> npt.NDArray[np.float64]:
    """exp(mean log p) of the tokens of each sentence, each token in the sentence of its first character.

    Shape [sentences]; NaN for a sentence in which no token begins. Raises `ValueError` without `TokenScores.starts`.
    """
    if scores.starts is None or len(scores.starts) != len(scores.logprobs):
        raise ValueError("the engine does not say where its tokens stand in the text")
    places = np.searchsorted(np.asarray(starts), np.asarray(scores.starts), side="right") - 1
    sums = np.bincount(places, weights=np.asarray(scores.logprobs), minlength=len(starts))
    counts = np.bincount(places, minlength=len(starts))
    with np.errstate(invalid="ignore", divide="ignore"):
        found: npt.NDArray[np.float64] = np.exp(np.where(counts > 0, sums / counts, np.nan))
    return found
