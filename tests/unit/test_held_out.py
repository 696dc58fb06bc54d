"""Prompts that are looked at and never trained on: accuracy meanwhile, early stopping, the best weights."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from objective_steps import Student, record
from safetensors.torch import load_file

from backends.base import Rolling, Training
from backends.config import Runtime, TrainConfig
from backends.plan import plan_training
from backends.records.segments import Encoder
from backends.rollouts.engine import Drawn, Emit, Wanted
from backends.rollouts.held_out import HeldOut
from backends.rollouts.settings import RolloutSettings
from backends.rollouts.source import RolloutSource
from backends.rollouts.types import RolloutGroup, RolloutMark
from backends.train import train
from harness.errors import ConfigError, DataError, StoreError
from tests.tiny_model import write_model

EACH = Runtime(logging_steps=1, save_steps=1)


# --- the looks --------------------------------------------------------------------------------------------------------


class Told:
    """Writes one token for everything."""

    def __init__(self) -> None:
        self.seeds: list[list[int]] = []

    def sync(self, policy: Training, version: int) -> None: ...

    def draw(self, wanted: Sequence[Wanted], emit: Emit) -> None:
        self.seeds.append([one.seed for one in wanted])
        for number in reversed(range(len(wanted))):
            emit(number, Drawn(np.array([65], np.int32), np.zeros(1, np.float32), "A", "stop"))

    def close(self) -> None: ...


def held_out(
    folder: Path, accuracies: list[float | None], engine: Told | None = None, **told: Any
) -> tuple[HeldOut, Any]:
    """Looks that will find these accuracies, of four prompts, and the policy that is looked at."""
    student = Student(folder / "model")
    source = RolloutSource(
        stage="train", rolling=Rolling(lambda groups, step: []), settings=RolloutSettings(held_out=4, **told),
        prompts=1, records=(), encoder=Encoder(student.tokenizer, 100), seed=0, accumulation=1,
    )  # fmt: skip
    found = iter([right for a in accuracies for right in ([None] * 4 if a is None else [n < 4 * a for n in range(4)])])

    def mark(group: RolloutGroup) -> tuple[RolloutMark, ...]:
        return (RolloutMark(None, correct=next(found)),)

    made = HeldOut(source, [record(n) for n in range(4)], engine or Told(), mark, folder / "checkpoints")
    return made, student.training(())


def test_looks_draw_the_same_completions_so_that_weights_alone_differ(tmp_path: Path) -> None:
    engine = Told()
    looks, policy = held_out(tmp_path, [0.25, 0.5], engine)
    assert [looks.look(step, policy)["dev/accuracy"] for step in (0, 10)] == [0.25, 0.5]
    assert engine.seeds[0] == engine.seeds[1] and len(set(engine.seeds[0])) == 4
    assert [step for step in range(25) if looks.due(step)] == [0, 10, 20]


def test_what_a_scorer_fails_at_is_no_wrong_answer(tmp_path: Path) -> None:
    looks, policy = held_out(tmp_path, [None])
    assert looks.look(0, policy) == {}


@pytest.mark.parametrize(
    ("accuracies", "ends", "best"),
    [([0.25, 0.5, 0.5, 0.25], 3, 1), ([0.5, 0.25, 0.25], 2, 0), ([0.0, 0.25, 0.0, 0.5, 0.0, 0.25], 5, 3)],
)
def test_patience_ends_it_and_the_best_weights_come_back(
    tmp_path: Path, accuracies: list[float], ends: int, best: int
) -> None:
    looks, policy = held_out(tmp_path, [*accuracies, 0.0], patience=2)
    weight = next(policy.model.parameters())
    stopped = []
    for step in range(len(accuracies)):
        with torch.no_grad():
            weight.fill_(float(step))
        looks.look(step, policy)
        stopped.append(looks.stopped)
    assert stopped.index(True) == ends
    assert looks.settle(99, policy) == {"dev/accuracy": max(accuracies), "dev/best_step": float(best)}
    assert float(weight.flatten()[0].detach()) == best


def test_the_last_weights_may_be_the_best(tmp_path: Path) -> None:
    looks, policy = held_out(tmp_path, [0.25, 0.75], patience=2)
    looks.look(0, policy)
    with torch.no_grad():
        next(policy.model.parameters()).fill_(7.0)
    assert looks.settle(9, policy)["dev/best_step"] == 9.0
    assert float(next(policy.model.parameters()).flatten()[0].detach()) == 7.0


def test_weights_that_are_gone_are_one_clear_error(tmp_path: Path) -> None:
    looks, policy = held_out(tmp_path, [0.75, 0.25], patience=2)
    looks.look(0, policy)
    (tmp_path / "checkpoints" / "best.safetensors").write_bytes(b"x")
    with pytest.raises(StoreError, match="best weights so far"):
        looks.settle(9, policy)


# --- in a training ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("held_out") / "student", context=512)


def config(student: Path, **rollout: Any) -> TrainConfig:
    return TrainConfig(
        method="grpo",
        student=f"hf:{student}",
        data="synth:levels=1,per_level=8",
        settings={"batch_size": 8, "micro_batch": 8, "max_steps": 6, "lora_rank": None, "learning_rate": 3e-3},
        options={"weights": "letters=1"},
        rollout={"group": 4, "max_new": 8, "held_out": 3, "look_every": 1, **rollout},
        max_length=512,
    )


def rows(results: Path) -> list[dict[str, Any]]:
    (path,) = results.glob("models/*/metrics.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_early_stopping_ends_a_training_and_gives_back_the_best(student: Path, tmp_path: Path) -> None:
    """Random weights are never right: the untrained student is the best that was looked at, and comes back."""
    card = train(config(student, patience=2), tmp_path, EACH)
    assert (card.stopped, card.steps) == ("early stopping", 3)
    assert card.final["dev/accuracy"] == 0.0 and card.final["dev/best_step"] == 0.0
    after = load_file(tmp_path / "models" / card.id / "model" / "model.safetensors")
    before = load_file(student / "model.safetensors")
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert [row["dev/accuracy"] for row in rows(tmp_path)] == [0.0] * 3
    plan = plan_training(config(student), tmp_path)
    (stage,) = plan.stages
    assert stage.rolled is not None
    assert len(stage.rolled.records) == 5 and len(stage.rolled.held_out) == 3


def test_killed_and_resumed_it_ends_the_same(student: Path, tmp_path: Path) -> None:
    told = config(student, patience=4)

    def die(now: Any) -> None:
        if now.step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(told, tmp_path / "killed", EACH, watch=die)
    cards = [train(told, tmp_path / name, EACH) for name in ("killed", "whole")]
    ours, theirs = ({k: v for k, v in card.final.items() if "seconds/" not in k} for card in cards)
    assert ours == theirs and cards[0].spent == cards[1].spent and cards[0].steps == cards[1].steps == 5
    assert cards[0].fingerprint == cards[1].fingerprint


def test_without_patience_it_only_looks(student: Path, tmp_path: Path) -> None:
    card = train(config(student, look_every=4), tmp_path, EACH)
    assert (card.stopped, card.steps) == ("finished", 6)
    assert [row["step"] for row in rows(tmp_path) if "dev/accuracy" in row] == [1, 5]
    assert card.final["dev/accuracy"] == 0.0 and "dev/best_step" not in card.final


def test_what_cannot_be_held_out_is_refused(student: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="leaves none of 8 records"):
        plan_training(config(student, held_out=8), tmp_path)
    with pytest.raises(ConfigError, match="patience is with held_out"):
        plan_training(config(student, held_out=0, patience=2), tmp_path)
