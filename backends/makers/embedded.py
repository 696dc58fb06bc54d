"""Records of the embedded world, of known truth: the one maker that starts from nothing."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Literal, cast

from backends.makers.asking import Ask
from backends.makers.base import Made, Maker, option
from backends.records.source import error_kinds
from backends.records.synth import Form, RecordFamily, RecordStyle, synth_records
from harness.errors import UsageError
from harness.synth import Level


@dataclass(frozen=True, kw_only=True)
class Synth(Maker):
    """Write records of the embedded world: right chains, wrong twins, structures, candidates, all of known truth.

    "long" chains have a structure and no wrong twin; the other styles have a twin. No record's question is in the
    suites synth and synth_easy; those of the families knights and countdown are not in synth_knights, synth_countdown.

    \b
    harness data synth --levels 1,2 --per-level 500 --style plain --positives 2 --candidates 4 -o train.jsonl
    """  # noqa: D301  # a real backspace: it tells click to keep these lines

    levels: str = option("1,2", shown="N,…")
    """Out of 1 to 5."""
    per_level: int = option(500, least=1, most=1_000_000)
    """Of each level."""
    split: Literal["train", "dev"] = "train"
    style: RecordStyle = "plain"
    """How chains are written; terse and verbose are two teachers, both one of them for each problem."""
    form: Form = "think"
    """The chain in a think block, or before the answer."""
    positives: int = option(0, least=0, most=64)
    """Other right responses."""
    candidates: int = option(0, least=0, most=64)
    """Rewarded answers: 0 or 2+."""
    family: RecordFamily = "sums"
    """Both kinds of sums, one of them, or logic puzzles."""
    errors: str = option("", shown="KIND+…")
    """Mistakes of wrong twins, or all. [default: four of the nine]"""
    negatives: int = option(0, least=0, most=64)
    """Further wrong responses, one mistake each."""
    seed: int = 0

    name = "synth"
    role = ""
    takes_files = False

    def check(self) -> None:
        """Levels are digits."""
        if not re.fullmatch(r"\s*[0-9]\s*(?:,\s*[0-9]\s*)*", self.levels):
            raise UsageError(f"--levels {self.levels!r}: levels are digits joined by commas, as in 1,2")
        try:
            error_kinds(self.errors)
        except ValueError as error:
            raise UsageError(f"--errors: {error}") from None

    def run(self, ask: Ask) -> Made:
        """Generate them."""
        records = synth_records(
            self.seed,
            self.per_level,
            tuple(cast(Level, int(part)) for part in self.levels.split(",")),
            split=self.split,
            style=self.style,
            form=self.form,
            positives=self.positives,
            candidates=self.candidates,
            family=self.family,
            errors=error_kinds(self.errors),
            negatives=self.negatives,
        )
        counts = Counter(f"level_{record.meta['level']}" for record in records)
        told = ["levels", "per_level", "split", "style", "form", "positives", "candidates", "seed"]
        told += [
            name
            for name, usual in (("family", "sums"), ("errors", ""), ("negatives", 0))
            if getattr(self, name) != usual
        ]
        return Made(
            tuple(records),
            {"records": len(records), **dict(sorted(counts.items()))},
            facts={name: getattr(self, name) for name in told},
        )
