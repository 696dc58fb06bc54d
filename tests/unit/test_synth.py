"""The embedded world: splits, determinism, chains and the verifier."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from dataclasses import astuple, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import DataError, HarnessError, UnknownName
from harness.synth import (
    ERROR_KINDS,
    LEVELS,
    SPLITS,
    Level,
    SynthProblem,
    aligned,
    build,
    correct_chains,
    generate,
    orders,
    render,
    stream,
    twins,
    verify_chain,
    verify_problem,
    wrong_chain,
)
from harness.synth.expressions import evaluate
from harness.synth.generate import canonical

SEEDS = st.integers(min_value=0, max_value=2**32)
LEVEL = st.sampled_from(LEVELS)


def fingerprint(seed: int, count: int = 20) -> str:
    rows = [
        [astuple(problem), [astuple(chain) for chain in correct_chains(problem)], astuple(wrong_chain(problem))]
        for level in LEVELS
        for problem in generate(seed, level, count)
    ]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def test_the_world_is_the_same_in_another_process_with_another_hash_seed() -> None:
    code = "import test_synth; print(test_synth.fingerprint(7))"
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert found == {fingerprint(7)}


def test_the_world_has_not_changed() -> None:
    """Raise the version of the suite `synth` when you change this on purpose."""
    assert fingerprint(0) == "b7545a8b20ad4c5f51d4a29be39ff16a199a9170293d1727dddebefccd126bf6"


@pytest.mark.parametrize("level", LEVELS)
def test_splits_share_no_question_and_no_computation(level: Level) -> None:
    questions, keys = {}, {}
    for split in SPLITS:
        problems = [problem for seed in (0, 1) for problem in generate(seed, level, 300, split)]
        assert {problem.split for problem in problems} == {split}
        questions[split] = {problem.question for problem in problems}
        keys[split] = {(problem.template, canonical(problem.subproblems)) for problem in problems}
    for one, other in (("train", "test"), ("train", "dev"), ("dev", "test")):
        assert not questions[one] & questions[other]
        assert not keys[one] & keys[other]


@pytest.mark.parametrize("level", LEVELS)
def test_ids_and_questions_are_distinct_and_a_longer_stream_begins_with_the_shorter(level: Level) -> None:
    long, short = generate(3, level, 200), generate(3, level, 50)
    assert long[:50] == short
    assert len({problem.id for problem in long}) == len({problem.question for problem in long}) == 200
    assert {problem.family for problem in short} == {"arithmetic", "word"}


@given(SEEDS, LEVEL, st.sampled_from(SPLITS))
@settings(max_examples=60)
def test_every_correct_chain_verifies_and_ends_in_gold(seed: int, level: Level, split: str) -> None:
    for problem in generate(seed, level, 3, split):  # type: ignore[arg-type]
        verify_problem(problem)
        chains = correct_chains(problem)
        assert len({render(chain) for chain in chains}) == len(chains) >= 3
        assert [chain.style for chain in chains[:3]] == ["short", "plain", "long"]
        for chain in chains:
            assert verify_chain(problem, chain) == {}
            assert chain.answer == problem.answer
            assert set(chain.order) == {sub.id for sub in problem.subproblems}


@given(SEEDS, LEVEL, st.integers(0, 20), st.sampled_from(["short", "plain"]))
@settings(max_examples=100)
def test_the_labelled_step_is_the_only_fault_of_a_wrong_chain(
    seed: int, level: Level, variant: int, style: str
) -> None:
    for problem in generate(seed, level, 3):
        right, wrong = twins(problem, variant, style)  # type: ignore[arg-type]
        assert list(verify_chain(problem, wrong)) == [wrong.error_step]
        assert wrong.answer != problem.answer
        for index, (one, other) in enumerate(aligned(right, wrong)):
            if other is None:
                assert wrong.error_kind == "skipped_step"
            elif index < (wrong.error_step or 0):
                assert one == other


@given(SEEDS, LEVEL)
@settings(max_examples=60)
def test_orders_are_distinct_topological_orders(seed: int, level: Level) -> None:
    for problem in generate(seed, level, 3):
        found = orders(problem)
        assert len(set(found)) == len(found)
        for order in found:
            for position, sub_id in enumerate(order):
                assert set(problem.sub(sub_id).depends) <= set(order[:position])


@given(SEEDS, LEVEL)
@settings(max_examples=60)
def test_the_arithmetic_question_itself_evaluates_to_gold(seed: int, level: Level) -> None:
    for problem in generate(seed, level, 3, family="arithmetic"):
        text = problem.question.rstrip("?.")
        for ask in ("What is", "Compute", "Calculate", "Work out", "Find the value of"):
            text = text.removeprefix(ask)
        assert evaluate(text) == problem.answer


@given(SEEDS, LEVEL)
@settings(max_examples=60)
def test_every_given_number_of_a_story_is_in_its_question(seed: int, level: Level) -> None:
    for problem in generate(seed, level, 3, family="word"):
        for sub in problem.subproblems:
            for operand in (sub.left, sub.right):
                if isinstance(operand, int) and not (operand == 2 and "twice" in problem.question):
                    assert f" {operand} " in problem.question.replace(",", " ").replace(".", " ")


def test_every_error_kind_occurs_and_branching_problems_have_several_orders() -> None:
    problems = generate(0, 5, 60)
    assert {wrong_chain(problem).error_kind for problem in problems} == set(ERROR_KINDS)
    assert sum(len(correct_chains(problem)) == 6 for problem in problems) > 40


def first_with_steps(steps: int) -> SynthProblem:
    return next(problem for problem in stream(0, 3, "train") if len(problem.subproblems) == steps)


def test_the_verifier_names_each_kind_of_fault() -> None:
    problem = first_with_steps(3)
    chain = build(problem, "plain")
    one, two, three = chain.steps
    cases = [
        (replace(one, result=one.result + 1), 0),
        (replace(one, expression="1 + 1", result=2, text="1 + 1 = 2."), 0),
        (replace(one, expression="import os"), 0),
        (replace(one, sub="s9"), 0),
        (replace(one, text="Nothing."), 0),
    ]
    for step, expected in cases:
        assert next(iter(verify_chain(problem, replace(chain, steps=(step, two, three))))) == expected
    assert verify_chain(problem, replace(chain, steps=(one, three)))
    assert verify_chain(problem, replace(chain, steps=(one, one, two, three)))
    assert verify_chain(problem, replace(chain, steps=(one, two)))
    assert verify_chain(problem, replace(chain, steps=()))
    assert next(iter(verify_chain(problem, replace(chain, answer=chain.answer + 1)))) == 3


def test_a_long_chain_with_a_wrong_part_is_caught_at_that_part() -> None:
    for problem in generate(0, 4, 30):
        chain = build(problem, "long")
        for index, step in enumerate(chain.steps):
            slipped = step.result + 1
            bad = replace(step, result=slipped, text=f"{step.expression} = {slipped}.")
            steps = (*chain.steps[:index], bad, *chain.steps[index + 1 :])
            assert next(iter(verify_chain(problem, replace(chain, steps=steps)))) == index


def test_a_damaged_problem_is_refused() -> None:
    problem = first_with_steps(3)
    with pytest.raises(DataError, match="gold answer"):
        verify_problem(replace(problem, answer=problem.answer + 1))
    with pytest.raises(DataError, match="before"):
        verify_problem(replace(problem, subproblems=problem.subproblems[::-1]))
    first = replace(problem.subproblems[0], answer=10**6)
    with pytest.raises(DataError, match="s1 is not"):
        verify_problem(replace(problem, subproblems=(first, *problem.subproblems[1:])))
    with pytest.raises(KeyError):
        problem.sub("s99")


def test_rendering() -> None:
    problem = generate(0, 1, 1)[0]
    chain = build(problem, "short")
    body = chain.steps[0].text
    assert render(chain) == f"<think>\n{body}\n</think>\nThe answer is \\boxed{{{problem.answer}}}."
    assert render(chain, "plain", boxed=False) == f"{body}\nThe answer is {problem.answer}."
    assert render(chain, "steps") == body


def test_bad_requests_are_refused() -> None:
    with pytest.raises(UnknownName, match="level"):
        generate(0, 6, 1)  # type: ignore[arg-type]
    with pytest.raises(UnknownName, match="Did you mean 'train'"):
        generate(0, 1, 1, "trian")  # type: ignore[arg-type]
    with pytest.raises(UnknownName, match="family"):
        generate(0, 1, 1, family="algebra")  # type: ignore[arg-type]
    with pytest.raises(HarnessError, match="count"):
        generate(0, 1, -1)
    with pytest.raises(DataError, match="no new arithmetic problem of level 1"):
        generate(0, 1, 5_000, "dev", "arithmetic")
    with pytest.raises(DataError, match="line up"):
        wrong_chain(generate(0, 1, 1)[0], style="long")
