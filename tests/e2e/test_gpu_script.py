"""`make gpu` with a toy model on the CPU: every part still runs, and one that hangs or fails takes none with it."""

from __future__ import annotations

import json
import multiprocessing
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("trl", reason="needs the extra train")

from benchmarks.gpu.parts import METHODS, PARTS
from benchmarks.gpu.running import Numbers, Part, Place, run_part

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.timeout(1100)  # beside other load; alone it is under a minute
def test_every_part_runs(tmp_path: Path) -> None:
    report = tmp_path / "gpu.json"
    command = [sys.executable, "-m", "benchmarks.gpu", "--device", "cpu", "--tiny", "--json", str(report)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=1000, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    parts = json.loads(report.read_text())["parts"]
    assert list(parts) == [part.name for part in PARTS]
    statuses = {name: part["status"] for name, part in parts.items()}
    for name in ("vllm", "rollouts vllm"):
        assert statuses.pop(name) in ("ok", "skipped")
    assert set(statuses.values()) == {"ok"}
    assert parts["tests"]["numbers"]["skipped"] + parts["tests"]["numbers"]["passed"] > 0
    assert parts["hf"]["numbers"]["seeds decide"] is True
    for side in ("tokens/s", "raw tokens/s"):
        assert parts["hf"]["numbers"][side] > 0
    for name in ("trl", "trl pairs", *METHODS):
        assert parts[f"step {name}"]["numbers"]["s/step"] > 0
    for method in ("grpo", "opd"):
        assert parts["rollouts"]["numbers"][f"{method} s/step"] > 0
        assert parts["rollouts"]["numbers"][f"{method} sampler gap"] < 0.1
    assert parts["step krsl"]["against"] == "step trl pairs"
    assert {"sft", "emo", "thinkanswer", "krsl"} < set(parts["demo"]["numbers"])
    assert "vLLM" in done.stdout, "what was skipped says why"


def fails(place: Place) -> Numbers:
    raise ValueError("no such luck")


def hangs(place: Place) -> Numbers:
    time.sleep(600)
    return {}


def test_a_part_that_fails_or_hangs_is_told(tmp_path: Path) -> None:
    place, fork = Place(tmp_path, "cpu", True, sys.executable), multiprocessing.get_context("fork")
    failed = run_part(fork, Part("one", 60, fails), place, 60)
    assert (failed.status, failed.why) == ("failed", "exit code 1")
    late = run_part(fork, Part("two", 1, hangs), place, 1)
    assert (late.status, late.why) == ("timed out", "not done after 1 s")
    assert run_part(fork, Part("three", 1, hangs), place, -1).status == "timed out"
