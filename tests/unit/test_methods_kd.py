"""Distillation of distributions: values from whole logits, teacher = student, stored top-k, unfit teachers."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from objective_steps import RECORDS, Student, assert_invariant, assert_same_step

from backends.losses.divergence import token_divergence
from backends.methods import kd, sft
from backends.methods.kd import METHOD, KdOptions
from backends.records.segments import Encoder
from backends.records.teacher_top import LOGPS
from harness.errors import ConfigError, DataError
from harness.options import parse_options


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    return Student(tmp_path_factory.mktemp("teacher"), seed=1)


def examples_of(student, records=RECORDS, **options):
    return student.examples(METHOD.stages(KdOptions(**options))[0].examples, records)


def made(student, teacher, examples, **options):
    objective = METHOD.stages(KdOptions(**options))[0].objective()
    training = dataclasses.replace(
        student.training(examples), teacher="hf:t", load=lambda spec: (teacher.model, teacher.tokenizer)
    )
    objective.setup(training)
    return objective


def whole_logits(model, examples):
    """Scores and labels of the response tokens, one after the other."""
    found, labels = [], []
    for example in examples:
        ids = torch.tensor(example.sequences[0].ids_T, dtype=torch.int64)
        mask = torch.tensor(example.sequences[0].supervised_T[1:])
        found.append(model.model(input_ids=ids[None]).logits[0, :-1][mask])
        labels.append(ids[1:][mask])
    return torch.cat(found), torch.cat(labels)


OPTIONS = [
    {},
    {"divergence": "reverse_kl", "temperature": 2.0},
    {"divergence": "forward_kl", "temperature": 3.0, "tau2_scale": True},
    {"divergence": "jsd", "beta": 0.2},
    {"top_k": 5},
    {"top_k": 5, "mass": "tail", "divergence": "reverse_kl"},
]


@pytest.mark.parametrize("options", OPTIONS)
def test_by_hand(student, teacher, options):
    examples = examples_of(student)
    taken = student.step(made(student, teacher, examples, **options), examples)
    ours, labels = whole_logits(student, examples)
    theirs = whole_logits(teacher, examples)[0].detach()
    more = {key: value for key, value in options.items() if key != "divergence"}
    one = torch.ones(1, len(ours), dtype=torch.bool)
    kind = options.get("divergence", "forward_kl")
    loss = token_divergence(ours[None], theirs[None], one, kind=kind, **more).mean()
    assert taken.loss == pytest.approx(loss.item())
    assert taken.log["divergence"] == pytest.approx(loss.item())
    assert taken.log["nll"] == pytest.approx(torch.nn.functional.cross_entropy(ours, labels).item())
    for key, grad in student.gradients(loss).items():
        torch.testing.assert_close(taken.grads[key], grad, rtol=1e-6, atol=1e-9)
    assert all(weight.grad is None for weight in teacher.model.parameters())


def test_forward_kl_is_the_textbook_sum(student, teacher):
    examples = examples_of(student)
    ours, theirs = (whole_logits(model, examples)[0].log_softmax(-1) for model in (student, teacher))
    right = (theirs.exp() * (theirs - ours)).sum(-1).mean().item()
    assert student.step(made(student, teacher, examples), examples).loss == pytest.approx(right)


def test_a_teacher_that_is_the_student_gives_0(student):
    examples = examples_of(student)
    for options in OPTIONS:
        taken = student.step(made(student, student, examples, **options), examples)
        assert taken.loss == pytest.approx(0.0, abs=1e-12)
        assert all(float(grad.abs().max()) < 1e-10 for grad in taken.grads.values())


def test_the_likelihood_beside_it(student):
    examples = examples_of(student)
    taken = student.step(made(student, student, examples, nll_weight=0.5), examples)
    plain = student.step(sft.LikelihoodObjective(), examples)
    assert taken.loss == pytest.approx(plain.loss / 2)
    for key, grad in plain.grads.items():
        torch.testing.assert_close(taken.grads[key], grad / 2, rtol=1e-6, atol=1e-9)


def test_padding_rows_of_the_vocabulary_do_not_count(tmp_path, student, teacher):
    wide = Student(tmp_path, seed=1)
    wide.model.resize_token_embeddings(320, mean_resizing=False)
    wide.model.double()
    with torch.no_grad():
        for name, weight in teacher.model.named_parameters():
            target = dict(wide.model.named_parameters())[name]
            target[: len(weight)].copy_(weight)
    examples = examples_of(student)
    right = student.step(made(student, teacher, examples), examples)
    assert_same_step(student.step(made(student, wide, examples), examples), right)


# --- stored distributions -------------------------------------------------------------------------------------------


def stored(student, teacher, records=RECORDS, keep=259, shuffle=False):
    """The records with the teacher's likeliest tokens at each response token."""
    found = []
    for one, example in zip(records, examples_of(student, records), strict=True):
        logps = whole_logits(teacher, [example])[0].detach().log_softmax(-1)
        top = logps.topk(keep)
        order = torch.arange(keep - 1, -1, -1) if shuffle else torch.arange(keep)
        rows = {"ids": top.indices[:, order].tolist(), "logprobs": top.values[:, order].tolist()}
        found.append(dataclasses.replace(one, meta={"teacher_topk": rows}))
    return found


@pytest.mark.parametrize("options", [{}, {"top_k": 4, "mass": "tail"}, {"top_k": 4, "divergence": "jsd"}])
def test_stored_is_the_teacher(student, teacher, options):
    examples = examples_of(student)
    live = student.step(made(student, teacher, examples, **options), examples)
    records = stored(student, teacher, shuffle=True)
    examples = examples_of(student, records, source="stored")
    taken = student.step(made(student, None, examples, source="stored", **options), examples)
    torch.testing.assert_close(taken.loss, live.loss, rtol=1e-5, atol=1e-7)
    for key, grad in live.grads.items():
        torch.testing.assert_close(taken.grads[key], grad, rtol=1e-3, atol=1e-6)


def test_stored_rows_of_different_length_fit_into_one_batch(student, teacher):
    records = stored(student, teacher, keep=3)
    short = records[0].meta["teacher_topk"]
    short["ids"][1], short["logprobs"][1] = short["ids"][1][:1], short["logprobs"][1][:1]
    records[1] = stored(student, teacher, keep=6)[1]
    examples = examples_of(student, records, source="stored")
    assert {example.sequences[0].extras[LOGPS].shape[1] for example in examples} == {6}
    assert_invariant(student, lambda: made(student, None, examples, source="stored", mass="tail"), examples)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda meta: {}, "record 'r0' has no stored teacher distributions"),
        (
            lambda meta: {"teacher_topk": {"ids": meta["ids"][:-1], "logprobs": meta["logprobs"][:-1]}},
            "the response has",
        ),
        (lambda meta: {"teacher_topk": {"ids": meta["ids"], "logprobs": meta["logprobs"][:-1]}}, "as many rows"),
        (lambda meta: {"teacher_topk": {**meta, "ids": [["a"], *meta["ids"][1:]]}}, "row 0 needs as many ids"),
        (lambda meta: {"teacher_topk": {**meta, "ids": [["a", "b"], *meta["ids"][1:]]}}, "must be token numbers"),
        (lambda meta: {"teacher_topk": {**meta, "logprobs": [[-0.1, -0.1], *meta["logprobs"][1:]]}}, "sum to 1.810"),
        (lambda meta: {"teacher_topk": {**meta, "logprobs": [[0.1, -9.0], *meta["logprobs"][1:]]}}, "at most 0"),
    ],
)
def test_stored_distributions_that_do_not_fit(student, teacher, change, message):
    (one,) = stored(student, teacher, RECORDS[:1], keep=2)
    bad = dataclasses.replace(one, meta=change(one.meta["teacher_topk"]))
    with pytest.raises(DataError, match=message):
        examples_of(student, [bad], source="stored")


def test_an_id_outside_the_vocabulary(student, teacher):
    (one,) = stored(student, teacher, RECORDS[:1], keep=2)
    one.meta["teacher_topk"]["ids"][0][0] = 5000
    examples = examples_of(student, [one], source="stored")
    with pytest.raises(DataError, match="5000 is outside"):
        student.step(made(student, None, examples, source="stored"), examples)


# --- teachers and options -------------------------------------------------------------------------------------------


def test_another_tokenizer_is_refused(tmp_path, student, teacher):
    other = Student(tmp_path)
    other.tokenizer.add_tokens(["extra"])
    with pytest.raises(ConfigError, match="'hf:t' is not the student's: the vocabularies differ"):
        made(student, other, examples_of(student))


def test_no_teacher_is_refused(student):
    objective = METHOD.stages(KdOptions())[0].objective()
    with pytest.raises(ConfigError, match="--teacher"):
        objective.setup(student.training(examples_of(student)))


@pytest.mark.parametrize("options", OPTIONS[:4])
def test_micro_batches_add_up_and_padding_does_nothing(student, teacher, options):
    examples = examples_of(student)
    assert_invariant(student, lambda: made(student, teacher, examples, **options), examples)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"divergence": "tvd"}, "one of forward_kl"),
        ({"beta": "2"}, "beta must be from 0 to 1"),
        ({"temperature": "0"}, "temperature must be from 0.001 to 1000"),
        ({"top_k": "0"}, "top_k must be at least 1"),
        ({"nll_weight": "-1"}, "0 or more"),
        ({"source": "stored", "mass": "tail", "temperature": "2"}, "needs temperature 1"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ConfigError, match=message):
        parse_options(KdOptions, options, "kd")


def test_segments_are_those_of_sft(student):
    encoder = Encoder(student.tokenizer, 512)
    assert kd.METHOD.stages(KdOptions())[0].examples(encoder, RECORDS).tokens == sft.METHOD.stages(None)[0].examples(
        encoder, RECORDS
    ).tokens  # fmt: skip
