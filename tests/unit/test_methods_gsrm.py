"""GSRM: the parts of a list, the three thirds by hand, the weights, checkpoints, and what it reduces to."""

from __future__ import annotations

import pytest
import torch
from objective_steps import assert_invariant, record

from backends.base import Step
from backends.methods import gsrm, sft
from backends.records.segments import CODE, tokenise
from backends.records.synth import synth_records
from backends.structure.steps import PathStep, write_steps
from harness.errors import DataError


def listed(number, *steps):
    text, pieces = write_steps([PathStep(*one) for one in steps])
    return record(number, response=text, structure=pieces)


RECORDS = [
    listed(0, ("it is asked for", "2 + 3?", "5"), ("the sum is known", "5 * 4?", "The answer is \\boxed{20}")),
    listed(1, ("only step", "1 + 1?", "2")),
]


@pytest.fixture
def examples(student):
    return student.examples(tokenise, RECORDS)


def objective(**options):
    return gsrm.METHOD.stages(gsrm.GsrmOptions(**options))[0].objective()


def at(student, chosen, examples, step, sizes=()):
    """One optimiser step of the training's `step`."""
    loss = type(chosen).loss
    after = type(chosen).after_step

    class Placed(type(chosen)):
        def loss(self, batch, logits, counts, _, prepared):
            return loss(self, batch, logits, counts, step, prepared)

        def after_step(self, logged, _):
            after(self, logged, step)

    chosen.__class__ = Placed
    return student.step(chosen, examples, sizes)


def by_hand(student, examples):
    """-log p of each learnt token with whether it is of M, in one tensor each."""
    nll = -torch.cat(student.logps(examples, 0))
    meta = torch.cat(
        [torch.tensor(one.sequences[0].segments_T[one.sequences[0].supervised_T] == CODE["meta"]) for one in examples]
    )
    return nll, meta


def test_the_parts_are_disjoint_and_cover_the_list(student, examples):
    batch = student.batch(examples)
    chosen = objective()
    counts = chosen.counts(batch)
    assert int(counts["meta"] + counts["solve"]) == int(batch.mask_RT.sum())
    sequence = examples[0].sequences[0]
    assert set(sequence.segments_T.tolist()) == {CODE["prompt"], CODE["meta"], CODE["solve"], CODE["answer"]}
    assert sequence.count("answer") == 1  # the end of sequence alone
    shown = student.tokenizer.decode(sequence.ids_T[sequence.segments_T == CODE["meta"]].tolist())
    assert "it is asked for" in shown and "the sum is known" in shown and "2 + 3" not in shown


def test_three_thirds_by_hand(student, examples):
    nll, meta = by_hand(student, examples)
    first = at(student, objective(), examples, Step(0, 9))
    assert first.loss == pytest.approx(nll[meta].mean().item(), rel=1e-6)
    assert first.log == pytest.approx({"nll_meta": first.loss})
    second = at(student, objective(), examples, Step(3, 9))
    assert second.loss == pytest.approx(nll[~meta].mean().item(), rel=1e-6)
    chosen = objective()
    chosen.load_state_dict({"sums": dict(chosen.state_dict()["sums"]), "a": 1.25})
    third = at(student, chosen, examples, Step(6, 9))
    weighted = torch.where(meta, 1.25, 0.75) * nll
    assert third.loss == pytest.approx(weighted.mean().item(), rel=1e-6)
    assert third.log == pytest.approx({"nll_meta": first.loss, "nll_solve": second.loss, "a": 1.25})
    for key, grad in student.gradients((torch.where(meta, 1.25, 0.75) * by_hand(student, examples)[0]).mean()).items():
        torch.testing.assert_close(third.grads[key], grad, rtol=1e-4, atol=1e-6)


def test_micro_batches_add_up_and_padding_does_nothing(student, examples):
    assert_invariant(student, objective, examples)


def test_equal_losses_are_sft_on_the_list(student, examples):
    assert gsrm.weight_of_meta(0.7, 0.7) == 1.0
    taken = at(student, objective(), examples, Step(8, 9))  # a is 1 until something was seen
    plain = student.step(sft.LikelihoodObjective(), examples)
    assert taken.loss == plain.loss
    for key, grad in plain.grads.items():
        assert torch.equal(taken.grads[key], grad)


def run(chosen, total, losses):
    for number in range(total):
        step = Step(number, total)
        meta, solve = losses(number)
        names = {0: {"nll_meta": meta}, 1: {"nll_solve": solve}}
        chosen.after_step(names.get(chosen.third(step), {"nll_meta": meta, "nll_solve": solve}), step)
        yield number, chosen.state_dict()["a"]


def test_the_weights_follow_the_losses():
    seen = dict(run(objective(every=2), 12, lambda number: (3.0, 1.0) if number < 8 else (1.0, 3.0)))
    assert [seen[n] for n in range(7)] == [1.0] * 7
    assert seen[7] == seen[8] == 1.5  # of the means of the first two thirds: 2 * 3 / 4
    assert seen[9] == seen[10] == 0.5  # of the last two steps
    assert [gsrm.StructuredObjective.third(Step(n, 7)) for n in range(7)] == [0, 0, 0, 1, 1, 2, 2]
    assert list(dict(run(objective(), 1, lambda _: (1.0, 1.0))).values()) == [1.0]


def test_sums_are_kept_in_a_checkpoint():
    def losses(number):
        return 1.0 + number, 2.0 + number % 3

    whole = dict(run(objective(every=3), 20, losses))
    for cut in (2, 9, 14, 17):
        first = objective(every=3)
        for number, _ in run(first, 20, losses):
            if number == cut:
                break
        second = objective(every=3)
        second.load_state_dict(first.state_dict())
        for number in range(cut + 1, 20):
            step, (meta, solve) = Step(number, 20), losses(number)
            parts = {"nll_meta": meta, "nll_solve": solve}
            parts = {0: {"nll_meta": meta}, 1: {"nll_solve": solve}}.get(second.third(step), parts)
            second.after_step(parts, step)
            assert second.state_dict()["a"] == whole[number]


def test_a_plain_schedule_is_sft():
    (stage,), (other,) = gsrm.METHOD.stages(gsrm.GsrmOptions(schedule="plain")), sft.METHOD.stages(None)
    assert stage.examples is other.examples and type(stage.objective()) is type(other.objective())
    assert (stage.name, stage.needs) == (other.name, other.needs)
    with pytest.raises(ValueError, match="every has no effect"):
        gsrm.GsrmOptions(schedule="plain", every=5)


def test_records_of_the_embedded_world_will_do(student):
    taken = student.step(objective(), student.examples(tokenise, synth_records(0, 2, (1,), style="long")))
    assert taken.loss > 0


def test_a_structure_of_another_text_is_refused(student):
    with pytest.raises(DataError, match="no recognisable chain"):
        student.examples(tokenise, [record(0, response="something else", structure=RECORDS[0].structure)])
