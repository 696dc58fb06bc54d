"""Records that are worth reading: the cleaning core of CCI4.0, which cleans pre-training data, for training records.

In stages, each counted: extraction (the response becomes chain and answer; one that never ends its thought goes),
quality (length, length of words, share of letters), fluency (repeated grams and lines, broken characters), exact
duplicates, near-duplicates. What is compared is the last turn of the prompt with the response: words, case folded; two
are near where the Jaccard similarity of their 5-grams is at least the threshold, and the earlier is kept.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace
from typing import ClassVar

from backends.makers.asking import Ask
from backends.makers.base import Made, Maker, option, tally
from backends.records.contamination import words
from backends.records.record import TrainRecord, require, response_text
from backends.records.similar import grams, most_often, near_duplicates, repeated
from backends.records.spans import never_closes, parts_of
from harness.types import Json

_GRAM = 5
_BROKEN = re.compile("[\ufffd\x00-\x08\x0b\x0c\x0e-\x1f]")
"""The sign for what could not be decoded, and control characters but tab and line breaks."""
_LOOP = 20
"""Words of a run that comes again and again: a model that has lost its way."""
_LONGEST_MEAN = 20.0
"""Mean letters of a word above which a text is no prose: encoded data, run-together words."""
_ORDER = (
    *("given", "unclosed", "no_chain", "too_short", "too_long", "long_words", "few_letters", "broken", "repetitive"),
    *("same_lines", "loops", "duplicate", "near_duplicate", "kept"),
)


@dataclass(frozen=True, kw_only=True)
class Clean(Maker):
    """Leave out garbage, duplicates and near-duplicates; asks nobody.

    RECORDS have a response. What is left out is counted by its first reason; near-duplicates are named in the report.

    \b
    harness data clean traces.jsonl --near 0.8 -o clean.jsonl
    """  # noqa: D301  # a real backspace: it tells click to keep these lines

    near: float = option(0.8, above=0, most=1)
    """Jaccard similarity from which two records are one."""
    least_words: int = option(3, least=0)
    """Of a response."""
    most_words: int = option(32768, least=1)
    """Of a response."""
    letters: float = option(0.25, least=0, most=1)
    """Least share of letters and digits among what is not space."""
    repeats: float = option(0.5, least=0, most=1)
    """Most share of 4-grams of words that stood there before; of lines as well."""
    loops: int = option(20, least=1)
    """Most times that a run of 20 words may stand in a response (arXiv 2505.14464)."""
    chain: bool = False
    """Leave out responses whose chain cannot be told from their answer."""

    name: ClassVar[str] = "clean"
    role: ClassVar[str] = ""
    nothing: ClassVar[str] = "every record was left out"

    def check(self) -> None:
        """Every record needs a response."""
        require(self.records, ("response",), "harness data clean")

    def run(self, ask: Ask) -> Made:
        """Stage by stage."""
        counts = Counter(given=len(self.records))
        left: list[TrainRecord] = []
        compared: dict[tuple[str, ...], None] = {}
        for record in self.records:
            text = response_text(record) or ""
            said = words(text)
            why = self._fault(text, said)
            whole = (*words(record.prompt[-1].content), "|", *said)
            if not why and whole in compared:
                why = "duplicate"
            if why:
                counts[why] += 1
                continue
            compared[whole] = None
            think, answer = parts_of(text)
            left.append(replace(record, response=text, think=think, answer=answer))
        near = near_duplicates([grams(whole, _GRAM) for whole in compared], self.near)
        kept = tuple(record for place, record in enumerate(left) if place not in near)
        counts["near_duplicate"], counts["kept"] = len(near), len(kept)
        pairs: list[Json] = [[left[place].id, left[other].id] for place, other in near.items()]
        return Made(kept, tally(counts, _ORDER), facts={"near_duplicates": pairs})

    def _fault(self, text: str, said: list[str]) -> str:
        """Why a response is not kept; empty for one that is sound."""
        if never_closes(text):
            return "unclosed"
        if self.chain and parts_of(text)[0] is None:
            return "no_chain"
        if not self.least_words <= len(said) <= self.most_words:
            return "too_short" if len(said) < self.least_words else "too_long"
        if sum(map(len, said)) > _LONGEST_MEAN * len(said):
            return "long_words"
        shown = "".join(text.split())
        if sum(map(str.isalnum, shown)) < self.letters * len(shown):
            return "few_letters"
        if _BROKEN.search(text):
            return "broken"
        share = repeated(said)
        if share > self.repeats:
            return "repetitive"
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        if len(lines) - len(set(lines)) > self.repeats * len(lines):
            return "same_lines"
        # A run that often repeats as many of its 4-grams: few texts need the longer look.
        often = round(share * (len(said) - 3)) >= self.loops and most_often(said, _LOOP) > self.loops
        return "loops" if often else ""
