"""Golden rows and properties of harness.answers."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import answers, reasoning
from harness.sentences import math_segments

GOLDEN = json.loads((Path(__file__).parent.parent / "golden" / "answers.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(("text", "expected"), GOLDEN["boxed"])
def test_last_boxed(text: str, expected: str | None) -> None:
    assert answers.last_boxed(text) == expected


@pytest.mark.parametrize(("text", "expected"), GOLDEN["phrase"])
def test_answer_phrase(text: str, expected: str | None) -> None:
    assert answers.after_answer_phrase(text) == expected


PIECES = (
    *("answer", "Answer", "ANSWER", "<answer>", "####", "antwort", "antwoord", "réponse", "reponse", "resposta"),
    *("risposta", "respuesta", "cevap", "odpowiedź", "答案是", "final", "correct", "best", "my", "the", "a", "la"),
    *("het", "is", "was", ":", "=", "to", "for", "ist", "es", ",", "x", "3", ".", "**", "__"),
)


def test_no_phrase_begins_before_the_first_word_of_one() -> None:
    """Where the search begins changes nothing that it finds, whatever stands before, between and around the words."""
    draw = random.Random(3)
    found = 0
    for _ in range(3_000):
        text = "".join(
            draw.choice(PIECES) + draw.choice(("", " ", "  ", "\t", "\n")) for _ in range(draw.randint(1, 12))
        )
        spans = [match.span() for match in answers._PHRASE.finditer(text)]
        found += len(spans)
        assert [match.span() for match in answers._PHRASE.finditer(text, answers._first_phrase(text))] == spans, text
    assert found > 1_000


def test_boxes_joined_by_and_are_one_answer() -> None:
    assert answers.last_boxed_group("\\(\\boxed{-2}\\) and \\(\\boxed{1}\\)") == ("-2", "1")
    assert answers.last_boxed_group("\\boxed{3} is wrong, so we get \\boxed{4}") == ("4",)


@given(st.dictionaries(st.text(), st.integers() | st.text() | st.lists(st.booleans())))
def test_json_round_trip(value: dict[str, object]) -> None:
    assert answers.json_object(json.dumps(value)) == value
    assert answers.json_object(f"```json\n{json.dumps(value)}\n```") == value


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"a": 1} {"b": 2}', "after the JSON object"),
        ('Sure: {"a": 1}', "does not start"),
        ("[1]", "does not start"),
        ('{"a": 1, "a": 2}', "twice"),
        ('{"a": NaN}', "NaN"),
        ('{"a": ' + "[" * 100 + "]" * 100 + "}", "deeper"),
        ('{"a"', "not JSON"),
        ('{"a": "' + "x" * answers.MAX_JSON + '"}', "characters"),
    ],
    ids=str,
)
def test_json_refusals(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        answers.json_object(text)


HOSTILE = [
    "{",
    "}",
    "$",
    "\\boxed{",
    "\\boxed",
    "answer is ",
    "answer:",
    "####",
    "(",
    "1,000,",
    "9",
    "\\(",
    "[",
    "<think>",
    "</think>",
    "A ",
    "not A ",
    '{"a":',
    "\\frac{",
    " ",
    "\n",
    ". ",
    "答案是",
    "réponse ",
    "*",
    "-1",
    ".",
    "$$\\(",
    "\\text{",
    "\\",
    "final answer to ",
]


BIG = ("{", "$", "\\boxed{")


@pytest.mark.timeout(120)
@pytest.mark.parametrize("unit", HOSTILE)
def test_megabytes_of_anything_are_read(unit: str) -> None:
    """Quadratic behaviour would take hours at this size; the timeout is the assertion."""
    text = unit * ((10_000_000 if unit in BIG else 1_500_000) // len(unit))
    thought, answer = reasoning.split_reasoning(text)
    assert thought is not None or answer is not None
    for find in (
        answers.last_boxed,
        answers.after_answer_phrase,
        answers.last_integer,
        answers.after_hashes,
    ):
        find(text)
    math_segments(text[-answers.TAIL :])
    with pytest.raises(ValueError, match="characters"):
        answers.json_object(f"[{text}]")


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        ("$3\\boxed{5}$", "3(5)"),
        ("$-\\boxed{5}$", "-5"),
        ("$\\boxed{5}\\pi$", "5\\pi"),
        ("$\\boxed{5}^2$", "(5)^2"),
        ("$\\frac{\\boxed{5}}{7}$", "\\frac{5}{7}"),
        ("$x = \\sqrt{\\boxed{5}}$", "\\sqrt{5}"),
        ("\\boxed{5} thousand", "5 thousand"),
        ("\\boxed{5}! Great.", "5"),
        ("$\\boxed{60}^\\circ$", "60"),
        ("$7 + \\boxed{5} = 12$", "5"),
        ("$x - \\boxed{5}$", "5"),
        ("\\boxed{5} a day", "5"),
    ],
)
def test_a_box_within_a_formula_is_read_with_its_neighbours(reply: str, answer: str) -> None:
    assert answers.last_boxed_group(reply) == (answer,)
