"""The judge laboratory as tables: one row per measure, one column per judge prompt, and the paired difference.

Everything a table shows is in its rows as plain numbers; `lab_json` adds what no table can hold: every pair's verdicts,
the prompts' diff, the items that changed.
"""

from __future__ import annotations

import dataclasses
import unicodedata
from typing import cast

from harness.plain import clean, plural
from harness.report.lab_errors import error_tables
from harness.report.lab_json import difference_of, lab_json, plain, subset_difference
from harness.report.lab_verdict import DETECTABLE, verdict_lines
from harness.report.table import Column, Format, Row, Table, at, column, number, render
from harness.report.text import count, p_value, percent, signed_interval, with_interval
from harness.stats.multiple import disagreement
from harness.types import Estimate, Json
from judges.lab.measure import ArmReport
from judges.lab.session import LabReport
from judges.lab.versus import ArmDifference

_SHARE, _PLAIN = 100.0, 1.0
_DIFF_LINES = 80


_LINES = (
    ("accuracy", "agrees with the label, per vote (a flip is half)", _SHARE),
    ("strict", "agrees over all votes on a pair (a flip is wrong)", _SHARE),
    ("person", "agrees with a single person's vote", _SHARE),
    ("person_decided", "… where neither sees a tie", _SHARE),
    ("kappa", "Cohen's kappa with the label", _PLAIN),
    ("alpha", "Krippendorff's alpha with the label", _PLAIN),
    ("flips", "verdict changes with the order", _SHARE),
    ("reversed", "… from winner to loser", _SHARE),
    ("first", "prefers the answer shown first (fair: 50)", _SHARE),
    ("ties", "sees a tie", _SHARE),
    ("right_longer", "agrees where the label is the longer answer", _SHARE),
    ("right_shorter", "… where it is the shorter", _SHARE),
    ("longer", "prefers the longer answer", _SHARE),
    ("longer_human", "… the labels do", _SHARE),
    ("longer_excess", "… in excess of the labels", _SHARE),
    ("lists", "prefers the answer with a list", _SHARE),
    ("lists_human", "… the labels do", _SHARE),
    ("lists_excess", "… in excess of the labels", _SHARE),
    ("own", "prefers its own answer", _SHARE),
    ("own_human", "… the labels do", _SHARE),
    ("own_excess", "… in excess of the labels", _SHARE),
    ("pull_label", "log odds for the labelled answer", _PLAIN),
    ("pull_length", "log odds for twice the length", _PLAIN),
    ("pull_lists", "log odds for the only list", _PLAIN),
    ("pull_first", "log odds for being first", _PLAIN),
    ("malformed", "first reply malformed", _SHARE),
    ("unscored", "judgments unreadable twice", _SHARE),
    ("errors", "judgments without a reply", _SHARE),
    ("missing", "pairs without a verdict", _SHARE),
    ("tokens_in", "prompt tokens per judgment", _PLAIN),
    ("tokens_out", "reply tokens per judgment", _PLAIN),
    ("tokens_per_1000", "tokens per 1,000 judgments", _PLAIN),
    ("cost_per_1000", "cost per 1,000 judgments", _PLAIN),
    ("cost_per_1000_pairs", "cost per 1,000 pairs", _PLAIN),
)
"""Name in `Measures.values` and in `ArmDifference.differences`, title of the row, and scale."""


def lab_text(report: LabReport, form: Format, *, show: int, tty: bool = False, errors: bool = False) -> str:
    """The whole report in one format; `show` changed pairs per comparison and direction in the readable ones.

    `errors` puts the pairs on which each judge errs first, `show` of them with its reasons; JSON has all of them.
    """
    verdicts = verdict_lines(report)
    if form in ("json", "csv"):
        extra: dict[str, Json] = {"verdict": list(verdicts), **lab_json(report)}
        return render([_measures(report)], form, extra=extra if form == "json" else None)
    tables = [Table(verdicts[0], (), (), tuple(verdicts[1:]))]
    if errors:
        tables += [table for arm in report.arms for table in error_tables(arm, show)]
    text = render([*tables, *lab_tables(report, show)], form, tty=tty)
    for comparison in report.comparisons:
        if comparison.diff:
            shown = _shown_diff(comparison.diff)
            text += f"\n~~~~~~~~diff\n{shown}\n~~~~~~~~\n" if form == "md" else f"\n{shown}\n"
    return text


def _shown_diff(diff: str) -> str:
    """A diff that keeps its indentation and is safe to print; long ones are cut."""
    lines = ["".join(c for c in line if not unicodedata.category(c).startswith("C")) for line in diff.split("\n")]
    left = len(lines) - _DIFF_LINES
    return "\n".join(lines[:_DIFF_LINES] + ([f"({left} more lines; --json has them)"] if left > 0 else []))


def lab_tables(report: LabReport, show: int) -> list[Table]:
    """Measures, subsets, dimensions, then what changed in each comparison."""
    tables = [_measures(report)]
    if len(report.comparisons) > 1:
        tables.append(_comparisons(report))
    if subsets := _subsets(report):
        tables.append(subsets)
    tables += [table for arm in report.arms if (table := _dimensions(arm)) is not None]
    for comparison in report.comparisons:
        tables += change_tables(comparison, show)
    return tables


def _measures(report: LabReport) -> Table:
    rows: list[Row] = []
    noted = sorted({name for arm in report.arms for name in arm.replies.notes})
    notes = [(f"note:{name}", f"verdicts with {name.replace('_', ' ')}", _SHARE) for name in noted]
    for key, title, scale in (*_LINES, *notes):
        absent = 0.0 if key.startswith("note:") else None
        found = {arm.name: plain(arm.values.get(key, absent)) for arm in report.arms}
        if all(value is None for value in found.values()):
            continue
        differences: dict[str, Json] = {
            f"{one.second} - {one.first}": difference_of(one, key) for one in report.comparisons
        }
        rows.append({"measure": key, "title": title, "scale": scale, "arms": found, "differences": differences})
    columns = [Column("", lambda row: str(row["title"]))]
    columns += [_arm_column(arm.name) for arm in report.arms]
    if len(report.comparisons) == 1:
        (only,) = report.comparisons
        columns += _difference_columns(f"{only.second} - {only.first}")
    title = f"{report.pairs.name}: {plural(len(report.pairs.pairs), 'pair')}, labels of {report.pairs.source}"
    return Table(title, tuple(columns), tuple(rows), tuple(_notes(report)))


def _arm_column(name: str) -> Column:
    def show(row: Row) -> str:
        scale, alone = number(row, "scale"), number(row, "arms", name)
        value, low, high = (number(row, "arms", name, end) for end in ("value", "low", "high"))
        if value is not None and low is not None and high is not None:
            if scale == _PLAIN:
                return f"{value:.2f} [{low:.2f}, {high:.2f}]"
            return with_interval(value, low, high, scale or 1.0)
        if alone is None:
            return "-"
        return percent(alone) if scale == _SHARE else f"{alone:,.0f}" if alone >= 100 else f"{alone:.2f}"

    return Column(name, show, right=True)


def _difference_columns(name: str) -> list[Column]:
    of = ("differences", name)
    return [
        _change(name, "second - first [95 % CI]"),
        Column("p", lambda row: p_value(number(row, *of, "p")), right=True),
        Column("decision", lambda row: str(at(row, *of, "decision") or "-")),
    ]


def _change(name: str, title: str) -> Column:
    def show(row: Row) -> str:
        diff, low, high = (number(row, "differences", name, end) for end in ("diff", "low", "high"))
        return signed_interval(diff, low, high)

    return Column(title, show, right=True)


def _comparisons(report: LabReport) -> Table:
    """One row per comparison, where there are too many for columns beside the measures."""
    shown = (("accuracy", "per vote"), ("strict", "all votes"), ("flips", "flips"), ("longer", "longer"))
    rows: list[Row] = [
        {
            "first": one.first,
            "second": one.second,
            "p_holm": one.p_holm,
            "differences": {name: difference_of(one, name) for name in one.differences},
        }
        for one in report.comparisons
    ]

    columns = [column("first"), column("second"), *(_change(name, title) for name, title in shown)]
    columns += [
        Column("p (per vote)", lambda row: p_value(number(row, "differences", "accuracy", "p")), right=True),
        Column("p (Holm)", lambda row: p_value(number(row, "p_holm")), right=True),
    ]
    return Table("Second minus first on the same pairs [95 % CI]", tuple(columns), tuple(rows))


def _notes(report: LabReport) -> list[str]:
    notes = list(report.pairs.notes)
    if report.humans is not None and report.humans_decided is not None:
        notes.append(
            f"two people agree on {_percent(report.humans)} of {report.humans.n_problems} pairs with several votes "
            f"({_percent(report.humans_decided)} where neither saw a tie): a judge cannot be expected to do better"
        )
    notes += [_spent(arm) for arm in report.arms]
    for arm in report.arms:
        missing = arm.pairs - arm.scored
        if missing:
            accuracy = arm.values.get("accuracy")
            bounds = accuracy.bounds if isinstance(accuracy, Estimate) else None
            could = f"; accuracy could be {percent(bounds[0])} to {percent(bounds[1])} with them" if bounds else ""
            why = ", ".join(f"{clean(reason, 80)} ({n})" for reason, n in list(arm.replies.why.items())[:3])
            notes.append(f"{arm.name}: {plural(missing, 'pair')} without a verdict left out{could}; why: {why}")
        if not arm.arm.pairwise:
            notes.append(f"{arm.name} judges one answer at a time: the higher value wins, and there is no order")
        if arm.arm.judging.identity().get("temperature") == 0 and _repeats(arm) > 1:
            notes.append(
                f"{arm.name}: repeats at temperature 0 agree with each other more than they would when sampled"
            )
    if any("pull_label" in arm.values for arm in report.arms):
        notes += [
            "log odds: one logistic regression of all votes on label, length (log2), lists and position together; "
            "0 is no influence, 0.7 doubles the odds",
            "an excess over the labels may come from plain errors: a coin has one where the labels lean to one side, "
            "and no log odds",
        ]
    notes += [note for comparison in report.comparisons for note in _disagreements(comparison)]
    for comparison in report.comparisons:
        gain = comparison.differences.get("accuracy")
        if gain is not None and gain.p > 0.05 and gain.se > 0:
            notes.append(
                f"{comparison.second} - {comparison.first}: with these pairs, a true difference in agreement below "
                f"{percent(DETECTABLE * gain.se)} points goes unnoticed more than one time in five"
            )
    return notes


def _spent(arm: ArmReport) -> str:
    """What was asked just now, and what all judgments take."""
    read = arm.replies
    said = f"{arm.name}: {read.requested:,} of {plural(read.judgments, 'judgment')} asked now, the others were kept"
    if read.tokens_per_1000 is not None:
        said += f"; together {count(read.tokens_per_1000 * read.judgments / 1000)} tokens"
    if read.cost_per_1000 is not None:
        said += f", cost {read.cost_per_1000 * read.judgments / 1000:,.4g}"
    return said


def _disagreements(comparison: ArmDifference) -> list[str]:
    """A line for each difference whose interval and test disagree."""
    return [
        f"{comparison.second} - {comparison.first}, {name}: {why}"
        for name, paired in comparison.differences.items()
        if (why := disagreement(paired.low, paired.high, paired.p, comparison.deciding_p(name)))
    ]


def _repeats(arm: ArmReport) -> int:
    repeats = arm.arm.judging.identity().get("repeats")
    return repeats if isinstance(repeats, int) else 1


def _percent(estimate: Estimate) -> str:
    return f"{with_interval(estimate.value, estimate.low, estimate.high)} %"


def _subsets(report: LabReport) -> Table | None:
    names = sorted({name for arm in report.arms for name in arm.subsets})
    if not any("accuracy" in shares for arm in report.arms for shares in arm.subsets.values()):
        return None
    rows: list[Row] = []
    for name in names:
        arms: dict[str, Json] = {}
        for arm in report.arms:
            shares = arm.subsets.get(name, {})
            arms[arm.name] = plain(shares.get("accuracy"))
        size = sum(pair.subset == name for pair in report.pairs.pairs)
        differences: dict[str, Json] = {
            f"{one.second} - {one.first}": subset_difference(one, name) for one in report.comparisons
        }
        rows.append({"subset": name, "pairs": size, "scale": _SHARE, "arms": arms, "differences": differences})
    columns = [column("subset"), column("pairs", right=True), *(_arm_column(arm.name) for arm in report.arms)]
    if len(report.comparisons) == 1:
        of = f"{report.comparisons[0].second} - {report.comparisons[0].first}"
        columns.append(_change(of, "second - first [95 % CI]"))
        columns.append(Column("p (Holm)", lambda row: p_value(number(row, "differences", of, "p_holm")), right=True))
    return Table("Agrees with the label, by subset", tuple(columns), tuple(rows))


def _dimensions(arm: ArmReport) -> Table | None:
    if not arm.dimensions:
        return None
    rows: list[Row] = [
        {
            "dimension": one.key,
            "mean": one.mean,
            "sd": one.sd,
            "reliability": plain(one.reliability),
            "gap": plain(one.gap),
            "auc": plain(one.auc),
        }
        for one in arm.dimensions
    ]
    columns = (
        column("dimension"),
        Column("mean", lambda row: f"{cast(float, row['mean']):.2f}", right=True),
        Column("sd", lambda row: f"{cast(float, row['sd']):.2f}", right=True),
        _interval("reliability", "reliability (alpha over repeats)"),
        _interval("gap", "labelled minus rejected"),
        _interval("auc", "labelled one is higher", _SHARE),
    )
    return Table(f"{arm.name}: dimensions", columns, tuple(rows))


def _interval(key: str, title: str, scale: float = _PLAIN) -> Column:
    def show(row: Row) -> str:
        value, low, high = (number(row, key, end) for end in ("value", "low", "high"))
        if value is None or low is None or high is None:
            return "-"
        digits = 1 if scale == _SHARE else 2
        return f"{scale * value:.{digits}f} [{scale * low:.{digits}f}, {scale * high:.{digits}f}]"

    return Column(title, show, right=True)


def change_tables(comparison: ArmDifference, show: int) -> list[Table]:
    """The pairs that got worse and those that got better, `show` of each with both reasons."""
    other = len(comparison.changes) - len(comparison.worse) - len(comparison.better)
    tables = []
    for direction, changes in (("got worse", comparison.worse), ("got better", comparison.better)):
        rows = tuple(dataclasses.asdict(change) for change in changes[:show])
        left = len(changes) - len(rows)
        notes = [f"and {left} more; --show {len(changes)} lists all"] if left else []
        if direction == "got better" and other:
            notes.append(f"{other} more changed from one wrong verdict to another")
        whole = plural(comparison.compared, "pair")
        title = f"{len(changes)} of {whole} {direction}, {comparison.first} to {comparison.second}"
        tables.append(Table(title, _CHANGE_COLUMNS if show else (), rows, tuple(notes)))
    return tables


_CHANGE_COLUMNS = (
    column("pair", "id"),
    column("label"),
    column("first", "before"),
    column("second", "after"),
    Column("question", lambda row: clean(str(row["question"]), 60)),
    Column("why (first)", lambda row: clean(str(row["reason_before"]), 90)),
    Column("why (second)", lambda row: clean(str(row["reason_after"]), 90)),
)
