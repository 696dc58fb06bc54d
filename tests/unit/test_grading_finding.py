"""What a reply's running text answers: whole values, lists, predicates; never digits of something else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.grading import Pending, get_grader, score_completion
from harness.grading.claims import claim
from harness.grading.pool import GradingPool
from harness.grading.values import values
from harness.sentences import math_segments, sentence_stops
from harness.types import Completion, Finish, Problem, Score

GOLDEN = json.loads((Path(__file__).parent.parent / "golden" / "finding.json").read_text(encoding="utf-8"))
TRAPS = json.loads((Path(__file__).parent.parent / "golden" / "finding_traps.json").read_text(encoding="utf-8"))
ROWS = [(kind, *row) for kind, rows in GOLDEN.items() for row in rows]


def graded(grader: str, target: str, reply: str, finish: Finish = "stop") -> Score:
    found = score_completion(Problem("p", (), target, grader), Completion(reply, finish))
    return get_grader(found.grader).grade(found.target, found.answer) if isinstance(found, Pending) else found


@pytest.mark.parametrize(("kind", "grader", "target", "reply", "right"), ROWS)
def test_golden(kind: str, grader: str, target: str, reply: str, right: int) -> None:
    score = graded(grader, target, reply)
    assert (score.value == 1.0) == bool(right), (kind, score)


SPELLINGS = [
    "{n}/7", "7/{n}", "2 1/{n}", "{n}½", "{n}^2", "2^{n}", "2^{{{n}}}", "{n}²", "{n}√3", "5√{n}", "{n} sqrt(5)",
    "sqrt({n})", "{n}π", "{n} pi", "pi/{n}", "{n} x 10^5", "{n} × 10^5", "4.2e{n}", "{n}e5", "{n}:9", "9:{n}", "{n}x",
    "x^{n}", "x + {n}", "{n}/N", "n/{n}", "{n}! ways", "{n} thousand", "{n}k", "{n} million", "{n} or 99",
    "99 or {n}", "{n} and 99", "99 and {n}", "{n}; 99", "99, {n}", "$99$ and ${n}$", "${n}$ or $99$", "{n} to 99",
    "{n}-99", "99-{n}", "{n} hours 20 minutes", "{n} out of 99", "{n} squared", "{n} times the width", "±{n}",
    "{n} mod 99", "\\frac{{{n}}}{{7}}", "\\sqrt{{{n}}}", "3 + {n}", "{n} * 2", "2 * {n}", "{n} plus 2", "-{n}",
    "minus {n}", "not {n}", "less than {n}", "at least {n}", "between {n} and 99", "{n}.5", "{n},5", "{n},000",
    "log({n})", "sin {n}", "f({n})", "a_{n}", "C({n}, 2)", "({n}, 99)", "[{n}, 99)", "{n} < x < 99", "x > {n}",
    "{n} and a half",
]  # fmt: skip
SENTENCES = [
    "So the result is {}.",
    "The answer is {}.",
    "Hence we get {}",
    "Answer: {}",
    "There are {} of them.",
    "**{}**",
]


@pytest.mark.parametrize("grader", ["integer", "number", "math"])
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_number_within_a_value_is_never_the_answer(spelling: str, grader: str) -> None:
    for number in ("6", "13"):
        for sentence in SENTENCES:
            reply = sentence.format(spelling.format(n=number))
            found = score_completion(Problem("p", (), number, grader), Completion(reply, "stop"))
            answer = found.answer if isinstance(found, Pending) else ""
            assert isinstance(found, Pending) or found.value == 0.0, reply
            assert answer.strip("$ ") != number, reply


@pytest.mark.parametrize("trap", TRAPS)
def test_a_number_that_is_denied_bounded_or_one_of_several_is_never_the_answer(trap: str) -> None:
    for grader in ("integer", "number"):
        for number in ("42", "7", "120"):
            reply = trap.replace("{n}", number)
            found = score_completion(Problem("p", (), number, grader), Completion(reply, "stop"))
            assert isinstance(found, Score) and found.value == 0.0, reply
    found = score_completion(Problem("p", (), "42", "math"), Completion(trap.replace("{n}", "42"), "stop"))
    assert isinstance(found, Pending) or found.value == 0.0
    assert not isinstance(found, Pending) or found.answer.strip("$ ") != "42"


WHOLE = ["5/12", "-3/4", "2^10", "y = 4x", "1/N", "3:4", "f(x) = 2x + 1", "p - q", "x^2 + 3x - 6", "(1, 2)", "[0, 1)",
         "6 - 5i", "\\frac{1}{2}", "2\\sqrt{3}", "1,234.5", "x = 5"]  # fmt: skip
FRAMES = [
    "So it is {}.",
    "We get {}",
    "所以答案是{}。",
    "Hence, after all, the value equals {}, as claimed.",
    "It must be {} (see above).",
]


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("whole", WHOLE)
def test_a_value_is_claimed_as_it_is_written(whole: str, frame: str) -> None:
    found = claim(frame.format(whole))
    assert found is not None and found.readable
    assert found.tex.replace(" ", "") == whole.replace(" ", "")


def test_a_correct_declaration_survives_a_cut_only_if_nothing_could_follow() -> None:
    assert graded("number", "12", "The answer is 12. So", "length").value == 1.0
    assert graded("number", "12", "The answer is 12", "length").status == "truncated"
    assert graded("math", "12", "The answer is 12. It", "length").value == 1.0


@pytest.mark.parametrize(
    ("text", "formulas"),
    [
        ("$x$ costs $5", ["x"]),
        ("It cost $40, so each pays 8$", []),
        ("$5 and $6 or $7-$8", []),
        ("between $5$ and $6$", ["5", "6"]),
        ("He has $10,200 + $255 = $10,455. So $10,455$.", ["10,455"]),
        ("price in $: roughly 8$", []),
        ("\\(a\\) and $$b$$ and \\[c\\]", ["a", "b", "c"]),
        ("$ x = 3 $, \\$5", [" x = 3 "]),
        ("$\\text{if so, then }$ ok", ["\\text{if so, then }"]),
    ],
)
def test_formulas_and_money(text: str, formulas: list[str]) -> None:
    assert [text[start:end] for start, end in math_segments(text)] == formulas


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("Rs. 350. Then", 1),
        ("approx. 42", 0),
        ("No. 14 is it. No. Yes.", 3),
        ("at 5 p.m. on", 0),
        ("i.e. 4. Dr. Who", 1),
        ("$x.$ y", 0),
    ],
)
def test_sentence_stops(text: str, count: int) -> None:
    assert len(sentence_stops(text, math_segments(text))) == count


def test_nothing_is_quadratic() -> None:
    for unit in ("1 ", "x", "(", "$", "5 and ", "\\frac{", "1/", "2^", "-", "a.", "5 apples and ", "not ", "\n", "9"):
        text = unit * (4096 // len(unit))
        values(text)
        claim(text, direct=True)


OWN_KINDS = ("K1 ", "K1", "K2", "K3", "K7", "K8", "K9", "K10", "K15", "K16", "K17", "several", "what follows")


def test_reply_cases(shared_data: Path) -> None:
    path = shared_data / "reply_cases.jsonl"
    if not path.is_file():
        pytest.skip("no reply cases in the data directory")
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    rows = [
        row
        for row in rows
        if row["kind"].startswith(OWN_KINDS) and not row["kind"].startswith(("K11", "K12", "K13", "K14"))
    ]
    with GradingPool() as pool:
        found = [
            score_completion(Problem("p", (), row["target"], row["grader"]), Completion(row["text"], "stop"))
            for row in rows
        ]
        scores = [
            pool.submit(item.grader, item.target, item.answer).result() if isinstance(item, Pending) else item
            for item in found
        ]
    differing = [row for row, score in zip(rows, scores, strict=True) if (score.value == 1.0) != row["expected"]]
    assert rows and differing == []
