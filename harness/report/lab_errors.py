"""Where a judge errs: the pairs that it gets wrong with its reasons in both orders, and what they have in common."""

from __future__ import annotations

from harness.plain import clean, plural
from harness.report.lab_json import plain
from harness.report.table import Column, Row, Table, at, column, number
from harness.report.text import with_interval
from harness.types import Json
from judges.lab.errors import DIMENSION, OTHER, ErrorGroup, JudgeError
from judges.lab.measure import ArmReport

_GROUPS = {
    "position": "the order decides the verdict",
    "length": "it takes the longer answer, the label is the shorter",
    "lists": "it takes the answer with a list, the label has none",
    "self": "it takes its own answer, the label is another's",
    OTHER: "none of these",
}
_REASON = 220


def error_tables(arm: ArmReport, show: int) -> list[Table]:
    """What the errors have in common, then the `show` worst of them."""
    title = f"{arm.name} errs on {len(arm.errors)} of {plural(arm.scored, 'scored pair')}"
    if not arm.errors:
        return [Table(title, (), ())]
    rows: list[Row] = [_group_row(group) for group in arm.error_groups]
    unexplained = sum(error.groups == (OTHER,) for error in arm.errors)
    if unexplained:
        rows.append({"group": OTHER, "what": _GROUPS[OTHER], "errors": unexplained})
    columns = (
        column("group"),
        column("what"),
        column("errors", right=True),
        Column("of pairs at risk", lambda row: str(row.get("at_risk", "-")), right=True),
        Column("wrong there [%]", lambda row: _share(row, "rate"), right=True),
        Column("wrong elsewhere [%]", lambda row: _share(row, "elsewhere"), right=True),
    )
    notes = ("an error may be in several groups; a group is a lead, not a cause: the log odds separate causes",)
    return [Table(title, columns, tuple(rows), notes), _listed(arm, show)]


def _group_row(group: ErrorGroup) -> dict[str, Json]:
    name = group.name
    return {
        "group": name,
        "what": _GROUPS.get(name, f"the rejected answer is higher on {name.removeprefix(DIMENSION)}"),
        "errors": group.errors,
        "at_risk": group.at_risk,
        "rate": plain(group.rate),
        "elsewhere": plain(group.elsewhere),
    }


def _share(row: Row, key: str) -> str:
    value, low, high = (number(row, key, end) for end in ("value", "low", "high"))
    return "-" if value is None or low is None or high is None else with_interval(value, low, high)


def _listed(arm: ArmReport, show: int) -> Table:
    rows: tuple[Row, ...] = tuple(_error_row(error) for error in arm.errors[:show])
    orders = ("a shown first", "b shown first") if arm.arm.pairwise else ("reason",)
    columns = (
        column("pair", "id"),
        column("label"),
        column("verdict"),
        Column("group", lambda row: str(row["groups"])),
        Column("question", lambda row: clean(str(row["question"]), 80)),
        *(_reason(order) for order in orders),
    )
    left = len(arm.errors) - len(rows)
    notes = (f"and {left} more; --show {len(arm.errors)} lists all",) if left else ()
    return Table(f"{arm.name}: the worst of them", columns if rows else (), rows, notes)


def _reason(order: str) -> Column:
    return Column(order, lambda row: clean(str(at(row, "reasons", order) or "-"), _REASON))


def _error_row(error: JudgeError) -> dict[str, Json]:
    names = {"candidate_first": "a shown first", "opponent_first": "b shown first", "single": "reason"}
    reasons: dict[str, Json] = {}
    for vote in error.votes:  # of several repeats the first
        reasons.setdefault(names[vote.order], f"{vote.choice}: {vote.reason}" if vote.reason else vote.choice)
    return {
        "id": error.id,
        "subset": error.subset,
        "label": error.label,
        "verdict": error.verdict,
        "groups": ", ".join(error.groups),
        "question": error.question,
        "reasons": reasons,
    }
