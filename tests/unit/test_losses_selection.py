"""Openers, gates and rankings of TSD-KD: golden values, gradients, and what holds for any entropies."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from backends.losses.positions import HeadLogits
from backends.losses.selection import entropy_gate, most_uncertain, opener, plackett_luce, ranking_nll
from harness.errors import ConfigError


def test_golden() -> None:
    assert plackett_luce(torch.tensor([1.0, 2.0, 0.5])).item() == pytest.approx(1.665782, abs=1e-6)
    gate = entropy_gate(torch.tensor(1.029653), torch.tensor(0.801819))
    assert gate.item() == pytest.approx(0.556714, abs=1e-6)
    assert entropy_gate(torch.tensor(0.7), torch.tensor(0.7)).item() == 0.5


def test_the_ranking_is_by_the_teacher_among_the_student_s_own() -> None:
    student = torch.tensor([[[2.0, 1.0, 0.5, -3.0]]], requires_grad=True)
    teacher = torch.tensor([[[0.0, 9.0, -1.0, 99.0]]])  # the likeliest of all is not among the student's three
    found = ranking_nll(student, teacher, torch.ones(1, 1), top_k=3)
    assert found.item() == pytest.approx(1.665782, abs=1e-6)
    found.sum().backward()
    assert student.grad is not None and student.grad[0, 0, 3] == 0 and student.grad[0, 0, 1] < 0
    sorted_alike = torch.tensor([[[0.0, 30.0, -30.0, -60.0]]])
    assert ranking_nll(sorted_alike, teacher, torch.ones(1, 1), top_k=3).item() == pytest.approx(0, abs=1e-9)


def test_hidden_states_and_chunks_give_the_whole_logits_value() -> None:
    draw = torch.Generator().manual_seed(0)
    hidden, other = (torch.randn(2, 4, 3, generator=draw, dtype=torch.float64) for _ in range(2))
    head, bigger = torch.randn(6, 3, generator=draw).double(), torch.randn(8, 3, generator=draw).double()
    mask = torch.tensor([[1, 1, 0, 1], [0, 1, 1, 1]])
    whole = ranking_nll(hidden @ head.T, (other @ bigger.T)[..., :6], mask, top_k=3)
    found = ranking_nll(HeadLogits(hidden, head), HeadLogits(other, bigger), mask, top_k=3, chunk=2)
    torch.testing.assert_close(found, whole)
    assert (found[mask == 0] == 0).all() and (found[mask == 1] > 0).all()
    with pytest.raises(ConfigError, match="at least 1"):
        ranking_nll(whole[..., None], whole[..., None], mask, top_k=0)


def test_the_opener_is_where_the_share_is_spent() -> None:
    entropy = torch.tensor([[5.0, 1.0, 3.0, 2.0, 4.0, 7.0]])
    mask = torch.tensor([[0, 1, 1, 1, 1, 0]])  # 1, 3, 2, 4 of 10
    assert opener(entropy, mask, 0.1).tolist() == [[False, True, False, False, False, False]]
    assert opener(entropy, mask, 0.3).tolist() == [[False, True, True, False, False, False]]
    assert opener(entropy, mask, 1.0).tolist() == [[False, True, True, True, True, False]]
    assert opener(torch.zeros(1, 3), torch.ones(1, 3), 0.1).tolist() == [[True, False, False]]


def test_the_most_uncertain_are_of_each_completion() -> None:
    entropy = torch.tensor([[9.0, 1.0, 3.0, 2.0], [0.1, 0.3, 0.2, 9.0]])
    mask = torch.tensor([[0, 1, 1, 1], [1, 1, 1, 0]])
    assert most_uncertain(entropy, mask, 0.1).tolist() == [[False, False, True, False], [False, True, False, False]]
    assert most_uncertain(entropy, mask, 0.5).sum(1).tolist() == [2, 2]


@given(st.lists(st.tuples(st.floats(0, 10, width=32), st.booleans()), min_size=1, max_size=12), st.floats(0.01, 1))
def test_any_completion(tokens: list[tuple[float, bool]], share: float) -> None:
    entropy = torch.tensor([[value for value, _ in tokens]])
    mask = torch.tensor([[counts for _, counts in tokens]])
    counted = int(mask.sum())
    for found in (opener(entropy, mask, share), most_uncertain(entropy, mask, share)):
        assert not (found & ~mask).any()
        assert (1 <= int(found.sum()) <= counted) if counted else not found.any()
    begun = opener(entropy, mask, share)[mask]
    assert not (begun[1:] & ~begun[:-1]).any()  # a beginning: nothing behind a gap
    chosen, left = entropy[most_uncertain(entropy, mask, share)], entropy[mask & ~most_uncertain(entropy, mask, share)]
    assert not len(left) or chosen.min() >= left.max()


def test_nothing_selected_has_a_gradient() -> None:
    entropy: Tensor = torch.tensor([[1.0, 2.0]], requires_grad=True)
    assert not entropy_gate(entropy, entropy * 2).requires_grad
