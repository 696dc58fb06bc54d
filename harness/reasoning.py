"""From a reply to its thought and its answer: the first thing that grading, judging and training do with a reply.

Why one module: a thought that is graded as an answer is the commonest way in which evaluation tools report wrong
scores. Everything runs in linear time on hostile text.

How a reply is split (`split_reasoning`), in this order:

1. The tags are `<think>`, `</think>`, `<thinking>` and `</thinking>`, in any case; the two spellings are one kind.
2. A block that is still open where the text ends means that the model never answered: the answer is None, which scores
   as "truncated". A block is open if an opening tag follows the last closing tag, or if the prompt itself opened the
   block (`opened_think`) and the text has no closing tag. Text before such a tag is not graded either.
3. Otherwise the answer is what follows the last closing tag: with several blocks the model's last word counts. A
   closing tag without an opening one closes the block that the template opened. An empty block has reasoning "".
4. Without any tag there is no reasoning (None) and the whole text is the answer.
5. Reasoning that the server has already separated is kept, followed by other blocks in the text, if any. Splitting a
   reply that has been split before changes nothing.

Reasoning and answer are stripped of surrounding white space.
"""

from __future__ import annotations

import re
from dataclasses import replace

from harness.types import Completion

_THINK_TAG = re.compile(r"<(/?)think(?:ing)?>", re.IGNORECASE)


def split_reasoning(
    text: str, *, opened_think: bool = False, reasoning: str | None = None
) -> tuple[str | None, str | None]:
    """Split a reply into (reasoning, answer text) by the rules in the module docstring.

    `opened_think`: the prompt ended inside a think block. `reasoning`: what the server separated already.
    The answer is None if a think block was never closed.
    """
    thoughts: list[str] = []
    block_start: int | None = 0 if opened_think else None
    answer_start, closed_any = 0, False
    for tag in _THINK_TAG.finditer(text):
        if tag[1] == "":
            block_start = tag.end() if block_start is None else block_start
            continue
        begin = answer_start if block_start is None else block_start
        thoughts.append(_without_opening_tag(text[begin : tag.start()]))
        answer_start, closed_any, block_start = tag.end(), True, None
    if block_start is not None:
        thoughts.append(_without_opening_tag(text[block_start:]))
        return _joined(reasoning, thoughts), None
    return _joined(reasoning, thoughts), text[answer_start:].strip() if closed_any else text.strip()


def _without_opening_tag(block: str) -> str:
    """A block in which the model repeated the tag that the template had already written."""
    block = block.strip()
    tag = _THINK_TAG.match(block)
    return block[tag.end() :].strip() if tag else block


def _joined(separated: str | None, thoughts: list[str]) -> str | None:
    """Separated reasoning, then the blocks of the text, unless these are what was separated (a reply split before)."""
    found = "\n\n".join(part for part in thoughts if part) if thoughts else None
    if separated is None or found is None or found == separated.strip():
        return found if separated is None else separated.strip()
    return f"{separated.strip()}\n\n{found}".strip()


def with_answer(completion: Completion) -> Completion:
    """The completion with `reasoning` and `answer_text` filled in; a failed one (finish "error") is returned as it is.

    A reply whose server separated the reasoning and that was cut before any answer text counts as cut in its thoughts.
    """
    if completion.finish == "error":
        return completion
    reasoning, answer = split_reasoning(
        completion.text, opened_think=completion.opened_think, reasoning=completion.reasoning
    )
    if completion.reasoning is not None and completion.finish == "length" and not answer:
        answer = None
    return replace(completion, reasoning=reasoning, answer_text=answer)
