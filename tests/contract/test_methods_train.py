"""Every method of the catalog really trains: the whole way from records to a registered model, on a tiny student."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import cast

import pytest
import torch
from safetensors.torch import load_file

from backends.base import TrainMethod, load_method
from backends.config import Runtime, TrainConfig
from backends.train import train
from harness import catalog
from tests.tiny_model import WORDS, write_model

pytestmark = pytest.mark.slow

METHODS = sorted(catalog.entries("method"))
TRAINED = [
    name
    for name in METHODS
    if isinstance(found := load_method(name), TrainMethod)
    and not any(stage.rolling for stage in found.stages(found.options()))  # tests/contract/test_on_policy_methods.py
]
OPTIONS: dict[str, dict[str, str]] = {}
"""What a method needs to be told on these data."""
DATA = {"gsrm": "synth:levels=1,per_level=8,style=long", "prm": "synth:levels=1,per_level=4"}
"""Of a method that the data of the others do not fit."""
TEACHERS = {"kd": "teacher", "uld": "other", "gld": "other"}
"""Of a method that reads a teacher's weights; "other" has another tokenizer."""


class _Killed(Exception):
    """Stands for the process dying."""


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("models")
    # One that is the student would have nothing to teach.
    write_model(folder / "teacher", seed=1, context=1024, merges=WORDS)
    write_model(
        folder / "other", seed=1, context=1024, merges=("Ġ =", "Ġ 1", "t h", "i n", "in k", "th ink"), end="</s>"
    )
    yield write_model(folder / "student", context=1024, merges=WORDS)


def config(student: Path, method: str, **more: object) -> TrainConfig:
    found = cast(TrainMethod, load_method(method))
    settings = {"batch_size": 4, "max_steps": 8, "learning_rate": 3e-3, "scheduler": "constant", "warmup": 0.0}
    settings |= {"lora_rank": None, "micro_batch": 2}
    names = [stage.name for stage in found.stages(found.options())]
    settings |= {f"{name}.{key}": value for name in names for key, value in settings.items()}  # above the paper's own
    return TrainConfig(
        method=method,
        student=f"hf:{student}",
        data=DATA.get(method, "synth:levels=1,per_level=8,positives=2,candidates=3"),
        teacher=f"hf:{student.with_name(TEACHERS[method])}" if method in TEACHERS else None,
        options=OPTIONS.get(method, {}),
        settings=settings,  # type: ignore[arg-type]
        max_length=1024,
        **more,  # type: ignore[arg-type]
    )


def weights(results: Path) -> dict[str, torch.Tensor]:
    (path,) = results.glob("models/*/model/model.safetensors")
    return load_file(path)


def rows(results: Path) -> list[dict[str, float]]:
    (path,) = results.glob("models/*/metrics.jsonl")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


EACH = Runtime(logging_steps=1, save_steps=3)


@pytest.fixture(scope="module", params=TRAINED)
def trained(
    request: pytest.FixtureRequest, student: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path]:
    results = tmp_path_factory.mktemp(request.param)
    train(config(student, request.param), results, EACH)
    return request.param, results


def test_every_parameter_moves_and_the_numbers_are_logged(trained: tuple[str, Path], student: Path) -> None:
    before, after = load_file(student / "model.safetensors"), weights(trained[1])
    still = [name for name, value in before.items() if torch.equal(value, after[name])]
    assert not still
    logged = rows(trained[1])
    assert [row["step"] for row in logged][-8:] == list(range(1, 9))
    assert {"loss", "grad_norm", "learning_rate", "tokens", "tokens_per_second", "memory_mb"} <= set(logged[-1])


def test_the_loss_falls(trained: tuple[str, Path]) -> None:
    logged = rows(trained[1])
    last = [row["loss"] for row in logged if row["stage"] == logged[-1]["stage"]]
    assert sum(last[-2:]) < sum(last[:2])


def test_killed_and_resumed_it_ends_the_same(trained: tuple[str, Path], student: Path, tmp_path: Path) -> None:
    method, whole = trained
    seen = 0

    def die(progress: object) -> None:
        nonlocal seen
        seen += 1
        if seen == len(rows(whole)) - 3:  # in the last stage, two steps after its first checkpoint
            raise _Killed

    with pytest.raises(_Killed):
        train(config(student, method), tmp_path, EACH, watch=die)
    assert not list(tmp_path.glob("models/*/card.json"))
    card = train(config(student, method), tmp_path, EACH)
    ours, theirs = weights(tmp_path), weights(whole)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert [row["loss"] for row in rows(tmp_path)] == [row["loss"] for row in rows(whole)]
    told = json.loads(next(whole.glob("models/*/card.json")).read_text())
    assert card.tokens == told["tokens"]
    assert card.spent is not None and asdict(card.spent) == told["spent"] == rows(whole)[-1]["spent"]


def test_accumulation_changes_nothing(trained: tuple[str, Path], student: Path, tmp_path: Path) -> None:
    method, two_passes = trained
    told = config(student, method)
    one = {key: 4 if key.endswith("micro_batch") else value for key, value in told.settings.items()}
    train(replace(told, settings=one), tmp_path, EACH)
    for ours, theirs in zip(rows(tmp_path), rows(two_passes), strict=True):
        # Not the weights: Adam turns the rounding of gradients that are nearly 0 into steps of full size.
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=2e-4, abs=1e-5)
        assert ours["grad_norm"] == pytest.approx(theirs["grad_norm"], rel=2e-3, abs=1e-5)


def test_gsrm_with_a_plain_schedule_is_sft_to_the_byte(student: Path, tmp_path: Path) -> None:
    paths = []
    for method, options in (("gsrm", {"schedule": "plain"}), ("sft", {})):
        told = replace(config(student, method), options=options, data=DATA["gsrm"])
        settings = {"weight_decay": 0.0, "epochs": 3.0, **told.settings}
        train(replace(told, settings=settings), tmp_path / method, EACH)
        paths += tmp_path.glob(f"{method}/models/*/model/model.safetensors")
    assert paths[0].read_bytes() == paths[1].read_bytes()
