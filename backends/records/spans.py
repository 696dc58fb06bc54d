r"""Where a response stops thinking and starts to answer, in characters and in tokens.

Attempts in this order, the first that fits decides:

1. "think": the tags of one markup of `harness.markup`, `<think>…</think>` first of all. The chain is what is between
   the first opening and the last closing tag; a closing tag alone closes a block that the chat template opened. A block
   that is never closed is a cut trace: no split at all, because whatever looks like an answer in it is a thought.
2. "json": the response is one JSON object with `process` and, after it, `answer`. The chain is the value of `process`
   as written, the answer begins at the key `"answer"`.
3. "markers": `My thought:` … `My answer:` (CoTD-PO), by the rule that evaluation splits replies with. Before the
   phrase, which a thought may hold.
4. "phrase": the last "[Therefore,] the [final] answer is".
5. "boxed": the line that holds the last `\boxed{…}`.

Tokens follow characters: a token belongs to the part that holds its first character. The closing tag (or "My answer:")
and the end of sequence belong to the answer, or nothing would ever teach a model to stop thinking; a method whose
answers are sampled behind the tag asks for it with the chain (`Cue`). Scaffolding in front of the chain (the opening
tag, `{"process": `) belongs to the chain, so that every token of a response is in exactly one part.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from backends.records.record import ChainStep, TrainRecord, render_response, response_text
from harness.answers import MAX_JSON, boxed_spans
from harness.errors import DataError
from harness.markup import PROSE, Tag
from harness.reasoning import find_cues, reply_tags

Rule = Literal["think", "json", "phrase", "markers", "boxed"]
Part = Literal["think", "answer", "meta", "solve"]
Cue = Literal["think", "answer"]
"""The part that a closing tag or "My answer:" belongs to."""

_PHRASE = re.compile(r"\b(?:therefore,? )?the (?:final )?answer is\b", re.IGNORECASE)
_BLANK = re.compile(r"[ \t\n\r]*")
_DECODER = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class Split:
    """Character positions in a response: 0 <= think_start <= think_end <= answer_start <= answer_text <= its length."""

    rule: Rule
    think_start: int
    think_end: int
    """The chain is `text[think_start:think_end]`; it may be empty."""
    answer_start: int
    """Start of the answer part, closing tag or "My answer:" included."""
    answer_text: int
    """Start of the answer itself, behind that; `answer_start` where nothing of the kind stands there."""


def split_response(text: str) -> Split | None:
    """Split a rendered response; None where no rule fits, or where a think block is never closed."""
    tags = reply_tags(text)
    if tags:
        return _by_tags(tags)
    return _by_json(text) or _by_markers(text) or _by_phrase(text) or _by_box(text)


def together(record: TrainRecord, answer: str) -> str:
    """The whole response, as the student is to write it: the record's thought and that answer."""
    thought = (record.think or "").strip()
    split = split_response(response_text(record) or "")
    if split is not None and split.rule == "think":
        return render_response(thought, answer)
    return f"{PROSE.opens[0]} {thought}\n{PROSE.closes[0]} {answer}"


def never_closes(text: str, opened: bool = False) -> bool:
    """Whether a think block is still open where the text ends; `opened`: the prompt itself ended in an opening tag."""
    tags = reply_tags(text, opened)
    return tags[-1].opens if tags else opened


def without_opening_tag(text: str) -> str:
    """The text without the opening think tag that it begins with, if it does."""
    tags = reply_tags(text)
    return text[tags[0].end :] if tags and tags[0].opens and tags[0].start == 0 else text


def begun(text: str) -> str | None:
    """The text with the opening tag in front that its first tag, a closing one, lacks; the text itself if none is.

    None where a later closing tag closes nothing: no completion would be meant by that. A tag that can begin an answer
    by itself (gpt-oss's final channel) lacks nothing.
    """
    missing, depth = "", 0
    for number, tag in enumerate(reply_tags(text)):
        closes = text[tag.start : tag.end]
        opening = None if tag.opens else tag.row.opening_of(closes)
        if opening is not None and depth == 0:
            if number > 0:
                return None
            missing = opening
        depth = int(tag.opens)
    return f"{missing}{'' if text.startswith(chr(10)) else chr(10)}{text}" if missing else text


def closed_by(text: str, closing: str) -> str:
    """The text, its think block closed by the tag that the prompt's opening one asks for."""
    ends = [tag for tag in reply_tags(text, opened_think=True) if not tag.opens]
    if not ends or closing in ends[-1].row.closes:
        return text
    return text[: ends[-1].start] + closing + text[ends[-1].end :]


def _by_tags(tags: Sequence[Tag]) -> Split | None:
    last = tags[-1]
    if last.opens:
        return None
    start = tags[0].end if tags[0].opens else 0
    return Split("think", start, last.start, last.start, last.end)


def _by_json(text: str) -> Split | None:
    stripped = text.strip()
    if not stripped.startswith("{") or not stripped.endswith("}") or len(text) > MAX_JSON:
        return None
    try:
        keys = _top_level(text)
    except (ValueError, IndexError, RecursionError):
        return None
    if keys is None or "process" not in keys or "answer" not in keys:
        return None
    _, start, end = keys["process"]
    answer = keys["answer"][0]
    return Split("json", start, end, answer, answer) if end <= answer else None


def _top_level(text: str) -> dict[str, tuple[int, int, int]] | None:
    """Key -> (where the key starts, where its value starts and ends); None for a repeated key or text after the object.

    Raises ValueError or IndexError if it is not an object.
    """
    found: dict[str, tuple[int, int, int]] = {}
    at = _skip(text, _skip(text, 0) + 1)
    while text[at] != "}":
        key, end = _DECODER.raw_decode(text, at)
        colon = _skip(text, end)
        if not isinstance(key, str) or key in found or text[colon] != ":":
            return None
        start = _skip(text, colon + 1)
        _, stop = _DECODER.raw_decode(text, start)
        found[key] = (at, start, stop)
        at = _skip(text, stop)
        if text[at] == ",":
            at = _skip(text, at + 1)
            if text[at] == "}":
                return None
        elif text[at] != "}":
            return None
    return found if _skip(text, at + 1) == len(text) else None


def _skip(text: str, at: int) -> int:
    match = _BLANK.match(text, at)
    return match.end() if match else at


def _by_phrase(text: str) -> Split | None:
    starts = [match.start() for match in _PHRASE.finditer(text)]
    return Split("phrase", 0, *[starts[-1]] * 3) if starts else None


def _by_markers(text: str) -> Split | None:
    cues = find_cues(text)
    if cues is None:
        return None
    thought, answer = cues
    return Split("markers", thought.end(), answer.start(), answer.start(), answer.end())


def _by_box(text: str) -> Split | None:
    boxes = boxed_spans(text)
    if not boxes:
        return None
    start = text.rfind("\n", 0, boxes[-1][0]) + 1
    return Split("boxed", 0, start, start, start)


# --- boundaries and tokens ----------------------------------------------------------------------------------------


Boundary: TypeAlias = tuple[int, Part]
"""From this character on, until the next boundary, the response belongs to this part."""


def boundaries(text: str, structure: Sequence[ChainStep] = (), cue: Cue = "answer") -> list[Boundary]:
    """The parts of a response, in order, the first from character 0.

    Without a split all of it is the answer. With a structure the chain is divided into its stages' "meta" and "solve"
    pieces; what is between two pieces goes to the one it leads up to. A response that is its structure and nothing else
    has no answer. Raises `DataError` if any other response with a structure has no split, or if a piece of the
    structure is not found where it should be.
    """
    if structure and "".join(text.split()) == "".join("".join(one.meta + one.solve for one in structure).split()):
        return _stages(text, structure, Split("markers", 0, *[len(text)] * 3))[:-1]
    split = split_response(text)
    if split is not None and cue == "think":
        split = replace(split, answer_start=split.answer_text)
    if structure:
        return _stages(text, structure, split)
    if split is None:
        return [(0, "answer")]
    return [(0, "think"), (split.answer_start, "answer")]


def _stages(text: str, structure: Sequence[ChainStep], split: Split | None) -> list[Boundary]:
    if split is None:
        raise DataError("the response has a structure but no recognisable chain and answer")
    found: list[Boundary] = []
    end = 0
    at = split.think_start
    pieces: list[tuple[Part, str]] = []
    for stage in structure:
        pieces += [("meta", stage.meta), ("solve", stage.solve)]
    for part, piece in pieces:
        start = text.find(piece, at, split.think_end)
        if start < 0:
            raise DataError(f"the piece {piece[:60]!r} of its structure is not in the chain, or not in this order")
        found.append((end, part))
        at = end = start + len(piece)
    return [*found, (split.answer_start, "answer")]


def parts_of(text: str) -> tuple[str | None, str]:
    """The chain of a response, None where it has none, and the answer: what `think` and `answer` of a record hold."""
    split = split_response(text)
    if split is None:
        return None, text.strip()
    answer = text[split.answer_start :]
    if split.rule == "think":
        answer = answer[answer.index(">") + 1 :]
    return text[split.think_start : split.think_end].strip() or None, answer.strip()


def token_parts(offsets: Sequence[tuple[int, int]], parts: Sequence[Boundary]) -> list[Part]:
    """The part of each token, from (start, end) character offsets as fast tokenizers report them: by first character.

    Several tokens of one character share its part. A later token never belongs to an earlier part: a token of no
    characters (some tokenizers report (0, 0) for what they insert) goes with the token before it.
    """
    found: list[Part] = []
    at = 0
    for start, _ in offsets:
        while at + 1 < len(parts) and parts[at + 1][0] <= start:
            at += 1
        found.append(parts[at][1])
    return found
