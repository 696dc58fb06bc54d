"""What of a conversation and of a completion a judge is shown, and which of two answers it is for."""

from __future__ import annotations

from collections.abc import Sequence

from harness.errors import UsageError
from harness.reasoning import with_answer
from harness.types import Completion, Message
from judges.types import Part, Rubric


def conversation(messages: Sequence[Message]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(what the user said turn by turn, what the assistant said before the last of them).

    A system message belongs to what was asked: it is put before the first turn.
    """
    system = "\n\n".join(message.content for message in messages if message.role == "system")
    turns = [message.content for message in messages if message.role == "user"]
    answers = tuple(message.content for message in messages if message.role == "assistant")
    if len(turns) != len(answers) + 1:
        raise UsageError("judging needs user and assistant messages in turn, the last one by the user")
    return ((f"{system}\n\n{turns[0]}" if system else turns[0]), *turns[1:]), answers


def answer_part(completion: Completion, part: Part) -> str:
    """The text to judge; an answer that was never given (a think block that was never closed) is empty."""
    completed = with_answer(completion)
    if part == "answer":
        return completed.answer_text or ""
    whole = "\n\n".join(text for text in (completed.reasoning, completed.answer_text) if text)
    return (completed.reasoning or whole) if part == "reasoning" else whole


def side(value: float) -> int:
    """Which answer a value is for: 1 the first, 2 the second, 0 neither."""
    return 1 if value > 0.5 else 2 if value < 0.5 else 0


def prefers(rubric: Rubric, label: str) -> int:
    """Which answer a label of the rubric is for; 0 for one that it does not have."""
    return next((side(choice.value) for choice in rubric.choices if choice.label == label), 0)
