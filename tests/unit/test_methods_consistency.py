"""MCC-KD and CurioSFT as methods: pairs and skipped pairs, values by hand, the moving reference, checkpoints."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch
from objective_steps import RECORDS, Student, assert_invariant, assert_same_step, record, think

from backends.base import Step
from backends.losses.curio import curio_temperature
from backends.methods import curiosft, mcc_kd, sft
from backends.records.segments import CODE, Encoder
from backends.records.synth import synth_records
from backends.trainers.head import score
from harness.errors import ConfigError
from harness.options import parse_options

PAIRS = [
    record(0, response=think("1 + 2 = 3.", "So 3"), positives=(think("two and one", "So 3"),)),
    record(1, response=think("2 * 2 = 4.", "So 4."), positives=(think("twice two", "Four it is."),)),
    record(2, response=think("5 + 5", "10"), positives=(think("ten", "10"), think("five twice", "10"))),
]


# --- MCC-KD ---------------------------------------------------------------------------------------------------------


def mcc_stage(**options):
    return mcc_kd.METHOD.stages(mcc_kd.MccKdOptions(**options))[0]


def test_pairs_of_rationales(student):
    encoder = Encoder(student.tokenizer, 512)
    twin = record(3, response=think("a b c d e f", "1"), positives=(think("a b c d e  f", "1"),))
    data = mcc_stage().examples(encoder, [*PAIRS, twin])
    shown = [(e.id, len(e.sequences)) for e in data.examples]
    assert shown == [("r0", 2), ("r1", 2), ("r2", 2), ("r2/2", 1), ("r3", 1)]  # nearly the same chain is one
    assert len(mcc_stage(jaccard=1.0).examples(encoder, [twin]).examples[0].sequences) == 2
    runs = [encoder.runs(sequence) for sequence in data.examples[2].sequences]
    assert runs[0][1:] == [("think", "<think>\n5 + 5\n"), ("answer", "</think>\n10<|end|>")]
    assert runs[1][1:] == [("think", "<think>\nten\n"), ("answer", "</think>\n10<|end|>")]
    bad = record(4, response=think("a", "1"), positives=("no chain",))
    assert mcc_stage().examples(encoder, [*PAIRS, bad]).left_out == {"no_split": ("r4",)}


def test_synth_pairs_align(student):
    (one,) = synth_records(0, 1, (2,), positives=1)
    (example,) = student.examples(mcc_stage().examples, [one])
    answers = [s.ids_T[s.segments_T == CODE["answer"]].tolist() for s in example.sequences]
    assert answers[0] == answers[1]


def distributions(student, sequence, temperature=1.0):
    ids = torch.tensor(sequence.ids_T, dtype=torch.int64)
    answer = torch.tensor(sequence.segments_T[1:] == CODE["answer"])
    return (student.model(input_ids=ids[None]).logits[0, :-1][answer] / temperature).log_softmax(-1)


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_mcc_by_hand(student, temperature):
    chosen = mcc_stage(alpha=0.3, temperature=temperature)
    examples = student.examples(chosen.examples, PAIRS)
    first = -torch.cat(student.logps(examples, 0)).mean()
    second = -torch.cat(student.logps(examples[:3], 1)).mean()
    kl = []
    for example in (examples[0], examples[2]):  # r1's answers differ in length
        p, q = (distributions(student, sequence, temperature) for sequence in example.sequences)
        kl.append(((p.exp() * (p - q)).sum(-1) + (q.exp() * (q - p)).sum(-1)) / 2)
    same = torch.cat(kl).mean()
    loss = (first + second) / 2 + 0.3 * same
    taken = student.step(chosen.objective(), examples)
    assert taken.loss == pytest.approx(loss.item(), rel=1e-6)
    expected = {"nll_first": first.item(), "nll_second": second.item(), "consistency": same.item(), "skipped": 1.0}
    assert taken.log == pytest.approx(expected)
    for key, grad in student.gradients(loss).items():
        torch.testing.assert_close(taken.grads[key], grad, rtol=1e-4, atol=1e-6)


def test_micro_batches_of_pairs_add_up_and_padding_does_nothing(student):
    examples = student.examples(mcc_stage().examples, PAIRS)
    assert_invariant(student, mcc_stage(alpha=0.5).objective, examples)


def test_without_weight_or_pairs_it_is_sft(student):
    single = [dataclasses.replace(one, positives=(one.response,)) for one in PAIRS]
    examples = student.examples(mcc_stage().examples, single)
    taken = student.step(mcc_stage().objective(), examples)
    right = student.step(sft.LikelihoodObjective(), student.examples(sft.METHOD.stages(None)[0].examples, PAIRS))
    assert taken.loss == pytest.approx(right.loss, rel=1e-6)
    assert taken.log["skipped"] == taken.log["consistency"] == 0.0
    pairs = student.examples(mcc_stage().examples, PAIRS[:1])
    plain = student.step(mcc_stage(alpha=0.0).objective(), pairs)
    halves = [-student.logps(pairs, slot)[0].mean().item() for slot in (0, 1)]
    assert plain.loss == pytest.approx(sum(halves) / 2, rel=1e-6)


# --- CurioSFT -------------------------------------------------------------------------------------------------------


def curio(student, examples, **options):
    objective = curiosft.METHOD.stages(curiosft.CurioOptions(**options))[0].objective()
    objective.setup(student.training(examples))
    return objective


def curio_by_hand(student, reference, examples, lam, low=1.1, high=1.5):
    values, taus = [], []
    for example in examples:
        ids = torch.tensor(example.sequences[0].ids_T, dtype=torch.int64)
        mask = torch.tensor(example.sequences[0].supervised_T[1:])
        ours = student(input_ids=ids[None]).logits[0, :-1][mask]
        theirs = reference(ids)[:-1][mask]
        tau = curio_temperature(theirs[None], torch.ones(1, len(theirs), dtype=torch.bool), low=low, high=high)[0]
        labels = ids[1:][mask][:, None]
        log_p = ours.log_softmax(-1).gather(1, labels)[:, 0]
        log_r = (theirs / tau[:, None]).log_softmax(-1).gather(1, labels)[:, 0]
        values.append(-log_p + lam * 0.5 * (log_p - log_r) ** 2)
        taus.append(tau)
    return torch.cat(values).mean(), torch.cat(taus).mean()


def test_curio_by_hand_against_the_untrained_student(student):
    examples = student.examples(curiosft.METHOD.stages(curiosft.CurioOptions())[0].examples, RECORDS)
    taken = student.step(curio(student, examples, lam=0.7, tau_low=1.2, tau_high=2.0), examples)

    def untrained(ids):
        return student.model(input_ids=ids[None]).logits[0].detach()

    loss, tau = curio_by_hand(student.model, untrained, examples, 0.7, 1.2, 2.0)
    assert taken.loss == pytest.approx(loss.item())
    assert taken.log["tau"] == pytest.approx(tau.item())
    assert taken.loss == pytest.approx(taken.log["nll"] + 0.7 * taken.log["pull"])
    for key, grad in student.gradients(loss).items():
        torch.testing.assert_close(taken.grads[key], grad, rtol=1e-6, atol=1e-9)


def test_curio_without_weight_is_sft_and_keeps_no_copy(student):
    examples = student.examples(sft.METHOD.stages(None)[0].examples, RECORDS)
    objective = curio(student, examples, lam=0.0)
    taken = student.step(objective, examples)
    assert_same_step(dataclasses.replace(taken, log={}), student.step(sft.LikelihoodObjective(), examples))
    assert objective.state_dict() == {}


def test_micro_batches_add_up_for_curio(student):
    examples = student.examples(sft.METHOD.stages(None)[0].examples, RECORDS)
    assert_invariant(student, lambda: curio(student, examples), examples)


def moved(model, seed):
    """The model with other weights, in place."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            weight += 0.1 * torch.randn(weight.shape, generator=draw, dtype=weight.dtype)


def test_the_reference_follows_every_few_steps(tmp_path):
    student = Student(tmp_path)
    examples = student.examples(sft.METHOD.stages(None)[0].examples, RECORDS)
    (batch,) = student.batches(examples)
    objective = curio(student, examples, sync_every=2, ema_mix=0.75)
    reference, kept = copy.deepcopy(student.model), None
    for number in range(5):
        if number in (2, 4):
            with torch.no_grad():
                for mean, weight in zip(reference.parameters(), student.model.parameters(), strict=True):
                    mean.mul_(0.75).add_(weight, alpha=0.25)
        weights = [weight.clone() for weight in student.model.parameters()]
        for _ in range(2):  # two micro-batches see the same reference
            found, _tau = objective.prepare(batch, Step(number, 9))
        logits = score(reference, batch, lambda scores: scores.hidden_BTD @ scores.head_VD.T).detach()
        tau = curio_temperature(logits, batch.mask_RT)
        right = (logits / tau[..., None]).log_softmax(-1).gather(-1, batch.labels_RT.clamp_min(0)[..., None])[..., 0]
        torch.testing.assert_close(found[batch.mask_RT], right[batch.mask_RT])
        for weight, before in zip(student.model.parameters(), weights, strict=True):
            assert torch.equal(weight, before)
        if number == 3:
            kept = copy.deepcopy(objective.state_dict())
        moved(student.model, number) if number < 4 else None
    other = curio(student, examples, sync_every=2, ema_mix=0.75)
    other.load_state_dict(kept)
    torch.testing.assert_close(other.prepare(batch, Step(4, 9))[0], found)
    torch.testing.assert_close(other.state_dict(), objective.state_dict())


def test_the_default_reference_is_the_authors(student):
    """Their code, every 5 steps: ref <- (1 - a) ref + a actor with a = 0.99."""
    examples = student.examples(sft.METHOD.stages(None)[0].examples, RECORDS)
    student.model = copy.deepcopy(student.model)
    objective, batch = curio(student, examples), student.batch(examples)
    reference = copy.deepcopy(dict(student.model.named_parameters()))
    for number in range(1, 11):
        moved(student.model, number)
        objective.prepare(batch, Step(number, 20))
        if number % 5 == 0:
            actor = dict(student.model.named_parameters())
            reference = {name: (1 - 0.99) * mean + 0.99 * actor[name] for name, mean in reference.items()}
        for name, mean in objective.state_dict()["mean"].items():
            torch.testing.assert_close(mean.double(), reference[name].detach(), rtol=1e-6, atol=1e-6)


def test_the_weights_come_back_when_a_pass_fails(student):
    examples = student.examples(sft.METHOD.stages(None)[0].examples, RECORDS)
    objective = curio(student, examples)
    before = [weight.clone() for weight in student.model.parameters()]

    def fail(*_):
        raise RuntimeError("out of memory")

    objective._training = dataclasses.replace(objective._training, forward=fail)
    moved_mean = objective._mean.state_dict()
    for mean in moved_mean.values():
        mean.add_(1.0)
    with pytest.raises(RuntimeError, match="out of memory"):
        objective.prepare(student.batch(examples), Step(0, 1))
    for weight, right in zip(student.model.parameters(), before, strict=True):
        assert torch.equal(weight, right)


def test_sharded_weights_are_refused(tmp_path):
    student = Student(tmp_path)
    student.model.lm_head.weight = torch.nn.Parameter(torch.empty(0, dtype=torch.float64))
    with pytest.raises(ConfigError, match="sharded over devices"):
        curio(student, ())


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        (mcc_kd, {"alpha": "-1"}, "alpha must be 0 or more"),
        (mcc_kd, {"temperature": "0"}, "temperature must be from 0.001 to 1000"),
        (mcc_kd, {"jaccard": "1.1"}, "jaccard must be from 0 to 1"),
        (curiosft, {"lam": "-1"}, "lam must be 0 or more"),
        (curiosft, {"tau_low": "2"}, "tau_low 2.0"),
        (curiosft, {"sync_every": "0"}, "at least 1"),
        (curiosft, {"ema_mix": "2"}, "ema_mix must be from 0 to 1"),
    ],
)
def test_bad_options(method, options, message):
    with pytest.raises(ConfigError, match=message):
        parse_options(method.METHOD.options, options, method.METHOD.name)
