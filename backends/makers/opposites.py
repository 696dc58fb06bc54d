"""A wrong answer to each question, for makers that argue for one.

It is another of the record's `choices`; else what its `rejected` ends in, where the grader finds that wrong; else the
gold of another record with the same grader, so that it is of the right kind. The record's id chooses among several.
"""

from __future__ import annotations

from collections.abc import Sequence

from backends.records.inputs import grader_of, problem_of
from backends.records.record import TrainRecord
from backends.records.verify import grade
from harness.hashing import short_hash
from harness.types import Completion


def wrong_answers(records: Sequence[TrainRecord]) -> dict[str, str]:
    """Record id -> its wrong answer, for records that can be checked; one that nothing gives is left out."""
    said = [record for record in records if record.rejected and not _options(record)]
    scores = grade([(problem_of(one), Completion(one.rejected or "", "stop")) for one in said])
    found = {
        record.id: score.answer
        for record, score in zip(said, scores, strict=True)
        if score.value == 0.0 and score.answer is not None and score.answer.strip()
    }
    golds = _golds(records)
    for record in records:
        gold = str(record.gold).strip()
        others = [one for one in _options(record) if one != gold] or golds[grader_of(record)]
        place = int(short_hash(record.id), 16) % len(others)
        other = others[place] if others[place] != gold else others[(place + 1) % len(others)]
        if record.id not in found and other != gold:
            found[record.id] = other
    return found


def _golds(records: Sequence[TrainRecord]) -> dict[str | None, list[str]]:
    """Grader -> the golds of its records."""
    found: dict[str | None, dict[str, None]] = {}
    for record in sorted(records, key=lambda one: one.id):
        found.setdefault(grader_of(record), {})[str(record.gold).strip()] = None
    return {name: list(golds) for name, golds in found.items()}


def _options(record: TrainRecord) -> list[str]:
    """What a multiple choice may be answered with, in the form of its gold."""
    choices, gold = problem_of(record).choices, str(record.gold).strip()
    return [chr(ord("A") + place) for place in range(len(choices))] if len(gold) == 1 < len(choices) else [*choices]
