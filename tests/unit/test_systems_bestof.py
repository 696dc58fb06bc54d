"""`bestof:`: what a reward model is asked about samples, and an accuracy that is known."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from system_fakes import answered, boxed, command, request, sample

from harness.errors import ConfigError, ModelError
from harness.models import load_model
from harness.run.components import usage_of
from harness.suites import load_problems, load_suite
from harness.systems import base
from harness.systems.base import Assembly
from harness.systems.bestof import BestOf, BestOfOptions
from harness.types import Completion, Message, Request, TokenScores
from tests.scripted_model import ScriptedModel


class Scorer(ScriptedModel):
    """A reward model: how good it finds what its prompt shows."""

    def __init__(self, good: Any, **environment: Any) -> None:
        super().__init__(lambda _: "", "trained:prm", **environment)
        self.good, self.prompts = good, list[str]()

    async def score(self, prompt: Sequence[Message], continuation: Any, top: int = 0) -> TokenScores:
        self.prompts.append(prompt[0].content)
        p = self.good(prompt[0].content)
        return TokenScores((1 + (continuation == "yes"),), (math.log(p if continuation == "yes" else 1 - p),), read=50)


def best(model: Any, by: Any, samples: int = 4, results_dir: Path | None = None, **options: Any) -> BestOf:
    return BestOf(Assembly(samples, BestOfOptions(by="x", **options), {"model": model, "by": by}, results_dir))


def steps(asked: Request) -> str:
    return f"Step {sample(asked)}.\n\nSo it is done. {boxed(sample(asked))}"


def planted(prompt: str) -> float:
    """Of sample 1 the steps are best, of sample 2 the whole."""
    number = int(prompt[prompt.rindex("Step ") + 5])
    return {1: 0.3, 2: 0.9}.get(number, 0.1) if "with its answer" in prompt else {1: 0.8, 2: 0.4}.get(number, 0.1)


@pytest.mark.parametrize(
    ("options", "chosen", "values", "ends"),
    [
        ({}, 2, [0.1, 0.55, 0.65, 0.1], 3),
        ({"trajectory": 0.0}, 1, [0.1, 0.8, 0.4, 0.1], 2),
        ({"trajectory": 1.0}, 2, [0.1, 0.3, 0.9, 0.1], 1),
        ({"trajectory": 1.0, "scale": "log_odds"}, 2, [math.log(p / (1 - p)) for p in (0.1, 0.3, 0.9, 0.1)], 1),
    ],
)
def test_the_sample_that_the_reward_model_finds_best(options: Any, chosen: int, values: Any, ends: int) -> None:
    scorer = Scorer(planted)
    found = asyncio.run(
        answered(best(ScriptedModel(steps), scorer, **options), request(messages=(Message("user", "?"),)))
    )
    assert found.text.endswith(boxed(chosen)) and found.composed is not None
    assert found.composed.facts["values"] == pytest.approx(values)
    usage = usage_of(found)
    assert (usage["model"].calls, usage["by"].calls) == (4, 4 * ends)
    assert (usage["by"].tokens_in, usage["by"].tokens_out) == (4 * ends * 100, 0)  # both labels read the prompt
    assert all("\\boxed{7}" not in prompt for prompt in scorer.prompts)


def test_of_equal_samples_the_first_and_an_empty_one_is_worth_nothing() -> None:
    texts = ["", "Step 5. 1", "Step 6. 1", ""]
    asked = request(messages=(Message("user", "?"),))
    found = asyncio.run(answered(best(ScriptedModel(lambda one: texts[sample(one)]), Scorer(lambda _: 0.5)), asked))
    assert found.text == "Step 5. 1" and found.composed is not None
    assert found.composed.facts["values"] == [0.0, 0.5, 0.5, 0.0]


def test_a_reward_model_that_fails_is_named_and_asked_once_more_later(tmp_path: Path) -> None:
    def refuse(_: str) -> float:
        raise ModelError("out of memory")

    asked = request(messages=(Message("user", "?"),))
    model, scorer = ScriptedModel(steps), Scorer(refuse)
    lost = asyncio.run(answered(best(model, scorer, results_dir=tmp_path), asked))
    assert lost.finish == "error" and lost.error == "by (trained:prm, request 1) failed: out of memory"
    scorer.good = planted
    found = asyncio.run(answered(best(model, scorer, results_dir=tmp_path), asked))
    again = asyncio.run(answered(best(model, scorer, results_dir=tmp_path), asked))
    assert found.finish == "stop" and len(model.asked) == 4 and len(scorer.prompts) == 12 + 24
    assert again.composed == found.composed


@pytest.mark.parametrize(
    ("spec", "options", "said"),
    [
        ("bestof:4:mock:gold", {}, "bestof needs the option 'by'"),
        ("bestof:1:mock:gold", {"by": "mock:gold"}, "at least 2 samples"),
        ("bestof:4:mock:gold", {"by": "mock:gold"}, "ranks by the likelihood of a given text, which mock:gold cannot"),
        ("bestof:4:mock:gold", {"by": "trained:none"}, "none"),
        ("bestof:4:mock:gold", {"by": "mock:gold", "trajectory": "2"}, "trajectory must be from 0 to 1"),
        ("bestof:4:mock:gold", {"by": ""}, "by must be the spec of a model"),
    ],
)
def test_what_cannot_rank_is_one_line(spec: str, options: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises(Exception, match=said) as error:
        load_model(spec, options, tmp_path)
    assert error.value.exit_code == 2  # type: ignore[attr-defined]
    with pytest.raises(ConfigError, match="copies of one answer"):
        asyncio.run(answered(best(ScriptedModel(steps), Scorer(planted)), request(temperature=0.0)))


def test_the_best_of_four_on_the_embedded_world_is_right_as_often_as_its_script_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reward model prefers the third sample, which is the right one for every other problem."""
    places = {one.id: place for place, one in enumerate(load_problems(load_suite("synth_easy"), None, 0, 20))}

    def reply(asked: Request) -> str | Completion:
        assert asked.problem is not None
        right = sample(asked) == (2 if places[asked.problem.id] % 2 else 1)
        return f"Step {sample(asked)}.\n\n{boxed(int(asked.problem.target) + (not right))}"

    models = {
        "mock:gold": ScriptedModel(reply, price_in=1.0, price_out=5.0),
        "trained:x": Scorer(planted, price_in=0.5),
    }
    monkeypatch.setattr(base, "load_model", lambda spec, *_: models[spec])
    run = ["run", "--suite", "synth_easy", "--limit", "20", "--results-dir", tmp_path, "--model", "bestof:4:mock:gold"]
    made = command(*run, "--model-arg", "temperature=1", "--model-arg", "by=trained:x", "--format", "json")
    assert made.exit_code == 0, made.stderr
    planned = command(*run, "--model-arg", "temperature=1", "--model-arg", "by=trained:x", "--dry-run")
    assert "bestof:4:openai:scripted: not counted: what ranks (by=…) reads every sample" in planned.stdout
    row = json.loads(made.stdout)["rows"][0]
    assert row["value"] == 0.5 and row["tokens_in"] == 20 * (4 * 100 + 12 * 100)
    assert row["components"]["by"]["calls"] == 20 * 12 and row["components"]["by"]["cost"] is None
    assert row["components"]["model"]["cost"] == pytest.approx(20 * 4 * (100 + 5 * 20) / 1e6)
    assert row["cost"] is None  # nobody said what the reward model's output costs
