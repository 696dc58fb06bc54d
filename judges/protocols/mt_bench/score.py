"""MT-Bench's numbers: from ratings, or from judgments that somebody has stored, to scores per model.

A model's rating is the mean over all judged answers, both turns alike, on the scale of 1 to 10; a judgment without a
rating enters no mean and is counted. Intervals are clustered by question, because both turns of a question (and all
attempts at it) share it.

A pairwise win needs both orders: if the judge changes its mind, or calls one game a tie, the pair is a tie. Pairs
with a game that could not be read are left out and counted.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from harness.errors import DataError
from harness.stats.standard_errors import mean_interval
from harness.types import STATUSES, Estimate, Status
from judges.protocols.mt_bench.files import CATEGORIES, PairRow, SingleRow, Winner, category_of
from judges.protocols.mt_bench.prompts import HIGH, LOW, find_rating, in_range
from judges.protocols.stored_rows import some

RATING = "rating"
TURNS = ("turn_1", "turn_2")


@dataclass(frozen=True, slots=True)
class Rated:
    """One judged answer."""

    problem_id: str
    question: str
    turn: int
    category: str
    rating: float | None
    """1 to 10; None if there is none."""
    status: Status = "scored"


@dataclass(frozen=True)
class MtBenchScore:
    """What stored judgments say of one model."""

    model: str
    judge: str
    estimates: Mapping[str, Estimate]
    """As `rating_estimates`, each on the scale of 1 to 10."""
    n: int
    """Judgments with a rating, the ones behind `estimates["rating"]`."""
    unparsed: int
    """Judgments without a rating: left out."""
    repeated: int
    """Further judgments of answers that were judged already (`dup` above 0): left out."""
    missing: int
    """Turns of the 80 questions that have no row at all."""
    mismatched: tuple[str, ...]
    """Rows whose text gives another rating than the one recorded; the recorded one counts."""


@dataclass(frozen=True)
class PairScore:
    """What stored pairwise judgments say of one model, over all of its opponents."""

    model: str
    judge: str
    wins: int
    ties: int
    losses: int
    unparsed: int
    """Pairs with a game that could not be read: left out."""
    adjusted: Estimate
    """(wins + ties / 2) / (wins + ties + losses)."""

    @property
    def n(self) -> int:
        """Pairs that count."""
        return self.wins + self.ties + self.losses


def rating_estimates(rated: Sequence[Rated]) -> dict[str, Estimate]:
    """Estimates "rating", "rating:turn_1", "rating:turn_2" and "rating:<category>", on the scale of 1 to 10.

    Bounds are what the mean could have been had the missing ratings all been 1, or all 10. A part without any rating is
    left out; raises `DataError` if that is true of the whole.
    """
    if all(one.rating is None for one in rated):
        raise DataError(f"none of the {len(rated)} judged answers has a rating")
    groups = {RATING: list(rated)}
    groups |= {f"{RATING}:{name}": [one for one in rated if one.turn == i] for i, name in enumerate(TURNS, 1)}
    groups |= {f"{RATING}:{name}": [one for one in rated if one.category == name] for name in CATEGORIES}
    return {name: _estimate(group) for name, group in groups.items() if any(one.rating is not None for one in group)}


def problem_ratings(rated: Sequence[Rated]) -> dict[str, float]:
    """Problem id -> mean rating of its attempts; problems without a rating are left out."""
    found: dict[str, list[float]] = defaultdict(list)
    for one in rated:
        if one.rating is not None:
            found[one.problem_id].append(one.rating)
    return {problem: sum(ratings) / len(ratings) for problem, ratings in found.items()}


def _estimate(rated: Sequence[Rated]) -> Estimate:
    """Mean over problems of the mean over attempts."""
    means = problem_ratings(rated)
    question = {one.problem_id: one.question for one in rated}
    mean = mean_interval(np.array(list(means.values())), [question[problem] for problem in means], share=False)
    counts = Counter(one.status for one in rated)
    missing = sum(one.rating is None for one in rated)
    bounds = None if missing == 0 else _bounds(rated)
    found = mean.estimate(len(rated) - missing, {status: counts[status] for status in STATUSES}, bounds)
    return replace(found, low=max(LOW, mean.low), high=min(HIGH, mean.high))


def _bounds(rated: Sequence[Rated]) -> tuple[float, float]:
    low, high = (
        problem_ratings([Rated(o.problem_id, o.question, o.turn, o.category, o.rating or end) for o in rated])
        for end in (LOW, HIGH)
    )
    return sum(low.values()) / len(low), sum(high.values()) / len(high)


def score_judgments(rows: Iterable[SingleRow]) -> list[MtBenchScore]:
    """Scores of every model (and judge) in stored single-answer judgments, best first.

    Where a row has no score, its text is read. Raises `DataError` if there are no rows, if a judgment stands twice
    without being marked as repeated, or if a model has no rating at all.
    """
    groups: dict[tuple[str, str], list[SingleRow]] = defaultdict(list)
    for row in rows:
        groups[row.model, row.judge].append(row)
    if not groups:
        raise DataError("there are no judgments to score")
    scores = [_model_score(model, judge, group) for (model, judge), group in groups.items()]
    return sorted(scores, key=lambda score: (-score.estimates[RATING].value, score.model, score.judge))


def _model_score(model: str, judge: str, rows: Sequence[SingleRow]) -> MtBenchScore:
    first = [row for row in rows if row.dup == 0]
    _refuse_twice(((row.question_id, row.turn), row.where) for row in first)
    rated = [_rated(row) for row in first]
    try:
        estimates = rating_estimates(rated)
    except DataError as error:
        raise DataError(f"{model}: {error}") from error
    unparsed = sum(one.rating is None for one in rated)
    mismatched = [row.where or f"{row.question_id}/{row.turn}" for row in rows if _mismatch(row)]
    return MtBenchScore(
        model=model,
        judge=judge,
        estimates=estimates,
        n=len(rated) - unparsed,
        unparsed=unparsed,
        repeated=len(rows) - len(first),
        missing=2 * 10 * len(CATEGORIES) - len(first),
        mismatched=tuple(mismatched),
    )


def _rated(row: SingleRow) -> Rated:
    rating = _recorded(row)
    question = str(row.question_id)
    return Rated(
        problem_id=f"{question}/{row.turn}",
        question=question,
        turn=row.turn,
        category=category_of(row.question_id),
        rating=rating,
        status="scored" if rating is not None else "unscored",
    )


def _recorded(row: SingleRow) -> float | None:
    return in_range(row.score) if row.score is not None else find_rating(row.judgment)


def _mismatch(row: SingleRow) -> bool:
    return bool(row.judgment) and _recorded(row) != find_rating(row.judgment)


def score_pairs(rows: Iterable[PairRow]) -> list[PairScore]:
    """Wins, ties and losses of every model in stored pairwise judgments, best first; raises as `score_judgments`."""
    found = list(rows)
    if not found:
        raise DataError("there are no judgments to score")
    _refuse_twice(
        ((r.question_id, r.turn, *sorted((r.model_1, r.model_2)), r.judge), r.where or str(r.question_id))
        for r in found
    )
    results: dict[tuple[str, str], list[tuple[str, float | None]]] = defaultdict(list)
    for row in found:
        winner = pair_winner(row.winners)
        for side, model in (("model_1", row.model_1), ("model_2", row.model_2)):
            value = None if winner == "error" else 0.5 if winner == "tie" else float(winner == side)
            results[model, row.judge].append((str(row.question_id), value))
    scores = [_pair_score(model, judge, values) for (model, judge), values in results.items()]
    return sorted(scores, key=lambda score: (-score.adjusted.value, score.model, score.judge))


def pair_winner(winners: tuple[Winner, Winner]) -> Winner:
    """Who wins by both games: only who wins both of them."""
    if "error" in winners:
        return "error"
    return winners[0] if winners[0] == winners[1] else "tie"


def _pair_score(model: str, judge: str, values: Sequence[tuple[str, float | None]]) -> PairScore:
    known = [(question, value) for question, value in values if value is not None]
    if not known:
        raise DataError(f"{model}: none of its {len(values)} pairs has both verdicts")
    counts = Counter(value for _, value in known)
    mean = mean_interval(np.array([value for _, value in known]), [question for question, _ in known])
    missing = len(values) - len(known)
    status: Counter[Status] = Counter({"scored": len(known), "unscored": missing})
    won = sum(value for _, value in known)
    return PairScore(
        model=model,
        judge=judge,
        wins=counts[1.0],
        ties=counts[0.5],
        losses=counts[0.0],
        unparsed=missing,
        adjusted=mean.estimate(
            len(known),
            {name: status[name] for name in STATUSES},
            (won / len(values), (won + missing) / len(values)) if missing else None,
            n_problems=len({question for question, _ in known}),
        ),
    )


def _refuse_twice(keys: Iterable[tuple[Hashable, str]]) -> None:
    """Raise `DataError` naming the rows whose key was there before."""
    first: dict[Hashable, str] = {}
    twice: list[str] = []
    for key, where in keys:
        if key in first:
            twice.append(f"{where} (as {first[key]})" if first[key] != where else where)
        else:
            first[key] = where
    if twice:
        raise DataError(
            f"{len(twice)} judgments stand twice: {some(twice)}. Mark repeats with dup 1, or leave them out"
        )
