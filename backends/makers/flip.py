"""D-FLIP of R2Vul (arXiv 2504.04699): reasoning for the right label of a classification, and for a wrong one.

One prompt asks for both, with another label in it, so that the two differ in what they argue for and not in how they
were asked for. Every sentence that speaks of a given answer is taken out. A pair is kept if the grader then finds that
the one ends in the record's label and the other in the flipped one: `response` and `rejected`, for orpo. Of several
wrong labels the record's id chooses one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import ClassVar, Literal

from backends.makers.asking import Ask, Query
from backends.makers.base import Made, Maker, as_pair, has_chain, option, replies, tally
from backends.makers.dual import without_hints
from backends.records.inputs import noted, require_checkable
from backends.records.record import TrainRecord
from backends.records.verify import grade_texts
from harness.errors import DataError
from harness.hashing import short_hash
from harness.types import Sampling

MOST = 64
"""Labels of a classification; of more the golds are answers."""
Arm = Literal["gold", "flipped"]
_REASONS = ("teacher_error", "cut", "empty", "other_label", "no_answer", "no_chain")
_ORDER = ("given", "asked", *(f"{arm}_{why}" for arm in ("gold", "flipped") for why in _REASONS), "kept", "half")


@dataclass(frozen=True, kw_only=True)
class FlippedLabels(Maker):
    """Write reasoning for the right label and for a wrong one: pairs for orpo (R2Vul).

    RECORDS are questions with a label in `gold`. The labels are those of all records, unless told. Defaults:
    temperature 0.7.

    \b
    harness data flip labelled.jsonl --teacher openai:my-teacher --grader exact -o pairs.jsonl
    """  # noqa: D301  # a real backspace: it tells click to keep these lines

    draw: Sampling = field(default=Sampling(temperature=0.7))
    label: tuple[str, ...] = option((), shown="LABEL")
    """One of the labels; repeat it. [default: those of the records]"""
    tries: int = option(1, least=1, most=100)
    """Attempts at each side of a pair."""
    grader: str | None = option(None, shown="NAME")
    """What checks answers, in place of the records' own."""

    name = "flip"
    template_fields: ClassVar = {"flip": ("question", "label")}

    def check(self) -> None:
        """Every record needs `gold` and a grader; there must be two labels, and each record's must be one of them."""
        require_checkable(self.records, "flip")
        if len(self._labels) < 2:
            raise DataError(f"flip needs two labels, the records have {', '.join(self._labels) or 'none'}: say --label")
        odd = [record.id for record in self.records if str(record.gold).strip() not in self._labels]
        if odd:
            raise DataError(f"record {odd[0]!r}: its gold is none of the labels {', '.join(self._labels)}")
        if len(self._labels) > MOST:
            raise DataError(f"{len(self._labels)} labels are no classification (at most {MOST}): say --label")

    @cached_property
    def _labels(self) -> tuple[str, ...]:
        found = self.label or sorted(str(record.gold).strip() for record in self.records)
        return tuple(dict.fromkeys(one.strip() for one in found))

    def _told(self, record: TrainRecord, arm: Arm) -> str:
        gold = str(record.gold).strip()
        others = [one for one in self._labels if one != gold]
        return gold if arm == "gold" else others[int(short_hash(record.id), 16) % len(others)]

    def _query(self, record: TrainRecord, arm: Arm, attempt: int) -> Query:
        return self.query(record, "flip", attempt, part=arm, values={"label": self._told(record, arm)})

    def first(self) -> Sequence[Query]:
        """Both sides of every pair, once."""
        return [self._query(record, arm, 0) for record in self.records for arm in ("gold", "flipped")]

    def run(self, ask: Ask) -> Made:
        """Ask, check and pair."""
        counts = Counter(given=len(self.records))
        found = {arm: self._texts(ask, arm, counts) for arm in ("gold", "flipped")}
        made = [
            self._pair(record, found["gold"][record.id], found["flipped"][record.id])
            for record in self.records
            if record.id in found["gold"] and record.id in found["flipped"]
        ]
        counts["kept"] = len(made)
        counts["half"] = len(found["gold"].keys() ^ found["flipped"].keys())
        return Made(tuple(made), tally(counts, _ORDER))

    def _texts(self, ask: Ask, arm: Arm, counts: Counter[str]) -> dict[str, str]:
        """Record id -> reasoning that ends in the label that it was asked to argue for."""
        made: dict[str, str] = {}
        for attempt in range(self.tries):
            left = [record for record in self.records if record.id not in made]
            completions = ask([self._query(record, arm, attempt) for record in left]) if left else []
            counts["asked"] += len(completions)
            told = [
                (replace(record, gold=self._told(record, arm)), without_hints(text))
                for record, text in replies(left, completions, counts, f"{arm}_")
            ]
            for (record, text), verdict in zip(told, grade_texts(told), strict=True):
                if verdict != "right":
                    counts[f"{arm}_other_label" if verdict == "wrong" else f"{arm}_no_answer"] += 1
                elif not has_chain(text):
                    counts[f"{arm}_no_chain"] += 1
                else:
                    made[record.id] = text
        return made

    def _pair(self, record: TrainRecord, right: str, wrong: str) -> TrainRecord:
        pair = as_pair(record, right, wrong)
        told = self._told(record, "flipped")
        by = self.templates["flip"].id
        return noted(pair, pair="flipped", flipped_label=told, pair_teacher=self.model, template=by, verified=True)
