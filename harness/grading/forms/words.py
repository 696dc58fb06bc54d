"""Cases for golds that are short texts, and for JSON replies."""

from __future__ import annotations

import json
from collections.abc import Iterator

from harness.grading.forms import Case, Group, Part, Wording, part_of
from harness.grading.forms.gold import plain_number
from harness.types import Problem

SAID: tuple[Wording, ...] = (
    Wording("the answer is", "Step by step. So the answer is {value}."),
    Wording("the answer is, no stop", "The answer is {value}"),
    Wording("the answer is, colon", "The answer is: {value}"),
    Wording("the answer is, bold", "So the answer is **{value}**."),
    Wording("the answer is, quoted", 'So the answer is "{value}".'),
    Wording("answer line", "Answer: {value}"),
    Wording("answer line, bold", "**Answer:** {value}"),
    Wording("answer corrected", "The answer is {other}. Wait, that is wrong.\nSo the answer is {value}."),
    Wording("not the other", "The answer is not {other}.\nThe answer is {value}."),
    Wording("bare", "{value}"),
    Wording("last line", "We sort them first.\n{value}"),
    Wording("thought about other", "<think>The answer is {other}.</think>The answer is {value}."),
)
TRAPPED: tuple[Wording, ...] = (
    Wording("not", "So the answer is not {value}."),
    Wording("or", "So the answer is {value} or {other}."),
    Wording("or, before", "The answer is {other} or {value}"),
    Wording("and", "So the answer is {value} and {other}."),
    Wording("in the thought only", "<think>The answer is {value}.</think>I cannot tell."),
)
_PAIRS = (("yes", "no"), ("true", "false"), ("valid", "invalid"))


def _other(target: str) -> str | None:
    """Another text of the target's kind."""
    for pair in _PAIRS:
        if target.casefold() in pair:
            found = pair[1 - pair.index(target.casefold())]
            return found.capitalize() if target[0].isupper() else found
    parts = target.split()
    if len(parts) > 1 and parts[0] != parts[-1]:
        return " ".join([parts[-1], *parts[1:-1], parts[0]])
    return f"{target} {target}" if target and not target[0].isalnum() else None


def exact_cases(problem: Problem, seed: int, parts: frozenset[Part]) -> Iterator[Case]:
    """The target and another text in each sentence."""
    other = _other(problem.target)
    for group, table in (("sentence", SAID), ("trap", TRAPPED)):
        kind: Group = "sentence" if group == "sentence" else "trap"
        for form in table:
            if part_of(f"exact: {form.name}") not in parts or ("{other}" in form.text and other is None):
                continue
            pairs = [(problem.target, other or "", kind == "sentence")]
            if kind == "sentence" and other is not None:
                pairs.append((other, problem.target, False))
            for value, second, right in pairs:
                text = form.text.replace("{value}", value).replace("{other}", second)
                yield Case(problem, kind, f"exact: {form.name}", right, text)


JSON_FORMS: tuple[tuple[str, bool, str], ...] = (
    ("compact", True, '{"process":["a","b"],"answer":"{value}"}'),
    ("spread over lines", True, '{\n  "answer": "{value}",\n  "process": []\n}'),
    ("fenced", True, '```json\n{"process": ["a"], "answer": "{value}"}\n```'),
    ("fenced without a language", True, '```\n{"answer": "{value}"}\n```'),
    ("space in the string", True, '{"answer": " {value} "}'),
    ("more keys", True, '{"answer": "{value}", "unit": "kg"}'),
    ("trailing zeros", True, '{"answer": "{zeros}"}'),
    ("as a number", True, '{"answer": {number}}'),
    ("after a thought", True, '<think>{"answer": "{other}"}</think>{"answer": "{value}"}'),
    ("other value", False, '{"answer": "{other}"}'),
    ("other value as a number", False, '{"answer": {other}}'),
    ("prose before", False, 'Here it is: {"answer": "{value}"}'),
    ("prose behind", False, '{"answer": "{value}"} I hope it is right.'),
    ("two objects", False, '{"answer": "{value}"}{"answer": "{other}"}'),
    ("key twice", False, '{"answer": "{other}", "answer": "{value}"}'),
    ("other key", False, '{"result": "{value}"}'),
    ("a list", False, '[{"answer": "{value}"}]'),
    ("cut off", False, '{"answer": "{value}"'),
    ("two values", False, '{"answer": "{value} or {other}"}'),
    ("nested", False, '{"answer": {"value": "{value}"}}'),
)
"""(name, right, text); {zeros} is a whole number with decimals, {number} one that JSON can write."""


def json_cases(problem: Problem, seed: int, parts: frozenset[Part]) -> Iterator[Case]:
    """Whole replies for a target with one "answer"."""
    target = json.loads(problem.target)
    value = str(target.get("answer", "")) if set(target) == {"answer"} else ""
    number = plain_number(value)
    if number is None or "," in value:
        return
    fields = {
        "value": value,
        "other": str(int(number) + 1),
        "zeros": f"{value}.00" if number.denominator == 1 and "." not in value else None,
        "number": value if value[0] not in "+." and not (value.lstrip("-")[0] == "0" and value not in ("0",)) else None,
    }
    for name, right, form in JSON_FORMS:
        if part_of(f"json: {name}") not in parts:
            continue
        text: str | None = form
        for key, given in fields.items():
            mark = "{" + key + "}"
            if text is not None and mark in text:
                text = None if given is None else text.replace(mark, given)
        if text is not None:
            yield Case(problem, "sentence", f"json: {name}", right, text)
