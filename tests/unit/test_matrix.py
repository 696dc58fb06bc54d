"""What `harness run` prints of several runs: models by suites, what is missing, and where to go on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from harness.cli.main import cli


def run(results: Path, *words: str) -> Result:
    told = ["run", "--suite", "synth_easy,synth_choice", "--limit", "6", "--results-dir", str(results), *words]
    result = CliRunner().invoke(cli, told)
    assert result.exit_code == 0, result.output
    return result


MODELS = ("--model", "mock:gold", "--model", "mock:wrong", "--model", "mock:garbled")


def test_models_stand_below_each_other_and_suites_beside(tmp_path: Path) -> None:
    result = run(tmp_path, *MODELS)
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["model", "synth_easy", "synth_choice", "tokens", "total"]
    assert lines[2].split()[:5] == ["mock:gold", "100.0", "[54.1,", "100.0]", "a"]
    assert [line.split()[0] for line in lines[2:5]] == ["mock:gold", "mock:wrong", "mock:garbled"]
    assert "synth_choice, mock:garbled: 6 no answer of 6" in result.stdout and "a letter are tied" in result.stdout
    assert "6 runs: harness list runs --results-dir" in result.stderr
    assert "next: harness compare synth_easy-6p-mock-gold-" in result.stderr
    assert "next" not in run(tmp_path, *MODELS, "--quiet").stderr


def test_details_and_machines_get_every_metric(tmp_path: Path) -> None:
    run(tmp_path, *MODELS)
    assert "tokens_out [tok]" in run(tmp_path, *MODELS, "--details").stdout
    rows = json.loads(run(tmp_path, *MODELS, "--json").stdout)["rows"]
    assert len({(row["suite"], row["model"]) for row in rows}) == 6 and len(rows) > 6


@pytest.mark.parametrize("suite", ["synth_easy"])
def test_one_run_is_shown_whole_with_its_id(tmp_path: Path, suite: str) -> None:
    words = ["run", "--suite", suite, "--limit", "2", "--model", "mock:gold", "--results-dir", str(tmp_path)]
    result = CliRunner().invoke(cli, words)
    assert "tokens_out [tok]" in result.stdout
    (folder,) = (tmp_path / "runs").iterdir()
    assert f"next: harness show {folder.name} --results-dir" in result.stderr


def test_a_comparison_shows_what_was_asked_and_what_each_answered(tmp_path: Path) -> None:
    run(tmp_path, *MODELS)
    words = ["compare", "mock:gold", "mock:wrong", "--show", "1", "--results-dir", str(tmp_path)]
    lines = CliRunner().invoke(cli, words).stdout.splitlines()
    (head,) = [number for number, line in enumerate(lines) if line.startswith("synth_easy: ")]
    titles, flip = lines[head + 1], lines[head + 3]
    assert "first's answer  second's answer  question" in titles
    _, before, after, change, ours, theirs, *question = flip.split()
    assert (before, after, change) == ("100", "0", "-100.0") and ours != theirs and len(question) > 3
    rows = json.loads(CliRunner().invoke(cli, [*words, "--json"]).stdout)["rows"]
    assert rows[0]["flips"][0]["problem_id"]
