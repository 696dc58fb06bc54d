"""The policy surrogate against TRL's, its gradients in expectation, and what holds for any numbers."""

from __future__ import annotations

import dataclasses
import math
from collections import defaultdict
from types import SimpleNamespace
from typing import Any, get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from backends.losses.divergence import Estimator, divergence, sampled_divergence
from backends.losses.policy import (
    Clip,
    Correction,
    Norm,
    correction_weights,
    log_ratio_of,
    over_step,
    spread_rows,
    surrogate,
)
from harness.errors import ConfigError, DataError

WIDTH = 9
MASK = torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0], [1, 0, 0, 0, 0, 0], [1, 1, 1, 1, 0, 0]])


def drawn(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def batch(a_token: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    logps = (-drawn(4, 6, seed=1).abs() - 0.05).requires_grad_()
    old = logps.detach() + 0.4 * drawn(4, 6, seed=2)
    return logps, old, drawn(4, 6, seed=3) if a_token else drawn(4, seed=3)


def trl_loss(logps: Tensor, inputs: dict[str, Any], loss_type: str, **more: Any) -> Tensor:
    from trl import GRPOTrainer

    args = SimpleNamespace(use_bias_correction_kl=False, delta=None, steps_per_generation=1)
    values = {
        "aux_loss_enabled": False, "top_entropy_quantile": 1.0, "off_policy_mask_threshold": None, "beta": 0.0,
        "importance_sampling_level": "token", "epsilon_low": 0.2, "epsilon_high": 0.2, "loss_type": loss_type,
        "use_vllm": False, "vllm_importance_sampling_correction": True, "model": SimpleNamespace(training=True),
        "current_gradient_accumulation_steps": 1, "max_completion_length": WIDTH, "_entropy_bonus_enabled": False,
    }  # fmt: skip
    alike = {name: more.pop(name) for name in [*more] if name in values}
    trainer = SimpleNamespace(
        **(values | alike),
        args=SimpleNamespace(**(vars(args) | more)),
        accelerator=SimpleNamespace(gather=lambda x: x, reduce=lambda x, reduction: x, num_processes=1),
        _metrics=defaultdict(lambda: defaultdict(list)),
        _get_per_token_logps_and_entropies=lambda *_, **__: (logps, torch.zeros_like(logps.detach()), None),
    )
    tokens = torch.ones_like(MASK)
    sequences = {"prompt_ids": tokens[:, :2], "prompt_mask": tokens[:, :2], "completion_ids": tokens}
    found: Tensor = GRPOTrainer._compute_loss(
        trainer, None, {**sequences, "completion_mask": MASK, "num_items_in_batch": MASK.sum(), **inputs}
    )
    return found


def our_loss(logps: Tensor, old: Tensor | None, advantages: Tensor, norm: Norm, **how: Any) -> Tensor:
    weights = how.pop("weights", None)
    ratio = log_ratio_of(logps, old, MASK, level=how.pop("level", "token"))
    loss = surrogate(logps, ratio, advantages, MASK, **how).loss_RT
    loss = loss if weights is None else loss * weights
    return over_step(loss, MASK, norm=norm, tokens=MASK.sum(), rows=4, width=WIDTH)


def assert_equal_steps(ours: Tensor, theirs: Tensor, leaf: Tensor) -> None:
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)
    (first,), (second,) = torch.autograd.grad(ours, leaf), torch.autograd.grad(theirs, leaf)
    assert first.abs().sum() > 0
    torch.testing.assert_close(first, second, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("a_token", [False, True])
@pytest.mark.parametrize("given_old", [False, True])
@pytest.mark.parametrize(("norm", "loss_type"), [("sequence", "grpo"), ("token", "dapo"), ("constant", "dr_grpo")])
def test_norms_are_those_of_trl(norm: Norm, loss_type: str, given_old: bool, a_token: bool) -> None:
    logps, old, advantages = batch(a_token)
    inputs = {"advantages": advantages} | ({"old_per_token_logps": old} if given_old else {})
    theirs = trl_loss(logps, inputs, loss_type)
    assert_equal_steps(our_loss(logps, old if given_old else None, advantages, norm), theirs, logps)


VARIANTS = {
    "wide": ({"low": 0.1, "high": 0.28}, "dapo", {"epsilon_low": 0.1, "epsilon_high": 0.28}),
    "gspo": ({"level": "sequence", "low": 3e-2, "high": 4e-2}, "grpo",
             {"importance_sampling_level": "sequence", "epsilon_low": 3e-2, "epsilon_high": 4e-2}),
    "dual": ({"clip": "dual", "most": 1.3}, "dapo", {"delta": 1.3}),
    "cispo": ({"clip": "cispo", "high": 0.3}, "cispo", {"epsilon_high": 1.3}),
    "none": ({"clip": "off"}, "dapo", {"epsilon_low": 1e9, "epsilon_high": 1e9}),
}  # fmt: skip


@pytest.mark.parametrize("a_token", [False, True])
@pytest.mark.parametrize("name", [*VARIANTS])
def test_clips_and_levels_are_those_of_trl(name: str, a_token: bool) -> None:
    ours, loss_type, theirs = VARIANTS[name]
    logps, old, advantages = batch(a_token)
    right = trl_loss(logps, {"advantages": advantages, "old_per_token_logps": old}, loss_type, **theirs)
    norm: Norm = "sequence" if loss_type == "grpo" else "token"
    assert_equal_steps(our_loss(logps, old, advantages, norm, **ours), right, logps)


@pytest.mark.parametrize("how", ["token_truncate", "token_mask", "sequence_truncate", "sequence_mask"])
def test_the_correction_weighs_as_in_trl(how: Correction) -> None:
    logps, old, advantages = batch()
    sampler = old + 0.5 * drawn(4, 6, seed=4)
    weights = correction_weights(old, sampler, MASK, how=how, cap=1.5)
    gap = ((old - sampler) * MASK) if how.startswith("token") else ((old - sampler) * MASK).sum(1, keepdim=True)
    expected = gap.exp()
    if how.endswith("truncate"):
        expected = expected.clamp(max=1.5)
    else:
        expected = expected.masked_fill((expected < 1 / 1.5) | (expected > 1.5), 0.0)
    assert ((weights == 0) & (MASK == 1)).any() == how.endswith("mask")
    torch.testing.assert_close(weights, expected.expand_as(weights))
    inputs = {"advantages": advantages, "old_per_token_logps": old, "importance_sampling_ratio": expected}
    theirs = trl_loss(logps, inputs, "dapo", use_vllm=True)
    assert_equal_steps(our_loss(logps, old, advantages, "token", weights=weights), theirs, logps)


def test_a_token_that_the_sampler_did_not_score_has_weight_one() -> None:
    old = torch.full((1, 2), -1.0)
    weights = correction_weights(old, torch.tensor([[math.nan, -2.0]]), torch.ones(1, 2), how="token_truncate")
    assert weights.tolist() == [[1.0, 2.0]]
    assert correction_weights(old, old - 5, torch.ones(1, 2), how="none").tolist() == [[1.0, 1.0]]


@pytest.mark.parametrize("bias_corrected", [False, True])
def test_the_kl_of_trl_is_k3(bias_corrected: bool) -> None:
    logps, old, advantages = batch()
    reference = logps.detach() + 0.3 * drawn(4, 6, seed=5)
    inputs = {"advantages": advantages, "old_per_token_logps": old, "ref_per_token_logps": reference}
    theirs = trl_loss(logps, inputs, "dapo", beta=0.04, use_bias_correction_kl=bias_corrected)
    k3 = sampled_divergence(logps, reference, estimator="k3")
    k3 = k3 * (logps - old).exp() if bias_corrected else k3
    ours = our_loss(logps, old, advantages, "token") + 0.04 * over_step(k3, MASK, norm="token", tokens=MASK.sum())
    assert_equal_steps(ours, theirs, logps)


def expected_gradient(estimator: Estimator | str, student: Tensor, teacher: Tensor) -> Tensor:
    """Over all five tokens, each with its probability: no sampling."""
    leaf = student.clone().requires_grad_()
    logps, target = leaf.log_softmax(-1), teacher.log_softmax(-1)
    p = logps.detach().exp()
    if estimator == "advantage":
        ratio = log_ratio_of(logps[None], None, torch.ones(1, 5))
        found = surrogate(logps[None], ratio, (target - logps).detach()[None], torch.ones(1, 5), clip="off")
        value = (p * found.loss_RT[0]).sum()
    else:
        value = (p * sampled_divergence(logps, target, estimator=estimator)).sum()  # type: ignore[arg-type]
    (gradient,) = torch.autograd.grad(value, leaf)
    return gradient


def test_gradients_of_the_kl_estimators_in_expectation() -> None:
    student, teacher = drawn(5, seed=6), drawn(5, seed=7)
    leaf = student.clone().requires_grad_()
    exact = divergence(leaf.log_softmax(-1), teacher.log_softmax(-1), kind="reverse_kl")
    (reverse,) = torch.autograd.grad(exact, leaf)
    p, q = student.softmax(-1), teacher.softmax(-1)
    assert reverse.norm() > 0.1
    torch.testing.assert_close(expected_gradient("k2", student, teacher), reverse)
    torch.testing.assert_close(expected_gradient("advantage", student, teacher), reverse)
    torch.testing.assert_close(expected_gradient("k1", student, teacher), torch.zeros(5, dtype=torch.float64))
    torch.testing.assert_close(expected_gradient("k3", student, teacher), p - q)  # the forward KL's
    u = p.log() - q.log()
    for estimator in ("k1", "k3"):  # as values both are unbiased
        assert (p * sampled_divergence(p.log(), q.log(), estimator=estimator)).sum() == pytest.approx((p * u).sum())


def test_the_first_update_has_ratio_one_and_equal_rewards_no_gradient() -> None:
    logps, _, advantages = batch()
    found = surrogate(logps, log_ratio_of(logps, None, MASK), advantages, MASK)
    assert (found.ratio_RT == 1).all() and not found.low_RT.any() and not found.high_RT.any()
    (gradient,) = torch.autograd.grad(our_loss(logps, None, torch.zeros(4), "sequence"), logps)
    assert (gradient == 0).all()


def test_clipped_tokens_are_counted_by_side_and_have_no_gradient() -> None:
    old = torch.tensor([[-1.0, -1.0, -1.0, -1.0]])
    logps = torch.tensor([[-0.5, -0.5, -1.5, -1.5]], requires_grad=True)
    advantages = torch.tensor([[1.0, -1.0, 1.0, -1.0]])
    found = surrogate(logps, logps - old, advantages, torch.ones(1, 4))
    assert found.high_RT.tolist() == [[True, False, False, False]]
    assert found.low_RT.tolist() == [[False, False, False, True]]
    found.loss_RT.sum().backward()
    assert logps.grad is not None and (logps.grad != 0).tolist() == [[False, True, True, False]]


@pytest.mark.parametrize("clip", get_args(Clip))
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_nothing_outside_the_mask_is_read(clip: Clip, data: st.DataObject) -> None:
    number = st.floats(-30, 0, width=32)
    logps, old = (torch.tensor([data.draw(st.lists(number, min_size=4, max_size=4))]) for _ in range(2))
    mask = torch.tensor([data.draw(st.lists(st.booleans(), min_size=4, max_size=4))])
    advantages = torch.tensor([data.draw(st.floats(-3, 3, width=32))])

    def found(logps: Tensor, old: Tensor) -> tuple[Tensor, Tensor]:
        leaf = logps.clone().requires_grad_()
        loss = surrogate(leaf, log_ratio_of(leaf, old, mask), advantages, mask, clip=clip).loss_RT.sum()
        return loss.detach(), torch.autograd.grad(loss, leaf)[0]

    other = old.masked_fill(~mask, -1e30)
    for first, second in zip(found(logps, old), found(logps, other), strict=True):
        assert torch.equal(first, second) and first.isfinite().all()


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_bounds_of_the_surrogate(data: st.DataObject) -> None:
    number = st.floats(-5, 0)
    logps, old = (
        torch.tensor([data.draw(st.lists(number, min_size=3, max_size=3))], dtype=torch.float64) for _ in range(2)
    )
    advantages = torch.tensor([data.draw(st.floats(-3, 3))], dtype=torch.float64)
    mask, ratio = torch.ones(1, 3), logps - old
    plain = surrogate(logps, ratio, advantages, mask, clip="off").loss_RT
    ppo = surrogate(logps, ratio, advantages, mask).loss_RT
    dual = surrogate(logps, ratio, advantages, mask, clip="dual").loss_RT
    assert (ppo >= plain - 1e-12).all() and (dual <= ppo + 1e-12).all()  # pessimistic, and less so when bounded
    assert (dual <= 3 * advantages.abs() + 1e-9).all()
    flipped = surrogate(logps, ratio, -advantages, mask, clip="off").loss_RT
    torch.testing.assert_close(flipped, -plain)


@pytest.mark.parametrize("norm", get_args(Norm))
def test_micro_batches_add_up_to_the_step(norm: Norm) -> None:
    values = drawn(4, 6, seed=8)
    whole = over_step(values, MASK, norm=norm, tokens=MASK.sum(), rows=4, width=WIDTH)
    parts = [over_step(v, m, norm=norm, tokens=MASK.sum(), rows=4, width=WIDTH)
             for v, m in zip(values.split(1), MASK.split(1), strict=True)]  # fmt: skip
    torch.testing.assert_close(sum(parts), whole)


def test_refusals() -> None:
    logps, old, advantages = batch()
    ratio = log_ratio_of(logps, old, MASK)
    with pytest.raises(ConfigError, match="unknown clip 'hard'"):
        surrogate(logps, ratio, advantages, MASK, clip="hard")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="at least 1"):
        surrogate(logps, ratio, advantages, MASK, clip="dual", most=1.1)
    with pytest.raises(ConfigError, match="the advantages has the shape"):
        spread_rows(torch.zeros(3), logps)
    with pytest.raises(ConfigError, match="above 1"):
        correction_weights(old, old, MASK, how="token_mask", cap=1.0)
    for norm in get_args(Norm):
        with pytest.raises(DataError, match="that counts"):
            over_step(ratio, MASK, norm=norm, width=WIDTH)
    with pytest.raises(ConfigError, match="constant"):
        over_step(ratio, MASK, norm="constant", rows=4)


def test_a_surrogate_is_data() -> None:
    logps, old, advantages = batch()
    found = surrogate(logps, log_ratio_of(logps, old, MASK), advantages, MASK)
    assert not found.ratio_RT.requires_grad
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.loss_RT = logps  # type: ignore[misc]
