"""What a generation looks like, as numbers of a step: rewards by part, what decides the advantage, how texts look.

Pure functions of groups. A mean over nothing is left out, never 0. `backends.rollouts.alarms` reads the numbers.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from backends.rollouts.cutting import CUT_OFF, Fate
from backends.rollouts.order import tries_of
from backends.rollouts.types import Credited, RolloutGroup, RolloutMark
from harness.metrics.diversity_text import ngrams
from harness.reasoning import with_answer

ACCURACY = "accuracy"
"""Of the marks: the share of right answers, whatever the reward is made of."""
_REPEATED = 4
"""Length of the n-grams whose repetition is counted."""
LEAK = re.compile(
    r"\b(?:reference|given|provided|hidden) (?:solution|answer)\b|\bas (?:stated|shown|given) in the solution\b",
    re.IGNORECASE,
)
"""A text that appeals to what its prompt does not hold: the solution that a self-teacher was shown."""


def drawn_numbers(
    groups: Sequence[RolloutGroup], fates: Sequence[Sequence[Fate]], aside: bool = False
) -> dict[str, float]:
    """How many and how long, what becomes of them, and how many groups say nothing.

    `aside`: a self-teacher reads rows of its own.
    """
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
        numbers["flat"] = sum(len(set(group.values)) < 2 for group in groups) / len(groups)
    tries = sum(tries_of(group.rollouts[0].visit) for group in groups)
    return numbers | ({"resampled": float(tries)} if tries else {})


def part_numbers(groups: Sequence[RolloutGroup], weights: Mapping[str, float]) -> dict[str, float]:
    """The reward and each part of it: mean, spread, share without a value, what it decides, correlation with accuracy.

    "variance/<part>" is its share of the variance of totals within groups, which is what advantages are made of: the
    covariance of weight x part with the total, over the variance of the total. All shares add up to 1. "unscored" is
    the share without a value because a scorer failed.
    """
    marks = [mark for group in groups for mark in group.marks]
    if not marks:
        return {}
    found = {"unscored": unscored_share(marks)}
    found |= _summary("reward", [mark.value for mark in marks])
    correct = [None if mark.correct is None else float(mark.correct) for mark in marks]
    found |= {name: value for name, value in _summary(ACCURACY, correct).items() if name == ACCURACY}
    for name in sorted({name for mark in marks for name in mark.parts}):
        values = [mark.parts.get(name) for mark in marks]
        found |= _summary(f"reward/{name}", values)
        found |= _some(f"with_accuracy/{name}", _correlation(values, correct))
        if weights.get(name):
            found |= _some(f"variance/{name}", _share(groups, name, weights[name]))
    spreads = [float(np.std(known)) for group in groups if len(known := group.values) > 1]
    return found | ({"group_std": float(np.mean(spreads))} if spreads else {})


def unscored_share(marks: Sequence[RolloutMark]) -> float:
    """How many have no value because a scorer failed."""
    failed = sum(mark.value is None and not mark.by_design and mark.why != CUT_OFF for mark in marks)
    return failed / len(marks)


def text_numbers(groups: Sequence[RolloutGroup]) -> dict[str, float]:
    """Different answers of a group, repetition of token 4-grams, and texts that appeal to a hidden solution."""
    drawn = [rollout for group in groups for rollout in group.rollouts]
    answers = [
        {(with_answer(rollout.completion()).answer_text or "").casefold().strip() for rollout in group.rollouts}
        for group in groups
        if len(group.rollouts) > 1
    ]
    found = {"leak": sum(LEAK.search(rollout.text) is not None for rollout in drawn) / len(drawn)}
    if answers:
        found["distinct_answers"] = float(np.mean([len(different) for different in answers]))
    grams, owners = ngrams([rollout.tokens_T.astype(np.int64) for rollout in drawn], _REPEATED)
    if len(grams):
        # Of each text: pairs (text, n-gram) counted once over n-grams counted as often as they come.
        pairs = np.unique(owners.astype(np.int64) * (int(grams.max()) + 1) + grams) // (int(grams.max()) + 1)
        total, different = (np.bincount(which, minlength=len(drawn)) for which in (owners, pairs))
        found["repetition"] = float(np.mean(1.0 - different[total > 0] / total[total > 0]))
    return found


def advantage_numbers(credited: Sequence[Sequence[Credited]]) -> dict[str, float]:
    """How many completions are pushed up and down, and how hard."""
    values = [
        one.numbers["advantage"] for group in credited for one in group if one.keep and "advantage" in one.numbers
    ]
    found: dict[str, float] = {}
    for name, side in (("up", [v for v in values if v > 0]), ("down", [v for v in values if v < 0])):
        if values:
            found[f"advantage/{name}_share"] = len(side) / len(values)
        if side:
            found[f"advantage/{name}"] = float(np.mean(np.abs(side)))
    return found


def staleness(groups: Sequence[RolloutGroup], step: int) -> dict[str, float]:
    """Optimiser steps between the weights that drew and those that are trained."""
    return {"staleness": float(np.mean([step - rollout.version for group in groups for rollout in group.rollouts]))}


def effective_share(numbers: Mapping[str, float]) -> dict[str, float]:
    """Effective sample size of a step's tokens over their number, 1 where the student is the policy that drew them."""
    if not numbers.get("ratio_square"):
        return {}
    return {"ess": numbers["ratio"] ** 2 / numbers["ratio_square"]}


def _summary(name: str, values: Sequence[float | None]) -> dict[str, float]:
    known = [value for value in values if value is not None]
    found = {f"none/{name}": 1.0 - len(known) / len(values)}
    return found | ({name: float(np.mean(known)), f"std/{name}": float(np.std(known))} if known else {})


def _some(name: str, value: float | None) -> dict[str, float]:
    return {} if value is None else {name: value}


def _correlation(values: Sequence[float | None], others: Sequence[float | None]) -> float | None:
    """None where either side does not vary."""
    pairs = [(one, other) for one, other in zip(values, others, strict=True) if one is not None and other is not None]
    if len(pairs) < 3:
        return None
    one, other = np.array(pairs).T
    if one.std() == 0 or other.std() == 0:
        return None
    return float(np.corrcoef(one, other)[0, 1])


def _share(groups: Sequence[RolloutGroup], name: str, weight: float) -> float | None:
    """None where no group has anything to compare."""
    with_total = of_total = 0.0
    for group in groups:
        pairs = [(mark.value, mark.parts.get(name)) for mark in group.marks if mark.value is not None]
        if len(pairs) < 2 or any(part is None for _, part in pairs):
            continue
        totals, parts = np.array(pairs, float).T
        of_total += float(((totals - totals.mean()) ** 2).sum())
        with_total += weight * float(((parts - parts.mean()) * (totals - totals.mean())).sum())
    return with_total / of_total if of_total > 0 else None
