"""Methods whose teacher is the student, told more: what it is told, whose weights it has, what has gradient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from completions import LENGTHS, completions, set_up, with_extra
from objective_steps import Student, Taken, assert_invariant, record

from backends.base import Step, TrainMethod, load_method
from backends.losses.divergence import divergence, token_divergence
from backends.losses.selection import early_and_far
from backends.methods._distributions import DivergenceTerm
from backends.methods._on_policy import OnPolicyObjective
from backends.methods._policy_options import PolicyOptions
from backends.methods.cord import CordOptions
from backends.methods.opsd import OpsdOptions
from backends.methods.sd_zero import SdZeroOptions
from backends.methods.sdft import SdftOptions
from backends.methods.sdpo import SdpoOptions
from backends.records.segments import CODE, Encoded, Encoder, Example
from backends.rollouts.cutting import example_of
from backends.rollouts.types import Credited, Rollout
from backends.teachers.moving import SelfTeacher, SelfTeacherOptions, Which, moved, trained_weights
from harness.errors import ConfigError, DataError

METHODS = ("opsd", "sdft", "sdpo", "cord", "sd_zero")
TOLD = (3, 7, 0, 9)
"""Tokens that each completion's row aside has more in front."""


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Student:
    return Student(tmp_path_factory.mktemp("student"))


def aside(examples: Sequence[Example], told: Sequence[int] = TOLD) -> tuple[Example, ...]:
    """The completions with rows aside that begin with so many tokens more."""
    found = []
    for example, more in zip(examples, told, strict=True):
        (sequence,) = example.sequences
        before = np.random.default_rng(more).integers(0, 256, more).astype(np.int32)
        ids_T = np.concatenate([before, sequence.ids_T])
        segments_T = np.concatenate([np.full(more, CODE["prompt"], np.int8), sequence.segments_T])
        found.append(replace(example, aside=(Encoded(ids_T, segments_T),)))
    return tuple(found)


def made(student: Student, method: str, **options: Any) -> OnPolicyObjective:
    found = load_method(method)
    assert isinstance(found, TrainMethod)
    stage = found.stages(found.options(**options))[-1]
    objective = set_up(stage.objective(), student, completions())
    assert isinstance(objective, OnPolicyObjective)
    return objective


def by_hand(student: Student, examples: Sequence[Example], kind: Any, most: float | None = None) -> torch.Tensor:
    """The mean over tokens, one row at a time, the teacher without gradient."""
    values = []
    for example in examples:
        scores = []
        for (sequence,) in (example.sequences, example.aside):
            ids = torch.tensor(sequence.ids_T, dtype=torch.int64)
            logits = student.model(input_ids=ids[None]).logits[0, :-1]
            scores.append(logits[torch.tensor(sequence.supervised_T[1:])].log_softmax(-1))
        values.append(divergence(scores[0], scores[1].detach(), kind=kind, most=most))
    return torch.cat(values).mean()


# --- the loss ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_a_teacher_that_is_told_nothing_more_teaches_nothing(student: Student, method: str) -> None:
    for told in ({"teacher": "initial"}, {"teacher": "self"}) if method not in ("cord", "sd_zero") else ({},):
        worthless = tuple(replace(one, numbers={}) for one in completions())
        taken = student.step(made(student, method, **told), aside(worthless, (0, 0, 0, 0)))
        assert taken.loss == 0.0
        assert all(float(grad.abs().max()) < 1e-15 for grad in taken.grads.values())


@pytest.mark.parametrize(("kind", "clip"), [("forward_kl", None), ("forward_kl", 0.05), ("reverse_kl", None)])
def test_opsd_is_the_divergence_by_hand_and_only_the_students_branch_has_gradient(
    student: Student, kind: str, clip: float | None
) -> None:
    examples = aside(completions())
    taken = student.step(made(student, "opsd", divergence=kind, clip_tau=clip), examples)
    loss = by_hand(student, examples, kind, clip)
    torch.testing.assert_close(taken.loss, loss.item(), rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(taken.grads, student.gradients(loss), rtol=1e-4, atol=1e-7)
    if clip is None:
        assert "clipped" not in taken.log
    else:
        assert 0 < taken.log["clipped"] <= 1
        assert taken.loss < by_hand(student, examples, kind).item()


def test_the_clip_counts_where_it_clips_and_is_for_kls_alone() -> None:
    student, teacher = (torch.tensor(p).log() for p in ([0.2, 0.3, 0.5], [0.7, 0.2, 0.1]))
    each = 0.7 * np.log(3.5), 0.2 * np.log(2 / 3), 0.1 * np.log(0.2)
    assert float(divergence(student, teacher, kind="forward_kl", most=9.0)) == pytest.approx(sum(each))
    assert float(divergence(student, teacher, kind="forward_kl", most=0.5)) == pytest.approx(0.5 + each[1] + each[2])
    with pytest.raises(ConfigError, match="only a KL"):
        divergence(student, teacher, kind="jsd", most=0.5)


def test_the_top_two_and_the_rest_are_all_of_three() -> None:
    student, teacher = (torch.tensor([[p]]).log() for p in ([0.5, 0.3, 0.2], [0.7, 0.2, 0.1]))
    one = torch.ones(1, 1, dtype=torch.bool)
    values = [
        token_divergence(student, teacher, one, kind="reverse_kl", top_k=k, top_k_of="student", mass="tail").item()
        for k in (2, None)
    ]
    assert values == pytest.approx([0.092033, 0.092033], abs=1e-6)


@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.5, 1.0])
def test_top_k_with_the_rest_is_trl_s(alpha: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")
    from trl.experimental.sdpo.loss_utils import compute_topk_self_distillation_loss

    ours, theirs = (torch.randn(2, 3, 40, generator=torch.Generator().manual_seed(seed)).double() for seed in (0, 1))
    found = token_divergence(
        ours,
        theirs,
        torch.ones(2, 3, dtype=torch.bool),
        kind="jsd",
        beta=alpha,
        top_k=5,
        top_k_of="student",
        mass="tail",
    )
    expected = compute_topk_self_distillation_loss(
        ours, theirs, distillation_topk=5, distillation_alpha=alpha, distillation_add_tail=True
    )
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("method", METHODS)
def test_passes_and_padding_change_nothing(student: Student, method: str) -> None:
    assert_invariant(student, lambda: made(student, method), aside(completions()))


def test_values_move_by_the_masks_alone(student: Student) -> None:
    batch = student.batch(aside(completions()))
    assert batch.aside is not None
    labels_RT = moved(batch.aside.labels_RT, batch.aside, batch)
    assert torch.equal(labels_RT[batch.mask_RT], batch.labels_RT[batch.mask_RT])
    assert int(batch.mask_RT.sum()) == sum(LENGTHS)


# --- whose weights ----------------------------------------------------------------------------------------------------


def shifted(student: Student, by: float) -> None:
    with torch.no_grad():
        for weight in student.model.parameters():
            weight.add_(by)


@pytest.mark.parametrize(("which", "expected"), [("ema", 0.05), ("initial", 0.0)])
def test_the_mean_keeps_what_it_does_not_take(student: Student, which: Which, expected: float) -> None:
    before = {name: weight.clone() for name, weight in trained_weights(student.model, "").items()}
    teacher = SelfTeacher(student.training(()), "opsd", SelfTeacherOptions(which))
    shifted(student, 1.0)
    for _ in range(3):  # a step's micro-batches take it in once
        teacher.follow(Step(1, 9))
    mean = teacher._mean
    assert mean is not None
    for name, value in mean.state_dict().items():
        torch.testing.assert_close(value, before[name] + expected)
    again = SelfTeacher(student.training(()), "opsd", SelfTeacherOptions(which))
    again.load_state_dict(teacher.state_dict())
    again.follow(Step(1, 9))
    if which == "ema":
        assert again._mean is not None
        torch.testing.assert_close(again._mean.state_dict(), mean.state_dict())
    else:
        assert teacher.state_dict() == {}
    shifted(student, -1.0)


def test_a_frozen_teacher_says_the_same_whatever_the_student_becomes(student: Student) -> None:
    batch = student.batch(aside(completions()))
    teacher = SelfTeacher(student.training(()), "opsd", SelfTeacherOptions())
    live = SelfTeacher(student.training(()), "opsd", SelfTeacherOptions("self"))
    before, also = teacher.logps(batch, 1.0), live.logps(batch, 1.0)
    assert torch.equal(before, also)
    shifted(student, 0.05)
    now = {name: weight.clone() for name, weight in student.model.named_parameters()}
    assert torch.equal(teacher.logps(batch, 1.0), before)
    assert not torch.allclose(live.logps(batch, 1.0), before)
    assert all(torch.equal(weight, now[name]) for name, weight in student.model.named_parameters())
    states = teacher.states(batch)
    assert not torch.equal(states.head_VD, student.model.lm_head.weight)  # its own head, kept beside
    shifted(student, -0.05)


def test_with_an_adapter_the_student_as_it_began_is_the_one_without(tmp_path: Path) -> None:
    import peft

    student = Student(tmp_path)
    batch = student.batch(aside(completions()))
    bare = SelfTeacher(student.training(()), "opsd", SelfTeacherOptions("self")).logps(batch, 1.0)
    student.model = peft.get_peft_model(student.model, peft.LoraConfig(r=2, target_modules=["q_proj", "v_proj"]))
    teacher = SelfTeacher(student.training(()), "opsd", SelfTeacherOptions())
    weights = trained_weights(student.model, "")
    with torch.no_grad():
        for weight in weights.values():
            weight.add_(0.3)
    assert torch.equal(teacher.logps(batch, 1.0), bare)
    assert not torch.allclose(
        SelfTeacher(student.training(()), "opsd", SelfTeacherOptions("self")).logps(batch, 1.0), bare
    )
    kept = teacher._mean
    assert kept is not None and len(kept.state_dict()) == len(weights) == 4  # the adapter alone


def test_an_objective_keeps_its_running_mean(student: Student) -> None:
    objective = made(student, "opsd", teacher="ema", rate=0.5)
    examples = aside(completions())
    objective.prepare(student.batch(examples), Step(0, 3))
    shifted(student, 0.1)
    first = objective.prepare(student.batch(examples), Step(1, 3)).teacher.hidden_BTD
    state = objective.state_dict()
    again = made(student, "opsd", teacher="ema", rate=0.5)
    again.load_state_dict(state)
    assert torch.equal(again.prepare(student.batch(examples), Step(1, 3)).teacher.hidden_BTD, first)
    shifted(student, -0.1)
    assert OnPolicyObjective("grpo", PolicyOptions(), []).state_dict() == {}


# --- each method ------------------------------------------------------------------------------------------------------


def rollout(text: str, sample: int = 0) -> Rollout:
    zeros = np.zeros(1, np.float32)
    ids_T = zeros.astype(np.int32)
    return Rollout("r0", 0, sample, 0, ids_T, ids_T, zeros, text, "stop", 0)


def test_a_trace_s_revision_counts_twice(student: Student) -> None:
    (srt, _) = load_method("sd_zero").stages(SdZeroOptions())  # type: ignore[union-attr]
    drawn = replace(
        rollout("", 1), prompt_T=np.array([70, 71, 72, 73, 74], np.int32), tokens_T=np.array([75, 256], np.int32),
        logps_T=np.full(2, -1.0, np.float32),
    )  # fmt: skip
    example = example_of(drawn, Credited(learnt=3), "trained", 0)
    assert example is not None
    (sequence,) = example.sequences
    assert sequence.supervised_T.tolist() == [False] * 2 + [True] * 5
    assert np.isnan(sequence.extras["sampler_logps"]).tolist() == [False] * 2 + [True] * 3 + [False] * 2
    taken = student.step(set_up(srt.objective(), student, [example]), [example])
    (logps_T,) = student.logps([example], 0)
    loss = -(logps_T * torch.tensor([1.0, 1.0, 1.0, 2.0, 2.0])).sum() / 5
    assert taken.loss == pytest.approx(loss.item(), rel=1e-6)
    torch.testing.assert_close(taken.grads, student.gradients(loss), rtol=1e-4, atol=1e-7)


def test_the_stages_of_sd_zero_have_records_of_their_own(student: Student) -> None:
    srt, distill = load_method("sd_zero").stages(SdZeroOptions(srt_share=0.25))  # type: ignore[union-attr]
    records = [record(number) for number in range(4)]
    encoder = Encoder(student.tokenizer, 64)
    assert [one.id for one in srt.examples(encoder, records).examples] == ["r0"]
    assert [one.id for one in distill.examples(encoder, records).examples] == ["r1", "r2", "r3"]
    with pytest.raises(DataError, match="without any"):
        srt.examples(encoder, records[:1])


@pytest.mark.parametrize(
    ("options", "values"),
    [
        (OpsdOptions, {"beta": 0.3}), (OpsdOptions, {"clip_tau": 0.0}), (OpsdOptions, {"rate": 0.1}),
        (OpsdOptions, {"divergence": "jsd", "clip_tau": 1.0}), (SdftOptions, {"alpha": 1.5}),
        (SdftOptions, {"top_k": 0}), (SdpoOptions, {"is_clip": 0.5}), (SdpoOptions, {"teacher": "self", "rate": 0.1}),
        (CordOptions, {"beta": 0.5}), (SdZeroOptions, {"srt_share": 1.5}), (CordOptions, {"distill": -1.0}),
        (SdftOptions, {"teacher": "ema", "rate": 2.0}),
    ],
)  # fmt: skip
def test_options_that_contradict_are_refused(options: Any, values: Mapping[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"must be|no effect"):
        options(**values)


def test_sdpo_weighs_by_the_bounded_ratio_as_trl_does(student: Student, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")
    from trl.experimental.sdpo.loss_utils import (
        apply_importance_sampling_clipping,
        compute_topk_self_distillation_loss,
    )

    examples = aside(completions())
    logps = student.logps(examples, 0)
    old = [found.detach() + torch.linspace(-1.5, 1.0, len(found)) for found in logps]
    taken = student.step(made(student, "sdpo", top_k=5), with_extra(examples, "old_logps", old))
    values = []
    for example, logps_T, old_T in zip(examples, logps, old, strict=True):
        scores = []
        for (sequence,) in (example.sequences, example.aside):
            ids = torch.tensor(sequence.ids_T, dtype=torch.int64)
            scores.append(student.model(input_ids=ids[None]).logits[0, :-1][torch.tensor(sequence.supervised_T[1:])])
        each_T = compute_topk_self_distillation_loss(
            scores[0], scores[1].detach(), distillation_topk=5, distillation_alpha=0.5, distillation_add_tail=True
        )
        values.append(apply_importance_sampling_clipping(each_T, logps_T, old_T.float(), 2.0))
    loss = torch.cat(values).mean()
    torch.testing.assert_close(taken.loss, loss.item(), rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(taken.grads, student.gradients(loss), rtol=1e-4, atol=1e-7)
    plain = student.step(made(student, "sdpo", top_k=5, is_clip=None), examples)
    assert student.step(made(student, "sdpo", top_k=5), examples).loss == plain.loss != taken.loss  # ratio 1: no weight


def test_cord_weighs_what_is_early_and_what_differs_most() -> None:
    values_RT = torch.tensor([[0.0, 9.0, 1.0, 5.0, 2.0, 3.0, 9.0], [9.0, 9.0, 4.0, 9.0, 9.0, 9.0, 9.0]])
    mask_RT = torch.tensor([[0, 1, 1, 1, 1, 1, 0], [0, 0, 1, 0, 0, 0, 0]]).bool()
    plain = early_and_far(values_RT, mask_RT, alpha=1.0, top=20, beta=2.0)
    assert plain.tolist() == [[0.0, 2.0, 1.75, 1.5, 1.25, 1.0, 0.0], [0.0, 0.0, 2.0, 0.0, 0.0, 0.0, 0.0]]
    far = early_and_far(values_RT, mask_RT, alpha=2.0, top=2, beta=1.0)
    assert far.tolist() == [[0.0, 2.0, 1.0, 2.0, 1.0, 1.0, 0.0], [0.0, 0.0, 2.0, 0.0, 0.0, 0.0, 0.0]]
    assert torch.equal(early_and_far(values_RT, mask_RT, alpha=1.0, top=20, beta=1.0), mask_RT.float())


def test_cord_is_reverse_kl_beside_the_reward(student: Student) -> None:
    examples = aside(completions())
    taken = student.step(made(student, "cord", alpha=1.0, beta=1.0), examples)
    assert taken.log["divergence"] == pytest.approx(by_hand(student, examples, "reverse_kl").item(), rel=1e-5)
    assert taken.loss == pytest.approx(taken.log["policy"] + taken.log["divergence"])
    alone = student.step(made(student, "cord", distill=0.0), examples)
    (stage,) = load_method("grpo").stages(PolicyOptions(scale="off"))  # type: ignore[union-attr]
    plain = student.step(set_up(stage.objective(), student, completions()), completions())
    torch.testing.assert_close(alone.grads, plain.grads)


def test_a_divergence_term_weighs_by_its_own_values(student: Student) -> None:
    def taken(**told: Any) -> Taken:
        term = DivergenceTerm("reverse_kl", **told)
        objective = OnPolicyObjective("x", PolicyOptions(weights=""), [term], own=SelfTeacherOptions())
        return student.step(set_up(objective, student, completions()), aside(completions()))

    plain = taken()
    assert taken(by_value=lambda values_RT, mask_RT: 2.0 * mask_RT).loss == pytest.approx(2 * plain.loss)
