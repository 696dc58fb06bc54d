"""Every method whose student writes what it is trained on: it trains, resumes to the byte, and cuts as it likes."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from backends.base import Training, TrainMethod, load_method
from backends.config import Runtime, TrainConfig
from backends.methods._on_policy import OnPolicyObjective
from backends.records.record import write_records
from backends.records.source import load_records
from backends.rewards.total import Totals
from backends.rollouts.engine_hf import HfEngine
from backends.rollouts.journal import Journal
from backends.train import train
from backends.trainers.rolling import RollingFeed
from backends.trainers.trainer import ObjectiveTrainer
from harness import catalog
from harness.errors import ConfigError, StoreError, TrainingStopped
from tests.tiny_model import write_model

pytestmark = pytest.mark.slow


def _rolls(name: str) -> bool:
    found = load_method(name)
    return isinstance(found, TrainMethod) and any(stage.rolling for stage in found.stages(found.options()))


METHODS = [name for name in sorted(catalog.entries("method")) if _rolls(name)]
OPTIONS: dict[str, dict[str, str]] = {"sdpo": {"success": "0.02"}, "ssr": {"first": "letters=1"}}
"""What a method needs to be told on these data, beside rewards that any model can earn."""
TEACHERS = {"gold": "other"}
"""Of a method whose teacher has another tokenizer."""
DATA = "synth:levels=1,per_level=8"
EACH, ALWAYS = Runtime(logging_steps=1, save_steps=2), Runtime(logging_steps=1, save_steps=1)


class _Killed(Exception):
    """Stands for the process dying."""


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("models")
    write_model(folder / "teacher", seed=1, context=512)
    write_model(folder / "other", seed=1, context=512, merges=("Ġ =", "t h", "i n"), end="</s>")
    clean = (
        replace(one, meta={**one.meta, "clean": f"Clearly: {one.prompt[-1].content}"}) for one in load_records(DATA)
    )
    write_records(folder / "clean.jsonl", clean)
    yield write_model(folder / "student", context=512)


def config(student: Path, method: str, **more: Any) -> TrainConfig:
    found = cast(TrainMethod, load_method(method))
    settings: dict[str, Any] = {"batch_size": 8, "max_steps": 6, "learning_rate": 3e-3, "scheduler": "constant"}
    settings |= {"warmup": 0.0, "lora_rank": None, "lora_dropout": 0.0, "micro_batch": 4}
    names = [stage.name for stage in found.stages(found.options())]
    settings |= {f"{name}.{key}": value for name in names for key, value in settings.items()}  # above the paper's own
    own = {field.name for field in dataclasses.fields(found.options)}
    options = {"weights": "letters=1"} if "weights" in own else {}
    return TrainConfig(
        method=method,
        student=f"hf:{student}",
        data=str(student.with_name("clean.jsonl")) if method == "cord" else DATA,
        teacher=f"hf:{student.with_name(TEACHERS.get(method, 'teacher'))}" if "teacher logits" in found.needs else None,
        options=options | OPTIONS.get(method, {}),
        settings=settings | more.pop("settings", {}),
        rollout={"group": 4, "max_new": 8, **more.pop("rollout", {})},
        reward={"letters.right": "0.1"} if options else {},
        **more,
    )


def weights(results: Path) -> dict[str, torch.Tensor]:
    (path,) = results.glob("models/*/model/model.safetensors")
    return load_file(path)


def rows(results: Path) -> list[dict[str, float]]:
    (path,) = results.glob("models/*/metrics.jsonl")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def untimed(results: Path) -> list[dict[str, float]]:
    """What is logged, but for what depends on the clock."""
    timed = {"tokens_per_second", "memory_mb", "seconds/sync", "seconds/draw", "seconds/mark"}
    return [{name: value for name, value in row.items() if name not in timed} for row in rows(results)]


def same(one: Path, other: Path) -> bool:
    ours, theirs = weights(one), weights(other)
    return all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.fixture(scope="module", params=METHODS)
def trained(
    request: pytest.FixtureRequest, student: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path]:
    results = tmp_path_factory.mktemp(request.param)
    train(config(student, request.param), results, EACH)
    return request.param, results


def killed(told: TrainConfig, results: Path, steps: int, runtime: Runtime = EACH) -> None:
    """Train until so many lines are logged, and die."""
    seen = 0

    def die(progress: object) -> None:
        nonlocal seen
        seen += 1
        if seen == steps:
            raise _Killed

    with pytest.raises(_Killed):
        train(told, results, runtime, watch=die)


def test_every_parameter_moves_and_the_numbers_are_logged(trained: tuple[str, Path], student: Path) -> None:
    before, after = load_file(student / "model.safetensors"), weights(trained[1])
    assert not [name for name, value in before.items() if torch.equal(value, after[name])]
    logged = rows(trained[1])
    drew = [row for row in logged if "completions" in row][-1]  # not every step of every method draws
    assert {"loss", "grad_norm", "completions", "generated", "length", "cut", "seconds/draw"} <= set(drew)
    read = [row["tokens"] for row in logged]
    drawn = next(row for row in logged if "generated" in row)  # some begin with a stage on stored responses
    assert read == sorted(read) and drawn["tokens"] > drawn["generated"]


def test_killed_and_resumed_it_ends_the_same(trained: tuple[str, Path], student: Path, tmp_path: Path) -> None:
    method, whole = trained
    killed(config(student, method), tmp_path, len(rows(whole)) - 2)
    card = train(config(student, method), tmp_path, EACH)
    assert same(tmp_path, whole)
    assert untimed(tmp_path) == untimed(whole)
    assert card.tokens == json.loads(next(whole.glob("models/*/card.json")).read_text())["tokens"]


def test_accumulation_changes_nothing(trained: tuple[str, Path], student: Path, tmp_path: Path) -> None:
    method, two_passes = trained
    told = config(student, method)
    one = {key: 8 if key.endswith("micro_batch") else value for key, value in told.settings.items()}
    train(replace(told, settings=one), tmp_path, EACH)
    for ours, theirs in list(zip(rows(tmp_path), rows(two_passes), strict=True))[:2]:
        # Not the weights: Adam turns the rounding of gradients that are nearly 0 into steps of full size. Nor later
        # steps: a student that is another by rounding may draw other completions.
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=2e-4, abs=1e-5)
        assert ours["grad_norm"] == pytest.approx(theirs["grad_norm"], rel=2e-3, abs=1e-5)


TWICE = {"updates": 2}
"""Two optimiser steps a generation, so that a checkpoint may stand within one."""


@pytest.fixture(scope="module")
def twice(student: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = tmp_path_factory.mktemp("twice")
    train(config(student, "grpo", rollout=TWICE), results, ALWAYS)
    return results


def _while_drawing(patch: pytest.MonkeyPatch) -> None:
    whole = HfEngine.draw

    def draw(self: HfEngine, wanted: Any, emit: Any) -> None:
        whole(self, wanted[:5], emit)
        raise _Killed

    patch.setattr(HfEngine, "draw", draw)


def _while_judging(patch: pytest.MonkeyPatch) -> None:
    def mark(self: Totals, group: Any, scorers: Any) -> Any:
        raise _Killed

    patch.setattr(Totals, "mark", mark)


def _after_drawing(patch: pytest.MonkeyPatch) -> None:
    def write(self: Journal, *_: Any) -> None:
        raise _Killed

    patch.setattr(Journal, "write_marked", write)


def _in_the_update(patch: pytest.MonkeyPatch) -> None:
    def clip(self: ObjectiveTrainer, model: Any) -> None:
        raise _Killed

    patch.setattr(ObjectiveTrainer, "_clip_grad_norm", clip)


def _while_a_checkpoint_is_written(patch: pytest.MonkeyPatch) -> None:
    def save(self: ObjectiveTrainer, model: Any, trial: Any) -> None:
        (Path(self._get_output_dir(trial)) / f"checkpoint-{self.state.global_step}").mkdir(parents=True)
        raise _Killed

    patch.setattr(ObjectiveTrainer, "_save_checkpoint", save)


@pytest.mark.parametrize("after", [2, 3], ids=["between generations", "within a generation"])
@pytest.mark.parametrize(
    "how", [_while_drawing, _while_judging, _after_drawing, _in_the_update, _while_a_checkpoint_is_written]
)
def test_it_ends_the_same_wherever_it_is_killed(
    how: Any, after: int, student: Path, twice: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = config(student, "grpo", rollout=TWICE)

    def die(progress: Any) -> None:
        if progress.step == after:
            how(monkeypatch)

    with pytest.raises(_Killed):
        train(told, tmp_path, ALWAYS, watch=die)
    monkeypatch.undo()
    card = train(told, tmp_path, ALWAYS)
    assert same(tmp_path, twice) and untimed(tmp_path) == untimed(twice)
    whole = json.loads(next(twice.glob("models/*/card.json")).read_text())
    assert dataclasses.asdict(card)["spent"] == whole["spent"]


def test_a_sampler_is_held_against_the_student_that_drew_alone(student: Path, tmp_path: Path) -> None:
    """Without a ratio nobody reads what the student was, and a second update is no gap."""
    train(replace(config(student, "gkd", rollout=TWICE), options={"lam": "1"}), tmp_path, EACH)
    assert ["sampler_gap" in row for row in rows(tmp_path)] == [True, False] * 3


def test_the_largest_ratio_is_that_of_a_generations_second_update(twice: Path) -> None:
    logged = [(row["ratio"], row["ratio_max"]) for row in rows(twice)]
    assert logged[::2] == [(1.0, 1.0)] * 3 and all(most >= mean for mean, most in logged)
    assert max(most for _, most in logged[1::2]) > 1.1


ALONE = """
import sys
from pathlib import Path
from backends.train import train
from tests.contract.test_on_policy_methods import ALWAYS, TWICE, config
train(config(Path(sys.argv[1]), "grpo", rollout=TWICE), Path(sys.argv[2]), ALWAYS)
"""


@pytest.mark.parametrize("part", ["drawn", "marked"])
def test_a_process_that_is_killed_leaves_what_the_next_one_needs(
    part: str, student: Path, twice: Path, tmp_path: Path
) -> None:
    root = Path(__file__).resolve().parents[2]
    path = os.pathsep.join([str(root), str(root / "tests"), *sys.path])
    process = subprocess.Popen(
        [sys.executable, "-c", ALONE, str(student), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": path, "HF_HUB_OFFLINE": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 200
    while not list(tmp_path.glob(f"models/*/rollouts/train/000001.0of1.{part}.jsonl")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.002)
    process.kill()
    process.wait()
    train(config(student, "grpo", rollout=TWICE), tmp_path, ALWAYS)
    assert same(tmp_path, twice) and untimed(tmp_path) == untimed(twice)


def test_a_journal_without_the_generation_that_is_begun_is_one_line(student: Path, tmp_path: Path) -> None:
    told = config(student, "grpo", rollout=TWICE)
    killed(told, tmp_path, 4, ALWAYS)  # step 4 is logged and not saved: the checkpoint is within the second generation
    for path in tmp_path.glob("models/*/rollouts/train/000001*"):
        path.unlink()
    with pytest.raises(StoreError, match="lost generation 1"):
        train(told, tmp_path, ALWAYS)


def test_texts_stay_and_arrays_go_unless_told_otherwise(student: Path, twice: Path, tmp_path: Path) -> None:
    assert {path.suffix for path in twice.glob("models/*/rollouts/train/*")} == {".jsonl"}
    train(config(student, "grpo"), tmp_path, Runtime(keep_rollouts="none"))
    assert not list(tmp_path.glob("models/*/rollouts/train/*"))


@pytest.mark.parametrize("method", ["grpo", "gkd", "tsd_kd"])
def test_a_sampler_with_other_weights_ends_the_training(
    method: str, student: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, drawn = HfEngine.draw, 0

    def draw(self: HfEngine, wanted: Any, emit: Any) -> None:
        nonlocal drawn
        drawn += 1
        far = np.float32(0.3 if drawn == 3 else 0)
        whole(self, wanted, lambda number, one: emit(number, replace(one, logps_T=one.logps_T - far)))

    monkeypatch.setattr(HfEngine, "draw", draw)
    with pytest.raises(TrainingStopped, match=r"step 3: the sampler does not have the student's weights.*kept"):
        train(config(student, method), tmp_path, EACH)
    assert [row["sampler_gap"] < 1e-5 for row in rows(tmp_path)] == [True, True]
    assert list(tmp_path.glob("models/*/rollouts/train/*")) and list(tmp_path.glob("models/*/checkpoints/*/*"))


@pytest.mark.parametrize("dropout", [0.0, 0.1], ids=["", "dropout"])
def test_in_bfloat16_no_sampler_is_suspected(dropout: float, student: Path, tmp_path: Path) -> None:
    """With dropout as well, where the loss weighs no ratio."""
    method, settings = ("gkd" if dropout else "grpo"), {"lora_rank": 4, "lora_dropout": dropout}
    settings |= {f"train.{name}": value for name, value in settings.items()}
    train(replace(config(student, method, settings=settings), precision="bf16"), tmp_path, EACH)
    assert len(rows(tmp_path)) == 6 and max(row["sampler_gap"] for row in rows(tmp_path)) > 1e-4


def test_grpo_earns_more_with_every_step(student: Path, tmp_path: Path) -> None:
    settings = {"max_steps": 16, "train.max_steps": 16, "batch_size": 16, "train.batch_size": 16}
    train(config(student, "grpo", settings=settings), tmp_path, EACH)
    earned = [row["reward"] for row in rows(tmp_path)]
    assert sum(earned[-3:]) > 1.5 * sum(earned[:3]) > 0


def test_rlkd_without_the_structure_is_grpo_to_the_byte(student: Path, tmp_path: Path) -> None:
    rollout = {"temperature": 1.0}
    rule = {"letters.right": "0.1", "structure.gsrm": "rule:equations"}
    rlkd = config(student, "rlkd", rollout=rollout)
    rlkd = replace(rlkd, options={"weights": "letters=1+structure=0", "kl_coef": "0"}, reward=rule)
    train(replace(rlkd, settings={**rlkd.settings, "max_grad_norm": 1.0}), tmp_path / "rlkd", EACH)
    grpo = config(student, "grpo", rollout=rollout)
    train(replace(grpo, settings={**grpo.settings, "max_grad_norm": 1.0}), tmp_path / "grpo", EACH)
    one, other = (next((tmp_path / name).glob("models/*/model/model.safetensors")) for name in ("rlkd", "grpo"))
    assert one.read_bytes() == other.read_bytes()
    assert {"reward/structure", "reward/structure.match"} <= set(rows(tmp_path / "rlkd")[-1])


def test_an_objective_that_refuses_ends_what_marks(
    student: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the graders' threads keep the process from ending."""
    closed, close = [], RollingFeed.close
    monkeypatch.setattr(RollingFeed, "close", lambda self: closed.append(close(self)))

    def refuse(objective: OnPolicyObjective, training: Training) -> None:
        raise ConfigError("not with this student")

    monkeypatch.setattr(OnPolicyObjective, "setup", refuse)
    with pytest.raises(ConfigError, match="not with this student"):
        train(config(student, "grpo"), tmp_path)
    assert len(closed) == 1
