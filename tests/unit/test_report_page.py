"""The page of `harness report`: what it says, what it holds, and that nothing foreign runs or leaks in it."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result
from stored_runs import coin, make_run

from harness.cli.report import command
from harness.errors import DataError, UnknownName, UsageError
from harness.leaderboard import build
from harness.plain import UNSEEN
from harness.report.page.data import read_data
from harness.report.page.document import SCRIPTS, PageSpec, asset, report
from harness.report.page.gather import gather
from harness.report.page.verdict import SuiteVerdict, verdict
from harness.report.page.why import noise_table
from harness.run.folder import RunFolder, list_runs
from harness.run.store import write_graded, write_records, write_result
from harness.types import Completion, Record, Score

HOSTILE = [
    "</script><script>alert(1)</script>",
    "<!--<script>",
    "<img src=x onerror=alert(1)>",
    "a\u2028b\u2029c",
    "\x1b[31mred\x1b]0;title\x07",
    "\u202egnp.exe\u2066",
    "x" * 1_000_000,
    "\"'&amp;{{}}${1}`",
    "\ud800",
    "\x00\ufeff",
]


def page(results: Path, *names: str, **asked: Any) -> str:
    folders = [RunFolder.of(results, name) for name in names] or list_runs(results)
    return report(folders, PageSpec(**asked))


def run(results: Path, *args: str) -> Result:
    return CliRunner().invoke(command, [*args, "--results-dir", str(results)], standalone_mode=False)


def texts(out: str) -> list[dict[str, Any]]:
    found = re.search('<script type="application/octet-stream" id="texts">([A-Za-z0-9+/=]*)</script>', out)
    assert found is not None
    content = base64.b64decode(found[1])
    return [json.loads(line) for line in gzip.decompress(content).splitlines()] if content else []


def answered(results: Path, model: str, values: list[float], said: list[str], **changes: Any) -> Path:
    """A run with a text for each problem."""
    directory = make_run(results, model, values, **changes)
    graded = RunFolder(directory).graded
    rows = [
        replace(row, score=replace(row.score, answer=text, why=text)) for row, text in zip(graded, said, strict=True)
    ]
    write_graded(directory, rows)
    records = [
        Record(row.problem_id, 0, 1, "h", Completion(text, "stop")) for row, text in zip(rows, said, strict=True)
    ]
    write_records(directory, records)
    return directory


def the_verdict(results: Path) -> SuiteVerdict:
    (group,) = build([folder.result for folder in list_runs(results)])
    return verdict(group)


# --- the verdict ------------------------------------------------------------------------------------------------------


def test_a_winner_is_named_with_its_lead(tmp_path: Path) -> None:
    make_run(tmp_path, "mock:good", coin(0.95, 200, 1), n=1)
    make_run(tmp_path, "mock:bad", coin(0.5, 200, 3))
    said = the_verdict(tmp_path)
    assert said.sentence.startswith("mock:good is best: ")
    assert "of mock:bad, a difference of +" in said.sentence
    assert "points, p (Holm) <0.001." in said.sentence
    assert said.doubts == ("one sample of each problem: another draw may answer differently",)


def test_a_tie_says_what_would_decide(tmp_path: Path) -> None:
    make_run(tmp_path, "mock:a", [1.0] * 60 + [0.0] * 40)
    make_run(tmp_path, "mock:b", [0.0] * 3 + [1.0] * 55 + [0.0] * 42)
    said = the_verdict(tmp_path)
    assert said.sentence.startswith("No winner is shown: all models are tied at the top (mock:a, mock:b)")
    assert re.search(
        r"to show a difference of 5\.0 points takes (n = \d+ .* or )?[\d,]+ problems like these", said.doubts[0]
    )


def test_equal_runs_and_a_single_one_ask_for_nothing(tmp_path: Path) -> None:
    make_run(tmp_path, "mock:a", [1.0, 0.0, 1.0])
    assert the_verdict(tmp_path).sentence.startswith("Only mock:a was run: 66.7")
    make_run(tmp_path, "mock:b", [1.0, 0.0, 1.0])
    assert "the best two are equal" in the_verdict(tmp_path).doubts[0]


def test_doubts_name_cut_and_missing_samples_and_single_seeds(tmp_path: Path) -> None:
    trained = {"trained": {"method": "krsl", "base": "tiny", "seed": 0, "tokens": 5}}
    make_run(tmp_path, "trained:x", [1.0, 1.0, None], model_identity=trained)
    counts = {"scored": 50, "no_answer": 0, "truncated": 50, "unscored": 0, "error": 0}
    make_run(tmp_path, "mock:cut", [0.0, 0.0, 1.0], counts=counts)
    doubts = " | ".join(the_verdict(tmp_path).doubts)
    assert "cut by the token limit: mock:cut (at most 50.0 %" in doubts
    assert "samples without a score: trained:x" in doubts
    assert "one training seed only: krsl" in doubts
    other = {"trained": {**trained["trained"], "seed": 1}}
    make_run(tmp_path, "trained:y", [1.0, 1.0, 1.0], model_identity=other)
    assert "one training seed only" not in " | ".join(the_verdict(tmp_path).doubts)


def test_without_values_per_problem_no_winner_is_claimed(tmp_path: Path) -> None:
    for model in ("a", "b"):
        directory = make_run(tmp_path, model, [1.0, 0.0])
        write_result(directory, replace(RunFolder(directory).result, items={}))
    assert "no test was made" in the_verdict(tmp_path).sentence


# --- what the file is -------------------------------------------------------------------------------------------------


def test_the_policy_allows_the_pages_own_style_and_nothing_else(tmp_path: Path) -> None:
    make_run(tmp_path, "mock:a", [1.0, 0.0])
    out = page(tmp_path)
    (style,) = re.findall("<style>(.*?)</style>", out, re.DOTALL)
    (script,) = re.findall("<script>(.*?)</script>", out, re.DOTALL)
    digests = [base64.b64encode(hashlib.sha256(part.encode()).digest()).decode() for part in (style, script)]
    assert f"default-src 'none'; style-src 'sha256-{digests[0]}'; base-uri 'none'; form-action 'none'; script" in out
    assert f"script-src 'sha256-{digests[1]}'\"" in out
    assert not re.search(r"\s(src|style|on\w+)=", out.replace(script, ""))
    assert set(re.findall(r"href=.(.)", out)) == {"#"}
    assert "http:" not in out.replace("http-equiv", "")
    assert "https:" not in out


def test_the_numbers_are_the_leaderboards_own(tmp_path: Path) -> None:
    make_run(tmp_path, "mock:a", [1.0, 1.0, None, 0.5], n=2)
    make_run(tmp_path, "mock:b", [0.0, 0.0, 0.0, 1.0], n=2)
    data = read_data(page(tmp_path, baseline="mock:b", title="T"))
    (board,) = data["boards"]
    assert (data["title"], board["suite"], board["problems"]) == ("T", "toy", ["p000", "p001", "p002", "p003"])
    best, other = board["runs"]
    assert (best["model"], best["means"], best["ns"]) == ("mock:a", [1.0, 1.0, None, 0.5], [2, 2, 0, 2])
    assert (best["marks"], other["marks"][0]) == (["rr", "rr", "uu", "pp"], "ww")
    assert best["tokens"] == [100.0] * 4
    assert board["baseline"] == 1
    (test,) = board["tests"]
    assert (test["a"], test["b"], test["wins"], test["losses"], test["ties"]) == (0, 1, 2, 1, 0)
    (group,) = build([folder.result for folder in list_runs(tmp_path)])
    (tested,) = group.tests.values()
    assert (test["p_holm"], test["diff"]) == (tested.p, tested.outcome.diff)


def test_what_is_no_page_is_refused() -> None:
    with pytest.raises(DataError, match="no page"):
        read_data("<html></html>")
    with pytest.raises(DataError, match="damaged"):
        read_data('<script type="application/octet-stream" id="data">AAAA</script>')


@pytest.mark.parametrize("models", [0, 1, 100])
def test_any_number_of_models(tmp_path: Path, models: int) -> None:
    (tmp_path / "runs").mkdir()
    for i in range(models):
        make_run(tmp_path, f"mock:{i}", coin(0.5, 8, i))
    out = page(tmp_path)
    assert ("There are no finished runs" in out) == (models == 0)
    assert out.count('class="dot"') == models
    assert models == 0 or [len(board["runs"]) for board in read_data(out)["boards"]] == [models]


def test_lines_mark_the_baseline_and_the_teacher(tmp_path: Path) -> None:
    for model, p in (("student", 0.2), ("method", 0.5), ("teacher", 0.9)):
        make_run(tmp_path, model, coin(p, 50, 1))
    out = page(tmp_path, baseline="student", teacher="teacher")
    assert out.count("<title>baseline: student</title>") == out.count("<title>teacher: teacher</title>") == 3


def test_a_matrix_shows_where_there_are_several_suites(tmp_path: Path) -> None:
    make_run(tmp_path, "mock:a", [1.0, 0.0])
    assert 'id="matrix"' not in page(tmp_path)
    make_run(tmp_path, "mock:a", [1.0, 0.0], suite="other")
    assert 'id="matrix"' in page(tmp_path)


def test_the_script_never_writes_markup() -> None:
    script = "".join(map(asset, SCRIPTS))
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function|DOMParser", script
    )
    assert not re.search(r"fetch\(|XMLHttpRequest|WebSocket|EventSource|sendBeacon|import\(", script)
    assert all(asset(name).count("\n") < 400 for name in (*SCRIPTS, "page.css"))
    assert "</" not in script


def test_pictures_say_what_became_of_samples_and_what_they_took(tmp_path: Path) -> None:
    trained = {"trained": {"id": "m-1", "method": "krsl", "base": "tiny", "seed": 0}}
    directory = make_run(tmp_path, "trained:m-1", [1.0, 1.0, 0.0, None], model_identity=trained)
    rows = RunFolder(directory).graded
    write_graded(directory, [*rows[:2], replace(rows[2], score=Score(0.0, "truncated")), rows[3]])
    make_run(tmp_path, "mock:b" + HOSTILE[0], [0.0] * 4, tokens=300, run_id="b")
    folder = tmp_path / "models" / "m-1"
    folder.mkdir(parents=True)
    (folder / "metrics.jsonl").write_text("".join(f'{{"tokens": {i}, "loss": 1.5}}\n' for i in range(4)) + "{torn")
    out = page(tmp_path)
    for told in ("2 of 4 right", "1 of 4 cut", "1 of 4 unscored", "4 of 4 wrong", "66.7, 100 tokens"):
        assert told in out
    assert out.count("<polyline") == 1
    assert 'id="training"' in out
    assert "integer integer/1" in out[out.index('id="provenance"') :]
    for drawing in re.findall(r"<figure>.*?</figure>", out, re.DOTALL):
        ElementTree.fromstring(drawing.replace("&#160;", " "))


def test_noise_is_split_by_source_where_there_are_samples_to_tell(tmp_path: Path) -> None:
    make_run(tmp_path, "steady", [1.0, 0.0] * 20, n=4)
    make_run(tmp_path, "shaky", [0.5] * 40, n=4)
    found = {row["model"]: row for row in noise_table(gather(list_runs(tmp_path), None)).rows}
    assert (found["steady"]["from samples"], found["steady"]["more helps"]) == ("0.00", "problems")
    # p (1 - p) n / (n - 1) = 1/3 within a problem: 100 sqrt(1/3 / 4 / 40) points
    assert (found["shaky"]["from samples"], found["shaky"]["from problems"]) == ("4.56", "0.00")
    assert 'id="noise"' in page(tmp_path)
    make_run(tmp_path / "single", "mock:a", [1.0, 0.0])
    assert 'id="noise"' not in page(tmp_path / "single")


# --- texts ------------------------------------------------------------------------------------------------------------


def test_hostile_texts_are_data_and_nothing_in_them_is_invisible(tmp_path: Path) -> None:
    for position, model in enumerate(["a" + HOSTILE[0], "b" + HOSTILE[4]]):
        answered(tmp_path, model, [1.0, float(position)] * 5, HOSTILE, run_id=f"r{position}")
    out = page(tmp_path, title=HOSTILE[0])
    assert len(re.findall("<script", out)) == 3
    assert not UNSEEN.search(out)
    assert "onerror" not in out
    rows = texts(out)
    assert len(rows) == 10
    assert [row["p"] % 2 for row in rows] == [1] * 5 + [0] * 5  # those on which the runs differ come first
    for line in rows:
        for sample in (sample for samples in line["runs"].values() for sample in samples):
            assert not UNSEEN.search(sample["text"])
            assert len(sample["text"]) < 20_000
    by_problem = {row["p"]: row["runs"]["0"][0] for row in rows}
    assert by_problem[0]["text"] == HOSTILE[0]
    assert "⟨U+202E⟩gnp.exe" in by_problem[5]["text"]
    assert "characters left out" in by_problem[6]["text"]


def test_questions_stand_beside_answers_where_data_are_at_hand(tmp_path: Path) -> None:
    from harness.suites import load_problems, load_suite

    asked = load_problems(load_suite("synth_easy"), None, 0, 2)
    directory = answered(tmp_path, "mock:a", [1.0, 0.0], ["so \\boxed{1}", "<think>hm</think>2"], suite="synth_easy")
    result = RunFolder(directory).result
    items = dict(zip([one.id for one in asked], result.items.values(), strict=True))
    write_result(directory, replace(result, items=items, limit=2))
    for write, rows in (
        (write_graded, RunFolder(directory).graded),
        (write_records, list(RunFolder(directory).records)),
    ):
        write(directory, [replace(row, problem_id=one.id) for row, one in zip(rows, asked, strict=True)])  # type: ignore
    out = page(tmp_path)
    rows = {row["p"]: row for row in texts(out)}
    assert rows[0]["asked"][-1][1] == asked[0].messages[-1].content
    assert rows[0]["gold"] == asked[0].target
    assert (rows[1]["runs"]["0"][0]["thought"], rows[1]["runs"]["0"][0]["text"]) == ("hm", "2")
    assert read_data(out)["boards"][0]["tags"][0].startswith("level ")


def test_confidential_suites_have_no_texts_and_secrets_are_masked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_API_KEY", "correct-horse-battery")
    said = ["the key is correct-horse-battery", "b"]
    answered(tmp_path, "mock:a", [1.0, 0.0], said, suite="gpqa")
    answered(tmp_path, "mock:a", [1.0, 0.0], said, suite="toy")
    out = page(tmp_path)
    rows = texts(out)
    assert {read_data(out)["boards"][row["b"]]["suite"] for row in rows} == {"toy"}
    assert "correct-horse" not in json.dumps(rows)
    assert "[redacted]" in json.dumps(rows)
    assert "its authors ask not to post them" in out


def test_texts_give_way_to_the_size_and_it_is_said(tmp_path: Path) -> None:
    import random

    noise = random.Random(0)
    said = ["".join(noise.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=10_000)) for _ in range(40)]
    answered(tmp_path, "mock:a", [1.0] * 40, said)
    answered(tmp_path, "mock:b", [0.0] * 5 + [1.0] * 35, said)
    small = page(tmp_path, max_size=0.1)
    assert len(small) <= 100_000
    kept = texts(small)
    assert 0 < len(kept) < 40
    assert {row["p"] for row in kept} >= {0, 1, 2, 3, 4} or {row["p"] for row in kept} <= {0, 1, 2, 3, 4}
    assert f"questions and answers of {40 - len(kept)} problems of 40 (--max-size" in small
    assert "Not in this file" in small
    assert small == page(tmp_path, max_size=0.1)
    assert "Not in this file" not in page(tmp_path)
    assert {row["p"] for row in texts(page(tmp_path, texts="flips"))} == {0, 1, 2, 3, 4}
    assert texts(page(tmp_path, texts="none")) == []
    with pytest.raises(UsageError, match="the numbers alone take"):
        page(tmp_path, max_size=0.001)


def test_a_damaged_file_leaves_the_numbers_and_is_named(tmp_path: Path) -> None:
    answered(tmp_path, "mock:a", [1.0, 0.0], ["x", "y"])
    directory = answered(tmp_path, "mock:b", [0.0, 0.0], ["x", "y"])
    (directory / "scores.jsonl").write_text("{}\n")
    out = page(tmp_path)
    (board,) = read_data(out)["boards"]
    assert [run["marks"] for run in board["runs"]] == [["r", "w"], ["", ""]]
    assert "scores.jsonl, line 1 is damaged" in out
    assert "Not in this file" in out


def test_leaderboard_writes_the_same_page_with_its_own_tables_first(tmp_path: Path) -> None:
    from harness.cli.leaderboard import command as leaderboard

    make_run(tmp_path, "mock:a", [1.0, 0.0])
    make_run(tmp_path, "mock:b", [1.0, 0.0])
    out = tmp_path / "r.html"
    args = ["--html", str(out), "--metric", "all", "--model", "mock:a", "--results-dir", str(tmp_path)]
    CliRunner().invoke(leaderboard, args, standalone_mode=False, catch_exceptions=False)
    text = out.read_text()
    assert [run["model"] for board in read_data(text)["boards"] for run in board["runs"]] == ["mock:a"]
    assert "tokens_out" in text[: text.index('id="verdict"')]


@pytest.mark.parametrize("other", ["mock:b", "mock:a"])
def test_compare_writes_it_with_the_first_run_as_what_is_held_against(tmp_path: Path, other: str) -> None:
    from harness.cli.compare import command as compare

    make_run(tmp_path, "mock:a", [1.0, 0.0], run_id="first")
    make_run(tmp_path, other, [1.0, 1.0], run_id="second")
    out = tmp_path / "r.html"
    args = ["first", "second", "--html", str(out), "--results-dir", str(tmp_path)]
    CliRunner().invoke(compare, args, standalone_mode=False, catch_exceptions=False)
    (board,) = read_data(out.read_text())["boards"]
    assert board["runs"][board["baseline"]]["run_id"] == "first"
    assert out.read_text().index("win/loss/tie") < out.read_text().index('id="verdict"')


# --- the command ------------------------------------------------------------------------------------------------------


def test_runs_are_named_or_all_taken(tmp_path: Path) -> None:
    make_run(tmp_path, "mock:a", [1.0, 0.0])
    make_run(tmp_path, "mock:a", [1.0, 0.0], suite="other")
    make_run(tmp_path, "mock:b", [1.0, 0.0])
    damaged = tmp_path / "runs" / "damaged"
    damaged.mkdir()
    (damaged / "result.json").write_text("{")
    out = tmp_path / "r.html"
    assert run(tmp_path, "toy-mock-b", "toy-mock-b-0", "-o", str(out)).return_value == 0
    assert [len(board["runs"]) for board in read_data(out.read_text())["boards"]] == [1]
    done = run(tmp_path, "-o", str(out))
    assert done.return_value == 1
    assert "left out" in done.stderr
    assert sorted(len(board["runs"]) for board in read_data(out.read_text())["boards"]) == [1, 2]
    wrong = run(tmp_path, "toy-mock-b", "--baseline", "mock:c", "-o", str(tmp_path / "x.html"))
    assert isinstance(wrong.exception, UnknownName)
    assert not (tmp_path / "x.html").exists()


def test_a_model_means_all_its_runs(tmp_path: Path) -> None:
    from harness.cli.run import command as run_command

    for seed in ("0", "1"):
        for suite in ("synth_easy", "synth_choice"):
            args = ["--suite", suite, "--model", "mock:gold", "--limit", "2", "--seed", seed, "--quiet"]
            done = CliRunner().invoke(run_command, [*args, "--results-dir", str(tmp_path)], standalone_mode=False)
            assert done.exception is None
    out = tmp_path / "r.html"
    assert run(tmp_path, "mock:gold", "-o", str(out)).return_value == 0
    boards = read_data(out.read_text())["boards"]
    assert {board["suite"]: len(board["runs"]) for board in boards} == {"synth_easy": 2, "synth_choice": 2}
    assert all(row["asked"] and row["runs"]["1"][0]["status"] == "scored" for row in texts(out.read_text()))
