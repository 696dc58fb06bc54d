"""What a rubric file must satisfy beyond its types. Each check raises `ConfigError` at the line that is wrong."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal

from judges.prompts.rubric_file import TomlTable
from judges.prompts.templates import MATERIAL, OURS, BadTemplate, fields
from judges.types import Dimension, Rubric, RubricKind

Reply = Literal["json", "token", "line"]
REPLIES: tuple[Reply, ...] = ("json", "token", "line")
TOTAL = 100.0
"""What the weights of a rubric of kind "points" add up to."""
MAX_RATINGS = 101
"""Most values of a scale: every one of them is listed in the reply schema."""

_KEY = re.compile(r"[a-z][a-z0-9_]*")
_NEEDED: dict[RubricKind, tuple[str, ...]] = {
    "points": ("question", "answer"),
    "rating": ("question", "answer"),
    "pairwise": ("question", "answer_a", "answer_b"),
    "label": (),
}
"""Material without which the judge cannot decide; for kind "label" see `_material`."""


def dimensions(tables: Sequence[TomlTable], found: Sequence[Dimension]) -> None:
    """Keys are distinct names, labels are distinct, weights are positive and add up to 100."""
    seen: set[str] = set()
    for table, one in zip(tables, found, strict=True):
        if not _KEY.fullmatch(one.key):
            table.fail("key", f"key {one.key!r} must be small letters, digits and '_', letter first")
        if one.key in seen:
            table.fail("key", f"dimension {one.key!r} is there twice")
        seen.add(one.key)
        if len(one.labels) == 1:
            table.fail("labels", "'labels' must be at least two, or left out")
        _distinct(table, "labels", one.labels)
        if len(set(one.levels)) != len(one.levels):
            table.fail("levels", "two of 'levels' are the same text")
    weights(tables[-1], {one.key: one.weight for one in found}, "weight")


def weights(table: TomlTable, found: Mapping[str, float], key: str = "") -> None:
    """Every weight is above 0 and together they are 100; the line is that of `key` in the table."""
    for name, weight in found.items():
        if weight <= 0:
            table.fail(key, f"the weight of {name!r} must be above 0, not {weight:g}")
    total = sum(found.values())
    if abs(total - TOTAL) > 1e-6:
        parts = " + ".join(f"{weight:g}" for weight in found.values())
        table.fail(key, f"the weights add up to {total:g}, not {TOTAL:g}: {parts}")


def scale(root: TomlTable, rubric: Rubric) -> None:
    """A rating scale goes up, starts at 0 or above, and is short enough to list."""
    if rubric.low < 0:
        root.fail("low", f"'low' must be 0 or more, not {rubric.low}")
    if not rubric.low < rubric.high:
        root.fail("high", f"'high' must be above 'low' ({rubric.low}), not {rubric.high}")
    if rubric.high - rubric.low >= MAX_RATINGS:
        root.fail("high", f"a scale has at most {MAX_RATINGS} values, not {rubric.high - rubric.low + 1}")


def choices(root: TomlTable, rubric: Rubric) -> None:
    """At least two distinct labels with values in [0, 1]; pairwise ones have mirrors, token ones are told apart."""
    tables = root.tables("choices")
    if len(tables) < 2:
        root.fail("choices", f"a rubric of kind {rubric.kind!r} needs at least two [[choices]]")
    for table, choice in zip(tables, rubric.choices, strict=True):
        if not 0 <= choice.value <= 1:
            table.fail("value", f"the value of {choice.label!r} must be from 0 to 1, not {choice.value:g}")
        if choice.weight <= 0:
            table.fail("weight", f"the weight of {choice.label!r} must be above 0, not {choice.weight:g}")
        if choice.label != choice.label.strip() or "\n" in choice.label:
            table.fail("label", f"label {choice.label!r} must be one line without spaces around it")
    labels = [choice.label for choice in rubric.choices]
    for place, table in enumerate(tables):
        _distinct(table, "label", labels[: place + 1])
    if rubric.kind == "pairwise":
        _mirrored(tables, rubric)
    if rubric.reply == "token":
        _told_apart(tables, labels)
    for table, label in zip(tables, labels, strict=True):
        if rubric.reply == "line" and len(label.split()) > 1:
            table.fail("label", f"label {label!r} has a space in it, and is to stand alone behind VERDICT:")


def _mirrored(tables: Sequence[TomlTable], rubric: Rubric) -> None:
    """Every verdict has exactly one that says the same with the answers exchanged, so that an order can be undone."""
    kinds = [(round(choice.value, 9), choice.weight) for choice in rubric.choices]
    for table, choice, kind in zip(tables, rubric.choices, kinds, strict=True):
        if kinds.count(kind) > 1:
            table.fail("value", f"two labels have value {choice.value:g} and weight {choice.weight:g}")
        if (round(1 - choice.value, 9), choice.weight) not in kinds:
            table.fail(
                "value",
                f"{choice.label!r} has no mirror: with the answers exchanged it needs a label of value "
                f"{1 - choice.value:g} and weight {choice.weight:g}",
            )


def _told_apart(tables: Sequence[TomlTable], labels: Sequence[str]) -> None:
    """The first token decides, so no label may start another, and none may hold a space."""
    for table, label in zip(tables, labels, strict=True):
        if any(character.isspace() for character in label):
            table.fail("label", f"label {label!r} has a space in it, and the reply is to be one token")
        for other in labels:
            if other != label and other.casefold().startswith(label.casefold()):
                table.fail("label", f"label {label!r} starts {other!r}, and the reply's first token is to decide")


def _distinct(table: TomlTable, key: str, labels: Sequence[str]) -> None:
    """Labels differ in more than capitals: a judge does not keep to them."""
    seen: set[str] = set()
    for label in labels:
        if label.casefold() in seen:
            table.fail(key, f"label {label!r} is there twice")
        seen.add(label.casefold())


def templates(root: TomlTable, rubric: Rubric) -> None:
    """Both templates and the system message have the fields of the kind, where they may be, and no others."""
    ours = set(OURS) if rubric.kind == "points" else {"reply_format"}
    inner = _fields(root, "system", rubric.system)
    for field in inner:
        if field in MATERIAL:
            root.fail(
                "system",
                f"{{{field}}} in the system message: what is judged belongs into the user message only",
                f"{{{field}}}",
            )
        _known(root, "system", field, ours)
    _template(root, rubric, "template", rubric.template, inner, ours)
    if rubric.reference_template:
        _template(root, rubric, "reference_template", rubric.reference_template, inner, ours)


def _template(root: TomlTable, rubric: Rubric, key: str, text: str, inner: Sequence[str], ours: set[str]) -> None:
    found = _fields(root, key, text)
    needed = _material(root, rubric, key, found) + (("reference",) if key == "reference_template" else ())
    allowed = set(needed) | ours | {"question"}
    for field in found:
        if field == "reference" and field not in allowed:
            root.fail(key, "{reference} belongs into 'reference_template', used where a task has one", "{reference}")
        _known(root, key, field, allowed)
    for field in (*needed, *sorted(ours)):
        if field not in found and field not in inner:
            root.fail(key, f"the {key} misses the field {{{field}}}")
    _alone(root, key, text)


def _material(root: TomlTable, rubric: Rubric, key: str, found: Sequence[str]) -> tuple[str, ...]:
    """The material that a template of this kind must show; a label is about one text or about two."""
    if rubric.kind != "label":
        return _NEEDED[rubric.kind]
    pair = ("answer_a", "answer_b")
    if "answer" in found and any(field in found for field in pair):
        root.fail(key, "a label is about {answer}, or about {answer_a} and {answer_b}, not both")
    return pair if any(field in found for field in pair) else ("answer",)


def _alone(root: TomlTable, key: str, text: str) -> None:
    """Material stands alone on its line, under a line that says what it is: its fence must start a line."""
    previous = ""
    for line in text.split("\n"):
        for field in fields(line):
            if field not in MATERIAL:
                continue
            if line.strip() != f"{{{field}}}" or line != line.lstrip():
                root.fail(key, f"{{{field}}} must be alone on its line, at its start: it is put into a fence", line)
            if not previous.strip():
                root.fail(key, f"{{{field}}} needs a line right above it that says what it is", line)
        previous = line


def _fields(root: TomlTable, key: str, text: str) -> tuple[str, ...]:
    try:
        return fields(text)
    except BadTemplate as error:
        root.fail(key, str(error), error.excerpt)


def _known(root: TomlTable, key: str, field: str, allowed: set[str]) -> None:
    if field not in allowed:
        names = ", ".join(f"{{{name}}}" for name in sorted(allowed))
        root.fail(key, f"{{{field}}} is no field of this {key}: {names}", f"{{{field}}}")
