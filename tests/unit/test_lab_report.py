"""`harness judge lab`: what it prints, in every format, and how it refuses."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from harness.cli.judge_lab import command
from harness.errors import ConfigError, DataError, HarnessError, TooManyFailures, UnknownName, UsageError
from harness.models.reply_cache import Cache
from harness.report.lab import lab_text
from harness.types import Estimate
from judges.lab.arm import JudgeArm
from judges.lab.labelled_pair import LabelledPair
from judges.lab.session import LabReport, lab
from judges.lab.sets import PairSet
from judges.lab.versus import prompt_diff, prompt_text
from judges.prompts.rubric import load_rubric
from tests.scripted_judge import ErrorModel, ScriptedJudge, synthetic_pairs
from tests.stub_server import StubServer

RUBRICS = Path(__file__).resolve().parents[2] / "rubrics"


@pytest.fixture(scope="module")
def edited(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The five-way rubric with one more rule."""
    path = tmp_path_factory.mktemp("rubric") / "edited.toml"
    text = (RUBRICS / "pairwise_5.toml").read_text(encoding="utf-8")
    path.write_text(text.replace("How to work\n", "How to work\n- Mind the \u202econstraints.\n", 1), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def report(edited: Path) -> LabReport:
    pairs = synthetic_pairs(80, seed=1)
    pairs[0] = LabelledPair(
        "|evil\x1b[31m", pairs[0].turns, pairs[0].a, pairs[0].b, "a", votes=("a", "a", "b"), subset=pairs[0].subset
    )
    model = ScriptedJudge(pairs, ErrorModel(skill=1.0, first=1.0, broken=0.03)).model()
    arms = [JudgeArm.of(model, load_rubric(name)) for name in ("pairwise_5", str(edited))]
    with Cache(None) as cache:
        return lab(PairSet("mine", tuple(pairs), "hash", "made up", ("a note on the data",)), arms, cache)


def test_the_table_shows_measures_differences_changes_and_the_diff(report: LabReport) -> None:
    text = lab_text(report, "table", show=3)
    for part in (
        "mine: 80 pairs, labels of made up",
        "agrees with the label",
        "second - first",
        "prefers the longer answer",
        "log odds for being first",
        "pairs without a verdict",
        "two people agree on",
        "a note on the data",
        "without a verdict left out; accuracy could be",
        "Agrees with the label, by subset",
        "pairs got worse, pairwise_5 to edited",
        "+- Mind the constraints.",
        "--- pairwise_5@1#",
    ):
        assert part in text, part
    assert "\x1b" not in text and "\u202e" not in text, "foreign text is made safe"
    assert max(len(line) for line in text.splitlines()) <= 240


def test_a_diff_keeps_its_indentation(report: LabReport) -> None:
    text = lab_text(report, "md", show=0)
    assert "\n~~~~~~~~diff\n--- pairwise_5@1#" in text and text.rstrip().endswith("~~~~~~~~")
    assert "\n - Before you look" in text, "an unchanged line begins with a space"


def test_json_has_every_vote_and_change(report: LabReport) -> None:
    found: dict[str, Any] = json.loads(lab_text(report, "json", show=0))
    rows = {row["measure"]: row for row in found["rows"]}
    accuracy = report.arms[0].values["accuracy"]
    assert isinstance(accuracy, Estimate)
    assert rows["accuracy"]["arms"]["pairwise_5"]["value"] == accuracy.value
    assert rows["accuracy"]["arms"]["pairwise_5"]["bounds"] == list(accuracy.bounds or ())
    assert rows["strict"]["differences"]["edited - pairwise_5"]["test"] == "mcnemar"
    assert rows["kappa"]["differences"] == {"edited - pairwise_5": None}
    assert len(found["arms"]) == 2 and len(found["arms"][0]["items"]) == 80
    assert {vote["order"] for item in found["arms"][0]["items"] for vote in item["votes"]} == {
        "candidate_first",
        "opponent_first",
    }
    (comparison,) = found["comparisons"]
    assert len(comparison["changes"]) == len(report.comparisons[0].changes)
    assert comparison["diff"].startswith("--- pairwise_5@1#") and found["set"]["content"] == "hash"
    assert found["human_agreement"]["all"]["value"] == pytest.approx(1 / 3)


def test_csv_is_one_row_per_measure(report: LabReport) -> None:
    rows = list(csv.DictReader(io.StringIO(lab_text(report, "csv", show=0))))
    assert [row["measure"] for row in rows][:2] == ["accuracy", "strict"]
    assert float(rows[0]["arms.pairwise_5.value"]) > 0.5


def test_prompts_are_compared_as_the_judge_sees_them(edited: Path) -> None:
    one, other = load_rubric("pairwise_5"), load_rubric(str(edited))
    changed = [line for line in prompt_diff(one, other).splitlines()[2:] if line[:1] in "+-"]
    assert changed == ["+- Mind the \u202econstraints."]
    assert prompt_diff(one, one) == ""
    assert "(the question)" in prompt_text(one) and "(the other answer)" in prompt_text(one)
    assert "(the reference)" not in prompt_text(one), "the sets have none"


# --- the command ---


@pytest.fixture
def pairs_file(tmp_path: Path) -> Path:
    path = tmp_path / "pairs.jsonl"
    rows = [
        {"id": p.id, "question": p.turns[0], "a": p.a[0], "b": p.b[0], "label": p.label} for p in synthetic_pairs(12)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def invoke(tmp_path: Path, *arguments: str) -> Result:
    return CliRunner().invoke(command, [*arguments, "--results-dir", str(tmp_path / "results")])


@pytest.mark.slow
def test_the_command_end_to_end_and_again_from_the_cache(tmp_path: Path, pairs_file: Path, edited: Path) -> None:
    judge = ScriptedJudge(synthetic_pairs(12), ErrorModel())
    with StubServer(keep=False) as server:
        server.choose = judge.choose
        arguments = ["--set", str(pairs_file), "--rubric", "pairwise_5", "--rubric", str(edited)]
        arguments += ["--judge", "openai:stub-model", "--judge-arg", f"base_url={server.url}"]
        done = invoke(tmp_path, *arguments, "--json")
        assert done.exit_code == 0, done.output
        assert server.count == 48
        again = invoke(tmp_path, *arguments, "--json")
        assert server.count == 48, "nothing is asked twice"
    first, second = (json.loads(run.stdout) for run in (done, again))
    assert first["comparisons"] == second["comparisons"]
    assert [arm["replies"]["requested"] for arm in second["arms"]] == [0, 0]
    assert "judge pairwise_5: 24/24 judgments" in done.stderr.replace("  ", " ")


BASE = ("--judge", "mock:judge", "--rubric", "pairwise_5")


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ((*BASE, "--set", "llmber"), UnknownName, "llmbar"),
        ((*BASE, "--set", "FILE", "--rubric", "pairwise_5"), UsageError, "named twice"),
        ((*BASE, "--set", "FILE", "--judge", "mock:judge"), UsageError, "named twice"),
        ((*BASE, "--set", "FILE", "--rubric", "pairwise_6"), UnknownName, "pairwise_5"),
        ((*BASE, "--set", "FILE", "--rubric", "structure_match"), UsageError, "which is better"),
        ((*BASE, "--set", "FILE", "--budget", "lots"), ConfigError, "lots"),
        ((*BASE, "--set", "FILE", "--budget", "5usd"), ConfigError, "price"),
        ((*BASE, "--set", "absent.jsonl"), DataError, "no file"),
        ((*BASE, "--set", "FILE", "--subset", "x"), UnknownName, "subset"),
        (("--judge", "mock:silent", "--rubric", "pairwise_5", "--set", "FILE"), TooManyFailures, "not one reply"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_line(
    tmp_path: Path, pairs_file: Path, arguments: tuple[str, ...], error: type[HarnessError], says: str
) -> None:
    done = invoke(tmp_path, *(str(pairs_file) if word == "FILE" else word for word in arguments))
    assert isinstance(done.exception, error), done.output
    assert says in str(done.exception) and "\n" not in str(done.exception)


def test_the_mock_judge_is_a_coin(tmp_path: Path, pairs_file: Path) -> None:
    for rubric in ("pairwise_5", "cot_quality", "rating_10"):
        done = invoke(tmp_path, "--judge", "mock:judge", "--rubric", rubric, "--set", str(pairs_file), "--quiet")
        assert done.exit_code == 0, done.output
        assert "agrees with the label" in done.stdout and done.stderr == ""


def test_several_prompts_and_judges_are_compared_in_one_thing_at_a_time(edited: Path) -> None:
    pairs = synthetic_pairs(20)
    models = [ScriptedJudge(pairs, ErrorModel(variant=name)).model(f"s:{name}") for name in ("x", "y")]
    rubrics = [load_rubric(name) for name in ("pairwise_5", str(edited))]
    arms = [JudgeArm.of(model, rubric) for model in models for rubric in rubrics]
    with Cache(None) as cache:
        found = lab(PairSet("mine", tuple(pairs), "hash", "made up"), arms, cache)
    assert [(one.first, one.second) for one in found.comparisons] == [
        ("pairwise_5 by s:x", "edited by s:x"),
        ("pairwise_5 by s:x", "pairwise_5 by s:y"),
        ("pairwise_5 by s:y", "edited by s:y"),
        ("edited by s:x", "edited by s:y"),
    ]
    assert all(one.p_holm is not None and one.p_holm >= one.differences["accuracy"].p for one in found.comparisons)
    text = lab_text(found, "table", show=0)
    assert "Second minus first on the same pairs" in text and "p (Holm)" in text
    assert max(len(line) for line in text.splitlines()) <= 240
