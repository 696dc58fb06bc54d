"""EMO, MixCE, TaiLr as methods: values by hand, reductions to SFT, every option, micro-batches, padding, options."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from objective_steps import RECORDS, Student, assert_invariant, assert_same_step

from backends.methods import emo, mixce, sft, tailr
from harness.errors import ConfigError
from harness.options import parse_options


@pytest.fixture
def examples(student):
    return student.examples(sft.METHOD.stages(None)[0].examples, RECORDS)


def made(method, student, examples, **options):
    stage = method.METHOD.stages(method.METHOD.options(**options))[0]
    objective = stage.objective()
    objective.setup(student.training(examples))
    return objective


def by_hand(student, examples):
    """Log-probabilities of the response tokens, and the whole distributions that predict them."""
    ids = [torch.tensor(example.sequences[0].ids_T, dtype=torch.int64) for example in examples]
    masks = [torch.tensor(example.sequences[0].supervised_T[1:]) for example in examples]
    logits = torch.cat([student.model(input_ids=i[None]).logits[0, :-1][m] for i, m in zip(ids, masks, strict=True)])
    labels = torch.cat([i[1:][m] for i, m in zip(ids, masks, strict=True)])
    return logits.log_softmax(-1), labels


def nll_by_hand(student, examples):
    logps, labels = by_hand(student, examples)
    return -logps.gather(1, labels[:, None])[:, 0]


def check(student, taken, loss):
    assert taken.loss == pytest.approx(loss.item())
    grads = student.gradients(loss)
    for name, grad in taken.grads.items():
        torch.testing.assert_close(grad, grads[name], rtol=1e-6, atol=1e-9)


def test_sft_is_the_token_mean(student, examples):
    taken = student.step(sft.LikelihoodObjective(), examples)
    check(student, taken, nll_by_hand(student, examples).mean())
    assert taken.log == {}


def test_mixce_and_tailr_by_hand(student, examples):
    nll = nll_by_hand(student, examples)
    q = torch.exp(-nll).detach()
    taken = student.step(made(mixce, student, examples, ratio=0.3), examples)
    check(student, taken, ((0.3 + 0.7 * q) * nll).mean())
    assert taken.log["nll"] == pytest.approx(nll.mean().item())
    nll = nll_by_hand(student, examples)
    weight = 0.4 + 0.6 * (q / (0.6 + 0.4 * q)).clamp(0.1, 1.0)
    taken = student.step(made(tailr, student, examples, gamma=0.4, min_weight=0.1), examples)
    check(student, taken, (weight * nll).mean())


@pytest.mark.parametrize(("method", "options"), [(mixce, {"ratio": 1.0}), (tailr, {"gamma": 1.0})])
def test_the_plain_end_is_sft(student, examples, method, options):
    taken = student.step(made(method, student, examples, **options), examples)
    right = student.step(sft.LikelihoodObjective(), examples)
    assert_same_step(dataclasses.replace(taken, log={}), right)


@pytest.mark.parametrize("variant", ["plain", "detach_gold"])
@pytest.mark.parametrize("mode", [1, 2])
def test_emo_by_hand(student, examples, variant, mode):
    logps, labels = by_hand(student, examples)
    head = torch.nn.functional.normalize(student.model.get_output_embeddings().weight.detach(), dim=-1)
    cost = 1 - head @ head.T
    cost.fill_diagonal_(0.0)
    distance = (logps.exp() * cost[labels]).sum(-1)
    nll = -logps.gather(1, labels[:, None])[:, 0]
    term = distance + torch.exp(-nll).detach() if variant == "detach_gold" else distance
    if mode == 1:
        loss = (0.5 * ((nll / (term + 1e-10)).detach() * term + nll)).mean()
    else:
        loss = ((term / (nll + 1e-10)).detach() * nll + term).mean()
    taken = student.step(made(emo, student, examples, variant=variant, mode=mode), examples)
    check(student, taken, loss)
    assert taken.log["nll"] == pytest.approx(nll.mean().item())
    assert taken.log["distance"] == pytest.approx(distance.mean().item())
    if mode == 1:
        assert taken.loss == pytest.approx(nll.mean().item())


def test_a_fixed_cost_stays_what_the_head_was(tmp_path, examples):
    student = Student(tmp_path)
    fixed = made(emo, student, examples, cost="fixed")
    adaptive = made(emo, student, examples, cost="adaptive")
    assert_same_step(student.step(fixed, examples), student.step(adaptive, examples))
    with torch.no_grad():
        student.model.get_output_embeddings().weight[3:9].neg_()
    assert student.step(fixed, examples).log["distance"] != pytest.approx(
        student.step(adaptive, examples).log["distance"], rel=1e-4
    )
    student.model.get_output_embeddings().weight.requires_grad_(False)
    assert made(emo, student, examples, cost="fixed")._cost_VD is None  # frozen: no copy


@pytest.mark.parametrize(
    ("method", "options"),
    [(sft, None), (mixce, {}), (tailr, {}), (emo, {}), (emo, {"mode": 2, "variant": "plain", "cost": "fixed"})],
)
def test_micro_batches_add_up_and_padding_does_nothing(student, examples, method, options):
    def make():
        return sft.LikelihoodObjective() if options is None else made(method, student, examples, **options)

    assert_invariant(student, make, examples)


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        (emo, {"mode": "3"}, "mode must be 1 or 2"),
        (emo, {"variant": "other"}, "one of plain, detach_gold"),
        (mixce, {"ratio": "1.5"}, "ratio must be from 0 to 1"),
        (tailr, {"min_weight": "-0.1"}, "min_weight must be from 0 to 1"),
    ],
)
def test_bad_options(method, options, message):
    with pytest.raises(ConfigError, match=message):
        parse_options(method.METHOD.options, options, method.METHOD.name)
