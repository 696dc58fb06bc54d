"""`harness analyze hallucination`: planted kinds of answers and faults of thoughts come out as they were planted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, roc_auc_score
from system_fakes import command

from harness.analyses import judging
from harness.models.mock import MockModel
from harness.run.folder import RunFolder
from harness.stats.calibration import auroc, brier_score, calibration_error
from harness.types import Completion, Json, Request

CIRCLES = "I add the two numbers and then I add them again. " * 6
PLAIN = "I add the two numbers of the story, carry the one where it is needed, write down the sum and check it once."


def test_calibration_is_scikit_learns_with_weights_and_ties() -> None:
    rng = np.random.default_rng(3)
    p, right, weights = rng.integers(0, 11, 200) / 10, rng.integers(0, 2, 200).astype(float), rng.random(200)
    assert auroc(p, right, weights) == pytest.approx(roc_auc_score(right, p, sample_weight=weights))
    assert brier_score(p, right, weights) == pytest.approx(brier_score_loss(right, p, sample_weight=weights))
    assert np.isnan(auroc(p, np.ones(200), weights))
    # Two bins: .25 stated and half right, .75 stated and all right.
    stated, true = np.array([0.25, 0.25, 0.75, 0.75]), np.array([0.0, 1.0, 1.0, 1.0])
    assert calibration_error(stated, true, np.ones(4)) == pytest.approx(0.25)


class Judge:
    """Says what the words that were planted deserve."""

    name = "planted-judge"

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.identity: Mapping[str, Json] = {"engine": "planted"}

    def describe(self) -> Mapping[str, Json]:
        return self.identity

    async def answer(self, asked: Request) -> Completion:
        system, shown = (message.content for message in asked.messages[:2])
        self.asked.append(shown)
        if "which of three things" in system:
            told = "correct" if "gold" in shown else "not_attempted" if "not given" in shown else "incorrect"
            return Completion(json.dumps({"verdict": told, "reason": "r", "label": told}), "stop", tokens_out=1)
        found = shown.count(CIRCLES.split(". ")[0]) > 3 if "faulty or idle" in system else "rather say" in shown
        return Completion("maybe" if "unreadable" in shown else "yes" if found else "no", "stop", tokens_out=1)

    async def close(self) -> None:
        """Nothing to release."""


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, dict[str, str], Judge]:
    """Ten problems, two attempts. bold: 6 right, 4 wrong with the first thought in circles or left; shy: 6, 1 and 3."""

    def planted(self: MockModel, asked: Request) -> Completion:
        assert asked.problem is not None
        numbers = planted.numbers  # type: ignore[attr-defined]
        number = numbers.setdefault(asked.problem.id, len(numbers))
        right = number < 6
        thought = CIRCLES if number in (0, 6, 7) else PLAIN
        if number == 9:
            thought += " unreadable"
        answer = f"The gold answer is \\boxed{{{asked.problem.target}}}." if right else "The answer is \\boxed{-7}."
        if not right and self.options.variant == "shy" and number > 6:
            answer = "The price is not given, so it cannot be determined."
        elif not right and number == 8:
            answer = "I would rather say: the answer is \\boxed{-8}." if asked.attempt else answer
        text = f"<think>{thought}</think>{answer}"
        return Completion(text, "stop", tokens_out=10, logprob=-1.0 if right else -10.0)

    planted.numbers = {}  # type: ignore[attr-defined]
    monkeypatch.setattr(MockModel, "reply", planted)
    runs = {}
    for variant in ("bold", "shy"):
        planted.numbers.clear()  # type: ignore[attr-defined]
        ran = command("run", "--suite", "synth_easy", "--model", "mock:gold", "--model-arg", f"variant={variant}",
                      "--limit", 10, "--n", 2, "--temperature", 1, "--results-dir", tmp_path, "--quiet")  # fmt: skip
        assert ran.exit_code == 0, ran.stderr
        (runs[variant],) = {path.name for path in (tmp_path / "runs").iterdir()} - {*runs.values()}
    judge = Judge()
    monkeypatch.setattr(judging, "load_model", lambda spec, options, results: judge)
    return tmp_path, runs, judge


def asked(results: Path, *words: str, code: int = 0) -> Any:
    ran = command("analyze", "hallucination", *words, "--results-dir", results, "--json")
    assert ran.exit_code == code, ran.stderr
    return (
        [table["rows"] for table in [json.loads(ran.stdout), *json.loads(ran.stdout)["tables"]]]
        if not code
        else (ran.stderr)
    )


def values(row: Mapping[str, Any], *names: str) -> list[float]:
    return [row[name]["value"] for name in names]


def test_kinds_and_calibration_as_planted(world: tuple[Path, dict[str, str], Judge]) -> None:
    results, runs, judge = world
    kinds, calibration = asked(results, runs["bold"], runs["shy"])
    bold, shy = kinds
    assert values(bold, "correct", "incorrect", "not_attempted", "given", "f1") == pytest.approx(
        [0.6, 0.4, 0, 0.6, 0.6]
    )
    assert values(shy, "correct", "incorrect", "not_attempted") == pytest.approx([0.6, 0.1, 0.3])
    assert values(shy, "given", "f1") == pytest.approx([6 / 7, 2 * 0.6 * (6 / 7) / (0.6 + 6 / 7)])
    assert shy["delta"]["value"] == pytest.approx(-0.3) and "delta" not in bold
    rows = {(row["model"], row["confidence"]): row for row in calibration}
    bold_votes, shy_votes = (row for (_, kind), row in rows.items() if kind == "votes")
    # All but the two answers to one problem have both votes.
    assert values(bold_votes, "mean", "right") == pytest.approx([0.95, 0.6])
    assert bold_votes["brier"]["value"] == pytest.approx((6 + 2 * 0) / 20 * 0 + (6 * 1 + 2 * 0.25) / 20)
    assert shy_votes["answers"] == 14
    likelihood = next(row for (_, kind), row in rows.items() if kind == "likelihood")
    assert likelihood["auroc"]["value"] == 1 and likelihood["answers"] == 20 and not judge.asked


def test_a_judge_finds_the_planted_faults_once(world: tuple[Path, dict[str, str], Judge]) -> None:
    results, runs, judge = world
    words = (runs["bold"], "--judge", "planted", "--samples", "2")
    kinds, thoughts, _ = asked(results, *words)
    (row,) = thoughts
    # Ten thoughts twice, one of them unread by both; three in circles, one answer of twenty leaves its thought.
    assert (row["flaw_repetition_texts"], row["flaw_repetition_unread"]) == (18, 2)
    assert values(row, "flaw_repetition", "flaw_repetition_right", "flaw_repetition_wrong") == pytest.approx(
        [6 / 18, 2 / 12, 4 / 6]
    )
    assert values(row, "thought_mismatch", "thought_mismatch_wrong") == pytest.approx([1 / 18, 1 / 6])
    assert all("rather say" not in text for text in judge.asked if "FINAL ANSWER" not in text)
    count = len(judge.asked)
    assert asked(results, *words)[1] == thoughts and len(judge.asked) == count
    assert kinds[0]["missing"] == 0


def test_a_judge_grades_where_no_grader_can(world: tuple[Path, dict[str, str], Judge]) -> None:
    results, runs, _ = world
    ((row,), *_) = asked(results, runs["shy"], "--judge", "planted", "--grade", "judge", "--samples", "1")
    assert values(row, "correct", "incorrect", "not_attempted") == pytest.approx([0.6, 0.1, 0.3])
    assert (row["answers"], row["missing"]) == (10, 10)


def test_what_is_refused(world: tuple[Path, dict[str, str], Judge]) -> None:
    results, runs, judge = world
    assert "needs a judge" in asked(results, runs["bold"], "--grade", "judge", code=2)
    assert "KEY=VALUE" in asked(results, runs["bold"], "--judge", "planted", "--judge-arg", "x", code=2)
    assert "given twice" in asked(results, runs["bold"], runs["bold"], code=2)
    run = RunFolder.of(results, runs["bold"])
    judge.name, judge.identity = run.result.model, run.spec.model_identity
    assert "is the model being judged" in asked(results, runs["bold"], "--judge", "planted", code=2)
    assert not judge.asked
