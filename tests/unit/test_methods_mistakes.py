"""LEMA and Tailored Learning: what is read and learnt, values by hand, gradients, reductions."""

from __future__ import annotations

import dataclasses
from dataclasses import replace

import pytest
import torch
from objective_steps import assert_invariant, record, think

from backends.losses.triplet import triplet_loss
from backends.methods import lema, sft, tailored
from backends.methods.tailored import TailoredOptions
from backends.records.segments import Encoder
from backends.records.synth import synth_records
from harness.errors import ConfigError, DataError
from harness.options import parse_options

WRONG = think("1 + 2 = 4.", "4")
ONE = record(0, response=think("1 + 2 = 3.", "3"), rejected=WRONG, feedback="The sum is wrong: 1 + 2 is 3.")
RIGHT = [think("1 + 2 = 3.", "3"), think("2 + 1 = 3.", "3"), think("Count: 1, 2, 3.", "So 3.")]
RECORDS = [
    record(0, response=RIGHT[0], positives=RIGHT[1:], negatives=[WRONG]),
    record(1, response=RIGHT[1], rejected=WRONG),
    record(2, response="plain", positives=("plainly",), negatives=("no", "never")),
]


# --- lema -----------------------------------------------------------------------------------------------------------


def test_only_the_correction_is_learnt(student):
    encoder = Encoder(student.tokenizer, 512)
    right, correction = lema.examples(encoder, [ONE]).examples
    assert (right.id, correction.id) == ("r0", "r0/correction")
    assert encoder.runs(right.sequences[0])[0] == ("prompt", "u:q0?\na:")
    (_, asked), *learnt = encoder.runs(correction.sequences[0])
    assert "1 + 2 = 4.\n4" in asked and "<think>" not in asked and "sum is wrong" not in asked
    told = "".join(text for _, text in learnt)
    assert told == "The sum is wrong: 1 + 2 is 3.\n\n1 + 2 = 3.\n3<|end|>"


def test_a_known_mistake_stands_in_for_feedback(student):
    encoder = Encoder(student.tokenizer, 1024)
    (one,) = synth_records(0, 1, (2,))
    _, correction = lema.examples(encoder, [one]).examples
    start, end = one.meta["error_span"]
    told = encoder.runs(correction.sequences[0])[1][1]
    assert told.startswith(f"The first wrong step is: {one.rejected[start:end].strip()}\n\n")
    for odd in (None, [3], [5, 2], ["a", "b"], [0, 10**9]):
        bare = record(0, response=ONE.response, rejected=WRONG, meta={"error_span": odd})
        with pytest.raises(DataError, match="record 'r0': nothing says what is wrong in its 'rejected'"):
            lema.examples(encoder, [bare])


def test_its_loss_is_sft_s_on_both(student):
    rows = student.examples(lema.examples, [ONE, dataclasses.replace(ONE, id="r9")])
    made = lema.METHOD.stages(lema.METHOD.options())[0].objective
    right = -torch.cat(student.logps(rows, 0)).mean()
    assert student.step(made(), rows).loss == pytest.approx(right.item())
    assert_invariant(student, made, rows)


# --- tailored -------------------------------------------------------------------------------------------------------


def test_triplets_by_hand():
    a, b = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 5.0]])
    assert triplet_loss(a, 3 * a, b).item() == 0.0  # the same direction, and an orthogonal wrong one
    assert triplet_loss(a, a, a).item() == 1.0  # a wrong one that is the right one: the margin
    assert triplet_loss(a, b, a).item() == 2.0
    assert triplet_loss(a, b, -a, margin=0.5).item() == 0.0
    with pytest.raises(ConfigError, match="shape"):
        triplet_loss(a, a, a[:, :1])
    draw = torch.Generator().manual_seed(0)
    sides = [torch.randn(3, 4, dtype=torch.float64, generator=draw).requires_grad_() for _ in range(3)]
    assert torch.autograd.gradcheck(lambda *sides: triplet_loss(*sides, margin=1.5), sides)


def made(student, records=RECORDS, **options):
    stage = tailored.METHOD.stages(TailoredOptions(**options))[0]
    return stage.objective, student.examples(stage.examples, records)


def test_triplets_of_nothing_are_refused(student):
    alone = [replace(one, positives=(), negatives=(), rejected=None) for one in RECORDS]
    with pytest.raises(DataError, match="makes its triplets"):
        made(student, alone)
    assert len(made(student, alone, cl_ratio=0.0)[1]) == len(alone)


def test_each_right_rationale_is_an_anchor(student):
    _, rows = made(student)
    assert [example.id for example in rows] == ["r0", "r0/2", "r0/3", "r1", "r2", "r2/2"]
    assert [len(example.sequences) for example in rows] == [3, 3, 3, 1, 3, 3]
    encoder = Encoder(student.tokenizer, 512)
    said = [["".join(t for _, t in encoder.runs(one)[1:]) for one in example.sequences] for example in rows]
    assert [one[0].removesuffix("<|end|>") for one in said[:3]] == RIGHT
    assert said[2][1] == said[0][0] and said[0][2] == f"{WRONG}<|end|>"
    assert [one[2] for one in said[4:]] == ["no<|end|>", "never<|end|>"]
    _, few = made(student, most=2)
    assert [example.id for example in few] == ["r0", "r0/2", "r1", "r2", "r2/2"]


def test_a_step_by_hand(student):
    objective, rows = made(student)
    taken = student.step(objective(), rows)
    total, tokens, triplets = torch.zeros((), dtype=torch.float64), 0, []
    for example in rows:
        states = []
        for slot, sequence in enumerate(example.sequences):
            ids = torch.tensor(sequence.ids_T, dtype=torch.int64)[None]
            hidden = student.model.model(input_ids=ids).last_hidden_state[0]
            states.append(hidden[-1:])
            if slot == 0:
                logps = student.model.lm_head(hidden[:-1]).log_softmax(-1).gather(1, ids[0, 1:, None])[:, 0]
                weight = torch.where(torch.tensor(sequence.supervised_T[1:]), 1.0, 0.1)
                total, tokens = total - (weight * logps).sum(), tokens + len(logps)
        if len(states) == 3:
            triplets.append(triplet_loss(*states)[0])
    loss = total / tokens + 0.5 * torch.stack(triplets).mean()
    assert taken.loss == pytest.approx(loss.item())
    assert taken.log["nll"] == pytest.approx((total / tokens).item())
    for name, grad in student.gradients(loss).items():
        torch.testing.assert_close(taken.grads[name], grad, rtol=1e-5, atol=1e-6)
    assert_invariant(student, objective, rows)


def test_without_prompt_and_triplets_it_is_sft(student):
    objective, rows = made(student, mle_w=0.0, cl_ratio=0.0)
    taken = student.step(objective(), rows)
    alone = [type(row)(row.id, row.sequences[:1]) for row in rows]
    right = student.step(sft.LikelihoodObjective(), alone)
    assert taken.loss == pytest.approx(right.loss)
    for name, grad in right.grads.items():
        torch.testing.assert_close(taken.grads[name], grad, rtol=1e-5, atol=1e-7)


def test_a_data_set_without_triplets_is_still_learnt(student):
    objective, rows = made(student, [record(0, response="yes"), record(1, response="no")], cl_ratio=0.0)
    assert student.step(objective(), rows).log["triplet"] == 0.0
    assert_invariant(student, objective, rows)
    with pytest.raises(ConfigError):
        parse_options(TailoredOptions, {"most": "0"}, "tailored")
