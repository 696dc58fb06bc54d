"""Generalised advantages by hand, and what they reduce to."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from backends.losses.gae import gae
from harness.errors import ConfigError

MASK = torch.tensor([[0, 1, 1, 1, 0]])
REWARDS = torch.tensor([[9.0, 0.0, 0.0, 1.0, 9.0]])
VALUES = torch.tensor([[9.0, 0.5, 0.2, 0.4, 9.0]])


def test_by_hand() -> None:
    found, returns = gae(REWARDS, VALUES, MASK, gamma=0.9, lam=0.8)
    third = 1 - 0.4
    second = 0.9 * 0.4 - 0.2 + 0.72 * third
    first = 0.9 * 0.2 - 0.5 + 0.72 * second
    assert found[0].tolist() == pytest.approx([0, first, second, third, 0])
    assert returns[0].tolist() == pytest.approx([0, first + 0.5, second + 0.2, 1.0, 0])


def test_without_values_and_with_lam_one_it_is_the_return() -> None:
    found, returns = gae(REWARDS, torch.zeros_like(VALUES), MASK, gamma=1.0, lam=1.0)
    assert found[0].tolist() == returns[0].tolist() == [0, 1, 1, 1, 0]
    discounted, _ = gae(REWARDS, torch.zeros_like(VALUES), MASK, gamma=0.5, lam=1.0)
    assert discounted[0].tolist() == [0, 0.25, 0.5, 1, 0]


def test_with_lam_zero_it_is_the_error_of_one_step() -> None:
    found, _ = gae(REWARDS, VALUES, MASK, gamma=1.0, lam=0.0)
    assert found[0].tolist() == pytest.approx([0, -0.3, 0.2, 0.6, 0])


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=6), st.floats(0, 1), st.floats(0, 1))
def test_a_perfect_value_leaves_no_advantage(rewards: list[float], gamma: float, lam: float) -> None:
    r = torch.tensor([rewards], dtype=torch.float64)
    values, after = torch.zeros_like(r), torch.zeros(1, dtype=torch.float64)
    for t in range(len(rewards) - 1, -1, -1):
        after = r[:, t] + gamma * after
        values[:, t] = after
    found, returns = gae(r, values, torch.ones_like(r), gamma=gamma, lam=lam)
    assert found.abs().max() < 1e-9
    torch.testing.assert_close(returns, values)


def test_refusals() -> None:
    with pytest.raises(ConfigError, match="lam must be"):
        gae(REWARDS, VALUES, MASK, lam=1.5)
    with pytest.raises(ConfigError, match="the values has the shape"):
        gae(REWARDS, VALUES[:, :2], MASK)
