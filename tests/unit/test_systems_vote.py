"""`vote:`: answers that are one, the metric maj@n as a model, and an accuracy that is known."""

from __future__ import annotations

import asyncio
import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from system_fakes import PROBLEM, answered, boxed, command, request, sample, vote

from harness.errors import ConfigError
from harness.grading import get_grader, score_completion
from harness.metrics.passk import maj_at_k
from harness.models import load_model
from harness.run.folder import RunFolder
from harness.suites import load_problems, load_suite
from harness.systems import base
from harness.types import Completion, Graded, Problem
from tests.scripted_model import ScriptedModel


@pytest.mark.parametrize("seed", range(20))
def test_a_vote_is_right_where_the_metric_maj_says_so(seed: int) -> None:
    """Answers, none at all and cut ones in any order: `vote:5` of one model, maj@5 of its five samples."""
    rng = random.Random(seed)
    samples = [
        rng.choice(
            [
                Completion(boxed(rng.randint(5, 8)), "stop"),
                Completion("I do not know.", "stop"),
                Completion("<think>so 7", "length"),
                Completion("007" if rng.random() < 0.5 else "Answer: 7.0", "stop"),
            ]
        )
        for _ in range(5)
    ]
    found = asyncio.run(answered(vote(ScriptedModel(lambda one: samples[sample(one)])), request()))
    graded = [Graded("p", n, score_completion(PROBLEM, one)) for n, one in enumerate(samples)]  # type: ignore[arg-type]
    assert score_completion(PROBLEM, found).value == maj_at_k(graded, 5).value  # type: ignore[union-attr]


def test_answers_are_one_where_the_grader_says_so_whatever_the_gold() -> None:
    texts = ["\\boxed{2}", "\\boxed{1/2}", "\\boxed{0.5}", "\\boxed{\\frac{1}{2}}", "\\boxed{2}"]
    script = ScriptedModel(lambda one: texts[sample(one)])
    found = asyncio.run(answered(vote(script), request(replace(PROBLEM, grader="math", target="2"))))
    assert found.text == "\\boxed{1/2}" and found.composed is not None and found.composed.facts == {"votes": [2, 3]}


def test_every_grader_that_is_not_refused_holds_answers_against_each_other() -> None:
    golds = {
        "integer": ("7", ()),
        "number": ("0.5", ()),
        "math": ("x+1", ()),
        "choice": ("B", ("one", "two", "three")),
        "exact": ("paris", ()),
        "json": ('{"answer": "7"}', ()),
        "labels": ('{"coherence": "high"}', ()),
    }
    for name, (target, choices) in golds.items():
        problem = Problem("p", (), target, name, choices)
        text = get_grader(name).gold_text(problem)
        found = asyncio.run(answered(vote(ScriptedModel(lambda _, text=text: text), 2), request(problem)))  # type: ignore[misc]
        assert found.composed is not None and found.composed.facts == {"votes": [2]}, name


def right_by_sample(problem: Problem, number: int) -> str:
    """Four kinds of problems, by their place: two are right by majority, two are not."""
    kind, gold = PLACES[problem.id] % 4, int(problem.target)
    numbers = [(gold, gold, -1, -1, -1), (gold, gold, -1, -2, -3), (-1, gold, gold, None, None), (-1, -1, gold, gold)]
    drawn = (*numbers[kind], None)[number]
    return boxed(drawn) if drawn is not None else "I give up."


def test_an_answer_that_the_grader_cannot_read_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    def count(problem: Problem, completions: Any, pool: Any) -> Any:
        assert problem.target == ""  # whatever compares answers does not see the gold
        return [{0, 2}], {1: "it took too long"}

    monkeypatch.setattr("harness.systems.votes.count_votes", count)
    found = asyncio.run(answered(vote(ScriptedModel(lambda one: boxed(sample(one))), 3), request()))
    assert found.composed is not None and found.composed.facts == {"unread": 1, "votes": [2]}
    with pytest.raises(ConfigError, match="the grader 'gym' holds them only against the gold"):
        asyncio.run(answered(vote(ScriptedModel(lambda _: "x"), 3), request(replace(PROBLEM, grader="gym"))))


PLACES: dict[str, int] = {}


def test_a_vote_on_the_embedded_world_is_right_as_often_as_its_script_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """End to end: score, tokens and money of `harness run`, records with all parts, and the leaderboard."""
    suite = load_suite("synth_easy")
    PLACES.update({one.id: place for place, one in enumerate(load_problems(suite, None, 0, 20))})
    script = ScriptedModel(
        lambda one: right_by_sample(one.problem, sample(one)),  # type: ignore[arg-type]
        price_in=2.0,
        price_out=10.0,
    )
    monkeypatch.setattr(base, "load_model", lambda *_: script)
    told = ["--suite", "synth_easy", "--limit", "20", "--results-dir", tmp_path]
    run = ["run", *told, "--model", "vote:5:mock:gold", "--model-arg", "temperature=0.7", "--format", "json"]
    made = command(*run)
    assert made.exit_code == 0, made.stderr
    row = json.loads(made.stdout)["rows"][0]
    assert row["value"] == 0.5  # the second and the third of four kinds
    assert (row["tokens_in"], row["tokens_out"]) == (20 * 5 * 100, 20 * 5 * 20)
    assert row["cost"] == pytest.approx(20 * 5 * (100 * 2.0 + 20 * 10.0) / 1e6)
    assert row["components"]["model"] == {
        **{"answers": 20, "model": "openai:scripted", "calls": 100, "tokens_in": 10_000, "tokens_out": 2_000},
        "cost": pytest.approx(row["cost"]),
    }
    folder = RunFolder(next((tmp_path / "runs").iterdir()))
    records = list(folder.records)
    assert len(records) == 20 and folder.has("records.parquet")
    assert all(len(one.completion.composed.replies) == 5 for one in records)  # type: ignore[union-attr]
    assert len(script.asked) == 100
    assert command(*run).exit_code == 0 and len(script.asked) == 100
    scored = command("score", folder.path)
    assert scored.exit_code == 0 and folder.result.totals["components"] == row["components"]
    board = command("leaderboard", "--results-dir", tmp_path).stdout
    assert "an answer takes" in board and "model: 5 calls, 500 in, 100 out, 0.002 cost" in board
    shown = command("show", folder.name, "--results-dir", tmp_path, "--problem", records[0].problem_id).stdout
    assert "decided by" in shown and "5, model" in shown
    planned = command("run", *told, "--model", "vote:4:mock:gold", "--dry-run", "--model-arg", "temperature=0.6")
    assert f"{20 * 4 * 256:,}" in planned.stdout


def test_a_suite_that_a_vote_cannot_answer_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    run = ["run", "--suite", "synth_easy", "--limit", "2", "--model", "vote:5:mock:gold", "--results-dir", tmp_path]
    for more in ([], ["--dry-run"]):
        refused = command(*run, *more)
        assert refused.exit_code == 2 and "5 copies of one answer" in refused.stderr
    assert not (tmp_path / "runs").exists()
    system = vote(load_model("mock:gold", {}))
    for grader, said in (("", "only a judge"), ("gym", "against the gold"), ("lighteval", "against the gold")):
        with pytest.raises(ConfigError, match=said):
            system.check({grader}, replace(load_suite("synth").sampling, temperature=0.7))


def test_a_vote_cannot_judge_what_no_grader_reads(tmp_path: Path) -> None:
    """Nobody can hold verdicts against each other, which is told before anything is asked; a teacher's answers are."""
    results = ("--results-dir", tmp_path / "results")
    suite, vote_of = ("--suite", "synth_easy", "--limit", "2"), "vote:5:mock:gold"
    judged = ("--rubric", "cot_quality", "--judge", vote_of)
    early = command("run", *suite, "--model", "mock:gold", *judged, *results)
    assert not (tmp_path / "results").exists()
    run = command("run", *suite, "--model", "mock:gold", *results)
    name = next((tmp_path / "results" / "runs").iterdir()).name
    late = [command("judge", name, *judged, *results, *more) for more in ([], ["--dry-run"])]
    assert run.exit_code == 0 and len(list((tmp_path / "results" / "runs").iterdir())) == 1
    checked = command("judge", "check", "--rubric", "cot_quality", "--judge", vote_of, *results)
    for one in (early, *late, checked):
        assert (one.exit_code, one.stderr.count("\n")) == (2, 1), one.stderr
        assert "no grader reads" in one.stderr
    assert command("data", "traces", *suite, "--teacher", vote_of, *results, "-o", tmp_path / "t.jsonl").exit_code == 2
    warm = ("--teacher-arg", "temperature=0.7", "-o", tmp_path / "t.jsonl")
    told = command("data", "traces", *suite, "--teacher", vote_of, *results, *warm)
    assert told.exit_code == 0, told.stderr
