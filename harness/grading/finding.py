"""Where a reply says its final value: boxes, "the answer is", a later correction, the last sentence that claims one.

Shared by the graders of numbers and of mathematics; what one sentence claims is decided in `harness.grading.claims`.
"""

from __future__ import annotations

import re
from itertools import islice

from harness.grading.claims import Claim, claim, claim_at_start, is_doubted, stated
from harness.sentences import math_segments, sentences

_TAIL = 8192
"""Characters from the end of a reply that are read as sentences."""
_SENTENCES = 32
"""How many sentences are asked, from the last, for one that claims something."""
_RETRACTED = re.compile(
    r"(?i)\b(?:(?:wait|hmm|hold\s+on|actually|sorry|oops)[,.!…—-]{0,3}\s*(?:no\b|that|this|I|it)|no,\s+(?:wait|that|it)|scratch\s+that"
    r"|(?:that|this|which)(?:['’]s|\s+is|\s+was)\s+(?:wrong|incorrect|not\s+(?:right|correct))|correction\b|on\s+reflection"
    r"|(?:made|is)\s+an?\s+(?:mistake|error)|must\s+correct)"
)
_REMARK = re.compile(
    r"\W*(?:(?:please\s)?note\b|notice\b|remember\b|recall\b|remark\b|check(?:ing)?\b|verif|to\s(?:check|verify)|double[\s-]check"
    r"|let\s(?:me|us)\s(?:check|verify))",
    re.IGNORECASE,
)
"""How a sentence begins that adds to an answer instead of giving it."""
_DENIED = re.compile(r"\?\s+(?:No\b|Not\b|Wait\b|Hmm)")
"""How a question is answered that holds a value."""
_MARK = re.compile(r"(?:^|(?<=\n))[ \t]{0,8}(?:\(?\d{1,2}[.)]|[-*•]|#{1,6})[ \t]+(?=\S)")
_LABEL = re.compile(
    r"\b(?:[Ss]teps?|[Pp]arts?|[Qq]uestions?|[Pp]roblems?|[Cc]ases?|[Ff]ig(?:ure|\.)?|[Tt]ables?|[Ee]q(?:uation|s|\.)?|[Ss]ections?"
    r"|[Tt]heorem|[Ll]emma|[Ee]xamples?|[Mm]ethods?)[ ]\(?\d{1,3}\)?(?!\d|[./,:]\d|\s?[=+*])"
)
_CALCULATION = re.compile(r"<<[^<>\n]{0,200}>>")


def last_claim(text: str) -> tuple[str, Claim] | None:
    """(sentence, claim) of the last sentence of running text that claims a value; symbols alone yield to values."""
    tail = _readable_tail(text)
    spoken = sentences(tail, math_segments(tail))
    second: tuple[str, Claim] | None = None
    for start, end in islice(reversed(spoken), _SENTENCES):
        sentence = tail[start:end]
        found = claim(sentence)
        if found is None or is_doubted(sentence) or _DENIED.match(tail, end):
            continue
        symbols = not any(value.numeric or value.named for value in found.values)
        if not (symbols and found.aside) and not _REMARK.match(sentence):
            return sentence, found
        second = second or (sentence, found)
    return second


def _readable_tail(text: str) -> str:
    """The end of a text from a line on, with labels ("Step 3"), list marks and calculator notes blanked out."""
    tail = text[-_TAIL:]
    if len(text) > _TAIL:
        cut = tail.find("\n")
        tail = tail[cut + 1 :] if 0 <= cut < _TAIL // 2 else tail
    tail = _CALCULATION.sub("", tail)
    tail = _MARK.sub(lambda mark: " " * len(mark[0]), tail)
    return _LABEL.sub(lambda label: re.sub(r"\d", " ", label[0]), plain(tail))


_STRONG = re.compile(r"</?(?:[a-z]{2,12}|[bipu])>|\*\*|__|`")
_WEAK = re.compile(
    r"(?<![\w)\]}*$\\])\*(?=[^\s*])|(?<=[^\s*])\*(?![\w(\[{*$\\])|(?<![^\s(*\"'])_(?=\S)|(?<=[^\s_])_(?=[\s.,;:!?)*]|$)"
)

_TIGHT = re.compile(r"(?<=[\d)}])(or|and)(?=[A-Z]?\(|[A-Za-z]=)")


def plain(text: str) -> str:
    """A text without Markdown emphasis; operators stay: `2**3`, `5*x`, `a_1`."""
    text = _STRONG.sub(lambda mark: mark[0] if _is_power(text, mark) else " " * len(mark[0]), text)
    return _TIGHT.sub(r" \1 ", _WEAK.sub(" ", text))


def _is_power(text: str, mark: re.Match[str]) -> bool:
    """Whether two stars raise to a power: tight between operands."""
    before, after = text[mark.start() - 1 : mark.start()], text[mark.end() : mark.end() + 1]
    return (
        mark[0] == "**"
        and (before.isalnum() or before == ")")
        and (after.isdigit() or after == "(")
        and not (text[mark.end() :][:40].find("**") >= 0)
    )


def corrected(rest: str) -> tuple[str, Claim] | None:
    """What a reply claims after it has taken its answer back: "Wait, no. It is 6."; None if it did not."""
    taken_back = None
    for match in _RETRACTED.finditer(rest[-_TAIL:]):
        taken_back = match
    return None if taken_back is None else last_claim(rest[-_TAIL:][taken_back.end() :])


def declared_after_box(behind: str) -> Claim | None:
    """A value that "the answer is" gives behind the last box of a reply, exactly and at once; the later word counts."""
    for statement, rest in stated(behind):
        turned = corrected(rest)
        found = turned[1] if turned else claim_at_start(plain(statement))
        if found is not None and found.readable:
            return found
    turned = corrected(behind)
    return turned[1] if turned and turned[1].readable else None
