"""The pairs on which a judge errs, and what misled it: the place, the length, a list, its own name, a dimension.

An error belongs to a group if the judge sided with what the group names and the label did not. How often that happens
means something only beside how often it could have: each group has the pairs at risk, and the rate of errors on the
others. A group is a coincidence that invites a look, no proof of a cause; `judges.lab.bias.pulls` separates causes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness.types import Estimate
from judges.lab.bias import Feature, listed, longer, own
from judges.lab.label_agreement import share
from judges.lab.labelled_pair import Label
from judges.lab.marks import judgments_of
from judges.lab.votes import SIGN, PairVotes, Side, Vote

OTHER = "other"
"""Errors that no group explains."""
DIMENSION = "dimension:"
"""How the groups of a rubric of points begin: the rejected answer got a higher level on that dimension."""
_Test = Callable[[PairVotes], bool]


@dataclass(frozen=True)
class JudgeError:
    """One pair whose verdict is not the label."""

    id: str
    subset: str
    question: str
    """The last thing the user said."""
    label: Label
    verdict: Label
    groups: tuple[str, ...]
    loss: float
    """How much agreement it costs: 1 if all votes are against the label, 1/2 for a flip."""
    votes: tuple[Vote, ...]
    """What the judge said, in both orders."""


@dataclass(frozen=True)
class ErrorGroup:
    """How often the judge errs in one way, where it can."""

    name: str
    errors: int
    at_risk: int
    """Scored pairs in which this could have misled it."""
    rate: Estimate
    """Share of errors of any kind among the pairs at risk."""
    elsewhere: Estimate | None
    """The same on the other pairs; None if there are none."""


def judge_errors(outcomes: Sequence[PairVotes], own_names: Sequence[str] = ()) -> list[JudgeError]:
    """Every scored pair that the judge gets wrong: against the label in all orders first, then the flips."""
    tests = _tests(outcomes, own_names)
    found = []
    for outcome in outcomes:
        verdict = outcome.verdict
        if verdict is None or verdict == outcome.pair.label:
            continue
        groups = tuple(name for name, (at_risk, misled) in tests.items() if at_risk(outcome) and misled(outcome))
        accuracy, pair = outcome.accuracy, outcome.pair
        loss = 1.0 if accuracy is None else 1.0 - accuracy
        found.append(
            JudgeError(
                pair.id, pair.subset, pair.turns[-1], pair.label, verdict, groups or (OTHER,), loss, outcome.votes
            )
        )
    return sorted(found, key=lambda error: (-error.loss, error.groups, error.id))


def error_groups(outcomes: Sequence[PairVotes], own_names: Sequence[str] = ()) -> list[ErrorGroup]:
    """Every group in which something went wrong, the worst excess of errors first."""
    scored = [outcome for outcome in outcomes if outcome.scored]
    found = []
    for name, (at_risk, misled) in _tests(outcomes, own_names).items():
        there = [outcome for outcome in scored if at_risk(outcome)]
        errors = sum(_wrong(outcome) == 1.0 and misled(outcome) for outcome in there)
        rate = share(there, _wrong)
        if errors and rate is not None:
            elsewhere = share([outcome for outcome in scored if not at_risk(outcome)], _wrong)
            found.append(ErrorGroup(name, errors, len(there), rate, elsewhere))
    return sorted(found, key=lambda one: (-one.errors / one.at_risk, one.name))


def _wrong(outcome: PairVotes) -> float | None:
    strict = outcome.strict
    return None if strict is None else 1.0 - strict


def _tests(outcomes: Sequence[PairVotes], own_names: Sequence[str]) -> dict[str, tuple[_Test, _Test]]:
    """Group -> (could it mislead on this pair, did it)."""
    tests: dict[str, tuple[_Test, _Test]] = {
        "position": (lambda outcome: len(outcome.orders) > 1, lambda outcome: bool(outcome.flipped)),
        "length": _against(longer),
        "lists": _against(listed),
    }
    if own_names:
        tests["self"] = _against(own(own_names))
    marks = [mark for j in judgments_of(outcomes) if j.verdict is not None for mark in j.verdict.marks]
    for key in dict.fromkeys(mark.dimension for mark in marks):
        tests[f"{DIMENSION}{key}"] = (lambda outcome: outcome.pair.label != "tie", _misrated(key))
    return tests


def _against(feature: Feature) -> tuple[_Test, _Test]:
    """At risk where the labelled answer has less of it; misled where the judge takes the other in every order."""

    def at_risk(outcome: PairVotes) -> bool:
        return feature(outcome.pair) * SIGN[outcome.pair.label] < 0

    def misled(outcome: PairVotes) -> bool:
        verdict = outcome.verdict
        return verdict is not None and SIGN[verdict] * feature(outcome.pair) > 0

    return at_risk, misled


def _misrated(key: str) -> _Test:
    """True where the rejected answer has the higher mean level on a dimension."""

    def misled(outcome: PairVotes) -> bool:
        a, b = (_level(outcome, side, key) for side in ("a", "b"))
        return (a - b) * SIGN[outcome.pair.label] < 0  # NaN compares as False

    return misled


def _level(outcome: PairVotes, side: Side, key: str) -> float:
    verdicts = [judgment.verdict for judgment in outcome.judgments.get(side, ()) if judgment.verdict is not None]
    levels = [mark.level for verdict in verdicts for mark in verdict.marks if mark.dimension == key]
    return math.fsum(levels) / len(levels) if levels else math.nan
