"""What moves a judge besides quality: the position, the length, lists, its own name.

Every raw rate stands beside that of the labels on the same pairs: longer answers often are better, so only what the
judge prefers *in excess of people* is a bias. `pulls` separates the influences from each other: a logistic regression
of the votes on label, length, lists and position at once.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from harness.stats.distributions import t_quantile
from harness.stats.standard_errors import cluster_codes
from harness.types import Estimate
from judges.lab.label_agreement import Value, difference, share
from judges.lab.labelled_pair import LabelledPair
from judges.lab.votes import SIGN, PairVotes

Array = npt.NDArray[np.float64]

_STEPS = 100
_STEP_MAX = 2.0
_CLOSE = 1e-8


def fit(x: Array, y: Array, weights: Array, clusters: list[str]) -> list[Estimate] | None:
    """Coefficients of P(y) = 1 / (1 + exp(-x b)), no intercept; x is [rows, features], y in [0, 1].

    A judge that always follows the label separates the data, and plain maximum likelihood, as libraries have it, then
    runs off to infinity and takes the length coefficient with it. Firth's penalty (Biometrika 80, 1993) keeps every
    coefficient finite and removes the first-order bias.

    Each is the change in log odds per unit of a feature, the others held fixed, over as many clusters. Standard errors
    are the cluster-robust sandwich. None if the features are collinear, if there are fewer than two clusters more than
    features, or if the fit does not settle.
    """
    features = x.shape[1]
    codes, count = cluster_codes(clusters)
    if count < features + 2 or np.linalg.matrix_rank(x) < features:
        return None
    beta = np.zeros(features)
    for _ in range(_STEPS):
        p, information = _state(x, weights, beta)
        inverse = np.linalg.inv(information)
        w = weights * p * (1 - p)
        leverage = w * np.einsum("ij,jk,ik->i", x, inverse, x)
        score = x.T @ (weights * (y - p) + leverage * (0.5 - p))
        step = inverse @ score
        size = float(np.abs(step).max())
        beta = beta + step * min(1.0, _STEP_MAX / size if size > 0 else 1.0)
        if size < _CLOSE:
            break
    else:
        return None
    p, information = _state(x, weights, beta)
    inverse = np.linalg.inv(information)
    grouped = np.zeros((count, features))
    np.add.at(grouped, codes, x * (weights * (y - p))[:, None])
    variance = inverse @ (grouped.T @ grouped) @ inverse * count / (count - features)
    critical = t_quantile(count - features)
    return [
        Estimate(float(b), float(b - critical * se), float(b + critical * se), float(se), count, len(x))
        for b, se in zip(beta, np.sqrt(np.clip(np.diag(variance), 0.0, None)), strict=True)
    ]


def _state(x: Array, weights: Array, beta: Array) -> tuple[Array, Array]:
    """Probabilities and the information matrix at `beta`."""
    p = 1.0 / (1.0 + np.exp(-np.clip(x @ beta, -30.0, 30.0)))
    return p, x.T @ (x * (weights * p * (1 - p))[:, None])


Feature = Callable[[LabelledPair], int]
"""+1 if `a` has more of something, -1 if `b` has, 0 if neither: pairs with 0 say nothing and are left out."""

_ITEM = re.compile(r"^[ \t]{0,8}(?:[-*+•]|\d{1,3}[.)])[ \t]+\S", re.MULTILINE)


def longer(pair: LabelledPair) -> int:
    """Which answer (of the last turn) has more characters, the unit of AlpacaEval's length control."""
    gap = len(pair.a[-1]) - len(pair.b[-1])
    return (gap > 0) - (gap < 0)


def has_list(text: str) -> bool:
    """True for at least two lines that start as an item of a bullet or numbered list."""
    return len(_ITEM.findall(text)) >= 2


def listed(pair: LabelledPair) -> int:
    """Which answer (of the last turn) has a list, where only one has."""
    return int(has_list(pair.a[-1])) - int(has_list(pair.b[-1]))


def own(names: Sequence[str]) -> Feature:
    """Which answer was written by a model of one of these names, where only one was."""
    known = {bare_name(name) for name in names} - {""}

    def feature(pair: LabelledPair) -> int:
        return int(bare_name(pair.model_a) in known) - int(bare_name(pair.model_b) in known)

    return feature


def bare_name(model: str) -> str:
    """A model's name without folder and case: "Org/GPT-4" -> "gpt-4"."""
    return model.rpartition("/")[2].casefold()


def preference(outcomes: Sequence[PairVotes], feature: Feature) -> tuple[Estimate, Estimate, Estimate] | None:
    """How often the judge, and the labels, side with the answer that has more of something, and the judge's excess.

    Over the scored pairs in which the feature differs, a tie counting 1/2; None if there are none.
    """
    apart = [outcome for outcome in outcomes if outcome.scored and feature(outcome.pair) != 0]
    of_judge = sides_with(feature)

    def of_label(outcome: PairVotes) -> float:
        return (1 + feature(outcome.pair) * SIGN[outcome.pair.label]) / 2

    def excess(outcome: PairVotes) -> float | None:
        value = of_judge(outcome)
        return None if value is None else value - of_label(outcome)

    judge, human, more = share(apart, of_judge), share(apart, of_label), difference(apart, excess)
    if judge is None or human is None or more is None:
        return None
    # No difference of two shares is larger: over two pairs Student's interval said "87.5 ± 158.8" points.
    return judge, human, replace(more, low=max(-1.0, more.low), high=min(1.0, more.high))


def sides_with(feature: Feature) -> Value:
    """Per pair: how often its votes choose the answer that has more of something, a tie counting 1/2.

    None where neither has more, or where the pair is not scored.
    """

    def value(outcome: PairVotes) -> float | None:
        more = feature(outcome.pair)
        if not outcome.scored or more == 0:
            return None
        return outcome.mean({vote: (1 + more * SIGN[vote.choice]) / 2 for vote in outcome.votes})

    return value


def first(outcome: PairVotes) -> float | None:
    """Per pair: how often the answer shown first wins, a tie counting 1/2; 0.5 is fair. None without both orders."""
    if not outcome.scored or len(outcome.orders) < 2:
        return None
    return outcome.mean({vote: (1 + vote.first * SIGN[vote.choice]) / 2 for vote in outcome.votes})


PULLS = ("label", "length", "lists", "first")
"""Being the labelled answer rather than the other (the judge's skill), twice as long, the only one with a list, and
shown first rather than second."""


def pulls(outcomes: Sequence[PairVotes]) -> dict[str, Estimate]:
    """What one unit of each of `PULLS` adds to the log odds of a vote, all others held fixed; over pairs.

    By logistic regression of the votes (a tie is half a vote for each side). One that never differs is absent; all are,
    where nothing can be fitted.

    Each vote's row: label (+1 or -1 for `a`; 0 a tie), log2 of the ratio of lengths, list difference, position. There
    is no intercept, since the letters a and b mean nothing. A coefficient for being one *rather than the other* is
    twice that of the +1/-1 code.
    """
    rows: list[tuple[float, ...]] = []
    votes: list[float] = []
    weights: list[float] = []
    clusters: list[str] = []
    scored = [outcome for outcome in outcomes if outcome.scored]
    for outcome in scored:
        pair = outcome.pair
        ratio = math.log2((len(pair.a[-1]) + 1) / (len(pair.b[-1]) + 1))
        for vote in outcome.votes:
            rows.append((SIGN[pair.label] / 2, ratio, float(listed(pair)), vote.first / 2))
            votes.append((1 + SIGN[vote.choice]) / 2)
            weights.append(1 / len(outcome.votes) * len(outcome.orders))
            clusters.append(pair.cluster or f"\0{pair.id}")
    if not rows:
        return {}
    x = np.array(rows)
    used = [column for column in range(len(PULLS)) if np.abs(x[:, column]).max() > 0]
    found = fit(x[:, used], np.array(votes), np.array(weights), clusters)
    if found is None or not {0, 1} <= set(used):
        return {}
    pairs = len(scored)
    return {PULLS[i]: replace(one, n_problems=pairs, n_samples=pairs) for i, one in zip(used, found, strict=True)}
