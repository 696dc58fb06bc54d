"""`nesycd:`: notes where the student is unsure, and an accuracy that is known."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from system_fakes import answered, asked_of, boxed, command, request

from backends.records.notes import note_of
from harness.errors import DataError, ModelError
from harness.models import load_model
from harness.run.components import usage_of
from harness.suites import load_problems, load_suite
from harness.systems import base
from harness.systems.base import Assembly
from harness.systems.nesycd import Margins, Nesycd, NesycdOptions
from harness.types import Completion, Message, Request, TokenScores
from tests.scripted_model import ScriptedModel

ASKED = request(messages=(Message("user", "two green apples"),))
NOTES = "Learning Summary: Count again.\nSupplementary Knowledge: {}"


class Student(ScriptedModel):
    """Begins with "Let", how sure as `sure` says, and answers what `reply` says."""

    def __init__(self, sure: Any, reply: Any = lambda _: boxed(7), **environment: Any) -> None:
        super().__init__(lambda one: "Let" if asked_of(one)[1] else reply(one), "trained:s", **environment)
        self.sure, self.scored = sure, list[tuple[Message, ...]]()

    async def score(self, prompt: Sequence[Message], continuation: Any, top: int = 0) -> TokenScores:
        assert continuation == "Let" and top == 2
        self.scored.append(tuple(prompt))
        margin = self.sure(prompt) if callable(self.sure) else self.sure
        tops = [{5: math.log((1 + margin) / 2), 6: math.log(max(1e-12, (1 - margin) / 2))}] * 2
        return TokenScores((5, 5), (-0.1, -0.1), tuple(tops), read=40)


def notes_file(folder: Path, **notes: str) -> str:
    rows = [
        {"id": name, "prompt": [{"role": "user", "content": name.replace("_", " ")}], "response": text}
        for name, text in notes.items()
    ]
    path = folder / "notes.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def nesycd(student: Any, path: str, most: int = 2, **options: Any) -> Nesycd:
    return Nesycd(Assembly(most, NesycdOptions(notes=(path,), **options), {"model": student}, None))


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("Learning Summary: a\nSupplementary Knowledge: b", ["a", "b"]),
        ("**Learning Summary:** a\n\n## Supplementary knowledge:\nb\nc", ["a", "b\nc"]),
        ("Learning Summary: No need summary.\nSupplementary Knowledge: b", ["b"]),
        ("Learning Summary: No need summary.", []),
        ("learning summary:", []),
        ("Nothing of that.", None),
        ("The learning summary: a", None),  # no header: it begins no line
    ],
)
def test_notes_by_their_headers(text: str, parts: list[str] | None) -> None:
    assert note_of(text) == parts


@pytest.mark.parametrize(
    ("margin", "threshold", "unsure"),
    [(0.5, 68.0, True), (0.9, 68.0, False), (0.6799, 68.0, True), (0.1, 0.0, False), (1.0, 100.0, True)],
)
def test_notes_are_looked_up_where_the_margin_is_small(
    margin: float, threshold: float, unsure: bool, tmp_path: Path
) -> None:
    path = notes_file(tmp_path, two_red_apples=NOTES.format("red"), a_car=NOTES.format("car"))
    student = Student(margin)
    found = asyncio.run(answered(nesycd(student, path, threshold=threshold), ASKED))
    assert found.text == boxed(7) and found.composed is not None
    assert found.composed.facts["unsure"] is unsure
    assert found.composed.facts["margin"] == pytest.approx(margin, abs=1e-9)
    assert found.composed.facts["notes"] == (["two_red_apples"] if unsure else [])
    begun, answer = student.asked
    assert (begun.temperature, begun.max_tokens) == (0.0, 16) and student.scored == [ASKED.messages]
    if unsure:
        assert "red" in answer.messages[0].content and "Count again." in answer.messages[0].content
        assert answer.messages[0].content.startswith("two green apples")
    else:  # as the student by itself
        assert answer.messages == ASKED.messages and answer.seed == ASKED.seed
    assert usage_of(found)["confidence"].tokens_in == 40 and usage_of(found)["model"].calls == 2


def test_a_student_that_begins_with_nothing_is_unsure_and_one_that_cannot_be_scored_is_named(tmp_path: Path) -> None:
    path = notes_file(tmp_path, two_red_apples=NOTES.format("red"))

    class Silent(Student):
        async def answer(self, asked: Request) -> Completion:
            return Completion("", "stop", tokens_in=1, tokens_out=0)

    found = asyncio.run(answered(nesycd(Silent(0.9), path), ASKED))
    assert found.composed is not None and found.composed.facts["notes"] == ["two_red_apples"]

    def refuse(_: Any) -> float:
        raise ModelError("too long")

    lost = asyncio.run(answered(nesycd(Student(refuse), path), ASKED))
    assert lost.error == "confidence (trained:s, request 1) failed: too long"

    class Blind(Student):
        async def score(self, prompt: Sequence[Message], continuation: Any, top: int = 0) -> TokenScores:
            return TokenScores((5, 5), (-0.1, -0.1))

    lost = asyncio.run(answered(nesycd(Blind(0.9), path), ASKED))
    assert lost.error == "confidence (trained:s, request 1) failed: it tells no likeliest tokens"
    assert Margins(Student(0.5), 3).describe()["margins"] == 3


def test_the_identity_has_the_notes_by_their_content(tmp_path: Path) -> None:
    def identity(text: str, **options: Any) -> str:
        return json.dumps(nesycd(Student(0.5), notes_file(tmp_path, a=text), **options).describe(), sort_keys=True)

    first = identity(NOTES.format("x"))
    assert first == identity(NOTES.format("x"))
    assert len({first, identity(NOTES.format("y")), identity(NOTES.format("x"), threshold=1.0)}) == 3


@pytest.mark.parametrize(
    ("notes", "said"),
    [
        ({}, "notes.jsonl"),
        ({"a": "Learning Summary: No need summary."}, "holds nothing that could be looked up"),
        ({"a": "Be careful."}, "record 'a' has no notes"),
    ],
)
def test_a_knowledge_base_without_notes_is_one_line(notes: dict[str, str], said: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=said) as error:
        nesycd(Student(0.5), notes_file(tmp_path, **notes))
    assert error.value.exit_code == 2 and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "nesycd needs the option 'notes'"),
        ({"notes": ""}, "notes must name the files"),
        ({"notes": "x", "threshold": "101"}, "from 0 to 100"),
        ({"notes": "x", "steps": "0"}, "steps must be at least 1"),
        ({"notes": "x"}, "two likeliest tokens of each step, which mock:gold does not tell"),
    ],
)
def test_what_cannot_look_up_is_one_line(options: dict[str, str], said: str) -> None:
    with pytest.raises(Exception, match=said) as error:
        load_model("nesycd:mock:gold", options)
    assert error.value.exit_code == 2  # type: ignore[attr-defined]


def test_notes_on_the_embedded_world_help_as_its_script_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sure and right, sure and wrong, unsure and helped by notes, unsure and not helped."""
    problems = load_problems(load_suite("synth_easy"), None, 0, 20)
    places = {one.messages[-1].content: place for place, one in enumerate(problems)}

    def kind(question: str) -> int:
        return next(place for text, place in places.items() if question.startswith(text)) % 4

    def reply(asked: Request) -> str:
        assert asked.problem is not None
        which, helped = kind(asked.messages[-1].content), "An expert" in asked.messages[-1].content
        return boxed(int(asked.problem.target) + (not (which == 0 or (which == 2 and helped))))

    student = Student(lambda prompt: 0.9 if kind(prompt[-1].content) < 2 else 0.3, reply)
    monkeypatch.setattr(base, "load_model", lambda *_: student)
    path = notes_file(tmp_path, Work_out_the_equations_and_write_the_number=NOTES.format("x"))
    told = ["--suite", "synth_easy", "--limit", "20", "--results-dir", tmp_path, "--format", "json"]
    made = command("run", *told, "--model", "nesycd:tiny", "--model-arg", f"notes={path}")
    assert made.exit_code == 0, made.stderr
    row = json.loads(made.stdout)["rows"][0]
    assert row["value"] == 0.5 and row["model"] == "nesycd:3:trained:s"
    assert {role: one["calls"] for role, one in row["components"].items()} == {"confidence": 20, "model": 40}
    assert sum("An expert" in one.messages[-1].content for one in student.asked) == 10
