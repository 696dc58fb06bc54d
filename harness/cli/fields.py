"""Options of a command from the fields of a dataclass; the text under each field is read from the source."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import textwrap
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeAlias, Union, get_args, get_origin

import click

from harness.cli import options
from harness.errors import UsageError

Option: TypeAlias = Callable[[Callable[..., Any]], Callable[..., Any]]


def field_docs(cls: type) -> dict[str, str]:
    """Field -> its text on one line, of the class and those it inherits from; {} where the source is not at hand."""
    return {name: doc for base in cls.__mro__[-2::-1] for name, doc in _own_docs(base).items()}


def _own_docs(cls: type) -> dict[str, str]:
    try:
        parsed = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    except (OSError, TypeError, SyntaxError):
        return {}
    (body,) = (node.body for node in parsed if isinstance(node, ast.ClassDef))
    return {
        attribute.target.id: " ".join(str(below.value.value).split())
        for attribute, below in itertools.pairwise(body)
        if isinstance(attribute, ast.AnnAssign)
        and isinstance(attribute.target, ast.Name)
        and isinstance(below, ast.Expr)
        and isinstance(below.value, ast.Constant)
    }


def field_option(field: dataclasses.Field[Any], hint: Any, doc: str | None, what: str) -> Option:
    """The option of a field of a maker or an analysis (`what`): its type, bounds, default and text.

    Raises `UsageError` for a type that no option has.
    """
    flag = f"--{field.name.replace('_', '-')}"
    default = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
    said: dict[str, Any] = {"help": doc, "metavar": field.metadata.get("shown") or None}
    if default is dataclasses.MISSING:
        said["required"] = True
    else:
        said |= {"default": default, "show_default": default is not False and default not in (None, "", ())}
    if get_origin(hint) in (Union, types.UnionType):
        (hint,) = (part for part in get_args(hint) if part is not type(None))
    if get_origin(hint) is tuple:
        parts = get_args(hint)
        said |= {"multiple": True} if parts[-1] is ... else {"nargs": len(parts)}
        hint = parts[0]
    bounds: dict[str, Any] = {"min": field.metadata.get("least"), "max": field.metadata.get("most")}
    if (above := field.metadata.get("above")) is not None:
        bounds |= {"min": above, "min_open": True}
    if hint is bool:
        return click.option(f"{flag}/--no-{flag[2:]}" if default is True else flag, field.name, is_flag=True, **said)
    if get_origin(hint) is Literal:
        said["type"] = click.Choice(get_args(hint))
    elif hint is Path:
        said |= {"type": options.FilePath(dir_okay=False, path_type=Path), "metavar": said["metavar"] or "FILE"}
    elif hint in (int, float):
        bounded = any(bound is not None for bound in bounds.values())
        ranged = (click.IntRange if hint is int else options.FiniteRange)(**bounds)
        said["type"] = ranged if bounded else options.NUMBER if hint is float else hint
    elif hint is not str:
        raise UsageError(f"the field {field.name!r} of {what} has the type {hint}, which no option has")
    return click.option(flag, field.name, **said)
