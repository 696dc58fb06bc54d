"""Means, paired differences, ranks and variance components: one comparison of all rows for each suite.

Everything is paired by problem, and by training seed where both sides have been trained: a row's difference to the
reference is over the problems that both have scored and the seeds that both have finished.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.bench.samples import (
    ACCURACY,
    JUDGED,
    MEASURES,
    TRUNCATED,
    Quantity,
    SuiteScores,
    cells,
    common_problems,
    read_scored,
)
from harness.bench.spec import STUDENT, Arm
from harness.errors import DataError
from harness.stats import holm, rank_groups
from harness.stats.seeds import Seeded, seeded_difference, seeded_mean


@dataclass(frozen=True)
class Entry:
    """One row of a suite."""

    arm: Arm
    means: Mapping[str, Seeded] = field(default_factory=dict)
    """Measure key -> mean; empty if nothing was scored."""
    versus: Mapping[str, Seeded] = field(default_factory=dict)
    """Measure key -> difference to the reference, Holm over all rows of the suite; empty for the reference itself."""
    by_seed: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """Measure key -> mean of each model of the row, over the same problems."""
    rank: int | None = None
    letters: str = ""


@dataclass(frozen=True)
class SuiteComparison:
    """All rows of one suite."""

    suite: str
    reference: str | None
    """Name of the row that the others are held against; None if it has no scores here."""
    headline: Quantity
    measures: tuple[Quantity, ...]
    """Those that at least one row has."""
    entries: tuple[Entry, ...]
    notes: tuple[str, ...]


Loaded = Mapping[str, list[tuple[int | None, SuiteScores]]]
"""Row -> (training seed, scores) of each model that has scores."""


def compare_suites(
    arms: Sequence[Arm],
    n_of: Mapping[str, int],
    results_dir: Path,
    reference: str | None = None,
    warnings: Sequence[str] = (),
) -> tuple[SuiteComparison, ...]:
    """One comparison for each suite of `n_of` (suite -> samples per problem), in its order.

    `reference` as in `BenchSpec`; where it has no scores, the first method that has some takes its place. `warnings`
    are about the trainings, and so about every suite: settings or budgets that differ.
    """
    methods = [arm.name for arm in arms if arm.kind == "method"]
    wanted = [arm.name for arm in arms if reference == (STUDENT if arm.kind == "student" else arm.name)]
    found = (_compare(arms, [*wanted, *methods], suite, n, results_dir) for suite, n in n_of.items())
    return tuple(replace(one, notes=(*(f"warning: {line}" for line in warnings), *one.notes)) for one in found)


def _compare(arms: Sequence[Arm], references: Sequence[str], suite: str, n: int, results_dir: Path) -> SuiteComparison:
    loaded: dict[str, list[tuple[int | None, SuiteScores]]] = {}
    for arm in arms:
        found = [(member.seed, read_scored(member, suite, n, results_dir)) for member in arm.members]
        loaded[arm.name] = [(seed, scored) for seed, scored in found if scored is not None]
    scores = [one.samples for rows in loaded.values() for _, one in rows]
    measures = tuple(m for m in MEASURES if any(m.key in one for one in scores))
    if not any(value for one in scores for values in one.get(TRUNCATED.key, {}).values() for value in values):
        measures = tuple(measure for measure in measures if measure != TRUNCATED)
    headline = ACCURACY if ACCURACY in measures or JUDGED not in measures else JUDGED
    reference = next((name for name in references if loaded[name]), None)
    gaps = {
        measure.key: {
            arm.name: gap
            for arm in arms
            if reference is not None
            and arm.name != reference
            and (gap := difference(loaded, arm.name, reference, measure)) is not None
        }
        for measure in measures
    }
    versus = {key: _corrected(found) for key, found in gaps.items()}
    entries = [_entry(arm, loaded[arm.name], measures, versus) for arm in arms]
    return SuiteComparison(
        suite=suite,
        reference=reference,
        headline=headline,
        measures=measures,
        entries=_ranked(entries, loaded, headline),
        notes=(
            *(f"warning: {arm.name}: {line}" for arm in arms for line in arm.warnings(suite)),
            *_notes(entries, loaded, arms, references, reference),
        ),
    )


def _entry(
    arm: Arm,
    rows: Sequence[tuple[int | None, SuiteScores]],
    measures: Sequence[Quantity],
    versus: Mapping[str, Mapping[str, Seeded]],
) -> Entry:
    scored = [one for _, one in rows]
    means: dict[str, Seeded] = {}
    by_seed: dict[str, tuple[float, ...]] = {}
    for measure in measures:
        problems = common_problems(scored, measure.key)
        if problems:
            found = cells(scored, measure.key, problems, fixed=arm.kind != "method")
            means[measure.key] = seeded_mean(found, share=measure.share)
            by_seed[measure.key] = tuple(float(value) for value in found.values_PS.mean(axis=0))
    own = {key: found[arm.name] for key, found in versus.items() if arm.name in found}
    return Entry(arm, means, own, by_seed)


def difference(loaded: Loaded, name: str, reference: str, measure: Quantity) -> Seeded | None:
    """Row `name` minus row `reference`; None if they have no seed or no problem in common."""
    left, right = loaded[name], loaded[reference]
    seeds = {seed for seed, _ in left} & {seed for seed, _ in right}
    if {None} not in ({seed for seed, _ in left}, {seed for seed, _ in right}):
        left, right = ([row for row in rows if row[0] in seeds] for rows in (left, right))
    ours, theirs = [one for _, one in left], [one for _, one in right]
    problems = common_problems([*ours, *theirs], measure.key) if ours and theirs else []
    if not problems:
        return None
    sides = [
        cells(side, measure.key, problems, fixed=all(seed is None for seed, _ in rows))
        for side, rows in ((ours, left), (theirs, right))
    ]
    single = measure.share and all(len(one.samples[measure.key][p]) == 1 for one in (*ours, *theirs) for p in problems)
    single = single and all({0.0, 1.0}.issuperset(side.values_PS.ravel().tolist()) for side in sides)
    try:
        return seeded_difference(sides[0], sides[1], share=measure.share, single=single)
    except DataError:
        return None


def _corrected(gaps: Mapping[str, Seeded]) -> dict[str, Seeded]:
    adjusted = holm([1.0 if gap.p is None else gap.p for gap in gaps.values()])
    return {name: replace(gap, p_holm=p) for (name, gap), p in zip(gaps.items(), adjusted, strict=True)}


def _ranked(entries: Sequence[Entry], loaded: Loaded, headline: Quantity) -> tuple[Entry, ...]:
    """Ranks by the headline; ties by Holm over all pairs. The order of the rows stays."""
    key = headline.key
    order = sorted((e for e in entries if key in e.means), key=lambda e: -e.means[key].value)
    names = [entry.arm.name for entry in order]
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    tested = {pair: gap.p for pair in pairs if (gap := difference(loaded, *pair, headline)) is not None}
    known = {pair: p for pair, p in tested.items() if p is not None}
    p_values = dict(zip(known, holm(list(known.values())), strict=True))
    places = rank_groups(names, p_values)
    return tuple(
        replace(entry, rank=place[0], letters=place[1]) if (place := places.get(entry.arm.name)) is not None else entry
        for entry in entries
    )


def _notes(
    entries: Sequence[Entry], loaded: Loaded, arms: Sequence[Arm], references: Sequence[str], reference: str | None
) -> list[str]:
    notes: list[str] = []
    if reference is not None and reference != references[0]:
        notes.append(f"{references[0]} has no scores here: differences are to {reference}")
    for entry in entries:
        scored = [one for _, one in loaded[entry.arm.name]]
        for key, mean in entry.means.items():
            dropped = len({p for one in scored for p in one.samples.get(key, {})}) - mean.n_problems
            if dropped and key in (ACCURACY.key, JUDGED.key):
                what = "1 problem is left out: not every seed has a score of it"
                many = f"{dropped} problems are left out: not every seed has a score of them"
                notes.append(f"{entry.arm.name}: {what if dropped == 1 else many}")
    wanted = max((len(arm.members) for arm in arms if arm.kind == "method"), default=0)
    notes += [
        f"{arm.name}: {len(loaded[arm.name])} of {wanted} seeds"
        for arm in arms
        if arm.kind == "method" and 0 < len(loaded[arm.name]) < wanted
    ]
    return notes
