"""Traces that are asked for with something beside the question, which the student's prompt does not have.

`paths` (fs1, arXiv 2505.11140) shows paths of a knowledge graph; `mixed` (KO-REAson) asks for reasoning in English that
keeps the terms of another language. Both keep what the grader finds right and has a chain, by the text as the teacher
generated it, its own think block included; what each further checks it counts.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

from backends.makers.asking import Ask, Query
from backends.makers.base import Made, Maker, has_chain, lost, option, reply_of, tally
from backends.makers.traces import response_of
from backends.records.contamination import words
from backends.records.inputs import noted, require_checkable
from backends.records.record import TrainRecord
from backends.records.scripts import script_share
from backends.records.similar import repeated
from backends.records.spans import parts_of
from backends.records.verify import grade_texts
from harness.errors import DataError
from harness.reasoning import with_answer
from harness.types import Json, Sampling
from judges.prompts.fencing import fence

Script = Literal["hangul", "han", "kana", "cyrillic", "greek", "arabic", "hebrew", "devanagari", "thai"]
_SCAFFOLD = re.compile(r"\\[A-Za-z]+|\b(?:therefore,? )?the (?:final )?answer is\b", re.IGNORECASE)
"""What stands around an answer and is of no language: commands of LaTeX, the phrase that graders read."""
_LOST = ("teacher_error", "cut", "empty", "wrong", "no_answer", "no_chain")


@dataclass(frozen=True, kw_only=True)
class HintedTraces(Maker):
    """What `paths` and `mixed` share."""

    draw: Sampling = field(default=Sampling(temperature=0.7))
    n: int = option(1, least=1, most=4096)
    """Completions of each prompt."""
    grader: str | None = option(None, shown="NAME")
    """What checks answers, in place of the records' own."""

    reasons: ClassVar[tuple[str, ...]] = ()
    """Why it leaves out what is right."""

    def check(self) -> None:
        """Every record needs `gold` and a grader."""
        require_checkable(self.records, self.name)

    def beside(self, record: TrainRecord) -> Mapping[str, str]:
        """What the template is filled with beside the question."""
        raise NotImplementedError

    def judged(self, record: TrainRecord, text: str) -> tuple[str, Mapping[str, Json]]:
        """Why a right response is left out, empty if it is not, and what is written into its meta."""
        raise NotImplementedError

    def _owners(self) -> list[tuple[TrainRecord, int]]:
        return [(record, attempt) for record in self.records for attempt in range(self.n)]

    def first(self) -> Sequence[Query]:
        """Everything: it asks once."""
        beside = {record.id: self.beside(record) for record in self.records}
        return [self.query(record, self.name, attempt, values=beside[record.id]) for record, attempt in self._owners()]

    def run(self, ask: Ask) -> Made:
        """Ask, grade, check, keep."""
        queries = self.first()
        counts = Counter(given=len(self.records), asked=len(queries))
        told: list[tuple[TrainRecord, int, str]] = []
        for (record, attempt), completion in zip(self._owners(), ask(queries), strict=True):
            if reply_of(completion) is None:
                counts[lost(completion)] += 1
            else:
                told.append((record, attempt, response_of(with_answer(completion))))
        made: dict[tuple[str, str], TrainRecord] = {}
        verdicts = grade_texts([(record, text) for record, _, text in told])
        for (record, attempt, text), verdict in zip(told, verdicts, strict=True):
            facts: Mapping[str, Json] = {}
            if verdict != "right":
                why = "wrong" if verdict == "wrong" else "no_answer"
            elif not has_chain(text):
                why = "no_chain"
            elif (record.id, text) in made:
                why = "duplicate"
            else:
                why, facts = self.judged(record, text)
            if why:
                counts[why] += 1
                continue
            think, answer = parts_of(text)
            whole = replace(record, id=f"{record.id}#{attempt}", response=text, think=think, answer=answer)
            by: dict[str, Json] = {"teacher": self.model, "template": self.templates[self.name].id, "verified": True}
            made[record.id, text] = noted(whole, **by, problem=record.id, **facts)
        counts["kept"] = len(made)
        return Made(tuple(made.values()), tally(counts, ("given", "asked", *_LOST, "duplicate", *self.reasons, "kept")))


@dataclass(frozen=True, kw_only=True)
class PathTraces(HintedTraces):
    """Traces written with paths of a knowledge graph beside the question, which the student is not shown (fs1).

    RECORDS have `gold` and `meta.paths`: a list of paths, each a list of [subject, relation, object]. `meta.path_share`
    says how many of the paths' entities the chain names. Defaults: temperature 0.7.

    \b
    harness data paths questions.jsonl --teacher openai:my-teacher -o traces.jsonl
    """  # noqa: D301  # a real backspace: it tells click to keep these lines

    least: float = option(0.0, least=0, most=1)
    """Least share of the entities of some one path that the chain names."""

    name = "paths"
    template_fields: ClassVar = {"paths": ("question", "paths")}
    reasons: ClassVar = ("off_path",)

    def check(self) -> None:
        """Every record needs paths as well."""
        super().check()
        for record in self.records:
            paths_of(record)

    def beside(self, record: TrainRecord) -> Mapping[str, str]:
        """Its paths, one in a line."""
        lines = ["; ".join(" -> ".join(triple) for triple in path) for path in paths_of(record)]
        return {"paths": fence("\n".join(lines))}

    def judged(self, record: TrainRecord, text: str) -> tuple[str, Mapping[str, Json]]:
        """How much of its best path the chain walks."""
        chain = f" {' '.join(words(parts_of(text)[0] or ''))} "
        shares = []
        for path in paths_of(record):
            entities = {" ".join(words(end)) for triple in path for end in (triple[0], triple[-1])} - {""}
            named = sum(f" {entity} " in chain for entity in entities)
            shares.append(named / len(entities) if entities else 0.0)
        return "off_path" if max(shares) < self.least else "", {"path_share": round(max(shares), 4)}


def paths_of(record: TrainRecord) -> list[list[list[str]]]:
    """The paths of a record; raises `DataError` for one without."""
    found = record.meta.get("paths")
    fit = (
        isinstance(found, list | tuple)
        and found
        and all(isinstance(path, list | tuple) and path and all(_triple(triple) for triple in path) for path in found)
    )
    if not fit:
        raise DataError(
            f"record {record.id!r}: 'meta.paths' must be a list of paths, each a list of [subject, relation, object]"
        )
    return [[[str(part) for part in triple] for triple in path] for path in found]  # type: ignore[union-attr]


def _triple(value: object) -> bool:
    return isinstance(value, list | tuple) and len(value) == 3 and all(isinstance(p, str) and p.strip() for p in value)


@dataclass(frozen=True, kw_only=True)
class MixedTraces(HintedTraces):
    """Traces that think in English and keep the question's names and terms in its own script (KO-REAson).

    Kept are right ones whose chain has a share of letters of the script within bounds, whose answer is in it (or has
    no letters), with one think block, that are not too long and do not repeat themselves. Defaults: temperature 0.7.

    \b
    harness data mixed questions.jsonl --teacher openai:my-teacher --script hangul -o mixed.jsonl
    """  # noqa: D301  # a real backspace: it tells click to keep these lines

    script: Script = "hangul"
    """Of the question's language."""
    least: float = option(0.05, least=0, most=1)
    """Least share of the chain's letters that are of the script."""
    most: float = option(0.2, least=0, most=1)
    """Most share."""
    most_words: int = option(16384, least=1)
    """Of a response; Han and kana characters are words."""

    name = "mixed"
    template_fields: ClassVar = {"mixed": ("question", "script")}
    reasons: ClassVar = ("share_below", "share_above", "answer_script", "blocks", "too_long", "repetitive")

    def check(self) -> None:
        """Bounds that hold something."""
        super().check()
        if self.least > self.most:
            raise DataError(f"--least {self.least:g} is above --most {self.most:g}: no share is between them")

    def beside(self, record: TrainRecord) -> Mapping[str, str]:
        """The script's name."""
        return {"script": self.script}

    def judged(self, record: TrainRecord, text: str) -> tuple[str, Mapping[str, Json]]:
        """The share, then the rest."""
        chain, answer = parts_of(text)
        share, said = script_share(chain or "", self.script) or 0.0, words(text)
        own = script_share(_SCAFFOLD.sub("", answer), self.script)
        if text.count("<think>") > 1:
            why = "blocks"
        elif len(said) > self.most_words:
            why = "too_long"
        elif repeated(said) > 0.5:
            why = "repetitive"
        elif not self.least <= share <= self.most:
            why = "share_below" if share < self.least else "share_above"
        else:
            why = "answer_script" if own is not None and own < 0.5 else ""
        return why, {"script": self.script, "script_share": round(share, 4)}
