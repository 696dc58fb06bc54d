"""A new version of a judge prompt against the last one, a few pairs at a time, until the difference is decided.

Both are asked about the same pairs in the same random order; replies that are kept cost nothing, so the last version
is asked only about pairs that its own trial left out. After each batch `harness.stats.sequential` decides: a version
that is worse, or whose difference is noise, is not asked about the rest; one that is better is measured on all pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from harness.models.budget import Budget
from harness.models.reply_cache import Cache
from harness.stats.sequential import Look, look
from harness.stats.standard_errors import cluster_sums
from judges.lab.arm import JudgeArm
from judges.lab.labelled_pair import LabelledPair
from judges.lab.votes import PairVotes
from judges.types import Judgment


@dataclass(frozen=True)
class Trial:
    """What came of one version."""

    new: tuple[PairVotes, ...]
    last: tuple[PairVotes, ...]
    """Of the same pairs; empty without a version before."""
    looked: Look | None
    """The look that decided, or the last one; None without a version before."""

    @property
    def pairs(self) -> tuple[LabelledPair, ...]:
        """The pairs that were judged, in the order of asking."""
        return tuple(outcome.pair for outcome in self.new)


async def try_version(
    new: JudgeArm,
    last: JudgeArm | None,
    batched: Sequence[Sequence[LabelledPair]],
    cache: Cache,
    *,
    alpha: float,
    budget: Budget | None = None,
    on_judgment: Callable[[Judgment], None] | None = None,
) -> Trial:
    """Ask until it is decided. Raises what `judge_tasks` raises; what was judged until then is cached."""
    mine: list[PairVotes] = []
    before: list[PairVotes] = []
    left = sum(map(_units, batched))
    looked: Look | None = None
    for batch in batched:
        left -= _units(batch)
        mine += await new.run(batch, cache, budget, on_judgment)
        if last is None:
            continue
        before += await last.run(batch, cache, budget, on_judgment)
        if looked is None or looked.decision == "open":
            looked = look(_gains(before, mine), left, alpha)
        if looked.decision in ("worse", "noise"):
            break
    return Trial(tuple(mine), tuple(before), looked)


def _units(pairs: Sequence[LabelledPair]) -> int:
    """Independent units with a better answer to find: pairs, or the questions that they share."""
    return len({pair.cluster or f"\0{pair.id}" for pair in pairs if pair.label != "tie"})


def _gains(before: Sequence[PairVotes], after: Sequence[PairVotes]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Mean gain in agreement of each unit that both versions scored, in the order of asking."""
    gains: list[float] = []
    clusters: list[str] = []
    for one, other in zip(before, after, strict=True):
        was, now = one.accuracy, other.accuracy
        if was is not None and now is not None:
            gains.append(now - was)
            clusters.append(one.pair.cluster)
    found = np.array(gains, dtype=np.float64)
    return cluster_sums(found, clusters) / cluster_sums(np.ones_like(found), clusters)
