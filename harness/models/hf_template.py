"""Rendering a chat template: a foreign program, which may refuse the messages, drop some of them, or never end.

It runs in a thread of its own, where it can be stopped: nothing else runs there, so that nothing else is interrupted.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Sequence
from typing import Any

from harness.errors import ModelError
from harness.types import Message

LIMIT_S = 20.0
"""Seconds for one prompt; the templates of real models take a few milliseconds."""
_FAULTS = (
    ValueError, TypeError, ArithmeticError, LookupError, AttributeError, RecursionError, MemoryError
)  # fmt: skip
"""What a template's own expressions raise."""


class TemplateRefusal(Exception):
    """A template raised; the message is its own, on one line."""


class _Stop(BaseException):
    """Ends a rendering from outside."""


def render(tokenizer: Any, messages: Sequence[Message], template: str, **options: Any) -> str:
    """The text of the messages under a chat template; `options` are those of `apply_chat_template`.

    Raises `TemplateRefusal` for what the template raises, `ModelError` for one that does not end.
    """
    import jinja2

    found: list[str] = []
    raised: list[BaseException] = []

    def work() -> None:
        try:
            turns = [{"role": message.role, "content": message.content} for message in messages]
            found.append(tokenizer.apply_chat_template(turns, chat_template=template, tokenize=False, **options))
        except BaseException as error:  # handed to the caller, whichever it is
            raised.append(error)

    thread = threading.Thread(target=work, name="chat template", daemon=True)
    thread.start()
    thread.join(LIMIT_S)
    if thread.is_alive():
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(_Stop))
        raise ModelError(
            f"the chat template does not end: {LIMIT_S:g} s passed over one prompt. Name another with "
            "chat_template=FILE, or chat_template=off"
        )
    for error in raised:
        if isinstance(error, (jinja2.TemplateError, *_FAULTS)):
            raise TemplateRefusal(str(error).replace("\n", " ")) from error
        raise error
    return found[0]


def loses_system(messages: Sequence[Message], text: str) -> bool:
    """Whether a rendered text lacks the system turn's words, which some templates drop in silence."""
    return any(message.role == "system" and message.content.strip() not in text for message in messages)
