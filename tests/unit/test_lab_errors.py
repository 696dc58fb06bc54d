"""The pairs on which a judge errs: found again with what misled it, told in one line and planned for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness.cli.judge_lab import command
from harness.models.reply_cache import Cache
from harness.report.lab import lab_text
from harness.report.lab_verdict import verdict_lines
from judges.lab.arm import JudgeArm
from judges.lab.errors import error_groups, judge_errors
from judges.lab.labelled_pair import Label, LabelledPair
from judges.lab.session import LabReport, lab
from judges.lab.sets import PairSet
from judges.lab.votes import PairVotes, Vote
from judges.prompts.rubric import load_rubric
from tests.scripted_judge import ErrorModel, ScriptedJudge, synthetic_pairs

LIST = "words\n- one\n- two"


def outcome(number: int, label: Label, first: Label, second: Label, a: str = "x", b: str = "y") -> PairVotes:
    """`first`: the choice with `a` shown first."""
    pair = LabelledPair(f"p{number}", ("q?",), (a,), (b,), label, model_a="me", model_b="you")
    votes = (Vote(first, "candidate_first", 0, "because one"), Vote(second, "opponent_first", 0, "because two"))
    return PairVotes(pair, votes, ("candidate_first", "opponent_first"))


def test_each_error_is_in_the_groups_that_could_have_misled_it() -> None:
    found = judge_errors(
        [
            outcome(0, "a", "a", "a"),
            outcome(1, "a", "a", "b"),
            outcome(2, "b", "a", "a", a="a longer text", b="short"),
            outcome(3, "b", "a", "a", a=LIST, b="a text that is far longer than the other"),
            outcome(4, "b", "a", "a", a="x", b="y"),
        ],
        ["me"],
    )
    assert {error.id: error.groups for error in found} == {
        "p1": ("position",),
        "p2": ("length", "self"),
        "p3": ("lists", "self"),
        "p4": ("self",),
    }
    assert [error.loss for error in found] == [1.0, 1.0, 1.0, 0.5], "flips last"
    assert [vote.reason for vote in found[-1].votes] == ["because one", "because two"]


def test_an_error_that_nothing_explains_is_other_and_what_is_unscored_is_none() -> None:
    assert judge_errors([outcome(0, "a", "b", "b")])[0].groups == ("other",)
    pair = outcome(1, "a", "b", "b")
    assert judge_errors([PairVotes(pair.pair, pair.votes[:1], pair.orders)]) == []


def test_a_group_has_its_pairs_at_risk_beside_the_others() -> None:
    outcomes = [outcome(n, "b", "a", "a", a="longer", b="s") for n in range(3)]
    outcomes += [outcome(n, "b", "b", "b", a="longer", b="s") for n in range(3, 5)]
    outcomes += [outcome(n, "a", "a", "a", a="longer", b="s") for n in range(5, 15)]
    (group,) = error_groups(outcomes)
    assert (group.name, group.errors, group.at_risk) == ("length", 3, 5)
    assert group.rate.value == pytest.approx(0.6) and group.elsewhere is not None and group.elsewhere.value == 0.0


def report(errors: ErrorModel, *rubrics: str, count: int = 120) -> LabReport:
    pairs = synthetic_pairs(count, seed=2)
    model = ScriptedJudge(pairs, errors).model()
    with Cache(None) as cache:
        return lab(
            PairSet("mine", tuple(pairs), "hash", "made up"),
            [JudgeArm.of(model, load_rubric(name)) for name in rubrics],
            cache,
        )


def test_a_judge_that_loves_length_is_seen_to() -> None:
    found = report(ErrorModel(skill=1.0, length=3.0, shared=1.0), "pairwise_5")
    (arm,) = found.arms
    worst = arm.error_groups[0]
    assert worst.name == "length" and worst.elsewhere is not None and worst.rate.low > worst.elsewhere.high
    line = verdict_lines(found)[0]
    assert line.startswith("pairwise_5 ") and "prefers the longer answer by +" in line
    text = lab_text(found, "table", show=2, errors=True)
    assert text.index("errs on") < text.index("agrees with the label, per vote"), "disagreements first"
    shown = arm.errors[0]
    assert shown.id in text and shown.votes[0].reason[:20] in text and "b shown first" in text
    assert max(len(row) for row in text.splitlines()) <= 240


def test_dimensions_that_misrate_are_groups() -> None:
    levels = {"better": (0.2, 0.2, 0.2, 0.2, 0.2), "worse": (0.2, 0.2, 0.2, 0.2, 0.2)}
    (arm,) = report(ErrorModel(levels=levels), "cot_quality", count=40).arms
    assert {group.name.partition(":")[0] for group in arm.error_groups} >= {"dimension"}
    assert all(group.at_risk <= arm.scored for group in arm.error_groups)


def test_json_has_the_verdict_the_errors_and_the_differences_of_subsets(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(Path("rubrics/pairwise_5.toml").read_text("utf-8").replace("How to", "How I"))
    found = report(ErrorModel(skill=0.5), "pairwise_5", str(tmp_path / "mine.toml"))
    told = json.loads(lab_text(found, "json", show=0))
    assert len(told["verdict"]) == 3 and told["verdict"][0].startswith("no difference between mine and pairwise_5")
    assert len(told["arms"][0]["errors"]) == len(found.arms[0].errors) > 0
    assert set(told["comparisons"][0]["subsets"]) == {"even", "odd"}
    assert all(one["p_holm"] >= one["p"] for one in told["comparisons"][0]["subsets"].values())
    table = lab_text(found, "table", show=0)
    part = table[table.index("by subset") :].splitlines()
    assert "second - first [95 % CI]" in part[1], "per-subset differences"


def test_a_dry_run_says_what_it_would_cost_and_asks_nobody(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    rows = [{"question": p.turns[0], "a": p.a[0], "b": p.b[0], "label": p.label} for p in synthetic_pairs(6)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    said = ["--set", str(path), "--judge", "mock:judge", "--rubric", "pairwise_5", "--rubric", "rating_10", "--dry-run"]
    done = CliRunner().invoke(command, [*said, "--results-dir", str(tmp_path / "results")])
    assert done.exit_code == 0, done.output
    assert "Plan (nobody is asked)" in done.output and "6 pairs" in done.output and "12" in done.output
    assert "no cost without" in done.output and not (tmp_path / "results").exists()
