"""Commands and files that no one should write, and someone will: each is one line that says what to do."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from click.testing import CliRunner

from backends.assign import parse_budget
from backends.config import Runtime, TrainConfig, settings_from
from backends.plan import plan_training
from backends.records.source import load_records
from backends.train import train
from backends.trainers.signals import StopRequest
from backends.trainers.targets import check_targets
from harness.cli.train import command
from harness.errors import (
    BrokenModel,
    ConfigError,
    DataError,
    Interrupted,
    PrerequisiteError,
    StoreError,
    TrainingStopped,
    UnknownName,
    UsageError,
)
from harness.registry import ModelCard
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
    with pytest.raises(ConfigError, match=r"is (more than any training has|no amount of tokens)") as caught:
        parse_budget(budget)
    assert len(str(caught.value)) < 150


@pytest.mark.parametrize("budget", ["", "5", "0tok", "0h", "5usd", "2kmin", "-1h", "1e6tok", "tok"])
def test_budgets_that_are_no_amount(budget: str) -> None:
    with pytest.raises(ConfigError, match=r"is no amount of tokens .* or of time"):
        parse_budget(budget)


def test_budgets_in_tokens_are_written_as_for_judges() -> None:
    assert parse_budget("200_000tok") == parse_budget("0.2 Mtokens") == parse_budget("200ktok") == (200_000, None)
    assert parse_budget("1.5 H") == (None, 5400.0)


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


@pytest.mark.slow
def test_a_tokenizer_with_more_tokens_than_the_student(student: Path, tmp_path: Path) -> None:
    wider = shutil.copytree(student, tmp_path / "wider")
    tokenizer = transformers.AutoTokenizer.from_pretrained(wider)
    tokenizer.add_tokens(["<think>"])
    tokenizer.save_pretrained(wider)
    with pytest.raises(BrokenModel, match=r"'<think>' as number 259, the model has embeddings for 259 tokens only"):
        plan_training(config(wider), tmp_path)


@pytest.mark.slow
def test_a_placeholder_without_an_embedding_is_told_where_the_data_hold_it(student: Path, tmp_path: Path) -> None:
    """Text-only models of a family of image models have the family's tokenizer (Gemma 3 1B)."""
    wider = shutil.copytree(student, tmp_path / "wider")
    tokenizer = transformers.AutoTokenizer.from_pretrained(wider)
    tokenizer.add_tokens(["<image_soft_token>"])
    tokenizer.save_pretrained(wider)
    train(config(wider), tmp_path, EACH)
    record = {"id": "a", "prompt": [{"role": "user", "content": "1 + 1?"}], "response": "<image_soft_token> 2"}
    (tmp_path / "d.jsonl").write_text(json.dumps(record) + "\n")
    told = TrainConfig(**{**vars(config(wider)), "data": str(tmp_path / "d.jsonl")})
    with pytest.raises(ConfigError, match=r"the token 259, and the student has embeddings for 259 only"):
        train(told, tmp_path, EACH)


@pytest.mark.parametrize("targets", ["q_proj+nope", "", "lm_head"])
def test_names_that_are_no_layers_are_refused_by_the_plan(student: Path, tmp_path: Path, targets: str) -> None:
    told = config(student, settings={"lora_rank": 2, "lora_targets": targets})
    with pytest.raises(UnknownName, match=r"layer for lora_targets.* Known: .*q_proj"):
        plan_training(told, tmp_path)
    with pytest.raises(UnknownName, match=r"layer for lora_targets.* Known: .*q_proj"):
        check_targets(transformers.AutoModelForCausalLM.from_pretrained(student), targets)


def test_a_reporter_that_is_not_installed(student: Path, tmp_path: Path) -> None:
    with pytest.raises(PrerequisiteError, match="pip install no_such_reporter"):
        train(config(student), tmp_path, Runtime(report_to=("no_such_reporter",)))
    assert not list(tmp_path.iterdir())


def test_a_merge_has_no_dry_run(student: Path, tmp_path: Path) -> None:
    arguments = ["--method", "merge", "--set", f"models=hf:{student},hf:{student}", "--dry-run"]
    result = CliRunner().invoke(command, [*arguments, "--results-dir", str(tmp_path / "r")])
    assert isinstance(result.exception, UsageError) and not (tmp_path / "r").exists()


# --- interrupted, killed, edited ------------------------------------------------------------------------------------


def stopped(student: Path, results: Path, number: int = signal.SIGINT, runtime: Runtime = EACH) -> Path:
    """A training that was asked to stop at step 3, and its folder."""
    with pytest.raises(Interrupted, match=r"after step 4 of 6 .*run the same command again"):
        train(config(student), results, runtime, lambda now: os.kill(os.getpid(), number) if now.step == 3 else None)
    (folder,) = results.glob("models/*")
    return folder


@pytest.fixture(scope="module")
def whole(student: Path, tmp_path_factory: pytest.TempPathFactory) -> ModelCard:
    return train(config(student), tmp_path_factory.mktemp("whole"), Runtime(logging_steps=4))


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_the_step_and_the_rest_is_as_if_nothing_had_been(
    student: Path, tmp_path: Path, whole: ModelCard, number: int
) -> None:
    before = signal.getsignal(number)
    folder = stopped(student, tmp_path, number, Runtime(logging_steps=1))
    assert signal.getsignal(number) is before
    assert [path.name for path in folder.glob("checkpoints/train/*")] == ["checkpoint-4"]
    card = train(config(student), tmp_path, Runtime(logging_steps=4))
    assert (card.fingerprint, card.tokens, card.steps) == (whole.fingerprint, whole.tokens, whole.steps)


def test_a_second_signal_stops_at_once() -> None:
    with pytest.raises(KeyboardInterrupt), StopRequest() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.asked
        os.kill(os.getpid(), signal.SIGINT)  # a launcher that passes on the same one
        stop._when -= 10
        os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.pt", "objective.pt", "trainer_state.json"])
def test_a_checkpoint_cut_short_gives_way_to_the_one_before(
    student: Path, tmp_path: Path, whole: ModelCard, name: str
) -> None:
    folder = stopped(student, tmp_path)
    with (folder / "checkpoints/train/checkpoint-4" / name).open("r+b") as stream:
        stream.truncate(50)
    assert train(config(student), tmp_path, EACH).fingerprint == whole.fingerprint


@pytest.mark.slow
@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.pt", "objective.pt", "trainer_state.json"])
def test_a_damaged_checkpoint_is_told(student: Path, tmp_path: Path, whole: ModelCard, name: str) -> None:
    checkpoint = stopped(student, tmp_path) / "checkpoints/train/checkpoint-4"
    (checkpoint / name).write_bytes(b"\xff" * (checkpoint / name).stat().st_size)
    with pytest.raises(StoreError, match=r"checkpoint-4 cannot be read .*delete it and run the same command again"):
        train(config(student), tmp_path, EACH)
    shutil.rmtree(checkpoint)
    assert train(config(student), tmp_path, EACH).fingerprint == whole.fingerprint


def test_too_little_memory_is_no_damaged_checkpoint(tmp_path: Path) -> None:
    from backends.trainers.trainer import reading

    with pytest.raises(torch.OutOfMemoryError), reading(tmp_path):
        raise torch.OutOfMemoryError("CUDA out of memory")


@pytest.mark.slow
def test_edited_state_is_told_and_edited_metrics_are_cleaned(student: Path, tmp_path: Path) -> None:
    folder = stopped(student, tmp_path)
    kept = (folder / "progress.json").read_text(encoding="utf-8")
    for text in ("{", "[1]", "3", "{}", kept.replace('"tokens": 0', '"tokens": "x"'), "[" * 10**5):
        (folder / "progress.json").write_text(text, encoding="utf-8")
        with pytest.raises(StoreError, match=r"progress.json is damaged: restore it"):
            train(config(student), tmp_path, EACH)
    (folder / "progress.json").write_text(kept, encoding="utf-8")
    with (folder / "metrics.jsonl").open("ab") as stream:
        stream.write(b'\xff\n3\n[1]\n{"stage": "train", "step": "x"}\n{"stage"')
    train(config(student), tmp_path, EACH)
    lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2, 3, 4, 5, 6]


@pytest.mark.slow
def test_a_second_training_of_the_same_model_keeps_out(student: Path, tmp_path: Path) -> None:
    folder = stopped(student, tmp_path)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(StoreError, match=r"another process is training .*: wait for it or stop it"):
            train(config(student), tmp_path, EACH)
    assert train(config(student), tmp_path, EACH).steps == 6
    assert sorted(path.name for path in folder.iterdir()) == ["card.json", "metrics.jsonl", "model"]


@pytest.mark.slow
def test_a_finished_model_that_is_not_whole_is_no_finished_model(student: Path, tmp_path: Path) -> None:
    told = config(student, settings={"max_steps": 1})
    folder = tmp_path / "models" / train(told, tmp_path, EACH).id
    with (folder / "model" / "model.safetensors").open("ab") as stream:
        stream.write(b"x")
    with pytest.raises(StoreError, match="are not those that its card tells of"):
        train(told, tmp_path, EACH)
    (folder / "card.json").rename(tmp_path / "card.json")
    with pytest.raises(StoreError, match=r"neither card.json nor progress.json"):
        train(told, tmp_path, EACH)
    (tmp_path / "card.json").rename(folder / "card.json")
    shutil.rmtree(folder / "model")
    with pytest.raises(PrerequisiteError, match="has a card but no model"):
        train(told, tmp_path, EACH)


@pytest.mark.slow
def test_too_little_memory_is_told_with_what_helps(
    student: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from backends.methods.sft import LikelihoodObjective

    def full(*_: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB\nmore")

    monkeypatch.setattr(LikelihoodObjective, "loss", full)
    with pytest.raises(TrainingStopped, match=r"memory ran out in stage train .*micro_batch \(now 4\)"):
        train(config(student), tmp_path, EACH)
