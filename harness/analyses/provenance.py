"""Where the sentences of a trained model's answers come from, by position in the answer and by whether it is right.

Three models score the stored answers: the student before training, the trained one (whose run it is) and the teacher;
`harness.provenance` says of each sentence whose it is. Shares are of sentences, with problems drawn again for their
intervals. Expected after distillation: the teacher's share is highest at the start of an answer (arXiv 2512.20908).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from harness.analyses.asking import Scored, StoredText, open_models, score_texts, stored_texts
from harness.analyses.base import Analysis, AnalysisContext, measured, told
from harness.errors import DataError, UsageError
from harness.provenance import ALPHA, BETA, ORIGINS, origin, sentence_probabilities, sentence_starts
from harness.report.table import Column, Row, Table, column, number
from harness.run.folder import Key, RunFolder
from harness.stats.resampling import cluster_intervals, ratio
from harness.stats.standard_errors import Array
from harness.types import Graded, Json, TokenScores

_TENTHS = 10
_ROLES = ("base", "student", "teacher")
Probabilities = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Provenance(Analysis):
    """Whose each sentence of a trained model's answers is: shared, its teacher's, the student's own, or boosted.

    RUN is of the trained model; --base is the student before training and --teacher its teacher, as models that can
    score a text. A sentence is the teacher's where it finds it likelier than the base by more than --beta, the
    student's where the base does, shared where no two of the three differ by more than --alpha, else boosted by the
    training. Shares by position in the answer, and in right and wrong answers.
    """

    runs = "RUN"

    base: str
    """Model: the student before its training."""
    teacher: str
    """Model: the teacher."""
    student: str | None = None
    """Model: the trained student. [default: the run's own]"""
    model_arg: tuple[str, ...] = field(default=(), metadata={"shown": "ROLE.KEY=VALUE"})
    """Option of a model's engine, e.g. teacher.dtype=float32; repeat for more."""
    alpha: float = field(default=ALPHA, metadata={"least": 0.0, "most": 1.0})
    """Largest difference of probabilities that is none."""
    beta: float = field(default=BETA, metadata={"least": 0.0, "most": 1.0})
    """Difference from which on a sentence is one model's."""
    samples: int = field(default=1, metadata={"least": 1})
    """Answers of each problem, at most."""
    limit: int | None = field(default=None, metadata={"least": 1})
    """Problems, at most."""

    def tables(self, runs: Sequence[RunFolder], context: AnalysisContext) -> list[Table]:
        """Shares of right and wrong answers, then by position."""
        if len(runs) > 1:
            raise UsageError("give one run: every run has a trained model of its own")
        (run,) = runs
        graded = {(row.problem_id, row.attempt): row for row in run.graded if row.score.value is not None}
        texts = [one for one in stored_texts(run, context, self.samples, self.limit) if one.key in graded]
        if not texts:
            raise DataError(f"{run.name}: no answer with a text is scored")
        specs = {"base": self.base, "student": self.student or run.result.model, "teacher": self.teacher}
        models = open_models(specs, self.model_arg, context)
        starts = {one.key: sentence_starts(one.text) for one in texts}

        def make(one: StoredText, scores: TokenScores) -> Probabilities:
            return sentence_probabilities(scores, starts[one.key])

        notes = _other_model(run, models["student"].describe()) if self.student is None else []
        scored = {role: score_texts(models[role], texts, make, context) for role in _ROLES}
        board = _count(scored, graded, self.alpha, self.beta)
        notes = [
            f"{board.sentences} sentences of {board.answers} answers; alpha {self.alpha:g}, beta {self.beta:g}",
            *notes,
            *_left_out(scored, board),
        ]
        title = f"Whose the sentences are, {run.result.model} on {run.result.suite}"
        return [
            Table(title, _COLUMNS, tuple(_shares(board)), tuple(notes)),
            Table("By position in the answer (tenths of its sentences)", _PLACES, tuple(_by_place(board)), ()),
        ]


@dataclass(frozen=True)
class OriginCounts:
    """Sentences counted."""

    counts: Array
    """Shape [problems, wrong or right, tenth, origin]."""
    clusters: tuple[str, ...]
    """Of each problem."""
    answers: int
    sentences: int
    without: int
    """Sentences in which some model has no token."""


def _count(
    scored: Mapping[str, Scored[Probabilities]], graded: Mapping[Key, Graded], alpha: float, beta: float
) -> OriginCounts:
    base, student, teacher = (scored[role].values for role in _ROLES)
    keys = [key for key in student if key in base and key in teacher]
    if not keys:
        raise DataError("no answer is scored by all three models")
    rows: dict[str, Array] = {}
    without = sentences = 0
    for key in keys:
        right = (graded[key].score.value or 0.0) > 0.5
        counts = rows.setdefault(key[0], np.zeros((2, _TENTHS, len(ORIGINS))))
        trios = np.stack([base[key], student[key], teacher[key]], axis=1)
        for place, (before, now, of_teacher) in enumerate(trios.tolist()):
            if math.isnan(before + now + of_teacher):
                without += 1
                continue
            name = origin(before, now, of_teacher, alpha, beta)
            counts[int(right), place * _TENTHS // len(trios), ORIGINS.index(name)] += 1
            sentences += 1
    clusters = {key: row.cluster or key for (key, _), row in graded.items()}
    return OriginCounts(np.stack([*rows.values()]), tuple(clusters[key] for key in rows), len(keys), sentences, without)


def _statistics(counts: Array) -> Callable[[Array], dict[str, float]]:
    """Shares of all, right and wrong answers and the difference; `counts` has the shape [problems, 2, origins]."""

    def shares(weights: Array) -> dict[str, float]:
        wrong, right = np.tensordot(weights, counts, axes=1)
        found: dict[str, float] = {}
        for at, name in enumerate(ORIGINS):
            of_right, of_wrong = (ratio(float(part[at]), float(part.sum())) for part in (right, wrong))
            found[f"{name} all"] = ratio(float(right[at] + wrong[at]), float(right.sum() + wrong.sum()))
            found[f"{name} right"], found[f"{name} wrong"] = of_right, of_wrong
            found[f"{name} difference"] = of_right - of_wrong
        return found

    return shares


def _shares(board: OriginCounts) -> list[Row]:
    counts = board.counts.sum(axis=2)
    found = cluster_intervals(_statistics(counts), board.clusters)
    totals = counts.sum(axis=(0, 1))
    return [
        {
            "origin": name,
            "sentences": int(totals[at]),
            **{part: told(*found[f"{name} {part}"]) for part in ("all", "right", "wrong", "difference")},
        }
        for at, name in enumerate(ORIGINS)
    ]


def _by_place(board: OriginCounts) -> list[Row]:
    rows: list[Row] = []
    for place in range(_TENTHS):
        counts = board.counts[:, :, place]
        if not counts.sum():
            continue
        found = cluster_intervals(_statistics(counts), board.clusters)
        parts: dict[str, Json] = {
            f"{name}{suffix}": told(*found[f"{name} {part}"])
            for name in ORIGINS
            for part, suffix in (("all", ""), ("right", "_right"), ("wrong", "_wrong"))
        }
        rows.append({"tenth": place + 1, "sentences": int(counts.sum()), **parts})
    return rows


def _other_model(run: RunFolder, now: Mapping[str, Json]) -> list[str]:
    """Whether the model that scores is the one that wrote."""
    then = run.spec.model_identity
    changed = sorted(key for key in {*then, *now} if then.get(key) != now.get(key))
    return [f"the student is not as it answered: {', '.join(changed)} differ"] if changed else []


def _left_out(scored: Mapping[str, Scored[Probabilities]], board: OriginCounts) -> list[str]:
    failed = Counter({role: one.missing for role, one in scored.items() if one.missing})
    notes = [f"{count} answers are left out: the {role} says {scored[role].why}" for role, count in failed.items()]
    return notes + ([f"{board.without} sentences are left out: too short for a token"] if board.without else [])


_COLUMNS = (
    column("whose", "origin"),
    column("sentences", right=True),
    measured("of all [%]", "all"),
    measured("of right answers [%]", "right"),
    measured("of wrong answers [%]", "wrong"),
    measured("right - wrong", "difference", signed=True),
)
_PLACES = (
    Column("tenth", lambda row: f"{number(row, 'tenth'):.0f}", right=True),
    column("sentences", right=True),
    *(measured(f"{name} [%]", name) for name in ORIGINS),
)
