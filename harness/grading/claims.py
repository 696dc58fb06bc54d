r"""Which of the values in a sentence it claims as its answer; the others are only mentioned.

"The answer is not 5", "less than 5", "between 4 and 5", "5 to 7" and "5 hours 20 minutes" hold a 5 that nobody claims.
In "the perimeter of triangle $PQR$ is 41", "$x=3+k$ with $k \in Z$" and "5 boxes for 20 people" one value is the
answer and the other its subject or its condition. The rules, for the values of one sentence:

1. values joined by commas, semicolons, "and" or "or" are one list; a list is claimed as a whole or not at all;
2. a denial ("not", "cannot", "neither", "except") or a bound ("less than", "at least", "between") before a value, with
   nothing new between, unclaims it;
3. a value behind "for", "with", "where", "because", "of the", "than" and their like, or followed by "more than", is a
   condition, a whole or a difference; it counts only if the sentence has no other;
4. directly behind "the answer is" the first value counts; else the last.

A value that is not readable as one (`harness.grading.values`) is claimed like any other, and answers nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import islice

from harness.answers import answer_phrases
from harness.grading.following import upright
from harness.grading.values import FoundValue, values
from harness.sentences import math_segments

_WINDOW = 80
"""Characters before a value that can change what it means."""
_PHRASES = 3
"""How many "the answer is" are asked, from the last, for one that claims something."""
MAX_SENTENCE = 4096
"""Longest sentence that is read, in characters, from its end."""
_DENIAL = (
    r"(?<![a-zA-Z])not\b|n['’]t\b|\bcannot\b|\bnever\b|\bneither\b|\bnor\b|\bexcept\b|\bexcluding\b|\bother\s+than\b"
    r"|\brather\s+than\b|\binstead\s+of\b|\banything\s+but\b|\bno\s+longer\b|\bfar\s+from\b|\bdifferent\s+from\b"
    r"|\bwrong\s+to\s+\w+|不是|并非|不等于"
)
_BOUND = (
    r"(?<![a-zA-Z])(?:less|greater|more|fewer|larger|smaller|bigger|higher|lower)\s+than\b|\bat\s+(?:least|most)\b|\bbetween\b"
    r"|(?<!adds\s)(?<!add\s)(?<!adding\s)(?<!sums\s)(?<!sum\s)(?<!comes\s)(?<!come\s)\bup\s+to\b"
    r"|\bexceeds?\b|\bbelow\b|\babove\b|\bunder\b|至少|至多|小于|大于"
)
_NEW_CLAIM = (
    r"[,;:.=\n—，。；：]|\b(?:but|so|hence|because|since|rather|instead|it\s+is|is\s+actually)\b|\bit['’]s\b|而是"
)
_UNCLAIMED_BEFORE = re.compile(
    rf"(?:{_DENIAL}|(?:{_BOUND})(?!.*\b(?:is|are|equals)\b))(?:(?!{_NEW_CLAIM}).){{0,40}}$", re.IGNORECASE | re.DOTALL
)
_FILLER = r"(?:\s|[$*(]|\\[(\[]|\b(?:be|is|equal|equals|to|exactly|the|a|it|value|of|answer|number)\b){0,8}"
_UNCLAIMED_JUST_BEFORE = re.compile(rf"(?:{_DENIAL}|{_BOUND}){_FILLER}$", re.IGNORECASE)
_NEGATED = re.compile(rf"(?:{_DENIAL}){_FILLER}$", re.IGNORECASE)
_DENIED_AFTER = re.compile(
    r"[\s$*]*(?:\w+\s+)?(?:(?:is|are|was|were)\s+(?:not\s+(?:(?:the|an?|our)\s+"
    r"(?:answer|solution|root|valid)|correct|right|possible|valid|allowed|it\b|what)|wrong"
    r"|incorrect|impossible|excluded|too\s+(?:small|large|big|low|high|many|few)|invalid)"
    r"|isn['’]t\s+(?:the|an?|right|correct|valid|possible)"
    r"|(?:cannot|can['’]t)\s+be\s+(?:right|correct|it|the)|(?:does\s+not|doesn['’]t)\s+(?:work|satisfy|fit|hold|count)|fails)\b",
    re.IGNORECASE,
)
_CHANGED = re.compile(
    r"\b(?:(?:square|cube|fourth|one[\s-](?:third|half|fourth|fifth))\s+of|roots?\s+of|twice|thrice|double|triple"
    r"|half(?:\s+of)?|(?:thirds?|quarters?|fifths?|sixths?|eighths?|tenths?|hundredths?)\s+of|(?:reciprocal|inverse|opposite|logarithm"
    r"|log|factorial|negative)\s+of|(?:two|three|four|five|six|seven|eight|nine|ten|a\s+hundred|\d\s)\s*times"
    r"|(?:multiples?|divisors?|factors?)\s+of|divisible\s+by|(?:greater|less|smaller|larger|differs)\s+by)\s+(?:the\s+)?[$\\(]*$",
    re.IGNORECASE,
)
"""Words that make another value of the number behind them."""
_INSTEAD = re.compile(
    r"[^.]{0,40}\bbut\s+(?:it|that|the\s+\w+)(?:['’]s|\s+(?:is|was|equals))\s+(?:actually\s|really\s)?[$\\(]*$"
)
_UNREAL = re.compile(
    r"[^.;]{0,40}?\bif\b[^.;]{0,60}\b(?:were|had|wasn['’]t|weren['’]t|otherwise|else)\b"
    r"|[^.;]{0,80}\botherwise\b"
    r"|\s+(?:\w+\s)?(?:more|fewer|less|greater|larger|smaller|higher|lower)\s+than\s+[$\\(]{0,2}[\d.,]*\d[$)]{0,2}(?=\W*$)"
    r"|\s+of\s+[$\\(]{0,2}[\d.,]*\d[$)]{0,2}(?=\W*$)"
)
_SIGN = re.compile(r"\b(?:minus|negative)\s+(?=[$\\(]{0,2}[\d.]|\\frac|\$\\frac)", re.IGNORECASE)
_TEXT = re.compile(r"\\(?:text|mathrm|textbf|mathbf|mbox|textrm)\s?\{([^{}]{0,200})\}")

_AND = r"(?:\band\b|\bor\b|\\text\s?\{\s?(?:and|or),?\s?\}|&|和|或者?|与|以及|及|\bet\b|\bou\b|\bund\b|\boder\b|\by\b)"
_THE_OTHER = r"(?:(?:the\s+)?(?:other|second|third|another)(?:\s\w+)?\s(?:is|equals|being)|[a-z]\s(?:is|equals))\s"
_NAMED_UNIT = r"(?:\s?(?!(?:and|or|is|are|was|so|if|for)\b)[a-z]{2,14}\.?){0,2}"
_COMMA = re.compile(rf"(?P<unit>{_NAMED_UNIT})[\s~]*[,;，、；][\s~]*")
_JOINED = re.compile(rf"(?P<unit>{_NAMED_UNIT})[\s~]*[,;，；]?[\s~]*{_AND}[\s~]*(?:also\s|then\s)?(?:{_THE_OTHER})?")
_THEN_UNIT = re.compile(r"\s?[a-z]{2,14}\s*(?:[,;.]|and\b|or\b|$)")
_DATE = re.compile(
    r"(?:^|[\s(])(?:in|on|by|since|after|before|at|from|day|year|until|during|week)\s[$]?$", re.IGNORECASE
)
_DOUBT = re.compile(
    rf"(?:{_DENIAL}|\bwrong\b|\bincorrect\b|\bdoubt\b|\bmistak\w+|\bsome\s+(?:say|think|claim)"
    rf"|\b(?:might|could|would|may)\s+(?:first\s)?(?:think|say|guess|believe|assume)|\bthought)(?:(?!{_NEW_CLAIM}|[?!]).){{0,40}}$",
    re.IGNORECASE | re.DOTALL,
)
_DISMISSED = re.compile(
    r"\bbut\s+(?:that|this|it)(?:['’]s|\s+is|\s+was|\s+would\s+be)\s+(?:wrong|incorrect|not\s+(?:right|correct|true|it)|false)"
)
_SIDE = (
    r"(?!(?:for|with)\s+a\s+total|on\s+average|in\s+total|in\s+all|at\s+all)(?:(?<!up\s)(?<!left\s)(?<!us\s)with|where|when|whenever|for|since|because|as|if"
    r"|given|provided|assuming|such\s+that|after|before|than|which|who|while|per|every|at|on|over|in|by|from|using|via|whose"
    r"|satisfying|corresponding|due\s+to|among|modulo|d['’]ici|pour|apr[èe]s|dans|pendant|chez|para|por|durante|despu[ée]s"
    r"|f[üu]r|nach|mit|bei|(?<!has\s)(?<!have\s)(?<!had\s)(?<!need\s)(?<!needs\s)(?<!going\s)(?<!able\s)to\s+"
    r"(?!be|get|make|give|equal|a\b|the\b)[a-z]{3,})"
)
_BOUNDARY = (
    r"so|thus|hence|therefore|then|giving|gives?|yields?|leaving|leaves?|meaning|means|implies|implying|is|are|was|were|be"
    r"|equals?|get|gets|obtain|has|have|had|makes?|becomes?|totals?|needs?|which\s+(?:is|equals|gives|means|yields|makes)|costs?"
)
_LONE_LETTER = re.compile(r"(?:\b(?:is|equals|be|to|get|obtain)\s|=\s?)((?![aAI])[A-Za-z])\W*$")
_TURN = re.compile(rf"\b(?:(?P<boundary>{_BOUNDARY})|(?P<side>{_SIDE}))\b|[=≈→⇒]", re.IGNORECASE)
_RENEWED = re.compile(
    rf"[;,]?\s(?:{_AND}\s+)?(?:so|thus|hence|therefore|then|which|that\s+is|the\s+answer|rounded|i\.e)\b|≈|approx|[:=]\s*$"
    r"|\b(?<!that\s)(?:is|are|equals?|makes|gives|leaves|gets)\s+(?:\w+ly\s)?[$\\(]*$",
    re.IGNORECASE,
)
"""What announces a value of its own behind a result in the same sentence."""
_PART = re.compile(
    r"\b(?:(?<!total )(?<!sum )(?<!average )(?<!profit )of|(?:to|into)(?=\s+(?:the|these|those|his|her|their)\b))\s+"
    r"(?:(?:the|these|those|his|her|their|its|all|our|my|which|such|each)\s+){0,2}[$(\\]{0,2}$",
    re.IGNORECASE,
)
_DIFFERENCE = re.compile(
    r"\s+(?:\w+\s+){0,1}(?:more|fewer|less|greater|larger|smaller|higher|lower|as\s+many|as\s+much)\b(?:\s+\w+)?\s+(?:than|as)\b"
)
_PLAIN_NAME = re.compile(r"\s*\\?[A-Za-z]+(?:_\{?\w+\}?)?(?:\s?\([^()=]*\))?\s*")
_LEADING = re.compile(
    r"(?:[\s:=≈~*_\"“'(\[>,\-–]|\b(?:exactly|approximately|approx\.?|about|around|roughly|nearly|just|simply|only|that|indeed|clearly"
    r"|therefore|thus|then|hence|given\s+by|equal\s+to|equals|found\s+to\s+be|a\s+total\s+of|the|an?|either|both|number|value|is|are"
    r"|be|No\.|nos?\.|maybe|probably|actually|now|obviously|certainly|precisely|almost|ca\.?|there|we\s+get|we\s+have|it|it['’]s)(?=[\s:.$\\]))*",
    re.IGNORECASE,
)
_ROUNDED = re.compile(r"≈|~|\\approx|\b(?:about|approx|around|roughly|nearly|almost)", re.IGNORECASE)
_EQUATES = re.compile(
    r"\s*(?:,\s*)?(?:is|equals|is\s+equal\s+to|which\s+is|gives|makes|comes\s+to|becomes)\s*[:=]?\s*", re.IGNORECASE
)
_SO = re.compile(r"\b(?:so|thus|hence|therefore|giving|which\s+gives|so\s+that)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Claim:
    """What a sentence claims: one value, or several that are one list."""

    values: tuple[FoundValue, ...]
    aside: bool = False
    """Whether it is only a condition or a part, for want of a better one."""

    @property
    def readable(self) -> bool:
        """Whether each of its values can be read as one."""
        return all(value.readable for value in self.values)

    @property
    def tex(self) -> str:
        """As LaTeX; lists with commas, units upright."""
        return ", ".join(value.tex + (upright(value.unit) if value.unit else "") for value in self.values)


def plain_clause(clause: str) -> str:
    r"""A clause with `\text{}` opened, and "minus 7" or "negative 7" written as -7.

    A number before the "minus" means that something is subtracted; then it stays.
    """
    return signed(_TEXT.sub(r" \1 ", clause))


def signed(clause: str) -> str:
    """A clause with "minus 7" and "negative 7" as -7."""
    return _SIGN.sub(lambda sign: sign[0] if re.search(r"\d\s*$", clause[: sign.start()][-8:]) else "-", clause)


def claim(sentence: str, *, direct: bool = False, formula: bool = False) -> Claim | None:
    """What a sentence claims, or None. `direct`: it follows "the answer is", so that a value at its start counts first.

    `formula`: it is what a box holds, where spaces and a final exclamation mark are mathematics.
    """
    sentence = signed(sentence[-MAX_SENTENCE:])
    formulas = math_segments(sentence)
    groups = _lists(sentence, values(sentence, formulas, formula=formula))
    if not groups:
        letter = None if formula else _LONE_LETTER.search(sentence)
        return Claim((FoundValue(letter.start(1), letter.end(1), letter[1], numeric=False),)) if letter else None
    if direct:
        first = _first(sentence, groups)
        if first is not None:
            return first
    return _main(sentence, [group for group in groups if not _is_denied(sentence, group, wide=direct)], groups)


def _main(sentence: str, groups: list[Claim], spoken: list[Claim]) -> Claim | None:
    """The last of the claims that are not denied; asides, and what follows a result without being one, come last."""
    results = [group for group in groups if _is_result(sentence, group)]
    since = results[-1].values[-1].end if results else 0
    ends = [0, *(group.values[-1].end for group in spoken)]
    second: Claim | None = None
    for group in reversed(groups):
        if results and group is results[-1]:
            return group
        start = group.values[0].start
        before = max(end for end in ends if end <= start)
        aside = _is_aside(sentence, group, before, initial=before == 0)
        if not aside and (not results or (start > since and _RENEWED.search(sentence[since:start]))):
            return group
        if second is None or _DIFFERENCE.match(sentence, group.values[-1].end):
            second = Claim(group.values, aside=True)
    return second


def _is_result(sentence: str, group: Claim) -> bool:
    """Whether a claim is what a calculation comes to: "3 + 4 = 7", "11 dollars - 9 dollars = 2"."""
    last = group.values[-1]
    if not last.numeric or len(group.values) > 1:
        return False
    before, equals, _ = last.tex.rpartition("=")
    if equals:
        return (
            re.search(r"\d", before) is not None and re.search(r"[a-wyzA-Z]", re.sub(r"\\[a-z]+", "", before)) is None
        )
    return re.search(r"[\d\w)] ?= ?\$?$", sentence[: group.values[0].start]) is not None


def claim_at_start(sentence: str) -> Claim | None:
    """What a sentence claims with its first words, exactly; None if other words, or "approximately", stand there."""
    sentence = signed(sentence[-MAX_SENTENCE:])
    groups = _lists(sentence, values(sentence, math_segments(sentence)))
    found = _first(sentence, groups) if groups else None
    if found is None or _ROUNDED.search(sentence[: found.values[0].start]):
        return None
    return found


def _first(sentence: str, groups: list[Claim]) -> Claim | None:
    """The value at the start of what follows "the answer is", or what it is said to equal; None if words are there."""
    group = groups[0]
    opening = _LEADING.match(sentence)
    if opening is None or opening.end() < group.values[0].start or _is_denied(sentence, group, wide=True):
        return None
    symbolic = not any(value.numeric or value.named for value in group.values)
    for following in groups[1:]:
        between = sentence[group.values[-1].end : following.values[0].start]
        if (_EQUATES.fullmatch(between) or _INSTEAD.match(between)) and not _is_denied(sentence, following, wide=True):
            return following
        break
    if len(groups) > 1 and all(value.named for value in group.values):
        last = groups[-1]
        if _SO.search(sentence[group.values[-1].end : last.values[0].start]) and not _is_denied(
            sentence, last, wide=True
        ):
            return last
    if symbolic and len(groups) > 1:
        turn = _TURN.search(sentence[group.values[-1].end : groups[1].values[0].start])
        return group if turn is None or turn.lastgroup == "side" else None
    return group


def _lists(sentence: str, found: list[FoundValue]) -> list[Claim]:
    """The values of a sentence, those that are joined to a list together."""
    groups: list[list[FoundValue]] = []
    for number, value in enumerate(found):
        if groups and _is_joined(sentence, groups[-1], value, found[number + 1 : number + 2]):
            groups[-1].append(value)
        else:
            groups.append([value])
    return [Claim(tuple(_spoken(sentence, value) for value in group)) for group in groups]


def _spoken(sentence: str, value: FoundValue) -> FoundValue:
    """A value that words before it change ("half of 6"), or that holds only if something else did, answers nothing."""
    changed = _CHANGED.search(sentence[max(0, value.start - _WINDOW) : value.start])
    if _is_result(sentence, Claim((value,))):
        return value
    if changed or _UNREAL.match(sentence, value.end):
        return replace(value, readable=False)
    return value


def _is_joined(sentence: str, group: list[FoundValue], value: FoundValue, following: list[FoundValue]) -> bool:
    last = group[-1]
    between = sentence[last.end : value.start]
    joined = _JOINED.fullmatch(between)
    comma = None if joined else _COMMA.fullmatch(between)
    found = joined or comma
    if found is None:
        return False
    if found["unit"].strip() and not last.unit and not value.unit and not _THEN_UNIT.match(sentence[value.end :]):
        return False
    if last.named and value.named and _has_name(last) and not _has_name(value):
        return False
    if comma is None or len(group) > 1:
        return True
    before = sentence[max(0, last.start - _WINDOW) : last.start]
    turn = next(reversed(list(_TURN.finditer(before))), None)
    opens = turn is not None and re.fullmatch(
        r"\W*(?:(?:so|thus|hence|then|and|now|but|that)\W+)?", before[: turn.start()], re.I
    )
    if turn is not None and turn.lastgroup == "side" and opens and not re.search(r"[,;]", before[turn.end() :]):
        return False
    if _PART.search(before):
        return False
    return _DATE.search(before) is None


def predicate(sentence: str, found: Claim) -> str:
    """What stands behind the last verb, preposition or equals sign before a claim, the claim included."""
    start = found.values[0].start
    turns = list(_TURN.finditer(sentence, max(0, start - 4 * _WINDOW), start))
    return sentence[turns[-1].end() if turns else 0 :].strip(" :,")


def _has_name(value: FoundValue) -> bool:
    """Whether an equation names its value: "x = 3", not "a + b = 3"."""
    return _PLAIN_NAME.fullmatch(value.tex.partition("=")[0]) is not None


def _is_denied(sentence: str, group: Claim, *, wide: bool) -> bool:
    """Whether the words before a claim deny or bound it, or those behind it do."""
    start = group.values[0].start
    before = sentence[max(0, start - _WINDOW) : start]
    pattern = _UNCLAIMED_BEFORE if wide else _UNCLAIMED_JUST_BEFORE
    if _is_result(sentence, group):
        pattern = _NEGATED
    return pattern.search(before) is not None or _DENIED_AFTER.match(sentence, group.values[-1].end) is not None


def _is_aside(sentence: str, group: Claim, since: int, *, initial: bool) -> bool:
    """Whether a claim is a condition ("for 20 people"), a whole ("of the 8") or a difference ("2 more than")."""
    first, last = group.values[0], group.values[-1]
    if last.numeric and _DIFFERENCE.match(sentence, last.end):
        return True
    between = sentence[max(since, first.start - 4 * _WINDOW) : first.start]
    if _PART.search(between):
        return True
    turn = next(reversed(list(_TURN.finditer(between))), None)
    return turn is not None and turn.lastgroup == "side" and not (initial and "," in between[turn.end() :])


def stated(text: str) -> list[tuple[str, str]]:
    """What follows the last few "the answer is", the last first, each with the text after it."""
    asserted = ((value, text[end:]) for value, start, end in answer_phrases(text) if not _is_doubted(text, start, end))
    return list(islice(asserted, _PHRASES))


def is_doubted(sentence: str) -> bool:
    """Whether a sentence of running text says "the answer is" only to deny it."""
    return any(_is_doubted(sentence, start, end) for _, start, end in answer_phrases(sentence))


def _is_doubted(text: str, start: int, end: int) -> bool:
    """Whether "the answer is" stands in a question, behind a denial ("I don't think that"), or in another's mouth."""
    before = text[max(0, start - _WINDOW) : start].rsplit("\n", 1)[-1]
    if _DOUBT.search(before) or _DISMISSED.search(text[start:end]):
        return True
    return text[end : end + 1] == "?" and re.match(r"\?\W*(?:No\b|Not\b|Wait\b|Hmm)", text[end : end + 12]) is not None
