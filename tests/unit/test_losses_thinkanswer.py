"""ThinkAnswer: the definition, its limits and reductions, gradients, invariances, and the schedule of alpha."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from backends.losses.embeddings import cosine_gap, expected_embeddings, mean_embedding
from backends.losses.emo import emo_parts
from backends.losses.nll import token_logps, weighted_nll
from backends.losses.positions import HeadLogits
from backends.losses.thinkanswer import think_answer
from harness.errors import ConfigError, DataError

F64 = torch.float64
B, T, V, D = 3, 8, 7, 4
MODES = ["soft_mean", "soft_pos", "sample_st"]
# Prompt first, then reasoning, then the answer, then padding; one sequence's reasoning is a single token.
SEGMENTS = torch.tensor([[0, 0, 1, 1, 1, 2, 2, 0], [0, 1, 2, 2, 2, 2, 0, 0], [0, 1, 1, 1, 1, 1, 2, 2]])
THINK, ANSWER = SEGMENTS == 1, SEGMENTS == 2


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def labels(seed=1):
    return torch.randint(0, V, (B, T), generator=torch.Generator().manual_seed(seed)).masked_fill(SEGMENTS == 0, -100)


TABLE = random(V, D, seed=2)
CENTER = mean_embedding(TABLE)
UNIFORM = torch.rand(B, T, generator=torch.Generator().manual_seed(3), dtype=F64)


def loss(logits, labels_BT=None, think=THINK, answer=ANSWER, table=TABLE, **options):
    options = {"alpha": 0.4, "center_D": CENTER} | options
    if options.get("mim_mode") == "sample_st":
        options.setdefault("uniform_BT", UNIFORM)
    return think_answer(logits, labels() if labels_BT is None else labels_BT, think, answer, table, **options)


def by_definition(logits, alpha, center, mim_mode, kappa):
    """The definition over everything at once; the drawn tokens of "sample_st" by one `searchsorted` per position."""
    table = TABLE - CENTER if center else TABLE
    y = labels().clamp_min(0)
    p = logits.softmax(-1)
    if mim_mode == "sample_st":
        drawn = torch.searchsorted(p.detach().cumsum(-1), UNIFORM[..., None], right=True)[..., 0]
        p = functional.one_hot(drawn, V) + p - p.detach()
    s, r = p @ table, table[y]
    if mim_mode == "soft_pos":
        mim = ((1 - functional.cosine_similarity(s, r, dim=-1)) / 2 * THINK).sum(1) / THINK.sum(1)
    else:
        means = ((x * THINK[..., None]).sum(1) / THINK.sum(1, keepdim=True) for x in (s, r))
        mim = (1 - functional.cosine_similarity(*means, dim=-1)) / 2
    nll = functional.cross_entropy(logits.transpose(1, 2), y, reduction="none")
    ce, think_ce = ((nll * mask).sum(1) / mask.sum(1) for mask in (ANSWER, THINK))
    return (alpha * mim + (1 - alpha) * ce + kappa * think_ce).mean(), mim.mean(), ce.mean(), think_ce.mean()


@pytest.mark.parametrize("chunk", [1, 3, None])
@pytest.mark.parametrize("mim_mode", MODES)
@pytest.mark.parametrize(("center", "kappa"), [(True, 0.0), (False, 0.1)])
def test_chunks_give_the_value_and_gradient_of_the_definition(mim_mode, center, kappa, chunk):
    logits = random(B, T, V).requires_grad_()
    expected = by_definition(logits, 0.4, center, mim_mode, kappa)
    (slope,) = torch.autograd.grad(expected[0], logits)
    found = loss(logits, center_D=CENTER if center else None, mim_mode=mim_mode, cot_ce_weight=kappa, chunk=chunk)
    (found_slope,) = torch.autograd.grad(found.loss, logits)
    torch.testing.assert_close(tuple(found), expected, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(found_slope, slope, rtol=1e-8, atol=1e-11)
    assert not any(x.requires_grad for x in found[1:])


@pytest.mark.parametrize("mim_mode", ["soft_mean", "soft_pos"])
@pytest.mark.parametrize("fused", [False, True])
def test_gradients_by_finite_differences(mim_mode, fused):
    def value(*tensors):
        scores = HeadLogits(*tensors) if fused else tensors[0]
        return loss(scores, mim_mode=mim_mode, cot_ce_weight=0.3, chunk=4).loss

    inputs = (random(B, T, D, seed=4), random(V, D, seed=5)) if fused else (random(B, T, V),)
    assert torch.autograd.gradcheck(value, tuple(x.requires_grad_() for x in inputs))


def certain(tokens_BT):
    return 1000.0 * functional.one_hot(tokens_BT.clamp_min(0), V).to(F64)


@pytest.mark.parametrize("mim_mode", MODES)
def test_a_student_certain_of_the_reference_has_no_loss(mim_mode):
    logits = certain(labels()).requires_grad_()
    found = loss(logits, mim_mode=mim_mode)
    found.loss.backward()
    assert [x.item() for x in found] == [0, 0, 0, 0]
    assert not logits.grad.any()


@pytest.mark.parametrize("mim_mode", MODES)
@pytest.mark.parametrize(("other", "mim"), [((-1, 0), 1.0), ((0, 1), 0.5), ((2, 0), 0.0), ((1, math.sqrt(8)), 1 / 3)])
def test_the_gap_of_directions(mim_mode, other, mim):
    """Reference (1, 0), prediction certain of `other`: opposite 1, orthogonal 0.5, only longer 0, cosine 1/3."""
    table = torch.tensor([(1.0, 0.0), other], dtype=F64)
    reference = torch.zeros(B, T, dtype=torch.long)
    logits = certain(torch.ones(B, T, dtype=torch.long))[..., :2]
    found = loss(logits, reference, table=table, center_D=None, mim_mode=mim_mode)
    assert found.mim.item() == pytest.approx(mim, abs=1e-12)


def test_alpha_0_with_all_of_the_response_as_answer_is_supervised_fine_tuning():
    logits = random(B, T, V).requires_grad_()
    response = THINK | ANSWER
    found = loss(logits, answer=response, alpha=0.0).loss
    expected = weighted_nll(token_logps(logits, labels()), response, reduction="seq")
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(torch.autograd.grad(found, logits), torch.autograd.grad(expected, logits))


@pytest.mark.parametrize(("alpha", "silent", "heard"), [(1.0, ANSWER, THINK), (0.0, THINK, ANSWER)])
def test_at_the_ends_of_alpha_one_span_gets_no_gradient(alpha, silent, heard):
    logits = random(B, T, V).requires_grad_()
    loss(logits, alpha=alpha).loss.backward()
    assert not logits.grad[silent].any() and not logits.grad[SEGMENTS == 0].any()
    assert (logits.grad[heard].abs().sum(-1) > 0).all()


def test_the_mean_knows_no_order_and_the_positions_do():
    logits, order = random(B, T, V), [0, 1, 4, 3, 2, 5, 6, 7]
    first = slice(0, 1)  # the sequence whose reasoning is at positions 2 to 4

    def mim(logits_BTV, labels_BT, mode):
        found = loss(logits_BTV[first], labels_BT[first], THINK[first], ANSWER[first], mim_mode=mode)
        return found.mim.item()

    for mode, invariant in (("soft_mean", True), ("soft_pos", False)):
        whole = mim(logits, labels(), mode)
        predictions, references = mim(logits[:, order], labels(), mode), mim(logits, labels()[:, order], mode)
        assert (predictions == pytest.approx(whole, abs=1e-12)) is invariant
        assert (references == pytest.approx(whole, abs=1e-12)) is invariant


def test_with_unit_embeddings_the_positions_gap_is_half_of_emo():
    unit = functional.normalize(TABLE, dim=-1)
    logits, response = random(B, T, V), THINK | ANSWER
    _, distance = emo_parts(logits, labels(), response, unit)
    expected = expected_embeddings(logits[response].softmax(-1), unit)
    # Without bringing the expected embedding to length 1 again, the gap is (1 - <s, e_r>) / 2 = d / 2 ...
    torch.testing.assert_close((1 - (expected * unit[labels()[response]]).sum(-1)) / 2, distance[response] / 2)
    # ... and where the prediction is certain it has that length, so the two losses meet.
    sure = certain(torch.randint(0, V, (B, T), generator=torch.Generator().manual_seed(6)))
    _, distance = emo_parts(sure, labels(), THINK, unit)
    half = (distance.sum(1) / THINK.sum(1)).mean() / 2
    torch.testing.assert_close(loss(sure, table=unit, center_D=None, mim_mode="soft_pos").mim, half)


@given(st.integers(0, 10_000), st.floats(0.01, 30), st.sampled_from(MODES), st.floats(0, 1))
def test_components_are_bounded_and_add_up(seed, sharpness, mim_mode, alpha):
    found = loss(sharpness * random(B, T, V, seed=seed), mim_mode=mim_mode, alpha=alpha, cot_ce_weight=0.1)
    assert 0 <= found.mim.item() <= 1 and found.answer_ce.item() >= 0 and found.think_ce.item() >= 0
    total = alpha * found.mim + (1 - alpha) * found.answer_ce + 0.1 * found.think_ce
    torch.testing.assert_close(found.loss, total)


def test_the_gradient_moves_across_the_mean_embedding():
    """The cosine knows no length: along f(T) itself L_MIM is flat."""
    mean_ND = (random(B, V).softmax(-1) @ TABLE - CENTER).requires_grad_()
    cosine_gap(mean_ND, random(B, D, seed=7)).sum().backward()
    torch.testing.assert_close((mean_ND.grad * mean_ND).sum(-1), torch.zeros(B, dtype=F64))


@pytest.mark.parametrize("mim_mode", MODES)
def test_scaling_or_training_the_embeddings_does_not_help(mim_mode):
    table = TABLE.clone().requires_grad_()
    logits = random(B, T, V).requires_grad_()
    found = loss(logits, table=table, mim_mode=mim_mode)
    found.loss.backward()
    assert table.grad is None
    torch.testing.assert_close(loss(logits, table=3 * TABLE, center_D=3 * CENTER, mim_mode=mim_mode), found)


@pytest.mark.parametrize("mim_mode", MODES)
def test_padding_of_vocabulary_and_batch_changes_nothing(mim_mode):
    logits = random(B, T, V).requires_grad_()
    found = loss(logits, mim_mode=mim_mode)
    wide = functional.pad(functional.pad(logits, (0, 3), value=-math.inf), (0, 0, 0, 2), value=math.inf)
    table = functional.pad(TABLE, (0, 0, 0, 3), value=50.0)
    padded = think_answer(
        wide,
        functional.pad(labels(), (0, 2), value=-100),
        functional.pad(THINK, (0, 2)),
        functional.pad(ANSWER, (0, 2)),
        table,
        alpha=0.4,
        center_D=mean_embedding(table, V),
        mim_mode=mim_mode,
        uniform_BT=functional.pad(UNIFORM, (0, 2)) if mim_mode == "sample_st" else None,
    )
    torch.testing.assert_close(padded, found)
    slopes = [torch.autograd.grad(x.loss, logits) for x in (padded, found)]
    torch.testing.assert_close(*slopes)


def test_accumulated_micro_batches_are_one_batch():
    logits = random(B, T, V).requires_grad_()
    whole = loss(logits)
    parts = [
        loss(logits[rows], labels()[rows], THINK[rows], ANSWER[rows], num_sequences=B)
        for rows in (slice(0, 1), slice(1, 3))
    ]
    torch.testing.assert_close(tuple(sum(x) for x in zip(*parts, strict=True)), tuple(whole))
    (slope,) = torch.autograd.grad(sum(x.loss for x in parts), logits)
    torch.testing.assert_close(slope, torch.autograd.grad(whole.loss, logits)[0])


def test_the_graph_keeps_nothing_as_large_as_the_scores_but_the_scores():
    positions, vocabulary, chunk = 64, 500, 8
    logits = torch.randn(1, positions, vocabulary, requires_grad=True)
    tokens, think = torch.randint(0, vocabulary, (1, positions)), torch.arange(positions)[None] < 40
    table, kept = torch.randn(vocabulary, D), []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x) or x, lambda x: x):
        think_answer(logits, tokens, think, ~think, table, alpha=0.5, center_D=mean_embedding(table), chunk=chunk)
    large = [x for x in kept if x.numel() >= chunk * vocabulary]
    assert [x.data_ptr() for x in large] == [logits.data_ptr()]


def test_bfloat16_scores_and_embeddings_are_worked_on_in_float32():
    narrow = random(B, T, V).bfloat16().requires_grad_()
    wide = narrow.detach().double().requires_grad_()
    found, expected = loss(narrow, table=TABLE.bfloat16()), loss(wide, table=TABLE.bfloat16().double())
    found.loss.backward()
    expected.loss.backward()
    assert all(x.dtype == torch.float32 for x in found) and narrow.grad.dtype == torch.bfloat16
    torch.testing.assert_close(tuple(found), tuple(expected), rtol=1e-5, atol=1e-6, check_dtype=False)
    torch.testing.assert_close(narrow.grad.double(), wide.grad, rtol=2e-2, atol=1e-5)


@pytest.mark.parametrize(("name", "segment"), [("reasoning", 1), ("answer", 2)])
def test_a_sequence_without_one_of_the_spans_is_refused(name, segment):
    segments = SEGMENTS.clone()
    segments[1] = 3 - segment
    with pytest.raises(DataError, match=rf"\[1\] of the batch have no {name}"):
        loss(random(B, T, V), torch.zeros(B, T, dtype=torch.long), segments == 1, segments == 2)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"alpha": 1.1}, "alpha"),
        ({"alpha": math.nan}, "alpha"),
        ({"cot_ce_weight": -0.1}, "cot_ce_weight"),
        ({"cot_ce_weight": math.inf}, "cot_ce_weight"),
        ({"mim_mode": "hard"}, "'hard'"),
        ({"uniform_BT": UNIFORM}, "sample_st"),
        ({"mim_mode": "sample_st", "uniform_BT": None}, "sample_st"),
        ({"mim_mode": "sample_st", "uniform_BT": UNIFORM[:, 1:]}, "shape"),
        ({"think": THINK[:, 1:]}, "reasoning's mask"),
        ({"answer": ANSWER[:, 1:]}, "answer's mask"),
    ],
)
def test_options_outside_their_range_are_refused(options, match):
    with pytest.raises(ConfigError, match=match):
        loss(random(B, T, V), **options)


def test_labels_and_tables_of_another_vocabulary_are_refused():
    with pytest.raises(DataError, match="-100"):
        loss(random(B, T, V), torch.full((B, T), -100))
    with pytest.raises(DataError, match="equally padded"):
        loss(random(B, T, V), table=TABLE[:-1])
