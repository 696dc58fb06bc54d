"""A stored run says by which command it was made."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.cli.main import entry

RUN = ("run", "--suite", "synth", "--limit", "8", "--quiet")


@pytest.fixture
def harness(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Any:
    """Run a command in this process: (exit code, stdout, stderr)."""
    monkeypatch.setenv("HARNESS_RESULTS_DIR", str(tmp_path / "results"))
    monkeypatch.delenv("HARNESS_DATA_DIR", raising=False)

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["harness", *arguments])
        with pytest.raises(SystemExit) as stop:
            entry()
        captured = capsys.readouterr()
        return int(stop.value.code or 0), captured.out, captured.err

    return call


def test_a_run_says_how_to_run_it_again_and_another_command_goes_on_with_it(harness: Any, tmp_path: Path) -> None:
    key = "sk-proj-" + "abcDEF123456" * 4
    assert harness(*RUN, "--model", "mock:gold")[0] == 0
    (spec,) = tmp_path.glob("results/runs/*/spec.json")
    del_command = {key: value for key, value in json.loads(spec.read_text()).items() if key != "command"}
    spec.write_text(json.dumps(del_command))  # as a version before wrote it
    again = (*RUN, "--model", "mock:gold", "--n", "2", "--temperature", "1", "--data-dir", f"/tmp/{key}")
    assert harness(*RUN, "--model", "mock:gold", "--data-dir", f"/tmp/{key}")[0] == 0
    assert list(tmp_path.glob("results/runs/*/spec.json")) == [spec] and key not in spec.read_text()
    out = harness("show", spec.parent.name)[1]
    assert (
        "run again: harness run --suite synth --limit 8 --quiet --model mock:gold --data-dir" in out and key not in out
    )
    assert harness(*again)[0] == 0  # another temperature: another run
    assert len(list(tmp_path.glob("results/runs/*/spec.json"))) == 2
