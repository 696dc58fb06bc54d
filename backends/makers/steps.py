"""Labels of steps by continuation: from the end of each step, how many of so many attempts end in the right answer.

The data of the method `prm` (Fin-PRM; Math-Shepherd's soft estimate). A label is a share of the continuations that
could be graded: one that failed or was cut says nothing, and a step without any leaves its record out. The outcome is
the grader's verdict on the record's own response. An engine that can go on in the middle of a reply does; another is
shown the beginning.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from backends.makers.asking import Ask, Query
from backends.makers.base import Made, Maker, lost, option, tally
from backends.records.inputs import noted, problem_of, require_checkable
from backends.records.record import TrainRecord, response_text
from backends.records.verify import grade, verdict_of
from backends.structure.judged import OUTCOME, STEPS, ends_of
from backends.structure.paths import written_path
from harness.errors import DataError
from harness.types import Completion, Json, Message, Sampling
from judges.prompts.fencing import fence

_ORDER = ("given", "steps", "asked", "kept", "right", "wrong", "no_step", "no_outcome", "no_label")


def beginnings(text: str) -> list[str]:
    """The response up to the end of each of its steps, in order."""
    path, _ = written_path(text)
    start = text.find(path)
    return [text[: start + len(end.text)] for end in ends_of(text) if end.kind == "step"]


@dataclass(frozen=True, kw_only=True)
class Steps(Maker):
    """Label the steps of responses by the share of right continuations from each: the data of prm (Fin-PRM).

    RECORDS have `gold` and a response, right or wrong. Default: temperature 1.

    \b
    harness data steps traces.jsonl --student hf:./student -o labelled.jsonl
    """  # noqa: D301  # a real backspace: it tells click to keep these lines

    draw: Sampling = field(default=Sampling(temperature=1.0))
    k: int = option(8, least=1, most=4096)
    """Continuations of each beginning."""
    grader: str | None = option(None, shown="NAME")
    """What checks answers, in place of the records' own."""

    name = "steps"
    role = "student"
    template_fields: ClassVar = {"steps_continue": ("question", "begun")}
    nothing: ClassVar[str] = "no record has a label for each of its steps"

    def check(self) -> None:
        """Every record needs a response, `gold` and a grader."""
        require_checkable(self.records, "steps")
        bad = [record.id for record in self.records if not (response_text(record) or "").strip()]
        if bad:
            raise DataError(f"steps labels responses, and {len(bad)} records have none, the first {bad[0]!r}")

    def first(self) -> Sequence[Query]:
        """Everything: it asks once."""
        return [query for _, _, query in self._asked()]

    def _asked(self) -> list[tuple[int, str, Query]]:
        """Which record, from which beginning, and the query; all of a beginning in a row."""
        return [
            (place, begun, self._query(record, number, begun, attempt))
            for place, record in enumerate(self.records)
            for number, begun in enumerate(beginnings(response_text(record) or ""))
            for attempt in range(self.k)
        ]

    def _query(self, record: TrainRecord, number: int, begun: str, attempt: int) -> Query:
        if not self.continues:
            return self.query(record, "steps_continue", attempt, part=str(number), values={"begun": fence(begun)})
        messages = (*record.prompt, Message("assistant", begun))
        return Query(f"{self.name}:{number}", "", problem_of(record, messages), attempt, self.draw)

    def run(self, ask: Ask) -> Made:
        """Ask, grade, and count what is right."""
        asked = self._asked()
        counts = Counter(given=len(self.records), asked=len(asked), steps=len(asked) // self.k)
        whole: list[tuple[int, str, Completion]] = []
        for (place, begun, _), reply in zip(asked, ask([query for _, _, query in asked]) if asked else [], strict=True):
            if reply.finish != "stop":
                counts[lost(reply)] += 1
            else:
                text = begun + reply.text if self.continues else reply.text
                whole.append((place, begun, Completion(text, "stop")))
        scores = grade([(problem_of(self.records[place]), one) for place, _, one in whole])
        verdicts: dict[tuple[int, str], list[str]] = {}
        for (place, begun, _), score in zip(whole, scores, strict=True):
            verdicts.setdefault((place, begun), []).append("wrong" if score.value == 0.0 else verdict_of(score))
        own = grade([(problem_of(one), Completion(response_text(one) or "", "stop")) for one in self.records])
        made = []
        for place, record in enumerate(self.records):
            outcome = own[place].value
            labels = [_share(verdicts.get((place, begun), [])) for begun in beginnings(response_text(record) or "")]
            why = "no_step" if not labels else "no_outcome" if outcome is None else "no_label" if None in labels else ""
            counts[why or "kept"] += 1
            if why or outcome is None:
                continue
            counts["right" if outcome == 1.0 else "wrong"] += 1
            told: dict[str, Json] = {STEPS: labels, OUTCOME: outcome}
            made.append(noted(record, **told, labelled_by=self.model, continuations=self.k, continued=self.continues))
        return Made(tuple(made), tally(counts, _ORDER))


def _share(verdicts: Sequence[str]) -> float | None:
    """The share that is right of those that could be graded; None if none could."""
    graded = [one for one in verdicts if one in ("right", "wrong")]
    return graded.count("right") / len(graded) if graded else None
