"""Irrelevant facts change the question and nothing else, and are the same for ever."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import DataError
from harness.suites import load_problems, load_suite
from harness.synth import LEVELS, generate, verify_problem
from harness.synth.distract import FACTS, distracted


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(LEVELS), st.integers(1, len(FACTS)))
def test_facts_taken_out_again_give_the_clean_problem(seed: int, level: int, facts: int) -> None:
    clean = generate(seed, level, 1, family="word")[0]  # type: ignore[arg-type]
    problem = distracted(clean, facts)
    verify_problem(problem)
    assert problem.subproblems == clean.subproblems
    left, found = problem.question, 0
    for fact in FACTS:
        left, count = re.subn(re.escape(fact).replace(r"\{\}", r"\d+") + " ", "", left)
        found += count
    assert (left, found) == (clean.question, facts)


def test_every_problem_of_the_suite_has_a_clean_twin_in_it_with_the_same_answer() -> None:
    problems = {problem.id: problem for problem in load_problems(load_suite("synth_distract"), None, 0, None)}
    pairs = [(p, problems[str(p.meta["twin"])]) for p in problems.values() if p.meta["facts"]]
    assert len(pairs) == 100 == len(problems) // 2
    assert all(p.target == twin.target and p.messages != twin.messages for p, twin in pairs)


def test_bare_arithmetic_and_too_many_facts_are_refused() -> None:
    with pytest.raises(DataError, match="word problem"):
        distracted(generate(0, 2, 1, family="arithmetic")[0])
    with pytest.raises(DataError, match="1 to 6"):
        distracted(generate(0, 2, 1, family="word")[0], 7)
