"""Judged runs corrected by labels, and brought onto another judge's scale."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from harness.cli.main import entry
from harness.errors import DataError
from harness.run.folder import RunFolder
from harness.run.judged.calibrate import corrected, read_labels
from harness.run.result import judge_note
from harness.stats.corrected import FEWEST, prediction_powered, rogan_gladen

Call = Callable[..., tuple[int, str, str]]
Array = np.ndarray[tuple[int], np.dtype[np.float64]]


def world(seed: int, truth: float, win: float, loss: float, size: int = 400) -> tuple[Array, Array]:
    """(judged, true) of a judge that says win of true wins and of true losses with these chances."""
    rng = np.random.default_rng(seed)
    true = (rng.random(size) < truth).astype(np.float64)
    return (rng.random(size) < np.where(true == 1.0, win, loss)).astype(np.float64), true


@pytest.mark.parametrize(("truth", "win", "loss"), [(0.5, 0.9, 0.4), (0.2, 0.95, 0.3), (0.8, 0.6, 0.1)])
def test_a_biased_judge_is_corrected(truth: float, win: float, loss: float) -> None:
    held, ratio_held, raw_held = 0, 0, 0
    for seed in range(60):
        judged, true = world(seed, truth, win, loss)
        powered = prediction_powered(judged[100:], judged[:100], true[:100])
        ratio = rogan_gladen(judged, judged[:100], true[:100])
        assert ratio is not None
        held += powered.low <= truth <= powered.high
        ratio_held += ratio.low <= truth <= ratio.high
        raw_held += abs(judged.mean() - truth) < 0.05
        assert 0.0 <= powered.low <= powered.value <= powered.high <= 1.0
        assert powered.high - powered.low <= 0.25
    assert held >= 52 and ratio_held >= 54 and raw_held <= 10  # 57 expected of the first two


def test_a_judge_without_sense_costs_nothing_and_a_perfect_one_is_not_trusted_blindly() -> None:
    rng = np.random.default_rng(0)
    true = (rng.random(400) < 0.5).astype(np.float64)
    coin = (rng.random(400) < 0.5).astype(np.float64)
    found = prediction_powered(coin[100:], coin[:100], true[:100])
    assert found.weight < 0.25 and found.value == pytest.approx(true[:100].mean(), abs=0.03)
    sure = prediction_powered(true[100:], true[:100], true[:100])
    assert sure.weight > 0.6 and sure.high - sure.low > 2 * 1.96 * np.sqrt(0.25 / 400)


def test_what_no_ratio_can_be_taken_of_has_none() -> None:
    judged = np.array([1.0, 0.0] * 20)
    assert rogan_gladen(judged, judged, np.ones(40)) is None, "no loss"
    assert rogan_gladen(judged, judged, 1.0 - judged) is None, "values losses higher"
    with pytest.raises(DataError, match="at least 10"):
        prediction_powered(judged, judged[: FEWEST - 1], judged[: FEWEST - 1])


def test_attempts_at_one_problem_are_one_unit() -> None:
    values = {(f"p{i}", attempt): float(i % 2) for i in range(40) for attempt in range(3)}
    clusters = dict.fromkeys((problem for problem, _ in values), "")
    found = corrected(values, clusters, {key: value for key, value in values.items() if key[0] < "p25"}, "the run")
    assert found.units == 40 and found.labels == len({key[0] for key in values if key[0] < "p25"})
    with pytest.raises(DataError, match="'other', which the run does not have"):
        corrected(values, clusters, {("other", 0): 1.0}, "the run")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"id": "a", "label": "maybe"}', "label must be win, tie, loss or a number"),
        ('{"id": "a", "label": 1.5}', "not 1.5"),
        ('{"id": "a", "label": true}', "not True"),
        ('{"id": 3, "label": 1}', "id must be a text"),
        ('{"id": "a", "label": 1, "note": ""}', "unknown field 'note'"),
        ('{"id": "a", "label": 1}\n{"id": "a", "label": 0}', "labelled twice"),
    ],
)
def test_bad_labels_are_told_with_their_line(line: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    path.write_text(line + "\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"labels\.jsonl") as error:
        read_labels(path)
    assert says in str(error.value)


# --- the commands ---


@pytest.fixture
def harness(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Call:
    """Run a command in this process: (exit code, stdout, stderr)."""
    monkeypatch.setenv("HARNESS_RESULTS_DIR", str(tmp_path / "results"))

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["harness", *arguments])
        with pytest.raises(SystemExit) as stop:
            entry()
        captured = capsys.readouterr()
        return int(stop.value.code or 0), captured.out, captured.err

    return call


def judged_runs(tmp_path: Path) -> list[RunFolder]:
    paths = sorted((tmp_path / "results" / "runs").iterdir(), key=lambda path: path.stat().st_mtime_ns)
    return [RunFolder(path) for path in paths if "@" in path.name]


def test_a_run_is_calibrated_and_every_table_says_so(harness: Call, tmp_path: Path) -> None:
    suite = ("--suite", "synth_easy", "--limit", "40", "--model", "mock:gold")
    judge = ("--rubric", "rating_10", "--judge", "mock:judge")
    code, out, _ = harness("run", *suite, *judge)
    (run,) = judged_runs(tmp_path)
    assert code == 0 and "an uncalibrated judge" in out and "rating_10@" in judge_note(run.result)
    assert run.result.finished[:10] in harness("leaderboard")[1], "the date of the judging"
    rng = random.Random(0)
    rows = [{"id": row.problem_id, "label": rng.choice(["win", "loss"])} for row in run.graded[:20]]
    labels = tmp_path / "labels.jsonl"
    labels.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    code, out, _ = harness("judge", "calibrate", run.name, "--labels", str(labels))
    assert code == 0 and "as judged" in out and "prediction-powered" in out and "20 labels on 40 problems" in out
    board = harness("leaderboard")[1]
    assert "calibrated on 20 labels: corrected mean" in board and "uncalibrated" not in board
    assert harness("judge", run.name.partition("@")[0], *judge)[0] == 0, "the same verdicts again"
    assert "calibrated on 20 labels" in judge_note(RunFolder(run.path).result), "and the same calibration"
    stored = (run.path / "result.json").read_bytes()
    labels.write_text("".join(json.dumps({**row, "attempt": 1}) + "\n" for row in rows), encoding="utf-8")
    code, _, err = harness("judge", "calibrate", run.name, "--labels", str(labels))
    assert code == 2 and "attempts are counted from 0" in err and (run.path / "result.json").read_bytes() == stored
    code, _, err = harness("judge", "calibrate", run.name.partition("@")[0], "--labels", str(labels))
    assert code == 2 and "is no judged run" in err and err.count("\n") == 1


def test_a_run_is_bridged_to_another_judge(harness: Call, tmp_path: Path) -> None:
    suite = ("--suite", "synth_easy", "--limit", "40", "--model", "mock:gold")
    assert harness("run", *suite, "--rubric", "rating_10", "--judge", "mock:judge")[0] == 0
    (old,) = judged_runs(tmp_path)
    base = old.name.partition("@")[0]
    assert harness("judge", base, "--rubric", "cot_quality", "--judge", "mock:judge", "--limit", "15")[0] == 0
    new = judged_runs(tmp_path)[-1]
    code, out, _ = harness("judge", "bridge", old.name, new.name)
    assert code == 0 and "both judged 15 of 40 problems" in out and "by the new one, bridged" in out
    code, _, err = harness("judge", "bridge", old.name, base)
    assert code == 2 and "is no judged run" in err
    other = ("--suite", "synth_easy", "--limit", "20", "--model", "mock:gold", "--seed", "3")
    assert harness("run", *other, "--rubric", "rating_10", "--judge", "mock:judge")[0] == 0
    code, _, err = harness("judge", "bridge", old.name, judged_runs(tmp_path)[-1].name)
    assert code == 2 and "judged different runs" in err
