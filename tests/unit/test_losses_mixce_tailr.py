"""MixCE and TaiLr: hand-computed values, gradients, reductions to maximum likelihood, edges."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from backends.losses.mixce import mixce_weights
from backends.losses.nll import token_logps, weighted_nll
from backends.losses.tailr import tailr_weights
from harness.errors import ConfigError, DataError

F64 = torch.float64
LOGPS = torch.tensor([[math.log(0.5), math.log(0.25), math.log(0.01)]], dtype=F64)
ALL = torch.ones(1, 3).bool()


def mixce(logps, mask, ratio=0.5, **more):
    return weighted_nll(logps, mask, mixce_weights(logps, ratio), **more)


def tailr(logps, mask, gamma=0.1, min_weight=0.2, **more):
    return weighted_nll(logps, mask, tailr_weights(logps, gamma, min_weight), **more)


LOSSES = [mixce, tailr]


def test_mixce_by_hand():
    assert mixce_weights(LOGPS, 0.5).tolist()[0] == pytest.approx([0.75, 0.625, 0.505])
    by_hand = (0.75 * math.log(2) + 0.625 * math.log(4) + 0.505 * math.log(100)) / 3
    assert mixce(LOGPS, ALL).item() == pytest.approx(by_hand)
    assert mixce(LOGPS, ALL, ratio=0).item() == pytest.approx(
        (0.5 * math.log(2) + 0.25 * math.log(4) + 0.01 * math.log(100)) / 3
    )


def test_tailr_by_hand():
    # q / (0.9 + 0.1 q): 0.526316, 0.270270, 0.011099; the last is lifted to 0.2.
    assert tailr_weights(LOGPS, 0.1, 0.0).tolist()[0] == pytest.approx(
        [0.1 + 0.9 * 0.5 / 0.95, 0.1 + 0.9 * 0.25 / 0.925, 0.1 + 0.9 * 0.01 / 0.901]
    )
    weights = [0.1 + 0.9 * 0.526316, 0.1 + 0.9 * 0.270270, 0.1 + 0.9 * 0.2]
    assert tailr_weights(LOGPS, 0.1, 0.2).tolist()[0] == pytest.approx(weights, abs=1e-6)
    by_hand = sum(w * math.log(x) for w, x in zip(weights, (2, 4, 100), strict=True)) / 3
    assert tailr(LOGPS, ALL).item() == pytest.approx(by_hand, abs=1e-6)


@pytest.mark.parametrize("reduction", ["token", "seq", "sum"])
def test_at_ratio_or_gamma_1_both_are_maximum_likelihood(reduction):
    expected = weighted_nll(LOGPS, ALL, reduction=reduction)
    torch.testing.assert_close(mixce(LOGPS, ALL, ratio=1, reduction=reduction), expected, rtol=0, atol=0)
    torch.testing.assert_close(tailr(LOGPS, ALL, gamma=1, reduction=reduction), expected, rtol=0, atol=0)
    certain = torch.zeros(1, 3)
    assert mixce(certain, ALL).item() == tailr(certain, ALL).item() == 0


probabilities = st.lists(st.floats(0, 1), min_size=1, max_size=6)
unit = st.floats(0, 1)


@given(probabilities, unit, unit)
def test_weights_lie_between_their_floor_and_1(values, share, floor):
    logps = torch.tensor([values], dtype=F64).log()
    for weights, low in (
        (mixce_weights(logps, share), share),
        (tailr_weights(logps, share, floor), share + (1 - share) * floor),
    ):
        assert weights.min() >= low - 1e-12 and weights.max() <= 1 + 1e-12


def test_a_probability_that_underflows_gives_no_nan():
    logps = torch.tensor([[-200.0, -1.0, -0.5]])
    assert tailr(logps, ALL, gamma=1).item() == pytest.approx(201.5 / 3)
    assert tailr(logps, ALL, gamma=0).item() == pytest.approx((0.2 * 200 + math.exp(-1) + math.exp(-0.5) * 0.5) / 3)
    assert mixce(logps, ALL, ratio=0).isfinite()


@pytest.mark.parametrize(
    ("loss", "weigh"), [(mixce, lambda x: mixce_weights(x, 0.5)), (tailr, lambda x: tailr_weights(x, 0.1, 0.2))]
)
def test_the_gradient_is_the_likelihoods_times_the_weight(loss, weigh):
    torch.manual_seed(0)
    logits, labels = torch.randn(2, 3, 5, dtype=F64, requires_grad=True), torch.randint(0, 5, (2, 3))
    mask = torch.tensor([[1, 1, 0], [0, 1, 1]]).bool()
    logps = token_logps(logits, labels)
    loss(logps, mask).backward()
    q = logits.detach().softmax(-1)
    slope = q - torch.nn.functional.one_hot(labels, 5)
    expected = slope * (weigh(logps) * mask / 4)[..., None]
    torch.testing.assert_close(logits.grad, expected)


@pytest.mark.parametrize("loss", LOSSES)
def test_with_the_weights_held_finite_differences_agree(loss):
    weigh = mixce_weights if loss is mixce else tailr_weights
    held = weigh(LOGPS, 0.5) if loss is mixce else weigh(LOGPS, 0.1, 0.2)
    logps = LOGPS.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: weighted_nll(x, ALL, held), (logps,))
    (found,) = torch.autograd.grad(loss(logps, ALL), logps)
    (expected,) = torch.autograd.grad(weighted_nll(logps, ALL, held), logps)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("loss", LOSSES)
def test_padding_and_accumulation_change_nothing(loss):
    torch.manual_seed(0)
    logps, mask = -torch.rand(4, 6, dtype=F64), torch.rand(4, 6) < 0.6
    whole = loss(logps, mask)
    padded = torch.nn.functional.pad(logps, (0, 3), value=-math.inf)
    torch.testing.assert_close(loss(padded, torch.nn.functional.pad(mask, (0, 3))), whole)
    parts = [loss(logps[i : i + 1], mask[i : i + 1], reduction="global", num_items=mask.sum()) for i in range(4)]
    torch.testing.assert_close(sum(parts), whole)


@pytest.mark.parametrize("loss", LOSSES)
def test_an_empty_mask_is_a_mistake_or_exactly_0(loss):
    with pytest.raises(DataError, match="empty"):
        loss(LOGPS, ~ALL)
    assert loss(LOGPS, ~ALL, reduction="global", num_items=7).item() == 0


@pytest.mark.parametrize("value", [-0.1, 1.1, math.nan])
def test_settings_outside_their_range_are_refused(value):
    with pytest.raises(ConfigError, match="ratio"):
        mixce(LOGPS, ALL, ratio=value)
    with pytest.raises(ConfigError, match="gamma"):
        tailr(LOGPS, ALL, gamma=value)
    with pytest.raises(ConfigError, match="min_weight"):
        tailr(LOGPS, ALL, min_weight=value)
