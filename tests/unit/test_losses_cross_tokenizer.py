"""ULD, GOLD and GLD: alignment of generated texts, hand values, gradients, TRL's own loss."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from backends.losses.alignment import by_bytes, by_position, side
from backends.losses.cross_tokenizer import (
    Hybrid,
    first_rows,
    graph_distance,
    group_distances,
    rank_features,
    sorted_l1,
)
from backends.losses.divergence import token_divergence
from backends.losses.positions import HeadLogits
from harness.errors import ConfigError

pytestmark = pytest.mark.filterwarnings("ignore:You are importing from 'trl.experimental'")


def cut(text: bytes, marks: list[int]) -> list[bytes]:
    places = sorted({0, len(text), *(mark % (len(text) + 1) for mark in marks)})
    return [text[a:b] for a, b in itertools.pairwise(places)]


@given(
    st.binary(min_size=1, max_size=30),
    st.lists(st.integers(0, 99)),
    st.lists(st.integers(0, 99)),
    st.binary(max_size=4),
)
def test_groups_meet_wherever_both_sides_cut(text, ours, theirs, front):
    one, other = cut(text, ours), cut(text, theirs)
    groups = by_bytes(one, other)
    assert [b"".join(one[a:b]) for (a, b), _ in groups] == [b"".join(other[a:b]) for _, (a, b) in groups]
    assert b"".join(b"".join(one[a:b]) for (a, b), _ in groups) == text
    ends = [set(itertools.accumulate(map(len, tokens))) for tokens in (one, other)]
    assert len(groups) == len(ends[0] & ends[1])  # as fine as it can be
    if front:  # what one side has more in front moves nothing (TRL's issue with a start token on one side)
        more = by_bytes(one, [front, *other])
        assert [(a, (c - 1, d - 1)) for a, (c, d) in more] == groups
        back = by_bytes([front, *one], other)
        assert [((a - 1, b - 1), c) for (a, b), c in back] == groups


@given(st.binary(min_size=1, max_size=30), st.lists(st.integers(0, 99)), st.lists(st.integers(0, 99)))
def test_the_groups_are_those_of_trl(text, ours, theirs):
    from trl.experimental.gold.gold_trainer import ULDLoss

    one, other = cut(text, ours), cut(text, theirs)
    spans = [
        [(end - len(token), end) for end, token in zip(itertools.accumulate(map(len, side)), side, strict=True)]
        for side in (one, other)
    ]
    right = ULDLoss._align_by_byte_offsets(*spans)
    groups = by_bytes(one, other)
    assert [[list(range(*span)) for span in part] for part in zip(*groups, strict=True)] == list(right)


def test_by_position():
    assert by_position(2, 3) == [((0, 1), (0, 1)), ((1, 2), (1, 2))]
    assert by_position(0, 3) == []


def logits(tokens, vocabulary, seed):
    draw = torch.Generator().manual_seed(seed)
    return 2 * torch.randn(1, tokens, vocabulary, generator=draw, dtype=torch.float64)


OURS, THEIRS = [b"ab", b"c", b"d", b"ef"], [b"a", b"b", b"cd", b"e", b"f"]
OUR_IDS, THEIR_IDS = [1, 3, 2, 5], [0, 6, 4, 4, 1]


def sides(groups):
    made = []
    for which, ids in enumerate((OUR_IDS, THEIR_IDS)):
        made.append(side([(list(range(*g[which])), ids[g[which][0] : g[which][1]]) for g in groups]))
    return made


def theirs_of_trl(student, teacher, *, hybrid, extended, temperature, beta=0.5, matched=None):
    """TRL's loss on one response; a token in front stands for the prompt."""
    from trl.experimental.gold.gold_trainer import ULDLoss

    words = [{token: number for number, token in enumerate(side)} for side in VOCABULARIES]
    config = SimpleNamespace(
        uld_crossentropy_weight=0.0, uld_distillation_weight=1.0, uld_student_temperature=temperature,
        uld_teacher_temperature=temperature, uld_skip_student_eos=False, uld_skip_teacher_eos=False,
        use_extended_uld=extended, uld_token_merge_strategy="bayesian", uld_use_hybrid_loss=hybrid, beta=beta,
        uld_hybrid_matched_weight=matched, uld_hybrid_unmatched_weight=None if matched is None else 1 - matched,
    )  # fmt: skip
    tokenizers = [SimpleNamespace(get_vocab=lambda words=one: words) for one in words]
    loss = ULDLoss(config, *tokenizers)
    more = []
    for tokens, ids in ((OURS, OUR_IDS), (THEIRS, THEIR_IDS)):
        ends = list(itertools.accumulate(map(len, tokens)))
        offsets = [(0, 0)] + [(end - len(token), end) for end, token in zip(ends, tokens, strict=True)]
        more.append((torch.tensor([[-100, *ids]]), torch.tensor([[0, *ids]]), torch.tensor([offsets])))
    (labels_s, ids_s, offsets_s), (labels_t, ids_t, offsets_t) = more
    last = [torch.cat([side, side[:, -1:]], 1) for side in (student, teacher)]  # what follows the response
    return loss(*last, labels_s, labels_t, ids_s, ids_t, offsets_s, offsets_t)


VOCABULARIES = (["p", "q", "r", "s", "t", "u"], ["r", "x", "y", "q", "z", "w", "p"])
COMMON = (torch.tensor([0, 1, 2]), torch.tensor([6, 3, 0]))


@pytest.mark.parametrize("temperature", [1.0, 2.0])
@pytest.mark.parametrize("rule", ["positions", "bytes"])
@pytest.mark.parametrize("matched", [None, "share", 0.3])
def test_values_and_gradients_of_trl(temperature, rule, matched):
    student, teacher = logits(4, 6, 0).requires_grad_(), logits(5, 7, 1)
    groups = by_bytes(OURS, THEIRS) if rule == "bytes" else by_position(4, 5)
    share = 3 / 7 if matched == "share" else matched
    distance = sorted_l1 if matched is None else Hybrid(*COMMON, 0.5, share, 1 - share)
    found = group_distances(student, teacher, *sides(groups), distance, temperature=temperature, chunk=2).mean()
    right = theirs_of_trl(
        student, teacher, hybrid=matched is not None, extended=rule == "bytes", temperature=temperature,
        matched=matched if isinstance(matched, float) else None,
    )  # fmt: skip
    torch.testing.assert_close(found, right, rtol=1e-6, atol=1e-8)
    ours, theirs = (torch.autograd.grad(value, student, retain_graph=True)[0] for value in (found, right))
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-8)


def test_a_group_is_the_chain_rule():
    student, teacher = logits(2, 3, 0), logits(1, 3, 1)
    one = side([([0, 1], [2, 0])])
    found = group_distances(student, teacher, one, side([([0], [1])]), lambda p, q: p.exp().sum(-1))
    torch.testing.assert_close(found, student[0, 0].softmax(-1)[2:3])  # the mass of its first token


def test_sorted_l1_by_hand():
    p, q = torch.tensor([[0.2, 0.7, 0.1]]).log(), torch.tensor([[0.4, 0.6]]).log()
    assert sorted_l1(p, q).tolist() == pytest.approx([0.1 + 0.2 + 0.1])
    assert sorted_l1(p, p[:, [2, 0, 1]]).item() == 0.0  # names of tokens do not count
    assert sorted_l1(p, q).item() == pytest.approx(sorted_l1(q, p).item())


def test_with_one_vocabulary_gold_is_the_divergence():
    student, teacher = logits(4, 6, 0), logits(4, 6, 1)
    everything = torch.arange(6)
    groups = side([([place], [0]) for place in range(4)])
    found = group_distances(student, teacher, groups, groups, Hybrid(everything, everything, 0.3, 1.0, 0.0))
    mask = torch.ones(1, 4, dtype=torch.bool)
    torch.testing.assert_close(found[None], token_divergence(student, teacher, mask, kind="jsd", beta=0.3))


@pytest.mark.parametrize("how", ["sorted", "hybrid", "graph"])
def test_gradients(how):
    hidden = torch.randn(2, 4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(3)).requires_grad_()
    head = torch.randn(6, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(4)).requires_grad_()
    teacher, mask = logits(5, 7, 1), torch.tensor([[1, 1, 0, 1], [0, 1, 1, 0]]).bool()
    distance = sorted_l1 if how == "sorted" else Hybrid(*COMMON, 0.3, 0.4, 0.6)

    def loss(hidden, head):
        student = HeadLogits(hidden, head)
        if how == "graph":
            its = rank_features(teacher, torch.ones(1, 5).bool(), top_k=4)
            return graph_distance(rank_features(student, mask, top_k=4, chunk=2), its.expand(2, -1)).sum()
        return group_distances(student, teacher, *sides(by_bytes(OURS, THEIRS)), distance, chunk=2).sum()

    assert torch.autograd.gradcheck(loss, (hidden, head))


def test_graphs():
    golden = graph_distance(torch.tensor([[0.3, 0.1, 0.2]]), torch.tensor([[0.25, 0.05, 0.5]]))
    assert golden.item() == pytest.approx(0.1)
    scores, mask = logits(5, 9, 2), torch.ones(1, 5).bool()
    found = rank_features(scores, mask, top_k=3)
    z = scores[0].topk(3, -1).values
    z = torch.nn.functional.normalize(z - z[:, -1:], dim=-1)
    cooccur = z.T @ z / 5
    torch.testing.assert_close(found[0], cooccur.mean(-1))
    assert float(found.abs().sum()) > 0.1  # mean-centred scores would make it 0 for everything
    shuffled = scores[..., torch.randperm(9, generator=torch.Generator().manual_seed(0))] * 3 + 1
    torch.testing.assert_close(rank_features(shuffled, mask, top_k=3), found)  # names, scale and shift do not count
    half = torch.tensor([[1, 1, 0, 0, 0]]).bool()
    torch.testing.assert_close(rank_features(scores, half, top_k=3), rank_features(scores[:, :2], half[:, :2], top_k=3))
    assert rank_features(scores, torch.zeros(1, 5).bool(), top_k=3).tolist() == [[0.0] * 3]
    with pytest.raises(ConfigError, match="at least 2 nodes"):
        rank_features(scores, mask, top_k=1)


def test_padding_of_the_output_layer_does_not_count():
    hidden, head = torch.randn(1, 2, 3), torch.randn(6, 3)
    for bias in (None, torch.randn(6)):
        cut = first_rows(HeadLogits(hidden, head, bias), 4)
        assert cut.head_VD.shape == (4, 3) and (bias is None or cut.bias_V.shape == (4,))
    assert first_rows(torch.randn(1, 2, 6), 4).shape == (1, 2, 4)
