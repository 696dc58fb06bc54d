"""Whole numbers in words: every one of them is read, and nothing else is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.grading import score_completion
from harness.grading.pool import GradingPool
from harness.grading.spelled import spelled_number
from harness.types import Completion, Message, Problem, Score

ONES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
ONES += ["thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"]
TENS = ["", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]


def say(number: int, joint: str = " and ") -> str:
    if number < 20:
        return ONES[number]
    if number < 100:
        return TENS[number // 10] + (f"-{ONES[number % 10]}" if number % 10 else "")
    for size, name in ((10**6, "million"), (1000, "thousand"), (100, "hundred")):
        if number >= size:
            rest = number % size
            return f"{say(number // size, joint)} {name}" + (
                (joint if size == 100 else " ") + say(rest) if rest else ""
            )
    raise AssertionError


@given(number=st.integers(0, 10**9 - 1), joint=st.sampled_from([" and ", " "]), sign=st.sampled_from(["", "minus "]))
def test_every_number_is_read_as_it_is_said(number: int, joint: str, sign: str) -> None:
    wanted = -number if sign else number
    for text in (sign + say(number, joint), f"{sign}{say(number, joint)}.".upper(), f"\\text{{{sign}{say(number)}}}"):
        assert spelled_number(text) == wanted


OTHER = ["", "one two", "a", "and", "five and six", "hundred", "two zero", "twenty eleven", "thousand five", "the one"]
OTHER += ["one or two", "five and", "nine nine", "one more", "two hundred hundred", "five thousand million", "1"]


@pytest.mark.parametrize("text", OTHER)
def test_other_words_are_no_number(text: str) -> None:
    assert spelled_number(text) is None


@pytest.mark.parametrize(
    ("grader", "target", "reply", "right"),
    [
        ("number", "7", "The answer is seven.", True),
        ("integer", "25", "The answer is twenty-five.", True),
        ("math", "-3", "The answer is negative three.", True),
        ("math", "120", r"\boxed{\text{one hundred and twenty}}", True),
        ("number", "7", "The answer is seven or eight.", False),
        ("number", "1", "Only this one. The answer is not one.", False),
        ("integer", "20", "The answer is twenty-five.", False),
        ("integer", "5", "The answer is twenty-five.", False),
        ("math", "3", "The answer is negative three.", False),
        ("number", "1", "So this is the last one.", False),
    ],
)
def test_a_declared_number_in_words_is_graded(grader: str, target: str, reply: str, right: bool) -> None:
    problem = Problem("p", (Message("user", "?"),), target, grader)
    verdict = score_completion(problem, Completion(reply, "stop"))
    if not isinstance(verdict, Score):
        with GradingPool(workers=1) as pool:
            verdict = pool.submit(verdict.grader, verdict.target, verdict.answer).result()
    assert verdict.value == float(right)
