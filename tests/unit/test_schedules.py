"""Schedules, the balanced ratio and the running mean of parameters."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.schedules import BalancedRatio, ParameterMean, linear
from harness.errors import ConfigError, DataError


def test_a_line_of_five_steps() -> None:
    assert [linear(1.0, 0.2, step, 5) for step in range(5)] == pytest.approx([1.0, 0.8, 0.6, 0.4, 0.2])
    assert [linear(0.0, 1.0, step, 5) for step in range(5)] == pytest.approx([0.0, 0.25, 0.5, 0.75, 1.0])


def test_the_ends_of_a_line() -> None:
    assert linear(1.0, 0.2, 0, 1) == linear(1.0, 0.2, 0, 10)  # one step alone is the start
    assert linear(1.0, 0.2, 12, 10) == linear(1.0, 0.2, 9, 10)  # beyond the last step nothing changes
    for step, total in ((-1, 5), (0, 0)):
        with pytest.raises(ConfigError, match="step"):
            linear(1.0, 0.2, step, total)


@given(st.floats(-5, 5), st.floats(-5, 5), st.integers(1, 50))
def test_a_line_is_monotone_and_stays_between_its_ends(start: float, end: float, total: int) -> None:
    values = [linear(start, end, step, total) for step in range(total)]
    assert values[0] == pytest.approx(start)
    assert total == 1 or values[-1] == pytest.approx(end)
    assert all((b - a) * (end - start) >= -1e-12 for a, b in pairwise(values))


def test_the_balanced_ratio_by_hand() -> None:
    ratio = BalancedRatio(rho=0.5)
    assert ratio.value == 0.5
    assert ratio.update(0.6, 0.2) == pytest.approx(0.75)  # the first losses start the means
    assert ratio.update(0.2, 0.4) == pytest.approx(0.4 / 0.7)  # means 0.4 and 0.3
    assert ratio.value == pytest.approx(0.4 / 0.7)


@given(st.floats(0.01, 10), st.floats(0.01, 10))
def test_both_weighted_terms_are_equal_within_the_bounds(c: float, m: float) -> None:
    alpha = BalancedRatio(low=0.0, high=1.0).update(c, m)
    assert alpha * m == pytest.approx((1 - alpha) * c)
    assert 0.1 <= BalancedRatio().update(c, m) <= 0.9
    assert BalancedRatio().update(c, c) == pytest.approx(0.5)


def test_the_balanced_ratio_is_bounded_and_survives_zeros() -> None:
    assert BalancedRatio().update(1.0, 0.0) == 0.9
    assert BalancedRatio().update(0.0, 1.0) == 0.1
    assert BalancedRatio().update(0.0, 0.0) == 0.5


def test_the_default_memory_is_a_hundred_steps() -> None:
    ratio = BalancedRatio()
    ratio.update(1.0, 1.0)
    ratio.update(2.0, 1.0)
    assert ratio.state_dict() == pytest.approx({"c": 1.01, "m": 1.0})


def test_the_balanced_ratio_resumes() -> None:
    one, two = BalancedRatio(), BalancedRatio()
    two.load_state_dict(one.state_dict())
    assert two.value == 0.5
    one.update(0.7, 0.3)
    two.load_state_dict(one.state_dict())
    assert [two.update(0.1, 0.2), two.update(3.0, 0.2)] == [one.update(0.1, 0.2), one.update(3.0, 0.2)]
    with pytest.raises(ConfigError, match="state"):
        two.load_state_dict({"c": 1.0})


@pytest.mark.parametrize("losses", [(math.nan, 1.0), (1.0, math.inf), (-0.1, 1.0)])
def test_losses_that_cannot_be_balanced(losses: tuple[float, float]) -> None:
    ratio = BalancedRatio()
    with pytest.raises(DataError, match="finite"):
        ratio.update(*losses)
    assert ratio.value == 0.5


@pytest.mark.parametrize("options", [{"rho": 1.0}, {"rho": -0.1}, {"low": 0.6}, {"high": 0.4}, {"high": 1.1}])
def test_bad_options_of_the_balanced_ratio(options: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        BalancedRatio(**options)


def tensors(*values: float, dtype: str = "float32") -> dict[str, Any]:
    torch = pytest.importorskip("torch")
    return {"w": torch.tensor(values, dtype=getattr(torch, dtype))}


def test_the_running_mean_by_hand() -> None:
    mean = ParameterMean(tensors(1.0, 0.0), rho=0.75)
    mean.update(tensors(2.0, 4.0))
    assert mean.state_dict()["w"].tolist() == [1.25, 1.0]
    mean.update(tensors(2.0, 4.0))
    assert mean.state_dict()["w"].tolist() == [1.4375, 1.75]
    target = tensors(0.0, 0.0)
    target["w"].requires_grad_()
    mean.copy_to(target)
    assert target["w"].tolist() == [1.4375, 1.75]


def test_the_running_mean_is_a_copy_and_exact_at_its_ends() -> None:
    start = tensors(0.1, 0.2)
    frozen, follower = ParameterMean(start, rho=1.0), ParameterMean(start, rho=0.0)
    start["w"].mul_(3)
    assert frozen.state_dict()["w"].tolist() == tensors(0.1, 0.2)["w"].tolist()
    for mean in (frozen, follower):
        mean.update(start)
    assert frozen.state_dict()["w"].tolist() == tensors(0.1, 0.2)["w"].tolist()
    assert follower.state_dict()["w"].tolist() == start["w"].tolist()


def test_small_updates_are_not_lost_under_bfloat16() -> None:
    mean = ParameterMean(tensors(1.0, dtype="bfloat16"), rho=0.999)
    for _ in range(1000):
        mean.update(tensors(2.0, dtype="bfloat16"))
    assert mean.state_dict()["w"].item() == pytest.approx(2 - 0.999**1000, abs=1e-4)
    target = tensors(0.0, dtype="bfloat16")
    mean.copy_to(target)
    assert str(target["w"].dtype) == "torch.bfloat16" and target["w"].item() == pytest.approx(1.632, abs=0.01)


def test_float64_stays_float64() -> None:
    assert str(ParameterMean(tensors(1.0, dtype="float64"), rho=0.5).state_dict()["w"].dtype) == "torch.float64"


def test_the_running_mean_resumes() -> None:
    one = ParameterMean(tensors(1.0, 2.0), rho=0.9)
    one.update(tensors(5.0, 6.0))
    two = ParameterMean(tensors(0.0, 0.0), rho=0.9)
    two.load_state_dict(one.state_dict())
    for mean in (one, two):
        mean.update(tensors(-1.0, 3.0))
    assert two.state_dict()["w"].tolist() == one.state_dict()["w"].tolist()


def test_the_running_mean_refuses_another_model() -> None:
    mean = ParameterMean(tensors(1.0, 2.0), rho=0.9)
    for method in (mean.update, mean.copy_to, mean.load_state_dict):
        with pytest.raises(ConfigError, match="shape"):
            method(tensors(1.0))
        with pytest.raises(ConfigError, match="other"):
            method({"other": tensors(1.0, 2.0)["w"]})
    with pytest.raises(ConfigError, match="rho"):
        ParameterMean(tensors(1.0), rho=1.5)
    with pytest.raises(ConfigError, match="no parameters"):
        ParameterMean({}, rho=0.5)
