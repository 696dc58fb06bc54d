"""Long thoughts from short solutions, in several passes of editing: the control to distilled long chains.

"Is human-written data enough?" (arXiv 2507.09850, whose abstract is what is known here) trains on 20 long chains of a
reasoning model and compares chains that people, or a model that does not reason, wrote and that were edited into long
ones. Each pass shows the editor what the pass before made and asks for one thing: steps spelled out, results checked,
other ways explored. Of each pass the grader must still find the answer right; a pass that loses it, the chain, or does
not lengthen is left out, and the next one goes on from what was there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

from backends.makers.asking import Ask, Query
from backends.makers.base import Made, Maker, has_chain, in_form_of, option, plain, replies, tally
from backends.records.inputs import noted, require_checkable
from backends.records.record import TrainRecord, require, response_text
from backends.records.spans import parts_of
from backends.records.verify import grade_texts
from harness.errors import DataError
from harness.types import Completion, Json, Sampling

_WHY = ("teacher_error", "cut", "empty", "answer_wrong", "no_answer", "no_chain", "not_longer")
PASSES = ("spelled", "checked", "explored")


@dataclass(frozen=True, kw_only=True)
class Lengthen(Maker):
    """Edit worked solutions into long thoughts, pass by pass: people's chains as a control to distilled ones.

    RECORDS have a response, `gold` and a grader: solutions that people wrote, or a model that does not reason. Default:
    temperature 0.7.

    \b
    harness data lengthen gsm8k_train.jsonl --teacher openai:my-editor --grader integer -o edited.jsonl
    """  # noqa: D301  # a real backspace: it tells click to keep these lines

    draw: Sampling = field(default=Sampling(temperature=0.7))
    only: tuple[str, ...] = option((), shown="PASS")
    """One pass; repeat it, in their order. [default: spelled, checked, explored]"""
    at_least: float = option(1.5, least=1)
    """Least words of the result, times those of the original; shorter ones are left out."""
    grader: str | None = option(None, shown="NAME")
    """What checks answers, in place of the records' own."""

    name = "lengthen"
    template_fields: ClassVar = {"lengthen": ("question", "reasoning", "variant")}
    nothing: ClassVar = "no solution was lengthened"

    def check(self) -> None:
        """Every record needs a response, `gold` and a grader."""
        require_checkable(self.records, "lengthen")
        require(self.records, ("response",), "harness data lengthen")
        known = self.templates["lengthen"].variants
        if not set(self._passes) <= set(known):
            raise DataError(f"passes {', '.join(self._passes)}: each is one of {', '.join(known)}")

    @property
    def _passes(self) -> tuple[str, ...]:
        return self.only or PASSES

    def _queries(self, texts: dict[str, str], number: int) -> list[Query]:
        variant = self.templates["lengthen"].variants[self._passes[number]]
        return [
            self.query(
                record,
                "lengthen",
                part=f"{number}:{self._passes[number]}",
                values={"reasoning": plain(texts[record.id]), "variant": variant},
            )
            for record in self.records
        ]

    def first(self) -> Sequence[Query]:
        """The first pass."""
        return self._queries({record.id: response_text(record) or "" for record in self.records}, 0)

    def run(self, ask: Ask) -> Made:
        """Pass after pass, each over what the last one left."""
        before = {record.id: response_text(record) or "" for record in self.records}
        texts, done, counts = dict(before), dict.fromkeys(before, 0), Counter(given=len(self.records))
        for number, name in enumerate(self._passes):
            edited = self._passed(ask(self._queries(texts, number)), texts, f"{name}_", counts)
            texts |= edited
            for record_id in edited:
                done[record_id] += 1
        made = [
            self._record(record, texts[record.id], done[record.id])
            for record in self.records
            if done[record.id] and _words(texts[record.id]) >= self.at_least * _words(before[record.id])
        ]
        counts["never_edited"] = sum(not passes for passes in done.values())
        counts["too_short"] = len(self.records) - counts["never_edited"] - len(made)
        counts["words_before"] = sum(_words(before[record.id]) for record in made)
        counts["words_after"] = sum(_words(texts[record.id]) for record in made)
        counts["kept"] = len(made)
        order = ("given", *(f"{name}_{why}" for name in self._passes for why in _WHY), "never_edited", "too_short")
        facts: dict[str, Json] = {"passes": list(self._passes)}
        return Made(tuple(made), tally(counts, (*order, "words_before", "words_after", "kept")), facts=facts)

    def _passed(
        self, completions: Sequence[Completion], texts: dict[str, str], part: str, counts: Counter[str]
    ) -> dict[str, str]:
        """Record id -> its text after this pass, of those that came through it."""
        told = [
            (record, in_form_of(texts[record.id], text))
            for record, text in replies(self.records, completions, counts, part)
        ]
        found: dict[str, str] = {}
        for (record, text), verdict in zip(told, grade_texts(told), strict=True):
            if verdict != "right":
                counts[part + ("answer_wrong" if verdict == "wrong" else "no_answer")] += 1
            elif not has_chain(text):
                counts[part + "no_chain"] += 1
            elif _words(text) <= _words(texts[record.id]):
                counts[part + "not_longer"] += 1
            else:
                found[record.id] = text
        return found

    def _record(self, record: TrainRecord, text: str, passes: int) -> TrainRecord:
        """The stages and the wrong twin were those of the old chain: they go."""
        think, answer = parts_of(text)
        meta = {key: value for key, value in record.meta.items() if key not in ("error_span", "right_span")}
        made = replace(record, response=text, think=think, answer=answer, rejected=None, structure=(), meta=meta)
        by: dict[str, Json] = {"edited_by": self.model, "template": self.templates["lengthen"].id, "verified": True}
        old = _words(response_text(record) or "")
        return noted(made, **by, passes=passes, words_before=old, words_after=_words(text))


def _words(text: str) -> int:
    return len(plain(text).split())
