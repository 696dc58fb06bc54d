"""GKD, MiniLLM and TSD-KD on completions made by hand: TRL's distillation, what they reduce to, what adds up."""

from __future__ import annotations

import dataclasses
import math
from collections import defaultdict
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from completions import LENGTHS, PROMPT, completions, set_up, with_extra
from objective_steps import Student, Taken, assert_invariant
from torch import Tensor

from backends.base import TrainMethod, load_method
from backends.methods import gkd, kd, minillm, opd, tsd_kd
from backends.methods.minillm import discounted_mean
from backends.records.segments import tokenise
from harness.errors import ConfigError
from harness.options import parse_options


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Student:
    return Student(tmp_path_factory.mktemp("student"))


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Student:
    return Student(tmp_path_factory.mktemp("teacher"), seed=1)


def step(student: Student, teacher: Student, method: str, **options: Any) -> Taken:
    return student.step(made(student, teacher, method, **options), completions())


def made(student: Student, teacher: Student, method: str, **options: Any) -> Any:
    found = load_method(method)
    assert isinstance(found, TrainMethod)
    (stage,) = found.stages(found.options(**options))
    return set_up(stage.objective(), student, completions(), teacher)


def exactly(first: Taken, second: Taken) -> None:
    assert first.loss == second.loss
    assert all(torch.equal(first.grads[name], second.grads[name]) for name in second.grads)


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
def test_gkd_is_trl_s_distillation(student: Student, teacher: Student, beta: float) -> None:
    from trl import DistillationTrainer

    batch = student.batch(completions())
    ids, mask = batch.inputs["input_ids"], batch.inputs["attention_mask"]

    def states(model: Any, input_ids: Tensor, attention_mask: Tensor, keep: int, **_: Any) -> Tensor:
        found: Tensor = model.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return found[:, -keep - 1 : -1]

    trainer = SimpleNamespace(
        beta=beta, temperature=1.0, teacher_model=teacher.model, _get_last_hidden_state=states, aux_loss_enabled=False,
        accelerator=SimpleNamespace(
            unwrap_model=lambda model: model, gather=lambda x: x, num_processes=1, reduce=lambda x, reduction: x
        ),
        _forward_redirection=lambda wrapper, model, function, *more, **named: function(*more, **named),
        _metrics=defaultdict(lambda: defaultdict(list)), model=student.model,
        args=SimpleNamespace(average_tokens_across_devices=False), top_k=None, top_p=None,
        loss_chunk_size=None, _chunk_size=None,
    )  # fmt: skip
    inputs = {
        "prompt_ids": ids[:, :PROMPT], "prompt_mask": mask[:, :PROMPT],
        "completion_ids": ids[:, PROMPT:], "completion_mask": mask[:, PROMPT:],
    }  # fmt: skip
    found = DistillationTrainer._compute_loss(trainer, student.model, inputs, torch.tensor(sum(LENGTHS)))
    theirs = found[0] if isinstance(found, tuple) else found
    ours = step(student, teacher, "gkd", lam=1.0, beta=beta)
    assert ours.loss == pytest.approx(theirs.item(), rel=1e-5)
    for name, gradient in student.gradients(theirs).items():
        torch.testing.assert_close(ours.grads[name], gradient, rtol=1e-4, atol=1e-7)


def test_gkd_that_draws_nothing_is_kd(student: Student, teacher: Student) -> None:
    (stage,) = gkd.stages(gkd.GkdOptions(lam=0.0, beta=0.3))
    (other,) = kd.stages(kd.KdOptions("jsd", beta=0.3))
    assert stage.rolling is None and stage.needs == other.needs and stage.examples is other.examples is tokenise
    ours, theirs = (set_up(one.objective(), student, completions(), teacher) for one in (stage, other))
    exactly(student.step(ours, completions()), student.step(theirs, completions()))
    needs = [gkd.stages(gkd.GkdOptions(lam=lam))[0].needs for lam in (0.5, 1.0)]
    assert needs == [("prompt", "response"), ("prompt",)]


@pytest.mark.parametrize("name", ["gkd", "minillm"])
def test_a_teacher_that_is_the_student_teaches_nothing(student: Student, name: str) -> None:
    taken = step(student, student, name)
    assert taken.loss == 0 and all(gradient.abs().max() < 1e-12 for gradient in taken.grads.values())


def test_minillm_reduces_to_opd_and_to_gkd_to_the_byte(student: Student, teacher: Student) -> None:
    near = step(student, teacher, "minillm", gamma=0.0, alpha2=0.0, clip="off", teacher_mix=0.0, correction="none")
    exactly(near, step(student, teacher, "opd"))
    exactly(step(student, teacher, "minillm", alpha1=0.0), step(student, teacher, "gkd", lam=1.0, beta=1.0))


def test_a_mixture_that_is_not_weighed_is_refused() -> None:
    with pytest.raises(ConfigError, match="has to be weighed"):
        parse_options(minillm.MinillmOptions, {"correction": "none"}, "minillm")
    assert parse_options(minillm.MinillmOptions, {"cap": "3"}, "minillm").cap == 3.0


def test_what_minillm_draws_from_a_mixture_is_weighed(student: Student, teacher: Student) -> None:
    """The policy's share by pi over the mixture, here 1.1 at every token; the exact KL as it is."""
    mixed = [logps.detach() - math.log(1.1) for logps in student.logps(completions(), 0)]
    drawn = with_extra(completions(), "sampler_logps", mixed)

    def taken(**options: Any) -> Taken:
        return student.step(made(student, teacher, "minillm", **options), drawn)

    plain = taken(alpha2=0.0, teacher_mix=0.0, correction="none")
    weighed = taken(alpha2=0.0)
    assert weighed.loss == pytest.approx(1.1 * plain.loss) and weighed.log["sampler_weight"] == pytest.approx(1.1)
    exact = taken(alpha1=0.0, teacher_mix=0.0)
    assert taken().loss == pytest.approx(weighed.loss + exact.loss) and taken(alpha1=0.0).loss == exact.loss
    with pytest.raises(ValueError, match="below 1"):
        minillm.MinillmOptions(teacher_mix=1.0)


def test_what_comes_of_a_token() -> None:
    d = torch.tensor([[9.0, 1.0, 2.0, 4.0, 9.0]])
    mask = torch.tensor([[False, True, True, True, False]])
    assert discounted_mean(d, mask, 0.0).tolist() == [[0, 1, 2, 4, 0]]
    assert discounted_mean(d, mask, 1.0)[0].tolist() == pytest.approx([0, 7 / 3, 3, 4, 0])
    assert discounted_mean(d, mask, 0.5)[0, 1].item() == pytest.approx((1 + 1 + 1) / 1.75)


def test_tsd_kd_without_its_parts_is_gkd(student: Student, teacher: Student) -> None:
    plain = step(student, teacher, "tsd_kd", gate="off", alpha=0.0, em=0.0)
    exactly(plain, step(student, teacher, "gkd", lam=1.0, beta=0.9))


def test_tsd_kd_s_terms_by_hand(student: Student, teacher: Student) -> None:
    taken = step(student, teacher, "tsd_kd")
    ours, theirs = (whole(model) for model in (student, teacher))
    opener, uncertain, gated = [], [], []
    for own, right in zip(ours, theirs, strict=True):
        own_p, right_p = own.log_softmax(-1), right.log_softmax(-1)
        own_h, right_h = (-(p.exp() * p).sum(-1) for p in (own_p, right_p))
        spent, rows = own_h.cumsum(0) - own_h, []
        for t in (spent < 0.1 * own_h.sum()).nonzero().flatten().tolist():
            ids = own[t].topk(10).indices
            z = own[t][ids[right[t][ids].argsort(descending=True)]]
            rows.append(sum(z[j:].logsumexp(0) - z[j] for j in range(10)))
        opener.append(torch.stack(rows).mean())
        uncertain.append(own_h.topk(max(1, math.ceil(len(own_h) * 0.1))).values.mean())
        m = 0.9 * right_p.exp() + 0.1 * own_p.exp()
        jsd = 0.9 * (right_p.exp() * (right_p - m.log())).sum(-1) + 0.1 * (own_p.exp() * (own_p - m.log())).sum(-1)
        gated.append(torch.sigmoid(own_h - right_h) * jsd)
    mean = [torch.stack(opener).mean().item(), torch.stack(uncertain).mean().item(), torch.cat(gated).mean().item()]
    assert [taken.log[name] for name in ("opener", "uncertain", "divergence")] == pytest.approx(mean, rel=1e-5)
    assert taken.loss == pytest.approx(0.1 * mean[0] + mean[1] + mean[2], rel=1e-5)


def whole(model: Student) -> list[Tensor]:
    """Scores of each completion's tokens."""
    found = []
    for example in completions():
        ids = torch.tensor(example.sequences[0].ids_T, dtype=torch.int64)
        found.append(model.model(input_ids=ids[None]).logits[0, PROMPT - 1 : -1].detach())
    return found


@pytest.mark.parametrize("name", ["gkd", "minillm", "tsd_kd"])
def test_micro_batches_add_up_and_padding_changes_nothing(student: Student, teacher: Student, name: str) -> None:
    olds = [logps.detach() - 0.1 for logps in student.logps(completions(), 0)]
    examples = with_extra(completions(), "old_logps", olds)
    assert_invariant(student, lambda: made(student, teacher, name), examples)


def test_options_without_effect_are_refused() -> None:
    for options, told in (
        (tsd_kd.TsdKdOptions, {"gate": "off", "tau": 2.0}), (tsd_kd.TsdKdOptions, {"alpha": 0.0, "top_k": 5}),
        (tsd_kd.TsdKdOptions, {"em": 0.0, "em_top": 0.9}), (gkd.GkdOptions, {"mass": "renormalise"}),
    ):  # fmt: skip
        with pytest.raises(ValueError, match="no effect"):
            options(**told)
    with pytest.raises(ValueError, match="nothing is left"):
        minillm.MinillmOptions(alpha1=0.0, alpha2=0.0)
    assert dataclasses.is_dataclass(opd.OpdOptions)
