"""The multiple-choice suite: one right option, three that natural mistakes lead to."""

from __future__ import annotations

from harness.grading import Pending, get_grader, score_completion
from harness.suites import load_problems, load_suite
from harness.suites.synth import SEED, SPLIT
from harness.suites.synth_choice import SYNTH_CHOICE
from harness.synth import generate, wrong_chain
from harness.types import Completion


def test_the_right_option_is_the_truth_and_the_others_are_mistakes() -> None:
    rows = {str(row["id"]): row for row in (SYNTH_CHOICE.data.generate or tuple)()}
    made = {p.id: p for level in (2, 3, 4, 5) for p in generate(SEED, level, 50, SPLIT)}  # type: ignore[arg-type]
    for name, row in rows.items():
        right, *wrong = row["options"]  # type: ignore[misc]
        assert right == str(made[name].answer)
        assert len({right, *wrong}) == 4
        assert set(wrong) <= {str(wrong_chain(made[name], variant).answer) for variant in range(200)}


def test_the_grader_takes_the_right_letter_only() -> None:
    problems = load_problems(load_suite("synth_choice"), None, 0, None)
    grader = get_grader("choice")
    assert len(problems) == 100
    for problem in problems:
        for text, value in ((grader.gold_text(problem), 1.0), (grader.wrong_text(problem), 0.0)):
            score = score_completion(problem, Completion(text, "stop"))
            assert not isinstance(score, Pending)
            assert score.value == value
