"""Methods that reduce to another one do so to the byte, over whole trainings: drawing, marks, updates, weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file
from test_on_policy_methods import config, rows, same, student, weights

from backends.config import Runtime
from backends.rollouts.arrays import unpack
from backends.rollouts.stored import stored_completions
from backends.train import train

pytestmark = pytest.mark.slow

__all__ = ["student"]  # a fixture

TWICE = {"updates": 2, "group": 4}
"""Two steps of one generation: in the second the ratio is not 1, and clips bite."""
TO_GRPO = {
    "kdrl": {"b": "0"},
    "trrd": {"alpha": "1", "high": "0.2"},
    "rlsd": {"lam": "0"},
    "hdpo": {"b": "0"},
    "opd_then_rl": {"steps": "0"},
    "mcq_rl": {},
}


def trained(student: Path, results: Path, method: str, **options: str) -> Path:
    told = config(student, method, settings={"max_steps": 4, "train.max_steps": 4}, rollout=dict(TWICE))
    train(replace(told, options={**told.options, **options}), results)
    return results


@pytest.fixture(scope="module")
def grpo(student: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(student, tmp_path_factory.mktemp("grpo"), "grpo")


@pytest.mark.parametrize("method", [*TO_GRPO])
def test_reduces_to_grpo(method: str, grpo: Path, student: Path, tmp_path: Path) -> None:
    assert same(trained(student, tmp_path, method, **TO_GRPO[method]), grpo)
    assert [row["loss"] for row in rows(tmp_path)] == [row["loss"] for row in rows(grpo)]


def test_with_their_own_options_they_are_others(grpo: Path, student: Path, tmp_path: Path) -> None:
    assert not same(trained(student, tmp_path, "kdrl", b="1"), grpo)


def test_minillm_without_later_tokens_is_opd(student: Path, tmp_path: Path) -> None:
    opd = trained(student, tmp_path / "opd", "opd")
    near = trained(
        student, tmp_path / "minillm", "minillm", gamma="0", alpha2="0", clip="off", teacher_mix="0", correction="none"
    )
    assert same(near, opd)


def test_opd_then_rl_is_opd_until_it_turns(student: Path, tmp_path: Path) -> None:
    opd = trained(student, tmp_path / "opd", "opd", clip="ppo", norm="sequence")
    assert same(trained(student, tmp_path / "then", "opd_then_rl", steps="99"), opd)


def test_gkd_that_draws_nothing_is_kd(student: Path, tmp_path: Path) -> None:
    found = []
    for method, options in (("gkd", {"lam": "0"}), ("kd", {"divergence": "jsd"})):
        told = config(student, method, settings={"max_steps": 4, "train.max_steps": 4})
        train(replace(told, options=options, rollout={}, reward={}), tmp_path / method)
        found.append(tmp_path / method)
    assert same(*found)


def test_a_teacher_that_is_the_student_moves_nothing(student: Path, tmp_path: Path) -> None:
    told = config(student, "opd", settings={"max_steps": 2, "train.max_steps": 2})
    train(replace(told, teacher=told.student), tmp_path)
    before, after = load_file(student / "model.safetensors"), weights(tmp_path)
    assert all(bool((before[name] == after[name]).all()) for name in before)


def test_the_first_step_of_grpo_is_the_one_made_by_hand(student: Path, tmp_path: Path) -> None:
    """What is around the loss is no other either: the scale of its gradient, the sign, the learning rate."""
    told = config(student, "grpo", settings={"max_steps": 1, "train.max_steps": 1})
    train(told, tmp_path, Runtime(logging_steps=1, keep_rollouts="all"))
    (journal,) = tmp_path.rglob("*.drawn.jsonl")
    drawn = unpack(journal.with_suffix(".npz").read_bytes())
    values = np.array([one.reward() for one in stored_completions(*tmp_path.glob("models/*"))]).reshape(-1, 4)
    worth = (values - values.mean(1, keepdims=True)) / (values.std(1, ddof=1, keepdims=True) + 1e-4)
    prompts = [prompt for prompt in drawn["prompts"] for _ in range(4)]

    model = transformers.AutoModelForCausalLM.from_pretrained(student, dtype=torch.float32)
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.0)
    for value, prompt, tokens in zip(worth.ravel(), prompts, drawn["tokens"], strict=True):
        ids = torch.tensor(np.concatenate([prompt, tokens]))[None].long()
        logps_T = model(ids).logits[0, :-1].log_softmax(-1).gather(1, ids[0, 1:, None])[len(prompt) - 1 :, 0]
        (-value * logps_T.mean() / worth.size).backward()
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimiser.step()
    assert rows(tmp_path)[0]["grad_norm"] == pytest.approx(float(norm), rel=1e-4)
    made = weights(tmp_path)
    for name, weight in model.named_parameters():
        torch.testing.assert_close(made[name], weight.detach(), rtol=0, atol=3e-4)  # a tenth of a step
