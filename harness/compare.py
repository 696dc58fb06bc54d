"""Comparison of runs problem by problem: who wins, by how much, is it more than luck, and on which problems.

The first run of each suite is the reference; every other run of that suite is compared with it on the problems that
both have scored. Runs of another suite version or other data are refused: their problems or prompts are not the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from harness.errors import UsageError
from harness.metrics import described
from harness.metrics.length import TokenReduction
from harness.reduction import Reduction, reduction
from harness.run.directions import described_in, doubt
from harness.run.folder import SCORES, RunFolder
from harness.run.naming import display_names
from harness.run.result import RunResult, warnings_of
from harness.stats.multiple import decide, disagreement, holm
from harness.stats.paired import Paired, paired
from harness.types import Json

_SAME = 1e-9  # as `harness.stats.paired`: 0.3 - 0.1 * 3 is a tie
_CLOSE = 1e-6
_RESAMPLES = 10_000
"""Draws of the paired bootstrap, seeded: the interval that assumes least, shown as a check on the analytic one."""


@dataclass(frozen=True)
class Flip:
    """A problem on which two runs differ."""

    problem_id: str
    reference: float
    """Mean of the reference run (or the baseline) on this problem."""
    other: float
    effect: float
    """Positive: the other run (or the candidate) is better here."""
    reference_answer: str = ""
    other_answer: str = ""

    @property
    def change(self) -> float:
        """Positive: the other run has the higher value here."""
        return self.other - self.reference


@dataclass(frozen=True)
class Pair:
    """One run held against the reference of its suite."""

    reference: RunFolder
    other: RunFolder
    names: tuple[str, str]
    """The two models, and what tells each run from another one of it in the same comparison."""
    outcome: Paired
    p_holm: float
    flips: tuple[Flip, ...]
    """Biggest first, then by problem id."""
    only_reference: int
    """Problems that only the reference has scored."""
    only_other: int
    reduction: Reduction
    notes: tuple[str, ...] = field(default=())


def compare_runs(runs: Sequence[RunFolder], *, force: bool = False, tokenizer: str | None = None) -> list[Pair]:
    """Every run against the first one of its suite; Holm over all pairs.

    `force` compares runs of different suite versions or tools all the same, where problems have the same ids;
    `tokenizer` is the one to count tokens with, in place of the runs' own (`harness.run.tokenizers.named`). Raises
    `UsageError` for fewer than two runs or one given twice, saying in what runs differ, or if two runs have no scored
    problem in common; `StoreError` for a damaged one.
    """
    resolved = [run.path.resolve() for run in runs]
    for position, path in enumerate(resolved):
        if path in resolved[:position]:
            raise UsageError(f"{runs[position].name} is given twice: a run is always equal to itself")
    if len(runs) < 2:
        raise UsageError("give at least two runs to compare")
    by_suite: dict[str, list[RunFolder]] = {}
    for run in runs:
        by_suite.setdefault(run.result.suite, []).append(run)
    alone = [members[0].result for members in by_suite.values() if len(members) == 1]
    if alone:
        raise UsageError(
            f"run {alone[0].run_id} is the only one of suite {alone[0].suite!r}; the suites given are "
            f"{', '.join(by_suite)}: compare runs of one suite, or two of each"
        )
    pairs = [pair for members in by_suite.values() for pair in _pairs(members, force, tokenizer)]
    adjusted = holm([pair.outcome.p for pair in pairs])
    return [replace(pair, p_holm=p) for pair, p in zip(pairs, adjusted, strict=True)]


def _pairs(runs: Sequence[RunFolder], force: bool, tokenizer: str | None) -> list[Pair]:
    """The runs of one suite after the first, each with the first."""
    first, *others = zip(runs, display_names([run.result for run in runs]), strict=True)
    return [_pair(first[0], other, (first[1], name), force, tokenizer) for other, name in others]


def _pair(reference: RunFolder, other: RunFolder, names: tuple[str, str], force: bool, tokenizer: str | None) -> Pair:
    a, b = reference.result, other.result
    different = differences(a, b)
    if different and not force:
        raise UsageError(f"{a.run_id} and {b.run_id} cannot be compared: {'; '.join(different)}")
    if a.headline != b.headline and not force:
        raise UsageError(f"{a.run_id} stores {a.headline} per problem, {b.run_id} {b.headline}: not the same quantity")
    left, right = _worths(reference), _worths(other)
    outcome = paired(b.items, a.items, resamples=_RESAMPLES) if left.keys() & right.keys() else None
    if outcome is None:
        raise UsageError(f"{a.run_id} and {b.run_id} have no scored problem in common")
    common = left.keys() & right.keys()
    sign = -1.0 if described_in(b.headline, [b, a]).lower_is_better else 1.0
    gaps = {key: right[key] - left[key] for key in common}
    flips = [Flip(key, left[key], right[key], sign * gap) for key, gap in gaps.items() if abs(gap) > _SAME]
    wins = sum(flip.effect > 0 for flip in flips)
    return Pair(
        reference=reference,
        other=other,
        names=names,
        outcome=replace(outcome, wins=wins, losses=len(flips) - wins, ties=len(common) - len(flips)),
        p_holm=outcome.p,
        flips=tuple(sorted(flips, key=lambda flip: (-abs(flip.change), flip.problem_id))),
        only_reference=len(left.keys() - right.keys()),
        only_other=len(right.keys() - left.keys()),
        reduction=reduction(reference, other, tokenizer),
        notes=tuple(_notes(a, b, different)),
    )


def with_answers(pair: Pair, show: int) -> Pair:
    """The pair with an answer of each side in its first `show` flips: those that the difference is made of."""
    wanted = {flip.problem_id for flip in pair.flips[:show]}
    found: list[dict[str, list[tuple[float, str]]]] = []
    for run in (pair.reference, pair.other):
        told: dict[str, list[tuple[float, str]]] = {}
        for row in run.graded if wanted and run.has(SCORES) else ():
            if row.problem_id in wanted and row.score.value is not None:
                told.setdefault(row.problem_id, []).append((row.score.value, row.score.answer or ""))
        found.append(told)

    def answer(side: int, problem: str, *, high: bool) -> str:
        rows = found[side].get(problem, [])
        chosen = (max if high else min)(rows, key=lambda row: row[0], default=(0.0, ""))
        return chosen[1]

    flips = tuple(
        replace(
            flip,
            reference_answer=answer(0, flip.problem_id, high=flip.change < 0),
            other_answer=answer(1, flip.problem_id, high=flip.change > 0),
        )
        for flip in pair.flips[:show]
    )
    return replace(pair, flips=(*flips, *pair.flips[show:]))


def _worths(run: RunFolder) -> dict[str, float]:
    """Problem -> what its answers are worth, of the problems that are scored.

    A judged run whose headline is no plain mean (a share of votes, a win rate at equal length) stores each problem's
    contribution to it: right for the difference and its error, but a problem that both runs win may add less to the
    better one. Its problems are counted and shown by their own scores.
    """
    items = {key: item.mean for key, item in run.result.items.items() if item.mean is not None}
    if run.result.judge is None:
        return items
    found: dict[str, list[float]] = {}
    for row in run.graded:
        if row.score.value is not None:
            found.setdefault(row.problem_id, []).append(row.score.value)
    scores = {key: sum(values) / len(values) for key, values in found.items()}
    squares = sum(score * score for score in scores.values())
    scale = sum(items.get(key, 0.0) * score for key, score in scores.items()) / squares if squares > 0.0 else 1.0
    same = items.keys() == scores.keys() and all(abs(items[key] - scale * scores[key]) < _CLOSE for key in items)
    return items if same else scores


class _Comparable(Protocol):
    """What decides whether two sets of scores may be compared: a run's result has it, and a side of a gate."""

    @property
    def suite(self) -> str: ...
    @property
    def suite_version(self) -> str: ...
    @property
    def data_sha256(self) -> str: ...
    @property
    def judge(self) -> str | None: ...
    @property
    def imported_from(self) -> str | None: ...


def differences(a: _Comparable, b: _Comparable) -> list[str]:
    """What makes a comparison meaningless; empty if nothing does."""
    found: list[str] = []
    if a.imported_from != b.imported_from:
        found.append(f"one was made by {a.imported_from or 'harness'}, the other by {b.imported_from or 'harness'}")
    elif a.suite_version != b.suite_version:
        found.append(f"suite {a.suite} is version {a.suite_version!r} in one and {b.suite_version!r} in the other")
    if a.data_sha256 != b.data_sha256:
        found.append(f"their data differ (sha256 {a.data_sha256[:12]} and {b.data_sha256[:12]})")
    if a.judge != b.judge:
        found.append(f"one was scored by {_scorer(a)}, the other by {_scorer(b)}")
    return found


def _scorer(result: _Comparable) -> str:
    """Who decided what an answer is worth: two judges, prompts or opponents are two scales."""
    return "the suite's grader" if result.judge is None else f"judge {result.judge!r}"


def _notes(a: RunResult, b: RunResult, forced: Sequence[str]) -> list[str]:
    """What a reader must know although the comparison is allowed."""
    notes = [f"compared all the same: {difference}" for difference in forced]
    metric = described_in(b.headline, [b, a])
    if metric.own_unit:
        notes.append(f"values and differences are in {metric.own_unit}")
    if metric.lower_is_better:
        notes.append(f"{b.headline} is better when lower: a problem with a lower value is a win")
    if unknown := doubt(b.headline, [b, a]):
        notes.append(unknown)
    if a.model == b.model:
        notes.append(_same_model(a, b))
    if a.n != b.n:
        notes.append(f"samples per problem differ: {a.n} and {b.n}")
    if a.limit != b.limit:
        notes.append(f"problem limits differ ({a.limit or 'all'} and {b.limit or 'all'}): only common problems count")
    changed = [key for key in sorted({*a.sampling, *b.sampling}) if a.sampling.get(key) != b.sampling.get(key)]
    for key in changed:
        if key not in ("n", "seed"):
            notes.append(f"sampling differs: {key} is {_show(a.sampling.get(key))} and {_show(b.sampling.get(key))}")
    for name in sorted({*a.graders} & {*b.graders}):
        if a.graders[name] != b.graders[name]:
            versions = f"{a.graders[name]} and {b.graders[name]}"
            notes.append(f"warning: grader {name} is {versions}: run `harness score` on both")
    for result in (a, b):
        notes += [f"warning: {result.run_id}: {warning}" for warning in warnings_of(result)]
        estimate = result.estimates[result.headline]
        if (bounds := estimate.bounds) is not None:
            scale, unit = described(result.headline).shown(estimate.value)
            notes.append(
                f"warning: {result.run_id}: with the missing scores its value could be "
                f"{scale * bounds[0]:.1f} to {scale * bounds[1]:.1f} {unit}".rstrip()
            )
    return notes


def _same_model(a: RunResult, b: RunResult) -> str:
    """In what two runs of one model name differ, as far as it is stored."""
    left = {"seed": a.seed, **a.model_identity}
    right = {"seed": b.seed, **b.model_identity}
    found = [
        f"{key} is {_show(left.get(key))} and {_show(right.get(key))}"
        for key in sorted({*left, *right})
        if left.get(key) != right.get(key)
    ]
    return f"both are runs of {a.model}: {'; '.join(found) or 'made with the same settings and seed'}"


def _show(value: Json) -> str:
    return "unset" if value is None else str(value)


def _rates(found: TokenReduction | str, prefix: str, problem: str) -> dict[str, Json]:
    """Both rates in percent with their intervals, and why there are none."""
    if isinstance(found, str):
        return {f"{prefix}atr": None, f"{prefix}otr": None, problem: found}
    rates = {f"{prefix}atr": found.atr, f"{prefix}otr": found.otr}
    numbers = {name: {"value": rate.value, "low": rate.low, "high": rate.high} for name, rate in rates.items()}
    return {**numbers, problem: ""}


def pair_row(pair: Pair, show: int | None) -> Mapping[str, Json]:
    """One comparison as data; at most `show` flips (None: all)."""
    a, b, outcome = pair.reference.result, pair.other.result, pair.outcome
    metric = described_in(b.headline, [b, a])
    _, unit = metric.shown(b.estimates[b.headline].value)
    return {
        "suite": b.suite,
        "metric": b.headline,
        "share": unit == "%",
        "better": "lower" if metric.lower_is_better else "higher",
        "reference": a.run_id,
        "run": b.run_id,
        "reference_model": a.model,
        "model": b.model,
        "reference_name": pair.names[0],
        "name": pair.names[1],
        "delta": outcome.diff,
        "low": outcome.low,
        "high": outcome.high,
        "bootstrap": None if outcome.bootstrap is None else list(outcome.bootstrap),
        "p": outcome.p,
        "p_holm": pair.p_holm,
        "decision": decide(outcome.diff, pair.p_holm),
        "why": disagreement(outcome.low, outcome.high, outcome.p, pair.p_holm),
        "test": outcome.test,
        "wins": outcome.wins,
        "losses": outcome.losses,
        "ties": outcome.ties,
        "n_problems": outcome.n_problems,
        "only_reference": pair.only_reference,
        "only_run": pair.only_other,
        **_rates(pair.reduction.replies, "", "token_problem"),
        **_rates(pair.reduction.chains, "chain_", "chain_problem"),
        "tokenizer": pair.reduction.tokenizer or None,
        "n_flips": len(pair.flips),
        "flips": [
            {"problem_id": flip.problem_id, "reference": flip.reference, "run": flip.other, "change": flip.change}
            for flip in pair.flips[:show]
        ],
        "notes": list(pair.notes),
    }
