"""CurioSFT: golden temperatures, the entropy they reach, bounds, and the squared pull with its gradient."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import tensor

from backends.losses.curio import curio_temperature, curio_values
from backends.losses.nll import token_logps, weighted_nll
from harness.errors import ConfigError

F64 = torch.float64
one = torch.ones(1, 1, dtype=torch.bool)


def entropy(logits):
    return torch.distributions.Categorical(logits=logits).entropy()


def tau_of(*logits):
    return curio_temperature(tensor([[logits]], dtype=F64), one).item()


def test_golden_temperature_by_hand():
    logits = tensor([3.0, 2.0, 1.0, 0.0], dtype=F64)
    tau = tau_of(3.0, 2.0, 1.0, 0.0)
    assert tau == pytest.approx(1.438572, abs=1e-6)
    assert entropy(logits).item() == pytest.approx(0.947537, abs=1e-6)
    assert entropy(logits / tau).item() == pytest.approx(1.135729, abs=1e-6)


def test_certain_position_takes_the_lower_bound():
    assert entropy(tensor([8.0, 0.0, 0.0, 0.0], dtype=F64)).item() == pytest.approx(0.009049, abs=1e-6)
    assert tau_of(8.0, 0.0, 0.0, 0.0) == pytest.approx(1.1)  # bisection alone would give 1.331477


def test_saturated_interval_gives_the_bound():
    assert tau_of(1.0, 1.0) == pytest.approx(1.5, abs=1e-6)  # no temperature warms a uniform distribution
    # A sharp peak over a wide floor warms up fast: its target lies below 1.1.
    assert tau_of(9.0, *[0.0] * 400) == pytest.approx(1.1, abs=1e-6)


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=8))
def test_temperature_is_in_bounds_and_reaches_the_target_inside_them(logits):
    logits = tensor(logits, dtype=F64)
    tau = tau_of(*logits.tolist())
    h = entropy(logits)
    assert 1.1 <= tau <= 1.5
    if 1.1001 < tau < 1.4999:
        assert entropy(logits / tau).item() == pytest.approx((h + 0.5 * torch.sigmoid(2 * (h - 1.2))).item(), abs=1e-5)


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=8), st.floats(-20, 20))
def test_shifting_the_logits_changes_nothing(logits, shift):
    assert tau_of(*[z + shift for z in logits]) == pytest.approx(tau_of(*logits), abs=1e-4)


def test_masked_positions_get_1_and_chunks_change_nothing():
    draw = torch.Generator().manual_seed(0)
    logits_BTV = 2 * torch.randn(2, 5, 9, generator=draw, dtype=F64)
    mask_BT = torch.arange(5) < tensor([[5], [2]])
    tau_BT = curio_temperature(logits_BTV, mask_BT)
    assert (tau_BT[~mask_BT] == 1.0).all()
    assert (tau_BT[mask_BT] > 1.09).all()
    torch.testing.assert_close(curio_temperature(logits_BTV, mask_BT, chunk=1), tau_BT)
    assert (curio_temperature(logits_BTV, mask_BT & False) == 1.0).all()


def test_only_the_512_likeliest_count_and_cut_vocabulary_is_no_token():
    draw = torch.Generator().manual_seed(1)
    top = 5 + torch.randn(1, 1, 512, generator=draw, dtype=F64)
    rest = torch.zeros(1, 1, 300, dtype=F64)
    assert curio_temperature(torch.cat([rest, top], -1), one).item() == curio_temperature(top, one).item()
    few = tensor([[[3.0, 2.0, 1.0, 0.0, -float("inf"), -float("inf")]]], dtype=F64)
    assert curio_temperature(few, one).item() == pytest.approx(1.438572, abs=1e-6)


def test_no_gradient_reaches_the_reference():
    logits = torch.randn(1, 3, 5, requires_grad=True)
    assert not curio_temperature(logits, torch.ones(1, 3)).requires_grad
    reference = tensor([-1.0], requires_grad=True)
    loss = curio_values(tensor([-2.0], requires_grad=True), reference).sum()
    assert torch.autograd.grad(loss, reference, allow_unused=True) == (None,)


def test_value_by_hand_and_lambda_0_is_the_nll():
    logps, reference = tensor([-2.0, -0.5], dtype=F64), tensor([-1.0, -0.5], dtype=F64)
    assert curio_values(logps, reference).tolist() == [2.5, 0.5]
    assert curio_values(logps, reference, lam=0.2).tolist() == pytest.approx([2.1, 0.5])
    assert curio_values(logps, reference, lam=0.0).tolist() == [2.0, 0.5]


def test_gradient_pulls_the_likelihood_no_further_than_the_reference_plus_one():
    logps = tensor([-3.0, -1.0, 0.0], dtype=F64, requires_grad=True)
    curio_values(logps, tensor([-2.0, -2.0, -1.0], dtype=F64)).sum().backward()
    assert logps.grad.tolist() == [-2.0, 0.0, 0.0]  # −1 + λ(log π − log π_ref)


def test_whole_method_from_logits_and_a_reference_that_is_the_student():
    draw = torch.Generator().manual_seed(2)
    logits_BTV = torch.randn(2, 4, 6, generator=draw, dtype=F64, requires_grad=True)
    labels_BT = torch.randint(0, 6, (2, 4), generator=draw)
    tau_BT = curio_temperature(logits_BTV, torch.ones(2, 4))
    reference_BT = token_logps(logits_BTV.detach(), labels_BT, temperature=tau_BT)
    expected = (logits_BTV.detach() / tau_BT[..., None]).log_softmax(-1).gather(-1, labels_BT[..., None])[..., 0]
    torch.testing.assert_close(reference_BT, expected)

    def loss(logits_BTV):
        return curio_values(token_logps(logits_BTV, labels_BT), reference_BT).mean()

    assert torch.autograd.gradcheck(loss, logits_BTV)
    sft = weighted_nll(token_logps(logits_BTV, labels_BT), torch.ones(2, 4))
    assert loss(logits_BTV).item() > sft.item()


def test_what_cannot_be_is_refused():
    with pytest.raises(ConfigError, match="lam of CurioSFT"):
        curio_values(tensor([0.0]), tensor([0.0]), lam=-1.0)
    with pytest.raises(ConfigError, match="the reference's log-probabilities has the shape"):
        curio_values(tensor([0.0]), tensor([0.0, 0.0]))
    with pytest.raises(ConfigError, match="the mask has the shape"):
        curio_temperature(torch.zeros(1, 2, 3), one)
