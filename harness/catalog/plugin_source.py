"""What a plugin says of a thing of its own, read from its source: listing names imports nobody's code."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from functools import cache
from importlib.machinery import PathFinder
from pathlib import Path

_MOST_BYTES = 1_000_000
_MOST_LETTERS = 120


@cache
def own_summary(value: str) -> str:
    """The summary of an entry point "module:attribute"; empty where there is none to be read.

    That is the constant `summary=` of a call that makes it, else the first sentence of its docstring or its module's.
    """
    module, _, attribute = value.partition(":")
    source = _source(module)
    try:
        body = ast.parse(source).body if source else []
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # another's file, whatever it holds
        return ""
    told = next((found for node in body if (found := _said(node, attribute.partition(".")[0]))), "")
    return _sentence(told or (ast.get_docstring(ast.Module(body, [])) or "" if body else ""))


def _source(module: str) -> str:
    """The text of a module that lies in a folder of the path, packages above it not imported."""
    where: Iterable[str] | None = None
    name = ""
    spec = None
    try:
        for part in module.split("."):
            name = f"{name}.{part}" if name else part
            spec = PathFinder.find_spec(name, None if where is None else list(where))
            if spec is None:
                return ""
            where = spec.submodule_search_locations or ()
        path = Path(spec.origin or "") if spec is not None else Path()
        if path.suffix != ".py" or path.stat().st_size > _MOST_BYTES:
            return ""
        return path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError, ImportError):
        return ""


def _said(node: ast.stmt, name: str) -> str:
    if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
        return ast.get_docstring(node) or "" if isinstance(node, ast.ClassDef) else ""
    value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    if isinstance(value, ast.Call) and any(isinstance(one, ast.Name) and one.id == name for one in targets):
        for keyword in value.keywords:
            if keyword.arg == "summary" and isinstance(keyword.value, ast.Constant):
                return str(keyword.value.value)
    return ""


def _sentence(text: str) -> str:
    """The first paragraph on one line, to its first full stop."""
    line = " ".join(text.split("\n\n")[0].split())
    first = line.partition(". ")[0].rstrip(".")
    return first if len(first) <= _MOST_LETTERS else f"{first[: _MOST_LETTERS - 1]}…"
