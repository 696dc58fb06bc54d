"""The line of talk with vLLM's process, against one that only plays it; how weights are written down for it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import peft
import pytest
import torch
import transformers
from tiny_model import write_model

from backends.base import Training
from backends.rollouts.engine import Drawn, Wanted
from backends.rollouts.engine_vllm import VllmEngine
from backends.rollouts.settings import RolloutSettings
from backends.rollouts.student_weights import weights_folder, write_weights
from backends.trainers.head import add_objective_head
from harness.errors import ConfigError, ModelError, TrainingStopped
from harness.models.hf_prompt import Prompt

STUB = """
import json, os, pathlib, sys, time
told = pathlib.Path(sys.argv[1])
for line in sys.stdin:
    ((what, about),) = json.loads(line).items()
    with told.open("a") as log:
        log.write(json.dumps([what, about]) + "\\n")
    if what == "start" and (why := told.with_suffix(".refuse")).exists():
        print(json.dumps({"error": "ValueError: " + why.read_text()}), flush=True)
        sys.exit(1)
    for number, (prompt, seed) in enumerate(about if what == "draw" else ()):
        deaths = told.with_suffix(".deaths")
        if number == 1 and deaths.exists() and (left := int(deaths.read_text())):
            deaths.write_text(str(left - 1))
            if told.with_suffix(".hangs").exists():
                for _ in range(3):
                    time.sleep(0.2)
                    print(json.dumps({"alive": True}), flush=True)
                time.sleep(600)
            os._exit(9)
        ended = seed % 2 == 0
        tokens = [32 + seed % 20, 33] + [256] * ended
        row = {"number": number, "tokens": tokens, "logps": [-0.5] * len(tokens)}
        print(json.dumps({**row, "finish": "stop" if ended else "length"}), flush=True)
    print(json.dumps({"done": True}), flush=True)
"""
"""Draws two letters that the seed decides; dies in the midst of a draw as often as a file says, or then hangs."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def training(folder: Path) -> Training:
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    add_objective_head(model)
    return Training(
        model=model, tokenizer=transformers.AutoTokenizer.from_pretrained(folder), forward=lambda *_: None,
        batches=lambda: (), device=model.device, teacher=None, load=lambda spec: (None, None), examples=0,
    )  # fmt: skip


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Any]:
    engine = VllmEngine(RolloutSettings(max_new=4), 64, "float32", [sys.executable, "-c", STUB, str(tmp_path / "told")])
    yield SimpleNamespace(engine=engine, told=tmp_path / "told")
    engine.close()


WANTED = [Wanted(Prompt((1, 2, 3)), seed) for seed in range(4)]


def drawn(engine: VllmEngine) -> list[tuple[int, str, str]]:
    found: list[tuple[int, str, str]] = []
    engine.draw(WANTED, lambda number, one: found.append((number, one.text, one.finish)))
    return found


def asked(made: Any) -> list[str]:
    return [json.loads(line)[0] for line in made.told.read_text().splitlines()]


ALL = [(0, "AB", "stop"), (1, "BB", "length"), (2, "CB", "stop"), (3, "DB", "length")]


def test_tokens_go_in_and_come_out(made: Any, training: Training) -> None:
    made.engine.sync(training, 0)
    assert drawn(made.engine) == ALL
    kept: list[Drawn] = []
    made.engine.draw(WANTED[:1], lambda number, one: kept.append(one))
    assert kept[0].tokens_T.tolist() == [32, 33, 256] and kept[0].tokens_T.dtype == np.int32
    assert kept[0].logps_T.tolist() == [-0.5] * 3 and kept[0].logps_T.dtype == np.float32
    made.engine.sync(training, 1)
    assert drawn(made.engine) == ALL
    assert asked(made) == ["start", "draw", "draw", "weights", "draw"]


def test_weights_are_those_of_the_moment_and_the_older_ones_go(made: Any, training: Training) -> None:
    made.engine.sync(training, 0)
    drawn(made.engine)
    first = made.engine._weights
    with torch.no_grad():
        training.model.lm_head.weight.add_(1)
    made.engine.sync(training, 5)
    again = transformers.AutoModelForCausalLM.from_pretrained(made.engine._weights)
    assert torch.equal(again.lm_head.weight, training.model.lm_head.weight)
    assert not first.exists()
    place = made.engine._place
    made.engine.close()
    assert not place.exists()


def test_a_process_that_dies_is_replaced_once_and_nothing_comes_twice(made: Any, training: Training) -> None:
    made.engine.sync(training, 0)
    made.told.with_suffix(".deaths").write_text("1")
    assert drawn(made.engine) == ALL
    assert asked(made) == ["start", "draw", "start", "draw"]
    made.told.with_suffix(".deaths").write_text("2")
    with pytest.raises(TrainingStopped, match=r"died twice .*exit status 9.* is kept"):
        drawn(made.engine)
    assert drawn(made.engine) == ALL  # whoever tries again


def test_one_that_hangs_is_taken_for_dead_and_one_that_says_it_is_alive_is_not(
    tmp_path: Path, training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backends.rollouts.engine_vllm._PATIENCE", 0.1)
    told, silence = tmp_path / "told", {"start": 60.0, "weights": 60.0, "draw": 0.5}
    engine = VllmEngine(
        RolloutSettings(max_new=4), 64, "float32", [sys.executable, "-c", STUB, str(told)], silence=silence
    )
    made = SimpleNamespace(engine=engine, told=told)
    told.with_suffix(".hangs").touch()
    engine.sync(training, 0)
    told.with_suffix(".deaths").write_text("1")
    assert drawn(engine) == ALL
    assert asked(made) == ["start", "draw", "start", "draw"]
    told.with_suffix(".deaths").write_text("2")
    with pytest.raises(TrainingStopped, match=r"died twice .*it says nothing for 0.5 s.* is kept"):
        drawn(engine)
    engine.close()


def test_one_that_reads_nothing_is_no_reason_to_wait(training: Training, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backends.rollouts.engine_vllm._PATIENCE", 0.1)
    deaf = [sys.executable, "-c", "import time; print('{\"done\": true}', flush=True); time.sleep(600)"]
    silence = {"start": 60.0, "weights": 60.0, "draw": 0.2}
    engine = VllmEngine(RolloutSettings(max_new=4), 64, "float32", deaf, silence=silence)
    engine.sync(training, 0)
    many = [Wanted(Prompt(tuple(range(1000))), seed) for seed in range(40)]  # more than a pipe holds
    with pytest.raises(TrainingStopped, match=r"it takes nothing for 0.2 s"):
        engine.draw(many, lambda number, one: None)
    engine.close()


def test_one_that_died_between_two_steps_starts_with_the_new_weights(made: Any, training: Training) -> None:
    made.engine.sync(training, 0)
    drawn(made.engine)
    made.engine._child._process.kill()
    made.engine._child._process.wait()
    made.engine.sync(training, 1)
    assert drawn(made.engine) == ALL
    assert asked(made) == ["start", "draw", "start", "draw"]


def test_one_that_does_not_start_is_an_error_of_the_model(made: Any, training: Training) -> None:
    made.told.with_suffix(".refuse").write_text("no such\narchitecture")
    made.engine.sync(training, 0)
    with pytest.raises(ModelError, match="vLLM does not start with the student: ValueError: no such architecture"):
        drawn(made.engine)
    assert asked(made) == ["start"]


@pytest.mark.parametrize("error", [LookupError, KeyboardInterrupt])
def test_what_takes_the_sample_amiss_is_raised_and_the_next_draw_is_whole(
    error: type[BaseException], made: Any, training: Training
) -> None:
    made.engine.sync(training, 0)

    def emit(number: int, one: Drawn) -> None:
        raise error

    with pytest.raises(error):
        made.engine.draw(WANTED, emit)
    assert drawn(made.engine) == ALL


def test_closing_leaves_no_process(made: Any, training: Training) -> None:
    made.engine.sync(training, 0)
    drawn(made.engine)
    process = made.engine._child._process
    made.engine.close()
    assert process.returncode == 0
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)
    made.engine.close()


# --- weights ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tied", [False, True])
def test_an_adapter_is_added_and_the_student_stays_as_it_is(tied: bool, tmp_path: Path) -> None:
    write_model(tmp_path / "student", tie_word_embeddings=tied)
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "student", dtype=torch.float32)
    add_objective_head(model)
    config = peft.LoraConfig(r=2, init_lora_weights=False, target_modules="all-linear")
    adapted = peft.get_peft_model(model, config)
    before = {name: weight.clone() for name, weight in adapted.state_dict().items()}
    write_weights(adapted, tmp_path / "weights")
    assert all(torch.equal(before[name], weight) for name, weight in adapted.state_dict().items())
    whole = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "weights")
    ids = torch.arange(20)[None]
    with torch.no_grad():
        torch.testing.assert_close(whole(ids).logits, adapted.eval()(ids).logits, rtol=1e-4, atol=1e-4)


def test_packed_weights_are_refused(training: Training, tmp_path: Path) -> None:
    training.model.is_loaded_in_4bit = True
    with pytest.raises(ConfigError, match=r"rollout\.engine=hf"):
        write_weights(training.model, tmp_path)


def test_weights_lie_on_a_disk_where_memory_has_no_room(
    training: Training, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str | None] = []

    def make(prefix: str, dir: str | Path | None) -> str:
        made.append(None if dir is None else str(dir))
        return str(tmp_path)

    monkeypatch.setattr("backends.rollouts.student_weights.tempfile.mkdtemp", make)
    monkeypatch.setattr("backends.rollouts.student_weights._MEMORY", tmp_path)
    for free in (1 << 40, 1000):
        usage: Callable[[Path], Any] = lambda path, free=free: SimpleNamespace(free=free)  # noqa: E731
        monkeypatch.setattr("backends.rollouts.student_weights.shutil.disk_usage", usage)
        weights_folder(training.model)
    assert made == [str(tmp_path), None]
