"""APA and CoTD-PO: golden example, gradient, bounds, invariances, missing answers, the pairwise arm."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import tensor

from backends.losses.apa import apa_loss, cotd_po_loss, cotd_po_pairwise_loss, reward_target
from backends.losses.preference import simpo_loss
from harness.errors import ConfigError, DataError

F64 = torch.float64
REWARDS = tensor([[1.0, 0.0, -1.0, 2.0]], dtype=F64)
LOGPS = tensor([[-10.0, -12.0, -11.0, -9.0]], dtype=F64)
groups = st.integers(1, 6).flatmap(
    lambda k: st.tuples(
        st.lists(st.floats(-20, 0), min_size=k, max_size=k), st.lists(st.floats(-5, 5), min_size=k, max_size=k)
    )
)


def row(numbers):
    return tensor([numbers], dtype=F64)


def test_golden_example_by_hand():
    logps_BK = LOGPS.clone().requires_grad_()
    found = apa_loss(logps_BK, REWARDS, reward_norm="raw")
    found.loss_B.sum().backward()
    exact = {"rtol": 0, "atol": 1e-6}
    torch.testing.assert_close(found.target_BK, row([0.236883, 0.087144, 0.032059, 0.643914]), **exact)
    torch.testing.assert_close(found.student_BK, row([0.276004, 0.101536, 0.167405, 0.455054]), **exact)
    assert found.loss_B.item() == pytest.approx(1.068555, abs=1e-6)
    torch.testing.assert_close(logps_BK.grad, row([0.019561, 0.007196, 0.067673, -0.094430]), **exact)
    target = found.target_BK
    assert -(target * target.log()).sum().item() == pytest.approx(0.947537, abs=1e-6)


def test_golden_reward_scaling():
    scaled = 5 * (REWARDS + 1) / 3.001
    torch.testing.assert_close(scaled, row([3.332223, 1.666111, 0.0, 4.998334]), rtol=0, atol=1e-6)
    target_BK = reward_target(REWARDS)
    torch.testing.assert_close(target_BK, row([0.153463, 0.029001, 0.005481, 0.812055]), rtol=0, atol=1e-6)
    torch.testing.assert_close(target_BK, scaled.softmax(-1))


@given(groups, st.floats(0.05, 2), st.sampled_from(["raw", "minmax5"]))
def test_gradient_is_lambda_times_student_minus_target_and_sums_to_0(group, lam, norm):
    logps_BK = row(group[0]).requires_grad_()
    found = apa_loss(logps_BK, row(group[1]), lam=lam, reward_norm=norm)
    found.loss_B.sum().backward()
    torch.testing.assert_close(logps_BK.grad, lam * (found.student_BK - found.target_BK), rtol=1e-9, atol=1e-12)
    assert logps_BK.grad.sum().item() == pytest.approx(0, abs=1e-12)


@given(groups)
def test_at_least_the_entropy_of_the_target(group):
    found = apa_loss(row(group[0]), row(group[1]))
    target = found.target_BK
    entropy = -(target * target.clamp_min(1e-300).log()).sum().item()
    assert found.loss_B.item() >= entropy - 1e-9
    assert -1e-12 <= found.student_entropy_B.item() <= math.log(len(group[0])) + 1e-9
    aligned = apa_loss(target.log() / 0.5, row(group[1]))
    assert aligned.loss_B.item() == pytest.approx(entropy, abs=1e-9)


def test_gradcheck_with_missing_answers():
    draw = torch.Generator().manual_seed(0)
    logps_BK = -torch.rand(3, 4, generator=draw, dtype=F64) * 5
    rewards_BK = torch.randn(3, 4, generator=draw, dtype=F64)
    valid_BK = torch.arange(4) < tensor([[4], [2], [1]])
    check = torch.autograd.gradcheck(
        lambda logps_BK: apa_loss(logps_BK, rewards_BK, valid_BK=valid_BK).loss_B, logps_BK.requires_grad_()
    )
    assert check


def test_one_answer_gives_0():
    logps_BK = row([-3.0]).requires_grad_()
    found = apa_loss(logps_BK, row([7.0]))
    found.loss_B.sum().backward()
    assert found.loss_B.item() == 0.0
    assert logps_BK.grad.item() == 0.0


def test_equal_rewards_and_scores_give_log_k_without_gradient():
    logps_BK = row([-2.0] * 8).requires_grad_()
    found = apa_loss(logps_BK, row([0.3] * 8))
    found.loss_B.sum().backward()
    assert found.loss_B.item() == pytest.approx(math.log(8))
    assert found.student_entropy_B.item() == pytest.approx(math.log(8))
    assert logps_BK.grad.abs().max().item() < 1e-15


def test_constants_added_to_rewards_or_log_probabilities_change_nothing():
    for norm in ("raw", "minmax5"):
        plain = apa_loss(LOGPS, REWARDS, reward_norm=norm).loss_B.item()
        assert apa_loss(LOGPS - 100, REWARDS, reward_norm=norm).loss_B.item() == pytest.approx(plain)
        assert apa_loss(LOGPS, REWARDS + 100, reward_norm=norm).loss_B.item() == pytest.approx(plain)


def test_order_of_answers_permutes_the_distributions_only():
    order = [2, 0, 3, 1]
    plain, mixed = apa_loss(LOGPS, REWARDS), apa_loss(LOGPS[:, order], REWARDS[:, order])
    assert mixed.loss_B.item() == pytest.approx(plain.loss_B.item())
    torch.testing.assert_close(mixed.target_BK, plain.target_BK[:, order])
    torch.testing.assert_close(mixed.student_BK, plain.student_BK[:, order])


@pytest.mark.parametrize("filler", [0.0, -1e30, float("nan"), float("inf")])
@pytest.mark.parametrize("norm", ["raw", "minmax5"])
def test_missing_answers_change_nothing_whatever_stands_there(filler, norm):
    wide = torch.cat([LOGPS, row([filler, filler])], 1).requires_grad_()
    rewards_BK = torch.cat([REWARDS, row([filler, filler])], 1)
    valid_BK = tensor([[True] * 4 + [False] * 2])
    found = apa_loss(wide, rewards_BK, reward_norm=norm, valid_BK=valid_BK)
    plain = apa_loss(LOGPS, REWARDS, reward_norm=norm)
    assert found.loss_B.item() == pytest.approx(plain.loss_B.item())
    assert found.student_entropy_B.item() == pytest.approx(plain.student_entropy_B.item())
    found.loss_B.sum().backward()
    assert wide.grad[0, 4:].tolist() == [0.0, 0.0]
    assert found.target_BK[0, 4:].tolist() == found.student_BK[0, 4:].tolist() == [0.0, 0.0]


def test_prompts_do_not_mix():
    both = apa_loss(torch.cat([LOGPS, LOGPS * 2]), torch.cat([REWARDS, -REWARDS])).loss_B
    assert both[0].item() == apa_loss(LOGPS, REWARDS).loss_B.item()
    assert both[1].item() == apa_loss(LOGPS * 2, -REWARDS).loss_B.item()


def test_float32_is_kept_and_rewards_get_no_gradient():
    rewards_BK = REWARDS.clone().requires_grad_()
    found = apa_loss(LOGPS.float().requires_grad_(), rewards_BK, reward_norm="raw")
    found.loss_B.sum().backward()
    assert found.loss_B.dtype == torch.float32
    assert found.loss_B.item() == pytest.approx(1.068555, abs=1e-5)
    assert rewards_BK.grad is None


def test_total_is_rationale_nll_plus_alpha_apa():
    rationale_B, apa_B = tensor([-1.2, -0.4]), tensor([1.0, 2.0])
    assert cotd_po_loss(rationale_B, apa_B).tolist() == pytest.approx([2.2, 2.4])
    assert cotd_po_loss(rationale_B, apa_B, alpha=0.5).tolist() == pytest.approx([1.7, 1.4])
    assert cotd_po_loss(rationale_B, apa_B, alpha=0.0).tolist() == pytest.approx([1.2, 0.4])


def test_pairwise_arm_is_simpo_on_best_and_worst_plus_nll_of_the_best():
    mean_BK = row([-0.7, -0.6, -0.9, -0.5])
    found = cotd_po_pairwise_loss(mean_BK, REWARDS)
    assert found.loss_P.item() == pytest.approx(0.798139 + 0.5, abs=1e-6)
    assert found.margin_P.item() == pytest.approx(0.8)
    masked = cotd_po_pairwise_loss(mean_BK, REWARDS, valid_BK=tensor([[True, True, True, False]]))
    simpo = simpo_loss(row([-0.7])[0], row([-0.9])[0]).loss_P
    assert masked.loss_P.item() == pytest.approx(simpo.item() + 0.7)
    without_worst = cotd_po_pairwise_loss(mean_BK, REWARDS, valid_BK=tensor([[True, True, False, True]]))
    assert without_worst.margin_P.item() == pytest.approx(2 * (-0.5 + 0.6))


def test_pairwise_arm_of_equal_rewards_learns_the_nll_only():
    mean_BK = row([-0.7, -0.6]).requires_grad_()
    cotd_po_pairwise_loss(mean_BK, row([2.0, 2.0])).loss_P.sum().backward()
    assert mean_BK.grad[0].tolist() == pytest.approx([-1.0, 0.0])


def test_what_cannot_be_is_refused():
    with pytest.raises(ConfigError, match="lam of APA must be above 0"):
        apa_loss(LOGPS, REWARDS, lam=0.0)
    with pytest.raises(ConfigError, match="unknown reward norm 'z'"):
        reward_target(REWARDS, norm="z")
    with pytest.raises(ConfigError, match="alpha of CoTD-PO"):
        cotd_po_loss(LOGPS[0], LOGPS[0], alpha=-1.0)
    with pytest.raises(ConfigError, match="the rewards has the shape"):
        apa_loss(LOGPS, REWARDS[:, :3])
    with pytest.raises(DataError, match="a reward is not finite"):
        apa_loss(LOGPS, row([1.0, float("nan"), 0.0, 1.0]))
    with pytest.raises(DataError, match="no scored answer"):
        apa_loss(LOGPS, REWARDS, valid_BK=torch.zeros(1, 4, dtype=torch.bool))
    with pytest.raises(DataError, match="no scored answer"):
        apa_loss(torch.zeros(2, 0), torch.zeros(2, 0))
