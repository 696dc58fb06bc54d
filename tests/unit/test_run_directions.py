"""Which way another tool's numbers are better: as it declares, as their names say, or not known and said."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import foreign_files
import pytest

from harness.compare import compare_runs, pair_row
from harness.errors import StoreError, UsageError
from harness.gate.baseline import read_baseline, write_baseline
from harness.gate.decide import GateVerdict, decide_all
from harness.gate.pairs import Rule
from harness.gate.report import text_report
from harness.gate.values import Side, read_side
from harness.interop.exporting import export_run
from harness.interop.importing import import_path
from harness.leaderboard import build
from harness.metrics import knows_direction
from harness.report.board import board_tables
from harness.run import pipeline
from harness.run.folder import RunFolder

LESS, MORE = (0.0,) * 9 + (1.0,) * 3, (0.0,) * 3 + (1.0,) * 9
UNKNOWN = "warning: lm-eval does not say which way {} is better: taken as better when higher"


def imported(tmp_path: Path, metric: str, declared: Mapping[str, Any], model: str, values: Any) -> RunFolder:
    """A run of lm-eval whose metric has this name and per-document values."""
    out = tmp_path / "out" / model
    path = foreign_files.lm_eval(out, values, values, model=model, higher_is_better={"gsm8k": declared})
    for file in path.parent.iterdir():
        file.write_text(file.read_text(encoding="utf-8").replace("exact_match", metric), encoding="utf-8")
    (run,), refused = import_path(path, tmp_path / "results")
    assert not refused and run.result.items
    return run


def two(tmp_path: Path, metric: str, declared: Mapping[str, Any]) -> tuple[RunFolder, RunFolder]:
    return (
        imported(tmp_path, metric, declared, "a/less", LESS),
        imported(tmp_path, metric, declared, "a/more", MORE),
    )


def verdict(baseline: Side, candidate: Side) -> GateVerdict:
    return decide_all([(baseline, candidate)], Rule("1pp" if baseline.share else "0.01"))[0]


@pytest.mark.parametrize(
    ("metric", "declared", "lower", "unknown"),
    [
        ("exact_match", {"exact_match": True}, False, False),
        ("exact_match", {"exact_match": False}, True, False),
        ("exact_match", {}, False, False),
        ("bits_per_byte", {"bits_per_byte": False}, True, False),
        ("bits_per_byte", {}, True, False),
        ("bits_per_byte", {"bits_per_byte": True}, False, False),
        ("brier_score", {"brier_score": None}, True, False),
        ("quux", {"quux": False}, True, False),
        ("quux", {"quux": True}, False, False),
        ("quux", {"other": False}, False, True),
        ("quux", {"quux": "no"}, False, True),
    ],
)
def test_board_comparison_and_gate_go_the_way_that_is_declared_or_known(
    tmp_path: Path, metric: str, declared: Mapping[str, Any], lower: bool, unknown: bool
) -> None:
    less, more = two(tmp_path, metric, declared)
    name, note = f"{metric},strict-match", UNKNOWN.format(f"{metric},strict-match")

    groups = build([less.result, more.result])
    (group,) = groups
    assert [s.model for s in group.standings] == (["a/less", "a/more"] if lower else ["a/more", "a/less"])
    assert ("lower is better" in board_tables(groups)[0].title) is lower
    assert (note in group.notes) is unknown

    (pair,) = compare_runs([less, more])
    row = pair_row(pair, None)
    assert (row["better"], row["delta"]) == ("lower" if lower else "higher", pytest.approx(0.5))
    assert (pair.outcome.wins, pair.outcome.losses) == ((0, 6) if lower else (6, 0))
    assert (f"{name} is better when lower: a problem with a lower value is a win" in pair.notes) is lower
    assert (note in pair.notes) is unknown

    up, down = verdict(read_side(less), read_side(more)), verdict(read_side(more), read_side(less))
    assert (up.outcome, down.outcome) == (("regress", "pass") if lower else ("pass", "regress"))
    assert (up.effect, up.losses) == (pytest.approx(-0.5 if lower else 0.5), 6 if lower else 0)
    assert (note in up.notes) is unknown and (note.removeprefix("warning: ") in text_report([up], 5, {})) is unknown


def test_a_perplexity_is_no_percentage_and_the_lowest_stands_first(tmp_path: Path) -> None:
    for model, value in (("a/bad", 20.5), ("a/good", 0.75)):
        totals = {"wikitext": {"alias": "wikitext", "word_perplexity,none": value, "bits_per_byte,none": value}}
        path = foreign_files.lm_eval(tmp_path / model, model=model, samples=False, results=totals, higher_is_better={})
        import_path(path, tmp_path / "results")
    results = [run.result for run in map(RunFolder, sorted((tmp_path / "results" / "runs").iterdir()))]
    tables = board_tables(build(results, metrics=("all",)))
    assert [table.title.rpartition(" [")[2] for table in tables] == ["lower is better]"] * 2
    for table in tables:
        assert [row["model"] for row in table.rows] == ["a/good", "a/bad"]


def test_lighteval_declares_a_metric_or_several_at_once(tmp_path: Path) -> None:
    path = foreign_files.lighteval(tmp_path, metric="quux", details="none")
    raw = json.loads(path.read_text(encoding="utf-8"))
    declarations = (
        ("metrics", [{"metric_name": "quux", "higher_is_better": False}]),
        ("metric", [{"metric_name": ["f1", "quux"], "higher_is_better": {"f1": True, "quux": False}}]),
    )
    for key, declared in declarations:
        raw["config_tasks"] = {"gsm8k|0": {"name": "gsm8k", "effective_num_docs": 4, key: declared}}
        path.write_text(json.dumps(raw), encoding="utf-8")
        (run,), _ = import_path(path, tmp_path / "results")
        assert run.result.higher_is_better == {"quux": False}
    for odd in ("quux", ["quux"], [{"metric_name": "quux", "higher_is_better": "x"}], [{"higher_is_better": True}]):
        raw["config_tasks"] = {"gsm8k|0": {"metrics": odd}}
        path.write_text(json.dumps(raw), encoding="utf-8")
        (run,), _ = import_path(path, tmp_path / "results")
        assert run.result.higher_is_better == {}


def test_the_direction_is_stored_with_what_is_imported_and_goes_out_again(tmp_path: Path) -> None:
    less, _ = two(tmp_path, "quux", {"quux": False})
    stored = json.loads((less.path / "result.json").read_text(encoding="utf-8"))
    assert stored["higher_is_better"] == {"quux,flexible-extract": False, "quux,strict-match": False}
    again = json.loads(export_run(less, "lm-eval", tmp_path / "again", texts=False)[0].read_text(encoding="utf-8"))
    (declared,) = again["higher_is_better"].values()
    assert declared["quux,strict-match"] is False
    stored["higher_is_better"] = {"quux,strict-match": 1}
    (less.path / "result.json").write_text(json.dumps(stored), encoding="utf-8")
    with pytest.raises(StoreError, match="higher_is_better is not a table of yes and no"):
        _ = RunFolder(less.path).result


def test_grading_an_imported_run_here_keeps_the_direction_of_the_numbers_that_stay(tmp_path: Path) -> None:
    old = imported(tmp_path, "quux", {"quux": False}, "a/b", LESS).result
    graded = replace(old, imported_from=None, higher_is_better={}, estimates={"avg@n": old.estimates[old.headline]})
    still = pipeline._still_imported(graded, old)
    assert still.higher_is_better == {"quux,flexible-extract": False, "quux,strict-match": False}


def test_a_baseline_file_keeps_the_direction_and_two_directions_are_not_held_against_each_other(tmp_path: Path) -> None:
    less, more = two(tmp_path, "quux", {"quux": False})
    path = tmp_path / "baseline.json"
    write_baseline(path, read_side(less))
    side = read_baseline(path)
    assert side.lower_is_better and verdict(side, read_side(more)).outcome == "regress"
    raw = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(raw | {"higher_is_better": {"quux": "x"}}), encoding="utf-8")
    with pytest.raises(StoreError, match="higher_is_better is not a table"):
        read_baseline(path)
    del raw["higher_is_better"]  # as an earlier version wrote it
    path.write_text(json.dumps(raw), encoding="utf-8")
    with pytest.raises(UsageError, match="better when lower in one and when higher in the other: import both again"):
        verdict(read_baseline(path), read_side(more))


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("acc_norm,none", True),
        ("prompt_level_strict_acc", True),
        ("pass@k:k=1&n=2", True),
        ("extractive_match", True),
        ("BERTScore-F", True),
        ("rouge1", True),
        ("f1", True),
        ("word_perplexity,none", True),
        ("tokens_out", True),
        ("passage_length", False),
        ("emissions", False),
    ],
)
def test_words_in_a_name_tell_the_direction(name: str, known: bool) -> None:
    assert knows_direction(name) is known
