"""EMO: golden values, the exact distance, gradients in closed form, both modes and variants, invariances, memory."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linprog
from torch.nn import functional

from backends.losses.emo import emo, emo_parts
from backends.losses.positions import HeadLogits
from harness.errors import ConfigError, DataError

F64 = torch.float64
COST = torch.tensor([(1, 0), (0, 1), (1, 1), (-1, 0)], dtype=F64)
SCORES = torch.tensor([[[2, 1, 0, -1]]], dtype=F64)
GOLD = torch.zeros(1, 1, dtype=torch.long)
ONE = torch.ones(1, 1).bool()
B, T, V, D = 3, 6, 9, 4
CASES = [(variant, mode) for variant in ("plain", "detach_gold") for mode in (1, 2)]


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def batch():
    torch.manual_seed(0)
    mask = torch.rand(B, T) < 0.6
    return random(B, T, V).requires_grad_(), torch.randint(0, V, (B, T)), mask, random(V, D, seed=1)


def by_definition(logits, labels, mask, table, variant, mode):
    """The definition written out over the whole vocabulary at once, in its own form (q without gold, 1 - sum)."""
    unit = functional.normalize(table, dim=-1)
    q = logits.softmax(-1)
    if variant == "detach_gold":
        q = q - (q * functional.one_hot(labels, q.shape[-1])).detach()
    term = 1 - ((q @ unit) * unit[labels]).sum(-1)
    nll = functional.cross_entropy(logits.transpose(1, 2), labels, reduction="none")
    if mode == 1:
        loss = 0.5 * ((nll / (term + 1e-10)).detach() * term + nll)
    else:
        loss = (term / (nll + 1e-10)).detach() * nll + term
    return loss[mask].mean()


@pytest.mark.parametrize(
    ("variant", "mode", "value"),
    [("plain", 1, 0.440190), ("plain", 2, 0.653048), ("detach_gold", 1, 0.440190), ("detach_gold", 2, 2 * 0.970438)],
)
def test_golden_values(variant, mode, value):
    found = emo(SCORES, GOLD, ONE, COST, variant=variant, mode=mode)
    assert found.loss.item() == pytest.approx(value, abs=1.5e-6)
    assert found.nll.item() == pytest.approx(0.440190, abs=1e-6)
    assert found.distance.item() == pytest.approx(0.326524, abs=1e-6)
    assert not found.nll.requires_grad and not found.distance.requires_grad


def test_a_certain_prediction_has_distance_0_and_a_detached_term_of_1():
    certain = torch.tensor([[[1000.0, 0, 0, 0]]], dtype=F64, requires_grad=True)
    for variant, term in (("plain", 0), ("detach_gold", 1)):
        found = emo(certain, GOLD, ONE, COST, variant=variant, mode=2)
        assert found.loss.item() == term and found.distance.item() == 0
        found.loss.backward()
        assert not certain.grad.any()
    assert emo(certain, GOLD, ONE, COST).loss.item() == 0


@pytest.mark.parametrize("label", [0, 1, 2, 3])
def test_for_one_reference_token_it_is_the_exact_earth_movers_distance(label):
    q = random(4, seed=label).softmax(-1)
    unit = functional.normalize(COST, dim=-1)
    cost = 1 - unit @ unit.T
    rows = [[float(i // 4 == u) for i in range(16)] for u in range(4)]
    columns = [[float(i % 4 == v) for i in range(16)] for v in range(4)]
    onehot = [float(v == label) for v in range(4)]
    exact = linprog(cost.flatten().tolist(), A_eq=rows + columns, b_eq=[*q.tolist(), *onehot]).fun
    found = emo(q.log()[None, None], torch.tensor([[label]]), ONE, COST)
    assert found.distance.item() == pytest.approx(exact, abs=1e-9)


@pytest.mark.parametrize(("variant", "mode"), CASES)
@pytest.mark.parametrize("chunk", [1, 4, None])
def test_chunks_give_the_value_and_gradient_of_the_definition(variant, mode, chunk):
    logits, labels, mask, table = batch()
    expected = by_definition(logits, labels, mask, table, variant, mode)
    (slope,) = torch.autograd.grad(expected, logits)
    found = emo(logits, labels, mask, table, variant=variant, mode=mode, chunk=chunk)
    (found_slope,) = torch.autograd.grad(found.loss, logits)
    torch.testing.assert_close(found.loss, expected, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(found_slope, slope, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("variant", ["plain", "detach_gold"])
def test_mode_1_gradient_in_closed_form(variant):
    logits = SCORES.clone().requires_grad_()
    emo(logits, GOLD, ONE, COST, variant=variant).loss.backward()
    q = SCORES.softmax(-1)
    cost = 1 - functional.cosine_similarity(COST, COST[:1], dim=-1)
    nll, distance = -q[0, 0, 0].log(), (q * cost).sum()
    term = distance + (q[0, 0, 0] if variant == "detach_gold" else 0)
    # The variants differ in the weight alone: the term's own slope is q_k (c_k - sum q c) in both.
    slope = q * (cost - distance)
    expected = 0.5 * (nll / term * slope + q - functional.one_hot(GOLD, 4))
    torch.testing.assert_close(logits.grad, expected, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("fused", [False, True])
def test_both_parts_by_finite_differences(fused):
    _, labels, mask, table = batch()

    def parts(*tensors):
        nll, distance = emo_parts(HeadLogits(*tensors) if fused else tensors[0], labels, mask, table, chunk=4)
        return (nll * random(B, T, seed=5)).sum() + (distance * random(B, T, seed=6)).sum()

    inputs = (random(B, T, D, seed=3), random(V, D, seed=4)) if fused else (random(B, T, V),)
    assert torch.autograd.gradcheck(parts, tuple(x.requires_grad_() for x in inputs))


scores = st.lists(st.floats(-20, 20), min_size=4, max_size=4)
tables = st.lists(st.lists(st.floats(-3, 3), min_size=2, max_size=2), min_size=4, max_size=4)


@given(scores, tables, st.integers(0, 3), st.sampled_from(CASES))
def test_the_distance_is_between_0_and_2_and_the_value_is_neutral(z, table, label, case):
    variant, mode = case
    logits = torch.tensor([[z]], dtype=F64)
    found = emo(logits, torch.tensor([[label]]), ONE, torch.tensor(table, dtype=F64), variant=variant, mode=mode)
    assert -1e-12 <= found.distance.item() <= 2 + 1e-12
    term = found.distance.item() + (math.exp(-found.nll.item()) if variant == "detach_gold" else 0)
    if mode == 1 and term > 1e-4:
        assert found.loss.item() == pytest.approx(found.nll.item(), rel=1e-5, abs=1e-12)
    if mode == 2 and found.nll.item() > 1e-4:
        assert found.loss.item() == pytest.approx(2 * term, rel=1e-5, abs=1e-12)
    assert found.loss.isfinite()


def test_without_geometry_half_of_the_likelihood_is_left():
    """All tokens in one place: nothing costs anything, and mode 1 keeps the likelihood's half alone."""
    logits, labels, mask, _ = batch()
    found = emo(logits, labels, mask, torch.ones(V, D, dtype=F64), variant="plain")
    (slope,) = torch.autograd.grad(found.loss, logits)
    likelihood = functional.cross_entropy(logits[mask], labels[mask])
    (expected,) = torch.autograd.grad(0.5 * likelihood, logits)
    assert found.loss.item() == pytest.approx(0.5 * likelihood.item())
    torch.testing.assert_close(slope, expected, rtol=1e-6, atol=1e-9)


def test_with_equally_distant_tokens_plain_mode_1_is_the_likelihood_rescaled_per_token():
    """Orthonormal rows: d = 1 - q_y, whose slope q_y (q - onehot) is the likelihood's, times q_y."""
    logits, labels, mask, _ = batch()
    found = emo(logits, labels, mask, torch.eye(V, dtype=F64), variant="plain", reduction="sum")
    (slope,) = torch.autograd.grad(found.loss, logits)
    q = logits.detach().softmax(-1)
    gold = q.gather(-1, labels[..., None])
    share = 0.5 * (1 + -gold.log() * gold / (1 - gold))
    torch.testing.assert_close(slope, share * (q - functional.one_hot(labels, V)) * mask[..., None])


def test_costs_are_not_trained_and_know_no_length():
    logits, labels, mask, table = batch()
    table.requires_grad_()
    found = emo(logits, labels, mask, table)
    found.loss.backward()
    assert table.grad is None
    scaled = emo(logits, labels, mask, table * torch.arange(1, V + 1)[:, None])
    torch.testing.assert_close(scaled.loss, found.loss)
    torch.testing.assert_close(scaled.distance, found.distance)


def test_a_head_that_is_its_own_cost_is_trained_through_the_scores_only():
    _, labels, mask, _ = batch()

    def slope(cost_from_head):
        hidden, head = random(B, T, D, seed=3), random(V, D, seed=4).requires_grad_()
        cost = head if cost_from_head else head.detach().clone()
        emo(HeadLogits(hidden, head), labels, mask, cost, chunk=5).loss.backward()
        return head.grad

    torch.testing.assert_close(slope(True), slope(False), rtol=0, atol=0)


@pytest.mark.parametrize(("variant", "mode"), CASES)
def test_padding_of_vocabulary_and_batch_changes_nothing(variant, mode):
    logits, labels, mask, table = batch()
    found = emo(logits, labels, mask, table, variant=variant, mode=mode)
    (slope,) = torch.autograd.grad(found.loss, logits)
    wide = functional.pad(functional.pad(logits, (0, 3), value=-math.inf), (0, 0, 0, 2, 0, 1), value=math.inf)
    padded = emo(
        wide,
        functional.pad(labels, (0, 2, 0, 1), value=-100),
        functional.pad(mask, (0, 2, 0, 1)),
        functional.pad(table, (0, 0, 0, 3)),
        variant=variant,
        mode=mode,
    )
    (padded_slope,) = torch.autograd.grad(padded.loss, logits)
    torch.testing.assert_close(padded, found)
    torch.testing.assert_close(padded_slope, slope)


def test_accumulated_micro_batches_are_one_batch():
    logits, labels, mask, table = batch()
    whole = emo(logits, labels, mask, table)
    (slope,) = torch.autograd.grad(whole.loss, logits)
    mask = torch.cat([mask, torch.zeros(1, T).bool()])
    logits_4, labels_4 = torch.cat([logits, random(1, T, V)]), torch.cat([labels, labels[:1]])
    parts = [
        emo(logits_4[i, None], labels_4[i, None], mask[i, None], table, reduction="global", num_items=mask.sum())
        for i in range(4)
    ]
    assert parts[3].loss.item() == 0
    torch.testing.assert_close(sum(x.loss for x in parts), whole.loss)
    torch.testing.assert_close(sum(x.distance for x in parts), whole.distance)
    (split_slope,) = torch.autograd.grad(sum(x.loss for x in parts), logits)
    torch.testing.assert_close(split_slope, slope)


def test_the_graph_keeps_nothing_as_large_as_the_scores_but_the_scores():
    rows, positions, vocabulary = 2, 32, 500
    logits = torch.randn(rows, positions, vocabulary, requires_grad=True)
    labels, table = torch.randint(0, vocabulary, (rows, positions)), torch.randn(vocabulary, D)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x) or x, lambda x: x):
        emo(logits, labels, labels >= 0, table, chunk=8)
    large = [x for x in kept if x.numel() >= 8 * vocabulary]
    assert [x.data_ptr() for x in large] == [logits.data_ptr()]


def test_bfloat16_scores_are_worked_on_in_float32():
    logits, labels, mask, table = batch()
    narrow = logits.detach().bfloat16().requires_grad_()
    found = emo(narrow, labels, mask, table.bfloat16())
    found.loss.backward()
    wide = narrow.detach().double().requires_grad_()
    expected = emo(wide, labels, mask, table.bfloat16().double())
    expected.loss.backward()
    assert found.loss.dtype == torch.float32 and narrow.grad.dtype == torch.bfloat16
    assert found.loss.item() == pytest.approx(expected.loss.item(), rel=1e-5)
    torch.testing.assert_close(narrow.grad.double(), wide.grad, rtol=2e-2, atol=1e-4)


def test_mistakes_are_named():
    logits, labels, mask, table = batch()
    with pytest.raises(ConfigError, match="'both'"):
        emo(logits, labels, mask, table, variant="both")
    with pytest.raises(ConfigError, match="mode 3"):
        emo(logits, labels, mask, table, mode=3)
    with pytest.raises(DataError, match="8 rows"):
        emo(logits, labels, mask, table[:-1])
    with pytest.raises(DataError, match="-100"):
        emo(logits, labels.masked_fill(mask, -100), mask, table)
    with pytest.raises(DataError, match="empty"):
        emo(logits, labels, torch.zeros(B, T), table)
    with pytest.raises(ConfigError, match="shape"):
        emo(logits, labels, mask[:, :-1], table)
