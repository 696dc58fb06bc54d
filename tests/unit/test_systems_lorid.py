"""`lorid:`: when the two ways meet, what is the answer, and both scorings of a world that is known."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from system_fakes import answered, asked_of, boxed, command, request

from harness.models import load_model
from harness.run.folder import RunFolder
from harness.run.gated import beside_it
from harness.suites import load_problems, load_suite
from harness.systems import base
from harness.systems.base import Assembly
from harness.systems.lorid import Lorid, LoridOptions
from harness.types import Completion, Message, Request
from tests.scripted_model import ScriptedModel

ASKED = request(messages=(Message("system", "be brief"), Message("user", "3 + 4?")))


def lorid(intuition: Any, reason: Any, rounds: int = 4, knowledge: Any = None) -> Lorid:
    models = {"model": intuition, "knowledge": knowledge or ScriptedModel(lambda _: "sums"), "reason": reason}
    return Lorid(Assembly(rounds, LoridOptions(knowledge="k", reason="r"), models, None))


def series(*numbers: int | None) -> ScriptedModel:
    """A model that gives these answers round by round."""
    texts = [boxed(one) if one is not None else "Hm." for one in numbers]
    return ScriptedModel(lambda one: texts[asked_of(one)[1]])


def test_no_knowledge_is_a_failed_part() -> None:
    silent = ScriptedModel(lambda _: "<think>never ends")
    found = asyncio.run(answered(lorid(series(1), series(1), knowledge=silent), ASKED))
    assert found.error is not None and "gave no knowledge" in found.error
    assert found.composed is not None and len(found.composed.replies) == 2


@pytest.mark.parametrize(
    ("intuition", "reason", "answer", "rounds", "agreed", "beside"),
    [
        ((7,), (7,), 7, 1, True, [7]),
        ((1, 2, 3), (4, 5, 2), 2, 3, True, [2]),  # the second of the one way, the third of the other
        ((1, 2), (3, 1), 1, 2, True, [1]),
        ((1, 2, 2), (3, 4, 2), 2, 3, True, [2]),
        ((1, 1, 2), (3, 2, 3), 2, 3, True, [2]),
        ((1, 2, 3, 4), (5, 6, 6, 7), 6, 4, False, []),  # never: the majority of the second way
        ((1, 2, 3, 4), (5, 6, 7, 8), 5, 4, False, []),
        ((None, None, 3, 3), (None, None, None, 4), 4, 4, False, []),  # no answer meets nothing
    ],
)
def test_the_first_answer_of_both_ways(
    intuition: Any, reason: Any, answer: int, rounds: int, agreed: bool, beside: list[int]
) -> None:
    found = asyncio.run(answered(lorid(series(*intuition), series(*reason)), ASKED))
    assert found.text == boxed(answer) and found.composed is not None
    facts = found.composed.facts
    assert (facts["iterations"], facts["agreed"]) == (rounds, agreed)
    assert [one.text for one in beside_it(found)] == [boxed(one) for one in beside]
    assert len(found.composed.replies) == 3 * rounds


def test_of_several_answers_of_both_ways_the_one_that_was_given_most_often() -> None:
    """In one round a reply of each way can meet an earlier one of the other: both answers are of both ways then."""
    found = asyncio.run(answered(lorid(series(1, 3, 2), series(2, 2, 1)), ASKED))
    assert found.text == boxed(2) and found.composed is not None
    assert [one.text for one in beside_it(found)] == [boxed(1), boxed(2)]


def test_what_each_model_is_asked_and_that_the_first_draw_is_the_models_own() -> None:
    intuition, reason, knowledge = series(1, 1), series(2, 1), ScriptedModel(lambda one: f"rule {asked_of(one)[1]}")
    asyncio.run(answered(lorid(intuition, reason, knowledge=knowledge), ASKED))
    assert intuition.asked[0].messages == ASKED.messages and intuition.asked[0].seed == ASKED.seed
    assert {one.temperature for one in intuition.asked} == {1.5} and {one.top_p for one in reason.asked} == {0.9}
    for place, one in enumerate(reason.asked):
        assert [turn.role for turn in one.messages] == ["system", "user"]
        assert f"rule {place}" in one.messages[1].content and "3 + 4?" in one.messages[1].content
    assert "Do not solve" in knowledge.asked[0].messages[1].content
    assert len({one.seed for model in (intuition, reason, knowledge) for one in model.asked}) == 6


def test_a_way_that_fails_is_named() -> None:
    lost = ScriptedModel(lambda _: Completion("", "error", error="gone"), "trained:dr")
    found = asyncio.run(answered(lorid(series(1), lost), ASKED))
    assert found.error == "reason (trained:dr, request 1) failed: gone"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"knowledge": "mock:gold"}, "lorid needs the option 'reason'"),
        ({"knowledge": "", "reason": "mock:gold"}, "knowledge and reason must be specs"),
        ({"knowledge": "mock:gold", "reason": "no:x"}, "unknown model 'no'"),
    ],
)
def test_what_cannot_go_round_is_one_line(options: dict[str, str], said: str) -> None:
    with pytest.raises(Exception, match=said) as error:
        load_model("lorid:mock:gold", options)
    assert error.value.exit_code == 2  # type: ignore[attr-defined]
    whole = load_model("lorid:mock:gold", {"knowledge": "mock:gold", "reason": "vote:3:mock:gold"})
    assert whole.name == "lorid:20:mock:gold" and whole.most() == 100  # type: ignore[attr-defined]


def test_both_scorings_on_the_embedded_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kinds: met and right; met and wrong; two met, the wrong one more often; never met, the majority right."""
    places = {one.id: place for place, one in enumerate(load_problems(load_suite("synth_easy"), None, 0, 20))}
    ways = (((0,), (0,)), ((1,), (1,)), ((0, 3, 1), (1, 1, 0)), ((1, 2, 3), (0, 0, 4)))

    def way(side: int) -> ScriptedModel:
        def reply(asked: Request) -> str:
            assert asked.problem is not None
            kind = ways[places[asked.problem.id] % 4]
            return boxed(int(asked.problem.target) + kind[side][asked_of(asked)[1]])

        return ScriptedModel(reply)

    models = {"mock:gold": way(0), "mock:silent": ScriptedModel(lambda _: "rules"), "mock:wrong": way(1)}
    monkeypatch.setattr(base, "load_model", lambda spec, *_: models[spec])
    told = ["--suite", "synth_easy", "--limit", "20", "--results-dir", tmp_path, "--format", "json"]
    parts = ["--model-arg", "knowledge=mock:silent", "--model-arg", "reason=mock:wrong"]
    made = command("run", *told, "--model", "lorid:3:mock:gold", *parts)
    assert made.exit_code == 0, made.stderr
    row = json.loads(made.stdout)["rows"][0]
    assert row["value"] == 0.5  # the first and the last kind
    assert {role: one["calls"] for role, one in row["components"].items()} == dict.fromkeys(
        ("model", "knowledge", "reason"), 5 * (1 + 1 + 3 + 3)
    )
    found: Any = RunFolder(next((tmp_path / "runs").iterdir())).result.totals["lorid"]
    assert {name: found[name]["value"] for name in ("optimistic", "agreed", "iterations")} == {
        **{"optimistic": 0.5, "agreed": 0.75},  # the first and the third kind
        "iterations": 2.0,
    }
    board = command("leaderboard", "--results-dir", tmp_path).stdout
    assert "ways that met 75.0 [" in board and "rounds 2.000 [" in board
