"""Every method whose student writes what it is trained on: it trains, resumes to the byte, and cuts as it likes."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from safetensors.torch import load_file

from backends.base import TrainMethod, load_method
from backends.config import Runtime, TrainConfig
from backends.train import train
from harness import catalog
from tests.tiny_model import write_model

pytestmark = pytest.mark.slow


def _rolls(name: str) -> bool:
    found = load_method(name)
    return isinstance(found, TrainMethod) and any(stage.rolling for stage in found.stages(found.options()))


METHODS = [name for name in sorted(catalog.entries("method")) if _rolls(name)]
OPTIONS: dict[str, dict[str, str]] = {}
"""What a method needs to be told on these data, beside rewards that any model can earn."""
EACH = Runtime(logging_steps=1, save_steps=2)


class _Killed(Exception):
    """Stands for the process dying."""


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("models")
    write_model(folder / "teacher", seed=1, context=512)
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
        data="synth:levels=1,per_level=8",
        teacher=f"hf:{student.with_name('teacher')}" if "teacher logits" in found.needs else None,
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


def killed(told: TrainConfig, results: Path, steps: int) -> None:
    """Train until so many lines are logged, and die."""
    seen = 0

    def die(progress: object) -> None:
        nonlocal seen
        seen += 1
        if seen == steps:
            raise _Killed

    with pytest.raises(_Killed):
        train(told, results, EACH, watch=die)


def test_every_parameter_moves_and_the_numbers_are_logged(trained: tuple[str, Path], student: Path) -> None:
    before, after = load_file(student / "model.safetensors"), weights(trained[1])
    assert not [name for name, value in before.items() if torch.equal(value, after[name])]
    logged = rows(trained[1])
    assert {"loss", "grad_norm", "completions", "generated", "length", "cut", "seconds/draw"} <= set(logged[-1])
    read = [row["tokens"] for row in logged]
    assert read == sorted(read) and read[0] > logged[0]["generated"]


def test_killed_and_resumed_it_ends_the_same(trained: tuple[str, Path], student: Path, tmp_path: Path) -> None:
    method, whole = trained
    killed(config(student, method), tmp_path, len(rows(whole)) - 2)
    card = train(config(student, method), tmp_path, EACH)
    assert same(tmp_path, whole)
    timed = {"tokens_per_second", "memory_mb", "seconds/draw", "seconds/mark"}
    ours, theirs = ([{k: v for k, v in row.items() if k not in timed} for row in rows(of)] for of in (tmp_path, whole))
    assert ours == theirs
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


def test_grpo_earns_more_with_every_step(student: Path, tmp_path: Path) -> None:
    settings = {"max_steps": 16, "train.max_steps": 16, "batch_size": 16, "train.batch_size": 16}
    train(config(student, "grpo", settings=settings), tmp_path, EACH)
    earned = [row["reward"] for row in rows(tmp_path)]
    assert sum(earned[-3:]) > 1.5 * sum(earned[:3]) > 0
