"""The objective of on-policy methods on completions made by hand: terms, counts, references, teachers."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
import torch
from completions import CREDIT, LENGTHS, completions, set_up, with_extra
from drawn_groups import group as drawn
from objective_steps import Student, Taken, assert_invariant, assert_same_step

from backends.base import Step
from backends.losses.credit import normalised_sum
from backends.losses.policy import log_ratio_of, over_step, surrogate
from backends.methods._on_policy import OnPolicyObjective
from backends.methods._policy_options import VARIANTS, PolicyOptions, group_credit, keep_all
from backends.methods._teacher_rl import (
    TeacherOptions,
    d_added,
    d_alone,
    d_for_wrong,
    d_until,
    policy_stage,
    scaled_by_d,
    towards_teacher,
)
from backends.methods._terms import Beside, EntropyTerm, KlTerm, NllTerm, PolicyTerm
from backends.methods.gkd import GkdOptions
from backends.methods.kd import DistillObjective
from backends.rollouts.types import RolloutGroup, RolloutMark
from harness.errors import ConfigError, DataError


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Student:
    return Student(tmp_path_factory.mktemp("student"))


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Student:
    return Student(tmp_path_factory.mktemp("teacher"), seed=1)


def made(student: Student, teacher: Student | None = None, *, rollout: Any = None, **options: Any) -> Any:
    rule = options.pop("rule", None)
    stage = policy_stage("m", TeacherOptions(**options), {}, rule=rule, teacher=teacher is not None)
    return set_up(stage.objective(), student, completions(), teacher, **(rollout or {}))


def moved(logps: list[torch.Tensor]) -> list[torch.Tensor]:
    """Log-probabilities of a policy that is a little another one."""
    draw = torch.Generator().manual_seed(5)
    return [own.detach() + 0.3 * torch.randn(len(own), generator=draw, dtype=torch.float64) for own in logps]


@pytest.mark.parametrize("variant", [*VARIANTS])
def test_a_step_by_hand(student: Student, variant: Any) -> None:
    found = [logps.double() for logps in student.logps(completions(), 0)]
    olds = moved(found)
    examples = with_extra(completions(), "old_logps", olds)
    how = VARIANTS[variant]
    loss = torch.zeros((), dtype=torch.float64)
    for logps, old, credit in zip(found, olds, CREDIT, strict=True):
        old, one = old.float().double(), torch.ones(1, len(logps))
        ratio = log_ratio_of(logps[None], old[None], one, level=how.level)
        advantage = torch.tensor([credit["advantage"]])
        values = surrogate(logps[None], ratio, advantage, one, clip=how.clip, low=how.low, high=how.high).loss_RT
        loss = loss + over_step(values, one, norm=how.norm, tokens=sum(LENGTHS), rows=len(LENGTHS), width=8)
    taken = student.step(made(student, variant=variant), examples)
    assert taken.loss == pytest.approx(loss.item(), rel=1e-6)
    for name, gradient in student.gradients(loss).items():
        torch.testing.assert_close(taken.grads[name], gradient, rtol=1e-5, atol=1e-8)
    assert {"policy", "entropy", "entropy_top", "ratio", "clip_low", "clip_high"} <= set(taken.log)
    assert taken.log["entropy_top"] > taken.log["entropy"] > 0


@pytest.mark.parametrize(
    "options",
    [
        *({"variant": variant} for variant in VARIANTS),
        {"kl_coef": 0.1}, {"kl_coef": 0.1, "kl": "exact"}, {"entropy_coef": 0.01}, {"correction": "token_truncate"},
    ],
)  # fmt: skip
def test_micro_batches_add_up_and_padding_changes_nothing(student: Student, options: Any) -> None:
    olds = [logps.detach() - 0.2 for logps in student.logps(completions(), 0)]
    examples = with_extra(with_extra(completions(), "old_logps", olds), "sampler_logps", [old + 0.1 for old in olds])
    assert_invariant(student, lambda: made(student, **options), examples)


def exactly(first: Taken, second: Taken) -> None:
    assert first.loss == second.loss
    assert all(torch.equal(first.grads[name], second.grads[name]) for name in second.grads)


REDUCTIONS = {
    "kdrl b 0": d_added(0.0, "none"),
    "kdrl mask b 0": d_added(lambda step: 0.0, "response"),
    "trrd a 1": towards_teacher(1.0, 1.0),
    "rlsd l 0": scaled_by_d(0.0, 0.2),
    "opd_then_rl S 0": d_until(0),
}


@pytest.mark.parametrize("name", [*REDUCTIONS])
@pytest.mark.parametrize("options", [{}, {"variant": "dapo"}, {"variant": "gspo", "low": 0.3, "high": 0.3}])
def test_reduces_to_grpo_to_the_byte(student: Student, teacher: Student, name: str, options: Any) -> None:
    examples = with_extra(completions(), "old_logps", moved(student.logps(completions(), 0)))
    grpo = student.step(made(student, **options), examples)
    reduced = student.step(made(student, teacher, rule=REDUCTIONS[name], **options), examples)
    exactly(reduced, grpo)
    assert any(bool(gradient.abs().sum()) for gradient in grpo.grads.values())


def test_opd_then_rl_is_opd_before_its_step(student: Student, teacher: Student) -> None:
    examples = completions()
    exactly(
        student.step(made(student, teacher, rule=d_until(1)), examples),
        student.step(made(student, teacher, rule=d_alone(1.0)), examples),
    )


NEEDS_NOTHING_OF_IT = {"opd": d_alone(1.0), "hdpo": d_added(2e-3, "group"), "srpo": d_for_wrong}


@pytest.mark.parametrize("name", [*NEEDS_NOTHING_OF_IT])
def test_a_teacher_that_is_the_student_teaches_exactly_nothing(student: Student, name: str) -> None:
    unmarked = completions([{"dead": 1.0}] * len(LENGTHS))
    taken = student.step(made(student, student, rule=NEEDS_NOTHING_OF_IT[name]), unmarked)
    assert taken.loss == 0 and all(not bool(gradient.any()) for gradient in taken.grads.values())
    assert taken.log["teacher_k1"] == 0


def test_a_teacher_that_is_the_student_changes_nothing_in_the_others(student: Student) -> None:
    grpo = student.step(made(student), completions())
    for rule in (d_added(0.5, "none"), scaled_by_d(0.5, 0.2)):
        exactly(student.step(made(student, student, rule=rule), completions()), grpo)


def test_opd_s_gradient_is_that_of_d_as_an_advantage(student: Student, teacher: Student) -> None:
    ours, theirs = student.logps(completions(), 0), teacher.logps(completions(), 0)
    gaps = [(right - own).detach() for own, right in zip(ours, theirs, strict=True)]
    loss = -sum((gap * own).sum() for gap, own in zip(gaps, ours, strict=True)) / sum(LENGTHS)
    taken = student.step(made(student, teacher, rule=d_alone(1.0), norm="token", clip="off"), completions())
    for name, gradient in student.gradients(loss).items():
        torch.testing.assert_close(taken.grads[name], gradient, rtol=1e-5, atol=1e-8)
    mean = sum(gap.sum() for gap in gaps) / sum(LENGTHS)
    assert taken.log["teacher_k1"] == pytest.approx(-mean.item(), rel=1e-5)
    assert taken.loss == pytest.approx(-mean.item(), rel=1e-5)  # the ratio is 1


def test_everything_is_at_the_sampling_temperature(student: Student, teacher: Student) -> None:
    examples, rollout = completions(), {"temperature": 0.5}
    hot = [torch.cat([logps]) for logps in student.logps(examples, 0)]
    taken = student.step(made(student, student, rollout=rollout, rule=d_alone(1.0)), examples)
    assert taken.loss == 0  # both sides alike
    drawn = with_extra(examples, "sampler_logps", hot)
    assert student.step(made(student), drawn).log["sampler_gap"] == pytest.approx(0, abs=1e-6)
    assert student.step(made(student, rollout=rollout), drawn).log["sampler_gap"] > 0.1


def test_the_distance_to_the_beginning_is_zero_there_and_grows(student: Student) -> None:
    for kl in ("k2", "k3", "exact"):
        objective = made(student, kl_coef=0.5, kl=kl)
        none = completions([{"advantage": 0.0}] * len(LENGTHS))
        start = student.step(objective, none)
        assert start.log["kl_reference"] == pytest.approx(0, abs=1e-12) and start.loss == pytest.approx(0, abs=1e-12)
        before = {name: weight.clone() for name, weight in student.model.named_parameters()}
        with torch.no_grad():
            for weight in student.model.parameters():
                weight.mul_(1.1)
        moved = student.step(objective, none)
        for name, weight in student.model.named_parameters():  # the pass of the reference left them as they were
            assert torch.equal(weight, before[name] * 1.1)
        with torch.no_grad():
            for name, weight in student.model.named_parameters():
                weight.copy_(before[name])
        assert moved.log["kl_reference"] > 1e-3 and moved.loss == pytest.approx(0.5 * moved.log["kl_reference"])


def test_the_correction_weighs_tokens_by_the_sampler(student: Student) -> None:
    logps = student.logps(completions(), 0)
    examples = with_extra(completions(), "sampler_logps", [own.detach() - math.log(1.5) for own in logps])
    plain = student.step(made(student), examples)
    weighed = student.step(made(student, correction="token_truncate", cap=1.2), examples)
    assert weighed.log["sampler_weight"] == pytest.approx(1.2)
    assert weighed.loss == pytest.approx(1.2 * plain.loss, rel=1e-5)
    assert plain.log["sampler_gap"] == pytest.approx(math.log(1.5), rel=1e-4)


def test_the_sampler_is_compared_whatever_the_terms_are(student: Student, teacher: Student) -> None:
    logps = [own.detach() for own in student.logps(completions(), 0)]
    drawn = [own - 0.25 if number else torch.full_like(own, math.nan) for number, own in enumerate(logps)]
    examples = with_extra(completions(), "sampler_logps", drawn)  # the first is a record's own response
    for objective in (
        set_up(OnPolicyObjective("m", PolicyOptions(), [NllTerm()]), student, completions()),
        set_up(DistillObjective(GkdOptions().as_kd(), "gkd"), student, completions(), teacher),
    ):
        assert student.step(objective, examples).log["sampler_gap"] == pytest.approx(0.25, rel=1e-4)
        given = with_extra(completions(), "sampler_logps", [torch.full_like(own, math.nan) for own in logps])
        assert "sampler_gap" not in student.step(objective, given).log  # nothing was drawn: no number, never 0
        assert_invariant(student, lambda made=objective: made, examples)
    alone = DistillObjective(GkdOptions().as_kd(), "kd")  # of the records' responses
    alone.setup(dataclasses.replace(student.training(completions()), teacher="t", load=lambda spec: (
        teacher.model, teacher.tokenizer)))  # fmt: skip
    assert "sampler_gap" not in student.step(alone, examples).log


def test_another_policy_than_the_latest_drew(student: Student) -> None:
    logps = [own.detach() for own in student.logps(completions(), 0)]
    examples = with_extra(completions(), "old_logps", [own - 0.5 for own in logps])
    examples = with_extra(examples, "sampler_logps", [own - 0.5 for own in logps])
    assert student.step(made(student), examples).log["sampler_gap"] == pytest.approx(0, abs=1e-5)


def test_each_term_divides_by_its_own_count(student: Student) -> None:
    options = PolicyOptions(norm="token")
    terms = [PolicyTerm(options.surrogates()), NllTerm()]
    both = set_up(OnPolicyObjective("m", options, terms), student, completions())
    alone = set_up(OnPolicyObjective("m", options, [NllTerm()]), student, completions())
    right = -student.logps(completions(), 0)[0].sum() / LENGTHS[0]  # of the only one that is right
    assert student.step(alone, completions()).loss == pytest.approx(right.item())
    policy = student.step(made(student, norm="token"), completions()).loss
    assert student.step(both, completions()).loss == pytest.approx(policy + right.item())
    assert_invariant(student, lambda: set_up(OnPolicyObjective("m", options, terms), student, ()), completions())


def test_a_term_that_nothing_counts_for_is_zero(student: Student) -> None:
    wrong = completions([{"correct": 0.0}] * len(LENGTHS))
    objective = set_up(OnPolicyObjective("m", PolicyOptions(), [NllTerm()]), student, wrong)
    taken = student.step(objective, wrong)
    assert taken.loss == 0 and not any(bool(gradient.any()) for gradient in taken.grads.values())


def test_advantages_by_token_take_the_place_of_the_completion_s(student: Student) -> None:
    same = with_extra(
        completions(), "advantages",
        [torch.full((length,), credit["advantage"]) for length, credit in zip(LENGTHS, CREDIT, strict=True)],
    )  # fmt: skip
    assert_same_step(student.step(made(student), same), student.step(made(student), completions()))


def test_each_completion_may_have_its_own_clip(student: Student) -> None:
    olds = [logps.detach() - 0.3 for logps in student.logps(completions(), 0)]
    own = completions([{**credit, "clip": 0.5} for credit in CREDIT])
    wide = student.step(made(student, low=0.5, high=0.5), with_extra(completions(), "old_logps", olds))
    exactly(student.step(made(student), with_extra(own, "old_logps", olds)), wide)


def test_the_entropy_bonus_pulls_up(student: Student) -> None:
    none = completions([{"advantage": 0.0}] * len(LENGTHS))
    taken = student.step(made(student, entropy_coef=0.1), none)
    assert taken.log["entropy_bonus"] == pytest.approx(-taken.log["entropy"], rel=1e-5)
    assert taken.loss == pytest.approx(-0.1 * taken.log["entropy"], rel=1e-5)


def test_a_teacher_that_ends_otherwise(student: Student, teacher: Student) -> None:
    ending = Student.__new__(Student)
    ending.model, ending.tokenizer = (
        teacher.model,
        type(teacher.tokenizer)(tokenizer_object=teacher.tokenizer._tokenizer),
    )
    ending.tokenizer.add_special_tokens({"eos_token": "<|pad|>", "pad_token": "<|pad|>", "bos_token": "<|start|>"})
    with pytest.raises(ConfigError, match=r"eos_token_id is 256 .* \(end=mask\)"):
        made(student, ending, rule=d_alone(1.0))
    masked = student.step(made(student, ending, rule=d_alone(1.0), end="mask", norm="token"), completions())
    ours, theirs = student.logps(completions(), 0), teacher.logps(completions(), 0)
    mean = sum((own - right).detach()[:-1].sum() for own, right in zip(ours, theirs, strict=True)) / sum(LENGTHS)
    assert masked.log["teacher_k1"] == pytest.approx(mean.item(), rel=1e-5)  # every completion's end is left out
    going_on = completions(ended=False)
    assert_same_step(
        student.step(made(student, ending, rule=d_alone(1.0), end="mask"), going_on),
        student.step(made(student, teacher, rule=d_alone(1.0)), going_on),
    )


def test_no_teacher_is_told(student: Student) -> None:
    stage = policy_stage("opd", TeacherOptions(), {}, rule=d_alone(1.0), teacher=True)
    with pytest.raises(ConfigError, match=r"opd needs a teacher's weights: --teacher SPEC$"):
        set_up(stage.objective(), student, completions())


def group(*values: float | None, correct: tuple[bool | None, ...] = ()) -> RolloutGroup:
    found = drawn(texts=("a",) * len(values))
    rights = correct or tuple(None if value is None else value > 0 for value in values)
    marks = tuple(RolloutMark(value, correct=right) for value, right in zip(values, rights, strict=True))
    return dataclasses.replace(found, marks=marks)


STEP = Step(0, 1)


def test_credit_of_a_group() -> None:
    (found, dead, alone) = group_credit("population")([group(1, 0, None, 0), group(0, 0), group(1, None)], STEP)
    assert [credit.keep for credit in found] == [True, True, False, True]
    assert [credit.numbers["correct"] for credit in found] == [1, 0, 0, 0]
    assert found[0].numbers["advantage"] == pytest.approx(2**0.5, rel=1e-3)
    assert {credit.numbers["dead"] for credit in found} == {0}
    assert [(credit.keep, credit.numbers) for credit in dead] == [(True, {"advantage": 0, "correct": 0, "dead": 1})] * 2
    assert not any(credit.keep for credit in alone)  # one compares with nobody


def test_credit_by_task_reads_the_records_tasks() -> None:
    def of(task: str, *values: float) -> RolloutGroup:
        made = group(*values)
        return dataclasses.replace(made, record=dataclasses.replace(made.record, task=task))

    groups = [of("yield", 100, 0), of("name", 1, 0)]
    by_task, together = (group_credit(scale)(groups, STEP) for scale in ("task", "batch"))
    (first, second), (wide, drowned) = ([row[0].numbers["advantage"] for row in rows] for rows in (by_task, together))
    assert first == pytest.approx(second, rel=1e-3) and wide > 50 * drowned


def test_credit_without_a_verifier_is_told_where_it_is_asked_for() -> None:
    unknown = group(1, 0, correct=(None, None))
    assert all(credit.keep for credit in group_credit("sample")([unknown], STEP)[0])
    with pytest.raises(DataError, match="no reward says whether"):
        group_credit("sample", verified=True)([unknown], STEP)
    assert [credit.numbers for credit in keep_all([unknown], STEP)[0]] == [{}, {}]


def test_rewards_may_be_normalised_before_they_are_summed() -> None:
    def of(*rows: tuple[float | None, float]) -> RolloutGroup:
        found = group(*(first for first, _ in rows))
        marks = tuple(
            dataclasses.replace(mark, parts={"a": first, "b": second, "seen": None})
            for mark, (first, second) in zip(found.marks, rows, strict=True)
        )
        return dataclasses.replace(found, marks=marks)

    groups = [of((1, 0), (0, 100), (None, 50), (0, 0)), of((1, 7), (1, 7))]
    (stage,) = [policy_stage("m", PolicyOptions(total="normalise_then_sum", weights="a=1+b=2+seen=0"), {})]
    assert stage.rolling is not None
    first, flat = stage.rolling.credit(groups, STEP)
    assert [credit.keep for credit in first] == [True, True, False, True]
    parts = [torch.tensor([[1, 0, math.nan, 0], [0, 100, 50, 0]]), torch.tensor([[1.0, 1], [7, 7]])]
    right = normalised_sum(parts, torch.tensor([1.0, 2]))
    assert [first[i].numbers["advantage"] for i in (0, 1, 3)] == pytest.approx([right[0][i].item() for i in (0, 1, 3)])
    assert flat[0].numbers["advantage"] == pytest.approx(right[1][0].item())
    with pytest.raises(ValueError, match="scale has no effect"):
        PolicyOptions(total="normalise_then_sum", scale="off")


def test_options_without_effect_are_refused() -> None:
    for options in ({"most": 4.0}, {"cap": 3.0}, {"kl": "k3"}):
        with pytest.raises(ValueError, match="no effect"):
            PolicyOptions(**options)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="above 1"):
        PolicyOptions(cap=1.0)
    assert PolicyOptions(variant="dapo").surrogates().high == 0.28
    assert PolicyOptions(variant="dapo", high=0.3).surrogates().high == 0.3


def test_terms_say_what_they_read() -> None:
    assert KlTerm("k2", 0.1).wants == ("reference",) and KlTerm("exact", 0.1).wants == ("reference states",)
    assert EntropyTerm(0.1).wants == () and Beside().teacher_RT is None
