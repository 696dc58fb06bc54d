"""Which text of a response is its path of reasoning, and the prompt that asks a model to cut it into steps."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from backends.records.record import TrainRecord, response_text
from backends.records.spans import parts_of
from backends.templates import Template, load_template
from harness.reasoning import reply_tags
from harness.types import Message
from judges.prompts.fencing import fence


def written_path(text: str, opened_think: bool = False) -> tuple[str, bool]:
    """The text before the tag that closes the thought, and whether there is one; without one all of the text."""
    tags = reply_tags(text, opened_think)
    start = tags[0].end if tags and tags[0].opens else 0
    ends = [tag.start for tag in tags if not tag.opens]
    return (text[start : ends[-1]] if ends else text[start:]).strip(), bool(ends)


def path_of(record: TrainRecord) -> str:
    """The path of a record's own response: its chain, or all of it where no chain can be told; "" if it has none."""
    if record.think is not None and record.think.strip():
        return record.think.strip()
    text = response_text(record) or ""
    return (parts_of(text)[0] or text).strip()


def question_of(record: TrainRecord) -> str:
    """What the last turn of its prompt asks."""
    return record.prompt[-1].content


@cache
def ask_template() -> Template:
    """The prompt of a structure reward model: trained with it, and asked by it."""
    return load_template("gsrm_ask", ("question", "path"), Path(__file__).with_name("prompts") / "gsrm_ask.toml")


def steps_prompt(question: str, path: str) -> tuple[Message, ...]:
    """The turns that ask for the steps of a path."""
    return (Message("user", ask_template().fill({"question": fence(question), "path": fence(path)})),)
