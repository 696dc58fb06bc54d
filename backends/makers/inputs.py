"""New inputs like those of some records: the synthetic half of distillation with real or synthetic inputs.

The study of distilling Llama-3.1-405B labels real inputs, inputs that the teacher wrote after a few examples, or both.
Labels are the business of `traces`, which is given what is made here as `--prompts`; nothing can check them.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from backends.makers.asking import Ask, Query
from backends.makers.base import Made, Maker, option, replies, tally
from backends.records.contamination import words
from backends.records.inputs import read_all
from backends.records.record import TrainRecord
from backends.records.similar import grams, near_duplicates
from harness.errors import DataError
from harness.hashing import canonical_json, short_hash
from harness.types import Json, Message, Sampling
from judges.prompts.fencing import fence

_MARK = re.compile(r"^[ \t>*_#]{0,8}new input[ \t*_]{0,8}:[ \t*_]{0,8}", re.IGNORECASE | re.MULTILINE)
_GRAM = 5
_ORDER = ("given", "asked", "teacher_error", "cut", "empty", "no_input", "repeated", "near_duplicate", "kept")


@dataclass(frozen=True, kw_only=True)
class SyntheticInputs(Maker):
    """Write new inputs after a few examples of the old ones, to be answered by traces --prompts.

    RECORDS, or prompt files, are the examples; what answers them is not read. Default: temperature 1.

    \b
    harness data inputs train.jsonl --teacher openai:my-teacher --number 1000 -o synthetic.jsonl
    harness data traces --teacher openai:my-teacher --prompts synthetic.jsonl -o labelled.jsonl
    """  # noqa: D301  # a real backspace: it tells click to keep these lines

    draw: Sampling = field(default=Sampling(temperature=1.0))
    number: int | None = option(None, least=1)
    """Inputs asked for. [default: as many as RECORDS]"""
    shots: int = option(4, least=1, most=64)
    """Examples that each one is written after, drawn by the seed."""
    near: float = option(0.8, above=0, most=1)
    """Jaccard similarity of 5-grams of words from which one is a near-duplicate, of an example or of an earlier one."""

    name = "inputs"
    template_fields: ClassVar = {"inputs": ("question", "examples")}
    nothing: ClassVar = "no new input was written"

    @classmethod
    def read(cls, files: Sequence[str], given: Any) -> tuple[list[TrainRecord], dict[str, Json]]:
        """Records, or rows of prompt files."""
        return read_all(files, plain=True), {"inputs": list(files)}

    def check(self) -> None:
        """An example ends in a turn of the user."""
        bad = [record.id for record in self.records if record.prompt[-1].role != "user"]
        if bad:
            raise DataError(f"{len(bad)} records do not end in a turn of the user, the first {bad[0]!r}")

    def _seeds(self) -> list[list[TrainRecord]]:
        """The examples of each request."""
        count = self.number or len(self.records)
        draws = [random.Random(f"{self.draw.seed}\x1f{at}") for at in range(count)]
        return [draw.sample(self.records, min(self.shots, len(self.records))) for draw in draws]

    def first(self) -> Sequence[Query]:
        """Everything: it asks once."""
        return [
            self.query(last, "inputs", at, values={"examples": "\n".join(fence(_said(one)) for one in others)})
            for at, (*others, last) in enumerate(self._seeds())
        ]

    def run(self, ask: Ask) -> Made:
        """Ask, and keep what is new."""
        seeds = self._seeds()
        counts = Counter(given=len(self.records), asked=len(seeds))
        known = {tuple(words(_said(record))) for record in self.records}
        old = len(known)
        compared, made = [grams(one, _GRAM) for one in sorted(known)], list[TrainRecord]()
        for shown, text in replies(seeds, ask(self.first()), counts):
            parts = _MARK.split(text, maxsplit=1)
            said = parts[1].strip() if len(parts) > 1 else ""
            spoken = tuple(words(said))
            if not spoken or spoken in known:
                counts["repeated" if spoken else "no_input"] += 1
                continue
            known.add(spoken)
            compared.append(grams(spoken, _GRAM))
            made.append(self._record(shown, said))
        near = near_duplicates(compared, self.near)
        kept = tuple(record for place, record in enumerate(made, old) if place not in near)
        counts["near_duplicate"], counts["kept"] = len(made) - len(kept), len(kept)
        return Made(kept, tally(counts, _ORDER), facts={"shots": self.shots, "near": self.near})

    def _record(self, shown: Sequence[TrainRecord], text: str) -> TrainRecord:
        last = shown[-1]
        prompt = (*last.prompt[:-1], Message("user", text))
        name = "input-" + short_hash(canonical_json([[one.role, one.content] for one in prompt]), 16)
        by: dict[str, Json] = {"written_by": self.model, "template": self.templates["inputs"].id}
        return TrainRecord(name, prompt, task=last.task, meta={**by, "written_after": [one.id for one in shown]})


def _said(record: TrainRecord) -> str:
    return record.prompt[-1].content
