"""The leaderboard: every stored run, ranked only against runs that it may be compared with.

Reads nothing but the `result.json` files, whatever the number of stored completions. Runs are grouped by what makes
scores comparable: suite and version, data hash, problem limit, sampling protocol, and the tool that made them. Inside
a group, runs are compared pairwise on the same problems; Holm's correction covers all comparisons on the board
(suites x models), and runs that no test tells apart share a rank.
"""

from __future__ import annotations

import gc
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path
from typing import TypeAlias

from harness.errors import StoreError, UnknownName, UsageError
from harness.metrics import described, is_listed
from harness.ranking import pairing
from harness.run.directions import described_in, doubt
from harness.run.folder import JUDGED, RESULT, list_runs
from harness.run.naming import display_names
from harness.run.result import RunResult, warnings_of
from harness.stats.multiple import holm, rank_groups
from harness.stats.paired import Paired
from harness.types import Estimate, Json

ALPHA = 0.05
HEADLINE = "headline"
ALL_METRICS = "all"
MAX_PAIRS = 2000  # on a larger board, runs are tested only against the best of their group: it must stay quick


@dataclass(frozen=True, order=True)
class GroupKey:
    """What two runs must share for their scores to be put in one ranking."""

    suite: str
    suite_version: str
    data_sha256: str
    limit: int | None
    sampling: tuple[tuple[str, str], ...]
    """Temperature, top_p, max_tokens, stop; n is left out: it changes the error, not what is estimated."""
    imported_from: str | None
    judge: str | None = None
    """Rubric, judge and opponent of judged runs: two judges' scores are two rankings."""

    def describe(self) -> str:
        """Suite, version and protocol on one line."""
        sampling = dict(self.sampling)
        parts = [f"{self.suite}@{self.suite_version}"]
        if self.imported_from is not None:
            parts.append(f"imported from {self.imported_from}")
        if self.judge is not None:
            parts.append(f"judged with {self.judge}")
        if self.limit is not None:
            parts.append(f"a subset of {self.limit} problems")
        words = {"temperature": "T", "top_p": "top-p", "max_tokens": "max tokens"}
        parts += [f"{words.get(name, name)} {value}" for name, value in sampling.items() if value not in ("[]", "")]
        return ", ".join(parts)


Key: TypeAlias = tuple[GroupKey, str]
"""One ranking: comparable runs and a metric."""


RunPair: TypeAlias = tuple[str, str]
"""The ids of two runs of a group, the one that stands higher first."""


@dataclass(frozen=True)
class Tested:
    """The higher run minus the lower one on their common problems."""

    outcome: Paired
    p: float
    """After Holm over all comparisons of the board."""


@dataclass(frozen=True)
class Standing:
    """One run's place for one metric."""

    result: RunResult
    metric: str
    estimate: Estimate
    model: str
    """Display name: the model, made unique inside its group."""
    rank: int | None = None
    """1 + number of runs that are significantly better; None where no per-problem values exist to test with."""
    letters: str = ""
    """Compact letter display: runs that share a letter are not significantly different."""
    tied: tuple[str, ...] = ()
    """Models that no test tells from this one."""
    versus: Paired | None = None
    """This run minus the baseline on their common problems."""
    versus_p: float | None = None
    """p of `versus` after Holm over all comparisons with the baseline."""


@dataclass(frozen=True)
class Group:
    """Runs that may be ranked together, best first."""

    key: GroupKey
    standings: tuple[Standing, ...]
    notes: tuple[str, ...] = ()
    tests: Mapping[RunPair, Tested] = field(default_factory=dict)
    """What was tested, by the run ids of the higher and the lower of two."""


def group_key(result: RunResult) -> GroupKey:
    """The comparability class of a run."""
    names = ("temperature", "top_p", "max_tokens", "stop")
    known = [name for name in names if name in result.sampling]
    other = sorted(name for name in result.sampling if name not in names and name not in ("n", "seed"))
    return GroupKey(
        suite=result.suite,
        suite_version=result.suite_version,
        data_sha256=result.data_sha256,
        limit=result.limit,
        sampling=tuple((name, _plain(result.sampling[name])) for name in [*known, *other]),
        imported_from=result.imported_from,
        judge=result.judge,
    )


def _plain(value: Json) -> str:
    return f"{value:g}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value or "")


def load_results(results_dir: Path) -> tuple[list[RunResult], tuple[str, ...], tuple[str, ...]]:
    """(results, refused files with reasons, unfinished run ids). Raises `StoreError` if there is no such folder."""
    results: list[RunResult] = []
    refused: list[str] = []
    unfinished: list[str] = []
    with _no_collection():
        folders = list_runs(results_dir)
        judged = {folder.name.partition(JUDGED)[0] for folder in folders if JUDGED in folder.name}
        for folder in folders:
            if not folder.has(RESULT):
                if folder.name not in judged:  # answers that only judges score: their runs carry the results
                    unfinished.append(folder.name)
                continue
            try:
                results.append(folder.result)
            except (StoreError, OSError) as error:
                refused.append(str(error))
    return results, tuple(refused), tuple(unfinished)


@contextmanager
def _no_collection() -> Iterator[None]:
    """Pause the cycle collector: it would scan hundreds of thousands of fresh items again and again, for nothing."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def build(
    results: Sequence[RunResult],
    *,
    suites: Sequence[str] = (),
    models: Sequence[str] = (),
    metrics: Sequence[str] = (),
    baseline: str | None = None,
) -> tuple[Group, ...]:
    """Select, group, test and rank. `metrics` empty is each run's headline; `("all",)` is every stored metric.

    Raises `UnknownName` for a filter that matches nothing, `UsageError` if nothing is left.
    """
    chosen = _select(results, suites, models, metrics, baseline)
    groups: dict[Key, list[Standing]] = {}
    for result in chosen:
        for metric in _metrics_of(result, metrics):
            standing = Standing(result, metric, result.estimates[metric], result.model)
            groups.setdefault((group_key(result), metric), []).append(standing)
    if results and not groups:
        raise UsageError("no stored run has the suites, models and metrics asked for together")
    named = {key: _unique_names(standings) for key, standings in groups.items()}
    ranked, tests = _rank(named)
    if baseline is not None:
        _known_baseline(baseline, ranked)
        ranked = _against(ranked, baseline)
    ordered = sorted(ranked.items(), key=lambda item: (_sort_key(item[0][0]), item[0][1] != item[1][0].result.headline))
    told: set[str] = set()  # a run stands in a table for each metric; its warnings once, under the first of them
    return tuple(
        Group(key, tuple(s), (*_notes(s, told), *_held_against(s, baseline)), tests.get((key, name), {}))
        for (key, name), s in ordered
    )


def _sort_key(key: GroupKey) -> tuple[str, ...]:
    parts = (key.suite, key.judge or "", key.imported_from or "", key.suite_version, key.limit, key.sampling)
    return tuple(str(part) for part in parts)


def _select(
    results: Sequence[RunResult],
    suites: Sequence[str],
    models: Sequence[str],
    metrics: Sequence[str],
    baseline: str | None,
) -> list[RunResult]:
    known_suites, known_models = {r.suite for r in results}, {r.model for r in results}
    for suite in suites:
        if suite not in known_suites:
            raise UnknownName("suite among the stored runs", suite, known_suites)
    for model in models:
        if model not in known_models:
            raise UnknownName("model among the stored runs", model, known_models)
    known_metrics = {metric for r in results for metric in r.estimates} | {ALL_METRICS, HEADLINE}
    for metric in metrics:
        if metric not in known_metrics:
            raise UnknownName("metric among the stored runs", metric, known_metrics)
    held = {model for model in known_models if baseline is not None and f"{baseline} [".startswith(f"{model} [")}
    wanted = {*models, *held} if models else known_models
    return [r for r in results if (not suites or r.suite in suites) and r.model in wanted]


def _metrics_of(result: RunResult, asked: Sequence[str]) -> list[str]:
    if ALL_METRICS in asked:
        return [result.headline, *(name for name in result.estimates if name != result.headline)]
    names = [result.headline if name == HEADLINE else name for name in asked] or [result.headline]
    return [name for name in dict.fromkeys(names) if name in result.estimates]


def _unique_names(standings: Sequence[Standing]) -> list[Standing]:
    """Runs of one model in one group get names of their own."""
    names = display_names([standing.result for standing in standings])
    return [replace(standing, model=name) for standing, name in zip(standings, names, strict=True)]


def _rank(groups: Mapping[Key, list[Standing]]) -> tuple[dict[Key, list[Standing]], dict[Key, dict[RunPair, Tested]]]:
    """Order every group and give ranks; one Holm correction over all the tests of the board."""
    ordered = {key: _in_order(key[1], standings) for key, standings in groups.items()}
    testable = [key for key, standings in ordered.items() if len(standings) > 1 and _per_problem(standings)]
    all_pairs = sum(len(ordered[key]) * (len(ordered[key]) - 1) // 2 for key in testable) <= MAX_PAIRS
    tests: list[tuple[Key, RunPair, Paired]] = []
    for key in testable:
        standings = ordered[key]
        compare = pairing([s.result for s in standings])
        for i, j in combinations(range(len(standings)), 2):
            outcome = compare(i, j) if all_pairs or i == 0 else None
            if outcome is not None:
                tests.append((key, (standings[i].result.run_id, standings[j].result.run_id), outcome))
    tested: dict[Key, dict[RunPair, Tested]] = {}
    for (key, pair, outcome), p in zip(tests, holm([outcome.p for _, _, outcome in tests]), strict=True):
        tested.setdefault(key, {})[pair] = Tested(outcome, p)
    return {key: _with_ranks(standings, tested.get(key)) for key, standings in ordered.items()}, tested


def _per_problem(standings: Sequence[Standing]) -> bool:
    """Only the headline metric is stored per problem, and totals of other tools have none."""
    return all(s.metric == s.result.headline and s.result.items for s in standings)


def _with_ranks(standings: list[Standing], tests: Mapping[RunPair, Tested] | None) -> list[Standing]:
    if tests is None:
        return standings
    p_values = {pair: test.p for pair, test in tests.items()}
    places = rank_groups([s.result.run_id for s in standings], p_values, ALPHA)
    return [
        replace(
            s,
            rank=rank,
            letters=letters,
            tied=tuple(
                other.model
                for other in standings
                if other is not s and set(places[other.result.run_id][1]) & set(letters)
            ),
        )
        for s in standings
        for rank, letters in [places[s.result.run_id]]
    ]


def _in_order(metric: str, standings: Sequence[Standing]) -> list[Standing]:
    sign = 1 if described_in(metric, [s.result for s in standings]).lower_is_better else -1
    return sorted(standings, key=lambda s: (sign * s.estimate.value, s.model, s.result.run_id))


def place_of(standings: Sequence[Standing], name: str | None) -> int | None:
    """Which of them is meant: the run that is shown by that name, else the best one of that model; None for none."""
    for names in ([s.model for s in standings], [s.result.model for s in standings]):
        if name in names:
            return names.index(name)
    return None


def _known_baseline(baseline: str, groups: Mapping[Key, Sequence[Standing]]) -> None:
    """Raise `UnknownName` for a baseline that has no run on the board."""
    known = {name for standings in groups.values() for s in standings for name in (s.model, s.result.model)}
    if groups and baseline not in known:
        raise UnknownName("model among the stored runs", baseline, known)


def _held_against(standings: Sequence[Standing], baseline: str | None) -> list[str]:
    """Which run the baseline is, where its model has several."""
    place = place_of(standings, baseline)
    if place is None or [s.result.model for s in standings].count(str(baseline)) < 2:
        return []
    others = [s.model for s in standings if s.result.model == baseline and s is not standings[place]]
    return [
        f"note: the baseline {baseline} has {len(others) + 1} runs here, and the best of them is held against: "
        f"another by its name, --baseline {shlex.quote(others[0])}"
    ]


def _against(groups: Mapping[Key, list[Standing]], baseline: str) -> dict[Key, list[Standing]]:
    """Add each run's paired difference to the baseline of its own group, Holm over all of them."""
    versus: dict[tuple[Key, int], Paired] = {}
    for key, standings in groups.items():
        base = place_of(standings, baseline)
        if base is None or not _per_problem(standings):
            continue
        compare = pairing([s.result for s in standings])
        for position in range(len(standings)):
            outcome = compare(position, base) if position != base else None
            if outcome is not None:
                versus[key, position] = outcome
    adjusted = dict(zip(versus, holm([outcome.p for outcome in versus.values()]), strict=True))
    return {
        key: [replace(s, versus=versus.get((key, i)), versus_p=adjusted.get((key, i))) for i, s in enumerate(standings)]
        for key, standings in groups.items()
    }


def _notes(standings: Sequence[Standing], told: set[str]) -> tuple[str, ...]:
    """What a reader must know before believing the table; the warnings of runs that are not in `told`, which grows."""
    notes: list[str] = []
    for s in standings:
        if s.result.run_id not in told:
            notes += [f"warning: {s.model}: {warning}" for warning in warnings_of(s.result)]
            told.add(s.result.run_id)
        if (bounds := s.estimate.bounds) is not None:
            scale, _ = described(s.metric).shown(s.estimate.value)
            could = f"{scale * bounds[0]:.1f} to {scale * bounds[1]:.1f}"
            notes.append(f"warning: {s.model}: with the missing scores the value could be {could}")
    versions = {(name, version) for s in standings for name, version in s.result.graders.items()}
    for name in sorted({name for name, _ in versions}):
        found = sorted(version for other, version in versions if other == name)
        if len(found) > 1:
            notes.append(f"warning: graded by different versions of {name}: {', '.join(found)}; run `harness score`")
    if (tool := standings[0].result.imported_from) is not None:
        if unknown := doubt(standings[0].metric, [s.result for s in standings]):
            notes.append(unknown)
        notes.append(f"note: {tool} does not record unanswered, cut or failed samples: none shown is not none")
    samples = sorted({s.result.n for s in standings})
    if len(samples) > 1:
        notes.append(f"note: samples per problem differ: {', '.join(map(str, samples))}")
    first = standings[0]
    if first.result.imported_from is None and first.result.judge is None and not is_listed(first.metric):
        notes.append(
            f"warning: {first.metric} is no metric here (is its plugin installed?): taken as better when higher"
        )
    if len(standings) > 1 and all(s.rank is None for s in standings):
        notes.append(f"note: no per-problem values of {standings[0].metric} are stored, so no tests and no ranks")
    return tuple(notes)


def split_notes(groups: Sequence[Group]) -> tuple[str, ...]:
    """Say it when one suite stands in several tables, and by what they differ."""
    by_suite: dict[str, set[GroupKey]] = {}
    for group in groups:
        by_suite.setdefault(group.key.suite, set()).add(group.key)
    notes = []
    for suite, keys in sorted(by_suite.items()):
        if len(keys) > 1:
            names = ("suite_version", "data_sha256", "limit", "sampling", "imported_from", "judge")
            differ = [name for name in names if len({getattr(key, name) for key in keys}) > 1]
            words = {"suite_version": "version", "data_sha256": "data", "imported_from": "tool"}
            what = ", ".join(words.get(name, name) for name in differ)
            notes.append(f"note: {suite} stands in {len(keys)} tables that differ in {what}: not comparable")
    return tuple(notes)
