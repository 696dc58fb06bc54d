"""Style control: what a model's score would be if its answers were as long and as formatted as the baseline's.

Votes are explained by the models' strengths plus four differences of style between the two answers (relative length;
density of headers, list items and bold passages), in one Bradley-Terry logistic regression. Judges prefer long,
structured answers, and this takes that part out.

The controlled score is the predicted share of votes at *no difference in style*, as in length-controlled AlpacaEval.
The official script centres the features on the mean over all battles it was given instead, so its scores depend on
which other models are on the table, and with one model alone nothing is controlled.

Source: Li et al. 2024, arXiv 2406.11939; LMSYS blog of 2024-08-28 on style control.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from harness.errors import DataError
from harness.types import Json
from judges.protocols.arena.score import ROUNDS, ArenaScore, Votes, resample

Array = npt.NDArray[np.float64]
Tokens = Literal["recorded", "words and marks"]
"""Where token counts come from: the files (gpt-4o's tokenizer), or our own count of words and punctuation marks."""
FEATURES = ("length", "headers", "lists", "bold")

_HEADER = re.compile(r"^#{1,6}\s", re.MULTILINE)
_LIST = re.compile(r"^[ \t]*(?:[0-9]+\.|[-*+])\s", re.MULTILINE)
_BOLD = re.compile(r"\*\*[^*\n]+\*\*|__[^_\n]+__")
_TOKEN = re.compile(r"\w+|[^\w\s]")
_RIDGE = 1e-6  # keeps the fit finite where one model won every vote
_STEPS = 100
_TOLERANCE = 1e-9
_BOTH_SIDES = 0.025  # share of answers that must lie at or beyond the baseline's style on either side
_CHUNK = 4_000_000  # cells (rounds x rows) held in memory at once


@dataclass(frozen=True, slots=True)
class Style:
    """Length and Markdown of one answer."""

    tokens: float
    headers: int
    lists: int
    bold: int
    source: Tokens


@dataclass(frozen=True)
class StyleScores:
    """Scores with style taken out."""

    scores: tuple[ArenaScore, ...]
    """Best first."""
    coefficients: Mapping[str, float]
    """Feature -> change in log-odds per standard deviation of the difference; positive: the judge likes more of it."""
    coefficient_ses: Mapping[str, float]
    tokens: Tokens
    extrapolated: Mapping[str, tuple[str, ...]]
    """Model -> features in which nearly all of its answers lie on one side of the baseline's: its score at equal style
    is then a guess beyond the data. Models without such a feature are left out."""


def style_of(text: str, metadata: Mapping[str, Json] | None = None) -> Style:
    """Style of an answer; Markdown is counted outside code fences.

    The token count is the recorded `token_len` where `metadata` has one, else the number of words and punctuation
    marks: the real tokenizer's table is not on every machine. Takes linear time.
    """
    prose = _without_code(text)
    recorded = metadata.get("token_len") if metadata is not None else None
    known = isinstance(recorded, int | float) and not isinstance(recorded, bool) and recorded >= 0
    tokens = float(recorded) if known and isinstance(recorded, int | float) else float(len(_TOKEN.findall(text)))
    return Style(
        tokens=tokens,
        headers=len(_HEADER.findall(prose)),
        lists=len(_LIST.findall(prose)),
        bold=len(_BOLD.findall(prose)),
        source="recorded" if known else "words and marks",
    )


def difference(model: Style, baseline: Style) -> tuple[float, float, float, float]:
    """The four features, in the order of `FEATURES`: model minus baseline, each between -1 and 1."""
    total = model.tokens + baseline.tokens
    length = (model.tokens - baseline.tokens) / total if total > 0 else 0.0
    densities = [
        (getattr(model, name) / (model.tokens + 1.0), getattr(baseline, name) / (baseline.tokens + 1.0))
        for name in FEATURES[1:]
    ]
    headers, lists, bold = ((own - other) / (own + other + 1.0) for own, other in densities)
    return length, headers, lists, bold


def style_scores(
    votes: Sequence[Votes],
    styles: Mapping[tuple[str, str], Style],
    *,
    rounds: int = ROUNDS,
    seed: int = 0,
) -> StyleScores:
    """Style-controlled scores of all models in `votes` (one category, one baseline).

    `styles` maps (model, uid), the baseline's answers included. Models share the style coefficients. Intervals are
    percentiles over resampled problems. Raises `DataError` if an answer's style is missing, if token counts come from
    two sources, or as `judges.protocols.arena.score.mean_scores` does.
    """
    table = _table(votes, styles)
    features, spread = _scaled(table)
    counts = resample(len(table.uids), rounds, seed)
    strengths, slopes = _fit(table, features, np.ones((1, len(table.uids))))
    draws, slope_draws = _fit_rounds(table, features, counts, (strengths, slopes))
    scores, drawn = _chance(strengths[0]), _chance(draws)
    low, high = np.percentile(drawn, (2.5, 97.5), axis=0)
    found = [
        ArenaScore(
            model=model,
            baseline=table.baseline,
            category=table.category,
            score=float(scores[number]),
            low=float(low[number]),
            high=float(high[number]),
            se=float(drawn[:, number].std(ddof=1)),
            n_problems=int((table.models == number).sum()),
            n_votes=round(float(table.total[table.models == number].sum())),
        )
        for number, model in enumerate(table.names)
    ]
    ses = slope_draws.std(axis=0, ddof=1)
    return StyleScores(
        scores=tuple(sorted(found, key=lambda row: (-row.score, row.model))),
        coefficients={name: float(slopes[0, i]) if spread[i] > 0 else 0.0 for i, name in enumerate(FEATURES)},
        coefficient_ses={name: float(ses[i]) if spread[i] > 0 else 0.0 for i, name in enumerate(FEATURES)},
        tokens=table.tokens,
        extrapolated=_extrapolated(table),
    )


@dataclass(frozen=True)
class _Table:
    """Votes as arrays, one row per model and problem, rows sorted by model."""

    names: tuple[str, ...]
    uids: tuple[str, ...]
    baseline: str
    category: str
    tokens: Tokens
    models: npt.NDArray[np.intp]
    problems: npt.NDArray[np.intp]
    points: Array
    total: Array
    differences: Array
    """Shape [rows, 4]."""


def _table(votes: Sequence[Votes], styles: Mapping[tuple[str, str], Style]) -> _Table:
    if not votes:
        raise DataError("there are no verdicts to score")
    ordered = sorted(votes, key=lambda vote: (vote.model, vote.uid))
    for first, second in itertools.pairwise(ordered):
        if (first.model, first.uid) == (second.model, second.uid):
            raise DataError(f"problem {first.uid!r} stands twice among the verdicts on {first.model!r}")
    for name, values in (
        ("baseline", {vote.baseline for vote in votes}),
        ("category", {vote.category for vote in votes}),
    ):
        if len(values) > 1:
            raise DataError(f"style control takes one {name} at a time, not {', '.join(map(repr, sorted(values)))}")
    needed = [key for vote in ordered for key in ((vote.model, vote.uid), (vote.baseline, vote.uid))]
    missing = sorted({key for key in needed if key not in styles})
    if missing:
        shown = ", ".join(f"{model} on {uid}" for model, uid in missing[:5])
        raise DataError(f"style control needs the answers, and {len(missing)} are missing: {shown}")
    sources = {styles[key].source for key in needed}
    if len(sources) > 1:
        raise DataError(
            "some answers have a recorded token count and some do not; lengths must be measured in one way: "
            "leave the metadata out, or record it for all answers"
        )
    names, uids = sorted({vote.model for vote in votes}), sorted({vote.uid for vote in votes})
    model_code, uid_code = {name: i for i, name in enumerate(names)}, {uid: i for i, uid in enumerate(uids)}
    pairs = [(styles[vote.model, vote.uid], styles[vote.baseline, vote.uid]) for vote in ordered]
    return _Table(
        names=tuple(names),
        uids=tuple(uids),
        baseline=votes[0].baseline,
        category=votes[0].category,
        tokens=sources.pop(),
        models=np.array([model_code[vote.model] for vote in ordered], dtype=np.intp),
        problems=np.array([uid_code[vote.uid] for vote in ordered], dtype=np.intp),
        points=np.array([vote.points for vote in ordered], dtype=np.float64),
        total=np.array([vote.total for vote in ordered], dtype=np.float64),
        differences=np.array([difference(own, other) for own, other in pairs], dtype=np.float64),
    )


def _scaled(table: _Table) -> tuple[Array, Array]:
    """The features in units of their standard deviation over votes, and those deviations; constant ones are 0."""
    raw = table.differences
    mean = np.average(raw, axis=0, weights=table.total)
    spread = np.sqrt(np.average((raw - mean) ** 2, axis=0, weights=table.total))
    spread = np.where(spread > 1e-12, spread, 0.0)
    return np.divide(raw, spread, out=np.zeros_like(raw), where=spread > 0.0), spread


def _extrapolated(table: _Table) -> dict[str, tuple[str, ...]]:
    found = {}
    for number, model in enumerate(table.names):
        own = table.differences[table.models == number]
        sides = np.minimum((own <= 0.0).mean(axis=0), (own >= 0.0).mean(axis=0))
        names = tuple(name for name, side in zip(FEATURES, sides, strict=True) if side < _BOTH_SIDES)
        if names:
            found[model] = names
    return found


def _fit_rounds(table: _Table, features: Array, counts: Array, start: tuple[Array, Array]) -> tuple[Array, Array]:
    step = max(1, _CHUNK // len(table.points))
    parts = [_fit(table, features, counts[i : i + step], start) for i in range(0, len(counts), step)]
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])


def _fit(
    table: _Table, features: Array, counts: Array, start: tuple[Array, Array] | None = None
) -> tuple[Array, Array]:
    """Strengths [rounds, models] and slopes [rounds, features] for problems weighted by `counts` [rounds, problems].

    Newton's method for all rounds at once. The Hessian of the strengths is diagonal, because every model meets only
    the baseline, so each step solves a system of the size of the style features alone (its Schur complement).
    """
    rounds, models, width = len(counts), len(table.names), features.shape[1]
    starts = np.flatnonzero(np.diff(table.models, prepend=-1))  # rows are sorted by model, and each model has some
    strengths = np.zeros((rounds, models)) if start is None else np.repeat(start[0], rounds, axis=0)
    slopes = np.zeros((rounds, width)) if start is None else np.repeat(start[1], rounds, axis=0)
    weight = counts[:, table.problems]
    total, points = weight * table.total, weight * table.points
    products = (features[:, :, None] * features[:, None, :]).reshape(len(features), -1)
    for _ in range(_STEPS):
        chance = _chance(strengths[:, table.models] + slopes @ features.T)
        residual, curvature = points - total * chance, total * chance * (1.0 - chance)
        toward_strengths = np.add.reduceat(residual, starts, axis=1) - _RIDGE * strengths
        toward_slopes = residual @ features - _RIDGE * slopes
        diagonal = np.add.reduceat(curvature, starts, axis=1) + _RIDGE
        mixed = np.stack(
            [np.add.reduceat(curvature * features[:, column], starts, axis=1) for column in range(width)], axis=2
        )
        shared = (curvature @ products).reshape(rounds, width, width) + _RIDGE * np.eye(width)
        scaled = mixed / diagonal[:, :, None]
        schur = shared - np.einsum("rmi,rmj->rij", mixed, scaled)
        right = toward_slopes - np.einsum("rmi,rm->ri", scaled, toward_strengths)
        slope_step = np.linalg.solve(schur, right[:, :, None])[:, :, 0]
        strength_step = toward_strengths / diagonal - np.einsum("rmi,ri->rm", scaled, slope_step)
        slopes += np.clip(slope_step, -2.0, 2.0)  # far from the optimum a full step overshoots
        strengths += np.clip(strength_step, -2.0, 2.0)
        if max(float(np.abs(slope_step).max()), float(np.abs(strength_step).max())) < _TOLERANCE:
            break
    return strengths, slopes


def _chance(logits: Array) -> Array:
    chance: Array = 1.0 / (1.0 + np.exp(-np.clip(logits, -60.0, 60.0)))
    return chance


def _without_code(text: str) -> str:
    """The text outside ``` fences; a fence that is never closed is text."""
    parts = text.split("```")
    outside = parts[0::2] + (parts[-1:] if len(parts) % 2 == 0 else [])
    return "\n".join(outside)
