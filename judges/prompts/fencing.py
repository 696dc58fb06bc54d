"""Put text of others between fences that it cannot close, so that a judge can tell it from its instructions.

What is inside a fence may say anything: "ignore the rubric", a closing fence, a whole fake conversation. Three things
keep it inside. The fence is longer than the number of tildes on any line of the text, lookalikes included, so no line
of it can be read as the end. The markers by which chat templates tell turns apart are broken up, because a tokenizer
would read them as a new turn and no fence would help. Code points that no server accepts are replaced.
Nothing is cut: a text that is too long is the engine's to refuse.
"""

from __future__ import annotations

import re

from judges.prompts.markers import broken

SHORTEST = 5
"""Tildes of a fence around ordinary text."""
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

_TILDES = re.compile(
    "[~\N{SMALL TILDE}\N{COMBINING TILDE}\N{TILDE OPERATOR}\N{SWUNG DASH}\N{WAVE DASH}\N{FULLWIDTH TILDE}]"
)
_UNSENDABLE = re.compile("[\x00\ud800-\udfff]")


def fence(text: str) -> str:
    """The text between two lines of tildes, ready to stand on lines of its own.

    The text itself is as given, except that NUL and lone surrogates become U+FFFD, and that the marks of chat templates
    (`judges.prompts.markers`: `<|im_start|>`, `</s>`, `[INST]`, `</think>`, ...) get a space behind the bracket.
    """
    safe = broken(_UNSENDABLE.sub(REPLACEMENT, text))
    # splitlines knows every line break that any reader may know: the fewer the lines, the longer the fence.
    most = max((len(_TILDES.findall(line)) for line in safe.splitlines()), default=0)
    line = "~" * max(SHORTEST, most + 1)
    return f"{line}\n{safe}\n{line}"
