"""A student that is trained draws with the real vLLM on a CPU: its weights arrive. Runs in `.venv-full`."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backends.base import Training
from backends.config import Runtime, TrainConfig
from backends.rollouts.engine_vllm import COMMAND, VllmEngine
from backends.rollouts.sampler_gap import SamplerGap
from backends.train import train
from backends.trainers.trainer import ObjectiveTrainer
from harness.models.vllm import find_version
from tests.e2e.rollouts_policy import NEAR, SETTINGS, draw, gap, move, policy, tokens, wanted, with_model

pytestmark = [
    pytest.mark.full,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore"),  # the library's own, by the dozen
]

if find_version() is None:
    pytest.skip("needs the environment .venv-full", allow_module_level=True)

FAULTY = """
import pathlib, sys
from backends.rollouts import vllm_child, vllm_worker
fault, whole = pathlib.Path(sys.argv[1]), vllm_worker.Weights.take_weights
def take(self, folder):
    if fault.read_text() == "plain reload":
        self.model_runner.reload_weights(weights_path=folder)
    else:
        whole(self, folder)
vllm_worker.Weights.take_weights = take
both = vllm_child.VllmDraws.take
def took(self, folder):
    reset = self._engine.reset_prefix_cache
    if fault.read_text() == "kept cache":
        self._engine.reset_prefix_cache = lambda: True
    both(self, folder)
    self._engine.reset_prefix_cache = reset
vllm_child.VllmDraws.take = took
vllm_child.main()
"""
"""The process as it is, until a file asks for a fault."""


@pytest.fixture(autouse=True)
def cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture
def tied(tmp_path: Path) -> Iterator[tuple[Training, VllmEngine, Path]]:
    fault = tmp_path / "fault"
    fault.write_text("none")
    engine = VllmEngine(SETTINGS, 512, "float32", [*COMMAND[:3], FAULTY, str(fault)])
    yield policy(with_model(tmp_path / "student", tied=True)), engine, fault
    engine.close()


def test_weights_arrive_and_faults_are_seen(tied: tuple[Training, VllmEngine, Path]) -> None:
    training, engine, fault = tied
    asked, alarm = wanted(training), SamplerGap()
    engine.sync(training, 0)
    first = draw(engine, asked)
    print(f"tied, first {gap(training, asked, first):.1e}")
    assert alarm.see(gap(training, asked, first)) is None
    assert gap(training, asked, first) <= NEAR
    assert tokens(draw(engine, asked)) == tokens(first)  # the same seeds
    assert {one.finish for one in first} <= {"stop", "length"} and all(len(one.tokens_T) for one in first)
    for version in (1, 2):
        move(training, version)
        engine.sync(training, version)
        drawn = draw(engine, asked)
        print(f"tied, sync {version} {gap(training, asked, drawn):.1e}")
        assert gap(training, asked, drawn) <= NEAR
        assert tokens(drawn) != tokens(first)
    for version, name in ((3, "plain reload"), (4, "kept cache")):
        fault.write_text(name)
        move(training, version)
        engine.sync(training, version)
        far = gap(training, asked, draw(engine, asked))
        print(f"tied, {name} {far:.1e}")
        assert "does not have the student's weights" in str(replace(alarm).see(far))
        fault.write_text("none")
        engine.sync(training, version)
        assert gap(training, asked, draw(engine, asked)) <= NEAR
    many = wanted(training, prompts=75)
    assert len(draw(engine, many)) == 300  # seeded, more than are drawn at once
    before = draw(engine, asked)
    os.kill(engine._child._process.pid, signal.SIGKILL)  # type: ignore[union-attr]
    after = draw(engine, asked)  # another process, the same weights
    assert tokens(after) == tokens(before)
    assert all(np.array_equal(one.logps_T, other.logps_T) for one, other in zip(after, before, strict=True))
    process, place = engine._child._process, engine._place  # type: ignore[union-attr]
    engine.close()
    assert process.returncode == 0 and place is not None and not place.exists()
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)


def test_an_untied_head_arrives_too(tmp_path: Path) -> None:
    training = policy(with_model(tmp_path / "student", tied=False))
    engine = VllmEngine(SETTINGS, 512, "float32")
    asked = wanted(training)
    try:
        for version in range(3):
            engine.sync(training, version)
            far = gap(training, asked, draw(engine, asked))
            print(f"untied, sync {version} {far:.1e}")
            assert far <= NEAR
            move(training, version)
    finally:
        engine.close()


class _Killed(Exception):
    """Stands for the process dying."""


def test_grpo_killed_and_resumed_from_its_journal_gives_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    student = with_model(tmp_path / "student", tied=True)
    told = TrainConfig(
        method="grpo",
        student=f"hf:{student}",
        data="synth:levels=1,per_level=8",
        options={"weights": "letters=1"},
        settings={"batch_size": 8, "max_steps": 3, "learning_rate": 3e-3, "micro_batch": 4, "lora_rank": None},
        rollout={"group": 4, "max_new": 8, "engine": "vllm"},
        reward={"letters.right": "0.1"},
    )
    runtime = Runtime(logging_steps=1, save_steps=1)
    whole = train(told, tmp_path / "whole", runtime)
    assert whole.config["options"]["correction"] == "token_truncate" and whole.final["sampler_gap"] <= NEAR
    assert whole.final["sampler_weight"] == pytest.approx(1, abs=1e-4)

    def die(self: ObjectiveTrainer, model: Any) -> None:
        raise _Killed

    def at(progress: Any) -> None:
        if progress.step == 2:
            monkeypatch.setattr(ObjectiveTrainer, "_clip_grad_norm", die)

    with pytest.raises(_Killed):
        train(told, tmp_path / "killed", runtime, watch=at)
    monkeypatch.undo()
    monkeypatch.setattr(VllmEngine, "draw", lambda *_: pytest.fail("drawn again"))
    card = train(told, tmp_path / "killed", runtime)
    assert card.id == whole.id and card.fingerprint == whole.fingerprint and card.spent == whole.spent
