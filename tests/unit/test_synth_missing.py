"""What is left of a problem without one of its numbers fits two worlds with two answers; the suite has both twins."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import DataError
from harness.grading.abstaining import UNANSWERABLE
from harness.suites import load_problems, load_suite
from harness.synth import LEVELS, SynthProblem, generate, verify_problem
from harness.synth.expressions import apply
from harness.synth.missing import missing, with_missing
from harness.synth.records import SubProblem


def world(clean: SynthProblem, number: int, other: int) -> SynthProblem:
    """The same story with another number in one place: text, graph and answers made anew."""
    found: dict[str, int] = {}
    subs: list[SubProblem] = []
    for sub in clean.subproblems:
        left, right = (other if one == number else one for one in (sub.left, sub.right))
        values = [found[one] if isinstance(one, str) else one for one in (left, right)]
        found[sub.id] = apply(sub.op, *values)
        subs.append(replace(sub, left=left, right=right, answer=found[sub.id]))
    question = re.sub(rf"(?<!\d){number}(?!\d)", str(other), clean.question)
    return replace(clean, question=question, subproblems=tuple(subs), answer=subs[-1].answer)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(LEVELS))
def test_two_worlds_that_agree_on_all_that_is_left_differ_in_the_answer(seed: int, level: int) -> None:
    for clean, taken in with_missing(generate(seed, level, 2, family="word"), 1):  # type: ignore[arg-type]
        one, two = clean, world(clean, taken.number, taken.other)
        (place,) = re.finditer(rf"(?<!\d){taken.number}(?!\d)", clean.question)
        for side, number in ((one, taken.number), (two, taken.other)):
            verify_problem(side)
            before, after = side.question[: place.start()], side.question[place.start() + len(str(number)) :]
            word = "several" if after.startswith(" times ") else "some"
            assert f"{before}{number}{after}" == side.question
            assert f"{before}{word}{after}" == taken.problem.question
        assert (one.answer, two.answer) == (clean.answer, taken.answer) and one.answer != two.answer
        assert str(taken.number) not in re.findall(r"\d+", taken.problem.question)
        assert taken.twin == clean.id != taken.problem.id


def test_the_suite_pairs_each_with_its_whole_twin() -> None:
    problems = {problem.id: problem for problem in load_problems(load_suite("synth_missing"), None, 0, None)}
    lacking = [problem for problem in problems.values() if problem.meta["missing"]]
    assert len(lacking) == 100 == len(problems) // 2
    for problem in lacking:
        twin = problems[str(problem.meta["twin"])]
        assert (problem.grader, problem.target, twin.grader) == ("abstain", UNANSWERABLE, "integer")
        words = [one.messages[-1].content.split() for one in (problem, twin)]
        assert len(words[0]) == len(words[1]) and sum(a != b for a, b in zip(*words, strict=True)) == 1


def test_bare_arithmetic_is_refused() -> None:
    with pytest.raises(DataError, match="word problem"):
        missing(generate(0, 2, 1, family="arithmetic")[0])
