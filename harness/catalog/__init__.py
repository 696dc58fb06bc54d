"""THE list of everything that has a name: kind -> name -> ("module:attribute", one-line summary).

Names are strings so that listing them imports nothing. `load(kind, name)` imports the module of that one entry.
To add something: write it in a module, add one line to `names_evaluation` or `names_training`. Third parties: the
entry-point group `harness.plugins`, entry names "kind.name", e.g. `suite.mybench = "mypackage.bench:SUITE"`; read for
listing, loaded on look-up.
"""

from __future__ import annotations

import importlib
from functools import cache
from importlib import metadata
from typing import Literal, get_args

from harness.catalog import names_evaluation, names_training
from harness.catalog.plugin_source import own_summary
from harness.errors import UnknownName, UsageError

Kind = Literal[
    "suite",
    "model",
    "grader",
    "metric",
    "protocol",
    "rubric",
    "judging",
    "diversity",
    "analysis",
    "maker",
    "reward",
    "method",
]
KINDS: tuple[Kind, ...] = get_args(Kind)
Entry = tuple[str, str]

_CATALOG: dict[Kind, dict[str, Entry]] = {kind: (names_evaluation.NAMES | names_training.NAMES)[kind] for kind in KINDS}

_PARTS: dict[Kind, tuple[str, ...]] = {
    "suite": ("data", "render"),
    "model": ("__call__",),
    "grader": ("grade",),
    "metric": ("function", "unit", "lower_is_better"),
    "protocol": ("apply",),
    "rubric": (),
    "judging": ("__call__",),
    "diversity": ("__call__",),
    "analysis": ("tables", "runs"),
    "maker": ("first", "run"),
    "reward": ("score",),
    "method": ("options", "deviations"),
}
"""What a plugin's object must have, so that a wrong one is told before anything is spent."""

_WRITE: dict[Kind, str] = {"metric": ": write `harness.types.Metric(name, function, unit, lower_is_better)`"}


@cache
def _plugins() -> dict[str, metadata.EntryPoint]:
    """Entry points of other distributions, by "kind.name"; metadata only, their code is not loaded."""
    return {point.name: point for point in metadata.entry_points(group="harness.plugins")}


def entries(kind: Kind) -> dict[str, Entry]:
    """Everything of a kind: name -> ("module:attribute", summary), plugins included; own names win."""
    plugins = {
        name.split(".", 1)[1]: (point.value, _summary(point))
        for name, point in sorted(_plugins().items())
        if name.startswith(f"{kind}.")
    }
    return _CATALOG[kind] | {name: entry for name, entry in plugins.items() if name not in _CATALOG[kind]}


def _summary(point: metadata.EntryPoint) -> str:
    of, own = f"plugin of {point.dist.name if point.dist else 'unknown'}", own_summary(point.value)
    return f"{of}: {own}" if own else of


def load(kind: Kind, name: str) -> object:
    """The object behind a name.

    Raises `UnknownName` for a name that is not listed, `UsageError` for a plugin that does not import.
    """
    known = entries(kind)
    if name not in known:
        raise UnknownName(kind, name, known)
    module, _, attribute = known[name][0].partition(":")
    if name in _CATALOG[kind]:
        return getattr(importlib.import_module(module), attribute)
    try:
        thing: object = getattr(importlib.import_module(module), attribute)
    except Exception as error:  # another's code: whatever it raises while it is imported
        raise UsageError(f"plugin {kind} {name!r} ({known[name][0]}) does not load: {error!r}") from error
    parts = ("__call__",) if name.endswith(":x") else _PARTS[kind]  # a metric for each part: a function that makes it
    if not all(hasattr(thing, part) for part in parts):
        raise UsageError(
            f"plugin {kind} {name!r} ({known[name][0]}) is no {kind}: it has no {' or '.join(parts)}"
            f"{_WRITE.get(kind, '')}"
        )
    return thing
