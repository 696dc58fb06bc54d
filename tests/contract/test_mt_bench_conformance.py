"""MT-Bench against the real thing: its questions, its prompts, GPT-4's stored judgments and the scores made of them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from harness.run.folder import RECORDS, RunFolder
from harness.suites import load_problems, load_suite
from harness.types import Completion
from judges.protocols.mt_bench.files import CATEGORIES, category_of, read_single
from judges.protocols.mt_bench.judging import build, build_pair
from judges.protocols.mt_bench.prompts import find_rating, read_rating
from judges.protocols.mt_bench.score import MtBenchScore, score_judgments
from judges.protocols.stored_rows import read_rows
from judges.types import JudgingOptions, Task

JUDGMENTS, SCORES, QUESTIONS = (
    "mt_bench_gpt4_single_judgments.jsonl",
    "mt_bench_scores.jsonl",
    "mt_bench_questions.jsonl",
)


def need(folder: Path, *names: str) -> Path:
    if missing := [name for name in names if not (folder / name).is_file()]:
        pytest.skip(f"{missing[0]} is not in {folder}")
    return folder


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def scores(shared_data: Path) -> dict[str, MtBenchScore]:
    path = need(shared_data, JUDGMENTS) / JUDGMENTS
    return {score.model: score for score in score_judgments(read_single(raw) for raw in read_rows([path]))}


def test_every_stored_judgment_reads_as_its_recorded_score(shared_data: Path) -> None:
    rows = lines(need(shared_data, JUDGMENTS) / JUDGMENTS)
    assert len(rows) >= 970
    for row in rows:
        read, recorded = find_rating(row["judgment"]), row["score"]
        assert read == (recorded if recorded != -1 else None), row["judgment"][-200:]
        if read is not None:  # and a judge that says this now is read in the same way
            completion = Completion(row["judgment"], "stop", answer_text=row["judgment"])
            assert read_rating(completion).value * 10 == pytest.approx(recorded)
    # The only judgments without a rating are calls that failed.
    assert {row["judgment"].strip() for row in rows if row["score"] == -1} <= {"$ERROR$"}


def test_scores_are_the_published_computation(shared_data: Path, scores: dict[str, MtBenchScore]) -> None:
    computed = [row for row in lines(need(shared_data, SCORES) / SCORES) if row["kind"].startswith("computed")]
    held = [row for row in computed if row["model"] in scores]
    assert {row["model"] for row in held} == set(scores)
    assert len(held) >= 6
    for row in held:
        estimates = scores[row["model"]].estimates
        assert scores[row["model"]].n == row["n"]
        for name, key in (("rating", "score"), ("rating:turn_1", "turn1"), ("rating:turn_2", "turn2")):
            assert estimates[name].value == pytest.approx(row[key], abs=5.1e-5), row["model"]
    assert round(scores["llama-2-7b-chat"].estimates["rating"].value, 2) == 6.19


def test_failed_and_repeated_judgments_are_counted(scores: dict[str, MtBenchScore]) -> None:
    llama = scores["Meta-Llama-3-8B-Instruct"]
    assert (llama.n, llama.unparsed, llama.repeated, llama.missing) == (156, 4, 10, 0)
    assert not any(score.mismatched for score in scores.values())


def test_the_questions_are_ten_of_each_category_with_their_own_temperatures(shared_data: Path) -> None:
    need(shared_data, QUESTIONS)
    suite = load_suite("mt_bench")
    problems = load_problems(suite, shared_data, 0, None)
    assert Counter(problem.meta["category"] for problem in problems) == dict.fromkeys(CATEGORIES, 10)
    assert all(category_of(int(problem.cluster)) == problem.meta["category"] for problem in problems)
    assert Counter(problem.temperature for problem in problems) == {0.7: 20, 0.1: 20, 0.0: 40}
    guided = {problem.meta["category"] for problem in problems if problem.reference is not None}
    assert guided == {"reasoning", "math", "coding"}
    assert sum(problem.reference is not None for problem in problems) == 30
    assert suite.follow_up is not None
    for problem in problems:
        following = suite.follow_up(problem, Completion("<think>hm</think>Yes.", "stop"))
        assert following is not None
        assert (problem.id, following.id) == (f"{problem.cluster}/1", f"{problem.cluster}/2")
        assert following.messages[1].content == "Yes."
        assert following.messages[2].content == problem.meta["turns"][1]  # type: ignore[index]
        assert (following.reference is None) == (problem.reference is None)
        assert (following.temperature, following.cluster) == (problem.temperature, problem.cluster)
        assert suite.follow_up(following, Completion("No.", "stop")) is None


def test_the_official_prompts_are_the_ones_that_the_stored_judgments_name(shared_data: Path) -> None:
    need(shared_data, QUESTIONS, JUDGMENTS, "mt_bench_judge_prompts.jsonl")
    suite = load_suite("mt_bench")
    judging, pair = build(JudgingOptions(data_dir=shared_data)), build_pair(JudgingOptions(data_dir=shared_data))
    stored = {(row["question_id"], row["turn"]): row["judge"][1] for row in lines(shared_data / JUDGMENTS)}
    for problem in load_problems(suite, shared_data, 0, None):
        assert suite.follow_up is not None
        following = suite.follow_up(problem, Completion("first {answer}", "stop"))
        assert following is not None
        for turn, asked in enumerate((problem, following), 1):
            said = tuple(message.content for message in asked.messages if message.role == "user")
            answers = ("first {answer}", "second")[:turn]
            task = Task(asked.id, 0, said, answers, answers[::-1], asked.reference, asked.cluster, asked.meta)
            assert judging.rubric_id(task).partition("#")[0] == stored[int(asked.cluster), turn]
            for ask in (*judging.asks(task), *pair.asks(task)):
                user = ask.messages[-1].content
                assert all(text in user for text in (*said, *answers, asked.reference or ""))
                assert not re.search(r"\{(question|ref_answer)\w*\}", user)
    assert "answer" in judging.asks(task)[0].messages[-1].content


def harness(*arguments: str) -> Any:
    """A command's JSON output."""
    command = [sys.executable, "-m", "harness", *arguments, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_check_and_show_know_a_suite_without_gold(shared_data: Path) -> None:
    need(shared_data, QUESTIONS)
    (row,) = harness("check", "--suite", "mt_bench", "--data-dir", str(shared_data))["rows"]
    assert (row["status"], row["problems"], row["failures"]) == ("ok", 80, [])
    shown = harness("show", "mt_bench")
    assert shown["suite"]["data"]["rows"] == 80
    assert " at 0x" not in json.dumps(shown)


def start(results: Path, data: Path, latency: float) -> subprocess.Popen[str]:
    model = ("--model", "mock:slow", "--model-arg", f"latency={latency}", "--model-arg", "concurrency=8")
    judge = ("--judge", "mock:judge", "--prompt", "own", "--quiet", "--json")
    places = ("--results-dir", str(results), "--data-dir", str(data))
    return subprocess.Popen(
        [sys.executable, "-m", "harness", "run", "--suite", "mt_bench", *model, *judge, *places],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.mark.slow
@pytest.mark.parametrize("after", [20, 120])
def test_a_killed_run_goes_on_and_is_judged_in_full(after: int, tmp_path: Path, shared_data: Path) -> None:
    need(shared_data, QUESTIONS)
    process = start(tmp_path, shared_data, 0.1)
    deadline = time.monotonic() + 200
    while process.poll() is None and time.monotonic() < deadline:
        files = list(tmp_path.glob(f"runs/*/{RECORDS}"))
        if files and files[0].read_bytes().count(b"\n") >= after:
            break
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL, "the run ended before it could be killed"
    (directory,) = (tmp_path / "runs").iterdir()
    survived = {(record.problem_id, record.attempt): record for record in RunFolder(directory).records}
    assert len(survived) >= after

    again = start(tmp_path, shared_data, 0.0)
    out, err = again.communicate(timeout=200)
    assert again.returncode == 0, err
    records = list(RunFolder(directory).records)
    assert len(records) == len({record.problem_id for record in records}) == 160, "every turn once, none twice"
    kept = {(record.problem_id, record.attempt): record for record in records}
    assert all(kept[key] == record for key, record in survived.items())
    shown = harness("show", directory.name, "--problem", "111/2", "--results-dir", str(tmp_path))
    assert "the answer is" in shown["attempt 0"]["text"]
    (rating,) = [row for row in json.loads(out)["rows"] if row["metric"] == "rating"]
    assert 1 <= rating["value"] <= 10
    assert rating["n_samples"] == 160
