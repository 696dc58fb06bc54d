"""A comparison as tables: one row per pair of runs, then the problems on which they differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import cast

from harness.compare import Pair, pair_row
from harness.plain import clean, plural
from harness.report.table import Column, Row, Table, column, number
from harness.report.text import p_value, signed, signed_interval
from harness.run.result import judge_notes
from harness.types import Json

Asked = Mapping[tuple[str, str], str]
"""(suite, problem id) -> what was asked."""
_QUESTION, _ANSWER = 70, 40
"""Characters of each that are shown."""


def pair_tables(pairs: Sequence[Pair], show: int, asked: Asked = MappingProxyType({})) -> list[Table]:
    """An overview and, for every pair, its `show` biggest flips with what was asked and answered, where it is known."""
    rows = tuple(pair_row(pair, show) for pair in pairs)
    notes = [f"{row['name']} minus {row['reference_name']}: {note}" for row in rows for note in _list(row["notes"])]
    for row in rows:
        problems = dict.fromkeys(str(row[key]) for key in ("token_problem", "chain_problem") if row[key])
        notes += [f"{row['name']} minus {row['reference_name']}: tokens saved: {problem}" for problem in problems]
    notes += [f"{row['name']} minus {row['reference_name']}: {row['why']}" for row in rows if row["why"]]
    notes += judge_notes(run.result for pair in pairs for run in (pair.reference, pair.other))
    if len(rows) > 1:
        notes.append(f"p (Holm) is corrected for the {len(rows)} comparisons shown")
    overview = Table("Second minus first, on common problems", _COLUMNS, rows, tuple(notes))
    return [overview, *(_flips(pair, show, asked) for pair in pairs if show > 0)]


def _list(value: Json) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else []


def _flips(pair: Pair, show: int, asked: Asked) -> Table:
    flips = pair.flips[:show]
    suite = pair.other.result.suite
    rows: tuple[Row, ...] = tuple(
        {
            "problem_id": flip.problem_id,
            "reference": flip.reference,
            "run": flip.other,
            "change": flip.change,
            "question": clean(asked.get((suite, flip.problem_id), ""), _QUESTION),
            "reference_answer": clean(flip.reference_answer, _ANSWER),
            "answer": clean(flip.other_answer, _ANSWER),
        }
        for flip in flips
    )
    scale = _scale(pair_row(pair, 0))
    columns = (
        column("problem", "problem_id"),
        Column("first", lambda row: f"{scale * cast(float, row['reference']):.0f}", right=True),
        Column("second", lambda row: f"{scale * cast(float, row['run']):.0f}", right=True),
        Column("change", lambda row: signed(cast(float, row["change"]), scale), right=True),
        column("first's answer", "reference_answer"),
        column("second's answer", "answer"),
        column("question"),
    )
    more = len(pair.flips) - len(flips)
    notes = (f"and {more} more; --show {len(pair.flips)} lists all",) if more else ()
    title = (
        f"{suite}: {len(pair.flips)} of {plural(pair.outcome.n_problems, 'problem')} differ, "
        f"{pair.names[0]} (first) to {pair.names[1]} (second)"
    )
    return Table(title, columns, rows, notes)


def _scale(row: Row) -> float:
    return 100.0 if row["share"] else 1.0


def _delta(row: Row) -> str:
    return signed_interval(number(row, "delta"), number(row, "low"), number(row, "high"), _scale(row))


def _bootstrap(row: Row) -> str:
    ends = row["bootstrap"]
    return f"[{', '.join(signed(cast(float, end), _scale(row)) for end in ends)}]" if isinstance(ends, list) else "-"


def _problems(row: Row) -> str:
    names = (("only_reference", "first"), ("only_run", "second"))
    only = [f"{row[key]} only in {name}" for key, name in names if row[key]]
    return f"{row['n_problems']}" + (f" ({', '.join(only)})" if only else "")


def _rate(key: str, title: str) -> Column:
    def show(row: Row) -> str:
        rate = number(row, key, "value")
        return f"{rate:+.1f} %" if rate is not None else "-"

    return Column(title, show, right=True)


_COLUMNS = (
    column("suite"),
    column("first", "reference_name"),
    column("second", "name"),
    Column("difference [95 % CI]", _delta, right=True),
    Column("bootstrap", _bootstrap, right=True),
    Column("p", lambda row: p_value(number(row, "p")), right=True),
    Column("p (Holm)", lambda row: p_value(number(row, "p_holm")), right=True),
    column("decision"),
    column("test"),
    Column("win/loss/tie", lambda row: f"{row['wins']}/{row['losses']}/{row['ties']}", right=True),
    Column("problems", _problems, right=True),
    _rate("atr", "tokens saved (mean)"),
    _rate("otr", "tokens saved (total)"),
    _rate("chain_atr", "of the chain (mean)"),
    _rate("chain_otr", "of the chain (total)"),
)
