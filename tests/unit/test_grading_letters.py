"""Option letters: written replies with their letter, then every declaration, distractor and correction of the forms."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.grading import Pending, score_completion
from harness.grading.choice import LETTERS, find_letter
from harness.grading.forms import PARTS
from harness.grading.forms.letters import cases
from harness.types import Completion, Problem

ROWS = json.loads((Path(__file__).parent.parent / "golden" / "letters.json").read_text(encoding="utf-8"))
TEXTS = ("red wine", "1/2", "Rome", "3.5 kg", "a blue whale", "x + 1", "none of these", "Ask a friend?", "12 %", "No")


@pytest.mark.parametrize(("letter", "options", "reply"), ROWS)
def test_written_replies(letter: str | None, options: int, reply: str) -> None:
    """null: the reply settles on no single letter."""
    found = find_letter(reply, LETTERS[:options])
    if letter is None:
        assert found is None or "," in found.answer, found
    else:
        assert found is not None
        assert found.answer == letter


@pytest.mark.parametrize(("letter", "options"), [("A", 3), ("D", 4), ("B", 5), ("A", 10), ("I", 10)])
def test_every_declaration_distractor_and_correction(letter: str, options: int) -> None:
    problem = Problem("p", (), letter, "choice", choices=TEXTS[:options])
    for case in cases(problem, 0, frozenset(PARTS)):
        score = score_completion(problem, Completion(case.text, "stop"))
        assert not isinstance(score, Pending)
        assert score.value == float(case.right), (case.form, letter, case.text, score)


@pytest.mark.parametrize(
    ("reply", "letter"),
    [
        (r"So we get \boxed{\frac{1}{2}}.", "A"),
        (r"\boxed{0.5}", "A"),
        (r"The answer is $\frac12$.", "A"),
        ("The answer is 1/3.", "B"),
        (r"\boxed{1000}", "C"),
        (r"\boxed{\frac{3}{4}}", None),
        (r"\boxed{2}", "D"),
        (r"\boxed{2.00}", None),
        (r"\boxed{B}", "B"),
    ],
)
def test_an_options_value_is_that_option(reply: str, letter: str | None) -> None:
    found = find_letter(reply, "ABCDE", ("1/2", "1/3", "1,000", "2", "2.0"))
    assert (None if found is None else found.answer) == letter


def test_a_letter_in_a_box_is_the_letter_even_if_another_option_is_called_so() -> None:
    found = find_letter(r"\boxed{B}", "ABCD", ("B", "A", "AB", "O"))
    assert found is not None
    assert found.answer == "B"
