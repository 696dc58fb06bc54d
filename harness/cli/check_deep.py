"""The tables of `harness check --deep`: suites, forms, and the cases that were not graded as they must."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli.progress import Display, duration

if TYPE_CHECKING:
    from harness.grading.forms import Part
    from harness.report.table import Column, Row, Table
    from harness.suites._deep import DeepCheck, Graded
    from harness.types import Json

_SHOWN = 3  # failing cases listed for each form on a terminal; --json has all


@dataclass(frozen=True)
class Findings:
    """What there is to print."""

    tables: tuple[Table, ...]
    """Suites, then forms with notes on failing cases."""
    failures: tuple[dict[str, Json], ...]
    """Every case that was not graded as it must be."""
    passed: bool

    def json(self) -> dict[str, Json]:
        """The machine-readable form."""
        suites, forms = self.tables
        return {"rows": list(suites.rows), "forms": list(forms.rows), "failures": list(self.failures)}


class _Progress(Display):
    """So many cases of a suite graded, and until when."""

    def __init__(self, name: str) -> None:
        super().__init__(quiet=False)
        self._name, self._started = name, self._shown

    def step(self, done: int, total: int) -> None:
        """One more."""
        if done >= total // 100 and self._due():
            left = (total - done) * (self._shown - self._started) / done
            self._line(f"{self._name}: {done}/{total} cases  ETA {duration(left)}")


def run(
    names: Sequence[str],
    data_dir: Path | None,
    *,
    limit: int | None,
    at_most: int,
    seed: int,
    parts: frozenset[Part],
    beside: bool,
    named: bool,
) -> Findings:
    """Check these suites. Those without data are left out unless `named`."""
    from harness.datasets import MissingData
    from harness.errors import PrerequisiteError
    from harness.grading.pool import GradingPool
    from harness.suites import load_suite
    from harness.suites._deep import deep_check

    found: list[DeepCheck] = []
    skipped: list[str] = []
    for name in names:
        suite = load_suite(name)
        if suite.judging:
            skipped.append(f"{name}: scored by a judge, it has no golds")
            continue
        print(f"checking {name} ...", file=sys.stderr)
        try:
            with GradingPool() as pool:
                found.append(
                    deep_check(
                        suite,
                        data_dir,
                        pool,
                        limit=limit,
                        at_most=at_most,
                        seed=seed,
                        parts=parts,
                        beside=beside,
                        progress=_Progress(name).step,
                    )
                )
        except (MissingData, PrerequisiteError) as error:
            if named:
                raise
            skipped.append(f"{name}: {error}")
    failures = _failures(found)
    return Findings(
        (_suites(found, skipped), _forms(found, _notes(failures))), failures, all(one.passed for one in found)
    )


def _counts(graded: Sequence[Graded]) -> dict[str, Json]:
    outcomes = Counter(one.outcome for one in graded)
    row: dict[str, Json] = {"cases": len(graded), "right_forms": sum(one.case.right for one in graded)}
    row |= {name: outcomes[name] for name in ("false_negative", "false_positive", "unscored")}
    asked = [one for one in graded if one.beside is not None]
    if asked:
        wrong = sum(one.beside is True and not one.case.right for one in asked)
        missed = sum(one.beside is False and one.case.right for one in asked)
        row["math_verify"] = {"cases": len(asked), "false_negative": missed, "false_positive": wrong}
    return row


def _suites(found: Sequence[DeepCheck], skipped: Sequence[str]) -> Table:
    from harness.report.table import Table

    rows: list[dict[str, Json]] = [
        {
            "suite": one.suite,
            "status": "ok" if one.passed else "failed",
            "problems": one.problems,
            **_counts(one.graded),
            "right_share": one.right_share,
            "seconds": round(one.seconds, 1),
        }
        for one in found
    ]
    columns = (_text("suite"), _text("status"), _number("problems"), *_count_columns(), *_beside_columns())
    return Table("Are equal spellings right, and changes wrong?", columns, tuple(rows), tuple(skipped))


def _forms(found: Sequence[DeepCheck], notes: tuple[str, ...]) -> Table:
    from harness.report.table import Table

    by_form: dict[tuple[str, str, str], list[Graded]] = {}
    for check in found:
        for one in check.graded:
            by_form.setdefault((one.case.problem.grader, one.case.group, one.case.form), []).append(one)
    rows: list[dict[str, Json]] = [
        {"grader": grader, "group": group, "form": form, **_counts(graded)}
        for (grader, group, form), graded in sorted(by_form.items())
    ]
    columns = (_text("grader"), _text("group"), _text("form"), *_count_columns(), *_beside_columns())
    return Table("Agreement per form", columns, tuple(rows), notes)


def _failures(found: Sequence[DeepCheck]) -> tuple[dict[str, Json], ...]:
    return tuple(
        {
            "suite": check.suite,
            "outcome": one.outcome,
            "grader": one.case.problem.grader,
            "form": one.case.form,
            "problem_id": one.case.problem.id,
            "gold": one.case.problem.target,
            "read": one.read,
            "status": one.score.status,
            "why": one.score.why,
            "text": one.case.text,
        }
        for check in found
        for one in check.graded
        if one.outcome != "agrees"
    )


def _notes(failures: Sequence[dict[str, Json]]) -> tuple[str, ...]:
    """A line for the first failing cases of each form."""
    shown: Counter[tuple[Json, Json]] = Counter()
    notes: list[str] = []
    for row in failures:
        shown[row["outcome"], row["form"]] += 1
        if shown[row["outcome"], row["form"]] <= _SHOWN:
            notes.append(
                f"{str(row['outcome']).replace('_', ' ')}: {row['form']}: gold {row['gold']!r}, read {row['read']!r} "
                f"({row['status']}) in {str(row['text'])[-200:]!r}"
            )
    left = len(failures) - len(notes)
    return (*notes, f"{left} more; --json lists all") if left else tuple(notes)


def _text(key: str) -> Column:
    return _column(key.replace("_", " "), lambda row: str(row[key]))


def _number(key: str) -> Column:
    return _column(key.replace("_", " "), lambda row: str(row[key]), right=True)


def _column(title: str, show: Callable[[Row], str], *, right: bool = False) -> Column:
    from harness.report.table import Column

    return Column(title, show, right)


def _count_columns() -> tuple[Column, ...]:
    return tuple(_number(key) for key in ("cases", "right_forms", "false_negative", "false_positive", "unscored"))


def _beside_columns() -> tuple[Column, ...]:
    def show(key: str) -> Callable[[Row], str]:
        def cell(row: Row) -> str:
            said = row.get("math_verify")
            return str(said[key]) if isinstance(said, dict) else ""

        return cell

    return tuple(
        _column(f"math-verify: {key.replace('_', ' ')}", show(key), right=True)
        for key in ("false_negative", "false_positive")
    )
