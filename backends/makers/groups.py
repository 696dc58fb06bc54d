"""Several responses to one question: where the makers find them that choose between responses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

from backends.records.record import TrainRecord, response_text
from backends.records.spans import parts_of
from harness.types import Message


@dataclass(frozen=True, slots=True)
class Sample:
    """A response, and the record that it is of."""

    record: TrainRecord
    text: str

    def alone(self) -> TrainRecord:
        """The record with this response and no other right one."""
        if self.text == response_text(self.record):
            return replace(self.record, positives=())
        think, answer = parts_of(self.text)
        return replace(self.record, response=self.text, think=think, answer=answer, positives=())


def by_question(records: Iterable[TrainRecord], counts: Counter[str]) -> list[list[Sample]]:
    """The responses to each question: of all records with the same prompt, and their positives, each text once.

    What repeats a text is counted as "repeated", a record without any response as "no_response".
    """
    found: dict[tuple[Message, ...], dict[str, Sample]] = {}
    for record in records:
        own = response_text(record)
        texts = [text for text in (own, *record.positives) if text is not None and text.strip()]
        counts["no_response"] += not texts
        samples = found.setdefault(record.prompt, {}) if texts else {}
        for text in texts:
            counts["repeated"] += text in samples
            samples.setdefault(text, Sample(record, text))
    return [list(samples.values()) for samples in found.values()]
