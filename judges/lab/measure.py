"""Everything that is measured about one judge with one rubric, in one record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.types import Estimate, Json
from judges.lab.bias import first, listed, longer, own, preference, pulls, sides_with
from judges.lab.label_agreement import Value, alpha, kappa, share
from judges.lab.marks import DimensionReport, dimension_reports
from judges.lab.reply_counts import ReplyCounts, replies
from judges.lab.votes import SIGN, PairVotes


@dataclass(frozen=True)
class Measures:
    """What one judge with one rubric is worth on a set of pairs."""

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
    outcomes: Sequence[PairVotes], environment: Mapping[str, Json], own_names: Sequence[str] = (), seed: int = 0
) -> Measures:
    """Measure the outcomes of one judge with one rubric; `environment` is the judge's, for its prices."""
    names = sorted({outcome.pair.subset for outcome in outcomes})
    groups = {name: [outcome for outcome in outcomes if outcome.pair.subset == name] for name in names}
    read = replies(outcomes, environment)
    scored = sum(outcome.scored for outcome in outcomes)
    return Measures(
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
