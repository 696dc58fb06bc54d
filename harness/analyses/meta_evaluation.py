"""Does a judge rate translations and summaries as people do? Correlations over texts, within sources, over systems.

The judge rates each output by a rubric of each aspect; a rating that cannot be read is unread and enters no
correlation, so coverage stands beside every one, and Spearman with unread ratings as the lowest (dropping them flatters
a judge that fails on the hard ones). Within sources: mean of the rank correlations over the systems of each. Pairs in
order: of two outputs for one source, how often the judge orders them as people do, ties calibrated (Deutsch et al.
2023). Over systems: of their mean ratings.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from harness.analyses.base import Analysis, AnalysisContext, measured, told
from harness.analyses.human_ratings import RatedText, read_ratings
from harness.analyses.judging import Verdicts, judge_texts
from harness.errors import DataError, UsageError
from harness.report.table import Column, Row, Table, column, number
from harness.run.folder import RunFolder
from harness.stats.correlations import calibrated_accuracy, kendall, pearson, spearman
from harness.stats.ranks import rank_correlations
from harness.stats.resampling import cluster_intervals, ratio
from harness.stats.standard_errors import Array
from harness.types import Json
from judges.prompts.rubric import load_rubric
from judges.types import Task

_FEWEST = 3
"""Texts, or systems, of a correlation."""
ASPECTS = ("adequacy", "fluency", "coherence", "consistency", "relevance")


@dataclass(frozen=True)
class MetaEvaluation(Analysis):
    """Whether a judge rates translations and summaries as people do: correlations, with how much it could rate at all.

    --ratings is a file of outputs that people rated (docs/analyses.md has its columns); --judge rates each of them by
    the rubric of each --aspect. Takes no RUN.
    """

    runs = ""
    least = 0

    ratings: Path
    """Outputs and what people gave them, by row."""
    judge: str
    """Model that rates."""
    aspect: tuple[str, ...] = field(default=(), metadata={"shown": "NAME[=RUBRIC]"})
    """Column of ratings, and rubric where it is called otherwise; repeat for more (adequacy, fluency, coherence, …)."""
    judge_arg: tuple[str, ...] = field(default=(), metadata={"shown": "KEY=VALUE"})
    """Option of the judge's engine; repeat for more."""
    limit: int | None = field(default=None, metadata={"least": 1})
    """Sources, at most: the first of the file."""

    def tables(self, runs: Sequence[RunFolder], context: AnalysisContext) -> list[Table]:
        """Correlations over texts, then over systems."""
        if not self.aspect:
            raise UsageError(f"say --aspect NAME, a column of ratings: {', '.join(ASPECTS)}, or NAME=RUBRIC")
        rubrics = {name: rubric or name for name, _, rubric in (one.partition("=") for one in self.aspect)}
        for rubric in rubrics.values():
            if load_rubric(rubric).kind not in ("rating", "points"):
                raise UsageError(f"--aspect: the rubric {rubric} gives no points")
        texts = read_ratings(self.ratings, list(rubrics))
        kept = set(list(dict.fromkeys(one.segment for one in texts))[: self.limit])
        texts = [one for one in texts if one.segment in kept]
        rated = {name: [one for one in texts if name in one.ratings] for name in rubrics}
        if empty := [name for name, some in rated.items() if len(some) < _FEWEST]:
            raise DataError(f"{self.ratings}: fewer than {_FEWEST} outputs have a rating of {empty[0]!r}")
        asked = {rubric: {_key(one): _task(one) for name in rubrics if rubrics[name] == rubric for one in rated[name]}
                 for rubric in rubrics.values()}  # fmt: skip
        verdicts = judge_texts(
            self.judge, self.judge_arg, {rubric: list(tasks.values()) for rubric, tasks in asked.items()}, context
        )
        sides = {name: _Sides.of(rated[name], name, verdicts[rubrics[name]]) for name in rubrics}
        notes = [f"{self.judge} over {len(kept)} sources, {len({one.system for one in texts})} systems"]
        unrated = {name: len(texts) - len(some) for name, some in rated.items() if len(some) < len(texts)}
        notes += [f"{name}: {count} outputs are left out, nobody rated them" for name, count in unrated.items()]
        return [
            Table(
                "Judge and people, text by text", _TEXT_COLUMNS, tuple(map(_over_texts, sides.values())), tuple(notes)
            ),
            Table("Judge and people, over systems", _SYSTEM_COLUMNS, tuple(map(_over_systems, sides.values())), ()),
        ]


def _key(one: RatedText) -> str:
    return f"{one.segment}\x1f{one.system}"


def _task(one: RatedText) -> Task:
    return Task(_key(one), 0, (one.source,), (one.output,), reference=one.reference)


@dataclass(frozen=True)
class _Sides:
    """What people and the judge gave the texts of one aspect."""

    aspect: str
    segments: tuple[str, ...]
    systems: tuple[str, ...]
    people: Array
    judge: Array
    """From 0 to 1; NaN where it could not be read."""

    @classmethod
    def of(cls, texts: Sequence[RatedText], aspect: str, verdicts: Verdicts) -> _Sides:
        found = [verdicts[_key(one), 0] for one in texts]
        return cls(
            aspect,
            tuple(one.segment for one in texts),
            tuple(one.system for one in texts),
            np.array([one.ratings[aspect] for one in texts]),
            np.array([np.nan if one is None else one.value for one in found]),
        )

    @property
    def read(self) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        return ~np.isnan(self.judge)


def _over_texts(sides: _Sides) -> Row:
    read = sides.read
    judge, people = sides.judge[read], sides.people[read]
    segments = [one for one, known in zip(sides.segments, read, strict=True) if known]
    row: dict[str, Json] = {
        "aspect": sides.aspect,
        "texts": len(read),
        "unread": int((~read).sum()),
        "coverage": float(read.mean()),
    }
    if len(judge) < _FEWEST:
        return row
    found = cluster_intervals(partial(_correlations, judge, people), segments)
    lowest = np.where(read, sides.judge, 0.0)
    worst = cluster_intervals(lambda weights: {"lowest": spearman(lowest, sides.people, weights)}, sides.segments)
    within, pairs = _within(segments, judge, people)
    rho, tau = (cluster_intervals(partial(_mean, one), list(within))["mean"] for one in _both(within))
    cells = {**found, **worst, "within_spearman": rho, "within_kendall": tau}
    return {
        **row,
        **{key: told(*value) for key, value in cells.items()},
        "in_order": _known(calibrated_accuracy(*pairs)),
    }


def _correlations(judge: Array, people: Array, weights: Array) -> dict[str, float]:
    return {
        "pearson": pearson(judge, people, weights),
        "spearman": spearman(judge, people, weights),
        "kendall": kendall(judge, people, weights),
    }


def _within(
    segments: Sequence[str], judge: Array, people: Array
) -> tuple[dict[str, tuple[float, float]], tuple[Array, Array]]:
    """Of each source (Spearman, Kendall) over its outputs, and the differences of all its pairs on both sides."""
    places: dict[str, list[int]] = {}
    for place, segment in enumerate(segments):
        places.setdefault(segment, []).append(place)
    found: dict[str, tuple[float, float]] = {}
    pairs: list[tuple[float, float]] = []
    for segment, some in places.items():
        rho, tau = rank_correlations(judge[some][None], people[some][None])
        found[segment] = (float(rho[0]), float(tau[0]))
        pairs += [(judge[a] - judge[b], people[a] - people[b]) for a, b in itertools.combinations(some, 2)]
    x, y = np.array(pairs, dtype=np.float64).reshape(-1, 2).T
    return found, (np.round(x, 9), np.round(y, 9))


def _both(within: Mapping[str, tuple[float, float]]) -> tuple[Array, Array]:
    """Both correlations by source; NaN where one side gives all outputs the same."""
    rho, tau = np.array(list(within.values())).reshape(-1, 2).T
    return rho, tau


def _mean(values: Array, weights: Array) -> dict[str, float]:
    known = ~np.isnan(values)
    return {"mean": ratio(float(weights[known] @ values[known]), float(weights[known].sum()))}


def _over_systems(sides: _Sides) -> Row:
    """Of the mean ratings of systems, over texts that the judge rated."""
    read = sides.read
    names = sorted({one for one, known in zip(sides.systems, read, strict=True) if known})
    row: dict[str, Json] = {"aspect": sides.aspect, "systems": len(names)}
    means = []
    for name in names:
        own = read & np.array([one == name for one in sides.systems])
        means.append((sides.judge[own].mean(), sides.people[own].mean()))
    judge, people = np.round(np.array(means).reshape(-1, 2).T, 9)
    even = np.ones(len(names))
    if len(names) >= _FEWEST:
        row |= {key: _known(value) for key, value in _correlations(judge, people, even).items()}
    pairs = [(judge[a] - judge[b], people[a] - people[b]) for a, b in itertools.combinations(range(len(names)), 2)]
    told_apart = [(x, y) for x, y in pairs if y != 0]
    row["in_order"] = sum(x * y > 0 for x, y in told_apart) / len(told_apart) if told_apart else None
    return row


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _plain(title: str, key: str, scale: float = 1.0, digits: int = 3) -> Column:
    def show(row: Row) -> str:
        value = number(row, key)
        return "-" if value is None else f"{scale * value:.{digits}f}"

    return Column(title, show, right=True)


_TEXT_COLUMNS = (
    column("aspect"),
    column("texts", right=True),
    column("unread", right=True),
    _plain("coverage [%]", "coverage", 100, 1),
    measured("Pearson [%]", "pearson"),
    measured("Spearman [%]", "spearman"),
    measured("unread lowest [%]", "lowest"),
    measured("Kendall [%]", "kendall"),
    measured("within sources: Spearman [%]", "within_spearman"),
    measured("Kendall [%]", "within_kendall"),
    _plain("pairs in order [%]", "in_order", 100, 1),
)
_SYSTEM_COLUMNS = (
    column("aspect"),
    column("systems", right=True),
    _plain("Pearson", "pearson"),
    _plain("Spearman", "spearman"),
    _plain("Kendall", "kendall"),
    _plain("pairs in order [%]", "in_order", 100, 1),
)
