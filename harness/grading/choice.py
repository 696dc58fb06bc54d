r"""Grader for multiple choice: finds the one letter that a reply settles on.

Everything that declares a letter is collected, and the last declaration holds:

* a box: a letter (`\boxed{C}`, `\boxed{\text{(C)}}`, `\boxed{C. foo}`), an option's text, or its value (`\frac12` for
  1/2);
* what follows "the answer is" (also Chinese and others): a letter, an option's text or value;
* other wordings, "the correct option is B", "only (B) remains", "正解はB": the tables of `harness.grading.declared`.

A box does not outrank an answer line ("Answer: B") before it, unless the reply goes back on it; a box that holds a
formula (`Q = C \Delta T`, `A \to B`) names no option. Questions, conditions and denials declare nothing, and a letter
that is called wrong later ("it is not A") is no longer declared. Without any declaration:

1. a reply that is one option's text;
2. a reply that starts with a letter as a label: "C", "c", "C.", "(C) …", "**C**", "A. Because B is not valid";
3. the last letter that stands as a label: "(D)", "**D**";
4. the last capital letter standing alone, if it is no word of its sentence ("A", "I", "B its").

Several letters at once ("A and C", "either A or C") are an answer, but never a right one. Passed over are

* letters ruled out: "not A", "neither A nor B", "all except B", "B is wrong", "which excludes A", "D项过于绝对";
* labels of an option list: a run (A) … (B) … (C) in order, each at the start of a line or of a part of it;
* letters that belong to a name or a formula: "vitamin C", "plan B", "section C", "A-B", "$C = 2$".
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cache
from itertools import islice

from harness.answers import TAIL, after_answer_phrases, boxed_spans
from harness.errors import DataError
from harness.grading.base import InProcessGrader, boxed_reply, right, wrong
from harness.grading.choice_options import begins, by_text, by_value, labelled
from harness.grading.declared import (
    JOINT,
    RETRACTION,
    STRONG_RETRACTION,
    Declared,
    is_withdrawn,
    last_declaration,
    withdrawals,
    without_ruled_out,
)
from harness.sentences import math_segments
from harness.types import Extracted, Problem, Score

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_WRAPPERS = re.compile(r"\\(?:text|mathrm|textbf|mathbf|boxed|textrm|mathit|bf|rm)\s?\{?|[{}$]|\\[()\[\],;! ]|\\q?quad")
_OPERATOR = re.compile(
    r"[=<>^+|]|\\(?!text|mathrm|textbf|mathbf|boxed|textrm|mathit|bf|rm|quad|qquad)[a-zA-Z]+|_(?!_)|→"
)
_PROSE = re.compile(r"(?<![\\a-zA-Z])[a-zA-Z]{3,}")
_ANSWER_LINE = re.compile(
    r"(?im)^[ \t>#*_]{0,8}(?:the\s)?(?:final\s|correct\s)?answer\b[*_ \t]{0,4}:[*_ \t]{0,4}\n?\s{0,4}"
)
_BOXES = 16
"""How many boxes and answer phrases are looked at, from the last."""


@dataclass(frozen=True)
class _Patterns:
    """Compiled for one set of letters."""

    label: re.Pattern[str]
    start: re.Pattern[str]
    several: re.Pattern[str]
    alone: re.Pattern[str]
    named: re.Pattern[str]
    joined: re.Pattern[str]
    listed: re.Pattern[str]
    in_a_row: re.Pattern[str]


_NAMED = (
    "vitamin|plan|section|hepatitis|part|group|type|figure|fig|table|grade|class|appendix|chapter|phase|point|item|row"
    "|column|line|team|step|case|category|factor|page|unit|zone|level|series|version|influenza|exhibit|protein"
)
"""Words after which a letter is a name rather than an option."""
_CALLED = re.compile(
    r"\b(?i:vitamin|plan|hepatitis|influenza|protein|appendix|section|chapter|figure|table|grade|team)\s[A-Z]\b"
)
"""The same where a sentence says something about the letter: those that options are hardly called."""


@cache
def _patterns(letters: str) -> _Patterns:
    one = f"[{letters}]"
    either = f"[{letters}{letters.lower()}]"
    edge = r"(?![^\W_]|['’]|[-–]\w)"
    free = r"(?<![^\W_])(?<!['’])(?<!\w[-–])"
    begins = r"(?:^|(?<=[\n:;,.!?(|•*-])|(?<=[\n:;,.!?(|•*-]\s)|(?<=[:;,.!?]\s\s))"
    return _Patterns(
        label=re.compile(
            rf"\(({one})\)|\[({one})\]|\*\*\(?({one})\)?[.:]?\*\*|(?:^|\n)[ \t]*({one})[.)]?[ \t]*(?=\n|$)"
        ),
        start=re.compile(
            rf"\s*[*_`\"'>]{{0,3}}\s?(?:\(({either})\)"
            rf"|({either})(?=[*_`\"']{{0,3}}(?:[.):,。．、]|\s*$|\s*\n))|({one})(?=[^\x00-\x7f]))"
        ),
        several=re.compile(rf"\(?{one}\)?(?:{JOINT}\(?{one}\)?)+[.。]?", re.IGNORECASE),
        alone=re.compile(rf"{free}({one}){edge}"),
        named=re.compile(rf"\b(?i:{_NAMED})\s{{1,3}}{one}{edge}"),
        joined=re.compile(rf"{JOINT}\(?({one}){edge}(?!\s(?:is|was|does|would|has|can|being)\b)"),
        listed=re.compile(rf"(?P<bracket>\()({one})\)|{begins}({one})[.:)](?=\s|$)"),
        in_a_row=re.compile(rf"(?:\(({one})\)\s?|{free}({one})[.:)](?:\s|$)){{2,26}}"),
    )


def _fold(text: str) -> str:
    """Full-width letters and brackets as ASCII, without changing anything else's meaning."""
    return unicodedata.normalize("NFKC", text) if not text.isascii() else text


def find_letter(text: str, letters: str = "ABCDEFGHIJ", choices: tuple[str, ...] = ()) -> Extracted | None:
    """The letter that a reply settles on, or "A,C" for several at once; None if it names none.

    `letters`: the valid ones. `choices`: option texts in their order, to recognise one by its text or value.
    """
    patterns = _patterns(letters)
    body = patterns.in_a_row.sub(lambda row: _unless_in_order(row[0], letters), _fold(text[-TAIL:])).strip()
    prose = _without_formulas(body)
    whole = by_text(body, letters, choices) if len(body) > 1 else None
    if whole:
        return Extracted(whole, False)
    found = _boxes(body, patterns, letters, choices) + _phrases(body, patterns, letters, choices)
    withdrawn = withdrawals(prose, letters)
    said = last_declaration(_CALLED.sub(lambda name: " " * len(name[0]), prose), letters, withdrawn)
    found = [one for one in found if not is_withdrawn(one, withdrawn)]
    held = _last_held([*found, said] if said else found, prose)
    if held is not None:
        turned = _turned_to(prose, held, patterns, letters)
        return turned or Extracted(held.letters, held.explicit)
    if patterns.several.fullmatch(body):
        return Extracted(_joined(body, letters), False)
    letter = labelled(body, letters, choices) or _started(prose, patterns, letters)
    letter = letter or _mentioned(_without_option_list(prose, patterns, letters), patterns, letters)
    return Extracted(letter, False) if letter else None


def _unless_in_order(row: str, letters: str) -> str:
    """Labels that stand directly after each other are an option list if they count up from the first letter."""
    found = "".join(re.findall(f"[{letters}]", row))
    return " " if letters.startswith(found) else row


def _last_held(found: list[Declared], prose: str) -> Declared | None:
    """The last declaration; but a box yields to an answer line before it that nothing takes back."""
    if not found:
        return None
    last = max(found, key=lambda one: (one.end, one.start))
    line = max((one for one in found if one.line), key=lambda one: one.end, default=None)
    if last.box and line is not None and RETRACTION.search(prose, line.end, last.start) is None:
        return line
    return last


def _turned_to(prose: str, held: Declared, patterns: _Patterns, letters: str) -> Extracted | None:
    """The letter that a reply names after it took its last declaration back: "It's A. No, that is wrong. B."."""
    backs = list(islice(STRONG_RETRACTION.finditer(prose, held.end), _BOXES))
    letter = _mentioned(prose[backs[-1].end() :], patterns, letters) if backs else None
    return Extracted(letter, False) if letter else None


def _boxes(body: str, patterns: _Patterns, letters: str, choices: tuple[str, ...]) -> list[Declared]:
    """The last boxes that name an option; two of them joined by "and" are several letters."""
    found: list[Declared] = []
    for start, begin, end in boxed_spans(body)[: -_BOXES - 1 : -1]:
        letter = _letter_in_value(body[begin:end], patterns, letters, choices, box=True)
        if letter is None:
            continue
        if found and re.fullmatch(rf"[\s$}}.]*(?:{JOINT})?[\s$]*", body[end : found[-1].start]):
            both = _both(letter, found[-1].letters)
            found[-1] = Declared(start, found[-1].end, both, explicit=True, box=True)
        else:
            found.append(Declared(start, end, letter, explicit=True, box=True))
    return found


def _both(first: str, second: str) -> str:
    return ",".join(dict.fromkeys([*first.split(","), *second.split(",")]))


def _phrases(body: str, patterns: _Patterns, letters: str, choices: tuple[str, ...]) -> list[Declared]:
    """The last "the answer is …" that names an option."""
    lines = [match.end() for match in _ANSWER_LINE.finditer(body)]
    found = []
    for value, end in islice(after_answer_phrases(body), _BOXES):
        letter = _letter_in_value(value, patterns, letters, choices)
        start = end - len(value)
        by_words = labelled(body[start : start + 600], letters, choices) or begins(body[start:], letters, choices)
        letter = by_words or letter
        line = any(abs(start - place) <= 8 for place in lines)
        if letter is not None and (line or by_words or body[end : end + 1] != "?"):
            found.append(Declared(start, end, letter, explicit=True, line=line))
    return found


def _without_formulas(body: str) -> str:
    """The text, as long as before, without boxes and without formulas that are more than a letter."""
    spans = [(start, end + 1) for start, _, end in boxed_spans(body)]
    for start, end in math_segments(body):
        inner = body[start:end]
        if _OPERATOR.search(inner) and not _PROSE.search(re.sub(r"\\[a-zA-Z]+", "", inner)):
            spans.append((start, end))
    pieces, at = [], 0
    for start, end in sorted(spans):
        if start >= at:
            pieces += [body[at:start], " " * (min(end, len(body)) - start)]
            at = min(end, len(body))
    return "".join([*pieces, body[at:]])


def _started(prose: str, patterns: _Patterns, letters: str) -> str | None:
    """The letter that a reply starts with as a label, unless it is ruled out there or begins an option list."""
    label = patterns.start.match(prose)
    if label is None or patterns.joined.match(prose, label.end()):
        return None
    start = _first_group(label)
    unlisted = _first_group(patterns.start.match(_without_option_list(prose, patterns, letters)))
    kept = _first_group(patterns.start.match(without_ruled_out(prose, letters)))
    return start.upper() if start and start == unlisted == kept else None


def _mentioned(text: str, patterns: _Patterns, letters: str) -> str | None:
    """The last label, else the last lone capitals, that are neither ruled out nor part of a name."""
    remaining = patterns.named.sub(" ", without_ruled_out(text, letters))
    for pattern in (patterns.label, patterns.alone):
        last = None
        for match in pattern.finditer(remaining):
            joined = patterns.joined.match(remaining, match.end())
            if pattern is patterns.label or joined or not _is_word(remaining, match):
                last = match
        if last is not None:
            before = re.search(rf"\(?([{letters}])\)?{JOINT}\(?$", remaining[max(0, last.start() - 24) : last.start()])
            behind = patterns.joined.match(remaining, last.end())
            letter = _first_group(last) or ""
            letter = _both(before[1], letter) if before else letter
            return _both(letter, behind[1]) if behind else letter
    return None


def _without_option_list(body: str, patterns: _Patterns, letters: str) -> str:
    """The text without the labels of option lists: at least the first two letters, in order and written alike."""
    run: list[re.Match[str]] = []
    listed: list[tuple[int, int]] = []
    for match in patterns.listed.finditer(body):
        letter = _first_group(match)
        alike = not run or (match["bracket"] is None) == (run[-1]["bracket"] is None)
        if len(run) >= len(letters) or letter != letters[len(run)] or not alike:
            listed += [one.span() for one in run] if len(run) > 1 else []
            run = []
        if letter == letters[len(run)]:
            run.append(match)
    listed += [one.span() for one in run] if len(run) > 1 else []
    pieces, end = [], 0
    for start, stop in listed:
        pieces.append(body[end:start])
        end = stop
    return " ".join([*pieces, body[end:]])


def _joined(value: str, letters: str) -> str:
    """The letters of "A and C" as "A,C"."""
    return ",".join(re.findall(f"[{letters}]", value.upper().replace("AND", " ").replace("OR", " ")))


def _first_group(match: re.Match[str] | None) -> str | None:
    return None if match is None else next((group for group in match.groups() if group and group.isalpha()), None)


def _is_word(text: str, match: re.Match[str]) -> bool:
    """Whether a lone capital is part of a sentence rather than a label: the article "A", the pronoun "I", "B its"."""
    following = text[match.end() : match.end() + 9]
    verb = re.match(r"\s(?:is|was|because|since|as|and|or|not|but)\b", following)
    return re.match(r"\s[A-Za-z]", following) is not None and (match[1] == "I" or verb is None)


def _letter_in_value(
    value: str, patterns: _Patterns, letters: str, choices: tuple[str, ...], *, box: bool = False
) -> str | None:
    """The letter in what a box holds or an answer phrase is followed by."""
    plain = _bare(value)
    if patterns.several.fullmatch(plain):
        return _joined(plain, letters)
    lone = re.fullmatch(rf"\(?([{letters}{letters.lower()}])\)?[.:。]?", plain)
    if lone:
        return lone[1].upper()
    by_option = labelled(plain, letters, choices) or by_text(value, letters, choices)
    by_option = by_option or by_value(value, letters, choices)
    if by_option:
        return by_option
    if box and _OPERATOR.search(value) and not re.match(rf"\(?[{letters}](?:\)|[.:]\s)", plain):
        return None
    plain = plain if box else _prose_of(value) or plain
    start = _first_group(patterns.start.match(plain))
    several = re.match(
        rf"\(?[{letters}]\)?(?:{JOINT}\(?[{letters}]\)?(?![A-Za-z0-9'’]|\s(?:is|was|does|would|being)\b))+", plain
    )
    if several:
        return _joined(several[0], letters)
    if start and start in without_ruled_out(plain, letters)[:4]:
        return start.upper()
    remaining = patterns.named.sub(" ", without_ruled_out(plain, letters))
    for match in patterns.alone.finditer(remaining):
        if not _is_word(remaining, match):
            return match[1]
    return None


def _prose_of(phrase: str) -> str:
    """An answer phrase without its formulas and wrappers."""
    return _bare(_without_formulas(phrase))


def _bare(value: str) -> str:
    """What was declared, without the markup around it and the words before its letter."""
    plain = re.sub(r"\s+", " ", _WRAPPERS.sub(" ", value)).strip(" *_`\"'“”")
    plain = re.sub(r"^(?:(?i:the\s)?(?i:option|choice|letter|answer)|选项?)[ :]*", "", plain)
    return re.sub(r"^(?i:either|both)\s+", "", plain)


def _letters(problem: Problem) -> str:
    if len(problem.choices) > len(LETTERS):
        raise DataError(f"problem {problem.id!r} has {len(problem.choices)} options, more than there are letters")
    return LETTERS[: len(problem.choices)] if len(problem.choices) >= 2 else LETTERS[:10]


class ChoiceGrader(InProcessGrader):
    """See the module docstring."""

    name = "choice"
    release = "2"

    def extract(self, problem: Problem, answer_text: str) -> Extracted | None:
        """Find the letter that a reply settles on."""
        return find_letter(answer_text, _letters(problem), problem.choices)

    def grade(self, target: str, answer: str) -> Score:
        """Right if it is the target's letter."""
        gold = target.strip().strip("().").upper()
        if len(gold) != 1 or gold not in LETTERS:
            raise DataError(f"target {target!r} is not an option letter")
        return right(gold) if answer == gold else wrong(answer, f"{answer} is not {gold}")

    def wrong_text(self, problem: Problem) -> str:
        """The next letter in a box."""
        letters = _letters(problem)
        return boxed_reply(letters[(letters.index(problem.target.strip("(). ").upper()) + 1) % len(letters)])


GRADER = ChoiceGrader()
