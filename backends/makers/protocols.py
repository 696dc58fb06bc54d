"""Chains that follow a protocol mined from traces (Chem-R's protocol distillation).

A protocol is a list of general steps, one list for a task (the records' `task`). The teacher reads right solutions of a
task, some at a time, and lists the steps that they share; the lists of a task are merged into one. Then it solves every
question again by its task's protocol, and says which step it is at ("Step 2: …"). Kept is what is right and has every
step once, in order. The student learns it on the record's own prompt: the protocol is in the chain alone.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from backends.makers.asking import Ask, Query
from backends.makers.base import Made, Maker, in_form_of, option, plain, replies, tally
from backends.makers.knowledge import rules_of
from backends.records.inputs import noted, require_checkable
from backends.records.record import TrainRecord, require, response_text
from backends.records.spans import parts_of
from backends.records.verify import grade_texts
from harness.hashing import canonical_json, short_hash
from judges.prompts.fencing import fence

_STEP = re.compile(r"^[ \t>*_#]{0,8}step[ \t]{1,4}(\d{1,3})[ \t*_]{0,8}[:.)]", re.IGNORECASE | re.MULTILINE)
_LONGEST = 300
"""Characters of a step: what is longer is a solution, not a step."""
_LOST = ("teacher_error", "cut", "empty", "malformed")
_ORDER = (
    *("given", "tasks", "mine_asked", *(f"mine_{why}" for why in _LOST)),
    *("merge_asked", *(f"merge_{why}" for why in _LOST), "no_protocol"),
    *("asked", "teacher_error", "cut", "empty", "wrong", "no_answer", "off_protocol", "kept"),
)


@dataclass(frozen=True, kw_only=True)
class Protocols(Maker):
    """Mine a protocol of steps from the solutions of each task, and write chains that follow it (Chem-R).

    RECORDS have right responses, gold and a grader; those of one 'task' share a protocol. Defaults: temperature 0.

    \b
    harness data protocols traces.jsonl --teacher openai:my-teacher -o protocolised.jsonl
    """  # noqa: D301  # a real backspace: it tells click to keep these lines

    sample: int = option(16, least=1)
    """Solutions of each task that the teacher reads; a seed chooses them."""
    together: int = option(4, least=1, most=32)
    """Solutions in one question to it."""
    most: int = option(8, least=2, most=32)
    """Steps of a protocol."""

    name = "protocols"
    template_fields: ClassVar = {
        "protocol_mine": ("question", "solution", "others", "most"),
        "protocol_merge": ("question", "lists", "most"),
        "protocol_follow": ("question", "protocol"),
    }
    nothing: ClassVar = "no chain is right and follows its task's protocol"

    def check(self) -> None:
        """Every record needs a response, and what checks another one."""
        require(self.records, ("response",), "harness data protocols")
        require_checkable(self.records, "protocols")

    @property
    def _by_task(self) -> dict[str, list[TrainRecord]]:
        found: dict[str, list[TrainRecord]] = {}
        for record in self.records:
            found.setdefault(record.task, []).append(record)
        return found

    def _groups(self) -> list[list[TrainRecord]]:
        """What is read together: records of one task."""
        groups: list[list[TrainRecord]] = []
        for task, records in self._by_task.items():
            chosen = random.Random(f"{self.draw.seed}\x1f{task}").sample(records, min(self.sample, len(records)))
            groups += [chosen[at : at + self.together] for at in range(0, len(chosen), self.together)]
        return groups

    def first(self) -> Sequence[Query]:
        """The questions for steps; what follows needs their replies."""
        return [
            self.query(
                first,
                "protocol_mine",
                part="mine",
                values={
                    "solution": _solution(first),
                    "others": "\n\n".join(f"Problem: {one.prompt[-1].content}\n\n{_solution(one)}" for one in others),
                    "most": str(self.most),
                },
            )
            for first, *others in self._groups()
        ]

    def run(self, ask: Ask) -> Made:
        """Mine, merge, have every question solved by its protocol."""
        counts = Counter(given=len(self.records), tasks=len(self._by_task))
        protocols = self._merged(self._mined(ask, counts), ask, counts)
        owners = [record for record in self.records if record.task in protocols]
        counts["no_protocol"] = len(self.records) - len(owners)
        kept = self._followed(owners, protocols, ask, counts) if owners else []
        counts["kept"] = len(kept)
        return Made(tuple(kept), tally(counts, _ORDER), facts={"protocols": {t: list(p) for t, p in protocols.items()}})

    def _mined(self, ask: Ask, counts: Counter[str]) -> dict[str, list[tuple[str, ...]]]:
        groups = self._groups()
        counts["mine_asked"] = len(groups)
        found: dict[str, list[tuple[str, ...]]] = {}
        for group, text in replies(groups, ask(self.first()), counts, "mine_"):
            if (steps := steps_of(text, self.most)) is None:
                counts["mine_malformed"] += 1
            elif steps not in found.setdefault(group[0].task, []):
                found[group[0].task].append(steps)
        return found

    def _merged(
        self, mined: Mapping[str, Sequence[tuple[str, ...]]], ask: Ask, counts: Counter[str]
    ) -> dict[str, tuple[str, ...]]:
        """Each task's one list; a task whose lists could not be merged has none."""
        first = {task: records[0] for task, records in self._by_task.items()}
        found = {task: lists[0] for task, lists in mined.items() if len(lists) == 1}
        several = [task for task, lists in mined.items() if len(lists) > 1]
        counts["merge_asked"] = len(several)
        queries = [
            self.query(
                first[task],
                "protocol_merge",
                part="merge",
                values={"lists": "\n\n".join(fence(numbered(one)) for one in mined[task]), "most": str(self.most)},
            )
            for task in several
        ]
        for task, text in replies(several, ask(queries) if queries else [], counts, "merge_"):
            if (steps := steps_of(text, self.most)) is None:
                counts["merge_malformed"] += 1
            else:
                found[task] = steps
        return {task: found[task] for task in first if task in found}

    def _followed(
        self, owners: Sequence[TrainRecord], protocols: Mapping[str, tuple[str, ...]], ask: Ask, counts: Counter[str]
    ) -> list[TrainRecord]:
        counts["asked"] = len(owners)
        queries = [
            self.query(one, "protocol_follow", part="follow", values={"protocol": numbered(protocols[one.task])})
            for one in owners
        ]
        written = list(replies(owners, ask(queries), counts))
        kept: list[TrainRecord] = []
        for (record, text), verdict in zip(written, grade_texts(written), strict=True):
            steps = protocols[record.task]
            if verdict != "right":
                counts[verdict] += 1
            elif not follows(text, len(steps)):
                counts["off_protocol"] += 1
            else:
                kept.append(self._record(record, text, steps))
        return kept

    def _record(self, record: TrainRecord, text: str, steps: Sequence[str]) -> TrainRecord:
        response = in_form_of(response_text(record) or "", text)
        think, answer = parts_of(response)
        made = replace(record, response=response, think=think, answer=answer)
        told = {"template": self.templates["protocol_follow"].id, "protocol": short_hash(canonical_json([*steps]), 12)}
        return noted(made, protocol_by=self.model, verified=True, **told)


def _solution(record: TrainRecord) -> str:
    return fence(plain(response_text(record) or ""))


def steps_of(text: str, most: int) -> tuple[str, ...] | None:
    """The steps of a reply, {"output": […]}: from two to `most` that differ, each of a line; None if it has none."""
    steps = tuple(dict.fromkeys(rules_of(text) or ()))
    return steps if 2 <= len(steps) <= most and all(len(step) <= _LONGEST for step in steps) else None


def numbered(steps: Sequence[str]) -> str:
    """The steps as lines, "Step 1: …"."""
    return "\n".join(f"Step {number}: {step}" for number, step in enumerate(steps, 1))


def follows(text: str, steps: int) -> bool:
    """Whether a chain has a line that begins each step, once and in order, and no further step."""
    return [int(found[1]) for found in _STEP.finditer(text)] == list(range(1, steps + 1))
