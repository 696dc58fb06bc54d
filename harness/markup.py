"""The table of reasoning markups: how models set off their thoughts from their answers. Data, in this one place.

Splitting a reply, telling that it was cut, the format checks, the segments of training data and the decoding of special
tokens all read this table, so that a thought is a thought everywhere. A row more is a markup more. What is not in the
table is never guessed; `unknown_markup` says that a reply seems to hold some, and the option `think_markup` of an
engine adds it for one model ("<mull>…</mull>").
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

_LONGEST = 64
"""Characters of a tag that a user may name."""


@dataclass(frozen=True, slots=True)
class Markup:
    """One way of setting off a thought. Tags are literal text."""

    opens: tuple[str, ...]
    """Tags that begin a thought."""
    closes: tuple[str, ...]
    """Tags that end it, or that begin the answer; the first belongs to the first of `opens`, and so on."""
    ends: tuple[str, ...] = ()
    """What a model writes after its answer in this markup; no part of the answer."""
    any_case: bool = False
    leads: bool = False
    """Its opening tag counts only at the very start of a reply: its words are ones that an answer may hold."""
    prose: bool = False
    """Words in place of tags: one thought, which begins the reply, and the answer's cue, which begins a line if any of
    its kind does. Without the cue only a reply that was cut is a thought."""
    tokens: tuple[str, ...] = ()
    """The special tokens that its tags are made of, where a tag is several; the first tells that a tokenizer has them.
    Empty: the tags themselves."""

    def opening_of(self, closing: str) -> str | None:
        """The opening tag that a closing tag needs before it; None for one that can begin an answer by itself."""
        text = closing.lower() if self.any_case else closing
        pairs = dict(zip(self.closes, self.opens, strict=False))
        return pairs.get(text)


_FINAL = ("<|channel|>final<|message|>", "<|channel|>final <|constrain|>json<|message|>")

TABLE: tuple[Markup, ...] = (
    Markup(("<think>", "<thinking>"), ("</think>", "</thinking>"), any_case=True),
    Markup(("<thought>",), ("</thought>",), any_case=True, leads=True),
    Markup(("<reasoning>",), ("</reasoning>",), any_case=True, leads=True),
    Markup(("[THINK]",), ("[/THINK]",)),
    Markup(("◁think▷",), ("◁/think▷",)),
    Markup(("<seed:think>",), ("</seed:think>",)),
    Markup(("<|begin_of_thought|>",), ("<|end_of_thought|>", "<|begin_of_solution|>"), ("<|end_of_solution|>",)),
    Markup(("<|START_THINKING|>",), ("<|END_THINKING|>", "<|START_RESPONSE|>"), ("<|END_RESPONSE|>",)),
    Markup(
        ("<|channel|>analysis<|message|>", "<|channel|>commentary<|message|>"),
        tuple(f"{turn}{final}" for turn in ("<|end|><|start|>assistant", "<|start|>assistant", "") for final in _FINAL),
        ("<|return|>", "<|end|>"),
        tokens=("<|channel|>", "<|message|>", "<|start|>", "<|end|>", "<|constrain|>"),
    ),
    Markup(("My thought:",), ("My answer:",), prose=True),
)
"""In order: R1, Qwen3 and most others; EXAONE; papers on reinforcement; Magistral; Kimi; Seed; Sky-T1 and OpenThinker;
Command A; gpt-oss; CoTD-PO."""
PROSE = next(row for row in TABLE if row.prose)


@dataclass(frozen=True, slots=True)
class Tag:
    """A tag in a text."""

    start: int
    end: int
    opens: bool
    row: Markup


def parse_markup(text: str) -> tuple[Markup, ...]:
    """What an option names: "<mull>…</mull>", several separated by commas; "..." stands for "…" too. "" is none.

    Raises `ValueError` that says what is wrong.
    """
    return tuple(_parse_one(part.strip()) for part in text.split(",") if part.strip())


def _parse_one(text: str) -> Markup:
    opening, dots, closing = text.replace("...", "…").partition("…")
    opening, closing = opening.strip(), closing.strip()
    if not dots or not opening or not closing or "…" in closing:
        raise ValueError(f"reasoning markup is an opening and a closing tag, as in '<mull>…</mull>', not {text[:80]!r}")
    if opening == closing:
        raise ValueError(f"opening and closing tag of a reasoning markup must differ, both are {opening[:80]!r}")
    if max(len(opening), len(closing)) > _LONGEST or not (opening + closing).isprintable():
        raise ValueError(f"a tag of a reasoning markup has at most {_LONGEST} characters, all printable")
    return Markup((opening,), (closing,))


@lru_cache(maxsize=64)
def named(markup: str) -> tuple[Markup, ...]:
    """What a completion's `markup` names; raises as `parse_markup`."""
    return parse_markup(markup)


def find_tags(text: str, markup: str = "") -> list[Tag]:
    """Every tag of the table and of `markup` in a text, in order; words in place of tags (`Markup.prose`) are none."""
    pattern, known = _tags(markup)
    found: list[Tag] = []
    for match in pattern.finditer(text):
        row, opens = known.get(match[0]) or known[match[0].lower()]
        found.append(Tag(match.start(), match.end(), opens, row))
    return found


@lru_cache(maxsize=64)
def _tags(markup: str) -> tuple[re.Pattern[str], dict[str, tuple[Markup, bool]]]:
    """A pattern that finds all tags, and what each of them is."""
    known: dict[str, tuple[Markup, bool]] = {}
    forms: dict[str, str] = {}
    for row in (*named(markup), *TABLE):
        if row.prose:
            continue
        for opens, tags in ((True, row.opens), (False, row.closes)):
            for tag in tags:
                known.setdefault(tag, (row, opens))
                rest = re.escape(tag[1:])
                forms.setdefault(tag, re.escape(tag[0]) + (f"(?i:{rest})" if row.any_case else rest))
    # The longest first; each begins with a plain character, by which the search is quick.
    return re.compile("|".join(forms[tag] for tag in sorted(forms, key=len, reverse=True))), known


def opening_at_end(text: str, markup: str = "") -> str:
    """The closing tag of the thought that a prompt opens at its very end (its template does); "" if it opens none."""
    end = text.rstrip()[-2 * _LONGEST :]
    tags = find_tags(end, markup)
    if not tags or not tags[-1].opens or tags[-1].end != len(end):
        return ""
    return closing_of(tags[-1], end)


def closing_of(tag: Tag, text: str) -> str:
    """The closing tag that belongs to an opening one."""
    written = text[tag.start : tag.end]
    same = [other.lower() == written.lower() for other in tag.row.opens]
    place = same.index(True)
    return tag.row.closes[place if len(tag.row.opens) == len(tag.row.closes) else 0]


def tag_tokens(special: Iterable[str], markup: str = "") -> frozenset[str]:
    """Those of a tokenizer's special tokens that tags are made of: they are text to keep, not control characters."""
    own = {token.strip(): token for token in special}
    kept: set[str] = set()
    for row in (*TABLE, *named(markup)):
        tokens = row.tokens or (*row.opens, *row.closes, *row.ends)
        if row.tokens and row.tokens[0] not in own:
            continue  # "<|end|>" alone ends a turn in many templates
        if row.any_case:
            kept.update(token for name, token in own.items() if name.lower() in tokens)
        else:
            kept.update(own[name] for name in tokens if name in own)
    return frozenset(kept)


# --- what is not in the table ---------------------------------------------------------------------------------------

_ORDINARY = re.compile(
    "(?:final_?)?answer|final|response|output|result|solution|code|tool_call|function|html|svg|xml|body|head|main|div|p|b|"
    "i|u|em|strong|span|table|ul|ol|pre|h[1-6]|details|summary|a|center|br|sub|sup|article|section",
    re.IGNORECASE,
)
"""Names of tags in which replies put what is no thought."""
_LEADING = re.compile(
    r"\s{0,64}(?:<([A-Za-z][\w:-]{0,40})>|\[([A-Z][A-Z_-]{1,40})\]|<\|([A-Za-z][\w ]{0,40})\|>|◁(\w{1,40})▷)"
)
_ORPHAN = re.compile(r"</(\w{0,20}(?:think|thought|reason|reflect|ponder|scratch|monolog)\w{0,20})>", re.IGNORECASE)
_FLAT_CHANNEL = re.compile(r"\s{0,64}analysis(?=\S|\s).*assistantfinal", re.DOTALL)
_MORE = re.compile(r"\s{0,64}\S")


def unknown_markup(text: str) -> str | None:
    """What looks like a thought's markup that is not in the table, as a user would name it; None if nothing does.

    For an answer in which no markup was found: a pair of tags that begins it, with text behind, or the closing tag
    alone.
    """
    if _FLAT_CHANNEL.match(text):
        return "analysis…assistantfinal"
    leading = _LEADING.match(text)
    if leading is not None:
        angle, bracket, pipe, triangle = leading.groups()
        name = angle or bracket or pipe or triangle
        for closing in _closings(angle, bracket, pipe, triangle):
            at = text.rfind(closing, leading.end())
            if not _ORDINARY.fullmatch(name) and at >= 0 and _MORE.match(text, at + len(closing)):
                return f"{leading[0].strip()}…{closing}"
    orphan = _ORPHAN.search(text)
    if orphan is not None and _MORE.match(text, orphan.end()):
        return f"<{orphan[1]}>…</{orphan[1]}>"
    return None


def _closings(angle: str | None, bracket: str | None, pipe: str | None, triangle: str | None) -> tuple[str, ...]:
    if angle is not None:
        return (f"</{angle}>",)
    if bracket is not None:
        return (f"[/{bracket}]",)
    if triangle is not None:
        return (f"◁/{triangle}▷",)
    assert pipe is not None
    paired = (
        ("begin", "end"),
        ("start", "end"),
        ("Begin", "End"),
        ("Start", "End"),
        ("START", "END"),
        ("BEGIN", "END"),
    )
    swapped = tuple(pipe.replace(one, other, 1) for one, other in paired if one in pipe)
    return tuple(f"<|{name}|>" for name in (*swapped, f"/{pipe}", f"end_{pipe}", f"end_of_{pipe}"))
