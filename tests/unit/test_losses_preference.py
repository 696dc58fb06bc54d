"""DPO, SimPO, ORPO, REDI: golden values, gradients, closed forms, and how they reduce to each other and to SFT."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import tensor

from backends.losses.nll import token_logps, weighted_nll
from backends.losses.preference import dpo_loss, orpo_loss, redi_loss, simpo_loss
from backends.losses.reduction import row_means
from harness.errors import ConfigError

F64 = torch.float64
logp = st.floats(-30, -1e-3)


def one(number):
    return tensor([number], dtype=F64)


def leaf(*numbers):
    return tensor(numbers, dtype=F64, requires_grad=True)


def slopes(loss_P, *inputs):
    return [grad.item() for grad in torch.autograd.grad(loss_P.sum(), inputs)]


def test_golden_values_by_hand():
    assert simpo_loss(one(-0.5), one(-0.9), beta=2.0, gamma=1.0).loss_P.item() == pytest.approx(0.798139, abs=1e-6)
    assert simpo_loss(one(-0.7), one(-0.7), gamma=1.0).loss_P.item() == pytest.approx(1.313262, abs=1e-6)
    assert dpo_loss(one(-40.0), one(-70.0), one(-40.0), one(-70.0)).loss_P.item() == pytest.approx(0.693147, abs=1e-6)
    assert redi_loss(one(-0.5), one(-0.9), alpha=0.8).loss_P.item() == pytest.approx(-0.22)
    assert redi_loss(one(-0.5), one(-0.9), alpha=1.0).loss_P.item() == pytest.approx(-0.40)
    assert redi_loss(one(-0.5), one(-0.9), alpha=0.0).loss_P.item() == pytest.approx(0.5)
    ratio = orpo_loss(one(-0.5), one(-1.0), beta=1.0).loss_P.item() - 0.5
    assert ratio == pytest.approx(0.320300, abs=1e-6)


def test_defaults_are_the_documented_ones():
    assert dpo_loss(one(-1.0), one(-2.0), one(-1.5), one(-1.5)).margin_P.item() == pytest.approx(0.01)
    assert simpo_loss(one(-0.5), one(-0.9)).loss_P.item() == pytest.approx(0.798139, abs=1e-6)
    assert orpo_loss(one(-0.5), one(-1.0)).loss_P.item() == pytest.approx(0.5 + 0.3 * 0.320300, abs=1e-6)
    assert redi_loss(one(-0.5), one(-0.9)).loss_P.item() == pytest.approx(-0.22)


@pytest.mark.parametrize(
    "loss",
    [
        lambda good, bad, a, b: dpo_loss(good, bad, a, b, beta=0.3).loss_P,
        lambda good, bad, a, b: simpo_loss(good, bad).loss_P,
        lambda good, bad, a, b: orpo_loss(good, bad).loss_P,
        lambda good, bad, a, b: redi_loss(good, bad).loss_P,
    ],
    ids=["dpo", "simpo", "orpo", "redi"],
)
def test_gradcheck(loss):
    draw = torch.Generator().manual_seed(0)
    good, bad, a, b = (-4 * torch.rand(5, generator=draw, dtype=F64) - 0.01 for _ in range(4))
    assert torch.autograd.gradcheck(
        lambda good, bad: loss(good, bad, a, b), (good.requires_grad_(), bad.requires_grad_())
    )


def test_gradcheck_from_logits_to_simpo():
    draw = torch.Generator().manual_seed(0)
    logits_BTV = torch.randn(4, 3, 5, generator=draw, dtype=F64, requires_grad=True)
    labels_BT = torch.randint(0, 5, (4, 3), generator=draw)

    def loss(logits_BTV):
        mean_B = row_means(token_logps(logits_BTV, labels_BT), torch.ones(4, 3))
        return simpo_loss(mean_B[:2], mean_B[2:]).loss_P

    assert torch.autograd.gradcheck(loss, logits_BTV)


@given(logp, logp, logp, logp, st.floats(0.01, 2))
def test_dpo_gradient_is_beta_sigmoid_of_minus_margin(good, bad, a, b, beta):
    chosen, rejected = leaf(good), leaf(bad)
    found = dpo_loss(chosen, rejected, one(a), one(b), beta=beta)
    up, down = slopes(found.loss_P, chosen, rejected)
    weight = beta / (1 + math.exp(beta * ((good - a) - (bad - b))))
    assert up == pytest.approx(-weight, rel=1e-9, abs=1e-300)
    assert down == pytest.approx(weight, rel=1e-9, abs=1e-300)


def test_dpo_reference_gets_no_gradient():
    reference = leaf(-2.0)
    loss_P = dpo_loss(leaf(-1.0), leaf(-3.0), reference, leaf(-2.0)).loss_P
    assert torch.autograd.grad(loss_P.sum(), reference, allow_unused=True) == (None,)


def test_dpo_of_one_response_twice_is_log_2_without_gradient():
    policy, reference = leaf(-12.0), one(-14.0)
    loss_P = dpo_loss(policy, policy, reference, reference, beta=0.5).loss_P
    assert loss_P.item() == pytest.approx(math.log(2))
    assert slopes(loss_P, policy) == [0.0]


def test_dpo_small_beta_tends_to_log_2_and_swapping_flips_the_margin():
    pair = (one(-10.0), one(-30.0), one(-12.0), one(-20.0))
    assert dpo_loss(*pair, beta=1e-9).loss_P.item() == pytest.approx(math.log(2))
    swapped = (pair[1], pair[0], pair[3], pair[2])
    assert dpo_loss(*swapped, beta=0.1).margin_P.item() == pytest.approx(-dpo_loss(*pair, beta=0.1).margin_P.item())


@given(logp, logp, st.floats(0.1, 10), st.integers(1, 50))
def test_simpo_without_gamma_is_dpo_with_an_even_reference_and_beta_over_length(good, bad, beta, length):
    simpo = simpo_loss(one(good), one(bad), beta=beta, gamma=0.0)
    dpo = dpo_loss(one(good * length), one(bad * length), one(-7.0), one(-7.0), beta=beta / length)
    assert simpo.loss_P.item() == pytest.approx(dpo.loss_P.item(), rel=1e-6, abs=1e-9)
    assert simpo.margin_P.item() == pytest.approx(dpo.margin_P.item(), rel=1e-6, abs=1e-9)


@given(logp, logp, st.floats(0, 3))
def test_simpo_gamma_shifts_the_margin_it_wants(good, bad, gamma):
    wanted = simpo_loss(one(good), one(bad), beta=2.0, gamma=gamma).loss_P.item()
    assert wanted == pytest.approx(
        simpo_loss(one(good - gamma / 2), one(bad), beta=2.0, gamma=0.0).loss_P.item(), abs=1e-9
    )
    assert wanted >= simpo_loss(one(good), one(bad), beta=2.0, gamma=0.0).loss_P.item()


@given(logp, logp)
def test_orpo_odds_are_those_of_the_definition(good, bad):
    found = orpo_loss(one(good), one(bad), beta=0.7)
    p, q = math.exp(good), math.exp(bad)
    margin = math.log(p / (1 - p)) - math.log(q / (1 - q))
    assert found.margin_P.item() == pytest.approx(margin, rel=1e-6, abs=1e-6)
    assert found.loss_P.item() == pytest.approx(-good + 0.7 * math.log1p(math.exp(-margin)), rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize("certain", [0.0, -1e-12, -1e-7, -200.0])
def test_orpo_is_finite_at_certain_and_impossible_responses(certain, dtype):
    chosen = tensor([certain, -1.0], dtype=dtype, requires_grad=True)
    rejected = tensor([-1.0, certain], dtype=dtype, requires_grad=True)
    loss_P = orpo_loss(chosen, rejected).loss_P
    loss_P.sum().backward()
    for values in (loss_P, chosen.grad, rejected.grad):
        assert torch.isfinite(values).all()


def test_orpo_beta_0_and_redi_alpha_0_are_sft_by_sequence_mean():
    draw = torch.Generator().manual_seed(3)
    logps_BT = -torch.rand(4, 6, generator=draw, dtype=F64)
    mask_BT = torch.arange(6) < tensor([[6], [3], [1], [4]])
    mean_B = row_means(logps_BT, mask_BT)
    sft = weighted_nll(logps_BT, mask_BT, reduction="seq").item()
    other = one(-3.0).expand(4)
    assert orpo_loss(mean_B, other, beta=0.0).loss_P.mean().item() == pytest.approx(sft)
    assert redi_loss(mean_B, other, alpha=0.0).loss_P.mean().item() == pytest.approx(sft)


def test_redi_is_a_weighted_nll_with_signed_weights():
    draw = torch.Generator().manual_seed(4)
    logps_BT = (-torch.rand(4, 6, generator=draw, dtype=F64)).requires_grad_()
    mask_BT = torch.arange(6) < tensor([[6], [3], [2], [5]])
    mean_B = row_means(logps_BT, mask_BT)
    redi = redi_loss(mean_B[:2], mean_B[2:]).loss_P.mean()
    weights_BT = mask_BT * tensor([1.0, 1.0, -0.8, -0.8], dtype=F64)[:, None] / mask_BT.sum(1, keepdim=True)
    nll = weighted_nll(logps_BT, mask_BT, weights_BT, reduction="global", num_items=2)
    assert redi.item() == pytest.approx(nll.item())
    torch.testing.assert_close(*(torch.autograd.grad(loss, logps_BT)[0] for loss in (redi, nll)))


def test_redi_symmetric_is_minus_its_margin_and_asymmetric_has_other_slopes():
    good, bad = leaf(-0.5), leaf(-0.9)
    found = redi_loss(good, bad, alpha=1.0)
    assert found.loss_P.item() == pytest.approx(-found.margin_P.item())
    assert slopes(redi_loss(good, bad, alpha=0.8).loss_P, good, bad) == pytest.approx([-1.0, 0.8])


def test_redi_has_no_floor_and_the_others_do():
    assert redi_loss(one(-0.5), one(-1000.0)).loss_P.item() < -700
    for loss in (simpo_loss(one(-0.5), one(-1000.0)), orpo_loss(one(-0.5), one(-1000.0))):
        assert loss.loss_P.item() >= 0
    assert dpo_loss(one(-0.5), one(-1000.0), one(-1.0), one(-1.0), beta=1.0).loss_P.item() >= 0


def test_pairs_do_not_mix_and_accumulate_to_one_batch():
    draw = torch.Generator().manual_seed(5)
    good, bad, a, b = (-3 * torch.rand(6, generator=draw, dtype=F64) - 0.01 for _ in range(4))
    for whole, part in (
        (dpo_loss(good, bad, a, b).loss_P, lambda s: dpo_loss(good[s], bad[s], a[s], b[s]).loss_P),
        (simpo_loss(good, bad).loss_P, lambda s: simpo_loss(good[s], bad[s]).loss_P),
        (orpo_loss(good, bad).loss_P, lambda s: orpo_loss(good[s], bad[s]).loss_P),
        (redi_loss(good, bad).loss_P, lambda s: redi_loss(good[s], bad[s]).loss_P),
    ):
        parts = sum(part(slice(at, at + 2)).sum() for at in (0, 2, 4)) / 6
        assert parts.item() == pytest.approx(whole.mean().item())


@pytest.mark.parametrize("margin", [-1e4, 1e4])
def test_huge_margins_stay_finite_in_float32(margin):
    good, bad = tensor([margin], requires_grad=True), tensor([0.0])
    loss_P = dpo_loss(good, bad, torch.zeros(1), torch.zeros(1), beta=1.0).loss_P
    loss_P.sum().backward()
    assert torch.isfinite(loss_P).all()
    assert good.grad.item() == pytest.approx(-1.0 if margin < 0 else 0.0)


def test_margins_carry_no_gradient():
    good, bad = leaf(-1.0), leaf(-2.0)
    for found in (
        dpo_loss(good, bad, one(-1.0), one(-1.0)),
        simpo_loss(good, bad),
        orpo_loss(good, bad),
        redi_loss(good, bad),
    ):
        assert not found.margin_P.requires_grad
        assert found.margin_P.item() > 0


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda x: dpo_loss(x, x, x, x, beta=0.0), "beta of DPO must be above 0"),
        (lambda x: dpo_loss(x, x, x, x, beta=float("nan")), "beta of DPO must be above 0"),
        (lambda x: simpo_loss(x, x, beta=-1.0), "beta of SimPO must be above 0"),
        (lambda x: simpo_loss(x, x, gamma=-0.5), "gamma of SimPO must be 0 or more"),
        (lambda x: orpo_loss(x, x, beta=-0.1), "beta of ORPO must be 0 or more"),
        (lambda x: redi_loss(x, x, alpha=1.2), "alpha of REDI must be from 0 to 1"),
        (lambda x: redi_loss(x, torch.cat([x, x])), r"has the shape \(2,\), expected \(1,\)"),
    ],
)
def test_what_cannot_be_is_refused(call, says):
    with pytest.raises(ConfigError, match=says):
        call(one(-1.0))
