"""From credited completions to the examples of each optimiser step, cut into micro-batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from backends.records.segments import CODE, Encoded, Example
from backends.rollouts.prompts import prompt_only
from backends.rollouts.settings import RolloutSettings, Truncated
from backends.rollouts.types import Credited, Rollout, RolloutGroup, RolloutMark, TeacherRow

Fate = Literal["trained", "masked", "unscored", "cut", "left out", "untold", "no room"]
"""What becomes of a completion: trained on; in its group only; without a value; cut off by `max_new`; by its credit;
nothing to tell its self-teacher; what there is to tell is too long."""

CUT_OFF = "cut off"
"""Why a completion has no value where those that are cut off are dropped."""


def marks_of(group: RolloutGroup, truncated: Truncated) -> tuple[RolloutMark, ...]:
    """The group's marks; what is cut off counts for nothing in its group where that is dropped."""
    if truncated != "drop":
        return group.marks
    return tuple(
        replace(mark, value=None, why=CUT_OFF) if rollout.finish == "length" else mark
        for mark, rollout in zip(group.marks, group.rollouts, strict=bool(group.marks))
    )


def fates_of(group: RolloutGroup, credits: Sequence[Credited], truncated: Truncated) -> list[Fate]:
    """What becomes of each completion of a group."""
    found: list[Fate] = []
    for number, (rollout, credit) in enumerate(zip(group.rollouts, credits, strict=True)):
        cut = rollout.finish == "length"
        if cut and truncated == "drop":
            found.append("cut")
        elif group.marks and group.marks[number].value is None:
            found.append("unscored")
        elif not credit.keep:
            found.append("left out")
        else:
            found.append("masked" if cut and truncated == "mask" else "trained")
    return found


def example_of(
    rollout: Rollout,
    credit: Credited,
    fate: Fate,
    index: int,
    teacher: TeacherRow | None = None,
    told_T: NDArray[np.int32] | None = None,
) -> Example | None:
    """A completion as it is trained on, with what a teacher said of it; None if it is not.

    `told_T` stands before it in the row aside.
    """
    if fate not in ("trained", "masked"):
        return None
    prompt, tokens = len(rollout.prompt_T) - credit.learnt, len(rollout.tokens_T) + credit.learnt
    code = CODE["answer"] if fate == "trained" else CODE["prompt"]
    segments_T = np.array([CODE["prompt"]] * prompt + [code] * tokens, np.int8)
    nobody_T = np.full(credit.learnt, np.nan, np.float32)  # drew these
    extras = {"sampler_logps": behind(prompt, np.concatenate([nobody_T, rollout.logps_T]))}
    if teacher is not None:
        extras["teacher_logps"] = behind(len(rollout.prompt_T), teacher.logps_T)
    if credit.advantage_T is not None:
        extras["advantages"] = behind(len(rollout.prompt_T), credit.advantage_T)
    sequence = Encoded(np.concatenate([rollout.prompt_T, rollout.tokens_T]), segments_T, extras=extras)
    found = Example(rollout.record, (sequence,), index=index, numbers=credit.numbers)
    if told_T is None:
        return found
    assert not credit.learnt
    segments_T = np.array([CODE["prompt"]] * len(told_T) + [code] * tokens, np.int8)
    return replace(found, aside=(Encoded(np.concatenate([told_T, rollout.tokens_T]), segments_T),))


def with_old(examples: Sequence[Example | None], old: Sequence[NDArray[Any] | None]) -> list[Example | None]:
    """The examples with what the student said of each learnt token before the first update; None: not trained on."""
    found: list[Example | None] = []
    for example, values in zip(examples, old, strict=True):
        if example is None or values is None:
            found.append(None)
            continue
        (sequence,) = example.sequences
        old_T = np.zeros(len(sequence.ids_T), np.float32)
        old_T[sequence.supervised_T] = values
        sequence = replace(sequence, extras={**sequence.extras, "old_logps": old_T})
        found.append(replace(example, sequences=(sequence,)))
    return found


def passes(examples: Iterable[Example | None], size: int) -> Iterator[list[Example]]:
    """Those that are trained on, `size` of about one length at a time."""
    kept = sorted((one for one in examples if one is not None), key=lambda one: len(one.sequences[0].ids_T))
    for start in range(0, len(kept), size):
        yield kept[start : start + size]


def old_of(examples: Sequence[Example | None]) -> list[NDArray[np.float32] | None]:
    """The same values again, of the learnt tokens alone."""
    return [
        None if one is None else one.sequences[0].extras["old_logps"][one.sequences[0].supervised_T] for one in examples
    ]


def behind(prompt: int, values_T: NDArray[np.float32]) -> NDArray[np.float32]:
    """Values of a completion's tokens, with 0 at the tokens of its prompt."""
    return np.concatenate([np.zeros(prompt, np.float32), values_T.astype(np.float32, copy=False)])


def steps_of(
    examples: Sequence[Example | None],
    settings: RolloutSettings,
    accumulation: int,
    filler: Rollout,
    aside: bool = False,
) -> list[list[list[Example]]]:
    """The micro-batches of each update. A place without an example (None) stays empty, so that updates keep their size.

    transformers steps the optimiser by the number of micro-batches: there are always `accumulation` of them, each with
    one example at least. `filler` gives a prompt, in which nothing is learnt, where there are not enough; it stands
    `aside` too where the examples have rows there.
    """
    size, rest = divmod(len(examples), settings.updates)
    assert not rest
    parts = (examples[start : start + size] for start in range(0, len(examples), size))
    prompt = (prompt_only(filler.prompt_T),)
    empty = Example(filler.record, prompt, index=-1, aside=prompt if aside else ())
    return [_micro_batches([one for one in part if one is not None], accumulation, empty) for part in parts]


def _micro_batches(examples: list[Example], accumulation: int, empty: Example) -> list[list[Example]]:
    missing = max(0, accumulation - len(examples))
    ordered = sorted(examples, key=lambda example: len(example.sequences[0].ids_T)) + [empty] * missing
    cuts = [len(ordered) * number // accumulation for number in range(accumulation + 1)]
    return [ordered[start:end] for start, end in pairwise(cuts)]
