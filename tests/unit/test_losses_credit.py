"""Advantages of a group: golden values, rewards that are none, and what holds for any group."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from backends.losses.credit import Scale, advantages, normalised_sum, perplexity_weights
from harness.errors import ConfigError, DataError

NONE = math.nan


def of(*groups: list[float], scale: Scale = "sample") -> list[list[float]]:
    return [group.tolist() for group in advantages([torch.tensor(group) for group in groups], scale)]


def test_golden() -> None:
    sample, population = of([1, 0, 0, 1])[0], of([1, 0, 0, 1], scale="population")[0]
    std = 1 / math.sqrt(3)
    assert sample == pytest.approx([s * 0.5 / (std + 1e-4) for s in (1, -1, -1, 1)])
    assert [value * (std + 1e-4) / std for value in sample] == pytest.approx(
        [0.866025, -0.866025, -0.866025, 0.866025], abs=1e-6
    )
    assert [value * 0.5001 / 0.5 for value in population] == pytest.approx([1, -1, -1, 1])
    assert of([1, 0, 0, 1], scale="off") == [[0.5, -0.5, -0.5, 0.5]]
    assert of([1, 0, 0, 0], scale="mean")[0] == pytest.approx([3, -1, -1, -1], rel=1e-3)


def test_batch_scale_has_the_groups_means_and_one_deviation() -> None:
    found = of([1, 0], [5, 2], scale="batch")
    std = torch.tensor([1.0, 0, 5, 2]).std().item() + 1e-4
    assert found[0] == pytest.approx([0.5 / std, -0.5 / std])
    assert found[1] == pytest.approx([1.5 / std, -1.5 / std])


def test_task_scale_has_the_groups_means_and_a_deviation_for_each_task() -> None:
    """By hand: task a has rewards 1, 0, 1, 0 (deviation 1 / sqrt 3), task b 40, 0, NaN (deviation 40 / sqrt 2)."""
    rewards = [torch.tensor(group) for group in ([1.0, 0], [40.0, 0, NONE], [1.0, 0])]
    first, wide, last = (group.tolist() for group in advantages(rewards, "task", ["a", "b", "a"]))
    assert first == last == pytest.approx([s * 0.5 / (1 / math.sqrt(3) + 1e-4) for s in (1, -1)])
    assert wide[:2] == pytest.approx([s * 20 / (40 / math.sqrt(2) + 1e-4) for s in (1, -1)]) and math.isnan(wide[2])


def test_task_scale_of_one_task_is_batch_and_of_tasks_of_one_group_is_sample() -> None:
    rewards = [torch.tensor(group) for group in ([1.0, 0, 0.5], [5.0, 2, NONE], [3.0, 3, 3])]
    for tasks, other in ((["a"] * 3, "batch"), ([], "batch"), (["a", "b", "c"], "sample")):
        for found, right in zip(advantages(rewards, "task", tasks), advantages(rewards, other), strict=True):  # type: ignore[arg-type]
            torch.testing.assert_close(found, right, rtol=0, atol=0, equal_nan=True)
    for found, right in zip(advantages(rewards, "off", ["a", "b", "c"]), advantages(rewards, "off"), strict=True):
        assert torch.equal(found.nan_to_num(9), right.nan_to_num(9))


@pytest.mark.parametrize("scale", get_args(Scale))
def test_a_reward_that_is_none_is_not_in_the_statistics_and_never_zero(scale: Scale) -> None:
    (with_none,) = of([1, NONE, 0, 0], scale=scale)
    (without,) = of([1, 0, 0], scale=scale)
    assert math.isnan(with_none[1])
    assert [with_none[i] for i in (0, 2, 3)] == pytest.approx(without)
    assert all(math.isnan(value) for group in of([1, NONE], [NONE], [], scale=scale) for value in group)


def test_a_part_that_is_none_makes_the_total_none_unless_it_weighs_nothing() -> None:
    parts = [torch.tensor([[1.0, 0, 0, 1], [3.0, NONE, 0, 1]])]
    (found,) = normalised_sum(parts, torch.tensor([1.0, 1.0]))
    assert [math.isnan(value) for value in found.tolist()] == [False, True, False, False]
    (unread,) = normalised_sum(parts, torch.tensor([1.0, 0.0]))
    assert not unread.isnan().any()


def test_normalised_sum_is_trl_s() -> None:
    """Values of `normalize_then_sum` in GRPOTrainer: its lines, copied here as arithmetic."""
    groups = torch.tensor([[[1.0, 0, 0, 1], [3.0, 1, 0, 2]], [[0.0, 0, 0, 1], [7.0, 3, 3, 1]]])
    weights = torch.tensor([1.0, 0.5])
    own = (groups - groups.mean(-1, keepdim=True)) / (groups.std(-1, keepdim=True) + 1e-4)
    total = (own * weights[:, None]).sum(1)
    expected = (total - total.mean()) / (total.std() + 1e-4)
    found = torch.stack(normalised_sum([*groups], weights))
    torch.testing.assert_close(found, expected.double())


def test_normalised_sum_of_flat_groups_is_zero_and_one_scored_completion_is_dropped() -> None:
    flat = torch.ones(2, 3)
    assert [group.tolist() for group in normalised_sum([flat, flat], torch.ones(2))] == [[0.0] * 3] * 2
    alone = torch.tensor([[1.0, NONE], [NONE, 1.0]])
    assert normalised_sum([alone], torch.ones(2))[0].isnan().all()
    assert normalised_sum([], torch.ones(2)) == []


rewards = st.lists(st.none() | st.floats(0, 10, width=32), min_size=0, max_size=8)


@pytest.mark.parametrize("scale", get_args(Scale))
@given(groups=st.lists(rewards, min_size=1, max_size=4))
def test_any_group(scale: Scale, groups: list[list[float | None]]) -> None:
    given_rewards = [[NONE if value is None else value for value in group] for group in groups]
    for group, found in zip(given_rewards, of(*given_rewards, scale=scale), strict=True):
        scored = [value for value in group if not math.isnan(value)]
        kept = [value for value in found if not math.isnan(value)]
        assert len(found) == len(group) and len(kept) == (len(scored) if len(scored) > 1 else 0)
        assert sum(kept) == pytest.approx(0, abs=1e-6)
        if len(set(scored)) == 1:
            assert all(value == 0 for value in kept)
        for better, worse in pairwise(group):
            if better > worse and len(scored) > 1:
                assert found[group.index(better)] >= found[group.index(worse)]


def test_refusals() -> None:
    with pytest.raises(DataError, match="rewards of at least 0"):
        of([-1, -2], scale="mean")
    with pytest.raises(ConfigError, match="unknown scale"):
        of([1, 2], scale="std")  # type: ignore[arg-type]


PPL = torch.tensor([1.361, 1.755, 2.383], dtype=torch.float64)


@pytest.mark.parametrize(
    ("likely", "tau", "expected"),
    [
        (True, 1.0, [0.426143, 0.330474, 0.243383]),
        (False, 1.0, [0.247500, 0.319149, 0.433352]),
        (False, 2.0, [0.289119, 0.328312, 0.382569]),
    ],
)
def test_golden_weights_of_scope(likely: bool, tau: float, expected: list[float]) -> None:
    found = perplexity_weights(-PPL.log(), torch.ones(3), likely=likely, tau=tau)
    assert (found / 3).tolist() == pytest.approx(expected, abs=1e-6)
    assert found.mean() == pytest.approx(1)


def test_scope_weighs_up_what_the_student_finds_unlikely_and_the_teacher_likely() -> None:
    """The sign that the authors' flag turns around."""
    rising = -PPL.log()  # the last is the least likely
    assert perplexity_weights(rising, torch.ones(3), likely=False).argmax() == 2
    assert perplexity_weights(rising, torch.ones(3), likely=True).argmax() == 0


def test_weights_of_scope_are_those_of_the_chosen() -> None:
    chosen = torch.tensor([True, False, True])
    found = perplexity_weights(-PPL.log(), chosen, likely=True)
    assert found[1] == 0 and found[chosen].mean() == pytest.approx(1)
    assert perplexity_weights(-PPL.log(), torch.zeros(3), likely=True).tolist() == [0, 0, 0]
    equal = perplexity_weights(torch.full((3,), -0.7), torch.ones(3), likely=False)
    assert equal.tolist() == pytest.approx([1, 1, 1])
    warm = perplexity_weights(-PPL.log(), torch.ones(3), likely=False, tau=1e9)
    assert warm.tolist() == pytest.approx([1, 1, 1])
    with pytest.raises(ConfigError, match="tau"):
        perplexity_weights(PPL, chosen, likely=True, tau=0.0)
