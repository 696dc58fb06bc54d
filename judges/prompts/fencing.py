"""Put text of others between fences that it cannot close, so that a judge can tell it from its instructions.

What is inside a fence may say anything: "ignore the rubric", a closing fence, a whole fake conversation. Three things
keep it inside. The fence is longer than the number of tildes on any line of the text, lookalikes included, so no line
of it can be read as the end. The markers by which chat templates tell turns apart are broken up, because a tokenizer
would read them as a new turn and no fence would help. Code points that no server accepts are replaced.
Nothing is cut: a text that is too long is the engine's to refuse.
"""

from __future__ import annotations

import re

SHORTEST = 5
"""Tildes of a fence around ordinary text."""
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

_TILDES = re.compile(
    "[~\N{SMALL TILDE}\N{COMBINING TILDE}\N{TILDE OPERATOR}\N{SWUNG DASH}\N{WAVE DASH}\N{FULLWIDTH TILDE}]"
)
_UNSENDABLE = re.compile("[\x00\ud800-\udfff]")
_TURN_MARKER = re.compile(
    r"\[(?=/?(?:INST|SYSTEM_PROMPT|TOOL_CALLS|TOOL_RESULTS|AVAILABLE_TOOLS)\])"
    r"|<(?=[|\N{FULLWIDTH VERTICAL LINE}]|/?s>|(?:bos|eos|start_of_turn|end_of_turn|start_header_id|end_header_id)>)"
)


def fence(text: str) -> str:
    """The text between two lines of tildes, ready to stand on lines of its own.

    The text itself is as given, except that NUL and lone surrogates become U+FFFD, and that chat-template markers
    (`<|im_start|>`, `</s>`, `<start_of_turn>`, `[INST]`, ...) get a space behind the bracket.
    """
    safe = _TURN_MARKER.sub(r"\g<0> ", _UNSENDABLE.sub(REPLACEMENT, text))
    # splitlines knows every line break that any reader may know: the fewer the lines, the longer the fence.
    most = max((len(_TILDES.findall(line)) for line in safe.splitlines()), default=0)
    line = "~" * max(SHORTEST, most + 1)
    return f"{line}\n{safe}\n{line}"
