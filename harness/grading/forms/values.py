"""Cases for golds that are mathematics or numbers: spellings and changes put into sentences."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from random import Random

from harness.grading.forms import Case, Part, Wording, part_of
from harness.grading.forms.equal import EQUAL, Prose
from harness.grading.forms.gold import Gold, read_gold
from harness.grading.forms.sentences import STATEMENTS, TRAPS
from harness.grading.forms.wrong import WRONG
from harness.types import Problem

_PLAIN = re.compile(r"-?(?:\d{1,3}(?:,\d{3})+|\d+|(?=\.\d))(?:\.\d+)?(?:\s?/\s?\d+)?")
"""A value that stands in running text as it is."""


def cases(problem: Problem, seed: int, parts: frozenset[Part]) -> Iterator[Case]:
    """Spellings and sentences that must be right, changes and traps that must be wrong."""
    gold = read_gold(problem.target)
    statements = [form for form in STATEMENTS if part_of(form.name) in parts and _fits(form, gold, problem)]
    yield from _spellings(problem, gold, statements, seed, parts)
    yield from _statements(problem, gold, statements, seed)
    yield from _changes(problem, gold, statements, seed, parts)
    yield from _traps(problem, gold, seed, parts)


def _spellings(
    problem: Problem, gold: Gold, statements: Sequence[Wording], seed: int, parts: frozenset[Part]
) -> Iterator[Case]:
    for spelling in EQUAL:
        if problem.grader not in spelling.graders or part_of(spelling.name) not in parts:
            continue
        text = spelling.make(gold)
        if text is None or text == gold.text:
            continue
        rng = _rng(seed, problem, spelling.name)
        reply = _stated(text, statements, rng, spelling.prose)
        if reply is not None:
            yield Case(problem, "spelling", spelling.name, True, reply)


def _statements(problem: Problem, gold: Gold, statements: Sequence[Wording], seed: int) -> Iterator[Case]:
    for form in statements:
        rng = _rng(seed, problem, form.name)
        other = _another(gold, rng)
        reply = _filled(form, gold.text, other)
        if reply is not None:
            yield Case(problem, "sentence", form.name, True, reply)
        wrong = _another(gold, rng)
        reply = None if wrong is None else _filled(form, wrong, gold.text)
        if reply is not None:
            yield Case(problem, "sentence", form.name, False, reply)


def _changes(
    problem: Problem, gold: Gold, statements: Sequence[Wording], seed: int, parts: frozenset[Part]
) -> Iterator[Case]:
    for change in WRONG:
        if problem.grader not in change.graders or part_of(change.name) not in parts:
            continue
        rng = _rng(seed, problem, change.name)
        text = change.make(gold, rng)
        if text is None or text == gold.text:
            continue
        reply = _stated(text, statements, rng)
        if reply is not None:
            yield Case(problem, "change", change.name, False, reply)


def _traps(problem: Problem, gold: Gold, seed: int, parts: frozenset[Part]) -> Iterator[Case]:
    for form in TRAPS:
        if part_of(form.name) not in parts or not _fits(form, gold, problem) or gold.text in form.apart.split():
            continue
        reply = _filled(form, gold.text, _another(gold, _rng(seed, problem, form.name)))
        if reply is not None:
            yield Case(problem, "trap", form.name, False, reply)


def _rng(seed: int, problem: Problem, form: str) -> Random:
    return Random(f"{seed}:{problem.id}:{form}")


def _fits(form: Wording, gold: Gold, problem: Problem) -> bool:
    kinds: set[str] = {gold.kind}
    if gold.number is not None and not gold.unit and gold.text[:1].isdigit() and "," not in gold.text:
        kinds |= {"unsigned", "count"} if gold.kind == "whole" else {"unsigned"}
    return problem.grader in form.graders and (not form.kinds or not kinds.isdisjoint(form.kinds.split()))


def _another(gold: Gold, rng: Random) -> str | None:
    """Another value of the gold's shape."""
    table = {change.name: change.make for change in WRONG}
    for name in ("digit", "variable exchanged", "function exchanged", "other word", "digit in a base"):
        text = table[name](gold, rng)
        if text is not None and text != gold.text:
            return text
    return None


def _stated(text: str, statements: Sequence[Wording], rng: Random, prose: Prose = "") -> str | None:
    """The text in one of the statements that take it."""
    order = [form for form in statements if "{other}" not in form.text and not (prose and form.takes == "formula")]
    rng.shuffle(order)
    return next((reply for form in order if (reply := _filled(form, text, None, prose)) is not None), None)


def _filled(form: Wording, value: str, other: str | None, prose: Prose = "") -> str | None:
    """A form with its values; None where they do not fit it."""
    if "{other}" in form.text and other is None:
        return None
    for text in (value, other if "{other}" in form.text else None):
        in_prose = prose == "number" and form.takes == "plain" and not form.kinds
        if text is not None and not (_takes(form, text) or in_prose):
            return None
    body = form.text.replace("{value}", value).replace("{other}", other or "")
    return _with_parts(body, value) if form.kinds == "list" else body


def _with_parts(text: str, value: str) -> str | None:
    """The marks for the values of a list filled in; None if the value is no list."""
    gold = read_gold(value)
    parts = gold.parts
    if gold.kind != "list" or len(parts) < 2:
        return None
    marks = {
        "each": _listed([f"${part}$" for part in parts]),
        "named": _listed([parts[0], *(f"x={part}" for part in parts[1:])], "$, $", "$ and $"),
        "boxes": _listed([f"$\\boxed{{{part}}}$" for part in parts]),
        "words": _listed(list(parts)),
        "some": _listed([f"${part}$" for part in parts[1:]]),
        "part": ", ".join(parts[1:]),
    }
    for name, filled in marks.items():
        text = text.replace("{" + name + "}", filled)
    return text


def _listed(parts: list[str], comma: str = ", ", last: str = " and ") -> str:
    return comma.join(parts[:-1]) + last + parts[-1] if len(parts) > 1 else parts[0]


def _takes(form: Wording, text: str) -> bool:
    if form.takes == "plain":
        return _PLAIN.fullmatch(text) is not None
    if "=" in text and "=" in form.text:
        return False
    if {"count", "unsigned"} & set(form.kinds.split()) and re.fullmatch(r"\d+|\d*\.\d+", text) is None:
        return False
    return "box" in form.text or re.search(r"(?<!\\)\$", text) is None
