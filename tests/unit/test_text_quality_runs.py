"""Runs over files of texts: every number of a labelled file, the one of an unlabelled file, labels from a teacher."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.cli.main import entry
from harness.grading.indicators import INDICATORS
from harness.run.folder import RunFolder
from harness.run.result import RunResult

Call = Callable[..., tuple[int, str, str]]
COUNT = 40


@pytest.fixture
def harness(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Call:
    """Run a command in this process: (exit code, stdout, stderr)."""
    monkeypatch.setenv("HARNESS_RESULTS_DIR", str(tmp_path / "results"))
    monkeypatch.delenv("HARNESS_DATA_DIR", raising=False)
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["harness", *arguments])
        with pytest.raises(SystemExit) as stop:
            entry()
        captured = capsys.readouterr()
        return int(stop.value.code or 0), captured.out, captured.err

    return call


@pytest.fixture
def texts(tmp_path: Path) -> None:
    """`bare.jsonl` without labels and `gold.jsonl` with all 18, in the working directory."""
    rng = random.Random(0)
    rows: list[dict[str, Any]] = [{"title": f"标题 {number}", "id": f"t{number}"} for number in range(COUNT)]
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    (tmp_path / "bare.jsonl").write_text("\n".join(lines), encoding="utf-8")
    for row in rows:
        row["labels"] = {one.key: rng.choice(one.values) for one in INDICATORS}
    (tmp_path / "gold.jsonl").write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")


def result(tmp_path: Path, part: str) -> RunResult:
    """The one run whose id has this part."""
    found = [path for path in (tmp_path / "results" / "runs").iterdir() if part in path.name]
    assert len(found) == 1
    return RunFolder(found[0]).result


@pytest.mark.usefixtures("texts")
def test_a_labelled_file(harness: Call, tmp_path: Path) -> None:
    models = ("--model", "mock:gold", "--model", "mock:wrong", "--quiet")
    assert harness("run", "--suite", "text_quality:gold.jsonl", *models)[0] == 0
    gold, wrong = result(tmp_path, "mock-gold"), result(tmp_path, "mock-wrong")
    assert gold.suite == "text_quality:gold.jsonl" and gold.headline == "avg@n" and not gold.warnings
    names = ["em_micro", "em_all", *(f"em:{one.key}" for one in INDICATORS)]
    for name in ("avg@n", *names):
        assert (gold.estimates[name].value, wrong.estimates[name].value) == (1.0, 0.0), name
        assert gold.estimates[name].low < 1.0 and wrong.estimates[name].high > 0.0
    assert wrong.estimates["format:json"].value == wrong.estimates["valid_labels"].value == 1.0

    code, out, _ = harness("leaderboard", "--metric", "em:coherence", "--json")
    assert code == 0 and [row["value"] for row in json.loads(out)["rows"]] == [1.0, 0.0]


@pytest.mark.usefixtures("texts")
def test_em_micro_is_the_headline_where_replies_are_partly_right(harness: Call, tmp_path: Path) -> None:
    options = ("--model", "mock:gold", "--model-arg", "accuracy=0.6", "--model-arg", "error_rate=0.2")
    code, _, err = harness("run", "--suite", "text_quality:gold.jsonl", *options, "--max-failures", "1", "--quiet")
    assert code == 0, err
    run = result(tmp_path, "mock-gold")
    average, micro = run.estimates["avg@n"], run.estimates["em_micro"]
    assert 0 < average.value < 1 and average.counts["error"] > 0
    for name in ("value", "low", "high", "se", "bounds"):
        assert getattr(micro, name) == pytest.approx(getattr(average, name)), name
    before = run.estimates
    assert harness("score", "text_quality-gold")[0] == 0
    assert result(tmp_path, "mock-gold").estimates == before


@pytest.mark.usefixtures("texts")
def test_a_file_without_labels_says_what_its_score_means(harness: Call, tmp_path: Path) -> None:
    models = ("--model", "mock:gold", "--model", "mock:wrong", "--quiet")
    assert harness("run", "--suite", "text_quality:bare.jsonl", *models)[0] == 0
    gold, wrong = result(tmp_path, "mock-gold"), result(tmp_path, "mock-wrong")
    assert (gold.estimates["avg@n"].value, wrong.estimates["avg@n"].value) == (1.0, 0.0)
    assert gold.estimates["format:json"].value == wrong.estimates["format:json"].value == 1.0
    assert not any(name.startswith("em") for name in gold.estimates)
    assert len(gold.warnings) == 1 and "the share of replies that are usable" in gold.warnings[0]


@pytest.mark.usefixtures("texts")
def test_a_metric_asked_for_by_name_is_missed_by_name(harness: Call, tmp_path: Path) -> None:
    arguments = ("--suite", "text_quality:bare.jsonl", "--model", "mock:gold", "--quiet")
    assert harness("run", *arguments, "--metric", "em:coherence")[0] == 0
    assert any("em:coherence is not reported" in warning for warning in result(tmp_path, "mock-gold").warnings)
    code, _, err = harness("run", *arguments, "--metric", "em:fluency")
    assert code == 2 and "Did you mean 'linguistic_fluency'" in err


@pytest.mark.usefixtures("texts")
def test_samples_after_the_file_name(harness: Call, tmp_path: Path) -> None:
    sampling = ("--temperature", "0.6", "--model", "mock:gold", "--quiet")
    assert harness("run", "--suite", "text_quality:gold.jsonl:2", *sampling)[0] == 0
    assert result(tmp_path, "mock-gold").n == 2


@pytest.mark.usefixtures("texts")
def test_check_knows_such_files(harness: Call) -> None:
    code, out, _ = harness(
        "check", "--suite", "text_quality:gold.jsonl", "--suite", "text_quality:bare.jsonl", "--json"
    )
    assert code == 0
    assert [(row["status"], row["problems"]) for row in json.loads(out)["rows"]] == [("ok", COUNT)] * 2


@pytest.mark.usefixtures("texts")
def test_a_teachers_replies_become_labels(harness: Call, tmp_path: Path) -> None:
    teacher = ("--model", "mock:gold", "--model-arg", "accuracy=0.7", "--model-arg", "think=true", "--quiet")
    assert harness("run", "--suite", "text_quality:bare.jsonl", *teacher)[0] == 0
    usable = [
        row.problem_id for row in RunFolder(next((tmp_path / "results" / "runs").iterdir())).graded if row.score.value
    ]
    assert 0 < len(usable) < COUNT

    code, out, err = harness("export", "text_quality-bare", "--to", "labels", "--out", "made")
    assert code == 0 and f"{COUNT - len(usable)} texts" in err
    assert out.strip() == "made/mock__gold.jsonl"
    made = [json.loads(line) for line in Path(out.strip()).read_text(encoding="utf-8").splitlines()]
    assert sorted(row["id"] for row in made) == sorted(usable)
    assert all(len(row["labels"]) == 18 and row["text"].startswith("标题") and row["reference"] for row in made)

    assert harness("run", "--suite", "text_quality:made/mock__gold.jsonl", "--model", "mock:gold", "--quiet")[0] == 0
    assert result(tmp_path, "made-mock__gold").estimates["em_all"].value == 1.0


@pytest.mark.usefixtures("texts")
def test_of_several_samples_the_first_counts(harness: Call, tmp_path: Path) -> None:
    teacher = ("--model", "mock:gold", "--model-arg", "accuracy=0.5", "--temperature", "0.6", "--quiet")
    assert harness("run", "--suite", "text_quality:gold.jsonl:2", *teacher)[0] == 0
    rows = RunFolder(next((tmp_path / "results" / "runs").iterdir())).graded
    first = {row.problem_id: json.loads(row.score.answer or "") for row in rows if row.attempt == 0}
    second = {row.problem_id: json.loads(row.score.answer or "") for row in rows if row.attempt == 1}
    assert first != second
    assert harness("export", "text_quality-gold", "--to", "labels", "--out", "made")[0] == 0
    made = (tmp_path / "made" / "mock__gold.jsonl").read_text(encoding="utf-8").splitlines()
    assert {row["id"]: row["labels"] for row in map(json.loads, made)} == first


@pytest.mark.usefixtures("texts")
def test_labels_that_cannot_be_exported(harness: Call, tmp_path: Path) -> None:
    export = ("--to", "labels", "--out", "made")
    assert harness("run", "--suite", "text_quality:bare.jsonl", "--model", "mock:wrong", "--quiet")[0] == 0
    code, _, err = harness("export", "text_quality-bare", *export)
    assert code == 2 and "nothing to export" in err
    assert harness("run", "--suite", "synth_easy", "--limit", "4", "--model", "mock:gold", "--quiet")[0] == 0
    code, _, err = harness("export", "synth_easy", *export)
    assert code == 2 and "labels come from runs of text_quality:<file>" in err
    (tmp_path / "bare.jsonl").write_text('{"title": "another"}', encoding="utf-8")
    code, _, err = harness("export", "text_quality-bare", *export)
    assert code == 2 and "data_sha256" in err
    assert not (tmp_path / "made").exists()
