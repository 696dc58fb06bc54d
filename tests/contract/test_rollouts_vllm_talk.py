"""GRPO with an engine in a process of its own, which transformers plays: weights arrive, resume, and the alarm."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from backends.config import Runtime, TrainConfig
from backends.rollouts.engine_vllm import VllmEngine
from backends.train import train
from backends.trainers.trainer import ObjectiveTrainer
from harness.errors import TrainingStopped
from tests.tiny_model import write_model

pytestmark = pytest.mark.slow
RUNTIME = Runtime(logging_steps=1, save_steps=1)


class _Killed(Exception):
    """Stands for the process dying."""


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TrainConfig:
    monkeypatch.setattr("backends.rollouts.planning.require_vllm", lambda: None)
    student = write_model(tmp_path / "student", context=512, tie_word_embeddings=True)
    return TrainConfig(
        method="grpo",
        student=f"hf:{student}",
        data="synth:levels=1,per_level=8",
        options={"weights": "letters=1"},
        settings={"batch_size": 8, "max_steps": 3, "learning_rate": 3e-3, "micro_batch": 4, "scheduler": "constant"},
        rollout={"group": 4, "max_new": 8, "engine": "vllm"},
        reward={"letters.right": "0.1"},
    )


def played_by(patch: pytest.MonkeyPatch, how: str) -> None:
    command = [sys.executable, "-W", "ignore", "-m", "tests.hf_child", how]
    patch.setattr("backends.trainers.setup.VllmEngine", partial(VllmEngine, command=command))


def test_killed_and_resumed_from_its_journal_it_ends_the_same(
    told: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    played_by(monkeypatch, "whole")
    whole = train(told, tmp_path / "whole", RUNTIME)
    assert whole.config["options"]["correction"] == "token_truncate"
    assert whole.final["sampler_gap"] < 1e-5 and whole.final["sampler_weight"] == pytest.approx(1, abs=1e-4)

    def at(progress: Any) -> None:
        if progress.step == 2:
            monkeypatch.setattr(ObjectiveTrainer, "_clip_grad_norm", die)

    def die(self: ObjectiveTrainer, model: Any) -> None:
        raise _Killed

    with monkeypatch.context() as patch:
        clip = ObjectiveTrainer._clip_grad_norm
        with pytest.raises(_Killed):
            train(told, tmp_path / "killed", RUNTIME, watch=at)
        patch.setattr(ObjectiveTrainer, "_clip_grad_norm", clip)
        patch.setattr(VllmEngine, "draw", lambda *_: pytest.fail("drawn again"))
        card = train(told, tmp_path / "killed", RUNTIME)
    assert card.id == whole.id and card.fingerprint == whole.fingerprint and card.spent == whole.spent


def test_an_engine_that_keeps_old_weights_ends_the_training(
    told: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    played_by(monkeypatch, "deaf")
    with pytest.raises(TrainingStopped, match=r"step 2: the sampler does not have the student's weights"):
        train(told, tmp_path, RUNTIME)
    assert list(tmp_path.glob("models/*/rollouts/train/*.npz"))  # the journal is kept
