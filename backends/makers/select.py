"""Which records are worth training on, without asking anybody.

By the benchmarks: prompts that are least like any of their questions, by embeddings (RLKD's way to choose its 3,200).
By what DED (arXiv 2508.09883) and the studies of tiny sets of long thoughts turn: of each question the responses that
are farthest apart, or a few records by difficulty, length, diversity of their prompts; by chance as the control.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from backends.makers.asking import Ask
from backends.makers.base import Made, Maker, option
from backends.makers.choosing import farthest_apart, word_distances
from backends.makers.groups import by_question
from backends.records.inputs import noted, read_all
from backends.records.record import TrainRecord, require, response_text
from harness.errors import DataError, UsageError
from harness.files import is_number
from harness.metrics.diversity_embed import Embedder
from harness.suites import load_problems, load_suite
from harness.types import Json

_ROWS = 4096
"""Prompts that are compared at a time."""


@dataclass(frozen=True, kw_only=True)
class Select(Maker):
    """Keep records that are far from a benchmark's questions or from each other, hard, long, or drawn by chance.

    RECORDS may also be prompt files. With --suite each prompt's cosine to the nearest question decides; it is written
    into the record's meta. Unlike decontaminate this is about subjects, not copies: run that as well. Otherwise --by
    and --keep: `responses` keeps so many of each question, those whose words are farthest apart (of the same prompt,
    one record each); `prompts` those whose prompts are, by embeddings; `hardest` and `easiest` go by the `pass_rate`
    that passrate writes.

    \b
    harness data select problems.jsonl --suite aime24,gpqa --data-dir ./benchmarks --farthest 3200 -o chosen.jsonl
    harness data select traces.jsonl --by responses --keep 4 -o diverse.jsonl
    """  # noqa: D301  # a real backspace: it tells click to keep these lines

    suite: str = option("", shown="NAME,…")
    """Benchmarks to be far from."""
    farthest: int = option(3200, least=1)
    """With --suite: how many records to keep."""
    by: Literal["suite", "responses", "prompts", "hardest", "easiest", "longest", "shortest", "random"] = "suite"
    """What decides; all but suite need --keep."""
    keep: int | None = option(None, least=1)
    """How many records; with --by responses, of each question."""
    seed: int = 0
    """Of --by random."""
    embedder: str = option("", shown="NAME")
    """Folder or hub id of a sentence-transformers model. [default: all-MiniLM-L6-v2]"""
    data_dir: Path | None = None

    name = "select"
    role = ""

    @classmethod
    def read(cls, files: Sequence[str], given: Mapping[str, Any]) -> tuple[list[TrainRecord], dict[str, Json]]:
        """Records, or rows of prompt files."""
        return read_all(files, plain=True), {"inputs": list(files)}

    def check(self) -> None:
        """What decides must be there, and in every record."""
        if (self.by == "suite") != bool(self.suite):
            raise UsageError("say --suite NAME, or what else decides: --by responses, hardest, longest, random, …")
        if (self.by == "suite") != (self.keep is None):
            raise UsageError("--keep says how many with --by; with --suite it is --farthest")
        if self.by in ("responses", "longest", "shortest"):
            require(self.records, ("response",), f"harness data select --by {self.by}")
        if self.by in ("hardest", "easiest"):
            bare = [one.id for one in self.records if not is_number(one.meta.get("pass_rate"))]
            if bare:
                raise DataError(
                    f"{len(bare)} records have no 'pass_rate' in their meta, the first {bare[0]!r}: `harness data "
                    "passrate` writes it"
                )

    def run(self, ask: Ask) -> Made:
        """Choose, and keep in the records' order."""
        if self.by == "suite":
            return self._far_from_suites()
        if self.by == "responses":
            return self._far_apart()
        places, facts = self._places()
        kept = tuple(self.records[place] for place in sorted(places))
        return Made(kept, {"given": len(self.records), "kept": len(kept)}, facts={"by": self.by, **facts})

    def _places(self) -> tuple[list[int], dict[str, Json]]:
        """The records that are kept."""
        count, most = len(self.records), min(self.keep or 0, len(self.records))
        if self.by == "random":
            return random.Random(self.seed).sample(range(count), most), {"seed": self.seed}
        if self.by == "prompts":
            embed = Embedder(self.embedder)
            rows = embed([record.prompt[-1].content for record in self.records])
            unit = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
            return farthest_apart(count, most, lambda one, other: 1 - float(unit[one] @ unit[other])), embed.identity()
        if self.by in ("hardest", "easiest"):
            values = [float(str(record.meta["pass_rate"])) for record in self.records]
        else:
            values = [float(len((response_text(record) or "").split())) for record in self.records]
        sign = -1 if self.by in ("easiest", "longest") else 1
        return sorted(range(count), key=lambda place: sign * values[place])[:most], {}

    def _far_apart(self) -> Made:
        """Of each question the responses that are farthest apart."""
        counts: Counter[str] = Counter()
        kept: list[TrainRecord] = []
        questions = by_question(self.records, counts)
        for samples in questions:
            distance = word_distances([one.text for one in samples])
            places = sorted(farthest_apart(len(samples), self.keep or 1, distance))
            taken = Counter(samples[place].record.id for place in places)
            for place in places:
                record = samples[place].alone()
                if taken[record.id] > 1:
                    record = replace(record, id=f"{record.id}+{place}")
                kept.append(record)
        responses = sum(map(len, questions))
        told = {"given": len(self.records), "repeated": counts["repeated"], "questions": len(questions)}
        told |= {"responses": responses, "passed_over": responses - len(kept), "kept": len(kept)}
        return Made(tuple(kept), told, facts={"by": self.by})

    def _far_from_suites(self) -> Made:
        questions: dict[str, str] = {}
        for name in dict.fromkeys(one.strip() for one in self.suite.split(",")):
            problems = load_problems(load_suite(name), self.data_dir, 0, None)
            questions |= dict.fromkeys((problem.messages[-1].content for problem in problems), name)
        if not questions:
            raise DataError(f"{self.suite} has no questions to be far from")
        embed = Embedder(self.embedder)
        texts = [record.prompt[-1].content for record in self.records]
        nearest, which = nearest_of(embed(texts), embed(list(questions)))
        order = np.argsort(nearest, kind="stable")[: self.farthest]
        suites = list(questions.values())
        kept = tuple(
            noted(self.records[place], nearest=round(float(nearest[place]), 4), nearest_suite=suites[which[place]])
            for place in sorted(order.tolist())
        )
        facts: dict[str, Json] = {
            **embed.identity(),
            "suites": sorted(set(suites)),
            "questions": len(questions),
            "nearest_kept": round(float(nearest[order].max()), 4),
            "nearest_of_all": round(float(nearest.max()), 4),
        }
        return Made(kept, {"given": len(texts), "kept": len(kept)}, facts=facts)


def nearest_of(rows: np.ndarray[Any, Any], others: np.ndarray[Any, Any]) -> tuple[Any, Any]:
    """The largest cosine of each row to any of the others, and to which."""
    unit = others / np.maximum(np.linalg.norm(others, axis=1, keepdims=True), 1e-12)
    found, which = [], []
    for start in range(0, len(rows), _ROWS):
        part = rows[start : start + _ROWS]
        cosines = part / np.maximum(np.linalg.norm(part, axis=1, keepdims=True), 1e-12) @ unit.T
        found.append(cosines.max(axis=1))
        which.append(cosines.argmax(axis=1))
    return np.concatenate(found), np.concatenate(which)
