"""Unseen compositions: true, of level 3's size, and of no shape that any stream makes."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import DataError
from harness.suites import load_problems, load_suite
from harness.synth import LEVELS, correct_chains, generate, verify_chain, verify_problem, wrong_chain
from harness.synth.composed import LEVEL, STEPS, composed, shape
from harness.synth.draft import SIZES


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32))
def test_every_composition_is_true_and_its_chains_are_correct(seed: int) -> None:
    for problem in composed(seed, 5):
        verify_problem(problem)
        assert len(problem.subproblems) == STEPS
        assert all(2 <= sub.answer <= SIZES[LEVEL].cap for sub in problem.subproblems)
        assert all(not verify_chain(problem, chain) for chain in correct_chains(problem, 3))
        assert wrong_chain(problem).answer != problem.answer


def test_no_stream_makes_one_of_their_shapes() -> None:
    new = {shape(problem.template, problem.subproblems) for problem in composed(0, 400)}
    seeds = {"train": 5, "test": 6}
    old = {
        shape(problem.template, problem.subproblems)
        for split, seed in seeds.items()
        for level in LEVELS
        for problem in generate(seed, level, 300, split, "word")  # type: ignore[arg-type]
    }
    assert len(new) > 8 and len(old) > 60 and not new & old


def test_their_operations_are_each_in_a_story_that_never_has_them() -> None:
    """Why no seed can make one: what each story of the streams does, over all of them."""
    made = [problem for level in LEVELS for problem in generate(7, level, 600, "train", "word")]
    for problem in made:
        ops = [sub.op for sub in problem.subproblems]
        if problem.template.startswith("events"):
            assert "*" not in ops
        if problem.template.startswith("products"):
            assert "/" not in ops
        if problem.template.startswith("stock"):
            assert ops[1:2] in ([], ["-"])
        if problem.template == "comparison":
            alone = [sub for sub in problem.subproblems if " does " in sub.question]
            assert all(isinstance(sub.left, int) and isinstance(sub.right, int) for sub in alone)
    assert {problem.template.partition("/")[0] for problem in made} == {"events", "products", "comparison", "stock"}


def test_a_longer_list_begins_with_the_shorter_one_and_is_pinned() -> None:
    made = composed(0, 50)
    assert made[:20] == composed(0, 20)
    assert len({problem.id for problem in made}) == 50
    told = "\n".join(f"{problem.id} {problem.question} {problem.answer}" for problem in made)
    assert hashlib.sha256(told.encode()).hexdigest()[:16] == "41c7ffc0b67b8c37"
    assert len(load_problems(load_suite("synth_composed"), None, 0, None)) == 100
    with pytest.raises(DataError, match="0 or more"):
        composed(0, -1)
