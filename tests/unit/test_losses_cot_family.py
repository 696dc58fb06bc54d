"""The two-view methods as weights over one NLL: token means by view, reductions to SFT, accumulation, bad input."""

import pytest
import torch
from torch import tensor

from backends.losses.cot_family import shares, view_tokens, view_weights
from backends.losses.nll import weighted_nll
from backends.methods._views import ViewOptions
from backends.methods.two_views import CASCOD, MT_COT, SCOTT, STEP_BY_STEP
from harness.errors import ConfigError, DataError

F64 = torch.float64


def family_of(method):
    """(views, default alpha) of a method, as its objective has them."""
    objective = method.stages(ViewOptions())[0].objective()
    return objective.views, objective.alpha


FAMILY = {method.name: family_of(method) for method in (MT_COT, STEP_BY_STEP, SCOTT, CASCOD)}
FAMILY["std_cot"] = ({"response": "rest"}, 0.0)


def batch(seed=0, rows=4, width=7, views=2):
    """(logps, mask, view) with views in turn and responses of different lengths."""
    draw = torch.Generator().manual_seed(seed)
    logps_BT = -2 * torch.rand(rows, width, generator=draw, dtype=F64)
    mask_BT = torch.arange(width) < torch.randint(1, width + 1, (rows, 1), generator=draw)
    return logps_BT, mask_BT, torch.arange(rows) % views


def loss_of(family, logps_BT, mask_BT, view_B, alpha=None, tokens_V=None):
    views, default = family
    if tokens_V is None:
        tokens_V = view_tokens(mask_BT, view_B, len(views))
    weights_BT = view_weights(mask_BT, view_B, tokens_V, shares(views, default if alpha is None else alpha))
    return weighted_nll(logps_BT, mask_BT, weights_BT, reduction="sum")


def token_mean(logps_BT, mask_BT):
    return weighted_nll(logps_BT, mask_BT, reduction="token").item()


TABLE = {
    "std_cot": (0.0, {"response": 1.0}),
    "mt_cot": (0.5, {"answer": 0.5, "explanation": 0.5}),
    "step_by_step": (0.5, {"label": 0.5, "rationale": 0.5}),
    "scott": (0.5, {"factual": 0.5, "counterfactual": 0.5}),
    "cascod": (0.1, {"rationale": 0.9, "answer": 0.1}),
}


@pytest.mark.parametrize("method", FAMILY)
def test_views_and_default_shares_are_the_documented_ones(method):
    views, alpha = FAMILY[method]
    assert (alpha, dict(zip(views, shares(views, alpha), strict=True))) == TABLE[method]


def test_alpha_goes_to_the_answer_side():
    for method, name in (
        ("mt_cot", "answer"),
        ("step_by_step", "label"),
        ("scott", "counterfactual"),
        ("cascod", "answer"),
    ):
        views, _ = FAMILY[method]
        found = dict(zip(views, shares(views, 0.3), strict=True))
        assert found[name] == pytest.approx(0.3)
        assert sum(found.values()) == pytest.approx(1.0)


def test_by_hand():
    """Rationale NLLs (1, 2, 3), answer NLL (5): CasCoD 0.9 * 2 + 0.1 * 5."""
    logps_BT = -tensor([[1.0, 2.0, 3.0], [5.0, 9.0, 9.0]], dtype=F64)
    mask_BT = tensor([[True, True, True], [True, False, False]])
    assert loss_of(FAMILY["cascod"], logps_BT, mask_BT, tensor([0, 1])).item() == pytest.approx(2.3, rel=1e-6)
    assert loss_of(FAMILY["step_by_step"], logps_BT, mask_BT, tensor([1, 0])).item() == pytest.approx(3.5, rel=1e-6)


@pytest.mark.parametrize("method", ["mt_cot", "step_by_step", "scott", "cascod"])
def test_each_view_is_its_own_token_mean(method):
    family = FAMILY[method]
    logps_BT, mask_BT, view_B = batch()
    expected = sum(
        share * token_mean(logps_BT[view_B == view], mask_BT[view_B == view])
        for view, share in enumerate(shares(*family))
    )
    assert loss_of(family, logps_BT, mask_BT, view_B).item() == pytest.approx(expected, rel=1e-6)


def test_std_cot_is_sft_by_token_mean():
    logps_BT, mask_BT, _ = batch()
    loss = loss_of(FAMILY["std_cot"], logps_BT, mask_BT, torch.zeros(4, dtype=torch.int64))
    assert loss.item() == pytest.approx(token_mean(logps_BT, mask_BT), rel=1e-6)


@pytest.mark.parametrize("method", ["step_by_step", "cascod"])
def test_shares_proportional_to_lengths_are_sft_and_equal_shares_are_not(method):
    family = FAMILY[method]
    logps_BT, mask_BT, view_B = batch(seed=3)
    answers = list(family[0].values()).index("alpha")
    alpha = float(mask_BT[view_B == answers].sum() / mask_BT.sum())
    sft = token_mean(logps_BT, mask_BT)
    assert loss_of(family, logps_BT, mask_BT, view_B, alpha).item() == pytest.approx(sft, rel=1e-6)
    assert abs(loss_of(family, logps_BT, mask_BT, view_B, 0.5).item() - sft) > 1e-3


def test_scott_without_counterfactual_data_is_std_cot():
    logps_BT, mask_BT, _ = batch()
    view_B = torch.zeros(4, dtype=torch.int64)
    scott = loss_of(FAMILY["scott"], logps_BT, mask_BT, view_B)
    assert scott.item() == pytest.approx(loss_of(FAMILY["std_cot"], logps_BT, mask_BT, view_B).item(), rel=1e-6)


def test_step_by_step_with_alpha_1_is_label_fine_tuning():
    logps_BT, mask_BT, view_B = batch()
    logps_BT.requires_grad_()
    loss = loss_of(FAMILY["step_by_step"], logps_BT, mask_BT, view_B, alpha=1.0)
    loss.backward()
    assert loss.item() == pytest.approx(token_mean(logps_BT[view_B == 0], mask_BT[view_B == 0]), rel=1e-6)
    assert not logps_BT.grad[view_B == 1].any()


@pytest.mark.parametrize("method", ["mt_cot", "scott", "cascod"])
def test_accumulated_rows_are_one_batch_even_when_a_view_is_missing_in_one(method):
    family = FAMILY[method]
    logps_BT, mask_BT, view_B = batch(seed=1, rows=6)
    logps_BT.requires_grad_()
    tokens_V = view_tokens(mask_BT, view_B, 2)
    whole = torch.autograd.grad(loss_of(family, logps_BT, mask_BT, view_B), logps_BT)[0]
    order = torch.arange(6)
    for part in (view_B == 0, (view_B == 1) & (order < 3), (view_B == 1) & (order >= 3)):
        loss_of(family, logps_BT[part], mask_BT[part], view_B[part], tokens_V=tokens_V).backward()
    torch.testing.assert_close(logps_BT.grad, whole, rtol=1e-12, atol=0)
    halves = view_tokens(mask_BT[:3], view_B[:3], 2) + view_tokens(mask_BT[3:], view_B[3:], 2)
    assert halves.tolist() == tokens_V.tolist()


def test_padding_changes_nothing_and_weights_are_0_there():
    logps_BT, mask_BT, view_B = batch()
    wide = torch.cat([logps_BT, torch.full((4, 3), -float("inf"), dtype=F64)], 1)
    wide_mask = torch.cat([mask_BT, torch.zeros(4, 3, dtype=torch.bool)], 1)
    family = FAMILY["mt_cot"]
    assert loss_of(family, wide, wide_mask, view_B).item() == loss_of(family, logps_BT, mask_BT, view_B).item()
    weights_BT = view_weights(wide_mask, view_B, view_tokens(wide_mask, view_B, 2), shares(*family))
    assert weights_BT.dtype == torch.float32
    assert not weights_BT[~wide_mask].any()
    assert weights_BT.sum().item() == pytest.approx(1.0)


def test_gradcheck():
    logps_BT, mask_BT, view_B = batch()
    assert torch.autograd.gradcheck(
        lambda logps_BT: loss_of(FAMILY["cascod"], logps_BT, mask_BT, view_B), logps_BT.requires_grad_()
    )


def test_what_cannot_be_is_refused():
    _, mask_BT, view_B = batch()
    family = FAMILY["cascod"]
    tokens_V = view_tokens(mask_BT, view_B, 2)
    with pytest.raises(ConfigError, match=r"alpha must be from 0 to 1, not 1\.5"):
        shares(family[0], 1.5)
    with pytest.raises(DataError, match="of a method with 2 views"):
        view_tokens(mask_BT, view_B + 1, 2)
    with pytest.raises(DataError, match="the whole step only"):
        view_weights(mask_BT, view_B, tokens_V - 1, shares(*family))
    with pytest.raises(DataError, match="no token of this optimiser step counts"):
        view_weights(mask_BT & False, view_B, tokens_V * 0, shares(*family))
    with pytest.raises(DataError, match="no token of this optimiser step counts"):
        view_weights(mask_BT[:1], view_B[:1], view_tokens(mask_BT[:1], view_B[:1], 2), shares(family[0], 1.0))
    with pytest.raises(ConfigError, match="the rows' views has the shape"):
        view_tokens(mask_BT, view_B[:2], 2)
    with pytest.raises(ConfigError, match="the tokens of the views has the shape"):
        view_weights(mask_BT, view_B, tokens_V[:1], shares(*family))
