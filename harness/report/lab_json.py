"""The judge laboratory as JSON: every number of the tables, every vote on every pair, the prompts and what changed."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from harness.stats.multiple import decide, disagreement
from harness.types import Estimate, Json
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
        **{name: getattr(paired, name) for name in ("diff", "low", "high", "se", "p", "test", "n_problems")},
        **{name: getattr(paired, name) for name in ("wins", "losses", "ties")},
        "decision": decide(paired.diff, p),
        "why": disagreement(paired.low, paired.high, paired.p, p),
    }


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
        "items": [_item_json(outcome) for outcome in arm.outcomes],
    }


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
