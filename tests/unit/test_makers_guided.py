"""`guided`: sentences of a known author under two tokenizers, what is kept, resumed and refused."""

from __future__ import annotations

import json
import math
import random
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from backends.makers import guided
from backends.makers.asking import Asker
from backends.makers.groups import by_question
from backends.makers.guided import Guided
from backends.makers.scorer import ScoringModel, scores_of, scoring
from backends.records.record import TrainRecord, write_records
from backends.records.source import read_records
from harness.cli import data_make
from harness.cli.main import cli
from harness.errors import DataError, HarnessError, Interrupted, ModelError, UsageError
from harness.models.mock import MockModel, MockOptions
from harness.models.reply_cache import Cache
from harness.types import Json, Message, TokenScores

GOLDEN = {"common": (0.55, 0.5), "teacher": (0.7, 0.2), "student": (0.2, 0.7)}
"""Probability of a sentence of such an author under teacher and student."""


class Author:
    """A model that knows each sentence's author; `width` characters make a token."""

    continues = True

    def __init__(self, name: str, place: int, width: int, stop: int | None = None) -> None:
        self.name, self.place, self.width, self.stop = name, place, width, stop
        self.texts: list[str] = []

    def describe(self) -> Mapping[str, Json]:
        return {"engine": "author", "name": self.name, "place": self.place}

    def environment(self) -> Mapping[str, Json]:
        return {}

    async def score(self, prompt: Sequence[Message], continuation: str | Sequence[int], top: int = 0) -> TokenScores:
        assert isinstance(continuation, str) and prompt[-1].role == "user"
        if "long" in continuation:
            raise DataError("it does not fit the context")
        if self.stop is not None and len(self.texts) >= self.stop:
            raise KeyboardInterrupt
        self.texts.append(continuation)
        logprobs, ends = [], [match.end() for match in re.finditer(r"\.\s?|$", continuation)]
        starts = range(0, len(continuation), self.width)
        for start in starts:
            end = next(end for end in ends if end > start)
            said = continuation[:end].split(".")[-2]
            logprobs.append(math.log(GOLDEN[next(name for name in GOLDEN if name in said)][self.place]))
        told = None if self.name == "blind" else (*starts,)
        return TokenScores((0,) * len(starts), tuple(logprobs), read=len(starts) + 3, starts=told)

    async def close(self) -> None:
        """Nothing to release."""


def said(authors: Sequence[str]) -> str:
    return " ".join(f"This is what the {author} would say." for author in authors)


def records(*responses: Sequence[str], question: str = "q") -> list[TrainRecord]:
    prompt = (Message("user", question),)
    return [TrainRecord(f"{question}#{at}", prompt, response=said(one)) for at, one in enumerate(responses)]


def choose(monkeypatch: pytest.MonkeyPatch, given: Sequence[TrainRecord], **more: Any) -> Any:
    student = Author("student", 1, 4)
    monkeypatch.setattr(guided, "load_model", lambda *_: student)
    maker = Guided(given, student="hf:s", **more)
    with Asker(maker.over(Author("teacher", 0, 7)), Cache(None)) as ask:  # type: ignore[arg-type]
        return maker.run(ask)


def test_the_response_with_most_of_the_teacher_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Authors from a generator: the chosen one has most teacher's sentences, and the counts are those planted."""
    draw, given, planted = random.Random(5), [], {}
    for number in range(40):
        drawn = [draw.choices(list(GOLDEN), k=draw.randint(1, 9)) for _ in range(draw.randint(1, 6))]
        made = records(*drawn, question=f"q{number}")
        given += made
        planted |= {record.id: Counter(authors) for record, authors in zip(made, drawn, strict=True)}
    made = choose(monkeypatch, given)
    assert len(made.records) == 40 == made.counts["kept"] == made.counts["questions"]
    for record in made.records:
        found = planted[record.id]
        assert {name: record.meta[f"{name}_sentences"] for name in GOLDEN} == {name: found[name] for name in GOLDEN}
        rivals = [one for name, one in planted.items() if name.split("#")[0] == record.id.split("#")[0]]
        assert found["teacher"] == max(one["teacher"] for one in rivals)


@pytest.mark.parametrize(("rule", "chosen"), [("most", 0), ("share", 1), ("fewest", 2), ("student", 2), ("longest", 0)])
def test_the_controls(monkeypatch: pytest.MonkeyPatch, rule: Any, chosen: int) -> None:
    three = records(["teacher"] * 3 + ["common"] * 5, ["teacher"] * 2, ["student"] * 4)
    (kept,) = choose(monkeypatch, three, rule=rule).records
    assert kept == guided.noted(three[chosen], **{name: kept.meta[name] for name in kept.meta})


def test_the_controls_of_one_call_are_what_each_rule_keeps(monkeypatch: pytest.MonkeyPatch) -> None:
    """One scoring: every set is of the same questions, of their candidates, and as the rule alone would have it."""
    draw = random.Random(8)
    given = [
        one for n in range(12) for one in records(*(draw.choices(list(GOLDEN), k=5) for _ in "abc"), question=f"q{n}")
    ]
    made = choose(monkeypatch, given, controls=True)
    assert made.others.keys() == {"share", "fewest", "student", "longest", "random"}
    for rule, kept in made.others.items():
        assert kept == choose(monkeypatch, given, rule=rule).records
        assert [one.id.split("#")[0] for one in kept] == [f"q{n}" for n in range(12)]
        assert {(one.id, one.response) for one in kept} <= {(one.id, one.response) for one in given}


def test_what_cannot_be_scored_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    given = [
        *records(["teacher"], ["teacher"], ["common"], question="a"),
        *records(["common"], question="b"),
        TrainRecord("long", (Message("user", "c"),), response="A long teacher text."),
        TrainRecord("bare", (Message("user", "d"),)),
        TrainRecord("more", (Message("user", "e"),), response=said(["common"]), positives=(said(["teacher"]),)),
    ]
    made = choose(monkeypatch, given)
    assert {name: count for name, count in made.counts.items() if count} == {
        **{"given": 7, "no_response": 1, "repeated": 1, "questions": 4, "candidates": 6, "teacher_missing": 1},
        **{"student_missing": 1, "no_candidate": 1, "alone": 1, "passed_over": 2, "kept": 3},
    }
    assert [(one.id, one.response, one.positives) for one in made.records[2:]] == [("more", said(["teacher"]), ())]
    assert made.facts["student"]["asked"]["requests"] == 6
    assert by_question([], Counter()) == []


def test_a_kept_score_is_asked_once_and_says_the_same() -> None:
    cache, author = Cache(None), Author("t", 0, 5)
    (record,) = records(["teacher"])
    for _ in range(2):
        with Asker(ScoringModel(author, "teacher"), cache) as ask:  # type: ignore[arg-type]
            (scores,) = scores_of(ask([scoring("m", record, said(["teacher"]))]))
            assert scores is not None and scores.logprobs[0] == pytest.approx(math.log(0.7), abs=1e-6)
            assert scores.starts is not None and scores.starts[:2] == (0, 5)
    assert len(author.texts) == 1
    blind = ScoringModel(Author("blind", 0, 5), "teacher")  # type: ignore[arg-type]
    with Asker(blind, cache) as ask, pytest.raises(ModelError, match="where its tokens stand"):
        ask([scoring("m", record, said(["teacher"]))])


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Author]:
    """A file of traces, and a teacher and a student behind the command's `--teacher` and `--student`."""
    monkeypatch.chdir(tmp_path)
    models = {"hf:t": Author("hf:t", 0, 7), "hf:s": Author("hf:s", 1, 4)}

    def load(spec: str, options: Mapping[str, str], results_dir: Path) -> Any:
        return models[spec] if spec in models else MockModel("gold", MockOptions())

    for module in (data_make, guided):
        monkeypatch.setattr(module, "load_model", load)
    made = [one for n in range(20) for one in records(["teacher"], ["common", "student"], question=f"q{n}")]
    write_records(Path("traces.jsonl"), made)
    return models


def make(*more: str, teacher: str = "hf:t", student: str = "hf:s") -> None:
    words = ("guided", "traces.jsonl", "--teacher", teacher, "--student", student, "-o", "out.jsonl", *more)
    cli.main(["data", *words], standalone_mode=False)


def test_a_stopped_call_goes_on_and_asks_nothing_twice(world: dict[str, Author], capsys: Any) -> None:
    make("--dry-run")
    assert "40 requests to hf:t first, 40 of them not stored yet" in capsys.readouterr().out
    world["hf:s"].stop = 9
    with pytest.raises(Interrupted):
        make("--quiet")
    assert not Path("out.jsonl").exists() and len(world["hf:t"].texts) == 40
    world["hf:s"].stop = None
    make("--quiet")
    first = Path("out.jsonl").read_bytes()
    # Two texts in all, each behind twenty questions, each scored once by each model.
    assert {name: len(one.texts) for name, one in world.items()} == {"hf:t": 40, "hf:s": 40}
    make("--quiet")
    assert Path("out.jsonl").read_bytes() == first and len(world["hf:t"].texts) == 40
    report = json.loads(Path("out.jsonl.report.json").read_text())
    assert report["asked"]["requests"] == 0 and report["student"]["asked"]["cached"] == 40
    assert [one.id for one in read_records(Path("out.jsonl"))] == [f"q{n}#0" for n in range(20)]


@pytest.mark.parametrize(("role", "words"), [("teacher", {"teacher": "mock:gold"}), ("student", {"student": "mock:g"})])
def test_a_model_without_scores_is_refused_before_anything_is_asked(
    world: dict[str, Author], role: str, words: dict[str, str]
) -> None:
    for more in ((), ("--dry-run",)):
        with pytest.raises(UsageError, match=f"the {role} mock:gold has no log-probabilities") as refused:
            make(*more, **words)
        assert refused.value.exit_code == 2 and "\n" not in str(refused.value)
    assert not any(one.texts for one in world.values())


def test_records_without_a_response_make_nothing(world: dict[str, Author]) -> None:
    write_records(Path("traces.jsonl"), [TrainRecord("a", (Message("user", "q"),))])
    with pytest.raises(HarnessError, match="no response could be scored by both models"):
        make("--quiet")
