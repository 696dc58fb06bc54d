"""Several right rationales of one question: the eight perspectives of MIND, near-duplicates removed as MCC-KD does.

Each perspective is one request. Kept are those that the grader finds right, that have a chain, and that are no
near-duplicate of the response or of an earlier one: Jaccard similarity of their sets of words of at most `SIMILAR`
(MCC-KD, arXiv 2310.14747). They become the record's `positives`, their perspectives stand in its meta in the same
order; a record without a response takes the first of them as its response.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

from backends.makers.asking import Ask, Query
from backends.makers.base import Made, Maker, has_chain, in_form_of, option, plain, replies, tally
from backends.records.inputs import noted, require_checkable
from backends.records.record import TrainRecord, response_text
from backends.records.similar import SIMILAR, word_jaccard
from backends.records.spans import parts_of
from backends.records.verify import grade_texts
from harness.errors import DataError
from harness.types import Sampling

_ORDER = (
    *("given", "asked", "right", "wrong", "no_answer", "no_chain", "near_duplicate", "teacher_error", "cut", "empty"),
    *("positives", "kept", "too_few"),
)


@dataclass(frozen=True, kw_only=True)
class Perspectives(Maker):
    """Add right rationales from several perspectives as `positives`, for mcc_kd and mind.

    Rationales whose words overlap by more than 0.8 are one. Defaults: temperature 0.7, top-p 0.95.

    \b
    harness data perspectives traces.jsonl --teacher openai:my-teacher -o views.jsonl
    """  # noqa: D301  # a real backspace: it tells click to keep these lines

    draw: Sampling = field(default=Sampling(temperature=0.7, top_p=0.95))
    only: tuple[str, ...] = option((), shown="NAME")
    """One perspective; repeat it. [default: all eight]"""
    at_least: int = option(1, least=0)
    """Leave out records with fewer positives."""
    grader: str | None = option(None, shown="NAME")
    """What checks answers, in place of the records' own."""

    name = "perspectives"
    template_fields: ClassVar = {"perspectives": ("question", "variant")}

    def check(self) -> None:
        """Every record needs `gold` and a grader."""
        require_checkable(self.records, "perspectives")
        known = self.templates["perspectives"].variants
        if not set(self.only) <= set(known) or len(set(self.only)) < len(self.only):
            raise DataError(f"perspectives {list(self.only)!r}: each once, out of {', '.join(known)}")

    def _asked(self) -> list[tuple[TrainRecord, str]]:
        chosen = self.only or tuple(self.templates["perspectives"].variants)
        return [(record, name) for record in self.records for name in chosen]

    def first(self) -> Sequence[Query]:
        """Everything: it asks once."""
        variants = self.templates["perspectives"].variants
        return [
            self.query(record, "perspectives", part=name, values={"variant": variants[name]})
            for record, name in self._asked()
        ]

    def run(self, ask: Ask) -> Made:
        """Ask, check, remove near-duplicates."""
        queries = self.first()
        counts = Counter(given=len(self.records), asked=len(queries))
        texts = [
            (record, name, in_form_of(response_text(record) or "", text))
            for (record, name), text in replies(self._asked(), ask(queries), counts)
        ]
        verdicts = grade_texts([(record, text) for record, _, text in texts])
        right: dict[str, list[tuple[str, str]]] = {}
        for (record, name, text), verdict in zip(texts, verdicts, strict=True):
            counts[verdict] += 1
            if verdict == "right" and not has_chain(text):
                counts["no_chain"] += 1
            elif verdict == "right":
                right.setdefault(record.id, []).append((name, text))
        made = [self._record(record, right.get(record.id, []), counts) for record in self.records]
        records = tuple(record for record in made if record is not None)
        counts["kept"] = len(records)
        return Made(records, tally(counts, _ORDER))

    def _record(
        self, record: TrainRecord, found: Sequence[tuple[str, str]], counts: Counter[str]
    ) -> TrainRecord | None:
        response = response_text(record)
        names, texts = ["given"] * len(record.positives), list(record.positives)
        first = "given"
        for name, text in found:
            others = [*texts, *([response] if response else [])]
            if any(word_jaccard(plain(text), plain(other)) > SIMILAR for other in others):
                counts["near_duplicate"] += 1
            elif response is None:
                response, first = text, name
            else:
                names.append(name)
                texts.append(text)
        if len(texts) < self.at_least or response is None:
            counts["too_few"] += 1
            return None
        counts["positives"] += len(texts)
        if record.response is None and response_text(record) is None:
            think, answer = parts_of(response)
            record = replace(record, response=response, think=think, answer=answer)
        return noted(
            replace(record, positives=tuple(texts)),
            perspectives=list(names),
            response_perspective=first,
            perspectives_by=self.model,
            template=self.templates["perspectives"].id,
            verified=True,
        )
