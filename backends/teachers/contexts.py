"""What a self-teacher is told more than the student: a solution, an expert's reply, a sibling that was right.

Each context gives the turns that stand before a completion in the row aside, or None where there is nothing to tell.
The prompts are `prompts/*.toml`, and their hashes are part of a model's id.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from backends.base import ExampleMaker
from backends.records.record import TrainRecord, response_text
from backends.records.segments import Encoder, Tokenised
from backends.rollouts.asides import before
from backends.rollouts.prompts import prompts
from backends.rollouts.types import RolloutGroup, Told
from backends.templates import Template, asked, load_template
from harness.errors import DataError
from harness.reasoning import with_answer
from harness.types import Message

_FIELDS = {
    "solution": ("question", "solution"),
    "demonstration": ("question", "demonstration"),
    "sibling_attempt": ("question", "attempt"),
    "sibling_feedback": ("question", "feedback"),
    "sibling_both": ("question", "attempt", "feedback"),
    "revision": ("question", "variant"),
}


@cache
def template(name: str) -> Template:
    """A prompt of `prompts/`."""
    return load_template(name, _FIELDS[name], Path(__file__).with_name("prompts") / f"{name}.toml")


def solution_of(record: TrainRecord) -> str | None:
    """The verified solution that a teacher may see: `privileged`, else the record's response."""
    return record.privileged if (record.privileged or "").strip() else response_text(record)


def clean_of(record: TrainRecord) -> str | None:
    """The last turn as it was before it was damaged: `meta.clean`."""
    found = record.meta.get("clean")
    return found if isinstance(found, str) else None


@dataclass(frozen=True)
class OfRecord:
    """What the record itself holds, the same for every completion."""

    name: Literal["solution", "demonstration", "clean"]
    read: Callable[[TrainRecord], str | None]
    where: str
    """Where that stands in a record, for errors."""

    @property
    def id(self) -> str:
        """The prompt's; the clean turn has none."""
        return self.name if self.name == "clean" else template(self.name).id

    def __call__(self, group: RolloutGroup, number: int) -> Told | None:
        """The record's prompt with it; the clean turn stands in the place of the last one."""
        text = (self.read(group.record) or "").strip()
        if not text:
            return None
        prompt = group.record.prompt
        if self.name == "clean":
            return Told((*prompt[:-1], Message("user", text)))
        return Told(asked(prompt, template(self.name), {self.name: text}))

    def prompts(self, method: str) -> ExampleMaker:
        """The examples of a stage: prompts of records that hold it; what leaves no room behind it is left out, counted.

        Raises `DataError` for records without it.
        """

        def examples(encoder: Encoder, records: Sequence[TrainRecord]) -> Tokenised:
            told = {record.id: self(RolloutGroup(record, ()), 0) for record in records}
            without = [name for name, one in told.items() if one is None]
            if without:
                raise DataError(
                    f"{method} tells its teacher {self.where}, which {len(without)} of {len(told)} records lack, the "
                    f"first {without[0]!r}: add it, or leave these records out"
                )
            room = [
                record
                for record in records
                if (one := told[record.id]) and len(before(encoder, record, one)) < encoder.max_length
            ]
            if not room:
                raise DataError(
                    f"{method} tells its teacher {self.where}, and no record leaves room behind that: set --max-length "
                    f"(now {encoder.max_length}) higher"
                )
            found = prompts(encoder, room)
            kept = {record.id for record in room}
            over = tuple(record.id for record in records if record.id not in kept)
            if not over:
                return found
            over = (*found.left_out.get("too_long", ()), *over)
            return Tokenised(found.examples, {**found.left_out, "too_long": over})

        return examples


SOLUTION = OfRecord("solution", solution_of, "a solution ('privileged' or a response)")
DEMONSTRATION = OfRecord("demonstration", response_text, "an expert's reply ('response')")
CLEAN = OfRecord("clean", clean_of, "the undamaged last turn (text in meta.clean)")


@dataclass(frozen=True)
class Sibling:
    """SDPO's: the first completion of the same group, but not this one, that was right, and why this one failed."""

    success: float = 0.5
    """Reward from which on a completion is right."""

    @property
    def id(self) -> str:
        """Those of the three prompts."""
        return "+".join(template(f"sibling_{part}").id for part in ("attempt", "feedback", "both"))

    def __call__(self, group: RolloutGroup, number: int) -> Told | None:
        """None where no other one is right and nothing was said of this one."""
        values = {"attempt": self._attempt(group, number), "feedback": self._feedback(group, number)}
        known = {name: value for name, value in values.items() if value}
        if not known:
            return None
        name = "sibling_both" if len(known) > 1 else f"sibling_{next(iter(known))}"
        return Told(asked(group.record.prompt, template(name), known))

    def _right(self, group: RolloutGroup, number: int) -> bool:
        value = group.marks[number].value if group.marks else None
        return value is not None and value >= self.success

    def _attempt(self, group: RolloutGroup, number: int) -> str:
        """Without its thoughts; a cut one has nothing else."""
        for other, rollout in enumerate(group.rollouts):
            if other != number and self._right(group, other):
                said = (with_answer(rollout.completion()).answer_text or "").strip()
                if said:
                    return said
        return ""

    def _feedback(self, group: RolloutGroup, number: int) -> str:
        return "" if not group.marks or self._right(group, number) else group.marks[number].feedback.strip()


@dataclass(frozen=True)
class Revision:
    """SD-Zero's: the same turn goes on behind the attempt, with a phrase that says whether it was right."""

    @property
    def id(self) -> str:
        """The phrases'."""
        return template("revision").id

    def __call__(self, group: RolloutGroup, number: int) -> Told:
        """The attempt as it was drawn, without its end; one that nobody could mark goes on as a wrong one."""
        rollout, right = group.rollouts[number], bool(group.marks and group.marks[number].correct)
        attempt_T = rollout.tokens_T[:-1] if rollout.finish == "stop" else rollout.tokens_T
        one = template("revision")
        phrase = one.fill({"question": "", "variant": one.variants["right" if right else "wrong"]})
        return Told(group.record.prompt, attempt_T, f"\n\n{phrase.strip()}\n\n")
