"""`passrate`, `perplexity`, `select --by`, `traces --until-right`, `clean --loops`: planted truths, all recovered."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_fakes import FAILED, RIGHT, WRONG, nonzero, record, says

from backends.makers import select
from backends.makers.asking import Asker, Query
from backends.makers.choosing import farthest_apart, word_distances
from backends.makers.clean import Clean
from backends.makers.passrate import PassRate
from backends.makers.perplexity import Perplexity
from backends.makers.select import Select
from backends.makers.traces import Traces
from backends.records.record import TrainRecord
from backends.records.similar import most_often
from harness.cli.main import cli
from harness.errors import DataError, HarnessError, UsageError
from harness.models.reply_cache import Cache
from harness.types import Completion, Message, TokenScores


def nobody(queries: Sequence[Query]) -> list[Completion]:
    raise AssertionError(queries)


def ids(made: Any) -> list[str]:
    return [one.id for one in made.records]


# --- passrate -------------------------------------------------------------------------------------------------------


def test_a_student_of_known_strength_keeps_what_it_does_not_master() -> None:
    """So many of eight answers are planted as right; a failed one says nothing."""
    given = [replace(record(f"q{right}"), prompt=(Message("user", f"{right}?"),)) for right in range(9)]
    twin = replace(given[2], id="twin")
    failed = replace(record("failed"), prompt=(Message("user", "F?"),))
    seen: list[Query] = []

    def student(query: Query) -> str | Completion:
        if query.problem.id == "failed" or (query.problem.id == "q5" and query.attempt < 4):
            return FAILED
        return RIGHT if 7 - query.attempt < int(query.problem.id[1:]) else WRONG

    made = PassRate([*given, twin, failed], "s").run(says(student, seen))
    assert ids(made) == ["q0", "q1", "q2", "q3", "q4", "twin"]  # q5: all four that came are right
    assert [one.meta["pass_rate"] for one in made.records] == [0, 0.125, 0.25, 0.375, 0.5, 0.25]
    assert nonzero(made.counts) == {
        **{"given": 11, "questions": 10, "asked": 80, "not_graded": 12, "no_rate": 1, "mastered": 4, "kept": 6}
    }
    assert len(seen) == 80 and not any(query.problem.id == "twin" for query in seen)
    assert ids(PassRate(given, least=0.2, most=0.4).run(says(student))) == ["q2", "q3"]
    for wrong in ({"least": 0.6}, {"n": 0}):
        with pytest.raises(HarnessError):
            PassRate(given, **wrong)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="no 'gold'"):
        PassRate([TrainRecord("a", (Message("user", "?"),))])


# --- perplexity -----------------------------------------------------------------------------------------------------


class Reader:
    """A model that finds every token of "p=3 …" as likely as 1 / 3."""

    name, continues = "reader", True

    def describe(self) -> dict[str, str]:
        return {"engine": "reader"}

    environment = describe

    async def score(self, prompt: Any, continuation: str, top: int = 0) -> TokenScores:
        if not continuation.startswith("p="):
            raise DataError("it does not fit")
        value = -math.log(float(continuation.split()[0][2:]))
        return TokenScores((0, 1), (value, value), read=2, starts=(0, 1))

    async def close(self) -> None:
        await asyncio.sleep(0)


def test_responses_above_the_planted_perplexity_are_left_out() -> None:
    given = [record(f"r{p}", response=f"p={p} and so on") for p in (1.5, 2, 4, 5.01, 900)]
    given.append(record("odd", response="something longer"))
    maker = Perplexity(given, most=4.0)
    with Asker(maker.over(Reader()), Cache(None)) as ask:  # type: ignore[arg-type]
        made = maker.run(ask)
    assert [(one.id, one.meta["perplexity"]) for one in made.records] == [("r1.5", 1.5), ("r2", 2.0), ("r4", 4.0)]
    assert made.counts == {"given": 6, "not_scored": 1, "above": 2, "kept": 3}
    assert made.facts["median"] == 4.0
    with pytest.raises(DataError, match="response"):
        Perplexity([record("bare")], most=2.0)
    with pytest.raises(DataError, match="more than 1"):
        Perplexity(given, most=1.0)


# --- select ---------------------------------------------------------------------------------------------------------


def test_the_greedy_choice_is_the_plain_one() -> None:
    """Against the definition, on distances with many ties."""
    draw, measured = random.Random(2), 0
    for _ in range(150):
        count, most = draw.randint(0, 12), draw.randint(1, 6)
        table = [[0] * count for _ in range(count)]
        for one in range(count):
            for other in range(one):
                table[one][other] = table[other][one] = draw.randint(0, 5)
        chosen = list(range(min(1, count)))
        while len(chosen) < min(most, count):
            left = [place for place in range(count) if place not in chosen]
            chosen.append(max(left, key=lambda place: min(table[place][one] for one in chosen)))

        def distance(one: int, other: int, table: list[list[int]] = table) -> float:
            nonlocal measured
            measured += 1
            return table[one][other]

        assert farthest_apart(count, most, distance) == chosen
    assert measured < 150 * 12 * 6 / 2


def test_of_each_question_the_responses_that_differ_most() -> None:
    planted = ["a b c d", "a b c d", "a b c e", "w x y z", "a b w x"]
    given = [replace(record(f"r{at}"), response=text) for at, text in enumerate(planted)]
    other = TrainRecord("other", (Message("user", "?"),), response="one", positives=("one two", "three"))
    made = Select([*given, other], by="responses", keep=2).run(nobody)
    assert [(one.id, one.response) for one in made.records] == [
        *(("r0", "a b c d"), ("r3", "w x y z"), ("other+0", "one"), ("other+2", "three"))
    ]
    assert made.counts == {**{"given": 6, "repeated": 1, "questions": 2, "responses": 7, "passed_over": 3, "kept": 4}}
    assert word_distances(["a b", "a c d", ""])(0, 1) == pytest.approx(2 / 3)
    assert word_distances(["", ""])(0, 1) == 0


@pytest.mark.parametrize(
    ("by", "kept"), [("hardest", "bd"), ("easiest", "ac"), ("longest", "cd"), ("shortest", "ab"), ("random", None)]
)
def test_few_records_by_a_number(by: Any, kept: str | None) -> None:
    rates, words = {"a": 0.9, "b": 0.1, "c": 0.9, "d": 0.0}, {"a": 1, "b": 2, "c": 5, "d": 4}
    given = [record(name, response="w " * words[name], meta={"pass_rate": rate}) for name, rate in rates.items()]
    made = ids(Select(given, by=by, keep=2).run(nobody))
    assert made == list(kept) if kept else len(set(made)) == 2
    assert ids(Select(given, by=by, keep=9).run(nobody)) == list("abcd")
    assert made == ids(Select(given, by=by, keep=2).run(nobody))


def test_prompts_that_are_far_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    class Angles:
        def __init__(self, name: str) -> None:
            self.name = name

        def __call__(self, texts: Sequence[str]) -> Any:
            return np.array([[np.cos(np.deg2rad(float(text))), np.sin(np.deg2rad(float(text)))] for text in texts])

        def identity(self) -> dict[str, str]:
            return {"embedder": self.name}

    monkeypatch.setattr(select, "Embedder", Angles)
    given = [TrainRecord(text, (Message("user", text),)) for text in ("0", "5", "90", "80", "170")]
    made = Select(given, by="prompts", keep=3, embedder="mine").run(nobody)
    assert ids(made) == ["0", "90", "170"] and made.facts["embedder"] == "mine"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({}, "say --suite NAME"),
        ({"suite": "synth", "keep": 3}, "--keep says how many"),
        ({"by": "random"}, "--keep says how many"),
        ({"by": "random", "keep": 1, "suite": "synth"}, "say --suite NAME"),
        ({"by": "hardest", "keep": 1}, "passrate` writes it"),
        ({"by": "responses", "keep": 1}, "response"),
    ],
)
def test_what_cannot_be_chosen_by_is_refused(more: dict[str, Any], said: str) -> None:
    with pytest.raises(HarnessError, match=said) as refused:
        Select([record("a")], **more)
    assert refused.value.exit_code == 2 and "\n" not in str(refused.value)


# --- traces --until-right, clean --loops ----------------------------------------------------------------------------


def test_a_prompt_is_asked_until_its_answer_is_right() -> None:
    """The first right attempt is planted; nothing is asked beyond it."""
    first = {"a": 0, "b": 3, "c": 5, "d": 99}
    seen: list[Query] = []

    def teacher(query: Query) -> str | Completion:
        name = query.problem.id
        if name == "open":
            return FAILED if query.attempt == 0 else "An essay."
        if name == "c" and query.attempt == 1:
            return FAILED
        return RIGHT if query.attempt == first[name] else WRONG

    given = [*map(record, first), record("open", gold=None, meta={})]
    made = Traces(given, "t", n=6, until_right=True).run(says(teacher, seen))
    assert ids(made) == ["a#0", "b#3", "c#5", "open#1"]
    assert {name: sum(query.problem.id == name for query in seen) for name in (*first, "open")} == {
        **{"a": 1, "b": 4, "c": 6, "d": 6, "open": 2}
    }
    assert made.counts["completions"] == len(seen) == 19 and made.counts["right"] == 3
    assert [one.id for one in made.others["unsolved"]] == ["d"]
    with pytest.raises(UsageError, match="--n 8"):
        Traces(given, "t", until_right=True)


def test_asking_until_right_goes_on_and_asks_nothing_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = "data traces --teacher mock:gold --teacher-arg accuracy=0.5 --suite synth_easy --per-level 20 --quiet"
    few = [*words.split(), "--until-right", "--n"]
    cli.main([*few, "2", "-o", "t.jsonl"], standalone_mode=False)
    before = Path("t.jsonl").read_bytes()
    cli.main([*few, "2", "-o", "t.jsonl"], standalone_mode=False)
    assert Path("t.jsonl").read_bytes() == before
    assert '"requests": 0' in Path("t.jsonl.report.json").read_text()
    cli.main([*few, "9", "-o", "t.jsonl"], standalone_mode=False)
    assert len(before.splitlines()) < len(Path("t.jsonl").read_text().splitlines()) <= 40


def test_planted_loops_are_found_and_nothing_else() -> None:
    """A run of some words so many times: a loop if it is of 20 words and stands there more than 20 times."""
    draw, loops = random.Random(4), 0
    for number in range(60):
        length, times = draw.choice([7, 19, 20, 21, 30]), draw.choice([2, 19, 20, 21, 22, 30])
        gap = draw.random() < 0.5
        run = [f"w{number}x{at}" for at in range(length)]
        text = [f"filler{number}y{at}" for at in range(draw.randint(0, 400))]
        for at in range(times):
            text += [*run, *([f"gap{number}z{at}"] if gap else [])]
        # Without a gap the runs join: a gram of 20 begins at every word of them but the last.
        most = (times if length >= 20 else 1) if gap else -(-(length * times - 19) // length)
        assert most_often(text, 20) == max(most, 1)
        made = Clean([record("a", response=" ".join(text))], repeats=1.0).run(nobody)
        assert made.counts["loops"] == (most > 20)
        loops += most > 20
    assert 10 < loops < 50
