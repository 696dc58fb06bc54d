"""Functions of whole distributions in chunks, and expected embeddings: values, gradients, memory, edges."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from backends.losses import embeddings
from backends.losses.embeddings import (
    cosine_gap,
    cosine_to,
    expected_embeddings,
    mean_embedding,
    straight_through,
)
from backends.losses.positions import HeadLogits, check_labels, label_nll, over_positions, vocabulary_size
from harness.errors import ConfigError, DataError

F64 = torch.float64
B, T, V, D = 2, 5, 7, 3


def random(*shape, seed=0, dtype=F64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64).to(dtype)


def labels(seed=1):
    return torch.randint(0, V, (B, T), generator=torch.Generator().manual_seed(seed))


MASK = torch.tensor([[0, 1, 1, 0, 1], [1, 0, 0, 1, 1]]).bool()


def two_results(labels_BT):
    """Cross-entropy per position, and each sequence's summed distribution."""

    def function(scores_nV, b_n, t_n):
        member_Bn = (b_n == torch.arange(labels_BT.shape[0])[:, None]).to(scores_nV.dtype)
        return label_nll(scores_nV, labels_BT[b_n, t_n]), member_Bn @ scores_nV.softmax(-1)

    return function


def scalar(nll_BT, total_BV):
    """Something in which every entry of both results has a weight of its own."""
    return (nll_BT * random(*nll_BT.shape, seed=8).to(nll_BT)).sum() + (
        total_BV * random(*total_BV.shape, seed=9).to(total_BV)
    ).sum()


@pytest.mark.parametrize("chunk", [1, 2, 4, 100, None])
def test_chunks_give_the_value_and_gradient_of_the_whole(chunk):
    whole = random(B, T, V).requires_grad_()
    nll = functional.cross_entropy(whole.transpose(1, 2), labels(), reduction="none") * MASK
    expected = nll, (whole.softmax(-1) * MASK[..., None]).sum(1)
    scalar(*expected).backward()
    cut = random(B, T, V).requires_grad_()
    found = over_positions(two_results(labels()), cut, MASK, sums=1, chunk=chunk)
    scalar(*found).backward()
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(cut.grad, whole.grad, rtol=1e-12, atol=1e-12)
    assert not cut.grad[~MASK].any() and not found[0][~MASK].any()


@pytest.mark.parametrize("chunk", [2, None])
@pytest.mark.parametrize("with_bias", [True, False])
def test_scores_that_are_never_built_give_the_same_gradients(chunk, with_bias):
    def run(fused):
        tensors = [random(B, T, D).requires_grad_(), random(V, D, seed=2).requires_grad_()]
        tensors += [random(V, seed=3).requires_grad_()] if with_bias else []
        scores = HeadLogits(*tensors) if fused else functional.linear(*tensors)
        found = over_positions(two_results(labels()), scores, MASK, sums=1, chunk=chunk)
        scalar(*found).backward()
        return [*found, *(x.grad for x in tensors)]

    torch.testing.assert_close(run(fused=True), run(fused=False), rtol=1e-12, atol=1e-12)


def test_gradients_by_finite_differences():
    def of_scores(scores_BTV):
        return scalar(*over_positions(two_results(labels()), scores_BTV, MASK, sums=1, chunk=3))

    def of_head(hidden_BTD, head_VD, bias_V):
        return of_scores(HeadLogits(hidden_BTD, head_VD, bias_V))

    assert torch.autograd.gradcheck(of_scores, (random(B, T, V).requires_grad_(),))
    tensors = (random(B, T, D), random(V, D, seed=2), random(V, seed=3))
    assert torch.autograd.gradcheck(of_head, tuple(x.requires_grad_() for x in tensors))


def test_only_what_requires_a_gradient_gets_one():
    head_VD = random(V, D, seed=2).requires_grad_()
    found = over_positions(two_results(labels()), HeadLogits(random(B, T, D), head_VD), MASK, sums=1)
    scalar(*found).backward()
    assert head_VD.grad.abs().sum() > 0
    frozen = over_positions(two_results(labels()), random(B, T, V), MASK, sums=1)
    assert not frozen[0].requires_grad


def test_nothing_counts_gives_exact_zeros():
    scores_BTV = random(B, T, V).requires_grad_()
    found = over_positions(two_results(labels()), scores_BTV, torch.zeros(B, T), sums=1)
    scalar(*found).backward()
    assert found[0].shape == (B, T) and found[1].shape == (B, V)
    assert not found[0].any() and not found[1].any() and not scores_BTV.grad.any()


def test_scores_of_a_view_are_read_in_place():
    long = random(B, T + 1, V).requires_grad_()
    found = over_positions(two_results(labels()), long[:, :-1], MASK, sums=1, chunk=2)
    scalar(*found).backward()
    own = random(B, T + 1, V)[:, :-1].contiguous().requires_grad_()
    scalar(*over_positions(two_results(labels()), own, MASK, sums=1, chunk=2)).backward()
    torch.testing.assert_close(long.grad[:, :-1], own.grad)


def test_narrow_scores_are_summed_wide_and_get_a_narrow_gradient():
    narrow = random(B, T, V, dtype=torch.bfloat16).requires_grad_()
    wide = narrow.detach().double().requires_grad_()
    found = over_positions(two_results(labels()), narrow, MASK, sums=1, chunk=2)
    expected = over_positions(two_results(labels()), wide, MASK, sums=1, chunk=2)
    scalar(*found).backward()
    scalar(*expected).backward()
    assert found[0].dtype == found[1].dtype == torch.float32 and narrow.grad.dtype == torch.bfloat16
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5, check_dtype=False)
    torch.testing.assert_close(narrow.grad.double(), wide.grad, rtol=1e-2, atol=1e-5)


def test_autocast_runs_the_head_as_the_model_would_and_the_rest_in_float32():
    hidden, head = random(B, T, D, dtype=torch.float32), random(V, D, seed=2, dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        leaf = hidden.clone().requires_grad_()
        found = over_positions(two_results(labels()), HeadLogits(leaf, head), MASK, sums=1, chunk=2)
        loss = scalar(*found)
        loss.backward(retain_graph=True)  # not where the library says to, but people do
        within = leaf.grad.clone()
    leaf.grad = None
    loss.backward()
    torch.testing.assert_close(within, leaf.grad, rtol=0, atol=0)
    scores = functional.linear(hidden.bfloat16(), head.bfloat16())
    expected = over_positions(two_results(labels()), scores, MASK, sums=1)
    torch.testing.assert_close(found, expected)
    assert found[0].dtype == torch.float32 and leaf.grad.dtype == torch.float32 and leaf.grad.abs().sum() > 0


class Allocated(TorchDispatchMode):
    """Numbers of elements of all new tensors; a view of an older one is none."""

    def __init__(self):
        super().__init__()
        self.sizes = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        old = {x.untyped_storage().data_ptr() for x in args if isinstance(x, torch.Tensor)}
        for x in out if isinstance(out, tuple | list) else (out,):
            if isinstance(x, torch.Tensor) and x.untyped_storage().data_ptr() not in old:
                self.sizes.append(x.numel())
        return out


def test_the_only_tensor_as_large_as_the_scores_is_their_gradient():
    rows, positions, vocabulary, chunk = 2, 64, 1000, 8
    scores = random(rows, positions, vocabulary, dtype=torch.float32).requires_grad_()
    target = torch.randint(0, vocabulary, (rows, positions))
    with Allocated() as forward:
        loss = sum(x.sum() for x in over_positions(two_results(target), scores, target >= 0, sums=1, chunk=chunk))
    with Allocated() as backward:
        loss.backward()
    assert max(forward.sizes) == chunk * vocabulary
    assert sorted(backward.sizes)[-2:] == [chunk * vocabulary, scores.numel()]
    hidden, head = random(rows, positions, D, dtype=torch.float32).requires_grad_(), random(vocabulary, D).float()
    with Allocated() as fused:
        sum(
            x.sum() for x in over_positions(two_results(target), HeadLogits(hidden, head), target >= 0, sums=1, chunk=8)
        ).backward()
    assert max(fused.sizes) == chunk * vocabulary


def test_mistakes_are_named():
    assert vocabulary_size(random(B, T, V)) == vocabulary_size(HeadLogits(random(B, T, D), random(V, D))) == V
    with pytest.raises(ConfigError, match="chunk"):
        over_positions(two_results(labels()), random(B, T, V), MASK, sums=1, chunk=0)
    with pytest.raises(ConfigError, match="the mask has the shape"):
        over_positions(two_results(labels()), random(B, T, V), MASK[:, :-1], sums=1)
    with pytest.raises(ConfigError, match="shape"):
        over_positions(two_results(labels()), random(T, V), MASK, sums=1)
    ignored = labels().masked_fill(~MASK, -100)
    check_labels(ignored, MASK, V)
    check_labels(ignored, torch.zeros(B, T), V)
    with pytest.raises(DataError, match="-100"):
        check_labels(ignored, torch.ones(B, T), V)
    with pytest.raises(DataError, match=f"vocabulary is 0 to {V - 2}"):
        check_labels(torch.full((B, T), V - 1), MASK, V - 1)


@pytest.mark.parametrize("block", [1, 3, 16384])
def test_expected_embeddings_are_a_product_with_the_table(monkeypatch, block):
    monkeypatch.setattr(embeddings, "_BLOCK", block)
    p_NV = random(4, V).softmax(-1).requires_grad_()
    table_VD = random(V, D, seed=1).requires_grad_()
    torch.testing.assert_close(expected_embeddings(p_NV, table_VD), p_NV @ table_VD)
    assert torch.autograd.gradcheck(lambda p: expected_embeddings(p, table_VD), (p_NV,))
    expected_embeddings(p_NV, table_VD).sum().backward()
    assert table_VD.grad is None
    torch.testing.assert_close(cosine_to(torch.tensor([2, 5]), table_VD), cosine_matrix(table_VD)[[2, 5]])
    torch.testing.assert_close(mean_embedding(table_VD, 5), table_VD[:5].mean(0).detach())


def cosine_matrix(table_VD):
    return functional.cosine_similarity(table_VD[:, None], table_VD[None], dim=-1).detach()


def test_narrow_tables_are_widened_by_blocks():
    p_NV, table_VD = random(4, V, dtype=torch.float32).softmax(-1), random(V, D, seed=1, dtype=torch.bfloat16)
    torch.testing.assert_close(expected_embeddings(p_NV, table_VD), p_NV @ table_VD.float())
    assert mean_embedding(table_VD).dtype == cosine_to(torch.tensor([0]), table_VD).dtype == torch.float32


def test_cosine_to_itself_is_exactly_1_and_a_row_of_zeros_has_no_direction():
    table_VD = random(1000, 64, dtype=torch.float32)
    table_VD[7] = 0
    token_N = torch.arange(1000)
    cosine_NV = cosine_to(token_N, table_VD)
    assert (cosine_NV.diagonal() == 1).all() and cosine_NV.abs().max() == 1
    assert not cosine_NV[7, token_N != 7].any() and not cosine_NV[token_N != 7, 7].any()


@pytest.mark.parametrize("size", [0, V + 1])
def test_the_centre_is_of_real_tokens_only(size):
    with pytest.raises(DataError, match=f"vocabulary of {size}"):
        mean_embedding(random(V, D), size)
    with pytest.raises(DataError, match="equally padded"):
        expected_embeddings(random(4, V + 1), random(V, D))


@pytest.mark.parametrize(
    ("right", "gap"),
    [((1, 2, 2), 0), ((-1, -2, -2), 1), ((2, -1, 0), 0.5), ((2, 4, 4), 0), ((1, 0, 0), 1 / 3), ((0, 0, 0), 0.5)],
)
def test_golden_gap(right, gap):
    left_ND, right_ND = torch.tensor([[1.0, 2, 2]], dtype=F64), torch.tensor([right], dtype=F64)
    assert cosine_gap(left_ND, right_ND).item() == pytest.approx(gap, abs=1e-12)


vectors = st.lists(st.floats(-10, 10), min_size=D, max_size=D).filter(lambda v: sum(x * x for x in v) > 1e-3)


@given(vectors, vectors, st.floats(0.01, 100))
def test_gap_is_bounded_scale_free_and_moves_across_the_vector(left, right, scale):
    left_ND = torch.tensor([left], dtype=F64, requires_grad=True)
    right_ND = torch.tensor([right], dtype=F64)
    gap_N = cosine_gap(left_ND, right_ND)
    gap_N.sum().backward()
    assert 0 <= gap_N.item() <= 1 + 1e-12
    assert gap_N.item() == pytest.approx((1 - functional.cosine_similarity(left_ND, right_ND).item()) / 2, abs=1e-9)
    torch.testing.assert_close(cosine_gap(left_ND * scale, right_ND), gap_N)
    torch.testing.assert_close(cosine_gap(left_ND, right_ND * scale), gap_N)
    assert (left_ND.grad * left_ND).sum().item() == pytest.approx(0, abs=1e-9)


def test_gap_of_a_vector_without_direction_has_no_gradient():
    left_ND = torch.zeros(1, D, dtype=F64, requires_grad=True)
    gap_N = cosine_gap(left_ND, random(1, D))
    gap_N.sum().backward()
    assert gap_N.item() == 0.5 and not left_ND.grad.any()


def test_straight_through_draws_by_the_distribution_and_passes_its_gradient():
    p_V = torch.tensor([0.2, 0.0, 0.5, 0.3], dtype=F64)
    uniform_N = (torch.arange(1000, dtype=F64) + 0.5) / 1000
    p_NV = p_V.expand(1000, 4).clone().requires_grad_()
    drawn_NV = straight_through(p_NV, uniform_N)
    torch.testing.assert_close(drawn_NV.sum(0), torch.tensor([200.0, 0, 500, 300], dtype=F64))
    assert ((drawn_NV - 1).abs() < 1e-12).sum() == 1000
    weight_NV = random(1000, 4)
    (drawn_NV * weight_NV).sum().backward()
    torch.testing.assert_close(p_NV.grad, weight_NV)
    last = straight_through(torch.full((1, 3), 1 / 3), torch.tensor([1.0 - 2**-24]))
    torch.testing.assert_close(last, torch.tensor([[0.0, 0.0, 1.0]]))
