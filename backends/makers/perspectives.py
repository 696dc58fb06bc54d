"""Several right rationales of one question: the eight perspectives of MIND, near-duplicates removed as MCC-KD does.

Each perspective is one request. Kept are those that the grader finds right, that have a chain, and that are no
near-duplicate of the response or of an earlier one: Jaccard similarity of their sets of words of at most `SIMILAR`
(MCC-KD, arXiv 2310.14747). They become the record's `positives`, their perspectives stand in its meta in the same
order; a record without a response takes the first of them as its response.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from backends.makers.asking import Ask, Draw, Query
from backends.makers.base import Made, has_chain, in_form_of, lost, plain, query, reply_of, tally
from backends.makers.templates import Template, load_template
from backends.records.inputs import noted, problem_of, require_checkable
from backends.records.record import TrainRecord, response_text
from backends.records.rejection import parts_of
from backends.records.verify import grade_texts
from harness.errors import DataError

SIMILAR = 0.8
"""Two rationales whose words overlap more than this are one."""
_WORD = re.compile(r"\w+")
_ORDER = (
    *("given", "asked", "right", "wrong", "no_answer", "no_chain", "near_duplicate", "teacher_error", "cut", "empty"),
    *("positives", "kept", "too_few"),
)


def word_jaccard(one: str, other: str) -> float:
    """Words that both have over words that either has, case folded, 0 to 1; two texts without words are the same."""
    first, second = (set(_WORD.findall(text.casefold())) for text in (one, other))
    return len(first & second) / len(first | second) if first or second else 1.0


@dataclass(frozen=True)
class Perspectives:
    """The recipe; every record needs `gold` and a grader."""

    records: Sequence[TrainRecord]
    teacher: str
    names: Sequence[str] = ()
    """Perspectives to ask for; empty for all of the template's."""
    at_least: int = 1
    """Records with fewer positives are left out: a method that needs them refuses data in which some have none."""
    draw: Draw = field(default_factory=lambda: Draw(temperature=0.7, top_p=0.95))
    template: Template = field(default_factory=lambda: load_template("perspectives"))
    name: str = "perspectives"

    def __post_init__(self) -> None:
        require_checkable(self.records, "perspectives")
        unknown = [name for name in self.names if name not in self.template.variants]
        if unknown or len(set(self.names)) < len(self.names):
            raise DataError(f"perspectives {list(self.names)!r}: each once, out of {', '.join(self.template.variants)}")
        if self.at_least < 0:
            raise DataError("--at-least must not be negative")

    @property
    def templates(self) -> Sequence[Template]:
        """The one."""
        return (self.template,)

    @property
    def _chosen(self) -> Sequence[str]:
        return self.names or tuple(self.template.variants)

    def first(self) -> Sequence[Query]:
        """Everything: this recipe asks once."""
        return [
            query(f"perspectives:{name}", record, self.template, self.draw, variant=self.template.variants[name])
            for record in self.records
            for name in self._chosen
        ]

    def run(self, ask: Ask) -> Made:
        """Ask, check, remove near-duplicates."""
        queries = self.first()
        counts = Counter(given=len(self.records), asked=len(queries))
        owners = [(record, name) for record in self.records for name in self._chosen]
        texts: list[tuple[TrainRecord, str, str]] = []
        for (record, name), completion in zip(owners, ask(queries), strict=True):
            text = reply_of(completion)
            if text is None:
                counts[lost(completion)] += 1
            else:
                texts.append((record, name, in_form_of(response_text(record) or "", text)))
        verdicts = grade_texts([(problem_of(record), text) for record, _, text in texts])
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
            perspectives_by=self.teacher,
            template=self.template.id,
            verified=True,
        )
