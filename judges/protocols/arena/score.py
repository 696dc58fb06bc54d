"""Arena-Hard's scores: mean vote (v2) and Bradley-Terry win rate against the baseline (v0.1), with honest intervals.

Both take the votes of each model against its baseline, summed over the two games of a problem, and give the share of
votes won, ties half. Where every model meets only the baseline, as in this benchmark, the two are the same number.

Intervals resample *problems* with a seeded generator: the two games of a problem, and the three votes of a clear
verdict, are not independent draws. The official script resamples single votes, 100 times, without a seed, and prints
the 5-95 % range as its interval, which is half as wide as one.

Source: Li et al. 2024, arXiv 2406.11939; the scripts of lmarena/arena-hard-auto.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.errors import DataError
from harness.stats.standard_errors import Mean, mean_interval

Array = npt.NDArray[np.float64]
ROUNDS = 1000
"""Bootstrap rounds; the 2.5 % points then move by about 0.05 standard errors between seeds."""
_RIDGE = 1e-6  # keeps the rating of a model that won every vote finite; moves no other win rate by 1e-8
_STEPS = 200
_TOLERANCE = 1e-10


@dataclass(frozen=True, slots=True)
class Votes:
    """One model's votes against its baseline on one problem, all games together."""

    uid: str
    model: str
    baseline: str
    won: float
    tied: float
    lost: float
    category: str = ""

    @classmethod
    def of(cls, uid: str, model: str, baseline: str, games: Iterable[tuple[float, float]], category: str = "") -> Votes:
        """From what each game says about the model: value (1, 0.5 or 0) and weight in votes."""
        tally = {1.0: 0.0, 0.5: 0.0, 0.0: 0.0}
        for value, weight in games:
            tally[value] += weight
        return cls(uid, model, baseline, tally[1.0], tally[0.5], tally[0.0], category)

    @property
    def total(self) -> float:
        """Number of votes."""
        return self.won + self.tied + self.lost

    @property
    def points(self) -> float:
        """Votes won, a tie counting half."""
        return self.won + 0.5 * self.tied


@dataclass(frozen=True, slots=True)
class ArenaScore:
    """A model's score in one category."""

    model: str
    baseline: str
    category: str
    score: float
    """Share of votes won against the baseline, in [0, 1]."""
    low: float
    high: float
    """95 % interval."""
    se: float
    n_problems: int
    n_votes: int


def ratio(
    points: Mapping[str, float], totals: Mapping[str, float], clusters: Mapping[str, str]
) -> tuple[Mean, dict[str, float]]:
    """Sum of points over sum of totals, with linearised standard error and a 95 % interval inside [0, 1].

    Weights are random too (votes per problem); problems are the unit of sampling. The second part maps a problem to its
    pseudo-value S + (w / mean w)(s - S): their mean is S, and their spread gives its standard error.

    All three map problem ids; problems with the same non-empty cluster are one draw. Raises `DataError` if empty.
    """
    if not points:
        raise DataError("no problem has a complete pair of verdicts, so there is no score")
    problems = sorted(points)
    won = np.array([points[problem] for problem in problems], dtype=np.float64)
    votes = np.array([totals[problem] for problem in problems], dtype=np.float64)
    score = float(won.sum() / votes.sum())
    pseudo = score + (won - score * votes) / float(votes.mean())
    mean = mean_interval(pseudo, [clusters.get(problem, "") for problem in problems])
    return mean, {problem: float(value) for problem, value in zip(problems, pseudo, strict=True)}


def resample(count: int, rounds: int, seed: int) -> Array:
    """How often each of `count` problems is drawn in each bootstrap round, shape [rounds, count]."""
    generator = np.random.default_rng(seed)
    return generator.multinomial(count, np.full(count, 1.0 / count), size=rounds).astype(np.float64)


def mean_scores(votes: Sequence[Votes], *, rounds: int = ROUNDS, seed: int = 0) -> list[ArenaScore]:
    """Share of votes won, per category and model (the estimator of v2), best first within a category.

    The interval is the percentile bootstrap over problems; where every problem has the same score it is the exact
    binomial limit, because resampling equal values shows no spread. Raises `DataError` for no votes or a problem that
    stands twice.
    """
    found = []
    counts = functools.cache(lambda size: resample(size, rounds, seed))  # the same draw for models of the same problems
    for (category, model), group in _groups(votes).items():
        won, total = _columns(group)
        score = float(won.sum() / total.sum())
        exact, _ = ratio(*_by_problem(group), {})
        low, high = exact.low, exact.high
        if exact.se > 0.0:
            drawn = counts(len(group))
            low, high = _percentiles((drawn @ won) / (drawn @ total))
        found.append(
            ArenaScore(
                model, group[0].baseline, category, score, low, high, exact.se, len(group), round(float(total.sum()))
            )
        )
    return sorted(found, key=lambda row: (row.category, -row.score, row.model))


def bradley_terry_scores(votes: Sequence[Votes], *, rounds: int = ROUNDS, seed: int = 0) -> list[ArenaScore]:
    """Win rate against the baseline from Bradley-Terry ratings (the estimator of v0.1), per category, best first.

    Ratings are the maximum likelihood fit to all votes of the category, a tie being half a win for each side; the win
    rate is 1 / (1 + 10^((R_baseline - R_model) / 400)). Models are resampled on the same problems. Raises `DataError`
    as `mean_scores`, and for a category with two baselines.
    """
    groups = _groups(votes)
    found = []
    for category in sorted({category for category, _ in groups}):
        members = {model: group for (other, model), group in groups.items() if other == category}
        baselines = sorted({vote.baseline for group in members.values() for vote in group})
        if len(baselines) > 1:
            raise DataError(f"one category has several baselines: {', '.join(map(repr, baselines))}; score them apart")
        names = sorted(members)
        uids = sorted({vote.uid for group in members.values() for vote in group})
        row = {uid: number for number, uid in enumerate(uids)}
        won, total = np.zeros((len(uids), len(names))), np.zeros((len(uids), len(names)))
        for column, name in enumerate(names):
            for vote in members[name]:
                won[row[vote.uid], column], total[row[vote.uid], column] = vote.points, vote.total
        players = [*names, baselines[0]]
        pairs = [(number, len(names)) for number in range(len(names))]
        point = _win_rates(won.sum(axis=0)[None], total.sum(axis=0)[None], pairs, len(players))[0]
        counts = resample(len(uids), rounds, seed)
        draws = _win_rates(counts @ won, counts @ total, pairs, len(players))
        for column, name in enumerate(names):
            low, high = _percentiles(draws[:, column])
            se, n_votes = float(draws[:, column].std(ddof=1)), round(float(total[:, column].sum()))
            n = len(members[name])
            found.append(ArenaScore(name, baselines[0], category, float(point[column]), low, high, se, n, n_votes))
    return sorted(found, key=lambda item: (item.category, -item.score, item.model))


def bradley_terry(won: Array, total: Array, pairs: Sequence[tuple[int, int]], players: int) -> Array:
    """Maximum-likelihood ratings in points (400 per factor of ten in odds), the last player's being 1000.

    `won` and `total` have shape [rounds, pairs]: votes of the first player of each pair, ties counted half, and all
    votes of the pair. Returns shape [rounds, players]. All rounds are fitted at once by Newton's method.
    """
    design = np.zeros((len(pairs), players))
    for number, (first, second) in enumerate(pairs):
        design[number, first], design[number, second] = 1.0, -1.0
    design = design[:, :-1]  # the last player is the zero of the scale
    products = (design[:, :, None] * design[:, None, :]).reshape(len(pairs), -1)
    strengths = np.zeros((len(won), players - 1))
    for _ in range(_STEPS):
        chance = 1.0 / (1.0 + np.exp(-(strengths @ design.T)))
        gradient = (won - total * chance) @ design - _RIDGE * strengths
        hessian = ((total * chance * (1.0 - chance)) @ products).reshape(-1, players - 1, players - 1)
        step = np.linalg.solve(hessian + _RIDGE * np.eye(players - 1), gradient[:, :, None])[:, :, 0]
        strengths += np.clip(step, -2.0, 2.0)  # far from the optimum a full step overshoots
        if float(np.abs(step).max()) < _TOLERANCE:
            break
    ratings: Array = 1000.0 + 400.0 / math.log(10.0) * np.pad(strengths, ((0, 0), (0, 1)))
    return ratings


def _win_rates(won: Array, total: Array, pairs: Sequence[tuple[int, int]], players: int) -> Array:
    ratings = bradley_terry(won, total, pairs, players)
    rates: Array = 1.0 / (1.0 + 10.0 ** ((ratings[:, -1:] - ratings[:, :-1]) / 400.0))
    return rates


def _groups(votes: Sequence[Votes]) -> dict[tuple[str, str], list[Votes]]:
    """Votes per (category, model), each sorted by problem."""
    if not votes:
        raise DataError("there are no verdicts to score")
    groups: dict[tuple[str, str], dict[str, Votes]] = {}
    for vote in votes:
        group = groups.setdefault((vote.category, vote.model), {})
        if vote.uid in group:
            raise DataError(f"problem {vote.uid!r} stands twice among the verdicts on {vote.model!r}")
        if vote.total <= 0:
            raise DataError(f"problem {vote.uid!r} has no vote on {vote.model!r}")
        group[vote.uid] = vote
    return {key: [group[uid] for uid in sorted(group)] for key, group in sorted(groups.items())}


def _columns(group: Sequence[Votes]) -> tuple[Array, Array]:
    return np.array([vote.points for vote in group]), np.array([vote.total for vote in group])


def _by_problem(group: Sequence[Votes]) -> tuple[dict[str, float], dict[str, float]]:
    return {vote.uid: vote.points for vote in group}, {vote.uid: vote.total for vote in group}


def _percentiles(draws: Array) -> tuple[float, float]:
    low, high = np.percentile(draws, (2.5, 97.5))
    return float(low), float(high)
