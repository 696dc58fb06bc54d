"""Options and settings of training, read and held to their ranges."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, Literal, TypeVar, cast

from harness.errors import ConfigError
from harness.options import parse_options

T = TypeVar("T")

_SMALLEST, _LARGEST, _MOST = 1e-12, 1e9, 2**31 - 1
"""Sizes of fractions, and of whole numbers, with which float32 and the libraries below still compute."""


def parse_settings(cls: type[T], given: Mapping[str, object], owner: str) -> T:
    """`parse_options` for what training computes with: no number of a size with which nothing can be computed.

    Raises `ConfigError`.
    """
    parsed = parse_options(cls, given, owner)
    for name in (item.name for item in fields(cast(Any, parsed))):
        value = getattr(parsed, name)
        if isinstance(value, float) and value and not _SMALLEST <= abs(value) <= _LARGEST:
            raise ConfigError(
                f"option {name!r} of {owner} must be 0 or from {_SMALLEST:g} to {_LARGEST:g} in size, not {value!r}"
            )
        if isinstance(value, int) and abs(value) > _MOST:
            raise ConfigError(f"option {name!r} of {owner} must be at most {_MOST}, not {value!r}")
    return parsed


Range = Literal["from 0 to 1", "above 0", "0 or more", "at least 1", "from 0.001 to 1000"]
_RANGES: Mapping[Range, Callable[[float], bool]] = {
    "from 0 to 1": lambda value: 0 <= value <= 1,
    "above 0": lambda value: value > 0,
    "0 or more": lambda value: value >= 0,
    "at least 1": lambda value: value >= 1,
    "from 0.001 to 1000": lambda value: 0.001 <= value <= 1000,  # a temperature: scores over it must stay finite
}


def must_be(options: Any, words: Range, *names: str) -> None:
    """Raise `ValueError` for one of these options that is not in the range; None is not given."""
    for name in names:
        value = getattr(options, name)
        if value is not None and not _RANGES[words](value):
            raise ValueError(f"{name} must be {words}, not {value}")


def refuse_unused(options: Any, used: bool, where: str, *names: str) -> None:
    """Raise `ValueError` if one of these options is not `used` and differs from its default; `where` it is used.

    An option that another choice leaves without effect is a mistake: it is never ignored.
    """
    for option in fields(options):
        if not used and option.name in names and getattr(options, option.name) != option.default:
            raise ValueError(f"{option.name} has no effect here: it belongs to {where}")
