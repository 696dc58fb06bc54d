"""What the grader "math" calls equal: a table by rule, and generated spellings and perturbations of golds."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.grading.math import GRADER, equivalent
from harness.grading.units import same_unit, unit_key, with_symbol

GOLDEN = json.loads((Path(__file__).parent.parent / "golden" / "compare.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(("gold", "answer", "equal"), [row for rows in GOLDEN["table"].values() for row in rows])
def test_table(gold: str, answer: str, equal: bool) -> None:
    assert equivalent(gold, answer) is equal
    quick = GRADER.quick(gold, answer)
    assert quick is None or (quick.value == 1.0) is equal


def equal_spellings(gold: str) -> Iterator[str]:
    yield f"${gold}$"
    yield f"\\boxed{{{gold}}}"
    yield gold + "."
    yield gold.replace("\\frac", "\\dfrac").replace("\\left", "").replace("\\right", "")
    yield re.sub(r"(?<=[\w})])([-+=])(?=[\w\\ ])", r" \1 ", gold) if "e-" not in gold else gold
    yield gold.replace("\\pi", "π").replace("^\\circ", "°").replace("\\infty", "∞").replace("\\cup", "∪")
    yield re.sub(r"(?<![\d])\\frac\{([^{}]*)\}\{([^{}]*)\}", r"(\1)/(\2)", gold)
    yield re.sub(r"\\sqrt\{([^{}]*)\}", r"sqrt(\1)", gold) if "_" not in gold else gold


def perturbations(gold: str, rng: random.Random) -> Iterator[str]:
    for place, sign in enumerate(gold):
        if sign.isdigit():
            yield gold[:place] + str((int(sign) + rng.randrange(1, 10)) % 10) + gold[place + 1 :]
        if sign == "+":
            yield gold[:place] + "-" + gold[place + 1 :]
    yield from (re.sub(r"frac\{([^{}]+)\}\{([^{}]+)\}", r"frac{\2}{\1}", gold, count=1),) if "frac{" in gold else ()
    for old, new in (
        ("inches", "feet"),
        ("cents", "dollars"),
        ("\\$", "€"),
        ("\\cos", "\\sin"),
        ("cup", "cap"),
        ("\\le ", "< "),
    ):
        if old in gold:
            yield gold.replace(old, new)
    if "," in gold:
        yield gold.replace("(", "[", 1) if gold.count("(") == 1 and "]" in gold else gold.split(",")[-1].rstrip(")] ")
    if "=" in gold and "," not in gold:
        yield gold.split("=")[0]
        yield gold + "+1"
    yield gold + ", 17"
    yield gold + " \\text{ or } 17"


@pytest.mark.parametrize("gold", GOLDEN["golds"])
def test_spellings_are_right_and_perturbations_are_wrong(gold: str) -> None:
    assert [text for text in equal_spellings(gold) if not equivalent(gold, text)] == []
    rng = random.Random(gold)
    wrong = {text for text in perturbations(gold, rng) if "/0}" not in text}
    assert [text for text in sorted(wrong) if equivalent(gold, text)] == []


@pytest.mark.parametrize(("left", "right", "same"), GOLDEN["unit_pairs"])
def test_units(left: str, right: str, same: bool) -> None:
    assert same_unit(unit_key(left), unit_key(right)) is same
    assert same_unit(unit_key(right), unit_key(left)) is same


DEEP = [
    "x^" * 700 + "x",
    "1" + "/1" * 700,
    "x" + "!" * 700,
    "-" * 700 + "1",
    "(" * 700,
    "\\sqrt{" * 600 + "2" + "}" * 600,
]
DEEP += ["1" + ",1" * 700, "|" * 700, "\\pm 1" * 600, "\\log_" * 700 + "2", "50" + "\\%" * 700, "$" * 700]
LARGE = [
    "2^{1000000}",
    "1000000!",
    "9^{9^9}",
    "\\binom{1000000}{500000}",
    "e^{e^{e^{3}}}",
    "1+9^{9^{9^{9^{9}}}}",
    "\\tan 10^{20}",
]


@pytest.mark.parametrize("gold", ["\\sqrt{2}", "x^2+1, 3", "2^{1000000}+1"])
def test_deep_and_large_answers_are_wrong(gold: str) -> None:
    assert [text[:30] for text in DEEP + LARGE if equivalent(gold, text)] == []


def test_two_numbers_too_large_to_be_told_apart_are_unscored() -> None:
    score = GRADER.grade("10^{10^{10^{10}}} \\cdot 2", "2 \\cdot 10^{10^{10^{10}}}+1")
    assert (score.value, score.status) == (None, "unscored") and "too large" in score.why


@pytest.mark.parametrize(
    ("text", "meant"),
    [("7 m", "7\\text{ m}"), ("10 m/s^2", "10\\text{ m/s^2}"), ("7m", "7m"), ("7 t", "7 t"), ("x m", "x m")],
)
def test_symbols_of_units_in_plain_text(text: str, meant: str) -> None:
    assert with_symbol(text) == meant
