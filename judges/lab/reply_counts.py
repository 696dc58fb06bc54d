"""What the judge's replies cost and how many of them could be read."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness.models.budget import Prices
from harness.stats.standard_errors import mean_interval
from harness.types import Estimate, Json
from judges.ask import NO_REPLY
from judges.lab.votes import PairVotes


@dataclass(frozen=True)
class ReplyCounts:
    """Counts and costs over all judgments of one judge and rubric, cached ones included."""

    judgments: int
    requested: int
    """Judgments for which a request was made in this run; the others came from the cache."""
    unscored: int
    """Two replies could not be read."""
    errors: int
    """The judge gave no reply at all."""
    why: Mapping[str, int]
    """Why there is no verdict: reason -> judgments, most frequent first."""
    malformed: Estimate
    """Share of judgments whose first reply could not be read, whether the second could or not."""
    notes: Mapping[str, float]
    """Share of readable verdicts with each note, e.g. "invented_quote": evidence that is not in the answer."""
    tokens_in: float | None
    """Mean prompt tokens per judgment; None if the engine does not count."""
    tokens_out: float | None
    cost_per_1000: float | None
    """Price of 1,000 judgments in the currency of price_in and price_out; None if the judge has no prices."""
    cost_per_1000_pairs: float | None
    """The same per 1,000 pairs decided: both orders, or both answers, and all repeats."""

    @property
    def tokens_per_1000(self) -> float | None:
        """Tokens of 1,000 judgments, in and out."""
        if self.tokens_in is None or self.tokens_out is None:
            return None
        return 1000 * (self.tokens_in + self.tokens_out)


def replies(outcomes: Sequence[PairVotes], environment: Mapping[str, Json]) -> ReplyCounts:
    """Counts and costs of all judgments behind the outcomes; `environment` is the judge's and may hold its prices."""
    rows = [(judgment, outcome) for outcome in outcomes for side in outcome.judgments.values() for judgment in side]
    judgments = [judgment for judgment, _ in rows]
    failed = [judgment for judgment in judgments if judgment.verdict is None]
    errors = [judgment for judgment in failed if judgment.why.startswith(NO_REPLY)]
    readable = [judgment.verdict for judgment in judgments if judgment.verdict is not None]
    noted = Counter(note for verdict in readable for note in set(verdict.notes))
    malformed = mean_interval(
        np.array([float(judgment.tries > 1) for judgment in judgments]),
        [outcome.pair.cluster or f"\0{outcome.pair.id}" for _, outcome in rows],
    )
    tokens_in, tokens_out = (_mean([getattr(j, name) for j in judgments]) for name in ("tokens_in", "tokens_out"))
    prices = Prices.of(environment)
    cost = None
    if prices is not None and tokens_in is not None and tokens_out is not None:
        cost = prices.cost(tokens_in, tokens_out)
    return ReplyCounts(
        judgments=len(judgments),
        requested=sum(not judgment.cached for judgment in judgments),
        unscored=len(failed) - len(errors),
        errors=len(errors),
        why=dict(Counter(_kind(judgment.why) for judgment in failed).most_common()),
        malformed=malformed.estimate(len(judgments), n_problems=len(outcomes)),
        notes={note: count / len(readable) for note, count in noted.most_common()},
        tokens_in=tokens_in,
        tokens_out=tokens_out,
        cost_per_1000=None if cost is None else 1000 * cost,
        cost_per_1000_pairs=None if cost is None else 1000 * cost * len(judgments) / len(outcomes),
    )


def _kind(why: str) -> str:
    """The reason without what is particular to one reply."""
    return why.partition(":")[0].strip()[:80] or "no reason given"


def _mean(values: Sequence[int | None]) -> float | None:
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known else None
