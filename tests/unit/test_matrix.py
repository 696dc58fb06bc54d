"""What `harness run` prints of several runs: models by suites, what is missing, and where to go on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from stored_runs import make_run

from harness.cli.main import cli
from harness.report.matrix import matrix
from harness.run.folder import list_runs


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
    assert "as a page: harness report --results-dir" in result.stderr
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


def test_runs_on_other_data_of_one_name_have_a_column_each(tmp_path: Path) -> None:
    make_run(tmp_path, "m:a", [1.0] * 8, run_id="toy-a", data_sha256="a" * 64)
    make_run(tmp_path, "m:a", [0.0] * 8, run_id="toy-b", data_sha256="b" * 64)
    table = matrix([run.result for run in list_runs(tmp_path)])
    (row,) = table.rows
    shown = {title: str(value).split()[0] for title, value in row.items() if title.startswith("toy@1")}
    assert sorted(shown.values()) == ["0.0", "100.0"] and any("data aaaaaaaa" in title for title in shown)


def test_a_total_counts_answers_once_and_is_none_of_a_part(tmp_path: Path) -> None:
    told = {"tokens_in": 1, "tokens_out": 2000, "seconds": 1.0, "cost": 0.5}
    make_run(tmp_path, "m:a", [1.0] * 8, run_id="toy-a", totals=told)
    judged = {"judge": "r@1 by j", "judging": {"judged_from": "toy-a"}, "totals": told}
    make_run(tmp_path, "m:a", [1.0] * 8, run_id="toy-a@r-j", **judged)
    make_run(tmp_path, "m:a", [1.0] * 8, suite="other", run_id="other-a", totals={**told, "cost": None})
    (row,) = matrix([run.result for run in list_runs(tmp_path)]).rows
    assert row["tokens_out"] == 4000 and row["cost"] is None
