"""A maker of training data, `harness data worked`: a teacher answers, and an answer in a box is kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from backends.makers.asking import Ask, Query
from backends.makers.base import Made, Maker, option, replies, tally
from backends.records.inputs import noted
from harness.answers import last_boxed


@dataclass(frozen=True, kw_only=True)
class Worked(Maker):
    """Let a teacher answer every prompt; keep what has a number in a box.

    \b
    harness data worked prompts.jsonl --teacher reckoner:x -o worked.jsonl
    """  # a real backspace: it tells click to keep these lines

    most: int = option(1000, least=1)
    """Largest number that is kept."""
    name = "worked"
    template_fields: ClassVar = {"worked": ("question",)}

    def first(self) -> Sequence[Query]:
        """Everything: it asks once."""
        return [self.query(record, "worked") for record in self.records]

    def run(self, ask: Ask) -> Made:
        """Ask, check and keep."""
        counts, made = Counter(given=len(self.records)), []
        for record, text in replies(self.records, ask(self.first()), counts):
            number = last_boxed(text)
            if not number or not number.isdigit() or int(number) > self.most:
                counts["dropped"] += 1
            else:
                made.append(noted(replace(record, response=text, answer=number), by=self.model))
        counts["kept"] = len(made)
        return Made(tuple(made), tally(counts, ("given", "kept", "dropped")))
