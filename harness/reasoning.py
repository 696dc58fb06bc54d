"""From a reply to its thought and its answer: the first thing that grading, judging and training do with a reply.

Why one module: a thought that is graded as an answer is the commonest way in which evaluation tools report wrong
scores. Everything runs in linear time on hostile text.

How a reply is split (`split_reasoning`), in this order:

1. A reply has one markup of the table (`harness.markup`), the tags of the others are text in it: the one that begins
   the reply; else the first of which a closing tag stands without an opening one (the template wrote that); else the
   first that opens at all, but for those that count only at the start.
2. A block that is still open where the text ends means that the model never answered: the answer is None. A block is
   open if an opening tag follows the last closing tag, or if the prompt itself opened the block (`opened_think`) and
   the text has no closing tag. Text before such a tag is not graded either.
3. Otherwise the answer is what follows the last closing tag: with several blocks the model's last word counts. A
   closing tag without an opening one closes the block that the template opened. An empty block has reasoning "".
   What the markup writes behind an answer (`<|end_of_solution|>`) is no part of it.
4. A reply without any tag that begins with "My thought:" has its answer behind the last "My answer:", the last that
   begins a line if one does. Without that cue it is a thought only if it was cut.
5. Otherwise there is no reasoning (None) and the whole text is the answer.
6. Reasoning that the server has already separated is kept, followed by other blocks in the text, if any. Splitting a
   reply that has been split before changes nothing.

Reasoning and answer are stripped of surrounding white space.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from harness.markup import PROSE, Markup, Tag, closing_of, find_tags, unknown_markup
from harness.types import Completion

_THOUGHT_CUE = re.compile(rf"\s{{0,64}}[*_#\s]{{0,8}}{re.escape(PROSE.opens[0])}[*_]{{0,3}}")
_ANSWER_CUE = re.compile(rf"(?<!\w){re.escape(PROSE.closes[0])}[*_]{{0,3}}")
_LINE_START = re.compile(r"(?:\A|\n)[ \t*_#]{0,16}\Z")


def split_reasoning(
    text: str, *, opened_think: bool = False, reasoning: str | None = None, markup: str = "", cut: bool = False
) -> tuple[str | None, str | None]:
    """Split a reply into (reasoning, answer text) by the rules in the module docstring.

    `opened_think`: the prompt ended inside a think block. `reasoning`: what the server separated already. `markup`:
    tags beside the table's (`harness.markup.parse_markup`). `cut`: the token limit ended the reply.
    The answer is None if a think block was never closed.
    """
    tags = reply_tags(text, opened_think, markup)
    if not tags and not opened_think:
        return _split_prose(text, reasoning, cut)
    thoughts: list[str] = []
    block_start: int | None = 0 if opened_think else None
    answer_start, closed_any = 0, False
    for tag in tags:
        if tag.opens:
            block_start = tag.end if block_start is None else block_start
            continue
        begin = answer_start if block_start is None else block_start
        thoughts.append(_without_opening_tag(text[begin : tag.start], markup))
        answer_start, closed_any, block_start = tag.end, True, None
    if block_start is not None:
        thoughts.append(_without_opening_tag(text[block_start:], markup))
        return _joined(reasoning, thoughts), None
    answer = text[answer_start:].strip()
    if closed_any:
        for end in tags[-1].row.ends:
            answer = answer.removesuffix(end).rstrip()
    return _joined(reasoning, thoughts), answer


def reply_tags(text: str, opened_think: bool = False, markup: str = "") -> list[Tag]:
    """The tags of a reply's one markup, in order; the two by which a thought ends and an answer begins are one."""
    tags = find_tags(text, markup)
    row = _own_markup(tags, text, opened_think) if tags else None
    own: list[Tag] = []
    for tag in tags:
        if tag.row is not row:
            continue
        if own and _is_one_end(text, own[-1], tag):
            own[-1] = replace(own[-1], end=tag.end)
        else:
            own.append(tag)
    return own


def open_block(text: str, markup: str = "") -> str:
    """The closing tag of the think block in which a text ends; "" if it ends in none."""
    tags = reply_tags(text, markup=markup)
    return closing_of(tags[-1], text) if tags and tags[-1].opens else ""


def _is_one_end(text: str, before: Tag, tag: Tag) -> bool:
    """Whether two closing tags are one end: that of the thought, then that which begins the answer."""
    if tag.opens or before.opens or len(tag.row.closes) <= len(tag.row.opens):
        return False
    again = text.startswith(text[tag.start : tag.end], before.start)
    return not again and not text[before.end : tag.start].strip()


def _own_markup(tags: Sequence[Tag], text: str, opened_think: bool) -> Markup | None:
    """Rule 1 of the module's docstring."""
    if tags[0].opens and not text[: tags[0].start].strip():
        return tags[0].row
    open_blocks = Counter[Markup]()
    for tag in tags:
        if not tag.opens and open_blocks[tag.row] == 0:
            return tag.row
        open_blocks[tag.row] = 1 if tag.opens else 0
    # Where the template opened a block, a tag that opens it once more is a thought's, wherever it stands.
    return next((tag.row for tag in tags if tag.opens and (opened_think or not tag.row.leads)), None)


def _split_prose(text: str, separated: str | None, cut: bool) -> tuple[str | None, str | None]:
    """A reply without tags: rules 4 and 5."""
    cues = find_cues(text)
    if cues is not None:
        thought, answer = cues
        told = text[thought.end() : answer.start()].rstrip(" \t*_#\n").strip()
        return _joined(separated, [told]), text[answer.end() :].strip()
    opening = _THOUGHT_CUE.match(text)
    if cut and opening is not None:
        return _joined(separated, [text[opening.end() :].strip()]), None
    return _joined(separated, []), text.strip()


def find_cues(text: str) -> tuple[re.Match[str], re.Match[str]] | None:
    """The cues "My thought:" and "My answer:" of a reply that begins with the first; None if either is missing."""
    opening = _THOUGHT_CUE.match(text)
    if opening is None:
        return None
    answers = list(_ANSWER_CUE.finditer(text, opening.end()))
    leading = [match for match in answers if _LINE_START.search(text, max(0, match.start() - 18), match.start())]
    if not answers:
        return None
    return opening, (leading or answers)[-1]


def _without_opening_tag(block: str, markup: str) -> str:
    """A block in which the model repeated the tag that the template had already written."""
    block = block.strip()
    tags = find_tags(block[:200], markup)
    return block[tags[0].end :].strip() if tags and tags[0].opens and tags[0].start == 0 else block


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
    cut = completion.finish == "length"
    reasoning, answer = split_reasoning(
        completion.text,
        opened_think=completion.opened_think,
        reasoning=completion.reasoning,
        markup=completion.markup,
        cut=cut,
    )
    if completion.reasoning is not None and cut and not answer:
        answer = None
    return replace(completion, reasoning=reasoning, answer_text=answer)


class Unread:
    """Counts replies that seem to hold a thought in markup that nobody named, so that it is said once."""

    def __init__(self) -> None:
        self._counts = Counter[str]()

    def add(self, completion: Completion) -> None:
        """`completion` has been through `with_answer`."""
        if completion.answer_text is not None and completion.reasoning is None:
            found = unknown_markup(completion.answer_text)
            if found is not None:
                self._counts[found] += 1

    def notes(self) -> list[str]:
        """One line about the commonest form; empty if there is none."""
        if not self._counts:
            return []
        seen, named = unread_words(self._counts)
        return [f"{seen}: it was read as part of the answer. If it is one, run with --model-arg think_markup='{named}'"]


def unread_words(counts: Counter[str]) -> tuple[str, str]:
    """How many replies seem to hold a thought in which unknown markup; and the commonest form."""
    named, count = counts.most_common(1)[0]
    others = f" ({len(counts) - 1} other forms beside it)" if len(counts) > 1 else ""
    seem = "reply seems" if count == 1 else "replies seem"
    return f"{count} {seem} to hold a thought in unknown markup, {named}{others}", named
