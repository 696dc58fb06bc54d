"""Which script the letters of a text are of."""

from __future__ import annotations

import re

_RANGES = {
    "hangul": "\u1100-\u11ff\u3131-\u318e\ua960-\ua97c\uac00-\ud7a3\ud7b0-\ud7fb",
    "han": "\u3005\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff",
    "kana": "\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fd-\u30ff\u31f0-\u31ff\uff66-\uff9d",
    "cyrillic": "\u0400-\u052f\u1c80-\u1c88\u2de0-\u2dff\ua640-\ua69f",
    "greek": "\u0370-\u03ff\u1f00-\u1fff",
    "arabic": "\u0620-\u064a\u066e-\u06d3\u06fa-\u06ff\u0750-\u077f\ufb50-\ufdff\ufe70-\ufefc",
    "hebrew": "\u05d0-\u05f2",
    "devanagari": "\u0900-\u0963\u0971-\u097f",
    "thai": "\u0e01-\u0e3a\u0e40-\u0e4e",
}
SCRIPTS = tuple(_RANGES)
_LETTER = re.compile(r"[^\W\d_]")
_OF = {name: re.compile(f"[{chars}]") for name, chars in _RANGES.items()}


def script_share(text: str, script: str) -> float | None:
    """Share of the letters that are of a script, 0 to 1; None for a text without a letter."""
    letters = _LETTER.findall(text)
    return sum(map(bool, map(_OF[script].match, letters))) / len(letters) if letters else None
