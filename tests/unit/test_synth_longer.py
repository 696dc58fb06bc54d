"""Long problems: true by an independent evaluator, in no stream of any level, and the same for ever."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import DataError
from harness.synth import LEVELS, correct_chains, generate, verify_chain, verify_problem
from harness.synth.draft import SIZES
from harness.synth.expressions import evaluate
from harness.synth.longer import LONG, longer


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32))
def test_every_long_problem_is_true_and_its_chains_are_correct(seed: int) -> None:
    for problem in longer(seed, 5):
        verify_problem(problem)
        assert LONG.steps[0] <= len(problem.subproblems) <= LONG.steps[1]
        assert all(not verify_chain(problem, chain) for chain in correct_chains(problem, 3))
        if problem.family == "arithmetic":
            text = problem.question.rstrip("?.")
            assert evaluate(text[next(i for i, c in enumerate(text) if c.isdigit() or c == "(") :]) == problem.answer


def test_no_level_reaches_their_length() -> None:
    assert max(size.steps[1] for size in SIZES.values()) < LONG.steps[0]
    known = {problem.question for level in LEVELS for problem in generate(0, level, 100, "train")}
    assert not known & {problem.question for problem in longer(0, 100)}


def test_a_longer_list_begins_with_the_shorter_one_and_is_pinned() -> None:
    made = longer(0, 50)
    assert made[:20] == longer(0, 20)
    assert len({problem.question for problem in made}) == len({problem.id for problem in made}) == 50
    told = "\n".join(f"{problem.id} {problem.question} {problem.answer}" for problem in made)
    assert (
        hashlib.sha256(told.encode()).hexdigest() == "ee8495bef03c8cdc72086bd9ff8ed1b93ba254d2adfee9e2ba04ab6113a8323f"
    )


def test_a_negative_count_is_refused() -> None:
    with pytest.raises(DataError, match="0 or more"):
        longer(0, -1)
