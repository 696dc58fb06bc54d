"""Methods whose teacher reads once what was drawn: SCOPE, Lightning OPD, and how its word reaches the loss."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from completions import LENGTHS, completions, set_up, with_extra
from drawn_groups import group
from objective_steps import PAD, Student, Taken, assert_invariant, record

from backends.base import Rolling, Step, Training, TrainMethod, load_method
from backends.methods import lightning_opd, scope
from backends.methods._policy_options import keep_all
from backends.records.collate import collate
from backends.records.record import TrainRecord
from backends.records.segments import Encoder, Example
from backends.rollouts.engine import Drawn, Emit, Wanted
from backends.rollouts.journal import Journal
from backends.rollouts.rolls import Rolls
from backends.rollouts.settings import RolloutSettings
from backends.rollouts.source import RolloutSource
from backends.rollouts.types import RolloutGroup, RolloutMark, TeacherRow
from backends.teachers.local import LocalTeacher
from backends.trainers.batch import Batch, as_batch
from harness.errors import ConfigError

STEP = Step(0, 9)


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Student:
    return Student(tmp_path_factory.mktemp("student"))


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Student:
    return Student(tmp_path_factory.mktemp("teacher"), seed=1)


def made(student: Student, teacher: Student, method: str, **options: Any) -> Any:
    found = load_method(method)
    assert isinstance(found, TrainMethod)
    (stage,) = found.stages(found.options(**options))
    return set_up(stage.objective(), student, completions(), teacher)


def told(student: Student, teacher: Student, credit: Sequence[dict[str, float]] | None = None) -> tuple[Example, ...]:
    examples = completions() if credit is None else completions(credit)
    return with_extra(examples, "teacher_logps", teacher.logps(completions(), 0))


def close(first: Taken, second: Taken) -> None:
    assert first.loss == pytest.approx(second.loss, rel=1e-5)
    for name, gradient in second.grads.items():
        torch.testing.assert_close(first.grads[name], gradient, rtol=1e-4, atol=1e-6)


def test_lightning_begins_as_opd(student: Student, teacher: Student) -> None:
    ours = student.step(made(student, teacher, "lightning_opd"), told(student, teacher))
    close(ours, student.step(made(student, teacher, "opd"), completions()))


def test_lightning_s_student_side_is_of_the_pass_and_bounded(student: Student, teacher: Student) -> None:
    objective = made(student, teacher, "lightning_opd", tau=0.5)
    log = student.step(objective, told(student, teacher)).log
    assert log["advantage_abs"] <= 0.5
    itself = with_extra(completions(), "teacher_logps", student.logps(completions(), 0))
    taken = student.step(made(student, student, "lightning_opd"), itself)
    assert taken.loss == pytest.approx(0, abs=1e-6)


def test_what_the_teacher_s_word_does_not_count_for_is_left_out(student: Student, teacher: Student) -> None:
    said = [logps.clone() for logps in teacher.logps(completions(), 0)]
    for logps in said:
        logps[-1] = float("nan")
    examples = with_extra(completions(), "teacher_logps", said)
    taken = student.step(made(student, teacher, "lightning_opd"), examples)
    ours = student.logps(completions(), 0)
    gap = sum((own - right).detach()[:-1].sum() for own, right in zip(ours, said, strict=True)) / sum(LENGTHS)
    assert taken.log["teacher_k1"] == pytest.approx(gap.item(), rel=1e-5)
    assert all(bool(gradient.isfinite().all()) for gradient in taken.grads.values())


def test_lightning_takes_the_teacher_that_the_records_name(student: Student, teacher: Student) -> None:
    encoder = Encoder(student.tokenizer, 512)
    for name, options, refused in (("hf:t", {}, False), ("hf:u", {}, True), ("hf:u", {"other_teacher": "take"}, False)):
        (stage,) = lightning_opd.stages(lightning_opd.LightningOptions(**options))  # type: ignore[arg-type]
        stage.examples(encoder, [dataclasses.replace(record(0), meta={"teacher": name}), record(1)])
        if refused:
            with pytest.raises(ConfigError, match="name hf:u as their teacher, and --teacher is hf:t"):
                set_up(stage.objective(), student, (), teacher)
        else:
            set_up(stage.objective(), student, (), teacher)


def marked(values: Sequence[float | None], student: Sequence[float], teacher: Sequence[float]) -> RolloutGroup:
    found = group(texts=("abc",) * len(values))
    rollouts = tuple(
        dataclasses.replace(one, logps_T=np.full(3, logp, np.float32))
        for one, logp in zip(found.rollouts, student, strict=True)
    )
    marks = tuple(RolloutMark(value, correct=None if value is None else value > 0) for value in values)
    rows = tuple(TeacherRow(np.array([logp, logp, np.nan], np.float32)) for logp in teacher)
    return dataclasses.replace(found, rollouts=rollouts, marks=marks, teacher=rows)


PPL = [-float(np.log(value)) for value in (1.361, 1.755, 2.383)]


def test_scope_s_weights_on_both_paths() -> None:
    one = marked([1, 1, 1, 0, 0, 0, None], [*PPL, *PPL, -9.0], [*PPL, *PPL, -9.0])
    (found,) = scope.credit(scope.ScopeOptions(), [one], STEP)
    assert [credit.keep for credit in found] == [True] * 6 + [False]
    weights = [credit.numbers["weight"] / 3 for credit in found]
    assert weights[:3] == pytest.approx([0.247500, 0.319149, 0.433352], abs=1e-5)  # rises with the student's perplexity
    assert weights[3:6] == pytest.approx([0.426143, 0.330474, 0.243383], abs=1e-5)  # falls with the teacher's
    (wrong,) = scope.credit(scope.ScopeOptions(tau=1e9), [marked([0, 0], [-1, -2], [-1, -2])], STEP)
    assert [credit.numbers["weight"] for credit in wrong] == pytest.approx([1, 1])


def test_scope_is_likelihood_where_right_and_opd_where_wrong(student: Student, teacher: Student) -> None:
    right = told(student, teacher, [{"correct": 1.0, "weight": 1.0}] * len(LENGTHS))
    ours = student.step(made(student, teacher, "scope"), right)
    nll = -sum(logps.sum() for logps in student.logps(completions(), 0)) / sum(LENGTHS)
    for name, gradient in student.gradients(nll).items():
        torch.testing.assert_close(ours.grads[name], gradient, rtol=1e-4, atol=1e-6)
    wrong = told(student, teacher, [{"correct": 0.0, "weight": 1.0}] * len(LENGTHS))
    close(
        student.step(made(student, teacher, "scope"), wrong),
        student.step(made(student, teacher, "opd"), completions()),
    )


@pytest.mark.parametrize("name", ["scope", "lightning_opd"])
def test_micro_batches_add_up_and_padding_changes_nothing(student: Student, teacher: Student, name: str) -> None:
    credit = [{"correct": float(number % 2), "weight": 0.5 + number} for number in range(len(LENGTHS))]
    assert_invariant(student, lambda: made(student, teacher, name), told(student, teacher, credit))


class Says:
    """Draws a text of its own for each completion."""

    def sync(self, policy: Training, version: int) -> None:
        pass

    def draw(self, wanted: Sequence[Wanted], emit: Emit) -> None:
        for number in range(len(wanted)):
            tokens_T = np.arange(2 + 3 * (number % 3), dtype=np.int32) + 65 + number
            tokens_T[-1] = 256
            emit(number, Drawn(tokens_T, np.full(len(tokens_T), -1, np.float32), "x", "stop"))

    def close(self) -> None:
        pass


@pytest.mark.parametrize("end", ["same", "mask"])
def test_the_teacher_reads_what_was_drawn_before_credit_looks(
    student: Student, teacher: Student, end: Any, tmp_path: Path
) -> None:
    seen: list[RolloutGroup] = []

    def credit(groups: Sequence[RolloutGroup], step: Step) -> Any:
        seen.extend(groups)
        return keep_all(groups, step)

    def batch(examples: Sequence[Example]) -> Batch:
        return as_batch(collate(examples, PAD))

    pair = (teacher.model, teacher.tokenizer)
    policy = dataclasses.replace(student.training(()), batch=batch, teacher="hf:t", load=lambda spec: pair)
    records: tuple[TrainRecord, ...] = tuple(record(number) for number in range(3))
    rolling = Rolling(credit, teacher=partial(LocalTeacher, method="m", end=end))
    source = RolloutSource(
        stage="train", rolling=rolling, settings=RolloutSettings(group=2, max_new=50, temperature=0.5), prompts=3,
        records=records, encoder=Encoder(student.tokenizer, 100), seed=0, accumulation=2,
    )  # fmt: skip
    rolls = Rolls(source, Says(), lambda _: (), Journal(tmp_path, "train", "s"))
    made = rolls.make(0, STEP, policy, "w")
    assert len(seen) == 3
    told = {}
    for found in seen:
        for rollout, row in zip(found.rollouts, found.teacher, strict=True):
            ids = torch.tensor([*rollout.prompt_T, *rollout.tokens_T], dtype=torch.int64)[None]
            logps = (teacher.model(input_ids=ids).logits[0, :-1] / 0.5).log_softmax(-1).detach()
            right = logps[torch.arange(ids.shape[1] - 1), ids[0, 1:]][-len(rollout.tokens_T) :].numpy()
            if end == "mask":
                right[-1] = np.nan
            assert row is not None
            np.testing.assert_allclose(row.logps_T, right, rtol=1e-5)
            told[rollout.tokens_T.tobytes()] = row.logps_T
    examples = [example for update in made.steps for part in update for example in part]
    assert len(examples) == 6
    for example in examples:
        (sequence,) = example.sequences
        learnt_T = sequence.supervised_T
        expected = told[sequence.ids_T[learnt_T].astype(np.int32).tobytes()]
        np.testing.assert_array_equal(sequence.extras["teacher_logps"][learnt_T], expected)


def test_what_is_drawn_once_lasts_for_all_steps() -> None:
    once = RolloutSettings(every="stage", updates=3)
    assert divmod(10**9, once.steps) == (0, 10**9) and RolloutSettings(updates=3, passes=2).steps == 6
