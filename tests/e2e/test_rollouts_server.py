"""A real `vllm serve` on a CPU, started as errors say: it draws for a training, and teaches. Runs in `.venv-full`."""

from __future__ import annotations

import dataclasses
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch

from backends.config import Runtime, TrainConfig
from backends.records.collate import collate
from backends.records.segments import CODE, Encoded, Example
from backends.rollouts.engine_server import ServerEngine
from backends.rollouts.server_talk import ServerSettings, start_command
from backends.teachers.server import Served, ServerTeacher
from backends.train import train
from backends.trainers.batch import as_batch
from harness.errors import ConfigError
from harness.models.vllm import find_version
from tests.e2e.rollouts_policy import NEAR, SETTINGS, draw, gap, move, policy, tokens, wanted, with_model

pytestmark = [
    pytest.mark.full,
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings("ignore"),  # the library's own, by the dozen
]

if find_version() is None:
    pytest.skip("needs the environment .venv-full", allow_module_level=True)


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_model(tmp_path_factory.mktemp("server") / "student", tied=True)


@pytest.fixture(scope="module")
def url(student: Path) -> Iterator[str]:
    """Of one server for all tests, started by the command that errors tell, on a port of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    asked = ServerSettings.of_student(policy(student).model, "float32", 512)
    setting, _, *words = shlex.split(start_command(asked, cpu=True))
    name, _, value = setting.partition("=")
    more = {name: value, "VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}
    command = [sys.executable, *words, "--host", "127.0.0.1", "--port", str(port), "--enforce-eager"]
    log = student.with_name("server.log")
    with log.open("w") as said:
        process = subprocess.Popen(
            command, stdout=said, stderr=said, env={**os.environ, **more}, start_new_session=True
        )
    try:
        for _ in range(1200):
            with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                break
            assert process.poll() is None, log.read_text()[-3000:]
            time.sleep(0.5)
        else:
            pytest.fail(f"the server does not start in ten minutes: {log.read_text()[-3000:]}")
        yield f"http://127.0.0.1:{port}"
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_it_draws_with_the_weights_of_the_moment(url: str, student: Path, tmp_path: Path) -> None:
    training = policy(student)
    settings = dataclasses.replace(SETTINGS, engine=f"server:{url}")
    with pytest.raises(ConfigError, match="--dtype is float32, not bfloat16"):
        ServerEngine(settings, 512, "bfloat16", tmp_path / "weights").sync(training, 0)
    engine = ServerEngine(settings, 512, "float32", tmp_path / "weights")
    asked, seen = wanted(training), []
    for version in range(3):
        engine.sync(training, version)
        seen.append(draw(engine, asked))
        far = gap(training, asked, seen[-1])
        print(f"server, sync {version} {far:.1e}")
        assert far <= NEAR
        assert tokens(draw(engine, asked)) == tokens(seen[-1])  # the same seeds
        move(training, version)
    assert tokens(seen[0]) != tokens(seen[1])
    assert {one.finish for one in seen[0]} <= {"stop", "length"} and all(len(one.tokens_T) for one in seen[0])
    engine.close()


def test_a_training_draws_from_it(url: str, student: Path, tmp_path: Path) -> None:
    told = TrainConfig(
        method="grpo",
        student=f"hf:{student}",
        data="synth:levels=1,per_level=8",
        options={"weights": "letters=1"},
        settings={"batch_size": 8, "max_steps": 2, "learning_rate": 3e-3, "micro_batch": 4, "lora_rank": None},
        rollout={"group": 4, "max_new": 8, "engine": f"server:{url}"},
        reward={"letters.right": "0.1"},
        max_length=512,
    )
    card = train(told, tmp_path, Runtime(logging_steps=1))
    assert card.config["options"]["correction"] == "token_truncate" and card.final["sampler_gap"] <= NEAR
    assert card.final["sampler_weight"] == pytest.approx(1, abs=1e-4)


def test_it_reads_for_a_teacher(url: str, student: Path, tmp_path: Path) -> None:
    training = policy(student)
    settings = dataclasses.replace(SETTINGS, engine=f"server:{url}")
    engine = ServerEngine(settings, 512, "float32", tmp_path / "weights")
    engine.sync(training, 0)  # whatever it drew with before
    engine.close()
    draws = np.random.default_rng(0)
    rows = [draws.integers(0, 256, size).astype(np.int32) for size in (40, 7, 300)]
    examples = [
        Example(str(n), (Encoded(ids, np.array([CODE["prompt"]] * 3 + [CODE["answer"]] * (len(ids) - 3), np.int8)),))
        for n, ids in enumerate(rows)
    ]
    batch = as_batch(collate(examples, training.tokenizer.pad_token_id))
    served = Served(url, str(student), lambda: training.tokenizer, 1)
    said = ServerTeacher(dataclasses.replace(training, teacher="hf:t", served=served), "opd", served).logps(batch, 1.0)
    with torch.no_grad():
        scores = training.model.eval()(
            input_ids=batch.inputs["input_ids"], attention_mask=batch.inputs["attention_mask"]
        )
    own = scores.logits.log_softmax(-1).gather(-1, batch.labels_RT.clamp(min=0)[..., None])[..., 0]
    far = (said - own)[batch.mask_RT].abs()
    print(f"teacher {far.mean():.1e}, at most {far.max():.1e}")  # of random tokens, each at about -15
    assert far.mean() <= NEAR and far.max() <= 1e-3
    assert not said[~batch.mask_RT].any()
