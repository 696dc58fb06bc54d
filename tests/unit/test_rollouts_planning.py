"""A training on what the student writes, planned: what is refused before it draws, and what a dry run tells."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from backends.assign import sort_assignments
from backends.config import TrainConfig
from backends.plan import Plan, describe, plan_training
from backends.records.record import write_records
from backends.records.synth import synth_records
from harness.cli.main import cli
from harness.errors import ConfigError, DataError, HarnessError, MissingExtra, UnknownName
from tests.tiny_model import write_model


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("student"), context=300)


def plan(student: Path, tmp_path: Path, method: str = "grpo", **told: Any) -> Plan:
    settings = {"batch_size": 16, "scheduler": "constant", **told.pop("settings", {})}
    rollout = {"max_new": 20, **told.pop("rollout", {})}
    data = told.pop("data", "synth:levels=1,per_level=12")
    return plan_training(
        TrainConfig(method, f"hf:{student}", data, settings=settings, rollout=rollout, **told), tmp_path
    )


REFUSED: dict[str, tuple[dict[str, Any], type[HarnessError], str]] = {
    "one of a group": ({"rollout": {"group": 1}}, ConfigError, r"nothing to compare, set it to 2 or more"),
    "no temperature": ({"rollout": {"temperature": 0.0}}, ConfigError, r"rollout.*temperature must be above 0"),
    "a nucleus": ({"rollout": {"top_p": 0.9}}, ConfigError, r"set rollout.top_p=1"),
    "a mixture in vLLM": (
        {"method": "minillm", "teacher": "tiny", "rollout": {"engine": "vllm"}}, ConfigError,
        r"minillm draws each token from student and teacher together.*teacher_mix=0",
    ),
    "a nucleus in vLLM": (
        {"method": "rft", "rollout": {"top_p": 0.9, "engine": "vllm"}}, ConfigError,
        r"within the nucleus.*set rollout.engine=hf",
    ),
    "responses under a ratio": ({"rollout": {"mix": 0.5}}, ConfigError, r"nothing drew.*set rollout.mix=1"),
    "no rewards": ({"options": {"weights": ""}}, ConfigError, r"grpo learns from rewards.*which is accuracy=1"),
    "no rewards of a filter": ({"method": "rft", "options": {"weights": " "}}, ConfigError, r"rft learns from rewards"),
    "no rewards of two stages": (
        {"method": "opd_then_rl", "teacher": "tiny", "options": {"weights": ""}}, ConfigError, r"learns from rewards"
    ),
    "a generation that no memory holds": (
        {"rollout": {"updates": 10**9}}, ConfigError, r"16,000,000,000 completions.*set rollout.updates"
    ),
    "another engine": ({"rollout": {"engine": "sglang"}}, ConfigError, r"engine is hf, vllm or server:http"),
    "servers without an address": ({"rollout": {"engine": "server"}}, ConfigError, r"engine is .*server:http"),
    "an engine at an address": ({"rollout": {"engine": "vllm:http://a:1"}}, ConfigError, r"engine is .*server:http"),
    "no address of a server": (
        {"rollout": {"engine": "server:a:1"}}, ConfigError, r"rollout.engine=server: the address of a server must look"
    ),
    "a nucleus in a server": (
        {"method": "rft", "rollout": {"top_p": 0.9, "engine": "server:http://a:1"}}, ConfigError,
        r"within the nucleus.*set rollout.engine=hf",
    ),
    "dropout": ({"settings": {"lora_rank": 2, "lora_dropout": 0.1}}, ConfigError, r"set lora_dropout=0"),
    "half a group": ({"settings": {"batch_size": 12}}, ConfigError, r"no whole number of groups of 8"),
    "no room": ({"rollout": {"max_new": 290}}, ConfigError, r"first 'synth-1-.*the student's context has 300"),
    "unknown reward": ({"options": {"weights": "accurcy=1"}}, UnknownName, r"Did you mean 'accuracy'"),
    "stray reward": ({"reward": {"length.cap": "1"}}, ConfigError, r"for no reward of this training"),
    "no teacher": ({"method": "opd"}, ConfigError, r"opd needs a teacher's weights: --teacher SPEC"),
    "one draw too small": (
        {"method": "lightning_opd", "teacher": "tiny", "settings": {"batch_size": 16}},
        ConfigError,
        r"draws once: rollout.group=1 completions of each of 12 prompts are fewer .* set batch_size to 12 or less",
    ),
    "nothing to be flat by": (
        {"method": "opd", "teacher": "tiny", "rollout": {"flat": "resample"}}, ConfigError, r"opd has no rewards"
    ),
    "budget": (
        {"settings": {"scheduler": "cosine"}, "budget_tokens": 1000}, ConfigError, r"set max_steps, or scheduler=const"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_before_anything_is_drawn(name: str, student: Path, tmp_path: Path) -> None:
    told, error, message = REFUSED[name]
    with pytest.raises(error, match=message) as raised:
        plan(student, tmp_path, **told)
    assert raised.value.exit_code == 2


def test_a_stage_may_draw_otherwise_than_the_next(tmp_path: Path) -> None:
    """The stage's own before what is for all, whatever the order; a stage that draws nothing is told nothing."""
    student = write_model(tmp_path / "student", context=600)
    told = {
        "rollout": {"srt.temperature": 0.5, "temperature": 0.9, "distill.max_new": 9},
        "settings": {"batch_size": 6},
    }
    how = [one.rolled.settings for one in plan(student, tmp_path, "sd_zero", **told).stages if one.rolled is not None]
    assert [(one.temperature, one.max_new) for one in how] == [(0.5, 20), (0.9, 9)]
    with pytest.raises(
        ConfigError, match=r"rollout.srd.group names no stage of sd_zero whose student draws: srt, dist"
    ):
        plan(student, tmp_path, "sd_zero", rollout={"srd.group": 4}, settings={"batch_size": 6})
    with pytest.raises(ConfigError, match=r"rollout.curiosft.group names no stage of curio_rl whose student draws: rl"):
        plan(student, tmp_path, "curio_rl", rollout={"curiosft.group": 4})
    found = sort_assignments("sd_zero", {"rollout.srt.group": "4", "rollout.top_p": "0.9"})["rollout"]
    assert found == {"srt.group": 4, "top_p": 0.9}
    with pytest.raises(ConfigError, match="grup"):
        sort_assignments("sd_zero", {"rollout.srt.grup": "4"})


def test_a_judge_of_leaks_is_asked_where_a_teacher_is_told_more(tmp_path: Path) -> None:
    student = write_model(tmp_path / "student", context=600)
    told: dict[str, Any] = {"reward": {"leak.model": "mock:judge"}, "settings": {"lora_rank": None}}
    plain, watched = (
        plan(student, tmp_path, "opsd", settings={"lora_rank": None}),
        plan(student, tmp_path, "opsd", **told),
    )
    assert [dict(one.stages[0].rolled.totals.weights) for one in (plain, watched)] == [{}, {"leak": 0.0}]
    assert watched.stages[0].rolled.totals.models == ("mock:judge",) and plain.model_id != watched.model_id
    with pytest.raises(ConfigError, match="for no reward of this training"):
        plan(student, tmp_path, "grpo", reward=told["reward"])


def test_records_without_gold_are_named(student: Path, tmp_path: Path) -> None:
    first, second = synth_records(0, 2, (1,))
    write_records(tmp_path / "d.jsonl", [first, replace(second, gold=None)])
    with pytest.raises(DataError, match=rf"accuracy.*'gold'.*{second.id}") as raised:
        plan(student, tmp_path, data=str(tmp_path / "d.jsonl"))
    assert raised.value.exit_code == 2


def test_another_engine_is_in_the_id_and_weighs_tokens_unless_told_otherwise(
    student: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backends.rollouts.planning.require_vllm", lambda: None)
    own, vllm = plan(student, tmp_path), plan(student, tmp_path, rollout={"engine": "vllm"})
    bare = plan(student, tmp_path, rollout={"engine": "vllm"}, options={"correction": "none"})
    capped = plan(student, tmp_path, rollout={"engine": "vllm"}, options={"cap": "3"})
    assert [one.options.correction for one in (own, vllm, bare)] == ["none", "token_truncate", "none"]
    assert (vllm.options.cap, capped.options.cap) == (2.0, 3.0)
    assert len({one.model_id for one in (own, vllm, bare, capped)}) == 4
    rft = plan(student, tmp_path, "rft", rollout={"engine": "vllm"})  # has no policy gradient to weigh
    assert not hasattr(rft.options, "correction")


def test_where_servers_are_is_not_in_the_id(student: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backends.rollouts.planning.require_vllm", lambda: None)
    there, elsewhere, vllm = (
        plan(student, tmp_path, rollout={"engine": engine})
        for engine in ("server:http://a:1", "server:http://b:2,http://c:3", "vllm")
    )
    assert there.model_id == elsewhere.model_id != vllm.model_id
    assert there.options.correction == "token_truncate"
    hashes = [one.config.hash(one.data_hash, one.data_order) for one in (there, elsewhere)]
    assert hashes[0] == hashes[1]


def test_an_engine_that_is_not_installed_is_said_at_once(
    student: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.models.vllm.find_version", lambda: None)
    with monkeypatch.context() as patch, pytest.raises(MissingExtra, match="vllm"):
        patch.setitem(sys.modules, "vllm", None)
        plan(student, tmp_path, rollout={"engine": "vllm"})


def test_one_vllm_for_each_of_several_processes_is_refused(
    student: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backends.rollouts.planning.require_vllm", lambda: None)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match=r"2 of them would share its device.*rollout.engine=hf"):
        plan(student, tmp_path, rollout={"engine": "vllm"})


@pytest.mark.parametrize("key", ["rollout", "reward"])
def test_a_method_that_draws_nothing_refuses_how_to_draw(key: str, student: Path, tmp_path: Path) -> None:
    told = {"rollout": {"group": 4}} if key == "rollout" else {"rollout": {}, "reward": {"letters.chosen": "a"}}
    config = TrainConfig("sft", f"hf:{student}", "synth:levels=1,per_level=2", **told)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=rf"{key}\..* has no effect: the student of sft draws nothing"):
        plan_training(config, tmp_path)


def test_how_it_is_drawn_and_marked_is_in_the_id_and_nothing_of_it_in_an_offline_one(
    student: Path, tmp_path: Path
) -> None:
    first = plan(student, tmp_path)
    others = [
        plan(student, tmp_path, rollout={"group": 4}),
        plan(student, tmp_path, rollout={"temperature": 0.9}),
        plan(student, tmp_path, options={"weights": "accuracy=2"}),
    ]
    assert len({first.model_id, *(other.model_id for other in others)}) == 4
    # What is said and is the default decides nothing, but is in the config as everything that is said.
    assert first.resolved()["stages"]["train"]["rollout"]["group"] == 8  # type: ignore[index,call-overload]
    sft = plan_training(TrainConfig("sft", f"hf:{student}", "synth:levels=1,per_level=2"), tmp_path)
    assert not {"rollout", "reward", "rewards", "drawing"} & sft.resolved().keys()


def test_without_a_limit_completions_get_what_the_longest_prompt_leaves(student: Path, tmp_path: Path) -> None:
    found = plan(student, tmp_path, rollout={"max_new": None}, max_length=250).stages[0]
    longest = max(len(example.sequences[0].ids_T) for example in found.data.examples)
    assert found.rolled is not None and found.rolled.settings.max_new == 250 - longest


def test_prompts_over_max_length_are_left_out_and_counted(student: Path, tmp_path: Path) -> None:
    whole = plan(student, tmp_path).stages[0]
    lengths = sorted(len(example.sequences[0].ids_T) for example in whole.data.examples)
    limit = lengths[5] + 20
    found = plan(student, tmp_path, max_length=limit).stages[0]
    kept = sum(length + 20 <= limit for length in lengths)
    assert found.rolled is not None and len(found.rolled.records) == kept < 12
    assert len(found.data.left_out["too_long"]) == 12 - kept
    assert {record.id for record in found.rolled.records} == {example.id for example in found.data.examples}


def test_epochs_and_budgets_become_steps(student: Path, tmp_path: Path) -> None:
    # 12 prompts, 2 a generation, 6 generations an epoch.
    assert plan(student, tmp_path, settings={"epochs": 2}).stages[0].steps == 12
    assert plan(student, tmp_path, settings={"epochs": 1}, rollout={"updates": 2, "passes": 2}).stages[0].steps == 12
    budget = plan(student, tmp_path, budget_tokens=10_000).stages[0]
    least = 16 * (sum(len(one.sequences[0].ids_T) for one in budget.data.examples) / 12 + 2)
    assert budget.steps == -(-10_000 // least)  # more than can be made: the budget ends it
    assert budget.tokens_planned == 10_000


def test_a_dry_run_tells_how_much_will_be_drawn(student: Path, tmp_path: Path) -> None:
    lines = "\n".join(describe(plan(student, tmp_path, settings={"epochs": 1})))
    assert "draws 8 completions of each of 2 prompts a generation" in lines
    assert "6 generations, 96 completions of at most 20 tokens" in lines
    assert "rewards accuracy=1" in lines and "MiB per device" in lines and "    ids " in lines and "at most" in lines


def test_a_dry_run_names_the_models_that_rewards_ask(student: Path, tmp_path: Path) -> None:
    told = {"options": {"weights": "judge=1"}, "reward": {"judge.model": "mock:judge", "judge.rubric": "rating_10"}}
    lines = "\n".join(describe(plan(student, tmp_path, settings={"epochs": 1}, **told)))
    assert "rewards judge=1, which ask mock:judge about 96 completions" in lines


def test_the_command_line_says_it_in_one_line(
    student: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", "--method", "grpo", "--student", f"hf:{student}", "--data", "synth:levels=1,per_level=4"]
    words += ["--set", "rollout.group=1", "--results-dir", str(tmp_path), "--dry-run"]
    with pytest.raises(ConfigError, match="nothing to compare"):
        cli.main(words, standalone_mode=False)
    assert not list(tmp_path.glob("models/*"))
