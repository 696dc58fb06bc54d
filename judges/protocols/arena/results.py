"""Score Arena-Hard judgments of any origin: official files, files of v0.1, compact battles, or our own export.

A pair with a failed game is left out and counted: a model that failed only where it would have lost must not profit
unseen. Recorded verdicts are read again from the judge's text, where the file keeps it, and disagreements are counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.datasets.local import Raw
from harness.errors import DataError
from judges.protocols.arena.files import Games, read_battle, read_pair
from judges.protocols.arena.labels import LABELS, parse_label
from judges.protocols.arena.score import ROUNDS, ArenaScore, Votes, bradley_terry_scores, mean_scores
from judges.protocols.arena.style import Style, StyleScores, style_of, style_scores
from judges.protocols.stored_rows import Answer, some
from judges.types import Malformed


@dataclass(frozen=True)
class Verdicts:
    """All votes of one judge, what could not be used, and the scores."""

    judge: str
    """Empty where the files do not name one."""
    votes: tuple[Votes, ...]
    dropped: tuple[tuple[Games, str], ...]
    """Pairs of games without a score, and why."""
    disagreements: tuple[str, ...]
    """"row: recorded A>B, its text says B>A", for every game whose text reads otherwise than recorded."""
    mean: tuple[ArenaScore, ...] = ()
    """Scores by mean vote, the estimator of v2; `score_judgments` fills them in."""
    bradley_terry: tuple[ArenaScore, ...] = ()
    """Bradley-Terry win rates, the estimator of v0.1."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader of the scores must know."""
        warnings = []
        if self.dropped:
            named = [f"{pair.model} on {pair.uid} ({why})" for pair, why in self.dropped]
            warnings.append(
                f"{len(named)} of {len(named) + len(self.votes)} pairs are left out, as the official script does "
                f"silently: {some(named)}"
            )
        if self.disagreements:
            warnings.append(
                f"{len(self.disagreements)} recorded verdicts differ from what their text says (the recorded ones "
                f"were scored): {some(self.disagreements)}"
            )
        per_model: dict[tuple[str, str], set[str]] = {}
        for vote in self.votes:
            per_model.setdefault((vote.category, vote.model), set()).add(vote.uid)
        for category in sorted({category for category, _ in per_model}):
            sets = [uids for (other, _), uids in per_model.items() if other == category]
            if len(set(map(frozenset, sets))) > 1:
                common, most = len(set.intersection(*sets)), max(map(len, sets))
                warnings.append(
                    f"models were judged on different questions{f' in {category!r}' if category else ''}: "
                    f"{common} in common of up to {most}; their scores are not strictly comparable"
                )
        return tuple(warnings)


def read_verdicts(rows: Sequence[Raw]) -> list[Verdicts]:
    """Votes per judge, judges sorted by name.

    Raises `DataError` naming the rows for a pair that stands twice, for a verdict that is none, and for no rows.
    """
    if not rows:
        raise DataError("there are no judgments to score")
    battles = [raw for raw in rows if "winner" in raw.fields]
    pairs = [read_pair(raw) for raw in rows if "winner" not in raw.fields]
    _refuse_twice(pairs)
    found = [_of_pairs(judge, [pair for pair in pairs if pair.judge == judge]) for judge in _judges(pairs)]
    if battles:
        if pairs:
            raise DataError("battles and judgments in one call: score them apart, they may hold the same verdicts")
        found.append(Verdicts("", _of_battles(battles), (), ()))
    return found


def score_judgments(rows: Sequence[Raw], *, rounds: int = ROUNDS) -> list[Verdicts]:
    """Scores per judge, category and model, by both estimators; see `read_verdicts` for what is refused."""
    results = []
    for verdicts in read_verdicts(rows):
        if not verdicts.votes:
            raise DataError(f"judge {verdicts.judge!r}: none of the {len(verdicts.dropped)} pairs has both verdicts")
        mean = tuple(mean_scores(verdicts.votes, rounds=rounds))
        ratings = tuple(bradley_terry_scores(verdicts.votes, rounds=rounds))
        results.append(replace(verdicts, mean=mean, bradley_terry=ratings))
    return results


def score_with_style(
    rows: Sequence[Raw],
    answers: Sequence[Answer],
    *,
    rounds: int = ROUNDS,
) -> list[tuple[str, StyleScores]]:
    """(judge, style-controlled scores) per judge and category; `answers` are those of all models and baselines.

    Recorded token counts are used if every answer has one, else our own count for all. Raises `DataError` as
    `read_verdicts`, for an answer that is missing and for one that stands twice.
    """
    recorded = all("token_len" in answer.metadata for answer in answers)
    styles: dict[tuple[str, str], Style] = {}
    for answer in answers:
        key = (answer.model, answer.question)
        if key in styles:
            raise DataError(f"the answer of {answer.model!r} to {answer.question!r} stands twice")
        styles[key] = style_of(answer.turns[-1], answer.metadata if recorded else None)
    found = []
    for verdicts in read_verdicts(rows):
        for category in sorted({vote.category for vote in verdicts.votes}):
            votes = [vote for vote in verdicts.votes if vote.category == category]
            scores = style_scores(votes, styles, rounds=rounds)
            found.append((verdicts.judge, scores))
    return found


def _judges(pairs: Sequence[Games]) -> list[str]:
    return sorted({pair.judge for pair in pairs})


def _refuse_twice(pairs: Sequence[Games]) -> None:
    seen: dict[tuple[str, str, str], str] = {}
    twice = []
    for pair in pairs:
        key = (pair.judge, pair.model, pair.uid)
        if key in seen:
            twice.append(f"{pair.where} repeats {seen[key]} ({pair.model!r} on {pair.uid!r})")
        seen.setdefault(key, pair.where)
    if twice:
        raise DataError(f"{len(twice)} judgments stand twice: {some(twice)}")


def _of_pairs(judge: str, pairs: Sequence[Games]) -> Verdicts:
    votes: list[Votes] = []
    dropped: list[tuple[Games, str]] = []
    disagreements: list[str] = []
    for pair in pairs:
        disagreements += _disagreements(pair)
        first, second = pair.labels
        if first is None or second is None:
            number = 1 if first is None else 2
            why = f"game {number} {'failed' if pair.texts[number - 1] is None else 'has no verdict'}"
            dropped.append((pair, why))
            continue
        for label in (first, second):
            if label not in LABELS:
                raise DataError(f"{pair.where}: {label!r} is no verdict; known: {', '.join(LABELS)}")
        one, two = LABELS[first], LABELS[second]
        said = ((1.0 - one.value, one.weight), (two.value, two.weight))  # the model is B in the first game
        votes.append(Votes.of(pair.uid, pair.model, pair.baseline, said, pair.category))
    return Verdicts(judge, tuple(votes), tuple(dropped), tuple(disagreements))


def _disagreements(pair: Games) -> list[str]:
    found = []
    for number, (label, text) in enumerate(zip(pair.labels, pair.texts, strict=True), start=1):
        if not text:
            continue
        try:
            read: str | None = parse_label(text)
        except Malformed:
            read = None
        if read != label:
            found.append(f"{pair.where} game {number}: recorded {label or 'nothing'}, its text says {read}")
    return found


def _of_battles(rows: Sequence[Raw]) -> tuple[Votes, ...]:
    tallies: dict[tuple[str, str, str], list[float]] = {}
    for raw in rows:
        uid, model, baseline, points = read_battle(raw)
        tally = tallies.setdefault((model, baseline, uid), [0.0, 0.0, 0.0])
        tally[{1.0: 0, 0.5: 1, 0.0: 2}[points]] += 1
    return tuple(
        Votes(uid, model, baseline, won, tied, lost)
        for (model, baseline, uid), (won, tied, lost) in sorted(tallies.items())
    )
