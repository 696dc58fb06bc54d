"""The judge laboratory as tables: one row per measure, one column per judge prompt, and the paired difference.

Everything a table shows is in its rows as plain numbers; `lab_json` adds what no table can hold: every pair's verdicts,
the prompts' diff, the items that changed.
"""

from __future__ import annotations

import dataclasses
import unicodedata
from collections.abc import Callable, Mapping

from harness.plain import clean, plural
from harness.report.lab_json import change_row, difference_of, lab_json, plain
from harness.report.table import Column, Format, Row, Table, render
from harness.report.text import p_value, percent, signed, with_interval
from harness.stats.decision import disagreement
from harness.types import Estimate, Json
from judges.lab.measure import Measures
from judges.lab.report import ArmReport, Comparison, LabReport

Getter = Callable[[Measures], "Estimate | float | None"]
_SHARE, _PLAIN = 100.0, 1.0
_DETECTABLE = 1.96 + 0.84  # standard errors: 80 % power at a two-sided 5 %
_DIFF_LINES = 80


@dataclasses.dataclass(frozen=True)
class _Line:
    """One measure: its row in the table."""

    key: str
    title: str
    get: Getter
    scale: float = _SHARE
    compare: str = ""
    """Name in `Versus.differences`, where the measure is compared pair by pair."""


def _share(name: str) -> Getter:
    return lambda measures: measures.shares.get(name)


def _preference(name: str, part: str) -> Getter:
    def get(measures: Measures) -> Estimate | None:
        found = measures.preferences.get(name)
        return None if found is None else {"judge": found.judge, "human": found.human, "excess": found.excess}[part]

    return get


def _pull(name: str) -> Getter:
    def get(measures: Measures) -> Estimate | None:
        found = getattr(measures.pulls, name) if measures.pulls is not None else None
        if found is None or measures.pulls is None:
            return None
        return Estimate(found.value, found.low, found.high, found.se, measures.pulls.n_pairs, measures.pulls.n_pairs)

    return get


def _pct(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


_LINES: tuple[_Line, ...] = (
    _Line("accuracy", "agrees with the label, per vote (a flip is half)", _share("accuracy"), compare="accuracy"),
    _Line("strict", "agrees over all votes on a pair (a flip is wrong)", _share("strict"), compare="strict"),
    _Line("person", "agrees with a single person's vote", _share("person"), compare="person"),
    _Line("person_decided", "… where neither sees a tie", _share("person_decided"), compare="person_decided"),
    _Line("kappa", "Cohen's kappa with the label", lambda m: m.kappa, _PLAIN),
    _Line("alpha", "Krippendorff's alpha with the label", lambda m: m.alpha, _PLAIN),
    _Line("flips", "verdict changes with the order", _share("flips"), compare="flips"),
    _Line("reversed", "… from winner to loser", _share("reversed"), compare="reversed"),
    _Line("first", "prefers the answer shown first (fair: 50)", _share("first"), compare="first"),
    _Line("ties", "sees a tie", _share("ties"), compare="ties"),
    _Line(
        "right_longer", "agrees where the label is the longer answer", _share("right_longer"), compare="right_longer"
    ),
    _Line("right_shorter", "… where it is the shorter", _share("right_shorter"), compare="right_shorter"),
    _Line("longer", "prefers the longer answer", _preference("longer", "judge"), compare="longer"),
    _Line("longer_human", "… the labels do", _preference("longer", "human")),
    _Line("longer_excess", "… in excess of the labels", _preference("longer", "excess")),
    _Line("lists", "prefers the answer with a list", _preference("lists", "judge"), compare="lists"),
    _Line("lists_human", "… the labels do", _preference("lists", "human")),
    _Line("lists_excess", "… in excess of the labels", _preference("lists", "excess")),
    _Line("own", "prefers its own answer", _preference("own", "judge"), compare="own"),
    _Line("own_human", "… the labels do", _preference("own", "human")),
    _Line("own_excess", "… in excess of the labels", _preference("own", "excess")),
    _Line("pull_label", "log odds for the labelled answer", _pull("label"), _PLAIN),
    _Line("pull_length", "log odds for twice the length", _pull("length"), _PLAIN),
    _Line("pull_lists", "log odds for the only list", _pull("lists"), _PLAIN),
    _Line("pull_first", "log odds for being first", _pull("first"), _PLAIN),
    _Line("malformed", "first reply malformed", lambda m: m.replies.malformed),
    _Line("unscored", "judgments unreadable twice", lambda m: _pct(m.replies.unscored, m.replies.judgments)),
    _Line("errors", "judgments without a reply", lambda m: _pct(m.replies.errors, m.replies.judgments)),
    _Line("missing", "pairs without a verdict", lambda m: _pct(m.pairs - m.scored, m.pairs)),
    _Line("tokens_in", "prompt tokens per judgment", lambda m: m.replies.tokens_in, _PLAIN),
    _Line("tokens_out", "reply tokens per judgment", lambda m: m.replies.tokens_out, _PLAIN),
    _Line("tokens_per_1000", "tokens per 1,000 judgments", lambda m: m.replies.tokens_per_1000, _PLAIN),
    _Line("cost_per_1000", "cost per 1,000 judgments", lambda m: m.replies.cost_per_1000, _PLAIN),
    _Line("cost_per_1000_pairs", "cost per 1,000 pairs", lambda m: m.replies.cost_per_1000_pairs, _PLAIN),
)


def lab_text(report: LabReport, form: Format, *, show: int, tty: bool = False) -> str:
    """The whole report in one format; `show` changed pairs per comparison and direction in the readable ones."""
    tables = lab_tables(report, show)
    if form == "json":
        return render(tables[:1], form, extra=lab_json(report))
    if form == "csv":
        return render(tables[:1], form)
    text = render(tables, form, tty=tty)
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
        tables += _changes(comparison, show)
    return tables


def _measures(report: LabReport) -> Table:
    rows: list[Row] = []
    for line in (*_LINES, *_notes_lines(report)):
        found = {arm.name: plain(line.get(arm.measures)) for arm in report.arms}
        if all(value is None for value in found.values()):
            continue
        differences: dict[str, Json] = {
            f"{one.second} - {one.first}": difference_of(one, line.compare) for one in report.comparisons
        }
        rows.append(
            {"measure": line.key, "title": line.title, "scale": line.scale, "arms": found, "differences": differences}
        )
    columns = [Column("", lambda row: str(row["title"]))]
    columns += [_arm_column(arm.name) for arm in report.arms]
    if len(report.comparisons) == 1:
        (only,) = report.comparisons
        columns += _difference_columns(f"{only.second} - {only.first}")
    title = f"{report.pairs.name}: {plural(len(report.pairs.pairs), 'pair')}, labels of {report.pairs.source}"
    return Table(title, tuple(columns), tuple(rows), tuple(_notes(report)))


def _notes_lines(report: LabReport) -> list[_Line]:
    """A row for every kind of note that any verdict has."""
    names = sorted({name for arm in report.arms for name in arm.measures.replies.notes})

    def getter(name: str) -> Getter:
        return lambda measures: measures.replies.notes.get(name, 0.0)

    return [_Line(f"note:{name}", f"verdicts with {name.replace('_', ' ')}", getter(name)) for name in names]


def _mapping(value: Json) -> Mapping[str, Json]:
    return value if isinstance(value, Mapping) else {}


def _number(value: Json) -> float:
    return float(value) if isinstance(value, int | float) else float("nan")


def _arm_column(name: str) -> Column:
    def show(row: Row) -> str:
        value = _mapping(row["arms"]).get(name)
        scale = _number(row["scale"])
        if isinstance(value, Mapping):
            low, high = _number(value["low"]), _number(value["high"])
            if scale == _PLAIN:
                return f"{_number(value['value']):.2f} [{low:.2f}, {high:.2f}]"
            return with_interval(_number(value["value"]), low, high, scale)
        if value is None:
            return "-"
        number = _number(value)
        return percent(number) if scale == _SHARE else f"{number:,.0f}" if number >= 100 else f"{number:.2f}"

    return Column(name, show, right=True)


def _difference_columns(name: str) -> list[Column]:
    def difference(row: Row) -> str:
        return _change_with_interval(_mapping(row["differences"]).get(name))

    def p(row: Row) -> str:
        return _p(_mapping(row["differences"]).get(name))

    def decision(row: Row) -> str:
        return str(_mapping(_mapping(row["differences"]).get(name)).get("decision", "-"))

    return [
        Column("second - first [95 % CI]", difference, right=True),
        Column("p", p, right=True),
        Column("decision", decision),
    ]


def _change_with_interval(value: Json) -> str:
    found = _mapping(value)
    if not found:
        return "-"
    return f"{signed(_number(found['diff']))} [{signed(_number(found['low']))}, {signed(_number(found['high']))}]"


def _p(value: Json) -> str:
    found = _mapping(value)
    return p_value(_number(found["p"])) if found else "-"


def _comparisons(report: LabReport) -> Table:
    """One row per comparison, where there are too many for columns beside the measures."""
    shown = (("accuracy", "per vote"), ("strict", "all votes"), ("flips", "flips"), ("longer", "longer"))
    rows: list[Row] = [
        {
            "first": one.first,
            "second": one.second,
            "p_holm": one.p_holm,
            "differences": {name: difference_of(one, name) for name in one.result.differences},
        }
        for one in report.comparisons
    ]

    def column(name: str, title: str) -> Column:
        return Column(title, lambda row: _change_with_interval(_mapping(row["differences"]).get(name)), right=True)

    columns = [Column("first", lambda row: str(row["first"])), Column("second", lambda row: str(row["second"]))]
    columns += [column(name, title) for name, title in shown]
    columns += [
        Column("p (per vote)", lambda row: _p(_mapping(row["differences"]).get("accuracy")), right=True),
        Column("p (Holm)", lambda row: p_value(_number(row["p_holm"])), right=True),
    ]
    return Table("Second minus first on the same pairs [95 % CI]", tuple(columns), tuple(rows))


def _notes(report: LabReport) -> list[str]:
    notes = list(report.pairs.notes)
    if report.humans is not None and report.humans_decided is not None:
        notes.append(
            f"two people agree on {_percent(report.humans)} of {report.humans.n_problems} pairs with several votes "
            f"({_percent(report.humans_decided)} where neither saw a tie): a judge cannot be expected to do better"
        )
    for arm in report.arms:
        missing = arm.measures.pairs - arm.measures.scored
        if missing:
            bounds = arm.measures.shares["accuracy"].bounds if "accuracy" in arm.measures.shares else None
            could = f"; accuracy could be {percent(bounds[0])} to {percent(bounds[1])} with them" if bounds else ""
            why = ", ".join(f"{clean(reason, 80)} ({n})" for reason, n in list(arm.measures.replies.why.items())[:3])
            notes.append(f"{arm.name}: {plural(missing, 'pair')} without a verdict left out{could}; why: {why}")
        if not arm.arm.pairwise:
            notes.append(f"{arm.name} judges one answer at a time: the higher value wins, and there is no order")
        if arm.arm.judging.identity().get("temperature") == 0 and _repeats(arm) > 1:
            notes.append(
                f"{arm.name}: repeats at temperature 0 agree with each other more than they would when sampled"
            )
    if any(arm.measures.pulls is not None for arm in report.arms):
        notes += [
            "log odds: one logistic regression of all votes on label, length (log2), lists and position together; "
            "0 is no influence, 0.7 doubles the odds",
            "an excess over the labels may come from plain errors: a coin has one where the labels lean to one side, "
            "and no log odds",
        ]
    notes += [note for comparison in report.comparisons for note in _disagreements(comparison)]
    for comparison in report.comparisons:
        accuracy = comparison.result.differences.get("accuracy")
        if accuracy is not None and accuracy.p > 0.05 and accuracy.se > 0:
            notes.append(
                f"{comparison.second} - {comparison.first}: with these pairs, a true difference in agreement below "
                f"{percent(_DETECTABLE * accuracy.se)} points goes unnoticed more than one time in five"
            )
    return notes


def _disagreements(comparison: Comparison) -> list[str]:
    """A line for each difference whose interval and test disagree."""
    return [
        f"{comparison.second} - {comparison.first}, {name}: {why}"
        for name, paired in comparison.result.differences.items()
        if (why := disagreement(paired.low, paired.high, paired.p, comparison.deciding_p(name)))
    ]


def _repeats(arm: ArmReport) -> int:
    repeats = arm.arm.judging.identity().get("repeats")
    return repeats if isinstance(repeats, int) else 1


def _percent(estimate: Estimate) -> str:
    return f"{with_interval(estimate.value, estimate.low, estimate.high)} %"


def _subsets(report: LabReport) -> Table | None:
    names = sorted({name for arm in report.arms for name in arm.measures.subsets})
    if not any("accuracy" in shares for arm in report.arms for shares in arm.measures.subsets.values()):
        return None
    rows: list[Row] = []
    for name in names:
        arms: dict[str, Json] = {}
        for arm in report.arms:
            shares = arm.measures.subsets.get(name, {})
            arms[arm.name] = plain(shares.get("accuracy"))
        size = sum(pair.subset == name for pair in report.pairs.pairs)
        rows.append({"subset": name, "pairs": size, "scale": _SHARE, "arms": arms})
    columns = (
        Column("subset", lambda row: str(row["subset"])),
        Column("pairs", lambda row: str(row["pairs"]), right=True),
        *(_arm_column(arm.name) for arm in report.arms),
    )
    return Table("Agrees with the label, by subset", columns, tuple(rows))


def _dimensions(arm: ArmReport) -> Table | None:
    if not arm.measures.dimensions:
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
        for one in arm.measures.dimensions
    ]
    columns = (
        Column("dimension", lambda row: str(row["dimension"])),
        Column("mean", lambda row: f"{_number(row['mean']):.2f}", right=True),
        Column("sd", lambda row: f"{_number(row['sd']):.2f}", right=True),
        Column("reliability (alpha over repeats)", lambda row: _interval(row["reliability"]), right=True),
        Column("labelled minus rejected", lambda row: _interval(row["gap"]), right=True),
        Column("labelled one is higher", lambda row: _interval(row["auc"], _SHARE), right=True),
    )
    return Table(f"{arm.name}: dimensions", columns, tuple(rows))


def _interval(value: Json, scale: float = _PLAIN) -> str:
    found = _mapping(value)
    if not found:
        return "-"
    numbers = [scale * _number(found[name]) for name in ("value", "low", "high")]
    digits = 1 if scale == _SHARE else 2
    middle, low, high = (f"{number:.{digits}f}" for number in numbers)
    return f"{middle} [{low}, {high}]"


def _changes(comparison: Comparison, show: int) -> list[Table]:
    result = comparison.result
    other = len(result.changes) - len(result.worse) - len(result.better)
    tables = []
    for direction, changes in (("got worse", result.worse), ("got better", result.better)):
        rows = tuple(change_row(change) for change in changes[:show])
        left = len(changes) - len(rows)
        notes = [f"and {left} more; --show {len(changes)} lists all"] if left else []
        if direction == "got better" and other:
            notes.append(f"{other} more changed from one wrong verdict to another")
        whole = plural(result.compared, "pair")
        title = f"{len(changes)} of {whole} {direction}, {comparison.first} to {comparison.second}"
        tables.append(Table(title, _CHANGE_COLUMNS if show else (), rows, tuple(notes)))
    return tables


_CHANGE_COLUMNS = (
    Column("pair", lambda row: str(row["id"])),
    Column("label", lambda row: str(row["label"])),
    Column("first", lambda row: str(row["before"])),
    Column("second", lambda row: str(row["after"])),
    Column("question", lambda row: clean(str(row["question"]), 60)),
    Column("why (first)", lambda row: clean(str(row["reason_before"]), 90)),
    Column("why (second)", lambda row: clean(str(row["reason_after"]), 90)),
)
