"""`gate:`: the threshold by cost, slow passes near it, and measures that were computed by hand."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from system_fakes import PROBLEM, answered, asked_of, boxed, command, request

from harness.models import load_model
from harness.run.folder import RunFolder
from harness.run.gated import beside_it, fitted_temperature, gate_report, system_facts
from harness.suites import load_problems, load_suite
from harness.systems import base
from harness.systems.base import Assembly
from harness.systems.gate import Gate, GateOptions, probabilities, tempered
from harness.types import Completion, Composed, Graded, Message, Request, Score
from judges.types import Malformed
from tests.scripted_model import ScriptedModel

ASKED = request(messages=(Message("user", "3 + 4?"),))


def gate(model: Any, by: Any = None, **options: Any) -> Gate:
    models = {"model": model} | ({"by": by} if by is not None else {})
    return Gate(Assembly(0, GateOptions(**options), models, None))


def says(need: float, accept: float) -> str:
    return json.dumps({"need": need, "accept": accept})


def scripted(*passes: tuple[float, float]) -> ScriptedModel:
    """Answers 7, then says these probabilities in the fast and the slow pass."""
    return ScriptedModel(lambda one: says(*passes[asked_of(one)[1] - 1]) if asked_of(one)[1] else boxed(7))


@pytest.mark.parametrize(
    ("false_alarm", "missed", "p_need", "threshold"),
    [(1, 1, 1.0, 0.5), (1, 1, 0.5, 2 / 3), (1, 3, 0.5, 0.4), (1, 1, 0.0, 1.0)],
)
def test_the_threshold_of_the_paper(false_alarm: float, missed: float, p_need: float, threshold: float) -> None:
    told = GateOptions(cost_false_alarm=false_alarm, cost_missed=missed)
    assert told.threshold(p_need) == pytest.approx(threshold)
    assert told.threshold(p_need) >= told.threshold(min(1.0, p_need + 0.1))
    assert told.threshold(p_need) >= replace(told, cost_missed=missed + 1).threshold(p_need)
    assert told.threshold(p_need) <= replace(told, cost_false_alarm=false_alarm + 1).threshold(p_need)


@pytest.mark.parametrize(
    ("passes", "options", "acts", "calls"),
    [
        (((1.0, 0.9),), {}, True, 2),
        (((1.0, 0.2),), {}, False, 2),
        (((1.0, 0.55), (1.0, 0.3)), {}, False, 3),
        (((1.0, 0.45), (1.0, 0.8)), {}, True, 3),
        (((1.0, 0.5),), {"delta": 0.0}, True, 2),  # at the threshold it acts
        (((0.0, 0.9), (0.0, 0.9)), {"delta": 1.0}, False, 3),  # nobody needs it
        (((1.0, 0.3),), {"cost_missed": 4.0, "delta": 0.05}, True, 2),
        (((1.0, 0.9),), {"temperature_accept": 100.0, "delta": 0.0, "cost_false_alarm": 1.2}, False, 2),
    ],
)
def test_an_answer_is_given_where_it_is_worth_it(passes: Any, options: Any, acts: bool, calls: int) -> None:
    model = scripted(*passes)
    found = asyncio.run(answered(gate(model, **options), ASKED))
    assert found.text == (boxed(7) if acts else "I do not know.") and len(model.asked) == calls
    assert found.composed is not None and found.composed.facts["acts"] is acts
    assert found.composed.facts["slow"] is (calls == 3) and found.tokens_out == 20 * calls
    assert [one.text for one in beside_it(found)] == ([] if acts else [boxed(7)])
    assert model.asked[1].temperature == 0 and "3 + 4?" in model.asked[1].messages[0].content
    assert boxed(7) in model.asked[1].messages[0].content and PROBLEM.target == "7"


def test_another_model_may_say_how_likely() -> None:
    by = ScriptedModel(lambda _: says(1.0, 0.1), "openai:big")
    found = asyncio.run(answered(gate(ScriptedModel(lambda _: boxed(7)), by), ASKED))
    assert found.text == "I do not know." and len(by.asked) == 1
    assert by.asked[0].schema is not None and gate(ScriptedModel(str), by).most() == 3


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        ("I am sure.", "no JSON object"),
        ('{"accept": 0.5}', "'need' is 'None'"),
        ('{"need": 1, "accept": 1.5}', "no number from 0 to 1"),
        ('{"need": 1, "accept": "high"}', "no number from 0 to 1"),
        ('{"need": true, "accept": 0.5}', "no number from 0 to 1"),
        ('{"need": 1, "accept": 0.5', "cut off"),
    ],
)
def test_a_pass_without_probabilities_is_an_error_that_names_it(reply: str, why: str) -> None:
    with pytest.raises(Malformed, match=why):
        probabilities(reply)
    model = ScriptedModel(lambda one: reply if asked_of(one)[1] else boxed(7))
    found = asyncio.run(answered(gate(model), ASKED))
    assert found.finish == "error" and str(found.error).startswith(
        "model (openai:scripted) gave no probabilities in the f"
    )
    assert system_facts(PROBLEM, found) == {}


def test_the_last_object_counts_and_the_reasoning_before_it_does_not() -> None:
    assert probabilities('First {"need": 0.1, "accept": 0.1}, no: {"need": 1, "accept": 0}') == (1.0, 0.0)
    assert tempered(0.9, 2.0) == pytest.approx(0.75) and tempered(1.0, 2.0) == 1.0 and tempered(0.3, 1.0) == 0.3


@pytest.mark.parametrize(
    ("spec", "options", "said"),
    [
        ("gate:", {}, "gate needs a model: gate:openai:qwen"),
        ("gate:5:mock:gold", {}, "unknown model '5'"),
        ("gate:mock:gold", {"delta": "2"}, "delta must be from 0 to 1"),
        ("gate:mock:gold", {"cost_missed": "0"}, "cost_missed must be more than 0"),
        ("gate:mock:gold", {"by": "no:such"}, "unknown model 'no'"),
        ("gate:mock:gold", {"by.x": "1"}, "gate has no part 'by'"),
    ],
)
def test_what_cannot_decide_is_one_line(spec: str, options: dict[str, str], said: str) -> None:
    with pytest.raises(Exception, match=said) as error:
        load_model(spec, options)
    assert error.value.exit_code == 2  # type: ignore[attr-defined]
    assert load_model("gate:mock:gold", {}).name == "gate:mock:gold"


# --- measures --------------------------------------------------------------------------------------------------------


def row(place: int, p: float, acts: bool, right: bool, need: float = 1.0) -> Graded:
    facts = {"p_need": 1.0, "p_accept": p, "acts": acts, "slow": p == 0.1, "need": need, "right": right}
    return Graded(str(place), 0, Score(1.0, "scored"), facts={name: float(value) for name, value in facts.items()})


KINDS = [(0.9, True, True), (0.9, True, False), (0.2, False, True), (0.1, False, False)]
BY_HAND = {"acts": 0.5, "f1": 0.5, "precision": 0.5, "recall": 0.5, "false_alarms": 0.5, "slow": 0.25}
BY_HAND |= {"ece": (4 + 4 + 0.5) / 20, "brier": 5 * (0.01 + 0.81 + 0.64 + 0.01) / 20}


def test_the_measures_by_hand() -> None:
    found = gate_report([row(place, *KINDS[place % 4]) for place in range(20)])
    assert {name: found[name]["value"] for name in BY_HAND} == pytest.approx(BY_HAND)  # type: ignore[call-overload,index]
    assert all(found[name]["low"] <= value <= found[name]["high"] for name, value in BY_HAND.items())  # type: ignore[call-overload,index]
    assert found["temperature_need"] is None and gate_report([replace(row(0, 0.5, True, True), facts={})]) == {}
    unneeded = gate_report([row(place, *KINDS[place % 4], need=0.0) for place in range(20)])
    assert unneeded["false_alarms"]["value"] == 1.0 and unneeded["recall"]["value"] is None  # type: ignore[call-overload,index]


def test_the_temperature_that_made_probabilities_too_sure_is_found_again() -> None:
    """Log odds drawn, truths drawn by them, then all log odds doubled."""
    rng = np.random.default_rng(1)
    odds = rng.normal(0, 2, 20_000)
    truth = (rng.random(20_000) < 1 / (1 + np.exp(-odds))).astype(float)
    assert fitted_temperature(1 / (1 + np.exp(-2 * odds)), truth) == pytest.approx(2.0, abs=0.1)
    assert fitted_temperature(np.array([0.2, 0.7]), np.array([1.0, 1.0])) is None


@pytest.mark.parametrize(
    "facts",
    [
        {"withheld": 5},
        {"withheld": "0"},
        {"withheld": True},
        {"candidates": [9, "0", None]},
        {"candidates": 0},
        {"p_accept": "x"},
        {},
    ],
)
def test_facts_of_a_damaged_record_say_nothing(facts: dict[str, Any]) -> None:
    damaged = Completion("x", "stop", composed=Composed((("model", Completion("y", "stop")),), facts))
    assert beside_it(damaged) == [] and system_facts(PROBLEM, damaged) == {}


def test_a_gate_on_the_embedded_world_is_as_good_as_it_was_computed_by_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four kinds: given and right, given and wrong, withheld and right, withheld and wrong after a slow pass."""
    places = {one.id: place for place, one in enumerate(load_problems(load_suite("synth_easy"), None, 0, 20))}

    def reply(asked: Request) -> str:
        assert asked.problem is not None
        p, _, right = KINDS[places[asked.problem.id] % 4]
        number = asked_of(asked)[1]
        if number == 0:
            return boxed(int(asked.problem.target) + (not right))
        return says(1.0, 0.45 if (p, number) == (0.1, 1) else p)

    monkeypatch.setattr(base, "load_model", lambda *_: ScriptedModel(reply))
    told = ["--suite", "synth_easy", "--limit", "20", "--results-dir", tmp_path, "--format", "json"]
    made = command("run", *told, "--model", "gate:mock:gold")
    assert made.exit_code == 0, made.stderr
    row = json.loads(made.stdout)["rows"][0]
    assert row["value"] == 0.25 and row["components"]["model"]["calls"] == 20 + 20 + 5
    folder = RunFolder(next((tmp_path / "runs").iterdir()))
    found: Any = folder.result.totals["gate"]
    assert {name: found[name]["value"] for name in BY_HAND} == pytest.approx(BY_HAND)
    assert command("score", folder.path).exit_code == 0
    assert RunFolder(folder.path).result.totals["gate"] == found
    board = command("leaderboard", "--results-dir", tmp_path).stdout
    assert "answers 50.0 [" in board and "slow passes 25.0 [" in board and "Brier 0.368 [" in board
