"""Recipes of methods whose student writes, and of their controls, as a dry run plans them on a small student."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from backends.plan import plan_training
from backends.recipe import apply, load_recipe
from backends.records.record import write_records
from backends.records.source import load_records
from harness.errors import ConfigError
from tests.tiny_model import write_model

DATA = {"gsrm": "synth:levels=1+2,per_level=20,style=long", "finprm": "synth:levels=1,per_level=8"}
"""Of a recipe that the others' data do not fit."""
RLKD = [
    f"{name}:{variant}"
    for name in ("rlkd", "rlkd-grpo", "rlkd-ppo", "rlkd-shuffled")
    for variant in ("zero", "r1-distill")
]
OFFLINE = ["gsrm", "rlkd-sft:zero", "rlkd-sft:r1-distill"]


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("student"), context=1024)


def changes(student: Path, name: str, **more: Any) -> dict[str, Any]:
    data = DATA.get(name, "synth:levels=1+2,per_level=20")
    return {"data": data, "student": f"hf:{student}", "max_length": 1024, "gradient_checkpointing": False, **more}


@pytest.mark.parametrize("name", OFFLINE)
def test_offline_ones(name: str, student: Path, tmp_path: Path) -> None:
    plan = plan_training(apply(load_recipe(name), changes(student, name)), tmp_path)
    assert len(plan.stages[0].data.examples) == 40 and plan.stages[0].rolled is None


@pytest.mark.parametrize("name", RLKD)
def test_rlkd_and_its_controls(name: str, student: Path, tmp_path: Path) -> None:
    own = {"rollout": {"max_new": 300}, "reward": {"structure.gsrm": "rule:equations", "structure.match": "exact"}}
    plan = plan_training(apply(load_recipe(name), changes(student, name, **own)), tmp_path)
    (stage,) = plan.stages
    assert stage.rolled is not None
    planned = (1, 32, 4) if "ppo" in name else (4, 8, 5)  # four passes over 32 of the 40 prompts
    assert (stage.rolled.settings.group, stage.rolled.prompts, stage.steps) == planned
    assert list(stage.rolled.totals.weights) == ["accuracy", "structure", "format", "tags"]
    assert stage.rolled.totals.weights["structure"] == (0.0 if "po:" in name else 3.0)


@pytest.mark.parametrize(
    ("name", "steps"),
    [
        ("kdrl:annealing", 280), ("kdrl:mask", 280), ("trrd:logic", 1), ("trrd:math", 1), ("scope", 1),
        ("tsd-kd", 8), ("opd:tml-deepmath", 100),
    ],
)  # fmt: skip
def test_those_with_a_teacher(name: str, steps: int, student: Path, tmp_path: Path) -> None:
    own = {"rollout": {"max_new": 300}, "teacher": f"hf:{student}"}
    (stage,) = plan_training(apply(load_recipe(name), changes(student, name, **own)), tmp_path).stages
    assert stage.rolled is not None and stage.steps == steps
    assert list(stage.rolled.totals.weights) == ([] if name.startswith(("tsd", "opd")) else ["accuracy"])


@pytest.mark.parametrize(
    ("name", "steps"),
    [("opsd", [100]), ("sdpo:generalisation", [1]), ("sdpo:rich", [32]), ("sdft", [1]), ("sdzero", [63, 2]),
     ("cord-text", [2])],
)  # fmt: skip
def test_those_that_teach_themselves(name: str, steps: list[int], student: Path, tmp_path: Path) -> None:
    data = tmp_path / "clean.jsonl"
    records = load_records("synth:levels=1+2,per_level=20")
    write_records(data, (replace(one, meta={**one.meta, "clean": one.prompt[-1].content}) for one in records))
    own: dict[str, Any] = {"rollout": {"max_new": 200}, "data": str(data)}
    if name == "sdzero":
        own["settings"] = {"distill.batch_size": 9}
    plan = plan_training(apply(load_recipe(name), changes(student, name, **own)), tmp_path)
    assert [stage.steps for stage in plan.stages] == steps
    assert plan.stages[-1].stage.rolling is not None and plan.stages[-1].stage.rolling.context is not None


@pytest.mark.parametrize(
    ("name", "weights", "planned"),
    [
        ("grpo:r1", ["accuracy", "format"], (16, 16, 512, 16)),
        ("grpo:dapo", ["accuracy", "length"], (16, 16, 512, 16)),
        ("grpo:dr", ["accuracy"], (8, 8, 128, 48)), ("alphamed:qwen-7b", ["accuracy"], (8, 1, 64, 1)),
        ("alphamed:llama-8b", ["accuracy"], (8, 1, 64, 1)),
    ],
)  # fmt: skip
def test_those_with_a_verifier(
    name: str, weights: list[str], planned: tuple[int, ...], student: Path, tmp_path: Path
) -> None:
    """Completions of a prompt, steps and prompts of a generation, steps in all."""
    (stage,) = plan_training(
        apply(load_recipe(name), changes(student, name, rollout={"max_new": 300})), tmp_path
    ).stages
    assert stage.rolled is not None and list(stage.rolled.totals.weights) == weights
    how = stage.rolled.settings
    assert (how.group, how.updates, stage.rolled.prompts, stage.steps) == planned


@pytest.mark.parametrize(
    ("name", "steps"),
    [("gkd", 1), ("minillm", 5000), ("lightning-opd:4b", 150), ("lightning-opd:8b", 150), ("opd:qwen3", 100)],
)
def test_those_with_a_teacher_and_no_reward(name: str, steps: int, student: Path, tmp_path: Path) -> None:
    own: dict[str, Any] = {"rollout": {"max_new": 300}, "teacher": f"hf:{student}"}
    if name.startswith("lightning"):  # which draws once, for 40 prompts here
        own["settings"] = {"batch_size": 8}
    (stage,) = plan_training(apply(load_recipe(name), changes(student, name, **own)), tmp_path).stages
    assert stage.rolled is not None and stage.steps == steps and not stage.rolled.totals.weights
    assert (stage.stage.rolling.mixture is not None) == (name == "minillm")  # type: ignore[union-attr]


def test_a_process_reward_model(student: Path, tmp_path: Path) -> None:
    (stage,) = plan_training(apply(load_recipe("finprm"), changes(student, "finprm")), tmp_path).stages
    assert stage.rolled is None and len(stage.data.examples) > 16


@pytest.mark.parametrize("variant", ["zero", "r1-distill"])
def test_rlkds_control_ppo(variant: str, student: Path, tmp_path: Path) -> None:
    name = f"rlkd-ppo:{variant}"
    own = {"rollout": {"max_new": 300}, "reward": {"structure.gsrm": "rule:equations", "structure.match": "exact"}}
    (stage,) = plan_training(apply(load_recipe(name), changes(student, name, **own)), tmp_path).stages
    assert stage.rolled is not None and stage.rolled.totals.weights["structure"] == 0.0
    assert (stage.rolled.settings.group, stage.rolled.settings.passes, stage.rolled.prompts) == (1, 4, 32)


def test_what_does_not_fit_is_said_before_anything_is_drawn(student: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"leave no room for rollout.max_new=4096"):
        plan_training(apply(load_recipe("rlkd:zero"), changes(student, "rlkd:zero")), tmp_path)
