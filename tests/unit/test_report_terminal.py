"""Narrow terminals: whatever the width, no number is cut and no label vanishes."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import example, given, settings
from hypothesis import strategies as st
from narrow_tables import WIDTHS, check_lines
from stored_runs import coin, make_run

from harness.cli.main import cli
from harness.report.table import Column, Table, to_terminal
from harness.report.terminal import PIPE_WIDTH, Grid, draw, terminal_width

WORDS = st.text(alphabet="abcdefgh:/._-é漢", min_size=1, max_size=14)
TEXTS = st.lists(WORDS, min_size=1, max_size=6).map(" ".join)
NUMBERS = st.from_regex(r"[+-]?[0-9]{1,5}\.[0-9]( \[[0-9]{1,3}\.[0-9], [0-9]{1,3}\.[0-9]\])?", fullmatch=True)


@st.composite
def grids(draw_from: st.DrawFn) -> Grid:
    right = tuple(draw_from(st.lists(st.booleans(), min_size=1, max_size=14)))
    titles = tuple(draw_from(TEXTS) for _ in right)
    rows = draw_from(st.integers(1, 4))
    cells = tuple(tuple(draw_from(NUMBERS if number else TEXTS) for number in right) for _ in range(rows))
    return Grid(titles, right, cells)


@settings(max_examples=150, deadline=None)
@given(grids(), st.sampled_from([40, 80, 100, 120]))
@example(Grid(("suite", "value"), (False, True), (("a" * 100, "12.5"), ("b", "1234567.8"))), 80)
def test_no_number_is_cut_and_no_label_vanishes_at_any_width(grid: Grid, width: int) -> None:
    check_lines(grid, width, draw(grid, width, tty=False))


ROWS = tuple((f"organisation/model-{i}", *(f"{i}{j}.5 [1.0, 99.9]" for j in range(6))) for i in range(3))
WIDE = Grid(("model", *(f"measure {j}" for j in range(6))), (False, *[True] * 6), ROWS)


def test_the_four_forms_are_taken_in_order() -> None:
    assert len(draw(WIDE, 240, tty=False)) == 5  # head, rule, three rows
    parts = draw(WIDE, 80, tty=False)
    assert sum(line.startswith("model") for line in parts) == 2  # the labels again before the other columns
    assert sum(line.startswith("organisation/model-1") for line in parts) == 2
    one = draw(Grid(WIDE.titles, WIDE.right, ROWS[:1]), 80, tty=False)
    assert one[0].split() == ["model", "organisation/model-0"]
    assert one[1] == "measure 0  00.5 [1.0, 99.9]"
    prose = Grid(("name", "what"), (False, False), (("a", "word " * 30), ("b", "short")))
    assert next(line for line in draw(prose, 80, tty=False) if line.startswith("a")).endswith("word")


def test_a_word_wider_than_the_terminal_stays_whole() -> None:
    path = "hf:" + "x" * 120
    assert any(path in line for line in draw(Grid(("model", "n"), (False, True), ((path, "2"),)), 80, tty=False))


@pytest.mark.parametrize(("said", "width"), [("80", 80), ("100", 100), ("", PIPE_WIDTH), ("x", PIPE_WIDTH), ("0", 20)])
def test_the_width_is_columns_where_it_is_said(monkeypatch: pytest.MonkeyPatch, said: str, width: int) -> None:
    monkeypatch.setenv("COLUMNS", said)
    assert terminal_width(tty=False) == width


def test_a_column_title_cannot_bring_an_escape() -> None:
    table = Table("", (Column("\x1b[31mname\nx", lambda row: "a"),), ({},))
    assert "\x1b" not in to_terminal([table], tty=False)
    assert to_terminal([table], tty=False).splitlines()[0] == "[31mname x"


SOURCES = Path(__file__).parents[2]


def test_nothing_else_lays_out_tables() -> None:
    """Every table goes through `Table`, so the fixture of conftest.py sees every one that any test prints."""
    others = []
    for path in sorted((SOURCES / "harness").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if path.name not in ("terminal.py", "table.py") and ("rich." in text or ".ljust(" in text or ".rjust(" in text):
            others.append(path.name)
    assert others == []


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("command", ["leaderboard", "compare", "plan"])
def test_commands_print_whole_numbers_and_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    names = [f"hf:organisation/a-model-with-a-name-{i}" for i in range(3)]
    runs = [make_run(tmp_path, name, coin(0.5, 20, i), run_id=f"toy-{i}") for i, name in enumerate(names)]
    given = {"compare": [run.name for run in runs], "plan": ["--detect", "3pp", "--suite", "synth_easy,math500"]}
    done = CliRunner().invoke(cli, [command, "--results-dir", str(tmp_path), *given.get(command, [])])
    assert done.exit_code == 0, done.output
    for name in names if command != "plan" else ["synth_easy", "math500"]:
        assert name in done.stdout
    assert "20" in done.stdout.split() or command == "plan"
