"""Tables: four faces of the same rows, and foreign text that must not escape into any of them."""

from __future__ import annotations

import csv
import io
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.plain import clean
from harness.report import text
from harness.report.page.document import Own, PageSpec, report
from harness.report.table import Column, Table, render, to_csv

EVIL = "=cmd()|'\x1b[31mred\x1b[0m' <script>alert(1)</script> [link](http://x) | \u202etxt\n**b**"


def table(model: str = "m", value: float | None = 0.5) -> Table:
    row = {"model": model, "value": value, "low": 0.4, "high": 0.6, "counts": {"scored": 3}}
    columns = (
        Column("model", lambda r: str(r["model"])),
        Column("value", lambda r: text.percent(r["value"]), right=True),  # type: ignore[arg-type]
        Column("empty", lambda r: "-"),
    )
    return Table("A title", columns, (row,), ("a note",))


def test_json_has_rows_in_order_and_no_nan() -> None:
    out = json.loads(render([table("a", math.nan), table("b")], "json"))
    assert [row["model"] for row in out["rows"]] == ["a", "b"]
    assert out["rows"][0]["value"] is None
    assert list(out) == ["rows"]


def test_csv_flattens_and_keeps_numbers_exact() -> None:
    rows = list(csv.DictReader(io.StringIO(render([table(value=1 / 3)], "csv"))))
    assert rows[0]["counts.scored"] == "3"
    assert float(rows[0]["value"]) == 1 / 3


@pytest.mark.parametrize("start", ["=1+1", "+1", "-1", "@x", "\t=1", "\r=1"])
def test_csv_text_cannot_become_a_formula(start: str) -> None:
    cell = next(csv.reader(io.StringIO(to_csv([{"model": start}]).split("\n", 1)[1])))[0]
    assert cell.startswith("'") or cell[0] not in "=+-@\t\r"
    assert to_csv([{"value": -1.5}]).splitlines()[1] == "-1.5"  # a negative number stays a number


@given(st.text(max_size=60))
def test_clean_is_one_printable_line(value: str) -> None:
    line = clean(value)
    assert "\n" not in line
    assert "\x1b" not in line
    assert "\u202e" not in line
    assert clean(line) == line


@given(st.text(max_size=60))
def test_csv_round_trips_any_text_into_one_row(value: str) -> None:
    rows = list(csv.reader(io.StringIO(to_csv([{"a": value, "b": 1}]))))
    assert len(rows) == 2
    assert rows[1][1] == "1"


def test_markdown_shows_foreign_text_literally() -> None:
    out = render([table(EVIL)], "md")
    line = next(part for part in out.splitlines() if "cmd" in part)
    assert "<script>" not in line
    assert "\\<script\\>" in line
    assert line.replace("\\|", "").count("|") == 3  # two visible columns: the empty one is not shown
    assert "\x1b" not in out


def test_terminal_keeps_markup_and_escapes_out(monkeypatch: pytest.MonkeyPatch) -> None:
    out = render([table("[bold red]x[/] " + EVIL)], "table")
    assert "[bold red]x[/]" in out
    assert "\x1b" not in out
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    assert "\x1b[3" not in render([table()], "table", tty=True)


def test_long_cells_are_not_folded_in_a_pipe() -> None:
    name = "organisation/" + "x" * 150
    assert name in render([table(name)], "table")


def test_html_is_self_contained_and_escaped() -> None:
    out = report([], PageSpec("T <b>"), Own([table(EVIL)], ["n & m"]))
    assert "<script" not in out
    assert "&lt;script&gt;" in out
    assert "n &amp; m" in out
    assert "src=" not in out
    assert "href=" not in out
    assert out.count("<svg") == 1
    assert "Nothing to show" in report([], PageSpec("T"), Own())


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ((0.433, 0.38, 0.486), "43.3 ± 5.3"),
        ((0.02, 0.005, 0.07), "2.0 [0.5, 7.0]"),
        ((math.nan, 0.0, 1.0), "-"),
        ((0.5, math.nan, math.nan), "50.0 ± ?"),
    ],
)
def test_intervals_say_when_they_are_asymmetric(args: tuple[float, float, float], expected: str) -> None:
    assert text.with_interval(*args) == expected


def test_small_formats() -> None:
    assert text.percent(None) == "-"
    assert text.signed(0.021) == "+2.1"
    assert (text.p_value(0.0001), text.p_value(0.0344), text.p_value(None)) == ("<0.001", "0.034", "-")
    assert (text.count(1_234_567), text.count(12_345), text.count(12), text.count(None)) == ("1.2M", "12.3k", "12", "-")
