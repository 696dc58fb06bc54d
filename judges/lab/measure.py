"""Everything that is measured about one judge with one rubric, in one record."""

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
from judges.lab.arm import JudgeArm
from judges.lab.bias import first, listed, longer, own, preference, pulls, sides_with
from judges.lab.errors import ErrorGroup, JudgeError, error_groups, judge_errors
from judges.lab.label_agreement import Value, alpha, kappa, share
from judges.lab.marks import DimensionReport, dimension_reports
from judges.lab.votes import SIGN, PairVotes


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


@dataclass(frozen=True)
class ArmReport:
    """What one judge with one rubric is worth on a set of pairs."""

    name: str
    """Short and unique in the report: the rubric, the judge, or both, whatever tells the arms apart."""
    arm: JudgeArm
    outcomes: tuple[PairVotes, ...]
    values: Mapping[str, Estimate | float]
    """Every number by its name: the means over pairs of `pair_values`, "kappa" and "alpha"; for "longer", "lists" and
    "own" where the set can tell, the labels' own rate ("longer_human") and what the judge has in excess of it
    ("longer_excess"); "pull_" and one of `PULLS`; what became of the replies, and their cost. The unknown is absent.
    """
    dimensions: tuple[DimensionReport, ...]
    replies: ReplyCounts
    subsets: Mapping[str, Mapping[str, Estimate | float]]
    """Subset -> the means of `pair_values` again, where there is more than one."""
    pairs: int
    scored: int
    errors: tuple[JudgeError, ...] = ()
    """Every pair that it gets wrong, the worst first."""
    error_groups: tuple[ErrorGroup, ...] = ()


def pair_values(own_names: Sequence[str]) -> dict[str, Value]:
    """Name -> per-pair value in [0, 1]; what can be averaged, and compared pair by pair."""
    values: dict[str, Value] = {
        "accuracy": lambda outcome: outcome.accuracy,
        "strict": lambda outcome: outcome.strict,
        "flips": lambda outcome: outcome.flipped if outcome.scored else None,
        "reversed": lambda outcome: outcome.reversed if outcome.scored else None,
        "first": first,
        "ties": _ties,
        "person": _person,
        "person_decided": _person_decided,
        "right_longer": lambda outcome: _right_where(outcome, longer_label=1),
        "right_shorter": lambda outcome: _right_where(outcome, longer_label=-1),
        "longer": sides_with(longer),
        "lists": sides_with(listed),
    }
    return values | ({"own": sides_with(own(own_names))} if own_names else {})


def _ties(outcome: PairVotes) -> float | None:
    if not outcome.scored:
        return None
    return outcome.mean({vote: float(vote.choice == "tie") for vote in outcome.votes})


def _person(outcome: PairVotes) -> float | None:
    """Share of the single votes of people that are the verdict, ties included: what two people's agreement is to them.

    The label is a majority and so less noisy than a person: agreement with it is no match for a human ceiling.
    """
    votes, verdict = outcome.pair.votes, outcome.verdict
    return None if verdict is None or not votes else sum(vote == verdict for vote in votes) / len(votes)


def _person_decided(outcome: PairVotes) -> float | None:
    """As `_person`, over votes that are no ties, where the verdict is none either."""
    votes, verdict = [vote for vote in outcome.pair.votes if vote != "tie"], outcome.verdict
    return None if verdict in (None, "tie") or not votes else sum(vote == verdict for vote in votes) / len(votes)


def _right_where(outcome: PairVotes, longer_label: int) -> float | None:
    """Accuracy where the labelled answer is the longer one (1) or the shorter one (-1)."""
    return outcome.accuracy if longer(outcome.pair) * SIGN[outcome.pair.label] == longer_label else None


def measure(
    name: str, arm: JudgeArm, outcomes: Sequence[PairVotes], own_names: Sequence[str] = (), seed: int = 0
) -> ArmReport:
    """Measure the outcomes of one judge with one rubric."""
    names = sorted({outcome.pair.subset for outcome in outcomes})
    groups = {name: [outcome for outcome in outcomes if outcome.pair.subset == name] for name in names}
    read = replies(outcomes, arm.judge.environment())
    scored = sum(outcome.scored for outcome in outcomes)
    return ArmReport(
        name=name,
        arm=arm,
        outcomes=tuple(outcomes),
        values=_means(outcomes, own_names)
        | _known(kappa=kappa(outcomes), alpha=alpha(outcomes))
        | _preferences(outcomes, own_names)
        | {f"pull_{name}": found for name, found in pulls(outcomes).items()}
        | _of_replies(read)
        | {"missing": _part(len(outcomes) - scored, len(outcomes))},
        dimensions=tuple(dimension_reports(outcomes, seed)),
        replies=read,
        subsets={name: _means(group, own_names) for name, group in groups.items()} if len(names) > 1 else {},
        pairs=len(outcomes),
        scored=scored,
        errors=tuple(judge_errors(outcomes, own_names)),
        error_groups=tuple(error_groups(outcomes, own_names)),
    )


def _known(**values: Estimate | float | None) -> dict[str, Estimate | float]:
    return {name: value for name, value in values.items() if value is not None}


def _preferences(outcomes: Sequence[PairVotes], own_names: Sequence[str]) -> dict[str, Estimate | float]:
    features = {"longer": longer, "lists": listed} | ({"own": own(own_names)} if own_names else {})
    values: dict[str, Estimate | float] = {}
    for name, feature in features.items():
        if (found := preference(outcomes, feature)) is not None:
            values |= dict(zip((name, f"{name}_human", f"{name}_excess"), found, strict=True))
    return values


def _of_replies(read: ReplyCounts) -> dict[str, Estimate | float]:
    costs = ("tokens_in", "tokens_out", "tokens_per_1000", "cost_per_1000", "cost_per_1000_pairs")
    return {
        "malformed": read.malformed,
        "unscored": _part(read.unscored, read.judgments),
        "errors": _part(read.errors, read.judgments),
        **_known(**{name: getattr(read, name) for name in costs}),
        **{f"note:{name}": share for name, share in read.notes.items()},
    }


def _part(count: int, whole: int) -> float:
    return count / whole if whole else 0.0


def _means(outcomes: Sequence[PairVotes], own_names: Sequence[str]) -> dict[str, Estimate | float]:
    found: dict[str, Estimate | float] = {}
    for name, value in pair_values(own_names).items():
        asked = outcomes
        if name == "accuracy":  # a pair without a better answer is no missing value
            asked = [outcome for outcome in outcomes if SIGN[outcome.pair.label]]
        elif name not in ("strict", "ties"):  # nor is one in which neither answer is longer
            asked = [outcome for outcome in outcomes if value(outcome) is not None]
        if (estimate := share(asked, value)) is not None:
            found[name] = estimate
    return found
