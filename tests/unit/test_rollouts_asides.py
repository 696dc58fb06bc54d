"""Rows aside: the same completions behind what a self-teacher is told; what gives no signal is left out and counted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from objective_steps import PAD, Student, record

from backends.base import Rolling, Training
from backends.records.collate import collate
from backends.records.segments import Encoder
from backends.rollouts.asides import asides_of
from backends.rollouts.cutting import Fate, example_of, steps_of
from backends.rollouts.drawing import drawing
from backends.rollouts.engine import Drawn, Emit, Wanted
from backends.rollouts.monitor import drawn_numbers
from backends.rollouts.rolls import written_and_read
from backends.rollouts.settings import RolloutSettings
from backends.rollouts.source import RolloutSource
from backends.rollouts.types import Credited, Rollout, RolloutGroup, RolloutMark, Told
from backends.teachers.contexts import Revision
from backends.trainers.batch import as_batch
from harness.errors import DataError
from harness.types import Message


class Tells:
    """Nothing of the first completion, of r1 too much."""

    id = "tells"

    def __call__(self, group: RolloutGroup, number: int) -> Told | None:
        if number == 0:
            return None
        return Told((Message("user", "more" * (40 if group.record.id == "r1" else 1)),), begun="begun")


def rollout(name: str, sample: int) -> Rollout:
    ids_T = np.arange(sample + 1, dtype=np.int32) + 65
    return Rollout(
        name, 0, sample, 0, np.array([7, 8], np.int32), ids_T, np.zeros(len(ids_T), np.float32), "", "stop", 0
    )


GROUPS = tuple(
    RolloutGroup(record(place), tuple(rollout(f"r{place}", sample) for sample in range(3))) for place in range(2)
)
FATES: tuple[tuple[Fate, ...], ...] = (("trained", "trained", "masked"), ("trained", "left out", "trained"))


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    return Encoder(Student(tmp_path_factory.mktemp("student")).tokenizer, 100)


def test_what_cannot_be_told_is_left_out_and_the_rest_has_rows_aside(encoder: Encoder) -> None:
    fates, told = asides_of(GROUPS, FATES, Tells(), encoder)
    assert fates == [["untold", "trained", "masked"], ["untold", "left out", "no room"]]
    assert [[one is not None for one in row] for row in told] == [[False, True, True], [False, False, False]]
    numbers = drawn_numbers(GROUPS, fates, aside=True)
    assert (numbers["dropped/untold"], numbers["dropped/no_room"], numbers["dropped/left_out"]) == (2, 1, 1)
    assert "dropped/untold" not in drawn_numbers(GROUPS, FATES)


def test_rows_and_rows_aside_learn_the_same_tokens(encoder: Encoder) -> None:
    fates, told = asides_of(GROUPS, FATES, Tells(), encoder)
    examples = [
        example_of(one, Credited(), fate, index, told_T=told_T)
        for index, (one, fate, told_T) in enumerate(zip(GROUPS[0].rollouts, fates[0], told[0], strict=True))
    ]
    assert examples[0] is None
    for example, learnt in zip(examples[1:], ([65, 66], []), strict=True):
        assert example is not None
        (sequence,), (beside,) = example.sequences, example.aside
        assert beside.ids_T[beside.supervised_T].tolist() == sequence.ids_T[sequence.supervised_T].tolist() == learnt
        before = encoder.tokenizer.decode(beside.ids_T[: -len(GROUPS[0].rollouts[example.index].tokens_T)])
        assert before == "u:more\na:begun"
    (batches,) = steps_of(examples, RolloutSettings(group=3), 3, GROUPS[0].rollouts[0], True)
    assert [[one.index for one in batch] for batch in batches] == [[1], [2], [-1]]
    for batch in batches:  # a prompt stands there in which nothing is learnt, aside too
        found = as_batch(collate(batch, PAD))
        assert found.aside is not None and found.aside.mask_RT.sum() == found.mask_RT.sum()


def test_without_a_context_nothing_changes(encoder: Encoder) -> None:
    fates, told = asides_of(GROUPS, FATES, None, encoder)
    assert fates == [list(row) for row in FATES] and told == [[None] * 3] * 2


def test_a_template_that_refuses_what_is_told_names_the_record() -> None:
    class Refuses:
        max_length = 100

        def prompt(self, told: object) -> None:
            raise DataError("no such role")

    with pytest.raises(DataError, match="record 'r0', told more: no such role"):
        asides_of(GROUPS, FATES, Tells(), Refuses())  # type: ignore[arg-type]


class Says:
    """Ends each completion after a token; the second prompt's are right."""

    def __init__(self) -> None:
        self.wanted: list[list[Wanted]] = []

    def sync(self, policy: Training, version: int) -> None: ...

    def draw(self, wanted: Sequence[Wanted], emit: Emit) -> None:
        self.wanted.append([*wanted])
        for number in reversed(range(len(wanted))):
            tokens_T = np.array([65 + number, 256], np.int32)
            emit(number, Drawn(tokens_T, np.zeros(2, np.float32), "right" if number else "wrong", "stop"))

    def close(self) -> None: ...


def test_revisions_are_drawn_behind_the_marked_attempt(encoder: Encoder) -> None:
    def mark(group: RolloutGroup) -> tuple[RolloutMark, ...]:
        return tuple(RolloutMark(1.0, correct=one.text == "right") for one in group.rollouts)

    rolling = Rolling(lambda groups, step: [], revise=Revision())
    source = RolloutSource(
        "srt", rolling, RolloutSettings(group=3, max_new=8), 2, (record(0), record(1)), encoder, 0, 1
    )  # fmt: skip
    engine = Says()
    with drawing(mark, "keep") as under_way:
        drawn = under_way.draw(engine, None, source, 0, 0)  # type: ignore[arg-type]
        groups = under_way.marked()
    assert [len(wanted) for wanted in engine.wanted] == [2, 4]  # attempts, then two revisions of each
    assert [[one.sample for one in group.rollouts] for group in drawn] == [[0, 1, 2]] * 2
    assert len({one.seed for group in drawn for one in group.rollouts}) == 6
    assert [len(group.marks) for group in groups] == [3, 3]
    for group, phrase in zip(groups, ("Wait", "That holds"), strict=True):
        first, *revisions = group.rollouts
        attempt = encoder.tokenizer.decode([*first.prompt_T, *first.tokens_T[:-1]])
        for one in revisions:
            assert encoder.tokenizer.decode(one.prompt_T).startswith(f"{attempt}\n\n{phrase}")
            assert one.tokens_T[-1] == 256 and not one.opened_think
    assert written_and_read(drawn)[1] == sum(len(p) for group in drawn for p in {r.prompt_T.tobytes(): r.prompt_T
                                             for r in group.rollouts}.values())  # fmt: skip
