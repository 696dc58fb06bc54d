"""The judge laboratory as JSON: every number of the tables, every vote on every pair, the prompts and what changed."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from harness.stats.multiple import decide, disagreement, holm
from harness.stats.paired import Paired
from harness.types import Estimate, Json
from judges.lab.errors import JudgeError
from judges.lab.measure import ArmReport
from judges.lab.session import LabReport
from judges.lab.versus import ArmDifference
from judges.lab.votes import PairVotes


def plain(value: Estimate | float | None) -> Json:
    """An estimate with its interval, or the bare number."""
    if isinstance(value, Estimate):
        plain: dict[str, Json] = {"value": value.value, "low": value.low, "high": value.high, "se": value.se}
        plain["n_pairs"] = value.n_problems
        if value.bounds is not None:
            plain["bounds"] = list(value.bounds)
        return plain
    return value


def difference_of(comparison: ArmDifference, name: str) -> Json:
    """A paired difference with its test and decision; None where it was not measured."""
    paired = comparison.differences.get(name)
    if paired is None:
        return None
    p = comparison.deciding_p(name)
    return {
        **_paired_json(paired),
        "decision": decide(paired.diff, p),
        "why": disagreement(paired.low, paired.high, paired.p, p),
    }


def _paired_json(paired: Paired) -> dict[str, Json]:
    names = ("diff", "low", "high", "se", "p", "test", "n_problems", "wins", "losses", "ties")
    return {name: getattr(paired, name) for name in names}


def subset_difference(comparison: ArmDifference, name: str) -> Json:
    """The difference in accuracy on one subset, with its p corrected for all of them; None where nothing was paired."""
    if name not in comparison.subsets:
        return None
    corrected = holm([paired.p for paired in comparison.subsets.values()])
    p = dict(zip(comparison.subsets, corrected, strict=True))[name]
    return {**_paired_json(comparison.subsets[name]), "p_holm": p}


def lab_json(report: LabReport) -> dict[str, Json]:
    """What the rows of the first table leave out."""
    return {
        "set": {
            "name": report.pairs.name,
            "source": report.pairs.source,
            "pairs": len(report.pairs.pairs),
            "content": report.pairs.content,
            "notes": list(report.pairs.notes),
        },
        "seed": report.seed,
        "human_agreement": {"all": plain(report.humans), "without_ties": plain(report.humans_decided)},
        "arms": [_arm_json(arm) for arm in report.arms],
        "comparisons": [
            {
                "first": one.first,
                "second": one.second,
                "compared": one.compared,
                "p_holm": one.p_holm,
                "differences": {name: difference_of(one, name) for name in one.differences},
                "subsets": {name: subset_difference(one, name) for name in one.subsets},
                "changes": [dataclasses.asdict(change) for change in one.changes],
                "diff": one.diff,
            }
            for one in report.comparisons
        ],
    }


def _arm_json(arm: ArmReport) -> dict[str, Json]:
    replies = arm.replies
    return {
        "name": arm.name,
        "judge": arm.arm.judge.name,
        "identity": dict(arm.arm.judge.describe()),
        "rubric": arm.arm.rubric.id,
        "judging": dict(arm.arm.judging.identity()),
        "pairs": arm.pairs,
        "scored": arm.scored,
        "replies": {**dataclasses.asdict(replies), "malformed": plain(replies.malformed)},
        "dimensions": [
            {**dataclasses.asdict(one), **{name: plain(getattr(one, name)) for name in ("reliability", "gap", "auc")}}
            for one in arm.dimensions
        ],
        "subsets": {name: {key: plain(value) for key, value in shares.items()} for name, shares in arm.subsets.items()},
        "errors": [_error_json(error) for error in arm.errors],
        "error_groups": [
            {**dataclasses.asdict(one), **{name: plain(getattr(one, name)) for name in ("rate", "elsewhere")}}
            for one in arm.error_groups
        ],
        "items": [_item_json(outcome) for outcome in arm.outcomes],
    }


def _error_json(error: JudgeError) -> dict[str, Json]:
    """The votes stand with the item of that id."""
    return {name: getattr(error, name) for name in ("id", "label", "verdict", "loss")} | {"groups": list(error.groups)}


def _item_json(outcome: PairVotes) -> dict[str, Json]:
    votes: Sequence[Json] = [
        {"choice": vote.choice, "order": vote.order, "repeat": vote.repeat, "reason": vote.reason}
        for vote in outcome.votes
    ]
    return {
        "id": outcome.pair.id,
        "subset": outcome.pair.subset,
        "label": outcome.pair.label,
        "verdict": outcome.verdict,
        "accuracy": outcome.accuracy,
        "votes": votes,
    }
