"""Two teachers of known style: same truth, other words, and an attribution that must find each sentence's author."""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise

import pytest

from backends.records.record import TrainRecord, data_hash
from backends.records.source import load_records
from backends.records.verify import grade_texts
from harness.errors import DataError
from harness.provenance import origin, sentence_starts
from harness.synth import generate, verify_chain, wrong_chain
from harness.synth.authors import AUTHORS, told_by

EQUATION = re.compile(r"\d+ [-+*/] \d+ = \d+\.")


def sentences(record: TrainRecord, text: str) -> list[str]:
    chain = text.removeprefix("<think>\n").partition("\n</think>")[0]
    starts = [*sentence_starts(chain), len(chain)]
    return [chain[start:end].strip() for start, end in pairwise(starts)]


def test_both_say_the_same_steps_and_make_the_same_mistakes() -> None:
    for problem in generate(4, 3, 30):
        wrong = wrong_chain(problem)
        for author in AUTHORS:
            told = told_by(wrong, problem, author)
            assert list(verify_chain(problem, told)) == [wrong.error_step]
            assert [step.expression for step in told.steps] == [step.expression for step in wrong.steps]


def test_who_wrote_is_known_of_every_response_and_sentence() -> None:
    records = load_records("synth:levels=2+3,per_level=60,style=both,positives=1,negatives=1")
    who = Counter(record.meta["teacher"] for record in records)
    assert min(who[author] for author in AUTHORS) > 40
    for record in records:
        other = "terse" if record.meta["teacher"] == "verbose" else "verbose"
        assert record.meta["positive_teachers"] == [other] and len(record.positives) == 1
        texts = {str(record.meta["teacher"]): record.response or "", other: record.positives[0]}
        assert all(EQUATION.fullmatch(said) for said in sentences(record, texts["terse"]))
        assert not any(EQUATION.fullmatch(said) for said in sentences(record, texts["verbose"]))
        assert len(texts["verbose"]) > 2 * len(texts["terse"])
    assert set(grade_texts([(r, text) for r in records for text in (r.response or "", *r.positives)])) == {"right"}
    assert set(grade_texts([(r, text) for r in records for text in (r.rejected or "", *r.negatives)])) == {"wrong"}
    assert data_hash(records[:8])[:12] == "52e88392a37e"


class Bigrams:
    """A language model of word pairs, smoothed: enough to have a style."""

    def __init__(self, texts: list[str]) -> None:
        self.pairs: Counter[tuple[str, str]] = Counter()
        self.firsts: Counter[str] = Counter()
        for text in texts:
            for pair in pairwise(words(text)):
                self.pairs[pair] += 1
                self.firsts[pair[0]] += 1

    def probability(self, sentence: str) -> float:
        """The geometric mean of its words' probabilities."""
        found = 1.0
        pairs = list(pairwise(words(sentence)))
        for pair in pairs:
            found *= (self.pairs[pair] + 0.01) / (self.firsts[pair[0]] + 1)
        return float(found ** (1 / max(1, len(pairs))))


def words(text: str) -> list[str]:
    return ["<", *re.sub(r"\d+", "0", text).split()]


def test_style_attribution_finds_the_author_of_each_sentence() -> None:
    """A terse student learns from both: terse sentences are its own, verbose ones the verbose teacher's."""
    texts: dict[str, list[str]] = {author: [] for author in AUTHORS}
    for author in AUTHORS:
        for record in load_records(f"synth:levels=2+3,per_level=80,style={author},seed=1"):
            texts[author] += sentences(record, record.response or "")
    base, teacher = Bigrams(texts["terse"]), Bigrams(texts["verbose"])
    student = Bigrams(texts["terse"] + texts["verbose"])
    found: Counter[tuple[str, str]] = Counter()
    for record in load_records("synth:levels=2+3,per_level=40,style=both,seed=9"):
        for said in sentences(record, record.response or ""):
            whose = origin(base.probability(said), student.probability(said), teacher.probability(said))
            found[str(record.meta["teacher"]), whose] += 1
    assert not found["terse", "teacher"] and not found["verbose", "student"], found
    assert (found["terse", "student"] + found["verbose", "teacher"]) / found.total() > 0.9, found


def test_puzzles_have_no_such_teachers() -> None:
    with pytest.raises(DataError, match="no verbose teacher"):
        load_records("synth:family=knights,style=verbose")
