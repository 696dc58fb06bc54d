"""MCC-KD: golden symmetric KL, alignment of spans, skipped pairs, both gradients, chunking, reduction to SFT."""

import pytest
import torch
from torch import tensor

from backends.losses.divergence import token_divergence
from backends.losses.mcc_kd import consistency
from harness.errors import ConfigError

F64 = torch.float64


def pair(seed=0, pairs=3, a_width=6, b_width=8, vocabulary=5):
    """Logits of both sides and equally long answer spans at different places."""
    draw = torch.Generator().manual_seed(seed)
    a = torch.randn(pairs, a_width, vocabulary, generator=draw, dtype=F64)
    b = torch.randn(pairs, b_width, vocabulary, generator=draw, dtype=F64)
    a_mask = torch.arange(a_width).expand(pairs, -1) >= a_width - 2
    b_mask = torch.arange(b_width).expand(pairs, -1) >= b_width - 2
    return a, b, a_mask.clone(), b_mask.clone()


def test_golden_value_by_hand():
    p, q = tensor([[[0.7, 0.3]]], dtype=F64).log(), tensor([[[0.4, 0.6]]], dtype=F64).log()
    one = torch.ones(1, 1, dtype=torch.bool)
    found = consistency(p, q, one, one)
    assert found[0].item() == pytest.approx(0.187914, abs=1e-6)
    assert found[1].tolist() == [True]
    warm = consistency(2 * p, 2 * q, one, one, temperature=2.0)
    assert warm[0].item() == pytest.approx(0.187914, abs=1e-6)


def test_is_half_the_sum_of_both_kl_over_aligned_positions():
    a, b, a_mask, b_mask = pair()
    aligned_a, aligned_b = a[:, -2:], b[:, -2:]
    every = torch.ones(3, 2, dtype=torch.bool)
    both = sum(token_divergence(aligned_a, aligned_b, every, kind=kind).sum() for kind in ("forward_kl", "reverse_kl"))
    found = consistency(a, b, a_mask, b_mask)
    assert found[0].item() == pytest.approx(both.item() / 2)
    assert found[1].all()


def test_identical_rationales_give_0_without_gradient():
    a, _, mask, _ = pair()
    left, right = a.clone().requires_grad_(), a.clone().requires_grad_()
    found = consistency(left, right, mask, mask)
    found[0].backward()
    assert found[0].item() == 0.0
    assert not left.grad.any()
    assert not right.grad.any()


def test_symmetric_in_the_two_sides():
    a, b, a_mask, b_mask = pair()
    swapped = consistency(b, a, b_mask, a_mask)[0].item()
    assert swapped == pytest.approx(consistency(a, b, a_mask, b_mask)[0].item())


def test_gradcheck_on_both_sides():
    a, b, a_mask, b_mask = pair(pairs=2, vocabulary=3)
    assert torch.autograd.gradcheck(
        lambda a, b: consistency(a, b, a_mask, b_mask, temperature=2.0, chunk=3)[0],
        (a.requires_grad_(), b.requires_grad_()),
    )


def test_pairs_with_unequal_or_empty_spans_are_skipped_and_counted():
    a, b, a_mask, b_mask = pair()
    a_mask[0, 3] = True  # three against two
    a_mask[1], b_mask[1] = False, False
    found = consistency(a.requires_grad_(), b, a_mask, b_mask)
    alone = consistency(a[2:], b[2:], a_mask[2:], b_mask[2:])
    assert found[1].tolist() == [False, False, True]
    assert found[0].item() == pytest.approx(alone[0].item())
    found[0].backward()
    assert not a.grad[:2].any()
    assert a.grad[2].any()


def test_nothing_aligned_gives_an_exact_0_in_the_graph():
    a, b, a_mask, b_mask = pair()
    a.requires_grad_()
    found = consistency(a, b, a_mask & False, b_mask)
    found[0].backward()
    assert (found[0].item(), found[1].any().item()) == (0.0, False)
    assert not a.grad.any()


@pytest.mark.parametrize("chunk", [1, 2, 5, 100])
def test_chunks_do_not_change_value_or_gradient(chunk):
    a, b, a_mask, b_mask = pair()
    a.requires_grad_()
    whole = consistency(a, b, a_mask, b_mask)[0]
    parts = consistency(a, b, a_mask, b_mask, chunk=chunk)[0]
    assert parts.item() == pytest.approx(whole.item(), rel=1e-12)
    torch.testing.assert_close(*(torch.autograd.grad(total, a)[0] for total in (parts, whole)))


def test_spans_in_the_middle_and_vocabulary_padding():
    a, b, a_mask, b_mask = pair()
    plain = consistency(a, b, a_mask, b_mask)[0].item()
    rolled = consistency(a.roll(-3, 1), b, a_mask.roll(-3, 1), b_mask)[0].item()
    assert rolled == pytest.approx(plain)
    padded = [torch.cat([side, torch.full((*side.shape[:2], 2), -1e9, dtype=F64)], -1) for side in (a, b)]
    assert consistency(*padded, a_mask, b_mask)[0].item() == pytest.approx(plain)


def test_bfloat16_logits_are_compared_in_float32():
    a, b, a_mask, b_mask = pair()
    a, b = a.bfloat16(), b.bfloat16()
    found = consistency(a, b, a_mask, b_mask)[0]
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(consistency(a.double(), b.double(), a_mask, b_mask)[0].item(), rel=1e-5)


def test_what_cannot_be_is_refused():
    a, b, a_mask, b_mask = pair()
    with pytest.raises(ConfigError, match="temperature must be above 0"):
        consistency(a, b, a_mask, b_mask, temperature=0.0)
    with pytest.raises(ConfigError, match="the first answers' mask has the shape"):
        consistency(a, b, b_mask, b_mask)
    with pytest.raises(ConfigError, match="the second side has the shape"):
        consistency(a, b[..., :4], a_mask, b_mask)
