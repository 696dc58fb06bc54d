"""`harness data` end to end on mock models and a stub server: outputs, reports, resumption, refusals, bad input."""

from __future__ import annotations

import json
import re
import shlex
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
import pytest

from backends.records.record import TrainRecord, data_hash, write_records
from backends.records.source import read_records
from backends.records.synth import synth_records
from harness.cli.data import command
from harness.cli.main import cli
from harness.errors import BudgetReached, DataError, HarnessError, TooManyFailures, UnknownName, UsageError
from harness.models.hf import HfModel
from harness.models.mock import MockModel
from harness.models.openai import OpenAIModel
from harness.models.vllm import VllmModel
from harness.suites import load_problems, load_suite
from harness.types import Message
from tests.stub_server import MODEL, Reply, StubServer
from tests.tiny_model import write_model


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HARNESS_DATA_DIR", raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    return tmp_path


def data(*arguments: object) -> None:
    cli.main(["data", *map(str, arguments)], standalone_mode=False)


def report(out: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(f"{out}.report.json").read_text())
    return found


GOLD = ("--teacher", "mock:gold", "--teacher-arg", "think=true")
TRACES = ("traces", *GOLD, "--suite", "synth_easy", "--per-level", 15, "--quiet", "-o", "traces.jsonl")


def test_synth_and_stats(capsys: pytest.CaptureFixture[str]) -> None:
    data("synth", "--levels", "1,2", "--per-level", 8, "--positives", 2, "--candidates", 4, "-o", "train.jsonl")
    records = read_records(Path("train.jsonl"))
    assert records == synth_records(0, 8, (1, 2), positives=2, candidates=4)
    assert report("train.jsonl")["data_hash"] == data_hash(records)
    assert capsys.readouterr().err.splitlines() == ["8 level 1, 8 level 2", "16 records in train.jsonl"]
    data("stats", "train.jsonl", "--json")
    found = json.loads(capsys.readouterr().out)
    assert found["records"] == 16 and found["splits"] == {"think": 16} and found["without_chain"] == 0
    assert found["fields"]["candidates"] == 16 and found["data_hash"] == data_hash(records)
    data("stats", "train.jsonl")
    assert "responses split by: think 16" in capsys.readouterr().out
    data("synth", "--per-level", 2, "-o", "new/folder/train.jsonl")
    data("synth", "--per-level", 9, "-o", "train.jsonl")  # its own output may be made again
    assert len(read_records(Path("train.jsonl"))) == 18


def test_traces_of_the_embedded_world_and_a_second_call_that_asks_nothing() -> None:
    data(*TRACES, "--teacher-arg", "accuracy=0.6", "--n", 3, "--per-problem", 1)
    first = Path("traces.jsonl").read_bytes()
    found = report("traces.jsonl")
    records, unsolved = read_records(Path("traces.jsonl")), read_records(Path("traces.unsolved.jsonl"))
    assert found["asked"]["requests"] == 90 and found["counts"]["completions"] == 90 and found["split"] == "train"
    assert len(records) + len(unsolved) == 30 and len(records) == found["records"] > 0 < len(unsolved)
    assert all(one.meta["split"] == "train" and one.meta["verified"] and one.think for one in records)
    test = {problem.messages for problem in load_problems(load_suite("synth_easy"), None, 0, None)}
    assert not test & {one.prompt for one in records}
    data(*TRACES, "--teacher-arg", "accuracy=0.6", "--n", 3, "--per-problem", 1)
    assert Path("traces.jsonl").read_bytes() == first and report("traces.jsonl")["asked"]["requests"] == 0
    data(*TRACES, "--teacher-arg", "accuracy=0.6", "--n", 4)  # more samples: only those are made
    assert report("traces.jsonl")["asked"]["requests"] == 30
    data(*TRACES)  # another teacher (always right): nothing is unsolved, and the old file of that name goes
    assert not Path("traces.unsolved.jsonl").exists() and report("traces.jsonl")["records"] == 30


def test_a_dry_run_writes_nothing(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data(*TRACES, "--dry-run")
    assert "30 requests to mock:gold first, 30 of them not stored yet" in capsys.readouterr().out
    assert list(here.iterdir()) == []


def test_test_problems_are_refused_unless_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError, match=r"'gsm8k' are a TEST set.*--prompts FILE"):
        data("traces", *GOLD, "--suite", "gsm8k", "-o", "x.jsonl")
    data("traces", *GOLD, "--suite", "synth_easy", "--allow-test", "--limit", 5, "-o", "x.jsonl")
    assert "TEST problems of synth_easy" in capsys.readouterr().err
    assert {one.meta["split"] for one in read_records(Path("x.jsonl"))} == {"test"}
    data("stats", "x.jsonl")
    assert "TEST problems" in capsys.readouterr().err


def test_prompts_of_a_file_in_the_words_of_a_suite() -> None:
    rows = [{"id": "g1", "question": "2 + 2?", "answer": "It is 4.\n#### 4"}, {"question": "3 + 3?", "answer": 6}]
    Path("p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in (*rows, rows[1])))
    data("traces", *GOLD, "--prompts", "p.jsonl", "--suite", "gsm8k", "-o", "x.jsonl", "--quiet")
    first, second = read_records(Path("x.jsonl"))
    assert (first.id, first.gold, second.gold, first.meta["grader"]) == ("g1#0", "4", "6", "number")
    assert first.prompt[-1].content.startswith("2 + 2?\n\n") and "boxed" in first.prompt[-1].content
    assert report("x.jsonl")["repeated_rows"] == 1
    more = ("--instruction", "Be brief.", "--grader", "integer", "--quiet")
    data("traces", *GOLD, "--prompts", "p.jsonl", *more, "-o", "y.jsonl")
    assert read_records(Path("y.jsonl"))[0].prompt == (Message("user", "2 + 2?\n\nBe brief."),)
    data("traces", *GOLD, "--prompts", "p.jsonl", "--quiet", "-o", "z.jsonl")  # no grader: nothing can be checked
    assert [one.meta["verified"] for one in read_records(Path("z.jsonl"))] == [False, False]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"text": "x"}', r"p.jsonl:1: no text in a column 'question', 'prompt', .*\(found: 'text'\). Rename"),
        ('{"question": 3}', "column 'question' must be text, not int"),
        ('{"question": "a"}\n{"question": "b", "gold": []}', r"p.jsonl:2: column 'gold' must be text"),
        ('{"question": "a", "id": [7]}', "the record has no id"),
        ('{"question": "a", "id": "1"}\n{"question": "b", "id": "1"}', "two rows have the id '1' and differ"),
        ('{"question": "a"', "line 1"),
        ("[1]", "p.jsonl"),
        ("", "holds no prompts"),
        ('{"prompt": [{"role": "user"}], "id": "x"}', "content"),
        ('{"prompt": [{"role": "user", "content": "x"}], "id": "x", "chosen": "y"}', "unknown field 'chosen'"),
        ("\xff", "p.jsonl"),
    ],
)
def test_prompt_files_that_make_no_sense(content: str, message: str) -> None:
    Path("p.jsonl").write_text(content, encoding="latin-1")
    with pytest.raises(DataError, match=message):
        data("traces", *GOLD, "--prompts", "p.jsonl", "-o", "x.jsonl")
    assert not Path("x.jsonl").exists()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("traces", *GOLD, "-o", "x"), UsageError, "nothing to ask"),
        (("traces", *GOLD, "--suite", "synth", "--grader", "math", "-o", "x"), UsageError, "a suite brings its own"),
        (("traces", *GOLD, "--prompts", "p", "--suite", "gsm8k", "--grader", "math", "-o", "x"), UsageError, "leave"),
        (("traces", *GOLD, "--prompts", "none", "-o", "x"), DataError, "'none' is not a file"),
        (("traces", *GOLD, "--prompts", "r", "--grader", "maths", "-o", "x"), UnknownName, "Did you mean 'math'"),
        (("traces", *GOLD, "--prompts", "r", "--suite", "bbh", "-o", "x"), UsageError, "more than a question"),
        (("dual", "r", *GOLD, "-o", "x"), DataError, "the first 'a'"),
        (("dual", "none", *GOLD, "-o", "x"), DataError, "'none'"),
        (("dual", "synth:per_level=3", *GOLD, "-o", "x", "--grader", "nope"), UnknownName, "grader"),
        (("dual", "synth:per_level=3", *GOLD, "-o", "x", "--template", "edit_corrupt=n.toml"), HarnessError, "n.toml"),
        (("dual", "synth:per_level=3", *GOLD, "-o", "x", "--template", "edit_corupt=n"), UnknownName, "edit_corrupt"),
        (("traces", *GOLD, "--suite", "synth", "-o", "x", "--template", "dap_judge=n"), UnknownName, "template of"),
        (("shorten", "synth:per_level=3", *GOLD, "-o", "x", "--tokens", "1:2,x"), UsageError, "level:tokens"),
        (("synth", "--levels", "1,x", "-o", "x"), UsageError, "digits"),
        (("synth", "--levels", "9", "-o", "x"), UnknownName, "level"),
        (("synth", "--candidates", 1, "-o", "x"), DataError, "make no data set"),
        (("candidates", "r", "--student", "mock:gold", "-o", "x"), DataError, "no 'gold'"),
        (("traces", *GOLD, "--suite", "synth", "-o", "x", "--budget", "1usd"), UsageError, "--teacher-arg price_in="),
        (("traces", *GOLD, "--suite", "synth", "-o", "x", "--budget", "1banana"), UsageError, "is no amount"),
        (("candidates", "r", "--student", "mock:gold", "--temperature", 1, "-o", "x"), UsageError, "--temperatures"),
        (("candidates", "r", "--student", "mock:gold", "--reward", "judge", "-o", "x"), UsageError, "one --judge"),
        (("candidates", "r", "--student", "mock:gold", "--judge", "mock:judge", "-o", "x"), UsageError, "only with"),
        (("candidates", "r", "--student", "mock:gold", "--reward", "model", "-o", "x"), UsageError, "method rm"),
        (("candidates", "r", "--student", "mock:gold", "--rubric", "rating_10", "-o", "x"), UsageError, "only with"),
        (("candidates", "r", "--student", "mock:gold", "--reward", "nope", "-o", "x"), UsageError, "module:function"),
        (("candidates", "r", "--student", "mock:gold", "--reward", "no.pe:f", "-o", "x"), UsageError, "does not load"),
        (("decontaminate", "r", "--suite", "nope", "-o", "x"), UnknownName, "nope"),
        (("decontaminate", "r", "--suite", "gsm8k", "--data-dir", ".", "-o", "x"), DataError, "gsm8k_test.jsonl"),
        (("stats", "none"), DataError, "'none'"),
    ],
)
def test_commands_that_make_no_sense(arguments: tuple[object, ...], error: type[HarnessError], message: str) -> None:
    write_records(Path("r"), [TrainRecord("a", (Message("user", "hello there"),), response="Hi.", think="greet")])
    with pytest.raises(error, match=message):
        data(*arguments)
    assert not Path("x").exists()


def test_an_output_is_not_replaced_by_what_did_not_make_it() -> None:
    data("synth", "--per-level", 3, "-o", "train.jsonl")
    with pytest.raises(UsageError, match="is an input"):
        data("dual", "train.jsonl", *GOLD, "-o", "train.jsonl", "--force")
    with pytest.raises(UsageError, match="not made by `harness data traces`"):
        data("traces", *GOLD, "--suite", "synth_easy", "-o", "train.jsonl")
    Path("mine.jsonl").write_text("precious\n")
    with pytest.raises(UsageError, match="--force"):
        data(*TRACES[:-1], "mine.jsonl")
    assert Path("mine.jsonl").read_text() == "precious\n"
    data(*TRACES[:-1], "mine.jsonl", "--force")
    assert len(read_records(Path("mine.jsonl"))) == 30


def test_files_beside_the_output_are_not_replaced_either() -> None:
    Path("traces.unsolved.jsonl").write_text("precious\n")
    for more in ((), ("--teacher-arg", "accuracy=0.5")):
        with pytest.raises(UsageError, match=r"traces\.unsolved\.jsonl is there and not made by"):
            data(*TRACES, *more)
    assert Path("traces.unsolved.jsonl").read_text() == "precious\n" and not Path("traces.jsonl").exists()
    data(*TRACES, "--teacher-arg", "accuracy=0.5", "--force")
    data(*TRACES, "--teacher-arg", "accuracy=0.5")
    with pytest.raises(UsageError, match=r"traces\.stage1\.jsonl, which would be written, is an input"):
        Path("traces.jsonl").rename("traces.stage1.jsonl")
        data("dual", "traces.stage1.jsonl", *GOLD, "-o", "traces.jsonl")


def test_failed_requests_are_told_and_what_is_there_is_written() -> None:
    with pytest.raises(TooManyFailures, match=r"of 30 requests to mock:gold failed, the first: mock failure"):
        data(*TRACES, "--teacher-arg", "error_rate=0.3")
    found = report("traces.jsonl")
    assert (
        0 < found["counts"]["teacher_error"] == found["asked"]["failed"] == 30 - len(read_records(Path("traces.jsonl")))
    )
    with pytest.raises(TooManyFailures, match=r"30 of 30.*nothing was written"):
        data(*TRACES[:-1], "none.jsonl", "--teacher-arg", "error_rate=1")
    assert not Path("none.jsonl").exists()
    data(*TRACES, "--teacher-arg", "error_rate=0.3", "--max-failures", 1)


def test_nothing_kept_is_an_error_with_its_reasons() -> None:
    with pytest.raises(DataError, match=r"nothing was kept.*30 wrong"):
        data("traces", "--teacher", "mock:wrong", *TRACES[5:])
    assert not Path("traces.jsonl").exists()


def test_the_budget_stops_a_maker_and_the_same_command_goes_on() -> None:
    with pytest.raises(BudgetReached):
        data(*TRACES, "--budget", "500tok")
    assert not Path("traces.jsonl").exists()
    data(*TRACES)
    assert 0 < report("traces.jsonl")["asked"]["cached"] < 30


# --- a teacher behind an endpoint -----------------------------------------------------------------------------------


@pytest.fixture
def server() -> Any:
    with StubServer() as running:
        yield running


def teacher(server: StubServer, role: str = "teacher") -> tuple[str, ...]:
    return (f"--{role}", f"openai:{MODEL}", f"--{role}-arg", f"base_url={server.url}", "--quiet")


def test_dual_shorten_and_perspectives_by_an_endpoint(server: StubServer) -> None:
    data("synth", "--levels", "2", "--per-level", 4, "-o", "train.jsonl")
    records = {one.prompt[-1].content: one for one in read_records(Path("train.jsonl"))}

    def choose(index: int, body: dict[str, Any]) -> Reply:
        prompt = body["messages"][-1]["content"]
        one = next(one for question, one in records.items() if question in prompt)
        if "How hard is the problem" in prompt:
            return Reply("1")
        if "Wrong Response" in prompt:
            return Reply((one.rejected or "").replace("<think>\n", "").replace("\n</think>", ""))
        return Reply(f"Work: {one.gold} it is. The answer is {one.gold}.")

    server.choose = choose
    data("dual", "train.jsonl", *teacher(server), "--grader", "integer", "-o", "pairs.jsonl")
    assert [one.rejected for one in read_records(Path("pairs.jsonl"))] == [one.rejected for one in records.values()]
    assert len(read_records(Path("pairs.stage1.jsonl"))) == 4
    found = report("pairs.jsonl")
    assert found["templates"] == ["edit_rectify@1#10ca88b4307b", "edit_corrupt@1#45497b7d2e4c"]
    assert found["counts"]["corrupt_kept"] == 4 and found["inputs"] == ["train.jsonl"] and server.count == 4
    data("shorten", "train.jsonl", *teacher(server), "--grader", "integer", "-o", "short.jsonl")
    short = read_records(Path("short.jsonl"))
    assert report("short.jsonl")["counts"]["easy"] == 4 and any(one.meta["shortened"] for one in short)
    only = ("--only", "formal", "--only", "plan")
    data("perspectives", "train.jsonl", *teacher(server), "--grader", "integer", *only, "-o", "views.jsonl")
    assert all(len(one.positives) == 1 for one in read_records(Path("views.jsonl")))
    assert report("views.jsonl")["counts"]["near_duplicate"] == 4
    count = server.count
    for name, out in (("dual", "pairs"), ("shorten", "short"), ("perspectives", "views")):
        more = only if name == "perspectives" else ()
        data(name, "train.jsonl", *teacher(server), "--grader", "integer", *more, "-o", f"{out}.jsonl")
    assert server.count == count


def test_thoughts_then_candidates_with_four_kinds_of_reward(
    server: StubServer, monkeypatch: pytest.MonkeyPatch, here: Path
) -> None:
    server.default = Reply("Add the two numbers.")
    data("rationales", "synth:levels=1,per_level=3", *teacher(server), "-o", "thoughts.jsonl")
    assert {one.think for one in read_records(Path("thoughts.jsonl"))} == {"Add the two numbers."}
    server.choose = lambda index, body: Reply(f"My answer: {index}")
    common = ("candidates", "thoughts.jsonl", "--k", 3, "--grader", "integer")
    data(*common, *teacher(server, "student"), "-o", "c.jsonl")
    records = read_records(Path("c.jsonl"))
    assert [len(one.candidates) for one in records] == [3, 3, 3] and report("c.jsonl")["reward"] == "grader"
    assert records[0].candidates[0].text.startswith("My thought: Add the two numbers.\nMy answer: ")
    assert "My thought: Add the two numbers." in server.seen[-1].body["messages"][-1]["content"]
    (here / "rewards_here.py").write_text("def longest(pairs):\n    return [len(text) for _, text in pairs]\n")
    monkeypatch.syspath_prepend(here)
    data(*common, *teacher(server, "student"), "--reward", "rewards_here:longest", "-o", "d.jsonl")
    found = [one for record in read_records(Path("d.jsonl")) for one in record.candidates]
    assert all(one.reward == len(one.text.split("My answer: ")[1]) for one in found)
    judged = ("--reward", "judge", "--judge", "mock:judge", "--rubric", "rating_10")
    data(*common, *teacher(server, "student"), *judged, "-o", "e.jsonl")
    found = [one for record in read_records(Path("e.jsonl")) for one in record.candidates]
    assert len(found) == 9 and all(0 <= (one.reward or 0) <= 1 for one in found)
    with pytest.raises(UsageError, match="failed: TypeError"):
        data(*common, *teacher(server, "student"), "--reward", "builtins:len", "-o", "f.jsonl")
    model = write_model(here / "rm", context=1024)
    scored = ("--reward", "model", "--judge", f"hf:{model}")
    data(*common, *teacher(server, "student"), *scored, "-o", "g.jsonl")
    found = [one for record in read_records(Path("g.jsonl")) for one in record.candidates]
    assert len({one.reward for one in found}) == 9, "log odds of different answers"


# --- benchmarks -----------------------------------------------------------------------------------------------------


def test_decontamination_by_whole_questions_and_what_was_not_checked(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (problem, *_) = load_problems(load_suite("synth"), None, 0, None)
    clean = synth_records(0, 3, (1, 2))
    write_records(Path("t.jsonl"), [*clean, TrainRecord("bad", problem.messages, response="x")])
    data("decontaminate", "t.jsonl", "--suite", "all", "--data-dir", here, "-o", "clean.jsonl")
    assert [one.id for one in read_records(Path("clean.jsonl"))] == [one.id for one in clean]
    found = report("clean.jsonl")
    assert found["hits"][0]["record"] == "bad" and found["counts"]["contaminated"] == 1
    assert "gsm8k" in found["unchecked"] and "synth" not in found["unchecked"]
    assert found["suites"]["synth"] == {"checked": "whole questions", "questions": 500}
    assert "NOT checked against" in capsys.readouterr().err
    text = problem.messages[-1].content
    Path("plain.jsonl").write_text("".join(json.dumps({"question": one}) + "\n" for one in (text, "What is it?")))
    data("decontaminate", "plain.jsonl", "--suite", "synth", "-o", "p.jsonl")
    assert [one.prompt[-1].content for one in read_records(Path("p.jsonl"))] == ["What is it?"]
    write_records(Path("bad.jsonl"), [TrainRecord("bad", problem.messages, response="x")])
    with pytest.raises(DataError, match="every record overlaps"):
        data("decontaminate", "bad.jsonl", "--suite", "synth", "-o", "none.jsonl")
    assert not Path("none.jsonl").exists()


# --- the page ---------------------------------------------------------------------------------------------------------

PAGE = Path(__file__).resolve().parents[2] / "docs" / "data.md"


def test_every_command_of_the_page_is_one() -> None:
    text = PAGE.read_text(encoding="utf-8").replace("\\\n", " ")
    teacher_words = re.findall(r'^T="(.*)"$', text, re.MULTILINE)[0]
    lines = re.findall(r"^harness data (.*)$", text.replace("$T", teacher_words), re.MULTILINE)
    assert len(lines) >= 10 and {shlex.split(line)[0] for line in lines} == set(
        command.list_commands(click.Context(command))
    )
    for line in lines:
        name, *arguments = shlex.split(line)
        arguments = ["." if last == "--data-dir" else one for last, one in pairwise(["", *arguments])]
        found = command.get_command(click.Context(command), name)
        assert found is not None
        found.make_context(name, arguments)


def test_the_page_s_own_path_runs() -> None:
    data("synth", "--levels", "1,2", "--per-level", 500, "--positives", 2, "--candidates", 4, "-o", "train.jsonl")
    more = ("--teacher-arg", "accuracy=0.75", "--n", 4, "--per-problem", 1)
    data("traces", *GOLD, *more, "--suite", "synth_easy", "--per-level", 50, "-o", "traces.jsonl")
    assert len(read_records(Path("train.jsonl"))) == 1000
    assert 75 < len(read_records(Path("traces.jsonl"))) <= 100


def test_every_engine_but_a_chat_endpoint_goes_on_after_a_thought() -> None:
    assert not OpenAIModel.continues
    assert MockModel.continues and HfModel.continues and VllmModel.continues
