"""Which way a stored number is better: as the tool that measured it declares, else as its name says.

A tool that declares nothing, with a name that nobody knows: taken as better when higher, and said wherever that counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from harness.metrics import described, knows_direction
from harness.types import Metric


class _Declares(Protocol):
    """A run's result, or a side of a gate."""

    @property
    def imported_from(self) -> str | None: ...
    @property
    def higher_is_better(self) -> Mapping[str, bool]: ...


def described_in(name: str, results: Sequence[_Declares]) -> Metric:
    """Unit and direction of a number of these results, which are of one suite and tool; never raises."""
    metric, higher = described(name), _declared(name, results)
    return metric if higher is None else replace(metric, lower_is_better=not higher)


def doubt(name: str, results: Sequence[_Declares]) -> str:
    """What is to be said where nobody knows which way is better; empty where it is known."""
    tool = results[0].imported_from
    if tool is None or knows_direction(name) or _declared(name, results) is not None:
        return ""
    return f"warning: {tool} does not say which way {name} is better: taken as better when higher"


def _declared(name: str, results: Sequence[_Declares]) -> bool | None:
    return next((result.higher_is_better[name] for result in results if name in result.higher_is_better), None)
