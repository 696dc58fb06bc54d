"""The leaderboard: what may be ranked together, ties, warnings, formats, and files that must not be believed."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st
from stored_runs import coin, make_run

from harness.cli.leaderboard import command
from harness.cli.main import cli
from harness.errors import StoreError, UnknownName
from harness.leaderboard import Standing, build, load_results, split_notes
from harness.run.folder import RunFolder
from harness.run.result import Item
from harness.run.store import write_result
from harness.types import Estimate, Json

ESTIMATE = Estimate(0.5, 0.4, 0.6, 0.05, 2, 2)
KEYS = ["suite", "model", "metric", "value", "low", "high", "n_problems", "n_samples", "counts"]


def board(results: Path, *args: str) -> Result:
    return CliRunner().invoke(command, ["--results-dir", str(results), *args], standalone_mode=False)


def standings(results: Path, **choices: object) -> list[Standing]:
    return [s for group in build(load_results(results)[0], **choices) for s in group.standings]  # type: ignore[arg-type]


def test_json_is_the_documented_shape(tmp_path: Path) -> None:
    make_run(tmp_path, "mock:a", coin(0.7, 100, 1))
    out = json.loads(board(tmp_path, "--json").stdout)
    assert list(out) == ["rows"]
    assert list(out["rows"][0])[: len(KEYS)] == KEYS
    assert out["rows"][0]["n_problems"] == 100
    assert set(out["rows"][0]["counts"]) == {"scored", "no_answer", "refused", "truncated", "unscored", "error"}


def test_one_run_and_none(tmp_path: Path) -> None:
    make_run(tmp_path, "mock:a", [1.0, 0.0])
    assert "mock:a" in board(tmp_path).stdout
    assert standings(tmp_path)[0].rank is None
    (tmp_path / "empty").mkdir()
    nothing = board(tmp_path / "empty", "--json")
    assert json.loads(nothing.stdout) == {"rows": []}
    with pytest.raises(StoreError, match="no results folder"):
        load_results(tmp_path / "absent")


def test_clear_winner_outranks_and_equal_models_tie(tmp_path: Path) -> None:
    same = coin(0.5, 200, 3)
    nearly = [1.0 - same[0], *same[1:]]
    make_run(tmp_path, "mock:good", coin(0.95, 200, 1))
    make_run(tmp_path, "mock:one", same)
    make_run(tmp_path, "mock:two", nearly)
    by_model = {s.model: s for s in standings(tmp_path)}
    assert (by_model["mock:good"].rank, by_model["mock:one"].rank, by_model["mock:two"].rank) == (1, 2, 2)
    assert by_model["mock:one"].tied == ("mock:two",)
    assert by_model["mock:good"].tied == ()
    assert set(by_model["mock:one"].letters) & set(by_model["mock:two"].letters)


def test_holm_is_over_the_whole_board(tmp_path: Path) -> None:
    """7 wins to 0 has p = 1/64 alone; among 20 boards' worth of comparisons it is no finding."""
    wins, flat = [1.0] * 7 + [0.0] * 13, [0.0] * 20
    make_run(tmp_path, "mock:a", wins, suite="s00")
    make_run(tmp_path, "mock:b", flat, suite="s00")
    assert [s.rank for s in standings(tmp_path)] == [1, 2]
    for i in range(1, 20):
        for model in ("mock:a", "mock:b"):
            make_run(tmp_path, model, flat, suite=f"s{i:02d}")
    assert {s.rank for s in standings(tmp_path)} == {1}


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"suite_version": "2"}, "version"),
        ({"data_sha256": "e" * 64}, "data"),
        ({"limit": 4}, "limit"),
        ({"sampling": {"temperature": 0.6, "top_p": 0.95, "max_tokens": 2048, "stop": []}}, "sampling"),
        ({"imported_from": "lm-eval"}, "tool"),
    ],
)
def test_incomparable_runs_are_never_in_one_ranking(tmp_path: Path, change: dict[str, object], word: str) -> None:
    make_run(tmp_path, "mock:a", [1.0] * 20)
    make_run(tmp_path, "mock:b", [0.0] * 20, run_id="other", **change)
    found = build(load_results(tmp_path)[0])
    assert [len(group.standings) for group in found] == [1, 1]
    assert all(s.rank is None for group in found for s in group.standings)
    assert word in split_notes(found)[0]
    assert word in board(tmp_path).stderr


def test_different_n_is_one_group_with_a_note(tmp_path: Path) -> None:
    make_run(tmp_path, "mock:a", [1.0] * 20, n=1)
    make_run(tmp_path, "mock:b", [0.5] * 20, n=4)
    (group,) = build(load_results(tmp_path)[0])
    assert "samples per problem differ: 1, 4" in " ".join(group.notes)


@pytest.mark.parametrize(
    ("identities", "shown"),
    [
        (({}, {}), ("seed=0", "seed=1")),
        (({"think": True, "w": "x"}, {"think": False, "w": "x"}), ("think=true, seed=0", "think=false, seed=1")),
        (({"adapter": "a", "adapter_fingerprint": "1"}, {"adapter_fingerprint": "2"}),
         ("adapter=a, seed=0", "adapter=unset, seed=1")),
        (({"parts": {"n": 1}}, {"parts": {"n": 2}}), ("aaaa", "bbbb")),
        (({"address": "h" * 60}, {"address": "i"}), ("aaaa", "bbbb")),
    ],
)  # fmt: skip
def test_two_runs_of_one_model_are_told_apart(
    tmp_path: Path, identities: tuple[dict[str, Json], dict[str, Json]], shown: tuple[str, str]
) -> None:
    for seed, (end, identity) in enumerate(zip(("aaaa", "bbbb"), identities, strict=True)):
        make_run(tmp_path, "mock:a", [1.0 - seed] * 5, run_id=f"toy-mock-a-{end}", seed=seed, model_identity=identity)
    assert [s.model for s in standings(tmp_path)] == [f"mock:a [{label}]" for label in shown]


def test_runs_that_were_made_with_the_same_are_told_apart_by_id(tmp_path: Path) -> None:
    for end in ("a-1", "b-1"):
        make_run(tmp_path, "mock:a", [1.0] * 5, run_id=end)
    assert [s.model for s in standings(tmp_path)] == ["mock:a [a-1]", "mock:a [b-1]"]


def test_a_baseline_of_several_runs_is_said_and_one_of_them_can_be_named(tmp_path: Path) -> None:
    for suite in ("toy", "other"):
        for seed, right in enumerate((0.9, 0.5)):
            make_run(tmp_path, "mock:a", coin(right, 50, seed), run_id=f"{suite}-a-{seed}", seed=seed, suite=suite)
    out = board(tmp_path, "--baseline", "mock:a").stdout
    assert out.count("has 2 runs here, and the best of them is held against: another by its name") == 2
    assert "--baseline 'mock:a [seed=1]'" in out
    held = standings(tmp_path, baseline="mock:a [seed=1]")
    assert [(s.model, s.versus is None) for s in held] == [("mock:a [seed=0]", False), ("mock:a [seed=1]", True)] * 2
    assert "note" not in board(tmp_path, "--baseline", "mock:a [seed=1]").stdout
    with pytest.raises(UnknownName, match="model among the stored runs"):
        standings(tmp_path, baseline="mock:a [seed=2]")


def test_missing_and_truncated_are_warned_about(tmp_path: Path) -> None:
    make_run(tmp_path, "mock:gap", [1.0, 0.0, None, None])
    counts = {"scored": 96, "no_answer": 0, "truncated": 4, "unscored": 0, "error": 0}
    make_run(tmp_path, "mock:cut", [1.0] * 100, counts=counts, suite="other")
    out = board(tmp_path).stdout
    assert "mock:gap: with the missing scores the value could be 25.0 to 75.0" in out
    assert "mock:cut: 4.0% of the samples were cut by the limit of 2048 tokens" in out


def test_a_rating_is_shown_on_its_own_scale(tmp_path: Path) -> None:
    bounds = (2.5, 7.0)
    for name, value in (("rating", 4.0), ("rating:math", 1.0)):
        estimate = Estimate(value, value, value, 0.0, 3, 3, {"scored": 3, "unscored": 1}, bounds)
        estimates, items = {name: estimate}, {f"p{i}": Item(value, 1) for i in range(3)}
        make_run(tmp_path, "mock:rated", [1.0], headline=name, estimates=estimates, items=items, suite=name[-4:])
    out = board(tmp_path).stdout
    assert "4.0" in out
    assert "1.0" in out
    assert "400" not in out
    assert "100.0" not in out
    assert out.count("with the missing scores the value could be 2.5 to 7.0") == 2


def test_grader_versions_that_differ_are_warned_about(tmp_path: Path) -> None:
    make_run(tmp_path, "mock:a", [1.0] * 5, graders={"math": "math/1+math-verify-0.9.0"})
    make_run(tmp_path, "mock:b", [1.0] * 5, graders={"math": "math/1+math-verify-0.5.2"})
    assert "different versions of math" in board(tmp_path).stdout


@pytest.mark.parametrize("content", ['{"schema": 1, "run_id"', "[]", '{"schema": 99}', "null", "\x00\xff", ""])
def test_unreadable_results_are_named_and_the_rest_is_shown(tmp_path: Path, content: str) -> None:
    make_run(tmp_path, "mock:a", [1.0] * 5)
    bad = make_run(tmp_path, "mock:b", [1.0] * 5)
    (bad / "result.json").write_bytes(content.encode("latin-1"))
    outcome = board(tmp_path)
    assert outcome.return_value == 1
    assert str(bad / "result.json") in outcome.stderr
    assert "mock:a" in outcome.stdout
    assert "mock:b" not in outcome.stdout


def test_unfinished_runs_are_a_note_and_no_failure(tmp_path: Path) -> None:
    make_run(tmp_path, "mock:a", [1.0] * 5)
    (make_run(tmp_path, "mock:b", [1.0] * 5) / "result.json").unlink()
    (tmp_path / "runs" / "stray.txt").write_text("x")
    outcome = board(tmp_path)
    assert outcome.return_value == 0
    assert "1 run(s) without a result yet" in outcome.stderr


def test_records_are_never_opened(tmp_path: Path) -> None:
    directory = make_run(tmp_path, "mock:a", [1.0] * 5)
    (directory / "records.jsonl").write_text("this is not JSON")
    (directory / "scores.jsonl").write_text("neither is this")
    assert board(tmp_path).return_value == 0


def test_filters_and_unknown_names(tmp_path: Path) -> None:
    make_run(tmp_path, "mock:a", [1.0] * 5)
    make_run(tmp_path, "mock:b", [0.0] * 5)
    make_run(tmp_path, "mock:a", [0.0] * 5, suite="other")
    assert len(standings(tmp_path, suites=["toy"])) == 2
    assert len(standings(tmp_path, models=["mock:a"])) == 2
    with pytest.raises(UnknownName, match=r"Did you mean 'mock:a'"):
        standings(tmp_path, models=["mock:aa"])
    with pytest.raises(UnknownName, match="suite"):
        standings(tmp_path, suites=["toyy"])
    with pytest.raises(UnknownName, match="metric"):
        standings(tmp_path, metrics=["pass@8"])


def test_other_metrics_have_no_ranks_and_fewer_tokens_is_better(tmp_path: Path) -> None:
    for model, tokens in (("mock:a", 50.0), ("mock:b", 20.0)):
        directory = make_run(tmp_path, model, [1.0] * 5)
        result = RunFolder(directory).result
        few = replace(result.estimates["tokens_out"], value=tokens, low=tokens - 1, high=tokens + 1)
        write_result(directory, replace(result, estimates={**result.estimates, "tokens_out": few}))
    found = standings(tmp_path, metrics=["tokens_out"])
    assert [(s.model, s.rank) for s in found] == [("mock:b", None), ("mock:a", None)]
    assert "20.0 ± 1.0" in board(tmp_path, "--metric", "tokens_out").stdout
    assert len(standings(tmp_path, metrics=["all"])) == 4


def test_a_difference_stands_in_the_unit_of_the_metric(tmp_path: Path) -> None:
    rating = {"headline": "rating", "estimates": {"rating": Estimate(7.0, 6.0, 8.0, 0.5, 4, 4)}, "judge": "a judge"}
    make_run(tmp_path, "mock:base", [7.0, 6.0, 5.0, 8.0], **rating)
    make_run(tmp_path, "mock:other", [8.0, 8.0, 7.0, 9.0], **rating)
    table = board(tmp_path, "--baseline", "mock:base").stdout
    assert "+1.5 [" in table and "- rating\n" in table


def test_a_metric_that_nothing_is_known_of_is_told(tmp_path: Path) -> None:
    make_run(tmp_path, "mock:a", [1.0, 0.0], estimates={"avg@n": ESTIMATE, "gone": ESTIMATE})
    make_run(
        tmp_path, "mock:b", [1.0, 0.0], estimates={"avg@n": ESTIMATE}, headline="acc,none", imported_from="lm-eval"
    )
    table = board(tmp_path, "--metric", "gone", "--metric", "avg@n").stdout
    assert table.count("gone is no metric here (is its plugin installed?): taken as better when higher") == 1
    assert "acc,none is no metric" not in table


def test_baseline_shows_paired_differences(tmp_path: Path) -> None:
    make_run(tmp_path, "mock:base", [0.0] * 50)
    make_run(tmp_path, "mock:new", [1.0] * 20 + [0.0] * 30)
    by_model = {s.model: s for s in standings(tmp_path, baseline="mock:base")}
    versus = by_model["mock:new"].versus
    assert versus is not None
    assert versus.diff == pytest.approx(0.4)
    assert by_model["mock:base"].versus is None
    row = json.loads(board(tmp_path, "--baseline", "mock:base", "--json").stdout)["rows"][0]
    assert (row["model"], row["delta"]) == ("mock:new", pytest.approx(0.4))
    assert "+40.0" in board(tmp_path, "--baseline", "mock:base").stdout


def test_reference_rows_are_marked_and_only_for_their_suite(tmp_path: Path) -> None:
    make_run(tmp_path, "mock:a", [1.0] * 30, suite="aime24")
    make_run(tmp_path, "mock:a", [1.0] * 5, suite="toy")
    rows = json.loads(board(tmp_path, "--reference", "--json").stdout)["rows"]
    published = [row for row in rows if row["published"]]
    assert {row["suite"] for row in published} == {"aime24"}
    assert all(row["rank"] is None and row["low"] is None and row["source"] for row in published)
    rlkd = [row for row in published if "RLKD)" in row["model"]]
    assert [row["value"] for row in rlkd] == [pytest.approx(0.536)]  # of 1, 4, … 64 samples, the average over 64
    assert "published, not measured here" in board(tmp_path, "--reference").stdout
    assert not any(row["published"] for row in json.loads(board(tmp_path, "--json").stdout)["rows"])


def test_hostile_names_reach_no_format_raw(tmp_path: Path) -> None:
    make_run(tmp_path, "=evil\x1b[31m<script>|[red]", [1.0] * 5, run_id="x")
    assert "\x1b" not in board(tmp_path).stdout
    assert "<script>" not in board(tmp_path, "--format", "md").stdout
    assert "'=evil" in board(tmp_path, "--format", "csv").stdout
    page = tmp_path / "page.html"
    board(tmp_path, "--html", str(page))
    assert "<script>|" not in page.read_text(encoding="utf-8")
    assert "&lt;script&gt;|" in page.read_text(encoding="utf-8")
    assert "<svg" in page.read_text(encoding="utf-8")


def test_large_groups_are_tested_against_the_best_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.leaderboard.MAX_PAIRS", 2)
    make_run(tmp_path, "mock:a", [1.0] * 40)
    make_run(tmp_path, "mock:b", [1.0] * 20 + [0.0] * 20)
    make_run(tmp_path, "mock:c", [0.0] * 40)
    assert [s.rank for s in standings(tmp_path)] == [1, 2, 2]  # b and c were not tested against each other


@given(data=st.data())
@settings(max_examples=60)
def test_no_strange_value_in_a_result_file_breaks_the_board(data: st.DataObject) -> None:
    """Any one place of a result file replaced by something else: shown or refused by name, never a crash."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_run(folder, "mock:a", [1.0, 0.0])
        path = make_run(folder, "mock:b", [1.0, None]) / "result.json"
        raw = json.loads(path.read_text(encoding="utf-8"))
        inner, place = raw, data.draw(st.sampled_from(sorted(raw)))
        while isinstance(inner[place], dict) and inner[place] and data.draw(st.booleans()):
            inner, place = inner[place], data.draw(st.sampled_from(sorted(inner[place])))
        inner[place] = data.draw(
            st.sampled_from([None, True, -1, 1e999, "x", [], {}, [[1]], {"a": {"b": 1}}, "\x1b[1m"])
        )
        path.write_text(json.dumps(raw), encoding="utf-8")
        for form in ("table", "json", "md", "csv"):
            outcome = board(folder, "--format", form)
            assert "mock:a" in outcome.stdout
            assert outcome.return_value == 0 or str(path) in outcome.stderr


def test_all_metrics_of_a_run_stand_in_one_row(tmp_path: Path) -> None:
    def ran(*words: str) -> None:
        told = ["run", "--suite", "synth_easy", "--limit", "4", "--results-dir", str(tmp_path), "--quiet", *words]
        assert CliRunner().invoke(cli, told).exit_code == 0

    ran("--model", "mock:gold", "--model", "mock:wrong", "--metric", "format:think")
    ran("--model", "mock:garbled")
    told = ["leaderboard", "--results-dir", str(tmp_path)]
    result = CliRunner().invoke(cli, [*told, "--metric", "all"])
    head, _, first, *_ = result.stdout.splitlines()[1:]
    assert "avg@n" in head and "tokens_out [tok]" in head and "format:think" in head
    assert first.split()[:3] == ["1", "a", "mock:gold"] and "5.0 ± 0.0" in first
    assert sum("mock:gold" in line for line in result.stdout.splitlines()) == 1
    some = CliRunner().invoke(cli, [*told, "--metric", "format:think", "--metric", "tokens_out"]).stdout
    (garbled,) = [line for line in some.splitlines() if "mock:garbled" in line]  # it has but one of the two
    assert " -  " in garbled and "tok" in some
    rows = json.loads(CliRunner().invoke(cli, [*told, "--metric", "all", "--json"]).stdout)["rows"]
    assert len(rows) > 6  # one for each number
