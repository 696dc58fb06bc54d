"""Rubric and task -> the messages that a judge gets.

The rubric's template is filled in one pass (`judges.prompts.templates`). Text of others (question, answers, reference)
goes into fences (`judges.prompts.fencing`), each under the template's own heading and, in a conversation, under the
turn it belongs to. `{dimensions}` and `{reply_format}` are written here from the rubric, so that what the judge is
asked for and what the parser reads cannot drift apart.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.errors import DataError
from harness.types import Message
from judges.prompts.fencing import fence
from judges.prompts.templates import fields, fill
from judges.types import LEVELS, Dimension, Rubric, Task


def render(
    rubric: Rubric, task: Task, *, first: tuple[str, ...] | None = None, second: tuple[str, ...] | None = None
) -> tuple[Message, ...]:
    """System message (if the rubric has one) and user message for one judgment.

    `first` and `second` are the answers, turn by turn, in the order in which a rubric about two texts shows them; left
    out, they are the task's answers and its opponent's. A rubric about one text judges the last of the task's answers.
    Raises `DataError` if the task lacks what the template needs.
    """
    template = rubric.template
    if task.reference is not None and rubric.reference_template:
        template = rubric.reference_template
    ours = {"dimensions": _dimensions(rubric.dimensions), "reply_format": _reply_format(rubric)}
    values = ours | {"question": _question(task.turns)}
    if task.reference is not None:
        values["reference"] = fence(task.reference)
    shown = set(fields(template))
    if "answer" in shown:
        values["answer"] = _answers(task, task.answers, "the answer")
    if "answer_a" in shown:
        values["answer_a"] = _answers(task, task.answers if first is None else first, "the first answer")
        values["answer_b"] = _answers(task, task.opponent if second is None else second, "the second answer")
    user = Message("user", fill(template, values).strip())
    return (Message("system", fill(rubric.system, ours).strip()), user) if rubric.system else (user,)


def _question(turns: Sequence[str]) -> str:
    """One fence, or one for each turn of a conversation."""
    if len(turns) == 1:
        return fence(turns[0])
    last = len(turns)
    return "\n".join(f"User, turn {number} of {last}:\n{fence(turn)}" for number, turn in enumerate(turns, 1))


def _answers(task: Task, answers: Sequence[str] | None, what: str) -> str:
    """One fence, or one for each turn; in a conversation the last one is said to be the one to judge."""
    if answers is None:
        raise DataError(f"problem {task.problem_id!r}: {what} is missing, and the rubric compares two")
    if not answers or len(answers) != len(task.turns):
        raise DataError(
            f"problem {task.problem_id!r}: {what} has {len(answers)} turns, and the user has {len(task.turns)}"
        )
    if len(answers) == 1:
        return fence(answers[0])
    last = len(answers)
    roles = ["context, not to be judged"] * (last - 1) + ["to be judged"]
    return "\n".join(
        f"Reply to turn {number} of {last} ({role}):\n{fence(answer)}"
        for number, (answer, role) in enumerate(zip(answers, roles, strict=True), 1)
    )


def _dimensions(dimensions: Sequence[Dimension]) -> str:
    """Names, questions and levels, best level first. Weights stay with us: they are no business of the judge."""
    blocks = []
    for number, one in enumerate(dimensions, 1):
        lines = [f"{number}. {one.name} (key: {one.key})", f"   {one.question}"]
        lines += [f"   Level {level}: {one.levels[level - 1]}" for level in range(LEVELS, 0, -1)]
        if one.labels:
            lines.append(f"   Also a label, one of: {', '.join(one.labels)}")
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def _reply_format(rubric: Rubric) -> str:
    """How to reply: the JSON object of `judges.prompts.schema`, or one bare label."""
    meanings = "\n".join(f"- {choice.label}: {choice.meaning}" for choice in rubric.choices)
    if rubric.reply == "token":
        labels = " or ".join(choice.label for choice in rubric.choices)
        return f"{meanings}\nReply with {labels} and nothing else: no other word, no punctuation."
    if rubric.reply == "line":
        lines = " or ".join(f"VERDICT: {choice.label}" for choice in rubric.choices)
        return f"{meanings}\nYour last line is one of these and nothing else: {lines}"
    head = "Reply with one JSON object and nothing before or after it, its keys in this order:\n"
    if rubric.kind == "points":
        rows = ",\n".join(_dimension_shape(one) for one in rubric.dimensions)
        return (
            f'{head}{{\n  "dimensions": {{\n{rows}\n  }},\n  "overall": "<one sentence>"\n}}\n'
            f"Every dimension is there exactly once. In each, write the reason before you settle on the level. "
            f"evidence holds up to three short passages copied word for word from the text that is judged, "
            f"or nothing: []. level is a whole number from 1 to {LEVELS}. Give no points and no total."
        )
    if rubric.kind == "rating":
        shape = (
            f'{{"reason": "<what decides the rating>", "rating": <whole number from {rubric.low} to {rubric.high}>}}'
        )
        return f"{head}{shape}\nWrite the reason before you settle on the rating."
    labels = ", ".join(f'"{choice.label}"' for choice in rubric.choices)
    return (
        f'{head}{{"reason": "<what decides it>", "verdict": "<one of the labels>"}}\n'
        f"Write the reason before you settle on the verdict. The labels are {labels}:\n{meanings}"
    )


def _dimension_shape(one: Dimension) -> str:
    label = f', "label": "<{" | ".join(one.labels)}>"' if one.labels else ""
    return (
        f'    "{one.key}": {{"reason": "<one or two sentences>", "evidence": ["<quote>"], '
        f'"level": <1 to {LEVELS}>{label}}}'
    )
