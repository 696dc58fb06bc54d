"""KRSL: golden value, signs, reductions to SFT and REDI, guards, accumulation, the wrong step of synthetic twins."""

import pytest
import torch
from torch import tensor

from backends.losses.edit import key_tokens
from backends.losses.krsl import NLL_GUARD, krsl_loss, krsl_weights
from backends.losses.nll import IGNORE, token_logps, weighted_nll
from backends.losses.preference import redi_loss
from backends.losses.reduction import row_means
from harness.errors import ConfigError, DataError
from harness.synth import LEVELS, generate, render, twins

INF = float("inf")
F64 = torch.float64


def rows(*lists):
    """Right-padded float64 rows."""
    width = max(map(len, lists))
    return tensor([[*row, *[0.0] * (width - len(row))] for row in lists], dtype=F64)


def golden():
    """By hand: a pair whose loss is 0.875 - 0.0195."""
    logps_BT = -rows([0.1, 2.0, 0.2, 1.5], [0.1, 3.0, 0.2, 0.4, 0.5])
    key_BT = rows([0, 1, 0, 1], [0, 1, 0, 1, 1]).bool()
    mask_BT = rows([1, 1, 1, 1], [1, 1, 1, 1, 1]).bool()
    return logps_BT, key_BT, mask_BT, tensor([True, False])


def random_batch(seed, pairs=3, width=9):
    """(logps, key, mask, chosen) of `pairs` right and wrong rows in mixed order."""
    draw = torch.Generator().manual_seed(seed)
    logps_BT = -3 * torch.rand(2 * pairs, width, generator=draw, dtype=F64)
    length_B = torch.randint(2, width + 1, (2 * pairs,), generator=draw)
    mask_BT = torch.arange(width) < length_B[:, None]
    key_BT = (torch.rand(2 * pairs, width, generator=draw) < 0.4) & mask_BT
    chosen_B = tensor([True, False] * pairs)[torch.randperm(2 * pairs, generator=draw)]
    return logps_BT, key_BT, mask_BT, chosen_B


def test_golden_value_and_its_parts():
    found = krsl_loss(*golden(), pairs=1)
    assert found.loss.item() == pytest.approx(0.8555, abs=1e-12)
    assert found.chosen.item() == pytest.approx(0.875, abs=1e-12)
    assert found.rejected.item() == pytest.approx(-0.0195, abs=1e-12)
    assert found.rejected_keys == 3
    assert found.rejected_key_nll == pytest.approx(1.3)


def test_golden_gradient_is_the_weights():
    logps_BT, key_BT, mask_BT, chosen_B = golden()
    logps_BT.requires_grad_()
    krsl_loss(logps_BT, key_BT, mask_BT, chosen_B, pairs=1).loss.backward()
    expected = -rows([0, 1 / 4, 0, 1 / 4], [0, -0.025 / 5, 0, -0.025 / 5, -0.025 / 5])
    torch.testing.assert_close(logps_BT.grad, expected, rtol=1e-6, atol=0)


def test_gradcheck_through_the_logits():
    draw = torch.Generator().manual_seed(1)
    logits_BTV = torch.randn(2, 4, 5, generator=draw, dtype=F64, requires_grad=True)
    labels_BT = tensor([[1, 2, 3, IGNORE], [1, 4, 0, 2]])
    key_BT = tensor([[0, 1, 1, 0], [0, 1, 1, 1]]).bool()
    chosen_B = tensor([True, False])

    def loss(logits_BTV):
        logps_BT = token_logps(logits_BTV, labels_BT)
        return krsl_loss(logps_BT, key_BT, labels_BT != IGNORE, chosen_B, pairs=1, beta=0.5).loss

    assert torch.autograd.gradcheck(loss, logits_BTV)
    grad = torch.autograd.grad(loss(logits_BTV), logits_BTV)[0]
    assert not grad[0, 0].any()  # a matched token gets nothing at its own position
    assert grad[0, 1, 2] < 0 < grad[1, 1, 4]  # the right key token rises, the wrong one falls


def test_identical_twins_have_no_loss_and_no_gradient():
    ids = [4, 8, 15, 16]
    keys = key_tokens(ids, ids)
    key_BT = torch.stack([torch.from_numpy(keys[0]), torch.from_numpy(keys[1])])
    logps_BT = torch.full((2, 4), -1.5, dtype=F64, requires_grad=True)
    found = krsl_loss(logps_BT, key_BT, torch.ones(2, 4).bool(), tensor([True, False]), pairs=1)
    found.loss.backward()
    assert found.loss.item() == 0.0
    assert not logps_BT.grad.any()
    assert found.rejected_key_nll is None


def test_every_right_token_key_and_beta_0_is_sft_by_sequence_mean():
    logps_BT, _, mask_BT, chosen_B = golden()
    loss = krsl_loss(logps_BT, mask_BT, mask_BT, chosen_B, pairs=1, beta=0.0).loss
    sft = weighted_nll(logps_BT[chosen_B], mask_BT[chosen_B], reduction="seq")
    assert loss.item() == pytest.approx(0.95, abs=1e-12)
    assert loss.item() == pytest.approx(sft.item())


@pytest.mark.parametrize("beta", [0.0, 0.025, 0.8])
def test_every_token_key_is_redi_with_alpha_beta(beta):
    logps_BT, _, mask_BT, chosen_B = random_batch(2)
    loss = krsl_loss(logps_BT, mask_BT, mask_BT, chosen_B, pairs=3, beta=beta).loss
    mean_B = row_means(logps_BT, mask_BT)
    redi = redi_loss(mean_B[chosen_B], mean_B[~chosen_B], alpha=beta).loss_P.mean()
    assert loss.item() == pytest.approx(redi.item(), rel=1e-6)


def test_disjoint_pair_of_equal_length_is_the_difference_of_the_means():
    keys = key_tokens([1, 2, 3], [4, 5, 6])
    key_BT = torch.stack([torch.from_numpy(keys[0]), torch.from_numpy(keys[1])])
    logps_BT = -rows([0.3, 0.6, 0.9], [1.0, 2.0, 6.0])
    loss = krsl_loss(logps_BT, key_BT, torch.ones(2, 3).bool(), tensor([True, False]), pairs=1).loss
    assert loss.item() == pytest.approx(0.6 - 0.025 * 3.0)


def test_weights_are_the_authors_with_beta_negated():
    """Their code adds a term with weight −0.025, each divided by all response tokens."""
    logps_BT, key_BT, mask_BT, chosen_B = random_batch(5)
    loss = krsl_loss(logps_BT, key_BT, mask_BT, chosen_B, pairs=3).loss
    total = 0.0
    for row in range(6):
        weight = 1.0 if chosen_B[row] else -0.025
        total += weight * (-logps_BT[row] * key_BT[row]).sum() / mask_BT[row].sum()
    assert loss.item() == pytest.approx(float(total) / 3, rel=1e-6)


def test_scaling_alpha_and_beta_scales_the_loss():
    one = krsl_loss(*golden(), pairs=1, alpha=1.0, beta=0.5).loss
    three = krsl_loss(*golden(), pairs=1, alpha=3.0, beta=1.5).loss
    assert three.item() == pytest.approx(3 * one.item())


def test_padding_and_order_of_rows_change_nothing():
    logps_BT, key_BT, mask_BT, chosen_B = random_batch(3)
    wide = torch.full((6, 4), -INF, dtype=F64)
    none = torch.zeros(6, 4, dtype=torch.bool)
    padded = krsl_loss(
        torch.cat([wide, logps_BT, wide], 1),
        torch.cat([none, key_BT, none], 1),
        torch.cat([none, mask_BT, none], 1),
        chosen_B,
        pairs=3,
    )
    order = [3, 1, 5, 0, 2, 4]
    mixed = krsl_loss(logps_BT[order], key_BT[order], mask_BT[order], chosen_B[order], pairs=3)
    plain = krsl_loss(logps_BT, key_BT, mask_BT, chosen_B, pairs=3)
    assert padded.loss.item() == pytest.approx(plain.loss.item(), rel=1e-12)
    assert mixed.loss.item() == pytest.approx(plain.loss.item(), rel=1e-12)


def test_accumulated_rows_are_one_batch():
    logps_BT, key_BT, mask_BT, chosen_B = random_batch(4)
    logps_BT.requires_grad_()
    whole = torch.autograd.grad(krsl_loss(logps_BT, key_BT, mask_BT, chosen_B, pairs=3).loss, logps_BT)[0]
    for cut in range(0, 6, 2):
        part = slice(cut, cut + 2)
        krsl_loss(logps_BT[part], key_BT[part], mask_BT[part], chosen_B[part], pairs=3).loss.backward()
    torch.testing.assert_close(logps_BT.grad, whole, rtol=1e-12, atol=0)


def test_the_nll_of_the_guard_is_that_of_wrong_keys_only():
    logps_BT, key_BT, mask_BT, chosen_B = golden()
    assert NLL_GUARD == 20.0
    for shift_B, above in ((100 * chosen_B, False), (18 * ~chosen_B, False), (19 * ~chosen_B, True)):
        found = krsl_loss(logps_BT - shift_B[:, None], key_BT, mask_BT, chosen_B, pairs=1)
        assert (found.rejected_key_nll > NLL_GUARD) is above


def test_drop_above_takes_out_single_wrong_tokens():
    found = krsl_loss(*golden(), pairs=1, drop_above=3.0)  # the wrong 3.0 goes; the right 2.0 and the rest stay
    assert found.rejected.item() == pytest.approx(-0.025 * 0.9 / 5)
    assert found.chosen.item() == pytest.approx(0.875)
    assert found.rejected_key_nll == pytest.approx(1.3)  # the monitor still sees it
    assert krsl_loss(*golden(), pairs=1, drop_above=1.0).chosen.item() == pytest.approx(0.875)
    assert krsl_loss(*golden(), pairs=1, drop_above=20.0).loss.item() == pytest.approx(0.8555)


def test_batch_of_right_rows_only_has_no_wrong_part():
    logps_BT, key_BT, mask_BT, _ = golden()
    found = krsl_loss(logps_BT[:1], key_BT[:1], mask_BT[:1], tensor([True]), pairs=1)
    assert found.loss.item() == pytest.approx(0.875)
    assert found.rejected.item() == 0.0
    assert found.rejected_keys == 0


def test_float32_keeps_its_type():
    logps_BT, key_BT, mask_BT, chosen_B = golden()
    found = krsl_loss(logps_BT.float(), key_BT, mask_BT, chosen_B, pairs=1)
    assert found.loss.dtype == torch.float32
    assert found.loss.item() == pytest.approx(0.8555, abs=1e-6)


def test_what_cannot_be_is_refused():
    logps_BT, key_BT, mask_BT, chosen_B = golden()
    with pytest.raises(ConfigError, match="beta is subtracted"):
        krsl_weights(key_BT, mask_BT, chosen_B, beta=-0.025)
    with pytest.raises(DataError, match="at least one dual pair, not 0"):
        krsl_loss(logps_BT, key_BT, mask_BT, chosen_B, pairs=0)
    with pytest.raises(DataError, match="has no tokens"):
        krsl_weights(key_BT & False, mask_BT & chosen_B[:, None], chosen_B)
    with pytest.raises(DataError, match="outside its response"):
        krsl_weights(key_BT, mask_BT & ~key_BT, chosen_B)
    with pytest.raises(ConfigError, match="the key tokens has the shape"):
        krsl_weights(key_BT[:, 1:], mask_BT, chosen_B)
    with pytest.raises(ConfigError, match="the rows' sides has the shape"):
        krsl_weights(key_BT, mask_BT, chosen_B[:1])


def words(text, vocabulary):
    return [vocabulary.setdefault(word, len(vocabulary)) for word in text.split()]


def spans(chain, text):
    """[first, last) word of each step in the rendered chain."""
    found, at = [], 0
    for step in chain.steps:
        at = text.index(step.text, at)
        first = len(text[:at].split())
        found.append((first, first + len(step.text.split())))
        at += len(step.text)
    return found


def twin_problems(style):
    """200 problems of all levels with their twins as rendered, split at blanks."""
    for level in LEVELS:
        for problem in generate(seed=0, level=level, count=40):
            right, wrong = twins(problem, style=style)
            yield wrong, render(right, "plain"), render(wrong, "plain")


@pytest.mark.parametrize("style", ["plain", "short"])
def test_the_known_wrong_step_is_among_the_key_tokens_of_twins(style):
    found = total = key_words = all_words = 0
    for wrong, right_text, wrong_text in twin_problems(style):
        vocabulary = {}
        keys = key_tokens(words(right_text, vocabulary), words(wrong_text, vocabulary))
        first, last = spans(wrong, wrong_text)[wrong.error_step]
        total += 1
        found += bool(keys[1][first:last].any())
        key_words += keys[1].sum()
        all_words += len(keys[1])
    assert total == 200
    assert found / total > 0.95
    assert key_words / all_words < 0.5  # and not because nearly everything is key


def test_before_the_wrong_step_nothing_is_key():
    """Twins agree up to there, so a first key word earlier would be a misalignment (a skipped step moves it)."""
    for wrong, right_text, wrong_text in twin_problems("plain"):
        if wrong.error_kind == "skipped_step":
            continue
        vocabulary = {}
        keys = key_tokens(words(right_text, vocabulary), words(wrong_text, vocabulary))
        assert not keys[1][: spans(wrong, wrong_text)[wrong.error_step][0]].any()
