r"""The table of perturbations: changes after which an answer must be graded wrong. Adding one is one line.

A perturbation is a name, the graders it is for, and a function from the gold and a seeded generator to the changed
text, or None where it does not apply. Every change of a value is checked by `evaluate`: what is not surely another
value makes no case.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction
from random import Random

from harness.grading.forms.equal import MATH, NUMBERS, Rewriting, fraction_of
from harness.grading.forms.evaluate import differ, equations_differ
from harness.grading.forms.gold import Gold, arithmetic, plain_number

Change = Callable[[Gold, Random], str | None]
_ROUNDED = 1e-4
"""A rounded decimal counts as changed only if it is further away than any tolerance for rounding."""


def inside(change: Callable[[str, Random], str | None], kinds: str = "") -> Change:
    """Change one of the gold's values by `change`, where arithmetic confirms that the answer is another one."""

    def make(gold: Gold, rng: Random) -> str | None:
        if kinds and gold.kind not in kinds.split():
            return None
        places = list(range(len(gold.spans)))
        rng.shuffle(places)
        for place in places:
            old = gold.parts[place]
            new = change(old, rng)
            if gold.kind == "interval" and old.isalpha():
                continue
            if new is not None and new != old and _surely_wrong(gold, place, new):
                return gold.replaced(place, new)
        return None

    return make


def _surely_wrong(gold: Gold, place: int, new: str) -> bool:
    old = gold.parts[place]
    if gold.kind == "equation":
        return equations_differ(gold.text, gold.replaced(place, new))
    rounded = gold.kind == "decimal" or (re.search(r"\d\.\d", old) is not None and plain_number(old) is None)
    return differ(arithmetic(old), arithmetic(new), _ROUNDED if rounded else 1e-6)


def _digit(value: str, rng: Random) -> str | None:
    spots = [match.start() for match in re.finditer(r"\d", value)]
    if not spots:
        return None
    spot = rng.choice(spots)
    choices = [digit for digit in "123456789" if digit != value[spot]]
    return value[:spot] + rng.choice(choices) + value[spot + 1 :]


def _last_digit(value: str, rng: Random) -> str | None:
    spots = [match.start() for match in re.finditer(r"\d", value)]
    return None if not spots else value[: spots[-1]] + str((int(value[spots[-1]]) + 1) % 10) + value[spots[-1] + 1 :]


def _digit_dropped(value: str, rng: Random) -> str | None:
    match = re.search(r"\d{2,}", value)
    return None if match is None or "," in value else value[: match.end() - 1] + value[match.end() :]


def _digit_added(value: str, rng: Random) -> str | None:
    match = re.search(r"\d+(?![\d,.])", value)
    return None if match is None or "," in value else f"{value[: match.end()]}{rng.randint(1, 9)}{value[match.end() :]}"


def _digits_swapped(value: str, rng: Random) -> str | None:
    spots = [
        match.start()
        for match in re.finditer(r"(?=[1-9]\d)", value)
        if value[match.start()] != value[match.start() + 1]
    ]
    if not spots:
        return None
    spot = rng.choice(spots)
    return None if value[spot + 1] == "0" else value[:spot] + value[spot + 1] + value[spot] + value[spot + 2 :]


def _negated(value: str, rng: Random) -> str | None:
    if "\\pm" in value:
        return None
    if value.startswith(("-", "+")):
        return value[1:].strip() if value[0] == "-" and not re.search(r".[-+]", value) else None
    return f"-{value}" if not re.search(r"[-+]", value) else f"-({value})"


def _operator(value: str, rng: Random) -> str | None:
    spots = [
        match.start()
        for match in re.finditer(r"(?<=[\w)}\s])[-+](?=[\s\w\\({])", value)
        if value[: match.start()].strip()
    ]
    if not spots:
        return None
    spot = rng.choice(spots)
    return value[:spot] + ("-" if value[spot] == "+" else "+") + value[spot + 1 :]


def _power_negated(value: str, rng: Random) -> str | None:
    return value.replace("10^{-", "10^{") if "10^{-" in value else value.replace("10^{", "10^{-")


_SIMPLE = re.compile(r"\\([dt]?)frac\s?(?:\{([^{}]+)\}|(\d))\s?(?:\{([^{}]+)\}|(\d))")


def _fraction(template: str) -> Callable[[str, Random], str | None]:
    """Its first simple fraction in a template: {top}, {bottom}, and each plus one."""

    def change(value: str, rng: Random) -> str | None:
        match = _SIMPLE.search(value)
        if match is None:
            return None
        top, bottom = match[2] or match[3], match[4] or match[5]
        body = template.replace("{top}", top).replace("{bottom}", bottom)
        return value[: match.start()] + body + value[match.end() :]

    return change


def rewrite(pattern: str, replacement: str) -> Callable[[str, Random], str | None]:
    """The first match in a value written anew."""
    return lambda value, rng: re.sub(pattern, replacement, value, count=1)


def _part_of_fraction(top: bool) -> Change:
    def make(gold: Gold, rng: Random) -> str | None:
        found = fraction_of(gold)
        if found is None:
            return None
        value = f"{found[0]}{found[1] if top else found[2]}"
        return value if Fraction(value) != Fraction(f"{found[0]}{found[1]}") / found[2] else None

    return make


def _element_dropped(gold: Gold, rng: Random) -> str | None:
    if gold.kind != "list" or len(set(gold.parts)) != len(gold.parts):
        return None
    left = list(gold.parts)
    left.pop(rng.randrange(len(left)))
    return ", ".join(left)


def _element_added(gold: Gold, rng: Random) -> str | None:
    if gold.kind not in ("list", "whole") or gold.unit or gold.text.startswith("\\{"):
        return None
    more = str(rng.randint(200, 900))
    return None if any(plain_number(part) == int(more) for part in gold.parts) else f"{gold.text}, {more}"


def _plus_alone(gold: Gold, rng: Random) -> str | None:
    return gold.text.replace("\\pm", rng.choice("+-")) if "\\pm" in gold.text else None


def _two_swapped(gold: Gold, rng: Random) -> str | None:
    if gold.kind not in ("tuple", "matrix") or len(gold.parts) < 2:
        return None
    if not differ(arithmetic(gold.parts[0]), arithmetic(gold.parts[1])):
        return None
    (a, b), (c, d) = gold.spans[:2]
    return gold.text[:a] + gold.text[c:d] + gold.text[b:c] + gold.text[a:b] + gold.text[d:]


def _bracket(gold: Gold, rng: Random) -> str | None:
    if gold.kind != "interval" or "\\cup" in gold.text:
        return None
    for left, right in ((r"\[", "("), (r"(?<!\\in )(?<![\w\\])\((?!-\\infty)", "[")):
        changed = re.sub(left, right, gold.text, count=1)
        if changed != gold.text:
            return changed
    changed = re.sub(r"\](?=\s*$)", ")", gold.text)
    return changed if changed != gold.text else None


_OTHER_UNIT = {"cents": "dollars", "cm": "km", "degrees": "radians", "inches": "feet"}


def _unit(gold: Gold, rng: Random) -> str | None:
    for word, other in _OTHER_UNIT.items():
        if re.search(rf"\b{word}\b", gold.unit):
            return gold.text.replace(word, other)
    if gold.unit == "\\$":
        return f"{gold.parts[0]} \\text{{ cents}}"
    return None


def _power_of_unit(gold: Gold, rng: Random) -> str | None:
    return f"{gold.text[:-1]}3" if gold.unit.endswith("^2") else None


def _other_word(gold: Gold, rng: Random) -> str | None:
    match = re.search(r"\(?([A-Za-z]+)\)?(?=\}$|$)", gold.text)
    if gold.kind != "word" or match is None:
        return None
    word = match[1]
    other = (
        chr((ord(word) - 64) % 5 + 65) if len(word) == 1 else {"east": "west", "even": "odd"}.get(word, f"not {word}")
    )
    return gold.text.replace(word, other)


def _other_base(gold: Gold, rng: Random) -> str | None:
    match = re.fullmatch(r"(\d+)_\{?(\d)\}?", gold.text)
    return (
        None
        if match is None or gold.text.startswith("0")
        else f"{match[1]}_{{{int(match[2]) % 9 + 1 if match[2] != '9' else 7}}}"
    )


def _digit_of_base(gold: Gold, rng: Random) -> str | None:
    match = re.fullmatch(r"(\d+)(_\{?\d\}?)", gold.text)
    return None if match is None else f"{match[1][:-1]}{(int(match[1][-1]) + 1) % 4}{match[2]}"


def _or_another(gold: Gold, rng: Random) -> str | None:
    other = _other_value(gold, rng)
    return None if other is None else f"{gold.text} \\text{{ or }} {other}"


def _and_another(gold: Gold, rng: Random) -> str | None:
    other = _other_value(gold, rng)
    return None if other is None else f"{gold.text} \\text{{ and }} {other}"


def _other_value(gold: Gold, rng: Random) -> str | None:
    if gold.kind not in ("whole", "decimal", "formula") or gold.unit or "\\pm" in gold.text:
        return None
    return inside(_digit)(gold, rng)


def _one_side(gold: Gold, rng: Random) -> str | None:
    """The right side alone answers "y = …" here, as in other graders; the left side alone does not."""
    if gold.kind != "equation" or "=" not in gold.text:
        return None
    left, right = (side.strip() for side in gold.text.split("="))
    return left if not re.fullmatch(r"[-\d.]+", left) and right != left else None


def _one_side_doubled(gold: Gold, rng: Random) -> str | None:
    if gold.kind != "equation":
        return None
    left, right = (side.strip() for side in gold.text.split("="))
    changed = f"{left} = 2({right})"
    return changed if equations_differ(gold.text, changed) else None


def number(template: str, apart: str = "") -> Change:
    """A bare number inside something larger, {value}; not for the numbers listed in `apart`."""

    def make(gold: Gold, rng: Random) -> str | None:
        if gold.kind not in ("whole", "decimal") or gold.unit or gold.text in apart.split() or gold.number is None:
            return None
        changed = template.replace("{value}", gold.text)
        return changed

    return make


WRONG: tuple[Rewriting[Change], ...] = (
    Rewriting("digit", NUMBERS, inside(_digit)),
    Rewriting("another digit", NUMBERS, inside(_digit)),
    Rewriting("last digit", NUMBERS, inside(_last_digit)),
    Rewriting("digit dropped", NUMBERS, inside(_digit_dropped)),
    Rewriting("digit added", NUMBERS, inside(_digit_added)),
    Rewriting("digits swapped", NUMBERS, inside(_digits_swapped)),
    Rewriting("sign", NUMBERS, inside(_negated)),
    Rewriting("operator", MATH, inside(_operator)),
    Rewriting("reciprocal", MATH, inside(_fraction(r"\frac{{bottom}}{{top}}"))),
    Rewriting("numerator changed", MATH, inside(_fraction(r"\frac{{top}+1}{{bottom}}"))),
    Rewriting("denominator changed", MATH, inside(_fraction(r"\frac{{top}}{{bottom}+1}"))),
    Rewriting("fraction multiplied out", MATH, inside(_fraction("{top} {bottom}"), "formula")),
    Rewriting("fraction as decimal", MATH, inside(_fraction("{top}.{bottom}"), "formula")),
    Rewriting("numerator alone", MATH, _part_of_fraction(True)),
    Rewriting("denominator alone", MATH, _part_of_fraction(False)),
    Rewriting("root dropped", MATH, inside(rewrite(r"\\sqrt\s?(\{[^{}]*\}|\d)", r"\1"))),
    Rewriting("pi dropped", MATH, inside(rewrite(r"(?<=\d)\s?\\pi", ""))),
    Rewriting("power dropped", MATH, inside(rewrite(r"\^\{?\d\}?", ""))),
    Rewriting("power of ten", MATH, inside(rewrite(r"10\^\{(-?)\d", r"10^{\g<1>5"))),
    Rewriting("power of ten, sign", MATH, inside(_power_negated)),
    Rewriting("function exchanged", MATH, inside(rewrite(r"\\sin", r"\\cos"))),
    Rewriting("variable exchanged", MATH, inside(rewrite(r"(?<![\\a-zA-Z{])[xtrn](?![a-zA-Z_])", "q"))),
    Rewriting(
        "variable added", MATH, inside(lambda value, rng: f"{value}x" if re.fullmatch(r"-?\d+", value) else None)
    ),
    Rewriting(
        "variable of a unit added",
        MATH,
        inside(lambda value, rng: f"{value}m" if re.fullmatch(r"-?\d+", value) else None),
    ),
    Rewriting("one more added", MATH, inside(lambda value, rng: f"{value}+1")),
    Rewriting("doubled", MATH, inside(lambda value, rng: f"2({value})", "formula")),
    Rewriting("halved", MATH, inside(lambda value, rng: f"\\frac{{{value}}}{{2}}", "formula whole")),
    Rewriting("one element dropped", MATH, _element_dropped),
    Rewriting("one element added", NUMBERS, _element_added),
    Rewriting("plus of plus and minus", MATH, _plus_alone),
    Rewriting("two elements swapped", MATH, _two_swapped),
    Rewriting("bracket", MATH, _bracket),
    Rewriting("left side alone", MATH, _one_side),
    Rewriting("unit", MATH, _unit),
    Rewriting("power of the unit", MATH, _power_of_unit),
    Rewriting("other word", MATH, _other_word),
    Rewriting("other base", MATH, _other_base),
    Rewriting("digit in a base", MATH, _digit_of_base),
    Rewriting(
        "half as much again", NUMBERS, inside(lambda value, rng: f"\\frac{{3}}{{2}}({value})", "formula whole decimal")
    ),
    Rewriting("a tenth", MATH, inside(lambda value, rng: f"{value} \\times 10^{{-1}}", "formula whole decimal")),
    Rewriting("sides multiplied apart", MATH, _one_side_doubled),
    Rewriting("or another", NUMBERS, _or_another),
    Rewriting("and another", NUMBERS, _and_another),
    Rewriting("under one", NUMBERS, number(r"\frac{1}{{value}}", "1 -1")),
    Rewriting("as a slash denominator", NUMBERS, number("1/{value}", "1 -1")),
    Rewriting("as an exponent", NUMBERS, number("3^{{value}}")),
    Rewriting("under a root", NUMBERS, number(r"\sqrt{{value}}", "0 1")),
    Rewriting("beside a root", NUMBERS, number(r"{value}\sqrt{2}", "0")),
    Rewriting("times pi", NUMBERS, number(r"{value}\pi", "0")),
    Rewriting("a ratio", NUMBERS, number("3:{value}")),
    Rewriting("times a power of ten", NUMBERS, number(r"{value} \times 10^{5}", "0")),
    Rewriting("factorial", NUMBERS, lambda gold, rng: f"{gold.text}!" if _factorial(gold) else None),
    Rewriting("less than", NUMBERS, number("x < {value}")),
    Rewriting("range", NUMBERS, number(r"{value} \text{ to } 5000")),
)


def _factorial(gold: Gold) -> bool:
    return gold.kind == "whole" and not gold.unit and gold.number is not None and gold.number > 2
