"""`budget:`: what is forced behind a thought that is cut, and a curve that is known."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from system_fakes import answered, asked_of, boxed, command, request

from harness.errors import ConfigError
from harness.grading import score_completion
from harness.models import load_model
from harness.reasoning import with_answer
from harness.suites import load_problems, load_suite
from harness.systems import base
from harness.systems.base import Assembly
from harness.systems.budget import Budgeted, BudgetOptions, forced_end
from harness.types import Completion, Message, Request, Score
from tests.scripted_model import ScriptedModel


def budgeted(model: Any, tokens: int = 10, results_dir: Path | None = None, **options: Any) -> Budgeted:
    return Budgeted(Assembly(tokens, BudgetOptions(**options), {"model": model}, results_dir))


@pytest.mark.parametrize(
    ("text", "opened", "markup", "behind", "before"),
    [
        ("<think>\nso 3 + 4", False, "", "\n</think>\n\nThe answer is", ""),
        ("[THINK]so 3 + 4", False, "", "\n[/THINK]\n\nThe answer is", ""),
        ("<mull>so 3", False, "<mull>…</mull>", "\n</mull>\n\nThe answer is", ""),
        ("so 3 + 4", True, "", "\n</think>\n\nThe answer is", "<think>\n"),
        ("3 + 4 = 7", False, "", "\n\nThe answer is", ""),
        ("<think>\nso\n</think>\n\nThe ans", False, "", "", ""),
        ("so\n</think>\n\nThe ans", True, "", "", "<think>\n"),
        ("", False, "", "\n\nThe answer is", ""),
    ],
)
def test_what_is_put_around_a_thought_that_is_cut(
    text: str, opened: bool, markup: str, behind: str, before: str
) -> None:
    thought = Completion(text, "length", opened_think=opened, markup=markup)
    assert forced_end(thought, "The answer is") == (before, behind)
    if behind:  # whatever the thought held, what is graded is what follows the marker
        whole = with_answer(Completion(text + behind + " 7", "stop", opened_think=opened, markup=markup))
        assert whole.answer_text is not None and whole.answer_text.endswith("The answer is 7")


def test_a_reply_within_the_budget_is_the_model_itself() -> None:
    model = ScriptedModel(lambda _: boxed(7))
    found = asyncio.run(answered(budgeted(model), request(temperature=0.0)))
    assert found.text == boxed(7) and found.composed is not None and found.composed.facts == {}
    assert len(model.asked) == 1 and model.asked[0].max_tokens == 10 and model.asked[0].seed == request().seed


def test_one_that_is_cut_is_forced_and_goes_on_where_it_was() -> None:
    def reply(asked: Request) -> Completion:
        if asked_of(asked)[1] == 0:
            return Completion("<think>\nlet me see", "length", tokens_in=5, tokens_out=10, logprob=-3.0)
        return Completion(" 7.", "stop", tokens_in=25, tokens_out=2, logprob=-0.1)

    model = ScriptedModel(reply)
    asked = request(messages=(Message("user", "3 + 4?"),))
    found = asyncio.run(answered(budgeted(model, answer=16), asked))
    assert found.text == "<think>\nlet me see\n</think>\n\nThe answer is 7." and found.finish == "stop"
    assert model.asked[1].messages[-1] == Message("assistant", "<think>\nlet me see\n</think>\n\nThe answer is")
    assert model.asked[1].max_tokens == 16 and (found.tokens_in, found.tokens_out) == (30, 12)
    assert found.logprob is None
    score = score_completion(asked.problem, found)  # type: ignore[arg-type]
    assert isinstance(score, Score) and score.value == 1.0


def test_the_limit_of_the_run_holds_and_a_forced_answer_may_be_cut_too() -> None:
    model = ScriptedModel(lambda one: Completion("a", "length", tokens_in=1, tokens_out=one.max_tokens))
    found = asyncio.run(answered(budgeted(model, 100), request(max_tokens=8)))
    assert [one.max_tokens for one in model.asked] == [8, 64] and found.finish == "length"


@pytest.mark.parametrize(
    ("spec", "options", "said"),
    [
        ("budget:0:mock:gold", {}, "at least 1 tokens"),
        (
            "budget:5:openai:x",
            {"model.base_url": "http://localhost:1"},
            "goes on in the middle of a reply, which openai:x",
        ),
        ("budget:5:vote:3:mock:gold", {}, "which vote:3:mock:gold cannot"),
        ("budget:5:mock:gold", {"answer": "0"}, "answer must be at least 1 token"),
        ("budget:5:mock:gold", {"marker": " "}, "marker must be some words"),
    ],
)
def test_what_cannot_be_forced_is_one_line(spec: str, options: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load_model(spec, options)


def test_the_curve_on_the_embedded_world_is_the_scripted_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Problems need 10, 20, 30 or 40 tokens of thought; a forced answer is right if 10 were missing at most."""
    places = {one.id: place for place, one in enumerate(load_problems(load_suite("synth_easy"), None, 0, 20))}

    def reply(asked: Request) -> Completion:
        assert asked.problem is not None
        needed, gold = 10 * (places[asked.problem.id] % 4 + 1), int(asked.problem.target)
        if asked_of(asked)[1] == 0:
            cut = needed > asked.max_tokens
            text = "<think>" + ("hm " * asked.max_tokens if cut else f"</think>{boxed(gold)}")
            return Completion(text, "length" if cut else "stop", tokens_in=9, tokens_out=min(needed, asked.max_tokens))
        budget = asked.messages[-1].content.count("hm")
        return Completion(f" {gold + (budget + 10 < needed)}.", "stop", tokens_in=20, tokens_out=2)

    monkeypatch.setattr(base, "load_model", lambda *_: ScriptedModel(reply))
    rows = {}
    for budget in (10, 20, 40):
        told = ["--suite", "synth_easy", "--limit", "20", "--results-dir", tmp_path, "--format", "json"]
        made = command("run", *told, "--model", f"budget:{budget}:mock:gold")
        assert made.exit_code == 0, made.stderr
        rows[budget] = json.loads(made.stdout)["rows"][0]
    assert {budget: row["value"] for budget, row in rows.items()} == {10: 0.5, 20: 0.75, 40: 1.0}
    assert {budget: row["components"]["model"]["calls"] for budget, row in rows.items()} == {10: 35, 20: 30, 40: 20}
    assert rows[20]["tokens_out"] == 5 * (10 + 20 + 22 + 22)
    board = command("leaderboard", "--results-dir", tmp_path).stdout
    assert "budget over openai:scripted, by tokens: 10 gives 50.0" in board
    assert "20 gives 75.0" in board and "for 18.50 tokens an answer; 40 gives 100.0" in board
