"""PPO on completions made by hand: advantages by hand, a critic that learns alone, its state, what adds up."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from completions import LENGTHS, completions, set_up, with_extra
from drawn_groups import group
from objective_steps import Student, assert_invariant

from backends.base import Step
from backends.losses.gae import gae
from backends.methods.ppo import METHOD, PpoObjective, PpoOptions, credit
from backends.rollouts.types import RolloutMark

REWARDS = (1.0, 0.0, 1.0, 0.5)


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Student:
    return Student(tmp_path_factory.mktemp("student"))


def examples() -> Any:
    return completions([{"reward": reward} for reward in REWARDS])


def made(student: Student, **options: Any) -> PpoObjective:
    (stage,) = METHOD.stages(PpoOptions(**options))
    found = set_up(stage.objective(), student, examples())
    assert isinstance(found, PpoObjective)
    return found


def test_with_lam_one_and_no_values_every_token_is_worth_the_reward(student: Student) -> None:
    taken = student.step(made(student, lam=1.0), examples())
    ours = student.logps(examples(), 0)
    loss = -sum(reward * logps.sum() for reward, logps in zip(REWARDS, ours, strict=True)) / sum(LENGTHS)
    for name, gradient in student.gradients(loss).items():
        torch.testing.assert_close(taken.grads[name], gradient, rtol=1e-5, atol=1e-8)
    right = sum(reward * length for reward, length in zip(REWARDS, LENGTHS, strict=True)) / sum(LENGTHS)
    assert taken.log["return"] == pytest.approx(right, rel=1e-5) and taken.log["expected"] == 0
    square = sum(reward**2 * length for reward, length in zip(REWARDS, LENGTHS, strict=True)) / sum(LENGTHS)
    assert taken.log["value"] == pytest.approx(square / 2, rel=1e-5)


def test_the_advantages_are_those_of_gae(student: Student) -> None:
    objective = made(student, gamma=0.9, lam=0.8, reward_kl=0.0)
    critic = objective.critic
    assert critic is not None
    with torch.no_grad():
        critic.weight.copy_(torch.linspace(-0.1, 0.1, len(critic.weight)))
    taken = student.step(objective, examples())
    total = 0.0
    for example, reward in zip(examples(), REWARDS, strict=True):
        ids = torch.tensor(example.sequences[0].ids_T, dtype=torch.int64)[None]
        hidden = student.model.model(input_ids=ids).last_hidden_state.detach().float()[0, :-1]
        learnt = torch.tensor(example.sequences[0].supervised_T[1:])
        values = (hidden @ torch.linspace(-0.1, 0.1, hidden.shape[1]))[learnt][None]
        rewards = torch.zeros_like(values)
        rewards[0, -1] = reward
        total += gae(rewards, values, torch.ones_like(values), gamma=0.9, lam=0.8)[0].abs().sum().item()
    assert taken.log["advantage_abs"] == pytest.approx(total / sum(LENGTHS), rel=1e-4)


def test_distance_from_the_beginning_costs_reward(student: Student) -> None:
    olds = [logps.detach() + 0.5 for logps in student.logps(examples(), 0)]
    drifted = with_extra(examples(), "old_logps", olds)
    plain = student.step(made(student, lam=1.0, reward_kl=0.0), drifted).log["return"]
    taxed = student.step(made(student, lam=1.0, reward_kl=0.1), drifted).log["return"]
    later = sum(length * (length + 1) / 2 for length in LENGTHS) / sum(LENGTHS)  # tokens from each token on
    assert plain - taxed == pytest.approx(0.1 * 0.5 * later, rel=1e-4)


def test_the_critic_learns_and_moves_nothing_else(student: Student) -> None:
    objective = made(student, value_lr=0.05, reward_kl=0.0)
    errors = [student.step(objective, examples()).log["value"] for _ in range(30)]
    assert errors[-1] < 0.3 * errors[0]
    nothing = completions([{"reward": 0.0}] * len(LENGTHS))
    taken = student.step(made(student, reward_kl=0.0), nothing)
    assert not any(bool(gradient.any()) for gradient in taken.grads.values())


def test_the_critic_goes_on_where_it_was(student: Student) -> None:
    whole, first = made(student), made(student)
    for objective in (whole, first):
        student.step(objective, examples())
    resumed = made(student)
    resumed.load_state_dict(first.state_dict())
    for objective in (whole, resumed):
        student.step(objective, examples())
    assert whole.critic is not None and resumed.critic is not None
    assert torch.equal(whole.critic.weight, resumed.critic.weight) and whole.critic.weight.abs().sum() > 0


def test_micro_batches_add_up_and_padding_changes_nothing(student: Student) -> None:
    assert_invariant(student, lambda: made(student), examples())


def test_credit_is_the_reward_and_none_is_dropped() -> None:
    found = group(texts=("a", "b"))
    marked = type(found)(found.record, found.rollouts, (RolloutMark(0.25), RolloutMark(None)))
    first, second = credit([marked], Step(0, 1))[0]
    assert (first.keep, first.numbers["reward"]) == (True, 0.25) and not second.keep


def test_refusals() -> None:
    with pytest.raises(ValueError, match="lam must be"):
        PpoOptions(lam=1.5)
