"""Graders' extraction on ten megabytes of hostile text, and code in answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.grading import Pending, get_grader, score_completion
from harness.grading.math import equivalent
from harness.types import Completion, Finish, Problem

GRADERS = {"integer": "5", "number": "5", "math": "5", "choice": "A", "exact": "five", "json": '{"a": 5}'}
GRADERS |= {"knights": "Ada is a knight, Ben is a knave", "countdown": "2 + 3 = 5"}
UNITS = [
    "{",
    "$",
    "\\boxed{",
    "answer is ",
    "1,",
    "9",
    "\\(x\\) ",
    "A ",
    "not A ",
    "(A) ",
    "B is ",
    " ",
    "\n",
    ". ",
    "\\frac{1}",
    "-",
    "*",
    "1/",
    "_",
    "^",
    "=",
    "\\text{",
    ", and ",
]


BIG = ("{", "$", "\\boxed{")


@pytest.mark.timeout(120)
@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("name", sorted(GRADERS))
def test_hostile_replies_are_settled_in_linear_time(name: str, unit: str) -> None:
    problem = Problem("p", (), GRADERS[name], name, choices=("one", "two", "three"))
    size = (10_000_000 if unit in BIG and name == "math" else 280_000) // len(unit)
    cases: tuple[tuple[str, Finish], ...] = (
        (unit * size, "stop"),
        ("The answer is " + unit * 5_000, "length"),
        (f"\\boxed{{{unit * 5_000}}}", "length"),
    )
    for text, finish in cases:
        found = score_completion(problem, Completion(text, finish))
        assert isinstance(found, Pending) or found.value in (0.0, 1.0)
        if isinstance(found, Pending):
            assert len(found.answer) < 5000


@pytest.mark.parametrize(
    "payload",
    [
        "__import__('pathlib').Path('{path}').touch()",
        "().__class__.__base__.__subclasses__()",
        "\\text{{__import__('pathlib').Path('{path}').touch()}}",
        "\\operatorname{{exec}}(\"open('{path}', 'w')\")",
        "1 + __import__('os').system('touch {path}')",
        "f(lambda: open('{path}','w'))(1)",
    ],
)
def test_answers_are_never_run(payload: str, tmp_path: Path) -> None:
    path = tmp_path / "ran"
    assert not equivalent("0", payload.format(path=path))
    assert not equivalent("0", f"The answer is ${payload.format(path=path)}$")
    assert not path.exists()


def test_unclosed_towers_and_long_digits_are_wrong_without_a_worker() -> None:
    grader = get_grader("math")
    for answer in ("9^{9^{9^{9}}}", "2^{2^{2^{49}}}", "9" * 10_000, "{" * 10_000):
        found = score_completion(Problem("p", (), "5", "math"), Completion(f"The answer is ${answer}$", "stop"))
        if not isinstance(found, Pending):
            assert found.value == 0.0, answer
    assert grader.name == "math"
