"""A warning belongs to the result: every table, page and verdict that shows the score shows it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from bench_fakes import stored_arm
from click.testing import CliRunner
from stored_runs import coin, make_run

from harness.bench.compare import compare_suites
from harness.bench.page import write_report
from harness.bench.report import all_tables, bench_json
from harness.bench.runner import unequal_budgets
from harness.bench.spec import Arm, BenchSpec
from harness.cli.main import cli
from harness.config import RunConfig
from harness.report.table import render
from harness.report.text import markdown
from harness.run.folder import RunFolder
from harness.run.result import warnings_of
from harness.stats.multiple import rank_groups

STORED = (
    "the answers of m: constant answer: 60 of 60 answers are one and the same text; no win rate of it means much",
    "the length control moved the win rate from 50.0% to 90.0%: its fit may have failed",
    "length control: length_controlled_v1, RECONSTRUCTED from published fits",
)
CUT = "100.0% of the samples were cut by the limit of 2048 tokens"
COUNTS = {"scored": 0, "no_answer": 0, "truncated": 60, "unscored": 0, "error": 0}


def write_runs(results: Path) -> tuple[Path, Path]:
    first = make_run(results, "mock:a", [0.0] * 60, counts=COUNTS, warnings=STORED)
    return first, make_run(results, "mock:b", [0.0] * 60, counts=COUNTS)


def invoke(*args: str, code: int = 0) -> str:
    done = CliRunner().invoke(cli, list(args), standalone_mode=False)
    assert done.exception is None and (done.return_value or 0) == code, done.output
    return done.stdout


def shown(results: Path, what: str) -> str:
    first, second = write_runs(results)
    where = ("--results-dir", str(results))
    if what == "leaderboard page":
        invoke("leaderboard", *where, "--html", str(results / "page.html"))
        return (results / "page.html").read_text(encoding="utf-8")
    if what.startswith("gate"):
        files = ("--junit", str(results / "gate.xml"), "--no-annotations")
        sides = ("--baseline", first.name, "--candidate", second.name, "--margin", "10pp")
        form = ("--json",) if what.endswith("json") else ()
        out = invoke("gate", *where, *files, *sides, *form, code=4)
        return (results / "gate.xml").read_text(encoding="utf-8") if what.endswith("junit") else out
    command, _, form = what.partition(" ")
    runs = (first.name, second.name) if command == "compare" else ()
    return invoke(command, *where, *runs, *(("--format", form) if form else ()))


@pytest.mark.parametrize(
    "what",
    [
        *("leaderboard", "leaderboard md", "leaderboard csv", "leaderboard json", "leaderboard page"),
        *("compare", "compare md", "compare csv", "compare json", "gate", "gate json", "gate junit"),
    ],
)
def test_whatever_shows_a_score_shows_what_was_warned_of(tmp_path: Path, what: str) -> None:
    escape: Callable[[str], str] = markdown if what.endswith(" md") else str
    out = shown(tmp_path, what)
    for warning in (*STORED, CUT):
        assert escape(warning) in out, warning


def test_a_gate_does_not_pass_sixty_of_sixty_cut_replies(tmp_path: Path) -> None:
    out = shown(tmp_path, "gate")
    assert out.startswith("INCONCLUSIVE")
    assert "100.0% of the baseline's samples were cut by the limit of 2048 tokens before an answer" in out


def test_a_baseline_file_keeps_them(tmp_path: Path) -> None:
    first, second = write_runs(tmp_path)
    where, path = ("--results-dir", str(tmp_path)), str(tmp_path / "base.json")
    invoke("gate", *where, "--candidate", first.name, "--save-baseline", path)
    out = invoke("gate", *where, "--baseline", path, "--candidate", second.name, "--margin", "10pp", code=4)
    assert STORED[0] in out
    assert "of the baseline's samples were cut" in out
    old = json.loads(Path(path).read_text(encoding="utf-8"))
    del old["truncated"], old["warnings"]  # as earlier versions wrote it
    Path(path).write_text(json.dumps(old), encoding="utf-8")
    assert "baseline's samples were cut" not in invoke(
        "gate", *where, "--baseline", path, "--candidate", second.name, "--margin", "10pp", code=4
    )


def arms(results: Path) -> tuple[Arm, Arm]:
    warned = stored_arm(results, "sft", "method", [[0.0] * 20], counts=COUNTS, warnings=STORED)
    return warned, stored_arm(results, "emo", "method", [coin(0.5, 20, 1)])


def test_bench_says_them_in_table_page_and_json(tmp_path: Path) -> None:
    rows = arms(tmp_path)
    differ = "the methods differ in learning_rate (sft 1, emo 2)"
    found = compare_suites(rows, {"toy": 1}, tmp_path, None, [differ])
    spec = BenchSpec(("sft", "emo"), 1, "tiny", RunConfig())
    write_report(tmp_path / "r.html", spec, rows, found, tmp_path)
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    tables = all_tables(rows, found)
    for said in (*STORED, CUT, differ):
        assert said in render(tables, "table")
        assert said in page
        assert said in render(tables[:1], "json", extra=bench_json(spec, rows, found))


def test_bench_has_a_column_of_cut_replies_where_there_are_any(tmp_path: Path) -> None:
    rows = arms(tmp_path)
    path = tmp_path / "runs" / "toy-sft-0" / "scores.jsonl"
    path.write_text(path.read_text().replace('"scored"', '"truncated"'), encoding="utf-8")
    (found,) = compare_suites(rows, {"toy": 1}, tmp_path)
    assert found.entries[0].means["truncated"].value == 1.0
    assert "cut by the limit [%]" in render(all_tables(rows, (found,)), "table")
    (clean,) = compare_suites(rows[1:], {"toy": 1}, tmp_path)
    assert "truncated" not in {measure.key for measure in clean.measures}


@pytest.mark.parametrize(
    ("budget", "tokens", "seconds", "said"),
    [
        ("200ktok", (200_000, 234_000), (1.0, 9.0), "234,000 tokens, a with 200,000 (17% more)"),
        ("200ktok", (200_000, 205_000), (1.0, 9.0), ""),
        ("30min", (200_000, 234_000), (1800.0, 1800.0), ""),
        ("30min", (200_000, 200_000), (1800.0, 2106.0), "2,106 seconds, a with 1,800 (17% more)"),
        (None, (100, 200), (1.0, 1.0), "(100% more)"),
    ],
)
def test_budgets_that_differ_are_said(
    tmp_path: Path, budget: str | None, tokens: tuple[int, int], seconds: tuple[float, float], said: str
) -> None:
    rows = []
    for name, read, took in zip("ab", tokens, seconds, strict=True):
        arm = stored_arm(tmp_path, name, "method", [[1.0, 0.0]])
        (member,) = arm.members
        assert member.card is not None
        rows.append(replace(arm, members=(replace(member, card=replace(member.card, tokens=read, seconds=took)),)))
    assert said in " ".join(unequal_budgets(rows, budget))
    assert bool(said) == bool(unequal_budgets(rows, budget))


def test_results_without_the_field_are_read(tmp_path: Path) -> None:
    directory = make_run(tmp_path, "mock:a", [1.0, 0.0], counts=COUNTS)
    raw = json.loads((directory / "result.json").read_text(encoding="utf-8"))
    del raw["warnings"]
    (directory / "result.json").write_text(json.dumps(raw), encoding="utf-8")
    assert len(warnings_of(RunFolder(directory).result)) == 1  # what the counts say


def test_a_lower_score_is_never_ranked_above_a_higher_one() -> None:
    ranks = rank_groups(["a", "b", "c"], {("a", "b"): 0.01, ("a", "c"): 0.5, ("b", "c"): 0.5})
    assert list(ranks.values()) == [(1, "a"), (2, "b"), (2, "ab")]
