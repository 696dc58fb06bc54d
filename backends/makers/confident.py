"""Traces that are right and know it: PRISM's filter of distillation data by stated confidence (arXiv 2602.01532).

R_DC = y_acc - (q_need - y_need)^2 - [q_need >= 1/2] (q_acc - y_acc)^2, where a trace states how likely its question
needs an answer (q_need) and how likely its answer is right (q_acc), and y says what is so. The best share is kept, the
paper's third; of equal ones the earlier.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from backends.makers.asking import Ask
from backends.makers.base import Made, Maker, option
from backends.records.inputs import grader_of, noted
from backends.records.record import TrainRecord, response_text
from backends.records.verify import grade_texts
from harness.errors import DataError
from harness.files import is_number
from judges.replies.jsonfind import find_objects
from judges.types import Malformed

_NEEDED = 0.5


def rdc(y_acc: float, q_need: float, y_need: float, q_acc: float) -> float:
    """The reward of a trace; at most 1."""
    stated = q_need >= _NEEDED
    return y_acc - (q_need - y_need) ** 2 - (stated * (q_acc - y_acc) ** 2)


@dataclass(frozen=True, kw_only=True)
class Confident(Maker):
    """Keep the traces that are right and say so: the best share by R_DC (PRISM).

    RECORDS have a response that states {"need": 0.9, "accept": 0.8} in JSON (the last such object counts), or `q_need`
    and `q_acc` in their meta. Whether the answer is right is `y_acc` in the meta, else what the grader finds; whether
    the question needs an answer is `y_need`, else yes. The reward is in the meta of what is kept.

    \b
    harness data confident traces.jsonl --share 0.333 -o kept.jsonl
    """  # noqa: D301  # a real backspace: it tells click to keep these lines

    share: float = option(1 / 3, above=0, most=1)
    """Share of the traces with a reward that is kept, rounded up."""

    name: ClassVar[str] = "confident"
    role: ClassVar[str] = ""
    nothing: ClassVar[str] = "no trace states a confidence and can be checked"

    def run(self, ask: Ask) -> Made:
        """Read what is stated, check what is not known, rank."""
        counts = Counter(given=len(self.records))
        stated = {record.id: found for record in self.records if (found := _stated(record)) is not None}
        counts["no_confidence"] = len(self.records) - len(stated)
        right = self._right([record for record in self.records if record.id in stated])
        counts["unchecked"] = len(stated) - len(right)
        rewards = {
            record.id: rdc(right[record.id], stated[record.id][0], _known(record, "y_need", 1.0), stated[record.id][1])
            for record in self.records
            if record.id in right
        }
        best = sorted(rewards, key=lambda name: -rewards[name])[: math.ceil(self.share * len(rewards) - 1e-9)]
        kept = tuple(
            noted(record, r_dc=round(rewards[record.id], 6)) for record in self.records if record.id in set(best)
        )
        counts["below"] = len(rewards) - len(kept)
        facts = {"share": self.share, "least": min((rewards[name] for name in best), default=None)}
        order = ("given", "no_confidence", "unchecked", "below")
        return Made(kept, {name: counts[name] for name in order} | {"kept": len(kept)}, facts=facts)

    def _right(self, records: list[TrainRecord]) -> dict[str, float]:
        """Record -> whether its answer is right, of those of which that can be told."""
        known = {record.id: _known(record, "y_acc", math.nan) for record in records}
        asked = [
            (record, text)
            for record in records
            if math.isnan(known[record.id])
            and grader_of(record) is not None
            and (text := response_text(record)) is not None
        ]
        verdicts = {"right": 1.0, "wrong": 0.0, "no_answer": 0.0, "truncated": 0.0}
        for (record, _), verdict in zip(asked, grade_texts(asked), strict=True):
            known[record.id] = verdicts.get(verdict, math.nan)
        return {name: value for name, value in known.items() if not math.isnan(value)}


def _known(record: TrainRecord, name: str, usual: float) -> float:
    """A share of the record's meta; raises `DataError` for one that is none."""
    value = record.meta.get(name, usual)
    if isinstance(value, bool) or (is_number(value) and 0 <= float(str(value)) <= 1):
        return float(value)  # type: ignore[arg-type]
    if value is usual:
        return usual
    raise DataError(f"record {record.id!r}: 'meta.{name}' must be a number from 0 to 1, not {str(value)[:40]!r}")


def _stated(record: TrainRecord) -> tuple[float, float] | None:
    """q_need and q_acc of a record: of its meta, else of the last object of its response that has both."""
    said: Mapping[str, object] = {"need": record.meta.get("q_need"), "accept": record.meta.get("q_acc")}
    if None in said.values():
        try:
            said = find_objects(response_text(record) or "", "accept")[-1].value
        except Malformed:
            return None
    need, accept = said.get("need"), said.get("accept")
    fit = [is_number(value) and 0 <= float(str(value)) <= 1 for value in (need, accept)]
    return (float(str(need)), float(str(accept))) if all(fit) else None
