r"""Is a question of a benchmark in the training data? Overlap of word n-grams between prompts and questions.

A question is contaminated by a record if at least `threshold` of the n-grams of one of them occur in the other: the
smaller of the two counts, so that a question inside a longer prompt (few-shot examples, instructions) and a prompt that
quotes half of a long question are both found. A question of fewer than `n` words must be a whole sentence, line,
paragraph or turn of the prompt; one of fewer than `MIN_WORDS` is too short to say anything of, and is counted.

Words are runs of letters or digits, case folded and NFKC-normalised; an operator sign, a Han or a kana character is a
word of its own; punctuation, white space and LaTeX's braces do not count. What a suite says to many questions ("Put
your final answer in \boxed{}") is not evidence: paragraphs and grams that many of its questions share are left out.

This finds copies and edits. It hardly finds paraphrases, and no translations: the defaults were chosen on the labelled
pairs of tests/contract/test_contamination.py, which holds the measured precision and recall. Questions made from
templates (`synth`, whose splits are disjoint by construction) look alike without being the same: leave such suites out.
Only prompts are searched, not responses.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from backends.records.record import TrainRecord
from harness.errors import DataError
from harness.types import Message, Problem

N = 8
"""Words of a gram."""
THRESHOLD = 0.2
"""Share of grams from which a pair counts as contaminated."""
MIN_WORDS = 5
"""Fewest words of a text that is compared."""
_COMMON, _COMMON_LEAST = 0.01, 10
"""A paragraph or gram that more questions share than this part of the suite, and than this number, is its wording."""

_WORD = re.compile(r"[+*/=<>^\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff-]|[^\W_\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+")
_SENTENCE = re.compile(r"(?<=[.?!:;。？！])\s*|\n")


@dataclass(frozen=True, slots=True)
class Hit:
    """A record whose prompt overlaps with a question."""

    record: str
    """The record's id."""
    suite: str
    problem: str
    """The question's id."""
    overlap: float
    """Share of the smaller text's grams that both have, in [threshold, 1]."""
    shared: int
    """How many grams that is."""


def words(text: str) -> list[str]:
    """The words that are compared."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def _hash(gram: Sequence[str]) -> int:
    """64 bits of a gram: the same in every process, and a thirtieth of the memory of its words."""
    return int.from_bytes(hashlib.blake2b(" ".join(gram).encode("utf-8", "replace"), digest_size=8).digest(), "big")


def _turns(messages: Iterable[Message]) -> list[str]:
    """What the user says; the system's turn is wording, the assistant's are examples."""
    return [message.content for message in messages if message.role == "user"]


def _own_words(asked: Sequence[Sequence[str]]) -> list[list[str]]:
    """The turns of each question without the paragraphs that many questions of the suite share."""
    seen = Counter(part for turns in asked for part in {part for turn in turns for part in turn.split("\n\n")})
    most = max(_COMMON_LEAST, _COMMON * len(asked))
    return [
        ["\n\n".join(part for part in turn.split("\n\n") if seen[part] <= most) for turn in turns] for turns in asked
    ]


def _units(turns: Iterable[str]) -> set[str]:
    """Everything in the turns that a short question can be: turns, paragraphs, lines, sentences."""
    return {unit for turn in turns for unit in (turn, *turn.split("\n\n"), *turn.split("\n"), *_SENTENCE.split(turn))}


def _grams(turns: Iterable[str], n: int) -> dict[int, set[int]]:
    """Length -> grams of the turns; a turn of fewer than `n` words is one gram. No gram crosses two turns."""
    found: dict[int, set[int]] = defaultdict(set)
    for turn in turns:
        said = words(turn)
        size = min(n, len(said))
        if size >= min(n, MIN_WORDS):
            found[size].update(_hash(said[at : at + size]) for at in range(len(said) - size + 1))
    return found


class Questions:
    """The questions of any number of suites, ready to be looked for."""

    def __init__(self, n: int = N, threshold: float = THRESHOLD) -> None:
        """`n`: words of a gram. `threshold`: share of grams, in (0, 1]. Raises `DataError` for other values."""
        if n < 2 or not 0 < threshold <= 1:
            raise DataError(f"grams of {n} words and a threshold of {threshold!r} compare nothing: n >= 2, 0 < t <= 1")
        self.n, self.threshold = n, threshold
        self.unchecked: dict[str, int] = {}
        self._names: list[tuple[str, str]] = []
        self._sizes: list[int] = []
        self._holders: dict[int, list[int]] = {}
        self._short: set[int] = set()

    def add(self, suite: str, problems: Sequence[Problem]) -> None:
        """Look for the questions of one more suite. Raises `DataError` if it has none or was added before."""
        if suite in self.unchecked or not problems:
            raise DataError(f"suite {suite!r} was added twice or has no problems")
        asked = _own_words([_turns(problem.messages) for problem in problems])
        grams = [_grams(turns, self.n) for turns in asked]
        seen = Counter(gram for found in grams for of_size in found.values() for gram in of_size)
        most = max(_COMMON_LEAST, _COMMON * len(problems))
        self.unchecked[suite] = 0
        for problem, found in zip(problems, grams, strict=True):
            own = {size: {gram for gram in of_size if seen[gram] <= most} for size, of_size in found.items()}
            count = sum(map(len, own.values()))
            if count == 0:
                self.unchecked[suite] += 1
                continue
            index = len(self._names)
            self._names.append((suite, problem.id))
            self._sizes.append(count)
            for size, of_size in own.items():
                self._short |= {size} - {self.n}
                for gram in of_size:
                    self._holders.setdefault(gram, []).append(index)

    def hits(self, record: TrainRecord) -> list[Hit]:
        """The questions that a record's prompt overlaps with, the largest overlap first."""
        turns = _turns(record.prompt)
        own = _grams(turns, self.n)
        size = sum(map(len, own.values()))
        everything = set[int]().union(*own.values())
        for said in map(words, _units(turns)):
            if len(said) in self._short:
                everything.add(_hash(said))
        shared = Counter(index for gram in everything for index in self._holders.get(gram, ()))
        found = []
        for index, count in shared.items():
            smaller = min(self._sizes[index], size) if size else self._sizes[index]
            overlap = min(1.0, count / smaller)
            if overlap >= self.threshold:
                found.append(Hit(record.id, *self._names[index], overlap, count))
        return sorted(found, key=lambda hit: (-hit.overlap, hit.suite, hit.problem))
