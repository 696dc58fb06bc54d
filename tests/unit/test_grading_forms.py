"""The generated cases behind `harness check --deep`: what is called right is equal, what is called wrong is not."""

from __future__ import annotations

import json
from fractions import Fraction
from typing import Any

import pytest

from harness.grading.forms import PARTS, Case, Wording, cases, part_of
from harness.grading.forms.equal import EQUAL, Rewriting
from harness.grading.forms.evaluate import NoFormula, differ, equations_differ, same, values
from harness.grading.forms.gold import read_gold
from harness.grading.forms.letters import BEFORE, BEHIND, DECLARED, NEVER
from harness.grading.forms.sentences import STATEMENTS, TRAPS
from harness.grading.forms.wrong import WRONG
from harness.types import Problem

BOTH = frozenset(PARTS)


def made(grader: str, target: str, choices: tuple[str, ...] = ()) -> list[Case]:
    return list(cases(Problem("p", (), target, grader, choices=choices), 0, BOTH))


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (r"\frac43", r"\frac{8}{6}"),
        (r"2\cdot\sqrt{3}", r"\sqrt{12}"),
        (r"\frac{1}{2a}(\exp{a*t} - \exp{-a*t})", r"\frac{e^{at}-e^{-at}}{2a}"),
        (r"\sin^{2} x + \cos^2 x", "1"),
        (r"e^{i\pi}", "-1"),
        (r"1\pm\sqrt{5}", r"\pm\sqrt 5+1"),
        (r"10^{-20}", r"\frac{1}{10^{20}}"),
    ],
)
def test_equal_formulas_have_the_same_values(left: str, right: str) -> None:
    assert same(left, right)
    assert not differ(left, right)


@pytest.mark.parametrize(
    ("left", "right"),
    [(r"\frac43", r"\frac34"), ("x+1", "y+1"), (r"\omega_d", r"\omega_n"), ("10^{-20}", r"\sqrt{2}\cdot10^{-20}")],
)
def test_different_formulas_differ(left: str, right: str) -> None:
    assert differ(left, right)
    assert not same(left, right)


@pytest.mark.parametrize("text", ["", r"\text{east}", "3, 5", "x=2", r"\frac{1}{0}", "(" * 500, "1!2!,", "9!!!!", "5°"])
def test_what_cannot_be_evaluated_makes_no_case(text: str) -> None:
    with pytest.raises(NoFormula):
        values(text)
    assert not same(text, text)
    assert not differ(text, "1")


def test_equations_differ_unless_one_is_a_multiple_of_the_other() -> None:
    assert equations_differ("y=2x+3", "y=2x+4")
    assert not equations_differ("y=2x+3", "2y=4x+6")
    assert not equations_differ("y=2x+3", "2x+3=y")


@pytest.mark.parametrize(
    ("text", "kind", "parts"),
    [
        ("58,500", "whole", 1),
        (r"10,\!080", "whole", 1),
        (r"\$18.90", "decimal", 1),
        ("3, 5, 7", "list", 3),
        ("(-2,1)", "tuple", 2),
        (r"\left( 3, \frac{\pi}{2} \right)", "tuple", 2),
        (r"(-\infty, 2) \cup (3, \infty)", "interval", 2),
        (r"\left(\frac{3}{5},\frac{8}{3}\right]", "interval", 2),
        (r"\{1\pm\sqrt{5},-2\}", "set", 2),
        (r"\begin{pmatrix} 1/5 \\ -18/5 \end{pmatrix}", "matrix", 2),
        ("y = 2x + 3", "equation", 2),
        (r"\text{east}", "word", 0),
        ("(a+5)(b+2)", "formula", 1),
    ],
)
def test_golds_are_taken_apart(text: str, kind: str, parts: int) -> None:
    gold = read_gold(text)
    assert (gold.kind, len(gold.parts)) == (kind, parts)


def test_a_changed_number_is_another_number() -> None:
    """By Python's own arithmetic: no plain number that a change makes equals the gold."""
    for target in ("7", "-40", "0", "1024", "3.50", "0.006", "1,234", "999999"):
        gold = Fraction(target.replace(",", ""))
        for case in made("number", target):
            if case.group == "change" and case.text.startswith("\\boxed{"):
                inner = case.text.removeprefix("\\boxed{").partition("}")[0].replace(",", "")
                try:
                    assert Fraction(inner) != gold, case
                except ValueError:
                    continue  # no plain number: a root, a list


def test_cases_are_the_same_every_time_and_the_parts_share_them() -> None:
    problem = Problem("p", (), r"\frac{3}{4}", "math")
    every = list(cases(problem, 0, BOTH))
    assert every == list(cases(problem, 0, BOTH))
    by_part = {part: {case.form for case in cases(problem, 0, frozenset({part}))} for part in PARTS}
    assert not by_part["open"] & by_part["held"]
    assert by_part["open"] | by_part["held"] == {case.form for case in every}
    assert all(part_of(form) == part for part in PARTS for form in by_part[part])


def test_every_form_makes_a_case_for_some_gold() -> None:
    golds = [
        r"\frac{3}{4}",
        "-8",
        "1,234",
        "2048",
        "0.25",
        ".5",
        r"70 \sqrt{2}",
        r"2\sqrt{5}",
        r"7\pi",
        r"\$36",
        "5, -7",
    ]
    golds += ["(2,3)", "(2,5]", r"x \in [-2,7]", r"30^\circ", r"5 \text{ cents}", r"15\mbox{ cm}^2", r"\text{east}"]
    golds += ["x - 12", r"1 \pm \sqrt{19}", "y = 2x + 3", r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", "204_5", r"\sin(2t)"]
    golds += [r"4.4 \times 10^{-7}", r"1\frac{4}{5}", r"-\frac{11}{4}", "n^2", "12", r"\frac43", "2k+2", r"\frac{x}{3}"]
    found = [case for gold in golds for case in made("math", gold)]
    found += [case for gold in ("2048", "17", "2.5", "-8", ".5", "5000", "3000000") for case in made("number", gold)]
    tables: dict[str, tuple[Wording | Rewriting[Any], ...]]
    tables = {"sentence": STATEMENTS, "trap": TRAPS, "spelling": EQUAL, "change": WRONG}
    for group, table in tables.items():
        names = [form.name for form in table]
        assert len(set(names)) == len(names), group
        assert set(names) - {case.form for case in found if case.group == group} == set(), group
    letters = {case.form for case in made("choice", "B", ("red", "green", "blue", "grey"))}
    replies = {"declared": DECLARED, "before": BEFORE, "behind": BEHIND, "never": NEVER}
    assert {f"{name}: {form.name}" for name, lines in replies.items() for form in lines} - letters == set()


def test_letters_are_right_and_wrong_in_pairs() -> None:
    found = made("choice", "B", ("red", "green", "blue", "grey"))
    declared = [case for case in found if case.form.startswith("declared")]
    assert sum(case.right for case in declared) == len(DECLARED) == sum(not case.right for case in declared)
    assert not [case for case in found if case.form.startswith("never") and case.right]


def test_json_replies_are_what_they_say() -> None:
    for case in made("json", '{"answer": "12"}'):
        text = case.text.rpartition("</think>")[2].strip().removeprefix("```json").strip("`\n ")
        try:
            value = json.loads(text)
        except ValueError:
            assert not case.right
            continue
        answer = value.get("answer") if isinstance(value, dict) else None
        if case.right:
            assert Fraction(str(answer).strip()) == 12
