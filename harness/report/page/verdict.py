"""What the evidence of one suite allows to say, in one sentence, and what stands against it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.errors import DataError
from harness.leaderboard import Group, Standing, Tested
from harness.plain import plural
from harness.power import ASSUMED, ASSUMED_ELSEWHERE, measured, n_needed, problems_needed
from harness.report.board import lineage_of, value_of
from harness.report.text import count, p_value, percent, signed, signed_interval
from harness.run.directions import described_in
from harness.run.result import CUT, cut_share, warnings_of
from harness.types import Metric

_NAMED = 4
"""Models named in a sentence; of more how many there are."""
_SMALLEST = 0.001
"""A difference for which nobody would ask how many problems show it."""


@dataclass(frozen=True)
class SuiteVerdict:
    """Who won on one suite, as far as is shown."""

    suite: str
    sentence: str
    doubts: tuple[str, ...]


def verdict(group: Group) -> SuiteVerdict:
    """The verdict on comparable runs, which stand best first."""
    best, *others = group.standings
    metric = described_in(best.metric, [s.result for s in group.standings])
    if not others:
        sentence = f"Only {best.model} was run: {_value(best, metric)}. There is nothing to hold it against."
        return SuiteVerdict(group.key.describe(), sentence, _doubts(group, None))
    if best.rank is None:
        sentence = (
            f"{best.model} has the best value, {_value(best, metric)}; without values per problem no test was made."
        )
        return SuiteVerdict(group.key.describe(), sentence, _doubts(group, None))
    second = others[0]
    test = group.tests.get((best.result.run_id, second.result.run_id))
    words = _lead(best, second, test, metric)
    if not best.tied:
        sentence = f"{best.model} is best: {words}."
        return SuiteVerdict(group.key.describe(), sentence, _doubts(group, None))
    together = [best.model, *best.tied]
    everybody = "all" if len(together) == len(group.standings) else f"{len(together)} of {len(group.standings)}"
    sentence = (
        f"No winner is shown: {everybody} models are tied at the top ({_names(together)}), as no paired test tells "
        f"them from the best. {words}."
    )
    return SuiteVerdict(group.key.describe(), sentence, _doubts(group, _decides(best, second, test, metric)))


def _value(standing: Standing, metric: Metric) -> str:
    _, unit = metric.shown(standing.estimate.value)
    return f"{value_of(standing)} %" if unit == "%" else value_of(standing)


def _lead(best: Standing, second: Standing, test: Tested | None, metric: Metric) -> str:
    values = f"{_value(best, metric)} against {_value(second, metric)} of {second.model}"
    if test is None:
        return values
    scale, unit = metric.shown(best.estimate.value)
    points = "points" if unit == "%" else unit
    outcome = test.outcome
    told = signed_interval(outcome.diff, outcome.low, outcome.high, scale)
    return f"{values}, a difference of {told} {points}".rstrip() + f", p (Holm) {p_value(test.p)}"


def _names(models: Sequence[str]) -> str:
    more = f" and {len(models) - _NAMED} more" if len(models) > _NAMED else ""
    return ", ".join(models[:_NAMED]) + more


def _decides(best: Standing, second: Standing, test: Tested | None, metric: Metric) -> str | None:
    """How many samples or problems would show a difference of the size seen; None where that is not known."""
    if test is None or not metric.is_share:
        return None
    size, problems = abs(test.outcome.diff), test.outcome.n_problems
    if size < _SMALLEST:
        return "the best two are equal; how much a difference one cares for takes is said by `harness plan --detect`"
    results = [best.result, second.result]
    try:
        noise = measured(results, ASSUMED.get(best.result.suite, ASSUMED_ELSEWHERE))
    except DataError:
        return None
    n = n_needed(size, problems, noise) if problems > 1 else None
    fewest = problems_needed(size, best.result.n, noise)
    ways = [f"n = {count(n)} samples of each problem"] if n is not None and n > best.result.n else []
    ways += [f"{plural(fewest, 'problem')} like these"] if fewest > problems else []
    if not ways:
        return (
            f"a difference of {signed(size)[1:]} points is near what these problems can show; a repetition may decide"
        )
    return f"to show a difference of {signed(size)[1:]} points takes {' or '.join(ways)} (4 chances of 5)"


def _doubts(group: Group, decides: str | None) -> tuple[str, ...]:
    """What stands against the sentence, most important first."""
    found = [decides] if decides is not None else []
    cut = {
        s.model: share
        for s in group.standings
        if s.result.judge is None and (share := cut_share(s.estimate.counts)) is not None and share > CUT
    }
    if cut:
        worst = max(cut, key=lambda model: cut[model])
        found.append(
            f"cut by the token limit: {_names(list(cut))} (at most {percent(cut[worst])} % of {worst}'s samples)"
        )
    missing = [s for s in group.standings if s.estimate.bounds is not None]
    if missing:
        found.append(f"samples without a score: {_names([s.model for s in missing])}; their values are of the rest")
    found += _seeds(group.standings)
    samples = {s.result.n for s in group.standings}
    if samples == {1} and group.standings[0].result.judge is None:
        found.append("one sample of each problem: another draw may answer differently")
    others = sum(len(warnings_of(s.result)) for s in group.standings) - len(cut)
    if others > 0:
        found.append(f"{plural(others, 'warning')} in the notes of the table")
    return tuple(found)


def _seeds(standings: Sequence[Standing]) -> list[str]:
    """Trained models of which there is one training each."""
    seeds: dict[tuple[str, str], set[str]] = {}
    for standing in standings:
        facts = lineage_of(standing.result.model_identity)
        if facts is not None:
            seeds.setdefault((str(facts.get("method")), str(facts.get("base"))), set()).add(str(facts.get("seed")))
    single = sorted(method for (method, _), found in seeds.items() if len(found) == 1)
    if not single:
        return []
    return [f"one training seed only: {_names(single)}; the intervals say nothing about training it again"]
