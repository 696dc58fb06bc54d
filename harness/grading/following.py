"""What follows a number in a sentence and belongs to it: scale words, units, and what leaves it no value of its own."""

from __future__ import annotations

import re
from fractions import Fraction

from harness.grading.rationals import parse_rational, show
from harness.grading.units import MULTIPLIERS

_SCALE_VALUES = MULTIPLIERS | {
    "lakh": 10**5, "crore": 10**7, "mn": 10**6, "bn": 10**9,
    "百": 10**2, "千": 10**3, "万": 10**4, "萬": 10**4, "亿": 10**8, "億": 10**8,
}  # fmt: skip
_SCALE = re.compile(
    r"\s?(hundred|thousand|million|billion|trillion|dozen|lakh|crore)s?(?![A-Za-z])|\s?(mn|bn)(?![A-Za-z'’^_(*/+])"
    r"|\s?([百千万萬亿億])(?![克米瓦])"
)
_OPERAND = r"(?:\\?\$|\\\()?\s?[-−]?(?:\d|\\[a-z])[\d.,:]*"
_COMPOUND = (
    r"(?:hours?|hrs?\.?|h|feet|foot|ft\.?|dollars?|pounds?|lbs?\.?|days?|weeks?|years?|minutes?|mins?\.?|degrees?|meters?"
    r"|kilometers?|kilograms?|kg|km|m)"
)
_SPOILED = re.compile(
    rf"""
    \s?(?:squared|cubed|factorial|hundredths?|thousandths?|tenths?)(?![A-Za-z])
    |\s+(?:multiplied|divided|plus|minus)(?![A-Za-z])
    |\s+times\s+(?:the|as|that|this|his|her|its|their|our|your|my|more|larger|greater|bigger|longer|older|[a-z](?![a-z])|{_OPERAND})
    |\s+(?:or|and)\s+(?:more|less|fewer|so|above|below|higher|lower)(?![A-Za-z])
    |\s*(?:to|through|until|[-–—~～至到])\s*{_OPERAND}(?:\s?%)?
    |\s+out\s+of\s+{_OPERAND}
    |\s*\\(?:text|mathrm|mbox)\s?\{{\s?(?:to|through|until|out\s+of)\s?\}}\s*{_OPERAND}
    |\s?{_COMPOUND},?\s+(?:and\s+)?\d[\d.]*\s?[a-z]{{1,8}}\b(?!\s+(?:more|less|fewer|times))
    |['’′"″]\s?\d
    |-(?=[A-Za-z]{{2}})
    |(?=[A-Za-z])(?!(?:st|nd|rd|th)(?![A-Za-z]))[A-Za-z]{{1,40}}\d?
    """,
    re.VERBOSE,
)
_WORDS = (
    r"(?:millimet(?:er|re)s?|centimet(?:er|re)s?|kilomet(?:er|re)s?|met(?:er|re)s?|mm|cm|km|inch(?:es)?|ft|foot|feet|yards?"
    r"|yd|miles?|milligrams?|kilograms?|grams?|mg|kg|lbs?|pounds?|oz|ounces?|ms|milliseconds?|seconds?|secs?|minutes?|mins?"
    r"|hours?|hrs?|days?|weeks?|months?|years?|yrs?|dollars?|bucks|cents?|euros?|yen|yuan|rupees?|ml|mL|millilit(?:er|re)s?"
    r"|lit(?:er|re)s?|gallons?|pints?|quarts?|cups?|mph|kph|kmph|degrees?|radians?|a\.?m\.?|p\.?m\.?|AM|PM|units?|newtons?|joules?"
    r"|kJ|watts?|volts?|amps?|kelvins?|Hz|pascals?|Pa|eV|moles?|mol|[mgshLlKCFVWNJ](?![A-Za-z'’(=]))"
)
_UNIT = re.compile(
    rf"\s?(?:(?:square|cubic|sq\.?|cu\.?)\s)?(?:(?<=\s){_WORDS}|(?<=\d)(?:mm|cm|km|ft|yd|mg|kg|lbs?|oz|ms|mL|ml|am|pm|Hz|kJ|eV|mph|m(?=[²³])|(?!pi|sqrt|sin|cos|tan|log)[a-z]{{3,}}))"
    rf"(?![A-Za-z])(?:\s?\^\s?\{{?[23]\}}?|[²³])?(?:\s?(?:/|per\s)\s?{_WORDS}(?![A-Za-z])(?:\^\{{?[23]\}}?|[²³])?)?"
    r"|\s?(?:\$|\\\()?\s?\\(?:text|mathrm|textrm|mbox)\s?\{\s?(?!,?\s?(?:and|or|to|through|until|out\s+of)\b)[^{}\d]{1,40}\}(?:\s?\^\s?\{?[23]\}?)?(?:\s?\$(?!\d)|\s?\\\))?"
    r"|\s(?:\$|\\\()\s?(?:mm|cm|km|ft|in|m|s|g|kg)(?:\s?\^\s?\{?-?[123]\}?)?(?:\s?/\s?(?:s|h|m|cm|kg)(?:\s?\^\s?\{?[23]\}?)?)?\s?(?:\$(?!\d)|\\\))"
)
_HALF = re.compile(r"\s+and\s+(?:(?:a|one)[\s-]+(half|quarter|third)|(three)[\s-]+quarters)(?![A-Za-z])")
_SHARES = {"half": "1/2", "quarter": "1/4", "third": "1/3", "three": "3/4"}
_OF_PARTS = re.compile(r"\s?分之\s?(\d{1,9})")


MIXED = re.compile(
    r"(?<![\d.,])(\d{1,9}) ?(?:(?<= )(\d{1,9})\s?/\s?(\d{1,9})|\\frac\{(\d{1,9})\}\{(\d{1,9})\})(?![\d/])"
)
"""A mixed number, "2 1/2" or `2\\frac{1}{2}`."""


def improper(mixed: re.Match[str]) -> str:
    """A mixed number as one fraction, which stands alone wherever units or signs follow."""
    over, under = int(mixed[2] or mixed[4]), int(mixed[3] or mixed[5])
    return rf"\frac{{{int(mixed[1]) * under + over}}}{{{under}}}" if over < under else mixed[0]


_BASE = re.compile(r"\s+(?:in\s+)?base[\s-]+(\d{1,2})(?!\d)")


def completed_number(tex: str, text: str, position: int) -> tuple[str, int] | None:
    """A number with its scale word, its half or its 分之 (spelling, where it ends), or None without one."""
    half = _HALF.match(text, position)
    if half and tex.isdigit():
        return MIXED.sub(improper, f"{tex} {_SHARES[half[1] or half[2]]}"), half.end()
    parts = _OF_PARTS.match(text, position)
    if parts and tex.isdigit():
        return f"{parts[1]}/{tex}", parts.end()
    base = _BASE.match(text, position)
    if base and tex.isalnum():
        return f"{tex}_{{{base[1]}}}", base.end()
    scale = _SCALE.match(text, position)
    if scale is None:
        return None
    value = parse_rational(re.sub(r"(?<=\d),(?=\d{3})", "", tex).removeprefix("\\$"))
    name = next(found for found in scale.groups() if found)
    if value is None:
        return f"{tex} {name}", scale.end()
    return ("\\$" if tex.startswith("\\$") else "") + show(value * Fraction(_SCALE_VALUES[name])), scale.end()


def spoiling(text: str, position: int) -> int | None:
    """Where that ends which leaves a number no value of its own: "5 squared", "5 to 7"; None if nothing does."""
    found = _SPOILED.match(text, position)
    return None if found is None else found.end()


def unit_after(text: str, position: int) -> str:
    """The unit that follows a number, its space included; "" without a known one."""
    found = _UNIT.match(text, position)
    return found[0] if found else ""


def upright(unit: str) -> str:
    r"""A unit as upright LaTeX: " m^3" is `\text{ m}^{3}`."""
    body = re.sub(r"\$|\\[()]", " ", unit)
    body = re.sub(r"\\(?:text|mathrm|textrm|mbox)\s?\{([^{}]*)\}", r" \1", body).strip()
    body = body.replace("²", "^2").replace("³", "^3")
    power = re.search(r"\s?\^\s?\{?(-?\d)\}?$", body)
    if power and "/" not in body:
        return rf"\text{{ {body[: power.start()].strip()}}}^{{{power[1]}}}"
    return rf"\text{{ {re.sub(r'[{}]', '', body)}}}"
