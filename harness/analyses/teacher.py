"""Students held against the model they started from and the teacher they learnt from, problem by problem.

Share of the gap recovered: (student - base) / (teacher - base), of means over the common problems; problems are drawn
again for its interval, and there is no share where the gap itself is not shown (its interval holds 0). Agreement is how
often an answer of the student's is the teacher's, right or wrong (the grader's canonical form; an answer that is
missing agrees with none), over all pairs of attempts at a problem. "Inherited" is the same over the teacher's wrong
answers alone: how often the student makes the teacher's very mistake. Lost: problems that the base mostly solved (more
than half of its attempts) and the student does not; gained is the reverse.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from harness.analyses.base import Analysis, AnalysisContext, SideBySide, mean_of, measured, side_by_side, told
from harness.errors import UnknownName, UsageError
from harness.registry import SCHEME, find_card
from harness.report.table import Column, Row, Table, column, number
from harness.report.text import count, p_value
from harness.run.directions import described_in
from harness.run.folder import RunFolder, find_run
from harness.stats.multiple import holm
from harness.stats.paired import paired_differences
from harness.stats.resampling import cluster_intervals, ratio
from harness.stats.standard_errors import Array
from harness.types import Graded, Json

_CELLS = ("both", "only_teacher", "only_student", "neither")


@dataclass(frozen=True)
class TeacherPanel(Analysis):
    """How much of the teacher a student took over, what it lost, and what that cost.

    RUN are runs of students, of one suite; --base is the run of the model that they started from, --teacher that of
    their teacher. Shares of the gap with intervals, problems gained and lost, agreement with the teacher and how often
    its mistakes are made again, tokens for a right answer, and training tokens for a point gained.
    """

    runs = "STUDENT_RUN [STUDENT_RUN...]"

    base: str
    """Run of the untrained student."""
    teacher: str
    """Run of the teacher."""

    def tables(self, runs: Sequence[RunFolder], context: AnalysisContext) -> list[Table]:
        """One row a student, and one that says in which cells its answers are."""
        ends = [find_run(context.results_dir, name) for name in (self.base, self.teacher)]
        board = side_by_side([*ends, *runs])
        metric = described_in(runs[0].result.headline, [run.result for run in (*ends, *runs)])
        if metric.lower_is_better:
            raise UsageError(f"{metric.name} is better when lower: a share of the gap is of shares of right answers")
        base, teacher = board.means(0), board.means(1)
        gap = paired_differences(teacher - base, board.clusters, mcnemar=False)
        rows = [
            {"student": board.names[place], "run": run.name, **_row(board, place), **_trained(run, context)}
            for place, run in enumerate(runs, 2)
        ]
        for row, p in zip(rows, holm([cast("float", row["p"]) for row in rows]), strict=True):
            row["p_holm"] = p
            gained, tokens = number(row, "delta", "value"), number(row, "train_tokens")
            worth = tokens is not None and gained is not None and gained > 0
            row["tokens_per_point"] = tokens / (100 * gained) if worth else None  # type: ignore[operator]
        ends_rows: list[Row] = [
            {"model": board.names[place], "accuracy": mean_of(board.means(place), board.clusters)} for place in (0, 1)
        ]
        notes = [
            f"base {_shown(ends_rows[0])}, teacher {_shown(ends_rows[1])}, {len(board.problems)} problems",
            *([f"{board.left_out} problems are left out: not scored in every run"] if board.left_out else []),
            *([] if gap.low > 0 else ["the teacher is not shown to be better than the base: there is no gap to share"]),
        ]
        cells = [{"student": row["student"], "run": row["run"], **_cells(row)} for row in rows]
        return [
            Table(f"Students between base and teacher, {runs[0].result.suite}", _COLUMNS, tuple(rows), tuple(notes)),
            Table("Answers of student and teacher together", _CELL_COLUMNS, tuple(cells), (_PAIRS,)),
        ]


_PAIRS = "over pairs of attempts at a problem; an attempt is right where it scores more than a half"


def _shown(row: Row) -> str:
    return f"{row['model']} {measured('accuracy').show(row)}"


def _row(board: SideBySide, place: int) -> dict[str, Json]:
    base, teacher, student = board.means(0), board.means(1), board.means(place)
    delta = paired_differences(student - base, board.clusters, mcnemar=False)
    gap = paired_differences(teacher - base, board.clusters, mcnemar=False)

    def recovered(weights: Array) -> dict[str, float]:
        whole = float(weights @ (teacher - base))
        return {"recovered": ratio(float(weights @ (student - base)), whole)}

    share = cluster_intervals(recovered, board.clusters)["recovered"] if gap.low > 0 else (math.nan,) * 3
    same, inherited, cells = agreement(board, place)
    of_base = agreement(board, 0)[0]
    missed = ~np.isnan(inherited)
    solved, now = base > 0.5, student > 0.5
    return {
        "problems": len(board.problems),
        "accuracy": mean_of(student, board.clusters),
        "delta": told(delta.diff, delta.low, delta.high),
        "p": delta.p,
        "recovered": told(*share),
        "lost": int((solved & ~now).sum()),
        "base_solved": int(solved.sum()),
        "gained": int((~solved & now).sum()),
        "agreement": mean_of(same, board.clusters),
        "base_agreement": mean_of(of_base, board.clusters),
        "inherited": mean_of(inherited[missed], [board.clusters[at] for at in np.flatnonzero(missed)]),
        "tokens_per_right": _per_right(board.rows[place]),
        **{name: float(cells[:, at].mean()) for at, name in enumerate(_CELLS)},
    }


def agreement(board: SideBySide, place: int, teacher: int = 1) -> tuple[Array, Array, Array]:
    """Of each problem: share of pairs of equal answers, the same over the teacher's wrong ones, and the four cells."""
    same, wrong, cells = [], [], []
    for problem in board.problems:
        mine, theirs = board.rows[place][problem], board.rows[teacher][problem]
        pairs = [(_right(one), _right(other), _equal(one, other)) for one in mine for other in theirs]
        same.append(sum(equal for *_, equal in pairs) / len(pairs))
        missed = [equal for _, right, equal in pairs if not right]
        wrong.append(sum(missed) / len(missed) if missed else math.nan)
        kinds = [(right and other, other and not right, right and not other) for right, other, _ in pairs]
        shares = [sum(kind[at] for kind in kinds) / len(pairs) for at in range(3)]
        cells.append([*shares, 1 - sum(shares)])
    return np.array(same), np.array(wrong), np.array(cells)


def _right(row: Graded) -> bool:
    return (row.score.value or 0.0) > 0.5


def _equal(one: Graded, other: Graded) -> bool:
    """Two right answers are one, however they are written."""
    if _right(one) and _right(other):
        return True
    return one.score.answer is not None and one.score.answer == other.score.answer and _right(one) == _right(other)


def _per_right(rows: Mapping[str, Sequence[Graded]]) -> float | None:
    """Tokens written for a right answer; None where an engine does not count."""
    flat = [row for attempts in rows.values() for row in attempts]
    worth = math.fsum(row.score.value or 0.0 for row in flat)
    if worth <= 0 or any(row.tokens_out is None for row in flat):
        return None
    return sum(row.tokens_out or 0 for row in flat) / worth


def _trained(run: RunFolder, context: AnalysisContext) -> dict[str, Json]:
    """What the student's training read and wrote, where its card lies here."""
    model = run.result.model
    if not model.startswith(SCHEME):
        return {"train_tokens": None}
    try:
        return {"train_tokens": find_card(context.results_dir, model)[1].tokens}
    except (UnknownName, UsageError):
        return {"train_tokens": None}


def _cells(row: Mapping[str, Json]) -> dict[str, Json]:
    return {name: row[name] for name in _CELLS}


def _number(title: str, key: str) -> Column:
    return Column(title, lambda row: count(number(row, key)), right=True)


def _share(title: str, key: str) -> Column:
    return Column(title, lambda row: f"{100 * (number(row, key) or 0.0):.1f}", right=True)


_COLUMNS = (
    column("student"),
    measured("accuracy [%]", "accuracy"),
    measured("vs base", "delta", signed=True),
    Column("p (Holm)", lambda row: p_value(number(row, "p_holm")), right=True),
    measured("gap recovered [%]", "recovered"),
    Column("gained", lambda row: str(row["gained"]), right=True),
    Column("lost", lambda row: f"{row['lost']} of {row['base_solved']}", right=True),
    measured("agrees with teacher [%]", "agreement"),
    measured("base agreed [%]", "base_agreement"),
    measured("teacher's mistakes [%]", "inherited"),
    _number("tokens per right answer", "tokens_per_right"),
    _number("train tokens per point", "tokens_per_point"),
)
_CELL_COLUMNS = (column("student"), *(_share(f"{name.replace('_', ' ')} [%]", name) for name in _CELLS))
