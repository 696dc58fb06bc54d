"""What a training did to easy and to hard problems: bins of the success rate before, and what became of each.

Reinforcement is said to make easy problems easier and the hardest harder; distillation with new knowledge to solve what
was never solved (Kim et al. 2025, "accuracy and capability"). A problem's bin is its success rate before: 0, then (0,
.1], (.1, .3], (.3, .5], (.5, .7], (.7, .9], (.9, 1), 1. Taken from the attempts that also measure the change, luck
alone would lift the lowest bin and lower the highest (regression to the mean): so half of the attempts before (the even
ones) decide the bin, and the other half are what the change is measured from. Accuracy is avg@n, capability pass@k with
the largest k that every problem has.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt

from harness.analyses.base import Analysis, AnalysisContext, SideBySide, mean_of, measured, side_by_side, told
from harness.errors import UsageError
from harness.metrics.passk import unbiased
from harness.report.table import Column, Row, Table, column, number
from harness.report.text import p_value
from harness.run.folder import RunFolder
from harness.stats.multiple import holm
from harness.stats.paired import paired_differences
from harness.stats.standard_errors import Array

BINS: tuple[tuple[str, Callable[[float], bool]], ...] = (
    ("0", lambda rate: rate == 0),
    ("(0, .1]", lambda rate: 0 < rate <= 0.1),
    ("(.1, .3]", lambda rate: 0.1 < rate <= 0.3),
    ("(.3, .5]", lambda rate: 0.3 < rate <= 0.5),
    ("(.5, .7]", lambda rate: 0.5 < rate <= 0.7),
    ("(.7, .9]", lambda rate: 0.7 < rate <= 0.9),
    ("(.9, 1)", lambda rate: 0.9 < rate < 1),
    ("1", lambda rate: rate == 1),
)
_CLOSE = 1e-9


def bin_of(rate: float) -> int:
    """The place of a success rate among `BINS`."""
    near = round(rate, 9)  # 3 of 10 is not above .3
    return next(place for place, (_, inside) in enumerate(BINS) if inside(near))


@dataclass(frozen=True)
class Difficulty(Analysis):
    """How a training changed easy and hard problems: success by bin before and after, accuracy against capability.

    RUN BEFORE, then runs after, of one suite with several samples a problem (--n 8 or more tells bins apart). Half of
    the first run's attempts decide a problem's bin, the other half are what the change is measured from.
    """

    runs = "RUN_BEFORE RUN_AFTER [RUN_AFTER...]"
    least = 2

    k: int | None = None
    """Samples of pass@k. [default: as many as every problem has]"""

    def tables(self, runs: Sequence[RunFolder], context: AnalysisContext) -> list[Table]:
        """Changes by bin, where problems went, and accuracy against capability."""
        board = side_by_side(runs)
        fewest = min(len(rows) for one in board.rows for rows in one.values())
        before = min(len(rows) for rows in board.rows[0].values())
        if before < 2:
            raise UsageError(
                f"{runs[0].name} has one scored attempt at some problems: half of the attempts decide a problem's bin "
                "and half measure it, so run it with --n 2 or (better) --n 8"
            )
        k = fewest if self.k is None else self.k
        if not 1 <= k <= fewest:
            raise UsageError(f"--k {k} is more than the {fewest} scored attempts that every problem has")
        notes = [f"{board.left_out} problems are left out: not scored in every run"] if board.left_out else []
        bins = np.array([bin_of(_rate(board, 0, problem, even=True)) for problem in board.problems])
        half = min(k, before // 2)
        by_bin = [row for place in range(1, len(runs)) for row in _by_bin(board, place, bins, half)]
        corrected = holm([cast("float", row["p"]) for row in by_bin])
        by_bin = [{**row, "p_holm": p} for row, p in zip(by_bin, corrected, strict=True)]
        moved = [row for place in range(1, len(runs)) for row in _moves(board, place, bins)]
        suite = runs[0].result.suite
        return [
            Table(f"Change by success before, {suite}", _changes(half), tuple(by_bin), (_HOW, *notes)),
            Table("Where problems went: bin before (rows), after (columns)", _MOVES, tuple(moved), (_OWN,)),
            Table("Accuracy against capability", _capability(k), tuple(_whole(board, k))),
        ]


_HOW = "bins by the even attempts of the run before, change from its odd ones: no regression to the mean"
_OWN = "the bin after is by the even attempts too"


def _values(board: SideBySide, run: int, problem: str) -> Array:
    return np.array([row.score.value for row in board.rows[run][problem]], dtype=np.float64)


def _rate(board: SideBySide, run: int, problem: str, *, even: bool) -> float:
    values = _values(board, run, problem)
    half = values[0::2] if even else values[1::2]
    return float((half if len(half) else values).mean())


def _pass_k(board: SideBySide, run: int, k: int, *, odd: bool = False) -> Array:
    """pass@k of each problem, of all its attempts or of the odd ones, which decided no bin."""
    values = [_values(board, run, problem)[1::2] if odd else _values(board, run, problem) for problem in board.problems]
    if any(abs(value - round(value)) > _CLOSE for one in values for value in one):
        raise UsageError("pass@k is of scores that are 0 or 1; this suite gives parts of a point")
    sizes: npt.NDArray[np.intp] = np.array([len(one) for one in values], dtype=np.intp)
    return unbiased(sizes, np.array([one.sum() for one in values]), k)


def _by_bin(board: SideBySide, place: int, bins: npt.NDArray[np.intp], k: int) -> list[Row]:
    before = np.array([_rate(board, 0, problem, even=False) for problem in board.problems])
    after, could, can = board.means(place), _pass_k(board, 0, k, odd=True), _pass_k(board, place, k)
    rows: list[Row] = []
    for at, (name, _) in enumerate(BINS):
        chosen = np.flatnonzero(bins == at)
        if not len(chosen):
            continue
        clusters = [board.clusters[one] for one in chosen]
        delta = paired_differences(after[chosen] - before[chosen], clusters, mcnemar=False)
        rows.append(
            {
                "run": board.names[place],
                "bin": name,
                "problems": len(chosen),
                "before": mean_of(before[chosen], clusters),
                "after": mean_of(after[chosen], clusters),
                "change": told(delta.diff, delta.low, delta.high),
                "p": delta.p,
                "pass_before": mean_of(could[chosen], clusters),
                "pass_after": mean_of(can[chosen], clusters),
            }
        )
    return rows


def _moves(board: SideBySide, place: int, bins: npt.NDArray[np.intp]) -> list[Row]:
    after = [bin_of(_rate(board, place, problem, even=True)) for problem in board.problems]
    rows: list[Row] = []
    for at, (name, _) in enumerate(BINS):
        into = [then for now, then in zip(bins, after, strict=True) if now == at]
        if into:
            went = {BINS[then][0]: into.count(then) for then in range(len(BINS))}
            rows.append({"run": board.names[place], "bin": name, "problems": len(into), "after": went})
    return rows


def _whole(board: SideBySide, k: int) -> list[Row]:
    rows: list[Row] = []
    start, could = board.means(0), _pass_k(board, 0, k)
    for place, name in enumerate(board.names):
        now, can = board.means(place), _pass_k(board, place, k)
        row: dict[str, object] = {
            "run": name,
            "accuracy": mean_of(now, board.clusters),
            "capability": mean_of(can, board.clusters),
            "accuracy_change": told(math.nan, math.nan, math.nan),
            "capability_change": told(math.nan, math.nan, math.nan),
        }
        if place:
            for key, gap in (("accuracy_change", now - start), ("capability_change", can - could)):
                found = paired_differences(gap, board.clusters, mcnemar=False)
                row[key] = told(found.diff, found.low, found.high)
        rows.append(row)  # type: ignore[arg-type]
    return rows


def _changes(k: int) -> tuple[Column, ...]:
    return (
        column("run"),
        column("bin before", "bin"),
        column("problems", right=True),
        measured("before [%]", "before"),
        measured("after [%]", "after"),
        measured("change", "change", signed=True),
        Column("p (Holm)", lambda row: p_value(number(row, "p_holm")), right=True),
        measured(f"pass@{k} before [%]", "pass_before"),
        measured("after [%]", "pass_after"),
    )


def _moved(name: str) -> Column:
    return Column(name, lambda row: f"{number(row, 'after', name) or 0:.0f}", right=True)


_MOVES = (column("run"), column("before", "bin"), column("problems", right=True), *(_moved(name) for name, _ in BINS))


def _capability(k: int) -> tuple[Column, ...]:
    return (
        column("run"),
        measured("accuracy, avg@n [%]", "accuracy"),
        measured("change", "accuracy_change", signed=True),
        measured(f"capability, pass@{k} [%]", "capability"),
        measured("change ", "capability_change", signed=True),
    )
