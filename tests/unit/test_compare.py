"""`harness compare`: which runs may be compared, what is counted, which problems flipped."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from stored_runs import coin, make_run

from harness.cli.compare import command
from harness.compare import Pair, compare_runs
from harness.errors import StoreError, UsageError
from harness.metrics.length import TokenReduction
from harness.run.folder import RunFolder, find_run
from harness.run.result import Item
from harness.types import Estimate
from judges.protocols.arena.score import ratio


def pairs(*directories: Path, force: bool = False) -> list[Pair]:
    return compare_runs([RunFolder(directory) for directory in directories], force=force)


def run(results: Path, *args: str) -> Result:
    return CliRunner().invoke(command, ["--results-dir", str(results), *args], standalone_mode=False)


def test_second_minus_first_with_wins_losses_ties(tmp_path: Path) -> None:
    a = make_run(tmp_path, "mock:a", [0, 0, 0, 1, 1, 0, 0, 0, 0, 0])
    b = make_run(tmp_path, "mock:b", [1, 1, 1, 0, 1, 0, 0, 0, 0, 0])
    (pair,) = pairs(a, b)
    outcome = pair.outcome
    assert outcome.diff == pytest.approx(0.2)
    assert (outcome.wins, outcome.losses, outcome.ties) == (3, 1, 6)
    assert outcome.test == "mcnemar"
    assert outcome.p == pytest.approx(0.625)  # 3 of 4: 2 * (1 + 4) / 16
    assert outcome.low < 0.2 < outcome.high


def test_where_lower_is_better_a_lower_value_wins(tmp_path: Path) -> None:
    price = {"headline": "tokens_out", "estimates": {"tokens_out": Estimate(5.0, 4.0, 6.0, 0.5, 4, 4)}}
    a = make_run(tmp_path, "mock:a", [9.0, 9.0, 9.0, 1.0], **price)
    b = make_run(tmp_path, "mock:b", [3.0, 4.0, 9.0, 2.0], **price)
    (pair,) = pairs(a, b)
    assert pair.outcome.diff == pytest.approx(-2.5)
    assert (pair.outcome.wins, pair.outcome.losses, pair.outcome.ties) == (2, 1, 1)
    assert "tokens_out is better when lower: a problem with a lower value is a win" in pair.notes
    assert "values and differences are in tok" in pair.notes
    (row,) = json.loads(run(tmp_path, a.name, b.name, "--json").stdout)["rows"]
    assert (row["better"], row["share"], row["delta"]) == ("lower", False, pytest.approx(-2.5))


def test_flips_are_biggest_first_then_by_id(tmp_path: Path) -> None:
    a = make_run(tmp_path, "mock:a", [0.5, 1.0, 0.0, 0.25], n=4)
    b = make_run(tmp_path, "mock:b", [0.25, 0.0, 0.0, 0.5], n=4)
    (pair,) = pairs(a, b)
    assert [(flip.problem_id, flip.change) for flip in pair.flips] == [("p001", -1.0), ("p000", -0.25), ("p003", 0.25)]


def test_only_common_scored_problems_count(tmp_path: Path) -> None:
    a = make_run(tmp_path, "mock:a", [1.0, 0.0, None, 1.0], limit=4)
    b = make_run(tmp_path, "mock:b", [0.0, None, 1.0], limit=3)
    (pair,) = pairs(a, b)
    assert pair.outcome.n_problems == 1
    assert (pair.only_reference, pair.only_other) == (2, 1)
    notes = " ".join(pair.notes)
    assert "problem limits differ (4 and 3)" in notes
    assert "with the missing scores its value could be" in notes


def test_no_limit_is_said_in_words(tmp_path: Path) -> None:
    (pair,) = pairs(make_run(tmp_path, "mock:a", [1.0], limit=1), make_run(tmp_path, "mock:b", [0.0, 1.0]))
    assert "problem limits differ (1 and all): only common problems count" in " ".join(pair.notes)


def test_token_reduction_is_of_the_second_against_the_first(tmp_path: Path) -> None:
    a = make_run(tmp_path, "mock:a", [1.0] * 5, tokens=200)
    b = make_run(tmp_path, "mock:b", [1.0] * 5, tokens=50)
    c = make_run(tmp_path, "mock:c", [1.0] * 5, tokens=None)
    saved, unknown = pairs(a, b, c)
    assert isinstance(saved.reduction.replies, TokenReduction)
    assert (saved.reduction.replies.atr.value, saved.reduction.replies.otr.value) == (75.0, 75.0)
    assert isinstance(unknown.reduction.replies, str) and "token" in unknown.reduction.replies


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"suite_version": "2"}, "version '1' in one and '2'"),
        ({"data_sha256": "e" * 64}, "data differ"),
        ({"imported_from": "lighteval"}, "made by lighteval"),
        ({"headline": "tokens_out"}, "not the same quantity"),
        ({"judge": "cot_math@1#0 by openai:j (0)"}, "by the suite's grader, the other by judge 'cot_math@1#0"),
    ],
)
def test_incomparable_runs_are_refused_with_the_reason(tmp_path: Path, change: dict[str, str], words: str) -> None:
    a = make_run(tmp_path, "mock:a", [1.0] * 5)
    b = make_run(tmp_path, "mock:b", [1.0] * 5, **change)
    with pytest.raises(UsageError) as error:
        pairs(a, b) if "imported_from" not in change else pairs(b, a)
    assert words in str(error.value)
    assert pairs(a, b, force=True)


def test_two_judges_are_two_scales(tmp_path: Path) -> None:
    a = make_run(tmp_path, "mock:a", [1.0, 0.0, 0.5], judge="cot_math@1#0 by openai:j (0)")
    b = make_run(tmp_path, "mock:b", [0.5, 0.5, 0.5], judge="cot_math@1#0 by openai:j (0)")
    other = make_run(tmp_path, "mock:c", [0.5, 0.5, 0.5], judge="cot_math@1#0 by openai:k (0)")
    assert pairs(a, b)[0].outcome.n_problems == 3
    with pytest.raises(UsageError, match=r"openai:j.*openai:k"):
        pairs(a, other)


def test_problems_of_a_weighted_score_are_counted_by_their_own_worth(tmp_path: Path) -> None:
    """Arena-Hard stores contributions to a share of votes: both win p000 clearly, and the better run's is smaller."""
    worth = {"mock:a": [1.0, 0.0, 0.0, 0.0], "mock:b": [1.0, 0.0, 1.0, 1.0]}
    weights = {"p000": 6.0, "p001": 2.0, "p002": 2.0, "p003": 2.0}
    runs = []
    for model, values in worth.items():
        points = {problem: weight * value for (problem, weight), value in zip(weights.items(), values, strict=True)}
        items = {problem: Item(value, 1) for problem, value in ratio(points, weights, {})[1].items()}
        runs.append(make_run(tmp_path, model, values, items=items, judge="arena_hard by openai:j"))
    (pair,) = pairs(*runs)
    assert pair.outcome.diff == pytest.approx(10 / 12 - 6 / 12)
    assert (pair.outcome.wins, pair.outcome.losses, pair.outcome.ties) == (2, 0, 2)
    assert [(flip.problem_id, flip.change) for flip in pair.flips] == [("p002", 1.0), ("p003", 1.0)]


def test_problems_of_a_rating_are_shown_on_its_scale(tmp_path: Path) -> None:
    runs = []
    for model, values in {"mock:a": [0.7, 0.5], "mock:b": [0.9, 0.5]}.items():
        items = {f"p{i:03d}": Item(10 * value, 1) for i, value in enumerate(values)}
        runs.append(make_run(tmp_path, model, values, items=items, judge="mt_bench by openai:j"))
    (pair,) = pairs(*runs)
    assert [(flip.reference, flip.other) for flip in pair.flips] == [(7.0, 9.0)]


def test_other_suite_is_refused_and_pairs_of_suites_get_holm(tmp_path: Path) -> None:
    a, b = make_run(tmp_path, "mock:a", [0.0] * 9), make_run(tmp_path, "mock:b", [1.0] * 9)
    c, d = (make_run(tmp_path, m, [v] * 9, suite="other") for m, v in (("mock:a", 0.0), ("mock:b", 1.0)))
    with pytest.raises(UsageError, match="only one of suite 'other'"):
        pairs(a, b, c)
    both = pairs(a, b, c, d)
    assert [pair.p_holm for pair in both] == [pytest.approx(2 * pair.outcome.p) for pair in both]
    with pytest.raises(UsageError, match="no scored problem in common"):
        pairs(a, make_run(tmp_path, "mock:none", [None] * 9))


def test_differing_protocols_are_allowed_and_said(tmp_path: Path) -> None:
    a = make_run(tmp_path, "mock:a", [1.0] * 5, graders={"math": "1"})
    sampling = {"temperature": 0.6, "top_p": 1.0, "max_tokens": 2048, "stop": []}
    b = make_run(tmp_path, "mock:b", [0.5] * 5, n=2, sampling=sampling, graders={"math": "2"})
    notes = " ".join(pairs(a, b)[0].notes)
    assert "samples per problem differ: 1 and 2" in notes
    assert "temperature is 0.0 and 0.6" in notes
    assert "grader math is 1 and 2" in notes


def test_runs_are_named_by_id_beginning_or_path(tmp_path: Path) -> None:
    a = make_run(tmp_path, "mock:alpha", [1.0], run_id="toy-alpha-123")
    make_run(tmp_path, "mock:beta", [1.0], run_id="toy-beta-456")
    for name in ("toy-alpha-123", "toy-a", "alpha", str(a), str(a / "result.json")):
        assert find_run(tmp_path, name).path == a
    with pytest.raises(UsageError, match="2 runs: toy-alpha-123, toy-beta-456"):
        find_run(tmp_path, "toy")
    with pytest.raises(UsageError, match="Did you mean 'toy-alpha-123'"):
        find_run(tmp_path, "toy-alpa-123")
    with pytest.raises(UsageError, match="no run ''"):
        find_run(tmp_path, "")


def test_bad_arguments(tmp_path: Path) -> None:
    a = make_run(tmp_path, "mock:a", [1.0])
    with pytest.raises(UsageError, match="at least two"):
        pairs(a)
    with pytest.raises(UsageError, match="twice"):
        pairs(a, a)
    with pytest.raises(StoreError, match=r"result\.json does not exist"):
        pairs(a, tmp_path)


def test_json_lists_flips_and_table_cuts_them(tmp_path: Path) -> None:
    make_run(tmp_path, "mock:a", coin(0.5, 60, 1), run_id="a")
    make_run(tmp_path, "mock:b", coin(0.5, 60, 2), run_id="b")
    row = json.loads(run(tmp_path, "a", "b", "--json", "--show", "2").stdout)["rows"][0]
    assert (row["reference"], row["run"], len(row["flips"])) == ("a", "b", 2)
    assert row["n_flips"] == row["wins"] + row["losses"] > 2
    out = run(tmp_path, "a", "b", "--show", "2").stdout
    assert f"and {row['n_flips'] - 2} more" in out
    assert "mcnemar" in out
    assert "p000" not in run(tmp_path, "a", "b", "--show", "0").stdout


@pytest.mark.parametrize("ids", [("toy-a-1111111111", "toy-a-2222222222"), ("one-same", "two-same")])
def test_two_runs_of_one_model_name_are_told_apart(tmp_path: Path, ids: tuple[str, str]) -> None:
    for seed, (name, seen) in enumerate(zip(ids, ("http://a", "http://b"), strict=True)):
        make_run(tmp_path, "openai:m", [1.0, 0.0, 1.0], run_id=name, seed=seed, model_identity={"base_url": seen})
    done = run(tmp_path, *ids)
    (row,) = json.loads(run(tmp_path, *ids, "--json").stdout)["rows"]
    assert row["name"] != row["reference_name"]
    assert row["model"] == row["reference_model"] == "openai:m"
    assert all(name in done.stdout for name in (row["name"], row["reference_name"]))
    assert "base_url is http://a and http://b; seed is 0 and 1" in done.stdout
