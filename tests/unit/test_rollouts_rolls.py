"""One generation, with an engine that is told what to say: who is marked, kept, dropped, and how steps are cut."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from objective_steps import PAD, Student, record

from backends.base import Rolling, Step, Training
from backends.records.collate import collate
from backends.records.segments import Encoder
from backends.rollouts.engine import Drawn, Emit, Wanted
from backends.rollouts.journal import Journal
from backends.rollouts.rolls import Generation, Rolls
from backends.rollouts.settings import RolloutSettings
from backends.rollouts.source import RolloutSource
from backends.rollouts.types import Credited, RolloutGroup, RolloutMark
from backends.trainers.batch import as_batch
from backends.trainers.rolling import RollingFeed
from harness.errors import StoreError
from harness.types import Finish

RECORDS = tuple(record(number) for number in range(4))
STEP = Step(5, 9)


class Told:
    """Answers the n-th wanted completion with n + 1 tokens, in reverse order."""

    def __init__(self, finish: Callable[[int], Finish] = lambda number: "stop") -> None:
        self.finish, self.calls, self.wanted = finish, list[tuple[str, int]](), list[Wanted]()

    def sync(self, policy: Training, version: int) -> None:
        self.calls.append(("sync", version))

    def draw(self, wanted: Sequence[Wanted], emit: Emit) -> None:
        self.calls.append(("draw", len(wanted)))
        self.wanted += wanted
        for number in reversed(range(len(wanted))):
            tokens_T = np.arange(number + 1, dtype=np.int32) + 65
            logps_T = -np.arange(number + 1, dtype=np.float32) - 1
            emit(number, Drawn(tokens_T, logps_T, "x" * number, self.finish(number)))

    def close(self) -> None:
        self.calls.append(("close", 0))


def by_length(group: RolloutGroup) -> tuple[RolloutMark, ...]:
    return tuple(RolloutMark(float(len(one.text)), {"long": float(len(one.text))}) for one in group.rollouts)


def value(groups: Sequence[RolloutGroup], step: Step) -> list[list[Credited]]:
    """The mark itself, or where the completion stands among all."""
    return [
        [Credited(numbers={"advantage": mark.value or 0.0, "place": 10.0 * place + number})
         for number, mark in enumerate(group.marks)]
        for place, group in enumerate(groups)
    ]  # fmt: skip


def source(student: Student, folder: Path | None = None, more: Any = None, **told: Any) -> RolloutSource:
    settings = RolloutSettings(**{"group": 2, "max_new": 50, **told.pop("settings", {})})
    values = {"credit": value, **told.pop("rolling", {})}
    return RolloutSource(
        stage="train", rolling=Rolling(**values), settings=settings, prompts=2, records=RECORDS,
        encoder=Encoder(student.tokenizer, 100), seed=0, **{"accumulation": 2, **told},
    )  # fmt: skip


def make(student: Student, engine: Any = None, mark: Any = by_length, generation: int = 0, **told: Any) -> Generation:
    policy, begun = told.pop("policy", None) or student.training(()), told.pop("begun", False)
    with tempfile.TemporaryDirectory() as fresh:
        made_from = source(student, **told)
        journal = Journal(told.get("folder", Path(fresh)), "train", "s", made_from.rank, made_from.processes)
        rolls = Rolls(made_from, engine or Told(), mark, journal, **told.get("more", {}))
        return rolls.make(generation, STEP, policy, "w", begun=begun)


def flat(made: Generation) -> list[list[int]]:
    """The example's number, by update and micro-batch."""
    return [[example.index for example in batch] for update in made.steps for batch in update]


def test_what_is_drawn_is_what_is_trained_with_the_samplers_numbers(student: Student) -> None:
    made = make(student)
    assert flat(made) == [[0, 1], [2, 3]]  # shortest first, in two micro-batches
    last = made.steps[0][1][1]
    (sequence,) = last.sequences
    prompt = len(sequence.ids_T) - 4
    assert sequence.ids_T[prompt:].tolist() == [65, 66, 67, 68]
    assert sequence.supervised_T.tolist() == [False] * prompt + [True] * 4
    assert sequence.extras["sampler_logps"].tolist() == [0.0] * prompt + [-1.0, -2.0, -3.0, -4.0]
    assert "old_logps" not in sequence.extras  # one update: the policy itself
    assert last.numbers == {"advantage": 3.0, "place": 11.0}


def test_the_engine_gets_the_version_and_seeds_that_can_be_made_again(student: Student) -> None:
    one, two = Told(), Told()
    make(student, one), make(student, two)
    assert one.calls == [("sync", 5), ("draw", 4)]
    assert [wanted.seed for wanted in one.wanted] == [wanted.seed for wanted in two.wanted]
    assert len({wanted.seed for wanted in one.wanted}) == 4
    make(student, two, generation=1)
    assert not {wanted.seed for wanted in two.wanted[4:]} & {wanted.seed for wanted in one.wanted}


def test_a_group_is_marked_as_soon_as_it_is_whole_beside_drawing(student: Student) -> None:
    marked, here = list[str](), threading.get_ident()

    class Waits(Told):
        def draw(self, wanted: Sequence[Wanted], emit: Emit) -> None:
            super().draw(wanted[2:], lambda number, drawn: emit(number + 2, drawn))
            assert done.wait(20)  # the second group's marks, while the first is still to be drawn
            super().draw(wanted[:2], emit)

    def mark(group: RolloutGroup) -> tuple[RolloutMark, ...]:
        assert threading.get_ident() != here
        marked.append(group.record.id)
        done.set()
        return by_length(group)

    done = threading.Event()
    make(student, Waits(), mark)
    assert len(marked) == 2


def test_a_completion_without_a_value_is_dropped_and_counted_and_never_0(student: Student) -> None:
    def mark(group: RolloutGroup) -> tuple[RolloutMark, ...]:
        return (RolloutMark(None, {"long": None}, why="long: lost"), by_length(group)[1])

    made = make(student, mark=mark)
    assert sorted(chain.from_iterable(flat(made))) == [1, 3]
    assert made.numbers["dropped/unscored"] == 2 and made.numbers["reward"] == made.numbers["reward/long"] == 2.0
    assert made.numbers["completions"] == 4 and made.numbers["generated"] == 10


def test_nothing_left_still_gives_every_micro_batch_a_prompt(student: Student) -> None:
    def mark(group: RolloutGroup) -> tuple[RolloutMark, ...]:
        return (RolloutMark(None, why="no judge"),) * 2

    made = make(student, mark=mark)
    assert flat(made) == [[-1], [-1]] and "reward" not in made.numbers and made.numbers["flat"] == 1.0
    assert not any(example.sequences[0].supervised_T.any() for batch in made.steps[0] for example in batch)


@pytest.mark.parametrize(("how", "kept", "learnt"), [("keep", 4, 4), ("mask", 4, 3), ("drop", 3, 3)])
def test_cut_off_completions_are_kept_masked_or_dropped(student: Student, how: str, kept: int, learnt: int) -> None:
    seen = dict[str, list[float | None]]()

    def credit(groups: Sequence[RolloutGroup], step: Step) -> list[list[Credited]]:
        seen.update({group.record.id: [mark.value for mark in group.marks] for group in groups})
        return value(groups, step)

    engine = Told(lambda number: "length" if number == 3 else "stop")
    made = make(student, engine, settings={"truncated": how}, rolling={"credit": credit})
    examples = [example for batch in made.steps[0] for example in batch]
    assert len(examples) == kept and sum(one.sequences[0].supervised_T.any() for one in examples) == learnt
    assert made.numbers["cut"] == 0.25 and made.numbers["dropped/cut"] == (how == "drop")
    assert (None in [item for values in seen.values() for item in values]) is (how == "drop")


def test_a_method_without_rewards_has_no_marks(student: Student) -> None:
    credit = {"credit": lambda groups, step: [[Credited()] * len(group.rollouts) for group in groups]}
    made = make(student, mark=lambda group: (), rolling=credit)
    assert (
        sorted(chain.from_iterable(flat(made))) == [0, 1, 2, 3]
        and "reward" not in made.numbers
        and "flat" not in made.numbers
    )


def test_updates_share_out_the_completions_and_get_what_the_policy_says_before_the_first(student: Student) -> None:
    made = make(student, settings={"updates": 2}, accumulation=1, policy=with_batches(student))
    assert flat(made) == [[0, 1], [2, 3]]  # groups stay whole
    for update in made.steps:
        for example in update[0]:
            (sequence,) = example.sequences
            old_T = sequence.extras["old_logps"]
            expected = student.logps([example], 0)[0].detach().numpy()
            assert not old_T[~sequence.supervised_T].any()
            np.testing.assert_allclose(old_T[sequence.supervised_T], expected, rtol=1e-5)


def test_old_log_probabilities_are_at_the_sampling_temperature(student: Student) -> None:
    cold, plain = (
        make(student, settings={"passes": 2, "temperature": heat}, accumulation=1, policy=with_batches(student))
        for heat in (0.5, 1.0)
    )
    one, two = (made.steps[0][0][3].sequences[0].extras["old_logps"] for made in (cold, plain))
    assert one.shape == two.shape and not np.allclose(one, two)


def test_two_processes_have_the_examples_of_one(student: Student) -> None:
    whole = make(student)
    parts: list[list[RolloutGroup]] = []
    halves = []
    for again in (False, True):  # first to know what the other has, then to use it
        for rank in (0, 1):

            def gather(own: Any, again: bool = again) -> list[Any]:
                if isinstance(own, tuple):  # requests, and how many failed
                    return [own, own]
                parts.append(own)
                return parts[:2] if again else [own, own]

            policy = replace(student.training(()), gather=gather)
            halves.append(make(student, rank=rank, processes=2, accumulation=1, policy=policy))
    numbers = [example.numbers["place"] for made in halves[2:] for batch in made.steps[0] for example in batch]
    assert sorted(numbers) == sorted(one.numbers["place"] for batch in whole.steps[0] for one in batch)
    ids = [example.id for made in halves[2:] for batch in made.steps[0] for example in batch]
    assert sorted(ids) == sorted(one.id for batch in whole.steps[0] for one in batch)
    assert halves[2].numbers["completions"] == 4


def test_what_a_reward_raises_ends_the_generation(student: Student) -> None:
    def mark(group: RolloutGroup) -> tuple[RolloutMark, ...]:
        raise LookupError("the judge is gone")

    with pytest.raises(LookupError, match="gone"):
        make(student, mark=mark)


def shown(made: Generation) -> list[Any]:
    """Everything of the examples, to the byte."""
    return [
        (one.id, one.index, dict(one.numbers), one.sequences[0].ids_T.tobytes(), one.sequences[0].segments_T.tobytes(),
         {name: (values.dtype.str, values.tobytes()) for name, values in one.sequences[0].extras.items()})
        for update in made.steps for batch in update for one in batch
    ]  # fmt: skip


def test_nothing_is_read_before_the_first_update_where_no_loss_weighs_the_student_by_it(student: Student) -> None:
    def nobody(*_: Any) -> Any:
        raise AssertionError("read")

    silent = replace(student.training(()), forward=nobody)
    made = make(student, settings={"updates": 2}, rolling={"ratio": False}, accumulation=1, policy=silent)
    assert all("old_logps" not in one.sequences[0].extras for (part,) in made.steps for one in part)


def test_what_a_second_model_reads_while_it_is_drawn_is_counted(student: Student, tmp_path: Path) -> None:
    spent: list[dict[str, Any]] = []
    how = {"folder": tmp_path, "policy": spending(student.training(()), spent), "more": {"beside": lambda _: "other"}}
    make(student, **how)
    own, others = spent
    assert others == {"teacher": own["generated"] + own["prefilled"], "of": "other"}
    spent.clear()
    make(student, **how)
    assert spent == [own, others]


def spending(training: Training, told: list[dict[str, int]]) -> Training:
    return replace(training, spend=lambda **tokens: told.append(tokens))


@pytest.mark.parametrize("updates", [1, 2])
def test_what_was_journalled_is_taken_up_without_engine_rewards_or_passes(
    student: Student, tmp_path: Path, updates: int
) -> None:
    spent: list[dict[str, int]] = []
    how = {"folder": tmp_path, "settings": {"updates": updates}}
    first = make(student, policy=spending(with_batches(student), spent), **how)

    def nobody(*_: Any) -> Any:
        raise AssertionError("asked again")

    silent = replace(spending(student.training(()), spent), forward=nobody)
    engine = Told()
    again = make(student, engine, nobody, policy=silent, **how)
    assert shown(again) == shown(first) and not engine.calls
    before, after = spent[0], {name: sum(one.get(name, 0) for one in spent[1:]) for name in spent[1]}
    assert after["generated"] == before["generated"]  # what the killed process drew counts once, here
    assert (after["prefilled"] > before["prefilled"]) is (updates > 1)  # and the pass that it made
    spent.clear()
    assert shown(make(student, engine, nobody, policy=silent, begun=True, **how)) == shown(first) and not spent


def test_what_was_drawn_and_not_marked_is_marked_only(student: Student, tmp_path: Path) -> None:
    def dies(group: RolloutGroup) -> tuple[RolloutMark, ...]:
        raise LookupError("killed while judging")

    with pytest.raises(LookupError):
        make(student, mark=dies, folder=tmp_path)
    engine = Told()
    made = make(student, engine, folder=tmp_path)
    assert shown(made) == shown(make(student)) and not engine.calls


def test_a_generation_that_is_begun_and_lost_is_no_other_generation(student: Student) -> None:
    with pytest.raises(StoreError, match=r"lost generation 0.*delete that checkpoint"):
        make(student, begun=True)


def with_batches(student: Student) -> Training:
    return replace(student.training(()), batch=lambda examples: as_batch(collate(examples, PAD)))


def test_a_part_of_the_prompts_is_answered_by_the_records(student: Student, tmp_path: Path) -> None:
    records = tuple(replace(one, response=f"said {one.id}") for one in RECORDS)
    engine = Told()
    of = source(student, settings={"mix": 0.5, "group": 1}, rolling={"credit": _all})
    rolls = Rolls(replace(of, records=records, prompts=4), engine, lambda _: (), Journal(tmp_path, "train", "s"))
    made = [rolls.make(generation, STEP, student.training(()), "w") for generation in range(6)]
    drawn = len(engine.wanted)
    assert 0 < drawn < 24
    given = [
        example for one in made for update in one.steps for batch in update for example in batch
        if np.isnan(example.sequences[0].extras["sampler_logps"]).any()
    ]  # fmt: skip
    assert len(given) == 24 - drawn
    for example in given:
        (sequence,) = example.sequences
        assert student.tokenizer.decode(sequence.ids_T[sequence.supervised_T]) == f"said {example.id}<|end|>"
    assert sum(one.numbers["generated"] for one in made) == sum(number + 1 for number in _numbers(engine))


def test_with_mix_zero_nothing_is_drawn(student: Student, tmp_path: Path) -> None:
    records = tuple(replace(one, response="said") for one in RECORDS)
    engine = Told()
    whole = replace(source(student, settings={"mix": 0.0}, rolling={"credit": _all}), records=records)
    rolls = Rolls(whole, engine, lambda _: (), Journal(tmp_path, "train", "s"))
    made = rolls.make(0, STEP, student.training(()), "w")
    assert engine.wanted == [] and made.numbers["generated"] == 0
    assert len(flat(made)) == 2


def _all(groups: Sequence[RolloutGroup], step: Step) -> list[list[Credited]]:
    return [[Credited() for _ in group.rollouts] for group in groups]


def _numbers(engine: Told) -> list[int]:
    return [number for name, size in engine.calls if name == "draw" for number in range(size)]


def test_a_training_that_goes_on_within_a_generation_credits_it_as_of_its_first_step(
    student: Student, tmp_path: Path
) -> None:
    """A weight that changes with the step must be what it was in the training that was not stopped."""
    seen: list[tuple[int, float]] = []

    def credit(groups: Sequence[RolloutGroup], step: Step) -> list[list[Credited]]:
        seen.append((step.number, float(len(groups))))
        return value(groups, step)

    def feed() -> RollingFeed:
        made = source(student, rolling={"credit": credit}, settings={"updates": 2}, accumulation=1)
        return RollingFeed(Rolls(made, Told(), by_length, Journal(tmp_path, "train", "s")), 8, "all", ExitStack())

    policy = replace(student.training(()), batch=lambda examples: as_batch(collate(examples, PAD)))
    whole, killed = feed(), feed()
    for number in (2, 3):
        whole.batch(Step(number, 9), [[]], policy)
    killed.load_state_dict(whole.state_dict())
    killed.batch(Step(3, 9), [[]], policy)
    assert seen == [(2, 2.0), (2, 2.0)]


def equal_at_first(group: RolloutGroup) -> tuple[RolloutMark, ...]:
    """Flat, unless it took another one's place."""
    return by_length(group) if group.rollouts[0].visit < 0 else (RolloutMark(1.0),) * len(group.rollouts)


def test_another_prompt_takes_the_place_of_a_flat_group(student: Student, tmp_path: Path) -> None:
    spent: list[dict[str, int]] = []
    how = {"folder": tmp_path, "settings": {"flat": "resample"}, "policy": spending(student.training(()), spent)}
    engine = Told()
    made = make(student, engine, equal_at_first, **how)
    assert engine.calls == [("sync", 5), ("draw", 4), ("draw", 4)] and len({one.seed for one in engine.wanted}) == 8
    assert made.numbers["resampled"] == 2 and made.numbers["flat"] == 0 and made.numbers["generated"] == 10
    assert spent[0]["generated"] == 20  # what was given up was written, too

    def nobody(*_: Any) -> Any:
        raise AssertionError("asked again")

    assert shown(make(student, Told(), nobody, **how)) == shown(made) and spent[1] == spent[0]
    for path in tmp_path.glob("rollouts/train/*.marked.*"):  # killed before it was marked
        path.unlink()
    assert shown(make(student, nobody, equal_at_first, **how)) == shown(made) and spent[2] == spent[0]


def test_what_stays_flat_is_given_up_after_three_tries_and_what_failed_is_not_drawn_again(student: Student) -> None:
    engine, how = Told(), {"settings": {"flat": "resample"}}
    made = make(student, engine, lambda group: (RolloutMark(0.0),) * 2, **how)
    assert engine.calls[1:] == [("draw", 4)] * 4 and made.numbers["flat"] == 1 and made.numbers["resampled"] == 6
    failed = Told()
    make(student, failed, lambda group: (RolloutMark(None, why="no judge"), RolloutMark(1.0)), **how)
    assert failed.calls[1:] == [("draw", 4)]
