"""Losses over `HeadLogits` equal those over the logits that they stand for, in value and in every gradient."""

from __future__ import annotations

import pytest
import torch

from backends.losses.curio import curio_temperature
from backends.losses.divergence import stored_divergence, token_divergence
from backends.losses.mcc_kd import consistency
from backends.losses.positions import HeadLogits
from backends.losses.specialized_kd import match_distribution
from harness.errors import ConfigError

F64 = torch.float64
B, T, D, V, K = 3, 5, 4, 7, 3


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


MASK = random(B, T, seed=9) > -0.5
IDS = torch.stack([torch.randperm(V, generator=torch.Generator().manual_seed(i))[:K] for i in range(B * T)]).view(
    B, T, K
)
STORED = random(B, T, V, seed=8).log_softmax(-1).gather(-1, IDS)


def leaves(seed, bias=True):
    made = [random(B, T, D, seed=seed), random(V, D, seed=seed + 1)]
    made += [random(V, seed=seed + 2)] if bias else []
    return [tensor.requires_grad_() for tensor in made]


def full(parts):
    return torch.nn.functional.linear(*parts)


def both_sides(function, parts):
    """Values and gradients of a function of several models' scores, from heads and from full logits."""
    results = []
    for make in (lambda x: HeadLogits(*x), full):
        value = function(*(make(x) for x in parts))
        weights = torch.linspace(1, 2, value.numel(), dtype=F64).view(value.shape)
        flat = [leaf for x in parts for leaf in x]
        results.append((value, torch.autograd.grad((value * weights).sum(), flat)))
    return results


CASES = {
    "forward_kl": lambda s, t: token_divergence(s, t, MASK, kind="forward_kl", chunk=2),
    "reverse_kl": lambda s, t: token_divergence(s, t, MASK, kind="reverse_kl", temperature=2.0, tau2_scale=True),
    "jsd": lambda s, t: token_divergence(s, t, MASK, kind="jsd", beta=0.3, vocabulary=V - 1),
    "top_k": lambda s, t: token_divergence(s, t, MASK, kind="forward_kl", top_k=3, mass="tail"),
    "stored": lambda s: stored_divergence(s, STORED, IDS, MASK, kind="forward_kl", mass="tail", chunk=4),
    "match_distribution": lambda s: match_distribution(s, STORED, IDS, MASK, chunk=4),
    "consistency": lambda s: consistency(s, s, MASK, MASK.roll(1, 1))[0][None],
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("bias", [True, False])
def test_the_head_is_the_logits(name, bias):
    parts = (
        [leaves(0, bias)] if name in ("stored", "match_distribution", "consistency") else [leaves(0, bias), leaves(5)]
    )
    (value, grads), (expected, expected_grads) = both_sides(CASES[name], parts)
    torch.testing.assert_close(value, expected)
    assert value.abs().sum() > 0
    for found, right in zip(grads, expected_grads, strict=True):
        torch.testing.assert_close(found, right)


def test_a_teacher_of_another_width_and_without_gradient():
    student, teacher = leaves(0), [random(B, T, 2, seed=3), random(V + 2, 2, seed=4)]
    value = token_divergence(HeadLogits(*student), HeadLogits(*teacher), MASK, kind="forward_kl", vocabulary=V)
    expected = token_divergence(full(student), full(teacher)[..., :V], MASK, kind="forward_kl")
    torch.testing.assert_close(value, expected)
    value.sum().backward()
    assert all(leaf.grad.abs().sum() > 0 for leaf in student)
    with pytest.raises(ConfigError, match="student has 7 logits and the teacher 9"):
        token_divergence(HeadLogits(*student), HeadLogits(*teacher), MASK, kind="forward_kl")


def test_in_autocast_the_product_runs_in_its_type():
    student = [random(B, T, D, seed=1).float(), random(V, D, seed=2).float()]
    teacher = [random(B, T, D, seed=3).float(), random(V, D, seed=4).float()]
    with torch.autocast("cpu", torch.bfloat16):
        found = token_divergence(HeadLogits(*student), HeadLogits(*teacher), MASK, kind="forward_kl")
        right = token_divergence(full(student), full(teacher), MASK, kind="forward_kl")
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, right)


def test_temperatures_of_a_reference():
    parts = leaves(0)
    found = curio_temperature(HeadLogits(*parts), MASK, chunk=2)
    torch.testing.assert_close(found, curio_temperature(full(parts), MASK))
    assert not found.requires_grad
    assert bool((curio_temperature(full(parts), MASK, low=2.0, high=2.0)[MASK] == 2.0).all())
    with pytest.raises(ConfigError, match="bounds"):
        curio_temperature(full(parts), MASK, low=1.5, high=1.1)
