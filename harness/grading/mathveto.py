r"""Pairs of mathematical answers that differ for certain, although math-verify reads them as equal.

The library drops the base of a numeral, takes the right side of any equation, and skips every text and unit. Here a
pair is refused if

* both name a base and the bases differ, or only the answer names one;
* both name a known unit and the units differ: 5 cm is not 5 m, but 5 cm answers a bare 5 and the other way round;
* the target is no equation and the answer equates it with a curve: "x^2 + y^2 = 1" and "2x + 3y = 1" do not answer 1,
  while "f(2) = 1", "m + n = 1" and "3 - 2 = 1" do;
* the answer says something about its value that the target does not: "is wrong", "if …", "thousand".
"""

from __future__ import annotations

import re

from harness.grading.latex import NUMBER_WORDS, canonical

NAME = re.compile(
    r"\s*(?:\\(?:Delta|delta|mathrm|text|vec|bar|hat)\s?)?(?:\\?[A-Za-z]+|\{[A-Za-z]+\})(?:_(?:\{[^{}]*\}|\w))?"
    r"(?:\s?\(\s?(?:\\?[A-Za-z]+)(?:\s?,\s?\\?[A-Za-z]+)*\s?\))?\s*"
)
RELATION = re.compile(r"(?<![<>!\\:])=(?!=)|\\approx(?![a-zA-Z])|\\in(?![a-zA-Z])|≈")
_BASE = re.compile(r"[0-9A-F]+_\{?(\w+)\}?")
_TEXT = re.compile(r"\\(?:text|mathrm|textrm|textbf|mbox)\s?\{([^{}]*)\}")
_REMARK = re.compile(
    r"(?i)\b(?:is|not|isn['’]t|never|wrong|incorrect|if|otherwise|unless|except|less|greater|fewer|least|most|between"
    r"|hundred|thousand|million|billion|trillion|dozen)\b"
)
_CURVE = re.compile(r"(?<![\\a-zA-Z])[a-zA-Z]\s?\^|\d\s?(?<!\\)[a-zA-Z]")
_TRAILING_UNIT = re.compile(
    r"[\d}]\s*(?:\\[,;! ]\s*)?(?:\\(?:text|mathrm|textrm|mbox)\s?\{\s*([a-zA-Z. ]{1,24}?)\.?\s*\}|\s?([a-zA-Z ]{1,24}))"
    r"\s*(?:\^\{?([23])\}?)?[\s$.]*$"
)
_UNITS = {
    spelling: unit
    for unit, spellings in {
        "mm": "mm millimeter millimeters millimetre millimetres",
        "cm": "cm centimeter centimeters centimetre centimetres",
        "m": "m meter meters metre metres",
        "km": "km kilometer kilometers kilometre kilometres",
        "in": "in inch inches",
        "ft": "ft foot feet",
        "yd": "yd yard yards",
        "mi": "mi mile miles",
        "mg": "mg milligram milligrams",
        "g": "g gram grams",
        "kg": "kg kilogram kilograms",
        "lb": "lb lbs pound pounds",
        "oz": "oz ounce ounces",
        "s": "s sec second seconds",
        "min": "min minute minutes",
        "h": "h hr hrs hour hours",
        "d": "day days",
        "wk": "week weeks",
        "yr": "yr year years",
        "$": "dollar dollars",
        "ct": "cent cents",
        "mL": "mL ml milliliter milliliters millilitre millilitres",
        "L": "L liter liters litre litres",
    }.items()
    for spelling in spellings.split()
}


def surely_different(gold: str, answer: str) -> bool:
    """Whether a pair must be refused by the rules in the module docstring."""
    return other_base(gold, answer) or _other_unit(gold, answer) or _is_curve(gold, answer) or _remarks(gold, answer)


def other_base(gold: str, answer: str) -> bool:
    """Whether both name a base and the bases differ, or only the answer names one."""
    if "_" not in answer:
        return False
    named = _BASE.fullmatch(canonical(answer))
    if named is None:
        return False
    wanted = _BASE.fullmatch(canonical(gold))
    if wanted is None:
        return re.fullmatch(r"[0-9A-F]+", canonical(gold)) is not None
    return NUMBER_WORDS.get(named[1], named[1]) != NUMBER_WORDS.get(wanted[1], wanted[1])


def _other_unit(gold: str, answer: str) -> bool:
    wanted = _unit(gold)
    found = _unit(answer) if wanted else None
    return found is not None and found != wanted


def _unit(text: str) -> tuple[str, str] | None:
    """(unit, power) that a text ends with, "square feet" as ("ft", "2"); None without a known one."""
    found = _TRAILING_UNIT.search(text[-80:])
    if found is None:
        return None
    power, name = found[3] or "1", (found[1] or found[2]).strip()
    for words, meant in (("square ", "2"), ("sq ", "2"), ("sq. ", "2"), ("cubic ", "3")):
        if name.startswith(words):
            power, name = meant, name.removeprefix(words).strip()
    unit = _UNITS.get(name) or _UNITS.get(name.lower()) if len(name) > 1 else _UNITS.get(name)
    return None if unit is None else (unit, power)


def _is_curve(gold: str, answer: str) -> bool:
    relation = RELATION.search(answer)
    if relation is None or RELATION.search(gold) or RELATION.search(answer, relation.end()):
        return False
    if relation[0] != "=" or NAME.fullmatch(answer[: relation.start()]):
        return False
    left = re.sub(r"_\{[^{}]*\}|\\[a-zA-Z]+", " ", _TEXT.sub(" ", answer[: relation.start()]))
    return _CURVE.search(left) is not None


def _remarks(gold: str, answer: str) -> bool:
    said = " ".join(_TEXT.findall(answer)) or answer
    return _REMARK.search(said) is not None and _REMARK.search(gold) is None
