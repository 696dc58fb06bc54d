"""The suites `synth` and `synth_easy`: the pin holds, and a right chain scores 1, a wrong chain 0."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.errors import DataError
from harness.grading import Pending, get_grader, score_completion
from harness.suites import load_problems, load_suite
from harness.suites.synth import SEED, SPLIT
from harness.synth import LEVELS, generate, render, wrong_chain
from harness.types import Completion, Problem


def value(problem: Problem, text: str) -> float | None:
    score = score_completion(problem, Completion(text, "stop"))
    assert not isinstance(score, Pending)
    return score.value


@pytest.mark.parametrize(
    ("name", "per_level"),
    [("synth", {level: 100 for level in LEVELS}), ("synth_easy", {1: 50, 2: 50}), ("synth_long", {3: 100})],
)
def test_the_suite_is_what_is_pinned(name: str, per_level: dict[int, int]) -> None:
    problems = load_problems(load_suite(name), None, seed=0, limit=None)
    assert {level: sum(p.meta["level"] == level for p in problems) for level in per_level} == per_level
    assert len(problems) == sum(per_level.values()) == len({problem.messages for problem in problems})
    grader = get_grader("integer")
    for problem in problems:
        assert problem.reference is not None
        assert value(problem, problem.reference) == 1.0
        assert value(problem, grader.gold_text(problem)) == 1.0
        assert value(problem, grader.wrong_text(problem)) == 0.0


def test_every_wrong_chain_scores_0_and_its_right_answer_1_in_either_form() -> None:
    problems = {problem.id: problem for problem in load_problems(load_suite("synth"), None, seed=0, limit=None)}
    for level in LEVELS:
        for made in generate(SEED, level, 20, SPLIT):
            for boxed in (True, False):
                for form in ("think", "plain"):
                    text = render(wrong_chain(made), form, boxed)  # type: ignore[arg-type]
                    assert value(problems[made.id], text) == 0.0


def test_another_content_is_refused() -> None:
    suite = load_suite("synth_easy")
    rows = list(suite.data.generate() if suite.data.generate is not None else ())
    rows[0] = {**rows[0], "answer": "0"}
    with pytest.raises(DataError, match="content hash"):
        load_problems(replace(suite, data=replace(suite.data, generate=lambda: rows)), None, 0, None)
