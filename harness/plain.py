"""Foreign text on its way out: what a terminal, a log or a workflow would act on never leaves.

Model names, problem ids, replies and servers' messages come from others. `clean` makes one plain line of any of them;
`visible_json` writes what cannot be seen in JSON as escapes, so that the value stays what it is.
"""

from __future__ import annotations

import re
import unicodedata

UNSEEN = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\xad\u0600-\u0605\u061c\u06dd\u070f\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\U000e0000-\U000e0fff]"
)
"""Controls (C0 but the line feed, C1), directions, joiners and other format characters, line separators."""
_ESCAPED = re.compile(f"{UNSEEN.pattern[:-1]}\ud800-\udfff]")
"""Those, and lone surrogates, which have no UTF-8 form: a damaged file can hold them."""

_WORKFLOW = re.compile(
    r":(:(?:error|warning|notice|debug|group|endgroup|echo|stop-commands|set-output|save-state|set-env|add-)[\w-]*)"
    r"|#(#\[)",
    re.IGNORECASE,
)
"""Commands of a CI runner, which it obeys wherever a line begins with one: a table may break its lines anywhere."""


def clean(text: str, limit: int = 200) -> str:
    """One line of plain text: control characters, direction overrides and lone surrogates are gone, long text is cut.

    Unicode categories that start with C (control, format, surrogate, private use) carry terminal escapes and
    invisible characters; each becomes a space if it is white space and disappears otherwise. "::error" and its like,
    which a CI runner obeys, are broken up.
    """
    kept = (
        char if not unicodedata.category(char).startswith("C") else " " if char.isspace() else ""
        for char in text[: max(5000, limit)]
    )
    line = _WORKFLOW.sub(lambda command: f": {command[1]}" if command[1] else "# #[", " ".join("".join(kept).split()))
    return line if len(line) <= limit else line[: limit - 1] + "…"


def visible_json(text: str) -> str:
    r"""JSON text in which every character that cannot be seen or written is an escape (`\u202e`); it means the same."""
    return _ESCAPED.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    units = match[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))


def plural(number: int, noun: str) -> str:
    """A count with its noun: "1 pair", "1,200 pairs"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
