"""What could not be saved when a training is over is found before it starts; half a checkpoint never stays."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import transformers
from safetensors import SafetensorError
from test_train import EACH, config

from backends.plan import describe, plan_training
from backends.train import train
from backends.trainers.writing import writing
from harness.errors import ModelError, PrerequisiteError, StoreError, TrainingStopped
from harness.models.hf_saving import savable
from tests.tiny_model import write_model


@pytest.fixture
def student(tmp_path: Path) -> Path:
    return write_model(tmp_path / "student", context=1024)


CONTRADICTIONS: list[dict[str, Any]] = [
    {"do_sample": False, "temperature": 0.6},
    {"temperature": 0.6, "top_p": 0.95},
    {"do_sample": False, "top_k": 20, "top_p": 0.8, "min_p": 0.1},
    {"num_beams": 1, "length_penalty": 2.0},
    {"early_stopping": True},
    {"pad_token_id": -1},
    {"output_scores": True},
    {"use_cache": False, "cache_implementation": "static"},
    {"do_sample": False, "epsilon_cutoff": 0.1, "eta_cutoff": 0.1, "typical_p": 0.5},
]
SOUND: list[dict[str, Any]] = [
    {},
    {"do_sample": True, "temperature": 0.6, "top_p": 0.95},
    {"max_length": 200, "repetition_penalty": 1.1},
    {"num_beams": 4, "early_stopping": True},
    {"eos_token_id": [256, 3]},
]


@pytest.mark.parametrize("values", CONTRADICTIONS)
def test_a_generation_config_that_contradicts_itself_is_made_savable(tmp_path: Path, values: dict[str, Any]) -> None:
    base = transformers.GenerationConfig(eos_token_id=[7, 9], bos_token_id=1, **values)
    with pytest.raises(ValueError):
        base.save_pretrained(tmp_path)
    found, dropped = savable(base)
    assert dropped and found.eos_token_id == [7, 9] and found.bos_token_id == 1
    found.save_pretrained(tmp_path)
    assert all(name.partition("=")[0] in values for name in dropped)


@pytest.mark.parametrize("values", SOUND)
def test_a_sound_generation_config_stays_as_it_is(values: dict[str, Any]) -> None:
    base = transformers.GenerationConfig(**values)
    assert savable(base) == (base, [])


def test_the_plan_says_what_will_be_left_out(student: Path, tmp_path: Path) -> None:
    path = student / "generation_config.json"
    path.write_text(json.dumps({"do_sample": False, "temperature": 0.6, "eos_token_id": 256}))
    plan = plan_training(config(student), tmp_path)
    assert len(plan.notes) == 1 and "temperature=0.6 is left out" in plan.notes[0] and plan.notes[0] in describe(plan)
    assert plan_training(config(student, settings={"lora_rank": 2}), tmp_path).notes == ()
    path.write_text(json.dumps({"eos_token_id": 256}))
    assert plan_training(config(student), tmp_path).notes == ()


@pytest.mark.parametrize(
    "text", ['{"max_new_tokens": 0}', "[1]", '{"early_stopping": "perhaps"}', '{"a": ', "\x00\xff"]
)
def test_a_generation_config_that_cannot_be_read_is_an_error_of_the_plan(
    student: Path, tmp_path: Path, text: str
) -> None:
    (student / "generation_config.json").write_text(text)
    with pytest.raises(PrerequisiteError) as caught:
        plan_training(config(student), tmp_path)
    assert "generation config" in str(caught.value) and "\n" not in str(caught.value)


def test_a_tokenizer_that_cannot_be_written_is_an_error_of_the_plan(
    student: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any, **more: Any) -> None:
        raise NotImplementedError("no slow tokenizer")

    monkeypatch.setattr(transformers.PreTrainedTokenizerFast, "save_pretrained", refuse)
    with pytest.raises(ModelError, match="its tokenizer cannot be read and written"):
        plan_training(config(student, settings={"lora_rank": 2}), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("use_cache", [True, False, None])
def test_a_full_training_of_such_a_base_ends_with_a_model(
    student: Path, tmp_path: Path, use_cache: bool | None
) -> None:
    values = {"do_sample": False, "temperature": 0.6, "top_p": 0.9, "eos_token_id": 256}
    (student / "generation_config.json").write_text(json.dumps(values))
    base = json.loads((student / "config.json").read_text())
    base.pop("use_cache", None)
    (student / "config.json").write_text(json.dumps(base | ({} if use_cache is None else {"use_cache": use_cache})))
    card = train(config(student, settings={"max_steps": 2}), tmp_path, EACH)
    saved = tmp_path / "models" / card.id / "model"
    before = json.loads((student / "config.json").read_text())
    after = json.loads((saved / "config.json").read_text())
    assert after.get("use_cache", True) == before.get("use_cache", True)
    assert transformers.GenerationConfig.from_pretrained(saved).eos_token_id == 256


def test_the_modules_of_an_adapter_are_written_in_one_order(student: Path, tmp_path: Path) -> None:
    """A set of texts has another order in every process: the same training would write other bytes."""
    settings = {"max_steps": 1, "lora_rank": 2, "lora_targets": "all-linear"}
    card = train(config(student, settings=settings), tmp_path, EACH)
    written = json.loads((tmp_path / "models" / card.id / "model" / "adapter_config.json").read_text())
    modules = written["target_modules"]
    assert len(modules) > 6 and modules == sorted(modules)


RAISED = [
    (OSError(28, "No space left on device"), StoreError),
    (RuntimeError("[enforce fail at inline_container.cc:664] . PytorchStreamWriter failed writing file"), StoreError),
    (SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"), StoreError),
    (RuntimeError("some tensors share memory"), StoreError),
    (ValueError("temperature is set\nFix these issues"), StoreError),
    (NotImplementedError("x"), StoreError),
    (AttributeError("x"), StoreError),
    (RecursionError("x"), StoreError),
    (AssertionError("x"), StoreError),
    (MemoryError("x"), MemoryError),
    (TrainingStopped("x"), TrainingStopped),
    (KeyboardInterrupt(), KeyboardInterrupt),
    (SystemExit(3), SystemExit),
    (GeneratorExit(), GeneratorExit),
]


@pytest.mark.parametrize(("raised", "seen"), RAISED, ids=lambda value: getattr(value, "__name__", repr(value)))
def test_nothing_half_written_stays_whatever_is_raised(
    tmp_path: Path, raised: BaseException, seen: type[BaseException]
) -> None:
    folder = tmp_path / "half"
    with pytest.raises(seen) as caught, writing(folder, "the last one is kept"):
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(b"x")
        raise raised
    assert not folder.exists()
    if seen is StoreError:
        assert "the last one is kept" in str(caught.value) and "\n" not in str(caught.value)
        assert ("Make room" in str(caught.value)) == ("No space" in str(raised) or "writing file" in str(raised))
