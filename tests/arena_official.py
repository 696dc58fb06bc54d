"""Arena-Hard's own interval, to hold its printed tables and ours against each other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from judges.protocols.arena.score import Votes


def official(votes: Sequence[Votes], seed: int = 0) -> tuple[float, float, float]:
    """One model's mean, 5 % and 95 % points of 100 rounds that resample votes, not problems; the script has no seed."""
    tally = np.array([[vote.won, vote.tied, vote.lost] for vote in votes]).sum(axis=0)
    n = round(float(tally.sum()))
    drawn = np.random.default_rng(seed).multinomial(n, tally / tally.sum(), size=100)
    means = (drawn @ np.array([1.0, 0.5, 0.0])) / n
    low, high = np.percentile(means, (5.0, 95.0))
    return float(means.mean()), float(low), float(high)
