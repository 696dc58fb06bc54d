"""`harness analyze missing_premise`: a model that notices some of what is missing is measured as it was made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from system_fakes import command

from harness.analyses import judging
from harness.models.mock import MockModel
from harness.types import Completion, Json, Request

STEPS = "First I read the story once more and look at each of its numbers."


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, dict[str, str]]:
    """A hundred pairs. careful: abstains at all that lack something; hasty: at a quarter of them, doubts another
    quarter and answers, abstains at one whole problem in ten, and takes thrice the tokens where something is missing.
    """

    def planted(self: MockModel, asked: Request) -> Completion:
        assert asked.problem is not None
        lacks, hasty = asked.problem.meta.get("missing", False), self.options.variant == "hasty"
        number = numbers.setdefault(asked.problem.meta.get("twin"), len(numbers))
        answer = f"The final answer is $\\boxed{{{asked.problem.target if not lacks else 7}}}$."
        silent, doubt = (number % 4 == 0, number % 4 == 1) if hasty and lacks else (lacks, False)
        if hasty and not lacks:
            silent = number % 10 == 0
        said = "But the price is not given. " if silent or doubt else ""
        end = "It cannot be determined." if silent else answer
        text = f"<think>{STEPS} {said}Wait, maybe.</think>{end}"
        return Completion(text, "stop", tokens_out=30 if lacks and hasty else 10)

    numbers: dict[Any, int] = {}
    monkeypatch.setattr(MockModel, "reply", planted)
    runs = {}
    for variant in ("careful", "hasty"):
        ran = command("run", "--suite", "synth_missing", "--model", "mock:gold", "--model-arg", f"variant={variant}",
                      "--results-dir", tmp_path, "--quiet")  # fmt: skip
        assert ran.exit_code == 0, ran.stderr
        (runs[variant],) = {path.name for path in (tmp_path / "runs").iterdir()} - {*runs.values()}
    return tmp_path, runs


def asked(results: Path, *words: str, code: int = 0) -> Any:
    ran = command("analyze", "missing_premise", *words, "--results-dir", results, "--json")
    assert ran.exit_code == code, ran.stderr
    return json.loads(ran.stdout)["rows"] if not code else ran.stderr


def values(row: Mapping[str, Any], *names: str) -> list[float]:
    return [row[name]["value"] for name in names]


def test_what_was_planted_is_found(world: tuple[Path, dict[str, str]]) -> None:
    results, runs = world
    careful, hasty = asked(results, runs["careful"], runs["hasty"])
    assert careful["pairs"] == 100
    assert values(careful, "abstains", "answers", "whole_right", "whole_abstains", "doubted") == [1, 0, 1, 0, 1]
    assert values(careful, "length_ratio", "thoughts", "whole_doubted") == [1, 3, 0]  # but, wait, maybe
    start = len(STEPS) + 1
    whole = f"{STEPS} But the price is not given. Wait, maybe.\n\nIt cannot be determined."
    assert careful["place"]["value"] == pytest.approx(start / len(whole))
    assert values(hasty, "abstains", "answers", "doubted") == pytest.approx([0.25, 0.75, 0.5])
    assert values(hasty, "whole_right", "whole_abstains", "whole_doubted") == pytest.approx([0.9, 0.1, 0.1])
    assert values(hasty, "length_ratio", "delta") == pytest.approx([3, -0.75]) and hasty["p_holm"] < 0.01


class Judge:
    """Takes every answer for an abstention but those with a box, and cannot be read where that is 7."""

    name = "planted-judge"

    def describe(self) -> Mapping[str, Json]:
        return {"engine": "planted"}

    async def answer(self, asked: Request) -> Completion:
        assert "First I read" not in asked.messages[1].content  # no thought
        return Completion("no" if "boxed" in asked.messages[1].content else "yes", "stop", tokens_out=1)

    async def close(self) -> None:
        """Nothing to release."""


def test_a_judge_tells_in_place_of_the_rule(
    world: tuple[Path, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    results, runs = world
    monkeypatch.setattr(judging, "load_model", lambda spec, options, results: Judge())
    (row,) = asked(results, runs["hasty"], "--judge", "planted")
    assert values(row, "abstains", "whole_abstains") == pytest.approx([0.25, 0.1])


def test_a_suite_without_twins_is_refused(tmp_path: Path) -> None:
    ran = command(
        "run", "--suite", "synth_easy", "--model", "mock:gold", "--limit", 2, "--results-dir", tmp_path, "--quiet"
    )
    assert ran.exit_code == 0
    (run,) = (path.name for path in (tmp_path / "runs").iterdir())
    assert "synth_missing has" in asked(tmp_path, run, code=2)
