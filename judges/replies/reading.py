"""From a judge's reply to a verdict, and what to say to a judge whose reply could not be read."""

from __future__ import annotations

from dataclasses import replace

from harness.types import Completion, Message
from judges.types import Ask, Malformed, Verdict

_QUOTED = 2000
"""Characters of a malformed reply that are shown to the judge again: enough to mend it, cheap if it ran on and on."""
_REASON = 500
_TOKEN_REPLY = 16
"""A limit this low is meant: the reply is to be one label, and being cut is not what is wrong with it."""


def read_verdict(ask: Ask, completion: Completion) -> Verdict:
    """What a reply says; `completion` has been through `judges.replies.thought.with_reply`.

    Raises `Malformed` if it says nothing readable; a reply that was cut before its verdict says just that.
    """
    cut = completion.finish == "length" and ask.max_tokens > _TOKEN_REPLY
    if completion.answer_text is None:
        raise Malformed(_cut(ask) if cut else "the reply ends inside its reasoning: there is no answer after it")
    try:
        return ask.parse(completion)
    except Malformed as error:
        if cut:
            raise Malformed(_cut(ask)) from error
        raise


def _cut(ask: Ask) -> str:
    return f"the reply was cut by max_tokens ({ask.max_tokens}) before it came to a verdict"


def ask_again(ask: Ask, completion: Completion, reason: str) -> Ask:
    """The same question once more, with the reply that could not be read and why."""
    said = (completion.answer_text if completion.answer_text is not None else completion.text).strip()
    if len(said) > _QUOTED:
        said = f"{said[: _QUOTED // 2]}\n[…]\n{said[-_QUOTED // 2 :]}"
    cut = "Be brief enough to finish. " if completion.finish == "length" else ""
    complaint = (
        f"That reply could not be read: {reason[:_REASON]}. {cut}"
        "Decide again and reply in exactly the form asked for, with nothing before or after it."
    )
    turns = (Message("assistant", said or "(empty reply)"), Message("user", complaint))
    return replace(ask, messages=(*ask.messages, *turns))
