"""The text under each field of a dataclass, which Python does not keep: read from the source."""

from __future__ import annotations

import ast
import inspect
import itertools
import textwrap


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
