"""What is logged of a generation: how good, how long, how many were left out and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from backends.rollouts.cutting import Fate
from backends.rollouts.order import tries_of
from backends.rollouts.types import RolloutGroup


def numbers_of(
    groups: Sequence[RolloutGroup], fates: Sequence[Sequence[Fate]], aside: bool = False
) -> dict[str, float]:
    """Of all processes' groups. A mean over nothing is left out. `aside`: a self-teacher reads rows of its own."""
    drawn = [rollout for group in groups for rollout in group.rollouts]
    lengths = [len(rollout.tokens_T) for rollout in drawn]
    numbers: dict[str, float] = {
        "completions": len(drawn),
        "generated": sum(len(rollout.tokens_T) for rollout in drawn if not rollout.given),
        "length": float(np.mean(lengths)),
        "length_p95": float(np.quantile(lengths, 0.95)),
        "cut": sum(rollout.finish == "length" for rollout in drawn) / len(drawn),
    }
    fate = Counter(one for row in fates for one in row)
    dropped: tuple[Fate, ...] = ("unscored", "cut", "left out", *(("untold", "no room") if aside else ()))
    numbers |= {f"dropped/{name.replace(' ', '_')}": float(fate[name]) for name in dropped}
    if any(group.marks for group in groups):
        numbers["flat"] = sum(is_flat(group) for group in groups) / len(groups)
    tries = sum(tries_of(group.rollouts[0].visit) for group in groups)
    return numbers | ({"resampled": float(tries)} if tries else {})


def is_flat(group: RolloutGroup) -> bool:
    """Whether all values of a group are the same: it says nothing about what is better."""
    return len({mark.value for mark in group.marks if mark.value is not None}) < 2
