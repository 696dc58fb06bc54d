"""The identity of a run: everything that can change an answer is in it, n is not."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.run.presets import GREEDY, R1
from harness.run.spec import RunSpec, prompt_hash, request_seed, spec_from_json
from harness.types import Message, Sampling

SPEC = RunSpec("aime24", "1", "ab" * 32, "hf:./a b", {"dtype": "bfloat16"}, Sampling(n=16, temperature=0.6), None)


def test_n_is_not_part_of_the_identity() -> None:
    assert replace(SPEC, sampling=replace(SPEC.sampling, n=64)).run_id == SPEC.run_id


def test_neither_is_the_command_which_is_stored_where_there_was_one() -> None:
    told = replace(SPEC, command="harness run --n 16")
    assert told.run_id == SPEC.run_id and told.identity() == SPEC.identity()
    assert told.to_json() == {**SPEC.to_json(), "command": "harness run --n 16"} and "command" not in SPEC.to_json()
    assert spec_from_json(told.to_json()).command == told.command and spec_from_json(SPEC.to_json()).command == ""
    with pytest.raises(ValueError, match="command is not a text"):
        spec_from_json({**told.to_json(), "command": 5})


@pytest.mark.parametrize(
    "changed",
    [
        replace(SPEC, suite="aime25"),
        replace(SPEC, suite_version="2"),
        replace(SPEC, data_sha256="cd" * 32),
        replace(SPEC, model="hf:./b"),
        replace(SPEC, model_identity={"dtype": "float32"}),
        replace(SPEC, limit=10),
        replace(SPEC, sampling=replace(SPEC.sampling, temperature=0.7)),
        replace(SPEC, sampling=replace(SPEC.sampling, top_p=0.9)),
        replace(SPEC, sampling=replace(SPEC.sampling, max_tokens=4096)),
        replace(SPEC, sampling=replace(SPEC.sampling, stop=("\n",))),
        replace(SPEC, sampling=replace(SPEC.sampling, seed=1)),
    ],
)
def test_whatever_changes_an_answer_changes_the_identity(changed: RunSpec) -> None:
    assert changed.run_id != SPEC.run_id


@given(st.text(max_size=300))
def test_a_run_id_is_a_safe_folder_name(model: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_+][A-Za-z0-9._+-]{0,95}", replace(SPEC, model=model).run_id)


@given(st.integers(0, 2**31 - 1), st.text(), st.integers(0, 10_000))
def test_seeds_fit_every_engine(root: int, problem: str, attempt: int) -> None:
    assert 0 <= request_seed(root, problem, attempt) < 2**31


def test_seeds_differ_between_attempts_and_problems_and_never_change() -> None:
    seeds = {request_seed(0, f"p{problem}", attempt) for problem in range(100) for attempt in range(64)}
    assert len(seeds) > 6390  # 31 bits: a birthday or two
    assert request_seed(0, "2024-I-1", 0) == 690606519, "a changed derivation would silently break every stored run"


def test_prompt_hash_tells_roles_and_borders_apart() -> None:
    one = prompt_hash((Message("user", "ab"),))
    assert one != prompt_hash((Message("system", "ab"),))
    assert one != prompt_hash((Message("user", "a"), Message("user", "b")))


def test_r1_is_the_published_protocol() -> None:
    for suite, n in (("aime", 64), ("aime24", 64), ("gpqa", 8), ("math500", 4)):
        assert R1.apply(suite, Sampling()) == Sampling(n=n, temperature=0.6, top_p=0.95, max_tokens=32768)
    assert R1.apply("gsm8k", Sampling(n=3)).n == 3
    assert GREEDY.apply("aime", Sampling(n=16, temperature=1.0, max_tokens=77)) == Sampling(n=1, max_tokens=77)
