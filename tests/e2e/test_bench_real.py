"""`harness bench` with real trainings: a random tiny model, two methods, two seeds, two steps each."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from harness.cli.main import cli

pytest.importorskip("torch")
pytest.importorskip("trl")


def bench(student: Path, results: Path, *more: str) -> Result:
    told = ["--methods", "sft,krsl", "--student", f"hf:{student}", "--data", "synth:levels=1,per_level=12"]
    training = ["--seeds", "2", "--set", "max_steps=2", "--set", "batch_size=4", "--set", "learning_rate=1e-3"]
    evaluation = ["--suite", "synth", "--limit", "6", "--max-tokens", "8", "--model-arg", "dtype=float32"]
    command = ["bench", *told, *training, *evaluation, "--results-dir", str(results), "--json", *more]
    return CliRunner().invoke(cli, command, standalone_mode=False, catch_exceptions=False)


@pytest.mark.slow
def test_two_methods_two_seeds_and_again(tmp_path: Path) -> None:
    from tiny_model import write_model

    student = write_model(tmp_path / "student", context=512)
    done = bench(student, tmp_path, "--report", str(tmp_path / "report.html"))
    assert not done.return_value, done.stderr
    shown = json.loads(done.stdout)
    assert [row["model"] for row in shown["rows"]] == ["sft", "krsl", "untrained student"]
    for row in shown["rows"]:
        assert row["measures"]["accuracy"]["n_problems"] == 6
        assert row["measures"]["tokens_out"]["value"] > 0
    assert len({training["model"] for training in shown["trainings"]}) == 4
    assert all(training["tokens"] > 0 and training["steps"] >= 2 for training in shown["trainings"])
    page = (tmp_path / "report.html").read_text()
    assert "<svg" in page and "https://" not in page

    models = {path.parent.name: path.stat().st_mtime_ns for path in tmp_path.glob("models/*/card.json")}
    again = bench(student, tmp_path)
    assert not again.return_value, again.stderr
    assert "training" not in again.stderr and "completions to make" not in again.stderr
    assert {path.parent.name: path.stat().st_mtime_ns for path in tmp_path.glob("models/*/card.json")} == models
    assert json.loads(again.stdout)["rows"] == shown["rows"]
