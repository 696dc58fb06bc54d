"""A chain that is killed in the middle goes on with the same command, and ends as one that was not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from harness.cli.main import cli

CHAIN = """
[inputs]
student = "tiny"
[[steps]]
name = "records"
data = "synth"
options = { levels = "1", per_level = 32 }
[[steps]]
name = "pupil"
train = "sft"
options = { student = "{student}", data = "{records}", budget = "1500tok" }
[[steps]]
name = "half"
merge = "merge"
options = { student = "half" }
settings = { models = ["{student}", "{pupil}"] }
[[steps]]
name = "score"
evaluate = ["synth_easy"]
models = ["{student}", "{pupil}", "{half}"]
options = { limit = 4 }
[rounds]
count = 2
steps = ["pupil"]
carry = { student = "pupil" }
"""

pytestmark = pytest.mark.slow


def outcome(*words: str) -> list[dict[str, Any]]:
    """The rows of a chain that is run to its end, in this process, which has torch and its like at hand."""
    done = CliRunner().invoke(cli, ["chain", *words, "--json", "--quiet"], standalone_mode=False)
    assert done.exception is None and not done.return_value, done.stderr
    return json.loads(done.stdout)["rows"]  # type: ignore[no-any-return]


def test_a_chain_that_is_killed_goes_on_to_the_same_end(tmp_path: Path) -> None:
    file = tmp_path / "pupils.toml"
    file.write_text(CHAIN)
    whole = outcome(str(file), "--results-dir", str(tmp_path / "whole"))
    assert [row["state"] for row in whole] == ["done"] * 5

    results = tmp_path / "results"  # a place of its own: what comes out does not depend on where the weights lie
    command = [sys.executable, "-m", "harness", "chain", str(file), "--results-dir", str(results)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 240
    while not list(results.glob("chains/pupils/pupil@1-*.json")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()

    again = outcome(str(file), "--results-dir", str(results))
    assert [row["state"] for row in again[:2]] == ["done before", "done before"]
    assert again[4]["state"] == "done"
    assert [(row["step"], row["output"], row["scores"]) for row in again] == [
        (row["step"], row["output"], row["scores"]) for row in whole
    ]
    results.rename(tmp_path / "moved")
    assert {row["state"] for row in outcome(str(file), "--results-dir", str(tmp_path / "moved"))} == {"done before"}


def test_a_packaged_chain_from_end_to_end(tmp_path: Path) -> None:
    """Equal samples of the mock teacher: two of its trainings come to one model, which is evaluated once."""
    words = ["dasd", "--results-dir", str(tmp_path)]
    given = {"student": "tiny", "teacher": "mock:gold", "train_suite": "synth_easy", "limit": "8", "budget": "500tok"}
    given |= {"suite": "synth_easy", "evaluate_limit": "2"}
    words += [word for name, value in given.items() for word in ("--set", f"{name}={value}")]
    rows = outcome(*words)
    assert [row["step"] for row in rows] == [
        "cool",
        "warm",
        "first",
        "second",
        "own",
        "ended",
        "third",
        "warm_only",
        "score",
    ]
    made = {row["step"]: row["output"] for row in rows}
    assert made["first"] == made["warm_only"] != made["second"]
    again = outcome(*words)
    assert {row["state"] for row in again} == {"done before"}
    assert {row["step"]: row["output"] for row in again} == made
