"""Which of a closed set of labels did the judge say?"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from judges.replies.evidence import squeezed

_AROUND = " \t\r\n\"'`*_.,:;!?()[]{}“”‘’«»▁Ġ"
"""What a one-token reply may carry around its label: quotes, emphasis, a full stop, a tokenizer's mark of a space."""


_VERDICT = re.compile(r"VERDICT[ \t]{0,8}[*_]{0,3}[ \t]{0,8}:[ \t]{0,8}(\S{0,64})", re.IGNORECASE)


def verdict_line(labels: Sequence[str], text: str) -> tuple[str | None, str]:
    """The label behind the last "VERDICT:" of a reply, and what stands before; no label if that names none of them.

    A line that repeats what was asked for ("VERDICT: 1 or VERDICT: 2") decides nothing. Linear in the text.
    """
    found = None
    for match in _VERDICT.finditer(text):
        found = match
    if found is None:
        return None, text.strip()
    start = text.rfind("\n", 0, found.start()) + 1
    end = text.find("\n", found.end())
    line = text[start : end if end >= 0 else len(text)]
    reason = text[: found.start()].rstrip(" \t\n*_#").strip()
    return (match_token(labels, found[1]) if len(_VERDICT.findall(line)) == 1 else None), reason


def match_label(labels: Sequence[str], said: str) -> str | None:
    r"""The label that was said, None if it is none of them.

    Compared in Unicode's compatibility form ("＞" is ">"), without white space and without the backslashes of Markdown
    ("minor\_errors"); the case counts only where two labels differ in nothing else ("m" and "M").
    """
    exact, folded = _form(said), _form(said).casefold()
    for label in labels:
        if _form(label) == exact:
            return label
    found = [label for label in labels if _form(label).casefold() == folded]
    return found[0] if len(found) == 1 else None


def match_token(labels: Sequence[str], token: str) -> str | None:
    """As `match_label` for a reply or token that is a label and nothing else but the punctuation around it."""
    return match_label(labels, token) or match_label(labels, token.strip(_AROUND))


def _form(text: str) -> str:
    return squeezed(unicodedata.normalize("NFKC", text)).replace("\\", "")
