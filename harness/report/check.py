"""The tables of `harness check`: suites and what failed; with --deep, forms of replies and how they were graded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from harness.report.table import Column, Row, Table, column
from harness.suites._deep import DeepCheck, GradedCase
from harness.types import Json

_SHOWN = 10  # failures listed per suite on a terminal; --json has all
_PER_FORM = 3  # failing cases listed for each form


def unchecked(status: str, reason: str) -> dict[str, Json]:
    """What the row of a suite that could not be checked holds, in the form of `harness.suites._check.check_suite`."""
    return {"status": status, "problems": None, "reason": reason, "failures": [], "known": []}


def check_table(rows: list[dict[str, Json]]) -> Table:
    """A row a suite; notes on its first failures."""
    columns = (
        column("suite"),
        column("status"),
        Column("problems", lambda row: "" if row["problems"] is None else str(row["problems"]), right=True),
        Column("failures", lambda row: "" if row["problems"] is None else str(_count(row["failures"])), right=True),
        Column("ungradable", lambda row: "" if row["problems"] is None else str(_count(row["known"])), right=True),
        Column("seconds", lambda row: str(row.get("seconds", "")), right=True),
        column("reason"),
    )
    notes: list[str] = []
    for row in rows:
        for kind in ("failures", "known"):
            found = row[kind]
            assert isinstance(found, list)
            notes += [f"{row['suite']}: {item['problem_id']}: {item['why']}" for item in found[:_SHOWN]]
            if len(found) > _SHOWN:
                notes.append(f"{row['suite']}: {len(found) - _SHOWN} more; --json lists all")
    return Table("Do data, targets and graders fit together?", columns, tuple(rows), tuple(notes))


def _count(value: Json) -> int:
    return len(value) if isinstance(value, list) else 0


def _counts(graded: Sequence[GradedCase]) -> dict[str, Json]:
    outcomes = Counter(one.outcome for one in graded)
    row: dict[str, Json] = {"cases": len(graded), "right_forms": sum(one.case.right for one in graded)}
    row |= {name: outcomes[name] for name in ("false_negative", "false_positive", "unscored")}
    asked = [one for one in graded if one.beside is not None]
    if asked:
        wrong = sum(one.beside is True and not one.case.right for one in asked)
        missed = sum(one.beside is False and one.case.right for one in asked)
        row["math_verify"] = {"cases": len(asked), "false_negative": missed, "false_positive": wrong}
    return row


def deep_suites(found: Sequence[DeepCheck], skipped: Sequence[str]) -> Table:
    """A row a suite; notes on those that could not be checked."""
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
    columns = (column("suite"), column("status"), column("problems", right=True), *_COUNTS, *_BESIDE)
    return Table("Are equal spellings right, and changes wrong?", columns, tuple(rows), tuple(skipped))


def deep_forms(found: Sequence[DeepCheck]) -> Table:
    """A row a form, over all suites; notes on the first failing cases of each."""
    by_form: dict[tuple[str, str, str], list[GradedCase]] = {}
    for check in found:
        for one in check.graded:
            by_form.setdefault((one.case.problem.grader, one.case.group, one.case.form), []).append(one)
    rows: list[dict[str, Json]] = [
        {"grader": grader, "group": group, "form": form, **_counts(graded)}
        for (grader, group, form), graded in sorted(by_form.items())
    ]
    columns = (column("grader"), column("group"), column("form"), *_COUNTS, *_BESIDE)
    return Table("Agreement per form", columns, tuple(rows), _notes(deep_failures(found)))


def deep_failures(found: Sequence[DeepCheck]) -> tuple[dict[str, Json], ...]:
    """Every case that was not graded as it must be."""
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
        if shown[row["outcome"], row["form"]] <= _PER_FORM:
            notes.append(
                f"{str(row['outcome']).replace('_', ' ')}: {row['form']}: gold {row['gold']!r}, read {row['read']!r} "
                f"({row['status']}) in {str(row['text'])[-200:]!r}"
            )
    left = len(failures) - len(notes)
    return (*notes, f"{left} more; --json lists all") if left else tuple(notes)


def _beside(key: str) -> Column:
    def show(row: Row) -> str:
        said = row.get("math_verify")
        return str(said[key]) if isinstance(said, dict) else ""

    return Column(f"math-verify: {key.replace('_', ' ')}", show, right=True)


_COUNTS = tuple(
    column(key.replace("_", " "), right=True)
    for key in ("cases", "right_forms", "false_negative", "false_positive", "unscored")
)
_BESIDE = (_beside("false_negative"), _beside("false_positive"))
