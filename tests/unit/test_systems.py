"""Systems of models: their spec, what is asked and kept, what it costs, and a vote whose accuracy is known."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from system_fakes import PROBLEM, answered, boxed, command, request, sample, vote

from harness import models
from harness.catalog import entries
from harness.config import resolve
from harness.errors import ConfigError, StoreError, UnknownName, UsageError
from harness.grading import score_completion
from harness.models import load_model
from harness.models.base import NotBegun
from harness.models.reply_cache import Cache
from harness.run.components import component_totals, total_cost, usage_of
from harness.run.folder import RunFolder
from harness.run.judged.choose import refuse_self
from harness.run.rows import record_from_json, record_to_json
from harness.run.sent import changed_sampling
from harness.systems import base
from harness.systems.base import Assembly
from harness.systems.vote import MajorityVote, VoteOptions
from harness.types import Completion, Graded, Problem, Record, Request
from tests.scripted_model import ScriptedModel

# --- the spec --------------------------------------------------------------------------------------------------------


def test_what_follows_the_number_is_a_spec_as_everywhere() -> None:
    model = load_model(
        "vote:3:vote:mock:gold", {"temperature": "0.5", "model.top_p": "0.9", "model.model.accuracy": "0.25"}
    )
    assert model.name == "vote:3:vote:5:mock:gold"
    inner = model.describe()["parts"]["model"]  # type: ignore[call-overload,index]
    assert (inner["samples"], inner["top_p"], inner["parts"]["model"]["accuracy"]) == (5, 0.9, 0.25)
    assert model.environment()["parts"]["model"]["parts"]["model"]["name"] == "mock:gold"  # type: ignore[call-overload,index]
    assert model.most() == 15  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("spec", "options", "said"),
    [
        ("vote:1:mock:gold", {}, "vote:1: at least 2 samples"),
        ("vote:0:mock:gold", {}, "at least 2 samples"),
        ("vote:", {}, "vote needs a model: vote:5:openai:qwen"),
        ("vote:5:", {}, "vote needs a model"),
        ("vote:5", {}, "vote needs a model"),
        ("vote:5:mock:gold", {"results_dir": "elsewhere"}, "vote has no option 'results_dir'"),
        ("vote:5:gpt:x", {}, "unknown model 'gpt'"),
        ("vote:99999999999:mock:gold", {}, "unknown model '99999999999'"),
        ("vote:5:mock:best", {}, "unknown mock model 'best'"),
        (
            "vote:5:mock:gold",
            {"teacher.x": "1"},
            "vote has no part 'teacher', for which teacher.x=… is; its parts: mod",
        ),
        ("vote:5:mock:gold", {"temperature": "0"}, "temperature must be above 0"),
        ("vote:5:mock:gold", {"top_p": "2"}, "top_p must be above 0"),
        ("vote:5:mock:gold", {"accuracy": "0.5"}, "vote has no option 'accuracy'"),
        ("vote:5:mock:gold", {"model.x": "1"}, "mock:gold has no option 'x'"),
        ("vote:5:vote:5:vote:5:vote:5:vote:5:mock:gold", {}, "at most 4 systems"),
    ],
)
def test_what_a_spec_cannot_mean_is_one_line(spec: str, options: Mapping[str, str], said: str) -> None:
    with pytest.raises((ConfigError, UnknownName)) as error:
        load_model(spec, options, "results")
    assert said in str(error.value) and "\n" not in str(error.value) and error.value.exit_code == 2


def test_every_system_of_the_catalog_is_told_where_replies_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    told: dict[str, Mapping[str, str]] = {}
    monkeypatch.setattr(models, "load", lambda kind, name: lambda rest, options: told.setdefault(name, options))
    for name in entries("model"):
        load_model(f"{name}:x", {}, "here")
    systems = {path.stem for path in Path(base.__file__).parent.glob("*.py") if "\ndef build(" in path.read_text()}
    systems |= {"fewshot", "cot", "trained"}  # two of one module, and what looks a model up there
    assert {name for name, options in told.items() if options.get("results_dir") == "here"} == systems


def test_a_config_file_has_the_options_of_parts_in_tables(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text(
        'model = "vote:3:vote:3:mock:gold"\n[model_options]\ntemperature = 0.5\n'
        "[model_options.model]\ntop_p = 0.9\n[model_options.model.model]\naccuracy = 0.25\n"
    )
    config = resolve(path, ["model_options.model.model.variant=b"], {})
    told = {"temperature": "0.5", "model.top_p": "0.9", "model.model.accuracy": "0.25", "model.model.variant": "b"}
    assert config.options_of("vote:3:vote:3:mock:gold") == told
    own = resolve(None, [], {"model_options": {"vote:3:mock:gold:model.accuracy": "0.5", "model.variant": "c"}})
    assert own.options_of("vote:3:mock:gold") == {"model.accuracy": "0.5", "model.variant": "c"}


def test_the_identity_covers_the_parts() -> None:
    def identity(spec: str, **options: str) -> str:
        return json.dumps(load_model(spec, options).describe(), sort_keys=True)

    same = identity("vote:5:mock:gold")
    assert identity("vote:mock:gold") == same
    others = [identity("vote:4:mock:gold"), identity("vote:mock:wrong"), identity("vote:mock:gold", temperature="1")]
    others.append(identity("vote:mock:gold", **{"model.variant": "a"}))
    assert len({same, *others}) == 5
    assert identity("vote:mock:gold", **{"model.concurrency": "3"}) == same  # no part of the mock's identity either


# --- asking ----------------------------------------------------------------------------------------------------------


def test_every_sample_is_another_request_and_the_first_is_the_models_own() -> None:
    model = ScriptedModel(lambda asked: boxed(sample(asked) // 2))
    found = asyncio.run(answered(vote(model), request()))
    assert found.text == boxed(0) and found.finish == "stop"
    assert model.asked[0].seed == 5 and len({asked.seed for asked in model.asked}) == 5
    assert len({asked.id for asked in model.asked}) == 5
    assert found.composed is not None and found.composed.facts == {"votes": [2, 2, 1]}
    assert [reply.text for _, reply in found.composed.replies] == [boxed(n // 2) for n in range(5)]
    assert (found.tokens_in, found.tokens_out) == (500, 100)
    assert usage_of(found)["model"].calls == 5


def test_a_failed_part_makes_the_answer_an_error_that_names_it_and_keeps_the_others() -> None:
    lost = Completion("", "error", error="out of quota")
    found = asyncio.run(answered(vote(ScriptedModel(lambda one: lost if sample(one) == 3 else boxed(1))), request()))
    assert found.finish == "error" and found.text == ""
    assert found.error == "model (openai:scripted, request 4) failed: out of quota"
    assert found.composed is not None and len(found.composed.replies) == 5
    assert (found.tokens_in, found.tokens_out) == (400, 80)


def test_an_error_that_dooms_every_request_is_raised_once_the_others_are_there() -> None:
    def refuse(asked: Request) -> str:
        if sample(asked) == 1:
            raise ConfigError("no such model")
        return boxed(1)

    with pytest.raises(ConfigError, match="no such model"):
        asyncio.run(answered(vote(ScriptedModel(refuse)), request()))


def test_tokens_that_an_engine_does_not_tell_are_unknown() -> None:
    found = asyncio.run(answered(vote(ScriptedModel(lambda _: Completion(boxed(1), "stop"))), request()))
    assert found.tokens_in is None and usage_of(found)["model"].tokens_out is None


@pytest.mark.parametrize("problem", [None, replace(PROBLEM, grader="")])
def test_answers_that_nothing_reads_cannot_be_compared(problem: Problem | None) -> None:
    with pytest.raises(ConfigError, match="by which grader"):
        asyncio.run(answered(vote(ScriptedModel(lambda _: boxed(1))), request(problem)))


def test_samples_at_temperature_0_are_refused_before_anything_is_asked() -> None:
    model = ScriptedModel(lambda _: boxed(1))
    with pytest.raises(ConfigError, match=r"5 copies of one answer.*--judge-arg"):
        asyncio.run(answered(vote(model), request(temperature=0.0)))
    assert not model.asked


def test_a_reply_that_was_paid_for_is_not_asked_again(tmp_path: Path) -> None:
    """Two samples fail, a third run asks nothing; a system within a system goes the same way."""
    fails = {1, 3}
    lost = Completion("", "error", error="busy")
    script = ScriptedModel(lambda one: lost if sample(one) in fails else Completion(boxed(1), "stop", logprob=-0.5))
    first = asyncio.run(answered(vote(script, results_dir=tmp_path), request()))
    assert first.finish == "error" and len(script.asked) == 5
    fails.clear()
    second = asyncio.run(answered(vote(script, results_dir=tmp_path), request()))
    assert second.finish == "stop" and [sample(one) for one in script.asked[5:]] == [1, 3]
    nested = MajorityVote(Assembly(2, VoteOptions(), {"model": vote(script, results_dir=tmp_path)}, tmp_path))
    third = asyncio.run(answered(nested, request()))
    assert len(script.asked) == 7 + 5  # the first of the outer samples is the answer that is there
    assert third.composed is not None
    assert replace(third.composed.replies[0][1], seconds=None) == replace(second, seconds=None)
    assert third.composed.replies[0][1].logprob == -0.5


def test_a_cancelled_answer_keeps_what_was_there_and_says_whether_it_had_begun(tmp_path: Path) -> None:
    class Slow(ScriptedModel):
        async def answer(self, asked: Request) -> Completion:
            if sample(asked) >= stuck:
                await asyncio.sleep(60)
            return await super().answer(asked)

    async def caught(system: Any) -> BaseException:
        try:
            await answered(system, request())
        except asyncio.CancelledError as error:
            return error
        raise AssertionError

    async def cancelled(system: Any) -> BaseException:
        task = asyncio.create_task(caught(system))
        await asyncio.sleep(0.05)
        task.cancel()
        return await task

    stuck = 2
    model = Slow(lambda _: boxed(1))
    error = asyncio.run(cancelled(vote(model, results_dir=tmp_path)))
    assert type(error) is asyncio.CancelledError and len(model.asked) == 2
    stuck = 9
    found = asyncio.run(answered(vote(model, results_dir=tmp_path), request()))
    assert found.finish == "stop" and len(model.asked) == 5

    async def waits(_: Request) -> Completion:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            raise NotBegun from None
        raise AssertionError

    model.answer = waits  # type: ignore[method-assign]
    assert isinstance(asyncio.run(cancelled(vote(model))), NotBegun)


def test_replies_kept_by_an_older_version_are_read(tmp_path: Path) -> None:
    path = tmp_path / "old.sqlite"
    with Cache(path) as cache:
        cache.put("k", "m", Completion("x", "stop", tokens_out=3))
    with sqlite3.connect(path) as database:
        database.execute("ALTER TABLE replies DROP COLUMN logprob")
    database.close()
    with Cache(path) as cache:
        assert cache.get("k") == Completion("x", "stop", tokens_out=3)
        cache.put("l", "m", Completion("y", "stop", logprob=-1.5))
        assert cache.get("l") == Completion("y", "stop", logprob=-1.5)


# --- what is stored --------------------------------------------------------------------------------------------------


def test_a_record_holds_the_parts_answers_at_any_depth() -> None:
    inner = vote(ScriptedModel(lambda one: Completion(boxed(sample(one)), "stop", reasoning="why", tokens_in=2)), 2)
    found = asyncio.run(answered(MajorityVote(Assembly(2, VoteOptions(), {"model": inner}, None)), request()))
    record = Record("p", 0, 5, "0" * 16, found)
    row = json.loads(json.dumps(record_to_json(record)))
    assert record_from_json(row) == record
    assert record_from_json({**row, "composed": json.dumps(row["composed"])}) == record
    assert list(usage_of(found)) == ["model.model"] and usage_of(found)["model.model"].calls == 4
    alone = Record("p", 0, 5, "0" * 16, Completion("x", "stop"))
    assert "composed" not in record_to_json(alone)


def _deep(levels: int) -> dict[str, Any]:
    row: dict[str, Any] = {"text": "x", "finish": "stop", "role": "model"}
    for _ in range(levels):
        row = {"text": "x", "finish": "stop", "role": "model", "composed": {"facts": {}, "replies": [row]}}
    return row


@pytest.mark.parametrize(
    "composed",
    [
        [],
        "no JSON",
        "[" * 100_000,
        {"facts": {}},
        {"facts": [], "replies": []},
        {"facts": {}, "replies": [{"text": "x", "finish": "stop"}]},
        {"facts": {}, "replies": [{"role": 3, "text": "x", "finish": "stop"}]},
        {"facts": {}, "replies": [{"role": "m", "text": 3, "finish": "stop"}]},
        {"facts": {}, "replies": ["x"]},
        _deep(9)["composed"],
    ],
)
def test_damaged_parts_are_refused(composed: Any) -> None:
    row = record_to_json(Record("p", 0, 5, "0" * 16, Completion("x", "stop")))
    with pytest.raises((KeyError, TypeError, ValueError)):
        record_from_json({**row, "composed": composed})
    assert record_from_json({**row, "composed": _deep(8)["composed"]}).completion.composed is not None


# --- cost ------------------------------------------------------------------------------------------------------------


def test_cost_is_told_by_component_and_unknown_if_one_has_no_price() -> None:
    found = asyncio.run(answered(vote(ScriptedModel(lambda _: boxed(1))), request()))
    rows = [Graded("p", n, score_completion(PROBLEM, found), usage=usage_of(found)) for n in range(2)]  # type: ignore[arg-type]
    priced = {"parts": {"model": {"name": "openai:x", "price_in": 2.0, "price_out": 10.0}}}
    components = component_totals(rows, priced)
    cost = (1000 * 2.0 + 200 * 10.0) / 1e6
    told = {"answers": 2, "model": "openai:x", "calls": 10, "tokens_in": 1000, "tokens_out": 200}
    assert components == {"model": {**told, "cost": pytest.approx(cost)}}
    assert total_cost(components) == pytest.approx(cost)
    assert total_cost(component_totals(rows, {"parts": {}})) is None
    assert component_totals([replace(row, usage={}) for row in rows], priced) == {}


def test_sampling_that_a_part_leaves_to_its_server_is_told() -> None:
    one, two = {"omit": ["temperature"]}, {"omit": []}
    assert changed_sampling({"parts": {"model": one}}) == {"temperature": "server's own"}
    assert changed_sampling({"parts": {"model": one, "teacher": two}}) == {"temperature": "by model"}
    assert changed_sampling({"parts": {"model": two}}) == {}


def test_a_damaged_score_of_a_system_is_refused(tmp_path: Path) -> None:
    run = ["run", "--suite", "synth_easy", "--limit", "2", "--model", "vote:2:mock:gold", "--results-dir", tmp_path]
    assert command(*run, "--model-arg", "temperature=1").exit_code == 0
    folder = RunFolder(next((tmp_path / "runs").iterdir()))
    path = folder.path / "scores.jsonl"
    assert folder.graded[0].usage["model"].calls == 2
    whole = path.read_text()
    for calls in ('"2"', "2.5", "[]"):
        path.write_text(whole.replace('"calls":2', f'"calls":{calls}'))
        with pytest.raises(StoreError):
            _ = RunFolder(folder.path).graded


def test_a_judge_that_is_a_part_of_what_it_judges_is_refused() -> None:
    """Whatever stands around it, on either side; another model, or the same with other settings, is not."""
    system = load_model("vote:3:vote:3:mock:gold", {"model.model.variant": "a"})
    judged = [(system.name, system.describe())]
    for spec, options in (("mock:gold", {"variant": "a"}), ("vote:5:mock:gold", {"model.variant": "a"})):
        with pytest.raises(UsageError, match="is the model being judged"):
            refuse_self([load_model(spec, options)], judged, False)
        refuse_self([load_model(spec, options)], judged, True)
    refuse_self([load_model("mock:gold", {"variant": "b"}), load_model("mock:judge", {})], judged, False)


def test_a_secret_in_the_place_of_a_part_is_not_shown() -> None:
    for spec, options in (("vote:3:openai:" + SECRET, {}), ("cascade:mock:gold", {"teacher": SECRET})):
        with pytest.raises(ConfigError, match="looks like a secret") as error:
            load_model(spec, options)
        assert SECRET not in str(error.value)


SECRET = "sk-" + "a1b2c3d4e5f6" * 4
