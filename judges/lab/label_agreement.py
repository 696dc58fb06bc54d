"""How well a judge agrees with the labels, and with itself.

All intervals are 95 % and clustered by question. A mean over pairs gets the interval of every other share in this
project (`harness.stats`). Kappa and alpha are (observed - expected) / (1 - expected) agreement: their interval is that
of the observed agreement, which stays honest when everything agrees, scaled by what the uncertainty of the expected
agreement adds to the standard error (by linearisation).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from harness.stats.standard_errors import clustered_se, mean_interval
from harness.types import STATUSES, Estimate
from judges.lab.labelled_pair import LabelledPair
from judges.lab.votes import SIGN, PairVotes

Array = npt.NDArray[np.float64]
Value = Callable[[PairVotes], float | None]


def share(outcomes: Sequence[PairVotes], value: Value) -> Estimate | None:
    """Mean over pairs of a value in [0, 1]; pairs without one are counted, and bound what the mean could have been.

    None if no pair has a value.
    """
    pairs = [(outcome, got) for outcome in outcomes if (got := value(outcome)) is not None]
    if not pairs:
        return None
    values = np.array([got for _, got in pairs], dtype=np.float64)
    mean = mean_interval(values, [outcome.pair.cluster for outcome, _ in pairs])
    missing = len(outcomes) - len(pairs)
    total = float(values.sum())
    counts: dict[str, int] = {status: 0 for status in STATUSES}
    counts |= {"scored": len(pairs), "unscored": missing}
    bounds = (total / len(outcomes), (total + missing) / len(outcomes)) if missing else None
    return mean.estimate(sum(len(outcome.votes) for outcome, _ in pairs), counts, bounds)


def difference(outcomes: Sequence[PairVotes], value: Value) -> Estimate | None:
    """Mean over pairs of a value that may be negative; Student's interval. None if no pair has a value."""
    pairs = [(outcome, got) for outcome in outcomes if (got := value(outcome)) is not None]
    if not pairs:
        return None
    values = np.array([got for _, got in pairs], dtype=np.float64)
    mean = mean_interval(values, [outcome.pair.cluster for outcome, _ in pairs], share=False)
    return mean.estimate(sum(len(outcome.votes) for outcome, _ in pairs))


def confusion(outcomes: Sequence[PairVotes]) -> Array:
    """Label against vote by position, shape [pairs, 3, 3], each pair summing to 1; rows first/second/tie by label.

    By position and not by the letters a and b, because the letters are the file's: were every label "a", chance
    agreement would be certain and kappa undefined. A pair judged one answer at a time has no positions, so it counts
    half in each of the two.
    """
    tables = np.zeros((len(outcomes), 3, 3))
    where: dict[int, int] = {1: 0, -1: 1, 0: 2}
    for table, outcome in zip(tables, outcomes, strict=True):
        for vote in outcome.votes:
            in_order = sum(other.order == vote.order for other in outcome.votes)
            for first in (vote.first,) if vote.first else (1, -1):
                row, column = where[SIGN[outcome.pair.label] * first], where[SIGN[vote.choice] * first]
                table[row, column] += 1 / in_order / (len(outcome.orders) if vote.first else 2)
    return tables


def kappa(outcomes: Sequence[PairVotes]) -> Estimate | None:
    """Cohen's kappa of vote and label by position (see `confusion`), scored pairs only."""

    def expected(labels: Array, votes: Array) -> tuple[float, Array]:
        label, vote = labels.mean(axis=0), votes.mean(axis=0)
        return float(label @ vote), labels @ vote + votes @ label - 2 * float(label @ vote)

    return _beyond_chance(outcomes, expected)


def alpha(outcomes: Sequence[PairVotes]) -> Estimate | None:
    """Krippendorff's nominal alpha of vote and label by position, scored pairs only; each pair is one unit."""

    def expected(labels: Array, votes: Array) -> tuple[float, Array]:
        both = (labels + votes) / 2
        share, n = both.mean(axis=0), 2 * len(both)
        plain = float(share @ share)  # Scott's; alpha corrects it for drawing the two values without replacement
        return (n * plain - 1) / (n - 1), 2 * (both @ share - plain)

    return _beyond_chance(outcomes, expected)


def _beyond_chance(
    outcomes: Sequence[PairVotes], expected: Callable[[Array, Array], tuple[float, Array]]
) -> Estimate | None:
    """(observed - expected) / (1 - expected), with the interval that the module describes.

    `expected` maps the marginals of labels and votes (each [pairs, 3]) to the expected agreement and to how much each
    pair moves it. None if no pair is scored, or if chance alone would always agree.
    """
    scored = [outcome for outcome in outcomes if outcome.scored]
    if not scored:
        return None
    tables = confusion(scored)
    observed = np.trace(tables, axis1=1, axis2=2)
    by_chance, moves = expected(tables.sum(axis=2), tables.sum(axis=1))
    room = 1.0 - by_chance
    if room < 1e-12:
        return None
    clusters = [outcome.pair.cluster for outcome in scored]
    mean = mean_interval(np.clip(observed, 0.0, 1.0), clusters)
    value = (mean.value - by_chance) / room
    influence = (observed - mean.value) / room - moves * (1.0 - mean.value) / room**2
    se, _ = clustered_se(influence, clusters)
    scale = se * room / mean.se if mean.se > 0 else 1.0
    samples = sum(len(outcome.votes) for outcome in scored)
    low = max(-1.0, value - scale * (mean.value - mean.low) / room)
    high = min(1.0, value + scale * (mean.high - mean.value) / room)
    return Estimate(value, low, high, se, len(scored), samples)


def human_agreement(pairs: Sequence[LabelledPair], *, ties: bool) -> Estimate | None:
    """How often two people who voted on the same pair agree: a ceiling for any judge. None without such pairs.

    The mean over pairs of the share of agreeing twos of votes (setup S1 of arXiv 2306.05685); without `ties`, votes
    for a tie are left out first (setup S2).
    """
    values, clusters, samples = [], [], 0
    for pair in pairs:
        votes = [vote for vote in pair.votes if ties or vote != "tie"]
        if len(votes) < 2:
            continue
        counts = Counter(votes)
        values.append(sum(n * (n - 1) for n in counts.values()) / (len(votes) * (len(votes) - 1)))
        clusters.append(pair.cluster)
        samples += len(votes)
    if not values:
        return None
    return mean_interval(np.array(values), clusters).estimate(samples)
