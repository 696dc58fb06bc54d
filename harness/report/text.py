"""Making foreign text safe to show, and numbers short enough to read.

Model names, problem ids and messages come from files that others wrote. Before any of it reaches a terminal, a
Markdown file, a spreadsheet or a web page, it passes through the one function that fits the place:
`harness.plain.clean` for a line, those here for the others.
"""

from __future__ import annotations

import math
import re

from harness.plain import clean

_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>|~$&])")
_FORMULA = ("=", "+", "-", "@")
_CELL = 32_000
"""Characters of a CSV cell: what a spreadsheet holds."""


def markdown(text: str, limit: int = 200) -> str:
    """Text for a Markdown table cell: shows literally, never as markup, a link or another cell."""
    return _MARKDOWN.sub(r"\\\1", clean(text, limit))


def csv_text(text: str) -> str:
    """Text for a CSV cell: one line, and a leading character that a spreadsheet would run as a formula is quoted."""
    kept = clean(text, _CELL)
    return f"'{kept}" if kept.startswith(_FORMULA) else kept


def percent(value: float | None, digits: int = 1) -> str:
    """A share as percent without the sign: 0.4331 -> "43.3"; "-" for a missing value."""
    return "-" if value is None or math.isnan(value) else f"{100 * value:.{digits}f}"


def with_interval(value: float, low: float, high: float, scale: float = 100.0) -> str:
    """Value and 95 % interval: "43.3 ± 5.2" if it is symmetric at this precision, else "1.2 [0.4, 3.9]"."""
    if math.isnan(value):
        return "-"
    if not (math.isfinite(low) and math.isfinite(high)):
        return f"{scale * value:.1f} ± ?"
    down, up = scale * (value - low), scale * (high - value)
    if abs(down - up) < 0.1:
        return f"{scale * value:.1f} ± {(down + up) / 2:.1f}"
    return f"{scale * value:.1f} [{scale * low:.1f}, {scale * high:.1f}]"


def signed(value: float, scale: float = 100.0) -> str:
    """A difference with its sign: 0.021 -> "+2.1"."""
    return f"{scale * value:+.1f}"


def signed_interval(value: float | None, low: float | None, high: float | None, scale: float = 100.0) -> str:
    """A difference with its interval: "+2.1 [-0.3, +4.5]"; "-" if there is none."""
    if value is None or low is None or high is None:
        return "-"
    return f"{signed(value, scale)} [{signed(low, scale)}, {signed(high, scale)}]"


def p_value(p: float | None) -> str:
    """A p value as people write it: "<0.001", "0.034"; "-" if there is none."""
    if p is None or math.isnan(p):
        return "-"
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def count(number: float | None) -> str:
    """A large number in few characters: 1234567 -> "1.2M"; "-" for a missing one."""
    if number is None:
        return "-"
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(number) >= size:
            return f"{number / (1e3 if unit == 'k' else size):.1f}{unit}"
    return f"{number:g}" if number == int(number) else f"{number:.2f}"
