"""Options that another choice leaves without effect: setting one is a mistake and is refused, never ignored."""

from __future__ import annotations

from dataclasses import fields
from typing import Any


def refuse_unused(options: Any, used: bool, where: str, *names: str) -> None:
    """Raise `ValueError` if one of these options is not `used` and differs from its default; `where` it is used."""
    for field in fields(options):
        if not used and field.name in names and getattr(options, field.name) != field.default:
            raise ValueError(f"{field.name} has no effect here: it belongs to {where}")
