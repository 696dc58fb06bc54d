"""Training from a config to a card: what is refused before it starts, budgets, what is kept when it breaks."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from backends.config import Runtime, TrainConfig, settings_from
from backends.plan import describe, plan_training
from backends.records.record import write_records
from backends.records.synth import synth_records
from backends.train import train
from harness.errors import ConfigError, DataError, StoreError, TrainingStopped, UnknownName
from tests.tiny_model import write_model

EACH = Runtime(logging_steps=1, save_steps=2)


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("student"), context=1024)


def config(student: Path, method: str = "sft", **more: Any) -> TrainConfig:
    settings = {"batch_size": 4, "max_steps": 6, "learning_rate": 1e-3, **more.pop("settings", {})}
    data = more.pop("data", "synth:levels=1,per_level=8")
    return TrainConfig(
        method=method,
        student=f"hf:{student}",
        data=data,
        settings=settings,
        max_length=more.pop("max_length", 1024),
        **more,
    )


def logged(results: Path) -> list[dict[str, Any]]:
    (path,) = results.glob("models/*/metrics.jsonl")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


# --- before anything is spent ---------------------------------------------------------------------------------------


def test_a_missing_column_names_the_first_record(student: Path, tmp_path: Path) -> None:
    records = [replace(record, rejected=None) for record in synth_records(0, 2, (1,))]
    write_records(tmp_path / "d.jsonl", records)
    with pytest.raises(DataError, match=f"krsl.*{records[0].id}|{records[0].id}.*rejected"):
        plan_training(config(student, "krsl", data=str(tmp_path / "d.jsonl")), tmp_path)


def test_an_empty_chain_is_left_out_and_counted_where_the_split_is_needed(student: Path, tmp_path: Path) -> None:
    records = synth_records(0, 3, (1,))
    empty = replace(records[0], response="<think>\n</think>\nThe answer is 1.", think=None)
    write_records(tmp_path / "d.jsonl", [empty, *records[1:]])
    plan = plan_training(config(student, "thinkanswer", data=str(tmp_path / "d.jsonl")), tmp_path)
    assert plan.stages[0].data.left_out == {"no_split": (empty.id,)}
    assert any("left out 1 record" in line for line in describe(plan))


def test_long_sequences_are_left_out_whole_and_none_left_is_an_error(student: Path, tmp_path: Path) -> None:
    plan = plan_training(config(student, max_length=180), tmp_path)
    kept = len(plan.stages[0].data.examples)
    assert 0 < kept < 8 and len(plan.stages[0].data.left_out["too_long"]) == 8 - kept
    with pytest.raises(DataError, match="longer than max_length"):
        plan_training(config(student, max_length=20), tmp_path)


def test_no_sequence_is_longer_than_the_students_context(tmp_path: Path) -> None:
    small = write_model(tmp_path / "small", context=180)
    plan = plan_training(config(small), tmp_path)
    assert plan.encoder.max_length == 180 and plan.stages[0].data.left_out["too_long"]


def test_names_settings_and_options_are_checked(student: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="Did you mean 'krsl'"):
        plan_training(config(student, "krs"), tmp_path)
    with pytest.raises(ConfigError, match=r"no option 'learning_rat'.*learning_rate"):
        plan_training(config(student, settings={"learning_rat": 1}), tmp_path)
    with pytest.raises(ConfigError, match="names no stage"):
        plan_training(config(student, settings={"stag.epochs": 1}), tmp_path)
    with pytest.raises(ConfigError, match="does not divide"):
        plan_training(config(student, settings={"micro_batch": 3}), tmp_path)
    with pytest.raises(ConfigError, match="no option 'alpa'"):
        plan_training(config(student, "krsl", options={"alpa": "1"}), tmp_path)
    with pytest.raises(DataError, match="no file"):
        plan_training(config(student, data="absent.jsonl"), tmp_path)
    with pytest.raises(ConfigError, match="above 0"):
        settings_from({"learning_rate": 0})
    with pytest.raises(ConfigError, match="cannot be the base"):
        plan_training(replace(config(student), student="mock:gold"), tmp_path)


def test_the_id_depends_on_what_decides_the_result_alone(student: Path, tmp_path: Path) -> None:
    told = config(student)
    same = plan_training(told, tmp_path).model_id
    assert plan_training(replace(told, settings={**told.settings, "micro_batch": 1}), tmp_path).model_id == same
    assert plan_training(replace(told, settings={**told.settings, "weight_decay": 0.0}), tmp_path).model_id == same
    assert plan_training(replace(told, seed=1), tmp_path).model_id != same
    assert plan_training(replace(told, data="synth:levels=1,per_level=7"), tmp_path).model_id != same


def test_weights_that_were_moved_make_the_same_model_and_others_in_their_place_another(
    student: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "elsewhere" / student.name
    shutil.copytree(student, moved)
    told = config(student)
    same = plan_training(told, tmp_path / "results").model_id
    assert plan_training(config(moved), tmp_path / "other" / "results").model_id == same
    kd = {"method": "kd", "limit": 4}
    taught = [plan_training(replace(told, **kd, teacher=f"hf:{one}"), tmp_path).model_id for one in (student, moved)]
    assert taught[0] == taught[1] != same
    write_model(moved, seed=5)
    assert plan_training(config(moved), tmp_path).model_id != same
    assert plan_training(replace(told, **kd, teacher=f"hf:{moved}"), tmp_path).model_id != taught[0]


def test_the_id_depends_on_the_order_of_the_records(student: Path, tmp_path: Path) -> None:
    records = synth_records(0, 8, (1,))
    paths = {name: tmp_path / f"{name}.jsonl" for name in ("one", "same", "turned", "swapped")}
    swapped = [*records[:2], records[3], records[2], *records[4:]]
    for path, rows in zip(paths.values(), (records, records, records[::-1], swapped), strict=True):
        write_records(path, rows)
    plans = {name: plan_training(config(student, data=str(path)), tmp_path) for name, path in paths.items()}
    assert len({plan.data_hash for plan in plans.values()}) == 1  # the same records
    assert plans["one"].model_id == plans["same"].model_id
    assert len({plan.model_id for plan in plans.values()}) == len({plan.data_order for plan in plans.values()}) == 3
    hashes = {told.config.hash(told.data_hash, told.data_order) for told in plans.values()}
    assert len(hashes) == 3


CLOCKS = [
    "{{ strftime_now('%d %b %Y') }} {{ messages[0].content }}",
    "{% if not date_string is defined %}{% set date_string = strftime_now('%d %b %Y') %}{% endif %}"
    "{{ date_string }}{{ messages[-1].content }}",
    "{% macro today() %}{{ strftime_now('%Y-%m-%d %H:%M:%S') }}{% endmacro %}{{ today() }}{{ messages[0].content }}",
]


@pytest.mark.parametrize("template", CLOCKS)
def test_a_clock_in_the_template_stands_still(
    student: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, template: str
) -> None:
    """The prompts that are trained on, and evaluated with, are those of every other day."""
    import datetime

    from transformers.utils import chat_template_utils

    from harness.models.hf_prompt import PromptRenderer
    from harness.types import Message

    def at(day: int) -> tuple[str, list[int], tuple[int, ...]]:
        class Clock(datetime.datetime):
            @classmethod
            def now(cls, tz: Any = None) -> Any:
                return datetime.datetime(2026, 1, day, 1, 2, day)

        monkeypatch.setattr(chat_template_utils, "datetime", Clock)
        path = tmp_path / "template.jinja"
        path.write_text(template, encoding="utf-8")
        plan = plan_training(config(student, template=str(path)), tmp_path)
        evaluated = PromptRenderer(plan.tokenizer, template, False, None).render((Message("user", "x"),))
        return plan.model_id, plan.stages[0].data.examples[0].sequences[0].ids_T.tolist(), evaluated.tokens

    assert at(1) == at(2)


# --- training ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_finished_model_is_not_trained_again(student: Path, tmp_path: Path) -> None:
    first = train(config(student), tmp_path, EACH)
    weights = next(tmp_path.glob("models/*/model/model.safetensors"))
    written = weights.stat().st_mtime_ns
    assert train(config(student), tmp_path, EACH) == first
    assert weights.stat().st_mtime_ns == written
    assert not list(tmp_path.glob("models/*/checkpoints")) and not list(tmp_path.glob("models/*/stages"))


@pytest.mark.slow
def test_a_token_budget_takes_the_place_of_the_epochs(student: Path, tmp_path: Path) -> None:
    told = config(student, budget_tokens=5000)
    settings = {key: value for key, value in told.settings.items() if key != "max_steps"}
    card = train(replace(told, settings=settings), tmp_path, EACH)
    per_step = 4 * 200
    assert (card.tokens or 0) + per_step >= 5000 and (card.tokens or 0) < 5000 + per_step
    two = train(replace(told, method="krsl", settings=settings), tmp_path, EACH)
    assert abs((two.tokens or 0) - 5000) < 2 * per_step
    stages = [row["stage"] for row in logged_of(tmp_path, two.id)]
    assert set(stages) == {"sft", "key_steps"}


def logged_of(results: Path, model: str) -> list[dict[str, Any]]:
    path = results / "models" / model / "metrics.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.slow
def test_a_time_budget_keeps_what_is_trained(student: Path, tmp_path: Path) -> None:
    card = train(config(student, budget_seconds=0.2, settings={"max_steps": 100000}), tmp_path, EACH)
    assert card.stopped == "time budget" and 0 < (card.steps or 0) < 100000
    assert (tmp_path / "models" / card.id / "model" / "model.safetensors").is_file()


@pytest.mark.slow
def test_numbers_that_are_not_finite_stop_it_and_the_last_checkpoint_stays(
    student: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from backends.methods.sft import LikelihoodObjective

    whole, bad = LikelihoodObjective.loss, 0

    def poisoned(self: Any, batch: Any, logits: Any, counts: Any, step: Any, prepared: Any) -> Any:
        found = whole(self, batch, logits, counts, step, prepared)
        return replace(found, value=found.value * (float("nan") if step.number == bad else 1.0))

    monkeypatch.setattr(LikelihoodObjective, "loss", poisoned)
    with pytest.raises(TrainingStopped, match=r"at step 1 .*no step was made, so look at the method's options"):
        train(config(student), tmp_path, EACH)  # the learning rate has not been used yet
    bad = 4
    monkeypatch.setattr(LikelihoodObjective, "loss", poisoned)
    with pytest.raises(TrainingStopped, match=r"no finite number at step 5 .*last checkpoint is kept"):
        train(config(student), tmp_path, EACH)
    (checkpoint,) = tmp_path.glob("models/*/checkpoints/train/checkpoint-4")
    kept = load_file(checkpoint / "model.safetensors")
    assert all(bool(torch.isfinite(value).all()) for value in kept.values())
    assert not list(tmp_path.glob("models/*/card.json"))
    monkeypatch.setattr(LikelihoodObjective, "loss", whole)
    assert train(config(student), tmp_path, EACH).steps == 6


@pytest.mark.slow
def test_a_full_disk_is_one_error_and_the_last_checkpoint_stays(
    student: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from backends.trainers import trainer as module

    whole = module.torch.save
    room = 1  # checkpoints that fit

    def save(value: Any, path: Any, *args: Any, **more: Any) -> None:
        nonlocal room
        if str(path).endswith(module.OBJECTIVE_FILE):
            room -= 1
            if room < 0:
                raise OSError(28, "No space left on device")
        whole(value, path, *args, **more)

    monkeypatch.setattr(module.torch, "save", save)
    with pytest.raises(StoreError, match=r"No space left.*Make room and run the same command again"):
        train(config(student), tmp_path, EACH)
    names = sorted(path.name for path in tmp_path.glob("models/*/checkpoints/train/*"))
    assert names == ["checkpoint-2"]
    monkeypatch.setattr(module.torch, "save", whole)
    assert train(config(student), tmp_path, EACH).steps == 6


@pytest.mark.slow
def test_killed_between_a_stage_and_its_numbers_the_card_still_has_them(
    student: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from backends.trainers import setup

    whole = setup.save_model

    def die(*args: Any) -> None:
        whole(*args)
        raise KeyboardInterrupt

    monkeypatch.setattr(setup, "save_model", die)
    with pytest.raises(KeyboardInterrupt):
        train(config(student), tmp_path, EACH)
    assert list(tmp_path.glob("models/*/stages/train"))
    monkeypatch.setattr(setup, "save_model", whole)
    card = train(config(student), tmp_path, EACH)
    assert card.steps == 6 and card.tokens == logged(tmp_path)[-1]["tokens"] and card.final


@pytest.mark.slow
def test_an_adapter_is_registered_as_one(student: Path, tmp_path: Path) -> None:
    card = train(config(student, settings={"lora_rank": 2}), tmp_path, EACH)
    assert card.kind == "adapter"
    assert (tmp_path / "models" / card.id / "model" / "adapter_model.safetensors").is_file()
    two = train(config(student, "krsl", settings={"lora_rank": 2, "lora_targets": "q_proj+v_proj"}), tmp_path, EACH)
    assert two.kind == "adapter"


_CHILD = """
import json, sys
from pathlib import Path
from backends.config import Runtime, TrainConfig
from backends.train import train
told = json.loads(sys.argv[1])
train(TrainConfig(**told), Path(sys.argv[2]), Runtime(logging_steps=1, save_steps=2))
"""


@pytest.mark.slow
def test_killed_for_real_it_resumes_to_the_same_weights(student: Path, tmp_path: Path) -> None:
    told = config(student, settings={"max_steps": 100})
    command = [sys.executable, "-c", _CHILD, json.dumps(vars(told)), str(tmp_path / "killed")]
    child = subprocess.Popen(command, cwd=Path(__file__).parents[2], env=os.environ | {"PYTHONPATH": "."})
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("killed/models/*/checkpoints/train/checkpoint-*/COMPLETE")):
        assert child.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert not list(tmp_path.glob("killed/models/*/card.json"))
    card = train(told, tmp_path / "killed", EACH)
    train(told, tmp_path / "whole", EACH)
    (ours,) = (tmp_path / "killed").glob("models/*/model/model.safetensors")
    (theirs,) = (tmp_path / "whole").glob("models/*/model/model.safetensors")
    assert ours.read_bytes() == theirs.read_bytes()
    assert card.steps == 100
    assert [row["step"] for row in logged(tmp_path / "killed")] == list(range(1, 101))
