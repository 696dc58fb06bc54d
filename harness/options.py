"""From text to typed values: the one converter of command lines, config files, recipes and environment.

Whoever takes options (an engine, a method, a maker, a run) declares a frozen dataclass whose fields have defaults and
docstrings; `parse_options` does the rest, so that every unknown or malformed option is reported in the same words.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import types
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from harness.errors import ConfigError, did_you_mean
from harness.redact import redact

T = TypeVar("T")

_hints = functools.cache(get_type_hints)
_TRUE = frozenset({"true", "yes", "on", "1"})
_FALSE = frozenset({"false", "no", "off", "0"})


def parse_options(cls: type[T], options: Mapping[str, object], owner: str = "model") -> T:
    """Make an instance of a dataclass from strings, or from the plain values of a TOML file.

    Field types are those of `convert`, and any of them `| None` (None, "none" or "" is None). `owner` is named in the
    messages. A `ValueError` of the dataclass's `__post_init__` is reported like a bad value.
    Raises `ConfigError` for an unknown key (with a suggestion and the list), a bad value or a missing required key.
    """
    if not dataclasses.is_dataclass(cls):
        raise TypeError(f"{cls!r} is not a dataclass")
    fields = {field.name: field for field in dataclasses.fields(cls) if field.init}
    hints = _hints(cls)
    values: dict[str, Any] = {}
    for key, value in options.items():
        if key not in fields:
            hint = did_you_mean(key.lower().replace("-", "_"), sorted(fields))
            raise ConfigError(f"{owner} has no option {key!r}.{hint} Options: {', '.join(sorted(fields)) or 'none'}")
        text = to_text(value)
        if required_type(hints[key]) is not hints[key] and text.strip().lower() in ("", "none"):
            values[key] = None
            continue
        try:
            values[key] = convert(value, hints[key])
        except ValueError as error:
            raise ConfigError(f"option {key!r} of {owner} must be {error}, not {redact(text)!r}") from None
    for name, field in fields.items():
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and name not in values:
            raise ConfigError(f"{owner} needs the option {name!r}: {name}=VALUE")
    try:
        return cls(**values)
    except ValueError as error:
        raise ConfigError(f"bad option of {owner}: {redact(str(error))}") from error


def convert(value: object, hint: object) -> object:
    """A text or a plain value as one of a type; raises `ValueError` saying what it must be ("a whole number").

    Types: str, int, float (finite), bool (true/false, yes/no, on/off, 1/0), `tuple[str, ...]` (a list, or texts
    between commas), a `Literal` of strings, and any of these `| None`, whose None is never read from a text here.
    """
    hint = required_type(hint)
    if get_origin(hint) is tuple:
        if isinstance(value, str):
            return tuple(part for part in (piece.strip() for piece in value.split(",")) if part)
        if not isinstance(value, Sequence):
            raise ValueError("a list")
        return tuple(str(part).strip() for part in value)
    if get_origin(hint) is Literal:
        if value not in get_args(hint):
            raise ValueError(f"one of {', '.join(get_args(hint))}")
        return value
    if hint is str:
        if not isinstance(value, str):
            raise ValueError("a text")
        return value
    if hint is bool:
        if to_text(value).strip().lower() not in _TRUE | _FALSE:
            raise ValueError("true or false")
        return to_text(value).strip().lower() in _TRUE
    if hint is int:
        return _number(value, int, "a whole number")
    if hint is float:
        number = _number(value, float, "a number")
        if not math.isfinite(number):
            raise ValueError("a finite number")
        return number
    raise TypeError(f"an option has the unsupported type {hint!r}")


def required_type(hint: object) -> object:
    """`X` of `X | None`; every other type is itself."""
    if get_origin(hint) in (Union, types.UnionType):
        return next(part for part in get_args(hint) if part is not type(None))
    return hint


def _number(value: object, kind: type[int] | type[float], expected: str) -> int | float:
    whole = kind is float or not isinstance(value, float) or value.is_integer()
    if isinstance(value, bool) or not isinstance(value, str | int | float) or not whole:
        raise ValueError(expected)
    try:
        return kind(value)
    except ValueError:
        raise ValueError(expected) from None


def to_text(value: object) -> str:
    """A plain value as the text that `convert` reads: true, false and none in lower case, lists with commas."""
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def key_value(text: str) -> tuple[str, str]:
    """The two sides of "key=value"; raises `ValueError` for anything else."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise ValueError(f"{text!r} is not of the form key=value")
    return key.strip(), value


def options_of(name: str, options: Mapping[str, str]) -> dict[str, str]:
    """What one of several models is told: the options of all, then its own, whose keys are "<name>:<option>"."""
    own = {key.removeprefix(f"{name}:"): value for key, value in options.items() if key.startswith(f"{name}:")}
    shared = {key: value for key, value in options.items() if ":" not in key}
    return shared | {key: value for key, value in own.items() if ":" not in key}


def refuse_strays(options: Mapping[str, str], names: Sequence[str], flag: str, what: str) -> None:
    """Raise `ConfigError` for an option "<name>:<option>" of a name that nobody has."""
    for key in options:
        name, colon, _ = key.rpartition(":")
        if colon and name not in names:
            raise ConfigError(f"{flag} {key}=…: no {what} is named {name!r}; the {what}s are {', '.join(names)}")
