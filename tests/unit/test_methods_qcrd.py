"""QCRD: the contrast by hand, its hinge, what it reduces to, the discriminator and its schedule."""

from __future__ import annotations

import math

import pytest
import torch
from objective_steps import assert_invariant, record, think

from backends.base import Step
from backends.losses.qcrd import contrast, discriminator_loss
from backends.methods import qcrd
from backends.methods._views import ViewOptions
from backends.methods.qcrd import METHOD, QcrdOptions
from backends.methods.two_views import STEP_BY_STEP
from backends.records.segments import Encoder
from harness.errors import ConfigError, DataError
from harness.options import parse_options

NLL = torch.tensor([[0.4, 2.0, 1.5, 2.5, 4.0]]).double()
D = torch.tensor([[0.5, 0.9, 0.8, 0.3, 0.1]]).double()
RIGHT, WRONG = torch.tensor([[0, 1, 1, 0, 0]]).bool(), torch.tensor([[0, 0, 0, 1, 1]]).bool()
RECORDS = [
    record(0, response=think("1 + 2 = 3.", "3"), positives=(think("2 + 1.", "3"),), rejected=think("1 + 2 = 4.", "4")),
    record(1, response=think("4 - 1 = 3.", "3"), negatives=(think("4 - 1 = 5.", "5"), think("No.", "1"))),
    record(2, response=think("7.", "7")),
]


def made(student, records=RECORDS, **options):
    stage = METHOD.stages(QcrdOptions(**{"quality_steps": 2, **options}))[0]
    rows = student.examples(stage.examples, records)

    def objective():
        found = stage.objective()
        found.setup(student.training(rows))
        return found

    return objective, rows


def test_the_contrast_by_hand():
    found = contrast(NLL, D, RIGHT, WRONG)
    assert found.right_B.item() == pytest.approx(0.8 * 1.5)  # the likeliest right one
    assert found.wrong_B.item() == pytest.approx(0.7 * 0.5)  # the likeliest wrong one, and the room up to 3
    far = contrast(NLL, D, RIGHT, WRONG, neg_select="farthest")
    assert far.wrong_B.item() == 0.0 and not far.pushed_B.item() and found.pushed_B.item()
    alone = contrast(NLL, D, RIGHT, torch.zeros_like(WRONG))
    assert alone.wrong_B.item() == 0.0 and not alone.pushed_B.item()
    with pytest.raises(DataError, match="without a right rationale"):
        contrast(NLL, D, torch.zeros_like(RIGHT), WRONG)
    with pytest.raises(ConfigError, match="neg_select"):
        contrast(NLL, D, RIGHT, WRONG, neg_select="worst")


def test_gradients_and_the_hinge():
    leaf = NLL.clone().requires_grad_()

    def total(nll, quality=D):
        found = contrast(nll, quality, RIGHT, WRONG)
        return found.right_B + 0.2 * found.wrong_B

    assert torch.autograd.gradcheck(total, (leaf,))
    (grad,) = torch.autograd.grad(total(leaf).sum(), leaf)
    assert grad.tolist()[0] == pytest.approx([0, 0, 0.8, -0.2 * 0.7, 0])  # down by descent: its cross-entropy rises
    unlikely = NLL.clone().masked_fill(WRONG, 3.0).requires_grad_()
    (grad,) = torch.autograd.grad(total(unlikely).sum(), unlikely)
    assert grad[0, 3] == 0.0
    quality = D.clone().requires_grad_()
    assert not total(NLL, quality).requires_grad  # a discriminator is not taught to find the student good
    scores = torch.tensor([[9.0, 2.0, 0.0, -1.0, 0.5]]).double().requires_grad_()
    bce = [math.log(1 + math.exp(-2)), math.log(2), math.log(1 + math.exp(-1)), math.log(1 + math.exp(0.5))]
    assert discriminator_loss(scores, RIGHT, WRONG).item() == pytest.approx(sum(bce) / 4)
    assert torch.autograd.gradcheck(lambda s: discriminator_loss(s, RIGHT, WRONG), (scores,))


def test_rows(student):
    encoder = Encoder(student.tokenizer, 512)
    data = qcrd.examples(True, encoder, [*RECORDS, record(5, response="no chain")])
    assert data.left_out == {"no_split": ("r5",)}
    shown = [[encoder.runs(row) for row in example.sequences] for example in data.examples]
    assert [len(rows) for rows in shown] == [4, 4, 2] and [e.numbers["right"] for e in data.examples] == [2, 1, 1]
    assert shown[0][0] == [("prompt", "u:q0?\na:"), ("answer", "3<|end|>")]
    assert shown[0][1] == [("prompt", "u:explain: q0?\na:"), ("think", "1 + 2 = 3.<|end|>")]
    assert shown[0][3][1] == ("think", "1 + 2 = 4.<|end|>") and shown[1][3][1] == ("think", "No.<|end|>")


def test_a_step_by_hand(student):
    objective, rows = made(student)
    ready = objective()
    with torch.no_grad():
        quality = ready._scores(torch.arange(3), 4).sigmoid().double()
    total, judged = torch.zeros((), dtype=torch.float64), 0.0
    for n, example in enumerate(rows):
        nll = torch.stack([-student.logps([example], slot)[0].mean() for slot in range(len(example.sequences))])[None]
        right = torch.tensor([[0 < slot <= example.numbers["right"] for slot in range(nll.shape[1])]])
        wrong = torch.tensor([[slot > example.numbers["right"] for slot in range(nll.shape[1])]])
        found = contrast(nll, quality[n : n + 1, : nll.shape[1]], right, wrong)
        total = total + (0.5 * nll[0, 0] + 0.5 * (found.right_B + 0.2 * found.wrong_B)[0]) / 3
        scores = torch.logit(quality[n : n + 1, : nll.shape[1]])
        judged += discriminator_loss(scores, right, wrong).item() / 3
    taken = student.step(ready, rows)
    assert taken.loss == pytest.approx(total.item() + judged, rel=1e-4)
    assert taken.log["discriminator"] == pytest.approx(judged, rel=1e-4)
    for name, grad in student.gradients(total).items():
        torch.testing.assert_close(taken.grads[name], grad, rtol=1e-4, atol=1e-6)
    assert_invariant(student, objective, rows, atol=1e-7)


def test_a_discriminator_without_wrong_rationales_is_refused(student):
    plain = [record(n, response=think(f"{n} + 1.", f"{n + 1}")) for n in range(3)]
    with pytest.raises(DataError, match="no record has a wrong rationale"):
        made(student, plain)


def test_without_wrong_ones_and_discriminator_it_is_step_by_step(student):
    plain = [record(n, response=think(f"{n} + 1.", f"{n + 1}")) for n in range(3)]  # all of the same length
    objective, rows = made(student, plain, beta=0.0, quality=False)
    taken = student.step(objective(), rows)
    stage = STEP_BY_STEP.stages(ViewOptions())[0]
    right = student.step(stage.objective(), student.examples(stage.examples, plain))
    assert taken.loss == pytest.approx(right.loss, rel=1e-6)
    for name, grad in right.grads.items():
        torch.testing.assert_close(taken.grads[name], grad, rtol=1e-4, atol=1e-7)


def test_the_discriminator_learns_and_its_weight_falls(student):
    objective, rows = made(student, quality_steps=0)
    cold = student.step(objective(), rows).log["discriminator"]
    warm, _ = made(student, quality_steps=60)
    ready = warm()
    assert student.step(ready, rows).log["discriminator"] < 0.6 * cold
    assert ready._decay == pytest.approx(0.9)  # one epoch was read
    state = ready.state_dict()
    other = warm()
    other.load_state_dict(state)
    assert other._decay == pytest.approx(0.9)
    with torch.no_grad():
        assert torch.equal(other._scores(torch.arange(3), 4), ready._scores(torch.arange(3), 4))
    ready.after_step({}, Step(1, 9))
    assert [group["lr"] for group in ready._judge.optimizer.param_groups] == [pytest.approx(1e-3 * 0.9)]
    assert ready._decay == pytest.approx(0.81)


@pytest.mark.parametrize("given", [{"beta": "-1"}, {"quality_decay": "2"}, {"neg_select": "all"}, {"quality_lr": "0"}])
def test_options(given):
    with pytest.raises(ConfigError):
        parse_options(QcrdOptions, given, "qcrd")
