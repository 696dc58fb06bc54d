"""Golden rows of every grader, and the promises that all of them make."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import catalog
from harness.errors import DataError, UnknownName
from harness.grading import Pending, get_grader, score_completion
from harness.grading.latex import canonical, vote_key
from harness.grading.rationals import parse_rational, read_number, show
from harness.types import Completion, Message, Problem, Score
from tests.grading_conformance import within

GOLDEN = json.loads((Path(__file__).parent.parent / "golden" / "grading.json").read_text(encoding="utf-8"))
ROWS = [(name, *row) for name, rows in GOLDEN.items() for row in rows]


def graded(problem: Problem, completion: Completion) -> Score:
    found = score_completion(problem, completion)
    return get_grader(found.grader).grade(found.target, found.answer) if isinstance(found, Pending) else found


def problem_for(name: str, target: str) -> Problem:
    return Problem("p", (), target, name, choices=("red", "blue", "green", "grey") if name == "choice" else ())


@pytest.mark.parametrize(("name", "target", "reply", "status", "value"), ROWS)
def test_golden(name: str, target: str, reply: str, status: str, value: float) -> None:
    score = graded(problem_for(name, target), Completion(reply, "stop"))
    assert (score.status, score.value) == (status, value), score


TARGETS = {
    "integer": ("0", "73", "-5", "1000"),
    "number": ("0.5", "27", "-1.25", "3/4"),
    "math": ("5", "\\frac{3}{4}", "x^2+1", "(1,2)", "\\text{Evelyn}", "x \\in [0, 1)", "\\pi", "y = 3x", "e"),
    "choice": ("A", "D"),
    "exact": ("yes", "(A)", "(C)", "apple banana", "] )"),
    "json": ('{"answer": "12"}', '{"answer": "x", "n": 3}'),
}


@pytest.mark.parametrize(("name", "target"), [(name, target) for name, all_ in TARGETS.items() for target in all_])
def test_gold_scores_one_and_near_miss_zero(name: str, target: str) -> None:
    grader, problem = get_grader(name), problem_for(name, target)
    right = graded(problem, Completion(grader.gold_text(problem), "stop"))
    assert (right.value, right.status) == (1.0, "scored")
    wrong = graded(problem, Completion(f"<think>hm</think>{grader.wrong_text(problem)}", "stop"))
    assert (wrong.value, wrong.status) == (0.0, "scored")
    assert wrong.answer is not None and wrong.answer != right.answer
    assert grader.name == name and grader.version().startswith(f"{name}/")


def test_every_grader_of_the_catalog_is_covered() -> None:
    assert set(TARGETS) <= set(catalog.entries("grader"))
    assert set(GOLDEN) == set(TARGETS)


def test_unknown_grader_is_named() -> None:
    with pytest.raises(UnknownName, match="integer"):
        get_grader("intger")


@pytest.mark.parametrize(("name", "target"), [("integer", "six"), ("integer", "1.5"), ("choice", "1"), ("json", "[1]")])
def test_targets_that_cannot_be_read_are_errors(name: str, target: str) -> None:
    with pytest.raises(DataError):
        graded(problem_for(name, target), Completion('{"a": 1} \\boxed{A} 1' if name != "json" else '{"a": 1}', "stop"))


def test_failed_truncated_and_cut_completions() -> None:
    problem = Problem("p", (), "12", "integer")
    assert score_completion(problem, Completion("", "error", error="refused")) == Score(None, "error", None, "refused")
    for finish, status in (("length", "truncated"), ("stop", "no_answer")):
        open_ended = score_completion(problem, Completion("<think>the answer is \\boxed{12}", finish))  # type: ignore[arg-type]
        assert isinstance(open_ended, Score) and (open_ended.value, open_ended.status) == (0.0, status)


@pytest.mark.parametrize(
    ("reply", "status"),
    [
        ("\\boxed{12} and I also want to say th", "scored"),
        ("The answer is 12.\nMoreover", "scored"),
        ("The answer is 12", "truncated"),
        ("The answer is 12.", "truncated"),
        ("so \\boxed{12} but wait, \\boxed{1", "truncated"),
        ("we have 12 apples and", "truncated"),
        ("<think>x</think>", "truncated"),
        ("\\boxed{12", "truncated"),
    ],
)
def test_cut_replies_count_only_with_a_complete_marked_answer(reply: str, status: str) -> None:
    score = graded(Problem("p", (), "12", "integer"), Completion(reply, "length"))
    assert score.status == status, score
    assert score.value == (1.0 if status == "scored" else 0.0)


def test_votes_meet_under_one_key() -> None:
    problem = Problem("p", (), "\\frac{1}{2}", "math")
    keys = {
        graded(problem, Completion(f"\\boxed{{{a}}}", "stop")).answer
        for a in ("0.5", "\\dfrac12", "1/2", "\\frac{2}{4}")
    }
    assert len(keys) == 1
    wrong = {graded(problem, Completion(f"\\boxed{{{a}}}", "stop")).answer for a in ("0.25", "\\frac14", "1/4")}
    assert len(wrong) == 1 and wrong != keys
    assert vote_key("3, 1") == vote_key("1,3") and len(vote_key("x" * 5000)) < 250


@given(st.fractions(max_denominator=10**6))
def test_numbers_are_read_as_shown(value: object) -> None:
    text = show(value)  # type: ignore[arg-type]  # hypothesis yields Fraction
    assert parse_rational(text) == value
    assert read_number(f"${text}$") == (value, False)


NUMBERS = st.one_of(
    st.integers(-2000, 2000).map(str),
    st.decimals(-50, 50, places=2).map(str),
    st.tuples(st.integers(-30, 30), st.integers(1, 30)).map(lambda p: f"\\frac{{{p[0]}}}{{{p[1]}}}"),
    st.integers(1000, 9_999_999).map("{:,}".format),
)


@settings(max_examples=150)
@given(NUMBERS, NUMBERS)
def test_shortcuts_agree_with_the_library(gold: str, answer: str) -> None:
    from harness.grading.math import GRADER
    from harness.grading.mathfallback import prepared
    from harness.grading.mathlib import parse_answer, verify_parsed

    settled = GRADER.quick(gold, answer)
    if settled is not None:
        assert (settled.value == 1.0) == verify_parsed(parse_answer(prepared(gold)), parse_answer(prepared(answer)))


@given(st.text(max_size=200))
def test_canonical_is_stable(text: str) -> None:
    once = canonical(text)
    assert isinstance(once, str) and len(once) <= 4 * len(text) + 16


def test_tolerances() -> None:
    assert within("\\cos^{10}(\\frac{\\pi}{10})", "0.6054", 1e-4)
    assert not within("\\cos^{10}(\\frac{\\pi}{10})", "0.6154", 1e-4)
    assert within("5, 0.01", "0.02, 6", (1.0, 0.01))
    assert not within("5, 0.01", "0.05, 6", (1.0, 0.01))
    assert not within("5", "no number", 1.0)


def test_a_grader_that_breaks_on_a_reply_costs_that_reply_only(monkeypatch: pytest.MonkeyPatch) -> None:
    from harness.grading import integer

    class Broken(type(integer.GRADER)):  # type: ignore[misc]
        def extract(self, problem: Problem, answer_text: str) -> None:
            raise RuntimeError("surprise")

    problem = Problem("p", (Message("user", "?"),), "4", "integer")
    monkeypatch.setattr("harness.grading.get_grader", lambda name: Broken())
    score = score_completion(problem, Completion("4", "stop"))
    assert isinstance(score, Score)
    assert (score.value, score.status) == (None, "unscored")
    assert "surprise" in score.why
