"""Records whose prompts are least like any benchmark's questions, by embeddings: RLKD's way to choose its 3,200."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from backends.makers.asking import Ask
from backends.makers.base import Made, Maker, option
from backends.records.inputs import noted, read_all
from backends.records.record import TrainRecord
from harness.errors import DataError
from harness.metrics.diversity_embed import Embedder
from harness.suites import load_problems, load_suite
from harness.types import Json

_ROWS = 4096
"""Prompts that are compared at a time."""


@dataclass(frozen=True, kw_only=True)
class Select(Maker):
    """Keep the records whose prompts are farthest from a benchmark's questions.

    RECORDS may also be prompt files. Each prompt's cosine to the nearest question decides; it is written into the
    record's meta. Unlike decontaminate this is about subjects, not copies: run that as well.

    \b
    harness data select problems.jsonl --suite aime24,gpqa --data-dir ./benchmarks --farthest 3200 -o chosen.jsonl
    """  # noqa: D301  # a real backspace: it tells click to keep these lines

    suite: str = field(metadata={"shown": "NAME,…"})
    """Benchmarks to be far from."""
    farthest: int = option(3200, least=1)
    """How many records to keep."""
    embedder: str = option("", shown="NAME")
    """Folder or hub id of a sentence-transformers model. [default: all-MiniLM-L6-v2]"""
    data_dir: Path | None = None

    name = "select"
    role = ""

    @classmethod
    def read(cls, files: Sequence[str], given: Mapping[str, Any]) -> tuple[list[TrainRecord], dict[str, Json]]:
        """Records, or rows of prompt files."""
        return read_all(files, plain=True), {"inputs": list(files)}

    def run(self, ask: Ask) -> Made:
        """Embed, compare, keep in the records' order."""
        questions: dict[str, str] = {}
        for name in dict.fromkeys(one.strip() for one in self.suite.split(",")):
            problems = load_problems(load_suite(name), self.data_dir, 0, None)
            questions |= dict.fromkeys((problem.messages[-1].content for problem in problems), name)
        if not questions:
            raise DataError(f"{self.suite} has no questions to be far from")
        embed = Embedder(self.embedder)
        texts = [record.prompt[-1].content for record in self.records]
        nearest, which = _nearest(embed(texts), embed(list(questions)))
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


def _nearest(rows: np.ndarray[Any, Any], others: np.ndarray[Any, Any]) -> tuple[Any, Any]:
    """The largest cosine of each row to any of the others, and to which."""
    unit = others / np.maximum(np.linalg.norm(others, axis=1, keepdims=True), 1e-12)
    found, which = [], []
    for start in range(0, len(rows), _ROWS):
        part = rows[start : start + _ROWS]
        cosines = part / np.maximum(np.linalg.norm(part, axis=1, keepdims=True), 1e-12) @ unit.T
        found.append(cosines.max(axis=1))
        which.append(cosines.argmax(axis=1))
    return np.concatenate(found), np.concatenate(which)
