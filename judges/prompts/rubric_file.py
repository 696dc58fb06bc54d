"""A TOML file whose every complaint names the line: tomllib knows lines only for syntax errors, not for meaning.

`parse` returns the root `TomlTable`. Its readers check types as they hand values out, and `fail` raises a `ConfigError`
that starts with "file:line:". Lines come from `locate`, a linear scan over text that tomllib has already accepted.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NoReturn, TypeAlias, TypeVar

from harness.errors import ConfigError, did_you_mean

Word = TypeVar("Word", bound=str)
Path: TypeAlias = tuple[str | int, ...]
"""Where a value is: ("dimensions", 0, "weight")."""

_SPACE = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_KEY = re.compile(r"[ \t]*(?:([A-Za-z0-9_-]+)|\"((?:\\.|[^\"\\\n])*)\"|'([^'\n]*)')[ \t]*(\.?)")
_VALUE_PART = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}'
    r"|'''.*?'{3,5}"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'[^'\n]*'"
    r"|#[^\n]*"
    r"|[\[\]{}\n]"
    r"|[^\"'#\[\]{}\n]+",
    re.DOTALL,
)
_SYNTAX_LINE = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")


@dataclass(frozen=True, slots=True)
class TomlTable:
    """One table of a file, read key by key; every reader raises `ConfigError` for a wrong type."""

    name: str
    """The file as errors call it: a path, or "package:file"."""
    file: str
    """Its text."""
    lines: Mapping[Path, int]
    """Line (1-based) of every key in it."""
    path: Path
    values: Mapping[str, object]

    def fail(self, key: str, message: str, excerpt: str = "") -> NoReturn:
        """Raise a `ConfigError` about one key of this table ("" for the table), with file and line.

        The line is that of the value, or of what holds it; of `excerpt` in it where the file has that text as it is.
        """
        path = (*self.path, key) if key else self.path
        while path and path not in self.lines:
            path = path[:-1]
        line = self.lines.get(path, 1)
        rows = self.file.split("\n")[line - 1 :] if excerpt else []
        line += next((number for number, row in enumerate(rows) if excerpt in row), 0)
        raise ConfigError(f"{self.name}:{line}: {message}")

    def only(self, allowed: Collection[str]) -> None:
        """Refuse keys that are not in `allowed`, with the closest name that is."""
        for key in self.values:
            if key not in allowed:
                hint = did_you_mean(key, sorted(allowed), cutoff=0.6)
                self.fail(key, f"unknown key {key!r}.{hint} Known: {', '.join(sorted(allowed))}")

    def needs(self, *keys: str) -> None:
        """Refuse a table without several of these keys, all in one message; one alone is told when it is read."""
        missing = [repr(key) for key in keys if key not in self.values]
        if len(missing) > 1:
            self.fail("", f"missing keys {', '.join(missing)}")

    def has(self, key: str) -> bool:
        """True if the file sets this key."""
        return key in self.values

    def text(self, key: str, default: str | None = None) -> str:
        """A string that is not blank; `default` where it is absent, an error where there is no default."""
        value = self._value(key, default)
        if not isinstance(value, str):
            self.fail(key, f"{key!r} must be a string, not {_kind(value)}")
        if key in self.values and not value.strip():
            self.fail(key, f"{key!r} is empty; write it, or leave the key out if it is optional")
        return value

    def choice(self, key: str, allowed: Sequence[Word], default: Word | None = None) -> Word:
        """One of a closed set of words."""
        value = self.text(key, default)
        for word in allowed:
            if word == value:
                return word
        self.fail(key, f"unknown {key} {value!r}: {', '.join(allowed)}")

    def integer(self, key: str, default: int | None = None) -> int:
        """A whole number."""
        value = self._value(key, default)
        if isinstance(value, bool) or not isinstance(value, int):
            self.fail(key, f"{key!r} must be a whole number, not {_kind(value)}")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        """A finite number, as a float: 25 and 25.0 are the same content."""
        value = self._value(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e9:
            self.fail(key, f"{key!r} must be a number below 1e9, not {_kind(value)}")
        return float(value)

    def texts(self, key: str, default: tuple[str, ...] | None = None) -> tuple[str, ...]:
        """A list of strings, none of them blank."""
        value = self._value(key, default)
        if value is default and default is not None:
            return default
        if not isinstance(value, list) or not all(isinstance(item, str) and item.strip() for item in value):
            self.fail(key, f"{key!r} must be a list of strings that are not empty")
        return tuple(value)

    def tables(self, key: str) -> tuple[TomlTable, ...]:
        """The tables of `[[key]]`; empty if there are none."""
        value = self.values.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            self.fail(key, f"{key!r} must be tables: one [[{key}]] for each")
        return tuple(replace(self, path=(*self.path, key, place), values=item) for place, item in enumerate(value))

    def table(self, key: str) -> TomlTable:
        """The table `[key]`; empty if it is absent."""
        value = self.values.get(key, {})
        if not isinstance(value, dict):
            self.fail(key, f"{key!r} must be a table, not {_kind(value)}")
        return replace(self, path=(*self.path, key), values=value)

    def _value(self, key: str, default: object) -> object:
        if key not in self.values and default is None:
            self.fail("", f"missing key {key!r}")
        return self.values.get(key, default)


def parse(name: str, text: str) -> TomlTable:
    """Read TOML; raises `ConfigError` with the line of a syntax error."""
    try:
        values = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        message = str(error)
        found = _SYNTAX_LINE.search(message)
        line = found.group(1) if found is not None and found.group(1) else text.rstrip().count("\n") + 1
        raise ConfigError(f"{name}:{line}: not valid TOML: {_SYNTAX_LINE.sub('', message)}") from error
    return TomlTable(name, text, locate(text), (), values)


def locate(text: str) -> dict[Path, int]:
    """Path -> line (1-based) of every table and key of valid TOML; what an inline table holds is left out."""
    lines: dict[Path, int] = {}
    counts: dict[Path, int] = {}
    table: Path = ()
    position, line = 0, 1

    def moved(end: int) -> int:
        return line + text.count("\n", position, end)

    while True:
        end = _end(_SPACE, text, position)
        line, position = moved(end), end
        if position >= len(text):
            return lines
        if text[position] == "[":
            repeated = text.startswith("[[", position)
            keys, end = _keys(text, position + (2 if repeated else 1))
            table = _resolved(keys, counts, repeated)
            for size in range(1, len(table) + 1):
                lines.setdefault(table[:size], line)
            end = text.find("\n", end)
            end = len(text) if end < 0 else end
        else:
            keys, end = _keys(text, position)
            for size in range(1, len(keys) + 1):
                lines.setdefault((*table, *keys[:size]), line)
            end = _value_end(text, end)
        line, position = moved(end), end


def _end(pattern: re.Pattern[str], text: str, position: int) -> int:
    found = pattern.match(text, position)
    return found.end() if found else position


def _keys(text: str, position: int) -> tuple[tuple[str, ...], int]:
    """A dotted key, and where it ends. Escapes in quoted keys are left as they are: no rubric has a use for them."""
    keys: list[str] = []
    while found := _KEY.match(text, position):
        keys.append(next(part for part in found.groups()[:3] if part is not None))
        position = found.end()
        if not found.group(4):
            break
    return tuple(keys), position


def _resolved(keys: tuple[str, ...], counts: dict[Path, int], repeated: bool) -> Path:
    """A header's path, with the index of the current element after every array of tables."""
    path: Path = ()
    for place, key in enumerate(keys):
        path = (*path, key)
        if repeated and place == len(keys) - 1:
            counts[path] = counts.get(path, -1) + 1
        if path in counts:
            path = (*path, counts[path])
    return path


def _value_end(text: str, position: int) -> int:
    """End of the value that starts after `position`: the newline outside strings and brackets."""
    depth = 0
    while found := _VALUE_PART.match(text, position):
        part = found.group()
        if part == "\n" and depth == 0:
            break
        depth += (part in ("[", "{")) - (part in ("]", "}"))
        position = found.end()
    return position if position < len(text) and text[position] == "\n" else len(text)


def _kind(value: object) -> str:
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "a string", list: "a list"}
    return names.get(type(value), "a table" if isinstance(value, dict) else "a date")
