"""Specialised KD: alignment across tokenisations, carried-over top-5, and the KL that reduces to the sample's NLL."""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import tensor

from backends.losses.divergence import token_divergence
from backends.losses.nll import token_logps
from backends.losses.specialized_kd import carry_over, match_distribution, matched_positions
from harness.errors import ConfigError, DataError

F64 = torch.float64
INF = float("inf")
pieces = st.lists(st.sampled_from(["a", "b", "ab", " c"]), max_size=10)


def sample(seed=0, rows=2, width=4, vocabulary=7, kept=3):
    draw = torch.Generator().manual_seed(seed)
    student = torch.randn(rows, width, vocabulary, generator=draw, dtype=F64)
    teacher = torch.randn(rows, width, vocabulary, generator=draw, dtype=F64).log_softmax(-1)
    logps, ids = teacher.topk(kept, dim=-1)
    return student, logps, ids, torch.arange(width) < tensor([[width], [width - 1]])


@given(pieces, pieces)
def test_matched_positions_have_equal_texts_and_never_cross(student, teacher):
    pairs = matched_positions(student, teacher)
    assert all(student[i] == teacher[j] for i, j in pairs)
    assert all(i < k and j < m for (i, j), (k, m) in pairwise(pairs))
    assert matched_positions(student, student) == [(i, i) for i in range(len(student))]


def test_matched_positions_across_tokenisations_by_hand():
    student = ["The", " answer", " is", " 4", "2", "."]
    teacher = ["The", " ans", "wer", " is", " 42", "."]
    assert matched_positions(student, teacher) == [(0, 0), (2, 3), (5, 5)]


def test_carry_over_by_hand():
    vocabulary = {"The": 3, " is": 4, " was": 5, ".": 6, "!": 7}
    top = [
        {"The": math.log(0.5), "A": math.log(0.5)},  # "A" is none of the student's: what is left has mass 1
        {" ans": 0.0},
        {"wer": 0.0},
        {" is": math.log(0.6), " was": math.log(0.2), " be": math.log(0.1)},
        {"?": 0.0},  # none of the student's at all
    ]
    logps_TK, ids_TK = carry_over(
        ["The", " answer", " is", "?"], ["The", " ans", "wer", " is", "?"], top, vocabulary, top_k=2
    )
    assert (logps_TK[:, 0] > -INF).tolist() == [True, False, True, False]
    assert ids_TK.tolist() == [[3, 0], [0, 0], [4, 5], [0, 0]]
    torch.testing.assert_close(logps_TK[0], tensor([0.0, -INF]))
    torch.testing.assert_close(logps_TK[2].exp(), tensor([0.75, 0.25]))


def test_carry_over_keeps_the_likeliest():
    vocabulary = {letter: index for index, letter in enumerate("abcdefg")}
    top = [{letter: -float(index + 1) for index, letter in enumerate("gfedcba")}]
    logps_TK, ids_TK = carry_over(["g"], ["g"], top, vocabulary)
    assert ids_TK.tolist() == [[6, 5, 4, 3, 2]]
    assert logps_TK.exp().sum().item() == pytest.approx(1.0)


def test_one_certain_token_is_match_sample():
    student, *_, mask_BT = sample()
    labels_BT = tensor([[1, 2, 3, 4], [0, 6, 5, 1]])
    loss_BT = match_distribution(student, torch.zeros(2, 4, 1, dtype=F64), labels_BT[..., None], mask_BT)
    torch.testing.assert_close(loss_BT, -token_logps(student, labels_BT) * mask_BT)


def test_all_tokens_kept_is_the_forward_kl():
    student, logps, ids, mask_BT = sample(kept=7)
    teacher = torch.zeros_like(student).scatter(-1, ids, logps)
    expected = token_divergence(student, teacher, mask_BT, kind="forward_kl")
    torch.testing.assert_close(match_distribution(student, logps, ids, mask_BT), expected)


def test_student_equal_to_the_normalised_teacher_gives_0():
    _, logps, ids, mask_BT = sample()
    student = torch.full((2, 4, 7), -INF, dtype=F64).scatter(-1, ids, logps)
    assert match_distribution(student, logps, ids, mask_BT).abs().max().item() < 1e-12
    assert match_distribution(*sample()).min().item() >= 0


def test_by_hand_and_gradient_is_student_minus_teacher():
    student = tensor([[[1.0, 2.0, 0.5, -1.0]]], dtype=F64, requires_grad=True)
    logps = tensor([[[0.6, 0.2]]], dtype=F64).log()
    loss = match_distribution(student, logps, tensor([[[1, 2]]]), torch.ones(1, 1)).sum()
    p, q = [0.75, 0.25], student.detach().softmax(-1).flatten()
    assert loss.item() == pytest.approx(p[0] * math.log(p[0] / q[1]) + p[1] * math.log(p[1] / q[2]))
    loss.backward()
    torch.testing.assert_close(student.grad.flatten(), q - tensor([0.0, 0.75, 0.25, 0.0], dtype=F64))


@pytest.mark.parametrize("chunk", [1, 3, 100])
def test_gradcheck_and_chunks(chunk):
    student, logps, ids, mask_BT = sample(vocabulary=5)
    logps = logps.masked_fill(torch.arange(3) >= tensor([[[3], [1], [2], [3]]]), -INF)
    student.requires_grad_()
    assert torch.autograd.gradcheck(lambda s: match_distribution(s, logps, ids, mask_BT, chunk=chunk), student)
    torch.testing.assert_close(
        match_distribution(student, logps, ids, mask_BT, chunk=chunk), match_distribution(student, logps, ids, mask_BT)
    )


def test_unused_slots_and_masked_positions_are_not_read():
    student, logps, ids, mask_BT = sample()
    wide_logps = torch.cat([logps, torch.full((2, 4, 2), -INF, dtype=F64)], -1)
    wide_ids = torch.cat([ids, torch.full((2, 4, 2), -7)], -1)
    wide_logps[1, 3], wide_ids[1, 3] = float("nan"), 999
    plain = match_distribution(student, logps, ids, mask_BT)
    torch.testing.assert_close(match_distribution(student, wide_logps, wide_ids, mask_BT), plain)
    assert plain[1, 3].item() == 0.0


def test_teacher_need_not_be_normalised_and_gets_no_gradient():
    student, logps, ids, mask_BT = sample()
    logps.requires_grad_()
    student.requires_grad_()
    loss_BT = match_distribution(student, logps - 3.0, ids, mask_BT)
    torch.testing.assert_close(loss_BT, match_distribution(student, logps, ids, mask_BT))
    loss_BT.sum().backward()
    assert logps.grad is None


def test_empty_mask_gives_zeros_in_the_graph():
    student, logps, ids, mask_BT = sample()
    student.requires_grad_()
    loss_BT = match_distribution(student, logps, ids, mask_BT & False)
    loss_BT.sum().backward()
    assert not loss_BT.any()
    assert not student.grad.any()


def test_what_cannot_be_is_refused():
    student, logps, ids, mask_BT = sample()
    with pytest.raises(ConfigError, match="the stored ids has the shape"):
        match_distribution(student, logps, ids[..., :2], mask_BT)
    with pytest.raises(DataError, match="has no teacher token"):
        match_distribution(student, torch.full_like(logps, -INF), ids, mask_BT)
    with pytest.raises(DataError, match="outside the student's 7 tokens"):
        match_distribution(student, logps, ids + 7, mask_BT)
    with pytest.raises(DataError, match="1 distributions for 2 teacher tokens"):
        carry_over(["a"], ["a", "b"], [{"a": 0.0}], {"a": 0})
    for bad in (0.5, float("nan")):
        with pytest.raises(DataError, match="no log-probabilities"):
            carry_over(["a"], ["a"], [{"a": bad}], {"a": 0})
