"""MIND: golden values, the dynamic set, a step by hand, the scorer's memory."""

from __future__ import annotations

import math

import pytest
import torch
from objective_steps import assert_invariant, record, think

from backends.losses.mind import answer_jsd, dynamic_weights, meta_loss
from backends.methods._assistant import made_alike
from backends.methods.mind import KINDS, METHOD, MetaNet, MindOptions, examples
from backends.records.segments import Encoder, Example
from harness.errors import ConfigError, DataError
from harness.options import parse_options

S, L = torch.tensor([[1.0, 0.0, -1.0]]).double(), torch.tensor([[0.5, 1.0, 2.0]]).double()
ALL = torch.ones(1, 3, dtype=torch.bool)
RECORDS = [
    record(
        0,
        response=think("1 + 2 = 3.", "3"),
        positives=(think("2 + 1 = 3.", "3"), think("Count to three.", "It is 3.")),
        meta={"response_perspective": "formal", "perspectives": ["plan", "of my own"]},
    ),
    record(1, response=think("4 - 1 = 3.", "3"), positives=(think("4, 3.", "3"),)),
    record(2, response=think("7.", "7"), positives=(think("Seven.", "7"), think("8 - 1.", "7"))),
]


def made(student, records=RECORDS, **options):
    stage = METHOD.stages(MindOptions(**{"scorer_epochs": 2, **options}))[0]
    rows = student.examples(stage.examples, records)

    def objective():
        found = stage.objective()
        found.setup(student.training(rows))
        return found

    return objective, rows


def test_golden_values():
    assert meta_loss(S, L, ALL).item() == pytest.approx(0.029145, abs=1e-6)
    assert meta_loss(-L + 7, L, ALL).item() == pytest.approx(0.0, abs=1e-12)  # a constant is nothing
    some = torch.tensor([[1, 1, 0]]).bool()
    assert meta_loss(S, L, some).item() == pytest.approx(meta_loss(S[:, :2], L[:, :2], ALL[:, :2]).item())


def test_the_dynamic_set():
    assert dynamic_weights(torch.zeros(1, 3), ALL).tolist()[0] == pytest.approx([1 / 3] * 3)
    assert dynamic_weights(S, ALL).tolist() == [[1.0, 0.0, 0.0]]  # e^-1 is less than 0.8
    two = dynamic_weights(S, ALL, beta=0.3)
    assert two.tolist()[0] == pytest.approx([1 / (1 + math.exp(-1)), 1 / (1 + math.e), 0.0])
    assert dynamic_weights(S, ALL, beta=0.0, tau=2.0).tolist()[0] == pytest.approx((S / 2).softmax(-1).tolist()[0])
    missing = torch.tensor([[0, 1, 1]]).bool()
    assert dynamic_weights(S, missing, beta=0.3)[0, 0] == 0.0
    with pytest.raises(DataError, match="without a perspective"):
        dynamic_weights(S, torch.zeros_like(ALL))
    with pytest.raises(ConfigError, match="tau"):
        meta_loss(S, L, ALL, tau=0.0)
    with pytest.raises(ConfigError, match="beta"):
        dynamic_weights(S, ALL, beta=2.0)


def test_gradients():
    leaf = S.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda s: meta_loss(s, L, ALL, tau=0.7), (leaf,))
    draw = torch.Generator().manual_seed(0)
    first, second = (torch.randn(2, 4, 5, dtype=torch.float64, generator=draw).requires_grad_() for _ in range(2))
    one, other = torch.tensor([[0, 1, 1, 0], [1, 0, 0, 0]]).bool(), torch.tensor([[1, 0, 0, 1], [1, 1, 0, 0]]).bool()
    found = answer_jsd(first, second, one, other)
    assert found[1] == 0.0 and 0 < found[0] < math.log(2)
    assert answer_jsd(first, first, one, one).abs().max() < 1e-12
    assert torch.autograd.gradcheck(lambda a, b: answer_jsd(a, b, one, other), (first, second))


def test_kinds_of_perspectives(student):
    rows = student.examples(examples, RECORDS)
    kinds = [[int(row.extras["perspective"][0]) for row in example.sequences] for example in rows]
    assert kinds == [[KINDS.index("formal"), KINDS.index("plan"), 0], [0, 0], [0, 0, 0]]


def test_a_step_by_hand(student):
    objective, rows = made(student, beta=0.0, lam=0.5, inertia=0.9)
    ready = objective()
    with torch.no_grad():
        scores, valid, before = ready._scored(torch.arange(3))
    alpha = dynamic_weights(scores, valid, beta=0.0)
    losses = []
    for example in rows:
        slots = range(len(example.sequences))
        losses.append([-student.logps([example], slot)[0].mean() for slot in slots])
    for row, own in zip(before.tolist(), losses, strict=True):
        assert row[: len(own)] == pytest.approx([one.item() for one in own], rel=1e-4)  # the untrained student's
    loss, pairs = torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    for n, (example, own) in enumerate(zip(rows, losses, strict=True)):
        loss = loss + sum(alpha[n, k] * one for k, one in enumerate(own)) / 3
        answers = []
        for sequence in example.sequences:
            ids = torch.tensor(sequence.ids_T, dtype=torch.int64)[None]
            logits = student.model(input_ids=ids).logits[:, :-1]
            answers.append((logits, torch.tensor(sequence.segments_T[None, 1:] == 2)))
        for i in range(len(own)):
            for j in range(i + 1, len(own)):
                (a, mask_a), (b, mask_b) = answers[i], answers[j]
                if int(mask_a.sum()) == int(mask_b.sum()):
                    p, q = a[mask_a][None], b[mask_b][None]
                    every = torch.ones(1, p.shape[1], dtype=torch.bool)
                    pairs = pairs + alpha[n, i] * alpha[n, j] * answer_jsd(p, q, every, every)[0] / 3
    taken = student.step(ready, rows)
    assert taken.log["nll"] == pytest.approx(loss.item(), rel=1e-5)
    assert taken.log["disagreement"] == pytest.approx(pairs.item(), rel=1e-5)
    assert taken.log["chosen"] == pytest.approx(8 / 3)
    assert taken.loss == pytest.approx((loss + 0.5 * pairs).item() + taken.log["meta"], rel=1e-5)
    for name, grad in student.gradients(loss + 0.5 * pairs).items():
        torch.testing.assert_close(taken.grads[name], grad, rtol=1e-4, atol=1e-6)


def test_micro_batches_add_up(student):
    objective, rows = made(student)
    assert_invariant(student, objective, rows, atol=1e-7)  # the scorer is in float32


def test_one_perspective_is_sft_by_sequence_mean(student):
    stage = METHOD.stages(MindOptions())[0]
    rows = tuple(Example(one.id, one.sequences[:1]) for one in student.examples(stage.examples, RECORDS))
    objective = stage.objective()
    objective.setup(student.training(rows))
    taken = student.step(objective, rows)
    right = -torch.stack([one.mean() for one in student.logps(rows, 0)]).mean()
    assert taken.log["nll"] == pytest.approx(right.item(), rel=1e-6) and taken.log["meta"] == pytest.approx(0, abs=1e-7)
    for name, grad in student.gradients(right).items():
        torch.testing.assert_close(taken.grads[name], grad, rtol=1e-4, atol=1e-6)


def test_the_scorer_learns_and_is_kept(student):
    objective, rows = made(student, scorer_epochs=0)
    cold = student.step(objective(), rows).log["meta"]
    warm, _ = made(student, scorer_epochs=25)
    ready = warm()
    assert student.step(ready, rows).log["meta"] < cold / 2
    state = ready.state_dict()
    other = warm()
    other.load_state_dict(state)
    with torch.no_grad():
        assert torch.equal(other._scored(torch.arange(3))[0], ready._scored(torch.arange(3))[0])
    assert torch.equal(other._losses, ready._losses)


def test_networks_are_made_alike_and_move_no_random_numbers(monkeypatch):
    monkeypatch.setattr(torch.cuda, "manual_seed_all", lambda seed: pytest.fail("a device's random numbers are moved"))
    before = torch.random.get_rng_state()
    one, two = made_alike(MetaNet, 8), made_alike(MetaNet, 8)
    assert torch.equal(one.narrow.weight, two.narrow.weight)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_what_it_refuses(student):
    bare = record(5, response="no chain", positives=("nor here",))
    data = examples(Encoder(student.tokenizer, 512), [*RECORDS, bare])
    assert data.left_out == {"no_split": ("r5",)}
    for given in ({"beta": "2"}, {"tau": "0"}, {"inertia": "-1"}):
        with pytest.raises(ConfigError):
            parse_options(MindOptions, given, "mind")
