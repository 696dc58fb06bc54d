"""Load a rubric: a judge prompt kept as data, checked in full before a token is spent.

    load_rubric("cot_math")                        a name of the catalog
    load_rubric("cot_quality", weighting="prompt")  the same questions, other weights
    load_rubric("./mine.toml")                     a file of one's own

The file is TOML (`rubrics/*.toml` are the examples). Its name is not in it: that is the catalog name or the file's
stem, with ":weighting" behind it if one is chosen. The weights are never shown to the judge, so two weightings ask the
very same question and the second one is answered from the cache. Every mistake in a file is a `ConfigError` that names
the file and the line.
"""

from __future__ import annotations

import dataclasses
import importlib.resources
import re
from pathlib import Path

from harness import catalog
from harness.errors import ConfigError, UnknownName, UsageError
from harness.hashing import canonical_json, short_hash
from judges.prompts import rubric_check
from judges.prompts.render import render
from judges.prompts.rubric_file import TomlTable, parse
from judges.prompts.schema import reply_schema
from judges.types import LEVELS, Dimension, Part, Rubric, RubricChoice, RubricKind, Task

MAX_BYTES = 256 * 1024
"""A rubric is a few pages; anything longer is another file by mistake."""
HASH_DIGITS = 12

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_TAKEN = frozenset({"rating", "tokens_in"})
"""Measures that are no shares and no metrics of the catalog: under such a name a rubric would be shown wrong."""
_MAX_TOKENS = 2048
_KEYS = {"version", "kind", "summary", "source", "template", "system", "reference_template", "part", "max_tokens"}
_OWN_KEYS: dict[RubricKind, set[str]] = {
    "points": {"dimensions", "weightings"},
    "rating": {"low", "high"},
    "pairwise": {"choices", "reply"},
    "label": {"choices", "reply"},
}
"""Keys that only some kinds have."""
_NEEDED: dict[RubricKind, tuple[str, ...]] = {
    "points": ("dimensions",),
    "rating": ("low", "high"),
    "pairwise": ("choices",),
    "label": ("choices",),
}
"""Those of them that must be there."""
_PARTS: tuple[Part, ...] = ("answer", "reasoning", "all")
_PROBES = (
    Task("one", 0, ("~~~",), ("<|x|>\x00",), opponent=("",), reference="r"),
    Task("two", 0, ("q1", "q2"), ("a1", "a2"), opponent=("b1", "b2")),
)
"""Tasks that show every feature of rendering: fences, replaced characters, references, conversations."""


def load_rubric(name_or_path: str, weighting: str | None = None) -> Rubric:
    """A rubric of the catalog, or of a file (a path that ends in ".toml"), checked.

    Raises `UnknownName` for a name or weighting that is not there, `ConfigError` (file and line) for a file that
    cannot be read or does not make sense, `UsageError` for a plugin that does not import.
    """
    where, text = rubric_text(name_or_path)
    name = Path(name_or_path).stem if name_or_path.endswith(".toml") else name_or_path
    return _build(name, parse(where, text), weighting)


def rubric_text(name_or_path: str) -> tuple[str, str]:
    """(what to call it in errors, the TOML as it stands) of a catalog rubric or a file; raises as `load_rubric`."""
    if not name_or_path.endswith(".toml"):
        return _read_entry(name_or_path)
    check_file_name(name_or_path)
    return name_or_path, _read_path(Path(name_or_path))


def check_file_name(path: str) -> None:
    """Raise `ConfigError` for a file that no rubric could be called after."""
    name = Path(path).stem
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{path}: rename the file to letters, digits, '_', '.' and '-': its name is the rubric's")
    if name in _TAKEN or name in catalog.entries("metric"):
        raise ConfigError(f"{path}: rename the file: {name!r} is a metric, and the rubric's scores go by its name")


def content_hash(rubric: Rubric) -> str:
    """12 hex digits over every field but the name and the hash itself, and over what the judge gets to see.

    The prompts of two made-up tasks and the reply schema are hashed too, so that a change of how rubrics are rendered
    gives every rubric a new id, as a change of its own text does: verdicts of two prompts are never taken for one.
    """
    facts = dataclasses.asdict(rubric)
    del facts["name"], facts["content_hash"]
    prompts = [[message.content for message in render(rubric, task)] for task in _PROBES]
    return short_hash(canonical_json({**facts, "prompts": prompts, "schema": reply_schema(rubric)}), HASH_DIGITS)


def weightings(name_or_path: str) -> tuple[str, ...]:
    """Names of the weightings that a catalog rubric or file offers besides its own."""
    if name_or_path.endswith(".toml"):
        root = parse(name_or_path, _read_path(Path(name_or_path)))
    else:
        root = parse(*_read_entry(name_or_path))
    return tuple(root.table("weightings").values)


def _read_path(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return _decoded(str(path), file.read(MAX_BYTES + 1))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from error
    except ValueError as error:  # a NUL in the path
        raise ConfigError(f"{str(path)!r} is no path: {error}") from error


def _read_entry(name: str) -> tuple[str, str]:
    """(what to call it in errors, text) of a catalog entry "package:file"."""
    known = catalog.entries("rubric")
    if name not in known and ("/" in name or "\\" in name):
        raise ConfigError(f"{name!r} is no rubric: a path to one ends in '.toml'")
    if name not in known:
        raise UnknownName("rubric", name, known)
    entry = known[name][0]
    package, _, file = entry.partition(":")
    try:
        data = importlib.resources.files(package).joinpath(file).read_bytes()
    except Exception as error:  # a plugin's package: whatever it raises while it is imported
        raise UsageError(f"rubric {name!r} ({entry}) cannot be read: {error!r}") from error
    return f"{package}/{file}", _decoded(f"{package}/{file}", data)


def _decoded(where: str, data: bytes) -> str:
    if len(data) > MAX_BYTES:
        raise ConfigError(f"{where}: larger than {MAX_BYTES // 1024} KiB: this is no rubric")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{where}:{line}: not UTF-8: save the file as UTF-8 text") from error
    if not text.strip():
        raise ConfigError(f"{where}:1: the file is empty")
    return text


def _build(name: str, root: TomlTable, weighting: str | None) -> Rubric:
    kind = _kind(root)
    root.only(_KEYS | _OWN_KEYS[kind])
    root.needs("version", "summary", "source", "template", *_NEEDED[kind])
    rubric = Rubric(
        name=name if weighting is None else f"{name}:{weighting}",
        version=_version(root),
        kind=kind,
        summary=root.text("summary"),
        source=root.text("source"),
        template=root.text("template"),
        system=root.text("system", ""),
        reference_template=root.text("reference_template", ""),
        part=root.choice("part", _PARTS, "answer"),
        max_tokens=_max_tokens(root),
    )
    if kind == "points":
        rubric = dataclasses.replace(rubric, dimensions=_dimensions(root, weighting))
    elif weighting is not None:
        raise UsageError(f"rubric {name!r} is of kind {kind!r} and has no weightings; leave the weighting out")
    elif kind == "rating":
        low, high = root.integer("low"), root.integer("high")
        rubric = dataclasses.replace(rubric, low=low, high=high)
        rubric_check.scale(root, rubric)
    else:
        rubric = dataclasses.replace(
            rubric, choices=_choices(root), reply=root.choice("reply", rubric_check.REPLIES, "json")
        )
        rubric_check.choices(root, rubric)
    rubric_check.templates(root, rubric)
    return dataclasses.replace(rubric, content_hash=content_hash(rubric))


def _kind(root: TomlTable) -> RubricKind:
    if not root.has("kind"):
        root.fail(
            "kind", f"missing key 'kind': {', '.join(_OWN_KEYS)} (docs/rubrics.md has a file of each to start from)"
        )
    return root.choice("kind", tuple(_OWN_KEYS))


def _version(root: TomlTable) -> str:
    value = root.text("version")
    if not _NAME.fullmatch(value):
        root.fail("version", f"version {value!r} may hold letters, digits, '_', '.' and '-' only")
    return value


def _max_tokens(root: TomlTable) -> int:
    value = root.integer("max_tokens", _MAX_TOKENS)
    if value < 1:
        root.fail("max_tokens", f"'max_tokens' must be at least 1, not {value}")
    return value


def _dimensions(root: TomlTable, weighting: str | None) -> tuple[Dimension, ...]:
    tables = root.tables("dimensions")
    if not tables:
        root.fail("dimensions", "a rubric of kind 'points' needs [[dimensions]]")
    dimensions = tuple(_dimension(table) for table in tables)
    rubric_check.dimensions(tables, dimensions)
    named = {name: _weights(root, name, dimensions) for name in root.table("weightings").values}
    if weighting is None:
        return dimensions
    if not named:
        raise UsageError(f"{root.name} has no weightings besides its own; leave the weighting out")
    if weighting not in named:
        raise UnknownName("weighting", weighting, named)
    return tuple(dataclasses.replace(one, weight=named[weighting][one.key]) for one in dimensions)


def _dimension(table: TomlTable) -> Dimension:
    table.only({"key", "name", "question", "weight", "levels", "labels"})
    table.needs("key", "name", "question", "weight", "levels")
    levels = table.texts("levels")
    if len(levels) != LEVELS:
        table.fail("levels", f"'levels' must be exactly {LEVELS} texts, worst to best, not {len(levels)}")
    return Dimension(
        key=table.text("key"),
        name=table.text("name"),
        question=table.text("question"),
        weight=table.number("weight"),
        levels=levels,
        labels=table.texts("labels", ()),
    )


def _weights(root: TomlTable, name: str, dimensions: tuple[Dimension, ...]) -> dict[str, float]:
    """One [weightings.<name>] table, checked to have every dimension and to add up."""
    if not _NAME.fullmatch(name):
        root.table("weightings").fail(name, f"weighting {name!r} may hold letters, digits, '_', '.' and '-' only")
    table = root.table("weightings").table(name)
    table.only([one.key for one in dimensions])
    weights = {one.key: table.number(one.key) for one in dimensions}
    rubric_check.weights(table, weights)
    return weights


def _choices(root: TomlTable) -> tuple[RubricChoice, ...]:
    found = []
    for table in root.tables("choices"):
        table.only({"label", "value", "weight", "meaning"})
        table.needs("label", "value", "meaning")
        label, value = table.text("label"), table.number("value")
        found.append(RubricChoice(label, value, table.number("weight", 1.0), table.text("meaning")))
    return tuple(found)
