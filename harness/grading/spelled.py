"""Whole numbers in English words: "seven", "twenty-five", "negative three", "two hundred and six", "a million".

Only a text that is nothing but such words is a number: in "the last one" or "both of the two" nobody states a value.
"""

from __future__ import annotations

import re

from harness.grading.latex import NUMBER_WORDS

_TEENS = ("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen")
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_SMALL = {
    **{word: int(digits) for word, digits in NUMBER_WORDS.items()},
    **{word: value for value, word in enumerate(_TEENS, 13)},
    **{word: 10 * value for value, word in enumerate(_TENS, 2)},
}
_LARGE = {"thousand": 10**3, "million": 10**6, "billion": 10**9}
_WORDS = re.compile(r"(minus |negative )?([a-z]+(?:[ -][a-z]+){0,24})")


def spelled_number(text: str) -> int | None:
    r"""The number that a text spells, or None: case, a final full stop and `\text{}` around it do not matter."""
    inner = re.fullmatch(r"\\(?:text|mathrm|textbf)\s?\{([^{}]{1,200})\}", text.strip().strip("$").strip())
    body = (inner[1] if inner else text)[:200].strip().strip("$").rstrip(".").strip().lower()
    found = _WORDS.fullmatch(" ".join(body.split()))
    if found is None:
        return None
    value = _value(re.split(r"[ -]", found[2]))
    return None if value is None else -value if found[1] else value


def _value(words: list[str]) -> int | None:
    """The value of number words in English order; None for any other word or order."""
    if words[0] == "a" and len(words) > 1:
        words = ["one", *words[1:]]
    total = group = 0
    last, scale = "", 10**12
    for position, word in enumerate(words):
        if word == "and":
            if (last != "hundred" and last not in _LARGE) or position == len(words) - 1:
                return None
        elif word in _SMALL:
            small, before = _SMALL[word], _SMALL.get(last)
            if before is not None and not (before >= 20 and 0 < small < 10):
                return None
            if group and small == 0:
                return None
            group += small
        elif word == "hundred":
            if not 0 < group < 100 or last not in _SMALL:
                return None
            group *= 100
        elif word in _LARGE:
            if not group or _LARGE[word] >= scale:
                return None
            scale = _LARGE[word]
            total, group = total + group * scale, 0
        else:
            return None
        last = word
    return total + group
