"""Import of lm-eval and lighteval results: true values, honest names, and nothing believed that does not add up."""

from __future__ import annotations

import json
import math
import tempfile
from pathlib import Path

import foreign_files
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.cli.importing import command
from harness.errors import DataError, UnknownName
from harness.interop.common import ForeignItem, read_json
from harness.interop.importing import find_files, import_path
from harness.interop.lighteval import split_key
from harness.interop.mapping import SUITES, match
from harness.leaderboard import build, load_results
from harness.run.folder import RunFolder
from harness.run.result import RunResult


def one(path: Path, results: Path, **choices: object) -> RunResult:
    (imported,), refused = import_path(path, results, **choices)  # type: ignore[arg-type]
    assert not refused
    assert imported.result.run_id == imported.name
    return imported.result


def test_lm_eval_totals_items_and_protocol(tmp_path: Path) -> None:
    run = one(foreign_files.lm_eval(tmp_path / "out"), tmp_path / "results")
    assert (run.suite, run.model, run.imported_from) == ("lm-eval:gsm8k", "org/model-7b", "lm-eval")
    assert run.headline == "exact_match,strict-match"
    assert run.estimates["exact_match,strict-match"].value == 0.5
    assert run.estimates["exact_match,flexible-extract"].value == 0.75
    assert run.estimates[run.headline].se == pytest.approx(0.288675)
    assert {key: item.mean for key, item in run.items.items()} == {"0": 1.0, "1": 0.0, "2": 0.0, "3": 1.0}
    assert (run.limit, run.seed, run.finished) == (4, 7, "2025-03-01T10:11:12.345678")
    assert run.sampling["temperature"] == 0.0
    assert run.sampling["few-shot"] == 5
    assert len(RunFolder(tmp_path / "results" / "runs" / run.run_id).graded) == 4


@pytest.mark.parametrize(
    "args",
    [
        "pretrained=org/m,token=my-own-secret,dtype=auto",
        {"pretrained": "org/m", "headers": {"x-api-key": "my-own-secret"}, "hf_token": "my-own-secret"},
        "pretrained=org/m,base_url=https://me:my-own-secret@host/v1?sig=my-own-secret,api_key=my-own-secret",
    ],
)
def test_no_secret_of_another_tools_settings_is_stored(tmp_path: Path, args: object) -> None:
    path = foreign_files.lm_eval(tmp_path / "out")
    raw = json.loads(path.read_text(encoding="utf-8"))
    raw["config"]["model_args"] = args
    del raw["model_name"]
    path.write_text(json.dumps(raw), encoding="utf-8")
    run = import_path(path, tmp_path / "results")[0][0]
    stored = "".join(file.read_text(encoding="utf-8") for file in run.path.iterdir())
    assert "my-own-secret" not in stored and "org/m" in stored


def test_metric_choice_picks_the_filter_and_its_items(tmp_path: Path) -> None:
    path = foreign_files.lm_eval(tmp_path / "out")
    run = one(path, tmp_path / "results", metric="exact_match,flexible-extract")
    assert sum(item.mean or 0 for item in run.items.values()) == 3
    with pytest.raises(UnknownName, match="exact_match,strict-match"):
        import_path(path, tmp_path / "results", metric="acc")


@pytest.mark.parametrize("details", ["new", "old"])
def test_lighteval_totals_items_and_protocol(tmp_path: Path, details: str) -> None:
    foreign_files.lighteval(tmp_path / "out", details=details)
    run = one(tmp_path / "out", tmp_path / "results")
    assert (run.suite, run.imported_from, run.suite_version) == ("lighteval:gsm8k", "lighteval", "lighteval/2")
    assert run.estimates[run.headline].value == 0.625
    assert [item.mean for item in run.items.values()] == [1.0, 0.5, 0.0, 1.0]
    assert {item.n for item in run.items.values()} == {2}
    assert run.sampling["temperature"] == 0.6
    assert run.sampling["max_tokens"] == 32768
    assert run.totals["tokens_out"] == (16 if details == "new" else None)


@pytest.mark.parametrize(
    ("key", "task"),
    [("aime24|0", "aime24"), ("lighteval|gpqa:diamond|0", "gpqa:diamond"), ("lighteval|math_500|0|0", "math_500")],
)
def test_lighteval_task_keys_of_all_versions(key: str, task: str) -> None:
    assert split_key(key) == (task, "0")


def test_a_wrong_standard_error_is_replaced_and_said(tmp_path: Path) -> None:
    """lighteval's bootstrap for some metrics states an error that is too small by the root of its resamples."""
    foreign_files.lighteval(tmp_path / "out", stderr=0.007)
    run = one(tmp_path / "out", tmp_path / "results")
    assert run.estimates[run.headline].se > 0.2
    assert any("states a standard error of 0.007" in warning for warning in run.warnings)


def test_totals_without_details_have_an_interval_and_no_ranks(tmp_path: Path) -> None:
    for model, values in (("a/a", (1.0,) * 20), ("b/b", (0.0,) * 20)):
        foreign_files.lighteval(tmp_path / "out", values, model=model, details="none", stderr=0.0)
    runs, _ = import_path(tmp_path / "out", tmp_path / "results")
    assert all("no paired tests" in " ".join(run.result.warnings) for run in runs)
    first = runs[0].result
    assert first.items == {}
    assert 0.8 < first.estimates[first.headline].low < 1.0  # 20 of 20 is not certainty
    (group,) = build(load_results(tmp_path / "results")[0])
    assert [s.rank for s in group.standings] == [None, None]
    assert "no per-problem values" in " ".join(group.notes)


def test_imported_runs_join_paired_tests_among_themselves_only(tmp_path: Path) -> None:
    for model, values in (("a/good", (1.0,) * 12), ("a/bad", (0.0,) * 12)):
        foreign_files.lm_eval(tmp_path / "out", values, values, model=model)
        foreign_files.lighteval(tmp_path / "out2", values, model=model)
    import_path(tmp_path / "out", tmp_path / "results")
    import_path(tmp_path / "out2", tmp_path / "results")
    groups = build(load_results(tmp_path / "results")[0])
    assert [group.key.imported_from for group in groups] == ["lighteval", "lm-eval"]
    assert all([s.rank for s in group.standings] == [1, 2] for group in groups)
    assert all("does not record unanswered" in " ".join(group.notes) for group in groups)


def test_importing_twice_is_one_run(tmp_path: Path) -> None:
    path = foreign_files.lm_eval(tmp_path / "out")
    assert one(path, tmp_path / "results") == one(path, tmp_path / "results")
    assert len(list((tmp_path / "results" / "runs").iterdir())) == 1


def samples_file(tmp_path: Path) -> Path:
    return foreign_files.lm_eval(tmp_path / "out").with_name(f"samples_gsm8k_{foreign_files.STAMP}.jsonl")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda text: text[:-40], "line 8 is torn"),
        (lambda text: "\n".join(text.splitlines()[:3]) + "\n", "they are 3, the result file counts 4"),
        (lambda text: text.replace('"exact_match": 0.0', '"exact_match": 1.0'), "their mean is 1"),
        (lambda text: text + text, "stands twice"),
        (lambda text: "[1]\n" + text, "line 1 is not a sample"),
        (lambda text: text.replace('"exact_match": 0.0', '"exact_match": NaN'), "have no value"),
    ],
)
def test_samples_that_do_not_add_up_are_left_out_and_named(tmp_path: Path, damage, words: str) -> None:  # type: ignore[no-untyped-def]
    path = samples_file(tmp_path)
    path.write_text(damage(path.read_text(encoding="utf-8")), encoding="utf-8")
    run = one(tmp_path / "out", tmp_path / "results")
    assert run.items == {}
    assert run.estimates[run.headline].value == 0.5
    assert words in " ".join(run.warnings)


def test_torn_details_are_left_out_and_named(tmp_path: Path) -> None:
    foreign_files.lighteval(tmp_path / "out")
    (parquet,) = (tmp_path / "out").rglob("*.parquet")
    parquet.write_bytes(parquet.read_bytes()[:-20])
    run = one(tmp_path / "out", tmp_path / "results")
    assert run.items == {}
    assert "not a complete Parquet file" in " ".join(run.warnings)


@pytest.mark.parametrize(
    "content",
    ['{"results": {"a"', "[]", "{}", '{"results": {}, "configs": {}}', "[" * 100_000, "\x00", '{"results": 3}'],
)
def test_bad_result_files_are_refused_by_name_and_others_imported(tmp_path: Path, content: str) -> None:
    foreign_files.lm_eval(tmp_path / "out")
    bad = tmp_path / "out" / "results_bad.json"
    bad.write_text(content)
    runs, refused = import_path(tmp_path / "out", tmp_path / "results")
    assert len(runs) == 1
    assert len(refused) == 1
    assert "results_bad.json" in refused[0]
    done = CliRunner().invoke(
        command, [str(tmp_path / "out"), "--results-dir", str(tmp_path / "r2")], standalone_mode=False
    )
    assert done.return_value == 2
    assert "results_bad.json" in done.stderr


def test_size_limit_and_wrong_tool(tmp_path: Path) -> None:
    path = foreign_files.lm_eval(tmp_path / "out")
    with pytest.raises(DataError, match="more than 100 bytes"):
        read_json(path, limit=100)
    _, refused = import_path(path, tmp_path / "results", tool="lighteval")
    assert "not a result file of lighteval" in refused[0]
    with pytest.raises(UnknownName, match="lm-eval"):
        import_path(path, tmp_path / "results", tool="lmeval")
    (tmp_path / "nothing").mkdir()
    with pytest.raises(DataError, match=r"no results_\*\.json"):
        find_files(tmp_path / "nothing")
    with pytest.raises(DataError, match="no file or folder"):
        find_files(tmp_path / "absent")


def test_groups_averages_and_non_numbers_are_no_tasks(tmp_path: Path) -> None:
    results = {
        "grp": {"acc,none": 0.5, "alias": "grp"},
        "one": {"acc,none": 0.5, "acc_stderr,none": "N/A", "perplexity,none": 12.5, "alias": " - one"},
        "empty": {"alias": "empty"},
    }
    path = foreign_files.lm_eval(tmp_path / "out", samples=False, results=results, groups={"grp": {}})
    run = one(path, tmp_path / "results")
    assert run.suite == "lm-eval:one"
    assert math.isnan(run.estimates["acc,none"].low)  # no standard error was stated: none is made up
    assert run.estimates["perplexity,none"].value == 12.5


def test_problems_are_found_by_text_or_not_at_all() -> None:
    questions = {"q1": "What is 2 + 3?", "q2": "What is 2 + 3? And then 4?", "q3": "Other"}
    items = [
        ForeignItem("0", "Solve: What is 2  +\n3? And then 4? Answer:", {}),
        ForeignItem("1", "What is 2 + 3?", {}),
        ForeignItem("2", "Unknown", {}),
    ]
    assert match(items, questions) == {"0": "q2", "1": "q1"}
    same = {"q1": "Which one?", "q2": "Which one?"}
    options = {"q1": ["red", "blue"], "q2": ["red", "green"]}
    assert match([ForeignItem("0", "Which one?\nA red B green", {})], same, options) == {"0": "q2"}
    assert match([ForeignItem("0", "Which one?", {})], same, options) == {}
    twice = [ForeignItem("0", "Other", {}), ForeignItem("1", "x Other y", {})]
    assert match(twice, questions) == {}


def test_tasks_are_mapped_to_suites_that_exist() -> None:
    from harness import catalog

    assert {suite for tasks in SUITES.values() for suite in tasks.values()} <= set(catalog.entries("suite"))


def test_real_problems_get_our_ids(tmp_path: Path, shared_data: Path) -> None:
    rows = [json.loads(line) for line in (shared_data / "gsm8k_test.jsonl").read_text(encoding="utf-8").splitlines()]
    questions = [row["question"] for row in rows[:4]]
    foreign_files.lm_eval(tmp_path / "out", questions=questions)
    foreign_files.lighteval(tmp_path / "out", questions=questions)
    runs, _ = import_path(tmp_path / "out", tmp_path / "results", data_dir=shared_data)
    assert {run.result.suite for run in runs} == {"gsm8k"}
    assert {frozenset(run.result.items) for run in runs} == {frozenset(str(row["id"]) for row in rows[:4])}
    strange = foreign_files.lm_eval(tmp_path / "out2", questions=[*questions[:3], "No such question"])
    run = one(strange, tmp_path / "results2", data_dir=shared_data)
    assert run.suite == "lm-eval:gsm8k"
    assert "1 of 4 problems were not found" in " ".join(run.warnings)


def paths_of(value: object, prefix: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
    """Every place in a JSON value."""
    found: list[tuple[object, ...]] = [prefix] if prefix else []
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in pairs:
        found += paths_of(item, (*prefix, key))
    return found


STRANGE = st.sampled_from(
    [
        "NaN",
        "Infinity",
        "-1",
        "1e999",
        "9" * 400,
        "null",
        "true",
        "[]",
        "{}",
        "[[1]]",
        '{"a": 1}',
        '"\\ud800\\u0000/../"',
    ]
)


@pytest.mark.parametrize("tool", ["lm-eval", "lighteval"])
@given(data=st.data())
@settings(max_examples=60)
def test_no_strange_value_breaks_the_import(tool: str, data: st.DataObject) -> None:
    """Any one place of a real file replaced by something else: imported or refused, never a crash."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = foreign_files.lm_eval(folder) if tool == "lm-eval" else foreign_files.lighteval(folder, details="none")
        raw = json.loads(path.read_text(encoding="utf-8"))
        place = data.draw(st.sampled_from(paths_of(raw)))
        inner = raw
        for key in place[:-1]:
            inner = inner[key]
        inner[place[-1]] = "@@@"
        text = json.dumps(raw).replace('"@@@"', data.draw(STRANGE))
        path.write_text(text, encoding="utf-8")
        for imported in import_path(path, folder / "r")[0]:
            assert imported.result is not None and imported.spec is not None
            assert imported.path.parent == folder / "r" / "runs"
        build(load_results(folder / "r")[0] if (folder / "r").exists() else [])


@pytest.mark.parametrize("task", ["../../etc/x", "a/b", "a\\b", "..", "\u202egsm8k\x1b[31m"])
def test_hostile_task_and_model_names_stay_inside(tmp_path: Path, task: str) -> None:
    path = foreign_files.lm_eval(tmp_path / "out", samples=False)
    path.write_text(path.read_text(encoding="utf-8").replace('"gsm8k"', json.dumps(task)), encoding="utf-8")
    run = one(path, tmp_path / "results")
    assert "\x1b" not in run.suite
    foreign_files.lighteval(tmp_path / "out2", details="none")
    (other,) = (tmp_path / "out2").rglob("results_*.json")
    text = other.read_text(encoding="utf-8").replace("gsm8k", json.dumps(task)[1:-1])
    other.write_text(text.replace("org/model-7b", "../../../model"), encoding="utf-8")
    assert one(other, tmp_path / "results").model == "../../../model"
    assert {entry.parent for entry in (tmp_path / "results" / "runs").iterdir()} == {tmp_path / "results" / "runs"}
