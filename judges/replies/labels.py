"""Which of a closed set of labels did the judge say?"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from judges.replies.evidence import squeezed

_AROUND = " \t\r\n\"'`*_.,:;!?()[]{}“”‘’«»▁Ġ"
"""What a one-token reply may carry around its label: quotes, emphasis, a full stop, a tokenizer's mark of a space."""


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
