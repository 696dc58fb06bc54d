"""Commands and files that no one should write, and someone will: each is one line that says what to do."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from backends.assign import parse_budget
from backends.config import TrainConfig, settings_from
from backends.data.source import load_records
from backends.plan import plan_training
from backends.train import Runtime, train
from harness.errors import ConfigError, DataError
from tests.tiny_model import write_model

EACH = Runtime(logging_steps=1, save_steps=2)


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("student"), context=1024)


def config(student: Path, method: str = "sft", **more: Any) -> TrainConfig:
    settings = {"batch_size": 4, "max_steps": 6, "learning_rate": 1e-3, **more.pop("settings", {})}
    data = more.pop("data", "synth:levels=1,per_level=8")
    return TrainConfig(method=method, student=f"hf:{student}", data=data, settings=settings, max_length=1024, **more)


# --- words on the command line --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"beta2": 1}, "beta2 must be above 0 and below 1"),
        ({"lora_dropout": 1}, "lora_dropout must be from 0 to below 1"),
        ({"lora_alpha": 0}, "lora_alpha must be above 0"),
        ({"lora_alpha": -5}, "lora_alpha must be above 0"),
        ({"max_steps": 10**20}, "max_steps must be at most"),
        ({"batch_size": 10**20}, "batch_size must be at most"),
        ({"lora_rank": 10**14}, "lora_rank must be at most"),
        ({"epochs": 1e308}, "epochs must be at most 1,000,000.*max_steps or a budget"),
    ],
)
def test_settings_beyond_what_the_libraries_take(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        settings_from(values)


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_seeds_beyond_what_the_generators_take(student: Path, seed: int) -> None:
    with pytest.raises(ConfigError, match="seed must be from 0 to 4294967295"):
        config(student, seed=seed)


@pytest.mark.parametrize("budget", ["9" * 400 + "tok", "9" * 400 + "h", "99999999Gtok"])
def test_budgets_beyond_any_training(budget: str) -> None:
    with pytest.raises(ConfigError, match="is more than any training has") as caught:
        parse_budget(budget)
    assert len(str(caught.value)) < 150


@pytest.mark.parametrize("levels", ["²", "١"])
def test_levels_are_plain_digits(levels: str) -> None:
    with pytest.raises(ConfigError, match="levels are digits"):
        load_records(f"synth:levels={levels}")


@pytest.mark.parametrize("option", ["per_level=99999999999", "candidates=100000", "positives=100000"])
def test_worlds_that_would_never_be_finished(option: str) -> None:
    with pytest.raises(ConfigError, match=f"{option.partition('=')[0]} is at most"):
        load_records(f"synth:{option}")


# --- templates ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "template",
    [
        "{{ 1 / 0 }}",
        "{% for i in range(10**9) %}x{% endfor %}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{% for",
    ],
)
def test_templates_that_fail_are_told_with_the_record(student: Path, tmp_path: Path, template: str) -> None:
    (tmp_path / "t.jinja").write_text(template, encoding="utf-8")
    with pytest.raises(DataError, match=r"record '.*the chat template refuses these messages"):
        plan_training(config(student, template=str(tmp_path / "t.jinja")), tmp_path)


# --- students -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_all_weights_of_a_model_made_with_an_adapter_can_be_trained(student: Path, tmp_path: Path) -> None:
    first = train(config(student, settings={"max_steps": 1, "lora_rank": 2}), tmp_path, EACH)
    told = config(student, settings={"max_steps": 1})
    card = train(TrainConfig(**{**vars(told), "student": f"trained:{first.id}"}), tmp_path, EACH)
    assert card.kind == "full" and card.steps == 1
    shutil.rmtree(tmp_path)
