"""`knowledge`: what is kept, and that `lorid` and `nesycd` answer with what `knowledge` and `notes` made."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from data_fakes import ASKED, CUT, FAILED, RIGHT, WRONG, nonzero, record, says
from system_fakes import answered, boxed, request

from backends.makers.knowledge import Knowledge, general, rules_of
from backends.makers.notes import Notes
from backends.records.record import write_records
from harness.errors import DataError
from harness.systems.base import Assembly
from harness.systems.lorid import Lorid, LoridOptions
from harness.systems.nesycd import Nesycd, NesycdOptions
from harness.types import Message, TokenScores
from tests.scripted_model import ScriptedModel

QUESTION = "Natalia sold 48 clips to 7 friends. On Monday, Ben paid $1,250. How much is left?"


def rule(*rules: str) -> str:
    return json.dumps({"output": rules})


def test_rules_that_are_the_questions_own_are_left_out_and_counted() -> None:
    counts: Counter[str] = Counter()
    rules = [
        *(
            "Take away what was given.",
            "48 is even.",
            "Divide by 1250.",
            "Natalia sells.",
            "Ask Ben.",
            "Add 7 numbers.",
        ),
        *("Take away what was given.", "On any day, add.", "How much is a sum."),
    ]
    kept = ["Ask nobody.", "Take away what was given.", "Add 7 numbers.", "On any day, add.", "How much is a sum."]
    assert general(QUESTION, ["Ask nobody.", *rules], counts) == kept
    assert counts == {"own_number": 2, "own_name": 2, "repeated": 1}


def test_planted_numbers_and_names_are_found_in_rules_of_any_form() -> None:
    """Right and wrong forms from a generator: what holds a number or name of its question, and what does not."""
    draw, wrong = random.Random(20), 0
    for _ in range(400):
        name, number = draw.choice(["Ana", "Boris", "Chen", "Émile"]), draw.randint(11, 99_999)
        question = f"Yesterday {name} had {number:,} coins and lost {draw.randint(1, 10)}. How many are left?"
        form = draw.choice(["Subtract {} from the whole.", "If {}, then subtract.", "The rule: {} minus the rest."])
        planted = draw.choice(
            [name, str(number), f"{number:,}", "the part", str(number + 100_000), str(draw.randint(1, 10))]
        )
        own = planted in (name, str(number), f"{number:,}")
        wrong += (general(question, [form.format(planted)], Counter()) == []) != own
    assert wrong == 0


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        ('{"output": ["a  b", " "]}', ["a b"]),
        ('Sure:\n```json\n{"output": ["a"]}\n```', ["a"]),
        ('{"output": "a"}', None),
        ('{"output": [1]}', None),
        ('{"output": []}', []),
        ('{"output": ["a"', None),
        ("1. a", None),
    ],
)
def test_the_list_of_rules(text: str, rules: list[str] | None) -> None:
    assert rules_of(text) == rules


def test_knowledge_counts_what_becomes_of_everything() -> None:
    said: dict[str, Any] = {
        "a": rule("Add first."),
        "b": "none",
        "c": rule(),
        "d": FAILED,
        "e": CUT,
        "f": rule("It is 20."),
    }
    records = [record(name, response=RIGHT) for name in said]
    made = Knowledge(records, "t").run(says(lambda query: said[query.problem.id]))
    expected = {
        "given": 6,
        "asked": 6,
        "teacher_error": 1,
        "cut": 1,
        "malformed": 1,
        "rules": 2,
        "no_rule": 1,
        "kept": 2,
    }
    assert nonzero(made.counts) == expected  # 20 is the answer's number, not the question's
    assert [one.id for one in made.others["knowledge"]] == ["a#knowledge", "f#knowledge"]


def test_lorid_asks_with_the_very_prompts_that_the_data_have() -> None:
    """Data maker -> system: models that know only the records made, by their prompts, answer right."""
    made = Knowledge([record(response=RIGHT)], "t").run(says(lambda _: rule("Add first.", "Then multiply.")))
    taught = {
        name: {one.prompt: one.response for one in records}
        for name, records in {"model": made.records, **made.others}.items()
    }
    models = {name: ScriptedModel(lambda one, known=known: known[one.messages]) for name, known in taught.items()}  # type: ignore[misc]
    system = Lorid(Assembly(3, LoridOptions(knowledge="k", reason="r"), models, None))  # type: ignore[arg-type]
    found = asyncio.run(answered(system, request(messages=ASKED)))
    assert found.error is None and found.text == RIGHT and found.composed is not None
    assert found.composed.facts["iterations"] == 1


NOTE = "Learning Summary: Count {} again.\nSupplementary Knowledge: Both are fruit."


class Unsure(ScriptedModel):
    async def score(self, prompt: Any, continuation: Any, top: int = 0) -> TokenScores:
        return TokenScores((5,), (-0.7,), ({5: -0.7, 6: -0.7},), read=1)


def test_nesycd_answers_with_the_notes_made(tmp_path: Path) -> None:
    own, other = (Message("user", "two red apples"),), (Message("user", "two green apples"),)
    records = [with_prompt(own, "own"), with_prompt(other, "other")]
    made = Notes(records, "t").run(says(lambda query: NOTE.format(query.problem.id)))
    path = tmp_path / "notes.jsonl"
    write_records(path, made.records)
    student = Unsure(lambda one: boxed(7) if "Count own again." in one.messages[-1].content else "Let")
    parts = Assembly(1, NesycdOptions(notes=(str(path),)), {"model": student}, None)
    found = asyncio.run(answered(Nesycd(parts), request(messages=other)))  # its own note is left out
    assert found.text == boxed(7) and found.composed is not None and found.composed.facts["notes"] == ["own"]


def with_prompt(prompt: tuple[Message, ...], name: str) -> Any:
    return replace(record(name, rejected=WRONG, response=RIGHT), prompt=prompt)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Knowledge([record()], "t"), "response"),
    ],
)
def test_what_is_missing_is_refused_before_anything_is_asked(make: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        make()
