"""`show RUN --problem`: from the question to the verdicts, for our own, judged, compared and imported runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import foreign_files
import pytest
from click.testing import CliRunner, Result

from harness.cli.main import cli
from harness.errors import StoreError, UsageError
from harness.run.folder import PROBLEMS, RECORDS, SCORES, RunFolder, list_runs


def harness(results: Path, *args: str) -> Result:
    return CliRunner().invoke(cli, [*args, "--results-dir", str(results)], standalone_mode=False)


def shown(results: Path, run: str, problem: str, *more: str) -> dict[str, Any]:
    outcome = harness(results, "show", run, "--problem", problem, "--json", *more)
    if outcome.exception is not None:
        raise outcome.exception
    facts = json.loads(outcome.stdout)
    assert isinstance(facts, dict)
    return facts


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs of a generated suite, one of them thinking, and what a judge said of one and of the pair."""
    folder = tmp_path_factory.mktemp("shown") / "results"
    asked = ["run", "--suite", "synth_easy", "--limit", "3", "--quiet"]
    assert harness(folder, *asked, "--model", "mock:gold", "--model-arg", "think=true").exception is None
    assert harness(folder, *asked, "--model", "mock:wrong").exception is None
    gold, wrong = run_of(folder, "gold"), run_of(folder, "wrong")
    judge = ["--judge", "mock:judge", "--quiet"]
    assert harness(folder, "judge", "run", gold, "--rubric", "cot_math", *judge).exception is None
    assert harness(folder, "judge", "run", gold, "--rubric", "pairwise_5", "--against", wrong, *judge).exception is None
    return folder


def run_of(results: Path, part: str) -> str:
    return next(run.name for run in list_runs(results) if part in run.name and "@" not in run.name)


def first_id(results: Path) -> str:
    return sorted({record.problem_id for record in RunFolder(results / "runs" / run_of(results, "gold")).records})[0]


def test_question_gold_thought_and_answer_are_shown(results: Path) -> None:
    facts = shown(results, run_of(results, "gold"), first_id(results))
    attempt = facts["attempt 0"]
    assert facts["question"] and facts["gold"] in attempt["answer"]
    assert "<think>" not in attempt["answer"] and attempt["thought"]
    assert attempt["verdict"]["status"] == "scored"


def test_an_ending_of_an_id_is_enough_and_ids_are_listed(results: Path) -> None:
    run, whole = run_of(results, "gold"), first_id(results)
    assert shown(results, run, whole[-6:])["problem"] == whole
    with pytest.raises(UsageError, match=f"its 3 problems: .*{whole}"):
        shown(results, run, "nothing-like-it")
    with pytest.raises(UsageError, match="part of 3 problem ids"):
        shown(results, run, "synth")
    assert whole in harness(results, "show", run).stdout


def test_a_pairwise_judgment_shows_both_answers(results: Path) -> None:
    judged = next(run.name for run in list_runs(results) if "@pairwise" in run.name)
    facts = shown(results, judged, first_id(results))
    (a,) = [value for key, value in facts.items() if key.startswith("A (")]
    (b,) = [value for key, value in facts.items() if key.startswith("B (")]
    assert facts["gold"] in a["answer"] and facts["gold"] not in b["text"]
    assert facts["judgment 1"]["verdict"]["reason"]


def test_a_rubric_judgment_shows_the_answer_that_was_judged(results: Path) -> None:
    judged = next(run.name for run in list_runs(results) if "@cot_math" in run.name)
    facts = shown(results, judged, first_id(results))
    assert facts["answer (mock:gold), attempt 0"]["answer"] and facts["question"]


def test_a_later_turn_is_shown_with_the_answers_before_it(tmp_path: Path, shared_data: Path) -> None:
    data = ["--data-dir", str(shared_data)]
    asked = ["run", "--suite", "mt_bench", "--limit", "1", "--model", "mock:wrong", "--judge", "mock:judge", "--quiet"]
    assert harness(tmp_path, *asked, *data).exception is None
    runs = [run.name for run in list_runs(tmp_path)]
    assert len(runs) == 2  # the answers, and what was judged
    for run in runs:
        facts = shown(tmp_path, run, "/2", *data)
        assert facts["turn 1, user"] and facts["turn 3, user"] != facts["turn 1, user"]
        assert facts["turn 2, assistant"] == shown(tmp_path, runs[0], "/1", *data)["attempt 0"]["text"]


def lm_eval_with_replies(folder: Path, replies: list[str], *, old_arguments: bool = False) -> Path:
    """Four samples of which the file holds prompt, target and reply."""
    path = foreign_files.lm_eval(folder)
    (samples,) = folder.rglob("samples_*.jsonl")
    rows = [json.loads(line) for line in samples.read_text(encoding="utf-8").splitlines()]
    for row in rows:
        prompt = f"Question: {row['doc']['question']}\nAnswer:"
        row["arguments"] = [[prompt, {}]] if old_arguments else {"gen_args_0": {"arg_0": prompt, "arg_1": {}}}
        row["resps"] = [[replies[row["doc_id"]], "another"]]
    samples.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize("old_arguments", [False, True])
def test_an_imported_run_keeps_prompts_and_replies(tmp_path: Path, old_arguments: bool) -> None:
    replies = [f"The answer is {number}." for number in range(4)]
    lm_eval_with_replies(tmp_path / "out", replies, old_arguments=old_arguments)
    results = tmp_path / "results"
    assert harness(results, "import", str(tmp_path / "out")).exception is None
    (run,) = list_runs(results)
    facts = shown(results, run.name, "1")
    assert facts["question"].startswith("Question: ") and facts["gold"] == "#### 5"
    assert facts["attempt 0"]["text"] == replies[1] and facts["attempt 1"]["text"] == "another"
    # It can be judged; graded only where its task is one of our suites.
    judged = harness(results, "judge", "run", run.name, "--rubric", "cot_math", "--judge", "mock:judge", "--quiet")
    assert judged.exception is None, judged.output
    with pytest.raises(UsageError, match="none of our suites"):
        raise harness(results, "score", run.name).exception or AssertionError("it was graded")


def test_replies_to_problems_of_our_suites_are_graded_by_our_grader(tmp_path: Path, shared_data: Path) -> None:
    lines = (shared_data / "gsm8k_test.jsonl").read_text(encoding="utf-8").splitlines()[:4]
    rows = [json.loads(line) for line in lines]
    replies = [f"So the answer is {row['answer']}." for row in rows[:3]] + ["So the answer is 999999."]
    foreign_files.lm_eval(tmp_path / "out", questions=[row["question"] for row in rows])
    (samples,) = (tmp_path / "out").rglob("samples_*.jsonl")
    kept = [json.loads(line) for line in samples.read_text(encoding="utf-8").splitlines()]
    for row in kept:
        row["resps"] = [[replies[row["doc_id"]]]]
    samples.write_text("".join(json.dumps(row) + "\n" for row in kept), encoding="utf-8")
    results, data = tmp_path / "results", ["--data-dir", str(shared_data)]
    assert harness(results, "import", str(tmp_path / "out"), *data).exception is None
    (run,) = list_runs(results)
    assert harness(results, "score", run.name, *data).exception is None
    board = json.loads(harness(results, "leaderboard", "--json").stdout)["rows"]
    (row,) = [row for row in board if row["metric"] == "avg@n"]
    assert row["value"] == 0.75 and row["imported_from"] == "lm-eval"
    stored = json.loads((run.path / "result.json").read_text(encoding="utf-8"))
    assert "exact_match,strict-match" in stored["estimates"]  # what the tool measured stands beside it
    assert stored["sampling"]["stop"] == ["Question:", "</s>"]  # and so does what it sampled with


def test_a_limit_on_judging_takes_that_many_imported_problems(tmp_path: Path) -> None:
    results = tmp_path / "results"
    lm_eval_with_replies(tmp_path / "out", [f"The answer is {number}." for number in range(4)])
    assert harness(results, "import", str(tmp_path / "out")).exception is None
    (run,) = list_runs(results)
    found = {}
    for limit in ("1", "3", "9"):
        asked = ("--rubric", "rating_10", "--judge", "mock:judge", "--quiet", "--limit", limit, "--json")
        done = harness(results, "judge", "run", run.name, *asked)
        assert done.exception is None, done.output
        found[limit] = {row["n_problems"] for row in json.loads(done.stdout)["rows"]}
    assert found == {"1": {1}, "3": {3}, "9": {4}}


def test_texts_of_a_confidential_suite_are_not_kept(tmp_path: Path) -> None:
    path = lm_eval_with_replies(tmp_path / "out", ["secret"] * 4)
    raw = path.read_text(encoding="utf-8").replace('"gsm8k"', '"gpqa_diamond_cot_zeroshot"')
    path.write_text(raw, encoding="utf-8")
    for samples in (tmp_path / "out").rglob("samples_gsm8k*"):
        samples.rename(samples.with_name(samples.name.replace("gsm8k", "gpqa_diamond_cot_zeroshot")))
    results = tmp_path / "results"
    assert harness(results, "import", str(tmp_path / "out")).exception is None
    (run,) = list_runs(results)
    assert run.has(SCORES) and not run.has(RECORDS) and not run.has(PROBLEMS)


def test_an_import_that_calls_itself_a_conversation_is_shown(tmp_path: Path) -> None:
    """A folder from elsewhere may name any suite of ours; what it keeps has no later turns."""
    lm_eval_with_replies(tmp_path / "out", ["a reply"] * 4)
    results = tmp_path / "results"
    assert harness(results, "import", str(tmp_path / "out")).exception is None
    (run,) = list_runs(results)
    spec = json.loads((run.path / "spec.json").read_text(encoding="utf-8"))
    (run.path / "spec.json").write_text(json.dumps({**spec, "suite": "mt_bench"}), encoding="utf-8")
    assert shown(results, run.name, "1")["question"].startswith("Question: ")
    with pytest.raises(UsageError, match="rubric"):
        raise harness(results, "judge", "run", run.name, "--judge", "mock:judge").exception or AssertionError("judged")


@pytest.mark.parametrize("line", ["{", "[]", "{}", '{"id": 1}', '{"id": "a", "messages": [{"role": "x"}]}'])
def test_damaged_prompts_are_named(tmp_path: Path, line: str) -> None:
    (tmp_path / PROBLEMS).write_text(line + "\n", encoding="utf-8")
    with pytest.raises(StoreError, match=r"problems\.jsonl, line 1 is damaged"):
        _ = RunFolder(tmp_path).problems
