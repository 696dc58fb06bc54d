r"""From a reply, its thought cut off by `harness.reasoning`, to the answer in it: boxed, phrased, numeric, JSON.

Why one module: truncated thoughts graded as answers, and graders that disagree about what was answered, are the two
commonest ways in which evaluation tools report wrong scores. Every grader and format check reads replies through here.

Everything runs in linear time on hostile text and looks for a final answer only in the last `TAIL` characters.
No text is ever evaluated.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import TypeAlias

from harness.sentences import first_sentence
from harness.types import Json

TAIL = 262_144
"""Characters from the end of a reply in which a final answer is looked for: several times the longest real reply."""
MAX_JSON = 1_048_576
"""Longest JSON reply that is parsed, in characters."""
MAX_JSON_DEPTH = 64
"""Deepest nesting of a JSON reply that is parsed."""

# --- boxed --------------------------------------------------------------------------------------------------------

_BOX = r"(?:\\(?:(?:begin)?boxed|f(?:rame)?box)|\x08oxed)"
"""LaTeX box commands; "\\b" + "oxed" is what remains when a reply went through a JSON string without escaping."""
_BOX_START = re.compile(_BOX)
_BOX_TOKEN = re.compile(rf"(?P<box>{_BOX}\s{{0,8}}\{{)|\\.|[{{}}]", re.DOTALL)
_BOX_BARE = re.compile(rf"{_BOX}[ \t]{{1,8}}(?P<bare>[^\s\\${{}}]{{1,64}})")
_BOX_JOINT = re.compile(
    r"(?:\s|[,;&:]|\$|\\[()\[\];,!: ]|\\q?quad(?![a-zA-Z])|\\text\{[^{}]{0,40}\}"
    r"|(?<![a-zA-Z])[a-zA-Z](?:_\{?\w\}?)?\s?=|\bis\b"
    r"|(?<![\\\w])[a-z]{1,12}\b){1,32}"
)
"""What may stand between the boxes of one list: separators, names ("q ="), a few words ("papers and")."""
_BOX_LIST = re.compile(r"[,;&]|\band\b|\bor\b|\\q?quad|和|或")
_BOX_STEP = re.compile(
    r"\b(?:so|thus|hence|then|therefore|gives?|get|because|since|but|wrong|not|i\.?e|which|that|means|equivalently|now|next|finally)\b"
)
_BOX_NAME = re.compile(r"(?<![\\\w])(\\?[a-zA-Z]+(?:_\{?\w+\}?)?(?:\([a-z\d]\))?)\s?=\s?\$?$")


def boxed_spans(text: str) -> list[tuple[int, int, int]]:
    r"""Complete outermost boxes in the tail of a text, in order: (start, content start, content end)."""
    offset = max(0, len(text) - TAIL)
    marks = [found for found in (text.find("box", offset), text.find("\x08oxed", offset)) if found >= 0]
    first = _BOX_START.search(text, max(offset, min(marks) - len("\\frame"))) if marks else None
    if first is None:
        return []
    offset = first.start()
    spans: list[tuple[int, int, int]] = []
    open_braces: list[tuple[int, int] | None] = []
    for token in _BOX_TOKEN.finditer(text, offset):
        if token["box"] is not None:
            open_braces.append((token.start(), token.end()))
        elif token[0] == "{":
            open_braces.append(None)
        elif token[0] == "}" and open_braces:
            opened = open_braces.pop()
            if opened is None:
                continue
            while spans and spans[-1][0] > opened[0]:
                spans.pop()
            spans.append((opened[0], opened[1], token.start()))
    for bare in _BOX_BARE.finditer(text, offset):
        spans.append((bare.start(), bare.start("bare"), bare.end("bare")))
    spans.sort()
    return spans


def last_boxed(text: str) -> str | None:
    r"""Content of the last complete box: `\boxed{…}` with balanced braces, `\fbox{…}`, or `\boxed 7`.

    None if there is no complete box; "" for an empty one. A box directly inside a box is unwrapped.
    """
    spans = boxed_spans(text)
    return _content(text, spans[-1]) if spans else None


def last_boxed_group(text: str) -> tuple[str, ...]:
    r"""The last run of boxes that are one list: `\boxed{1}, \boxed{2}` is ("1", "2"), with names `p=\boxed{4}` "p=4".

    Separators, names and a few words may stand between two boxes of a list, but no step from one to the other ("so").
    """
    return boxes_and_rest(text)[0]


def boxes_and_rest(text: str) -> tuple[tuple[str, ...], str]:
    """The last run of boxes that are one list, as `last_boxed_group` gives it, and the text behind it."""
    spans = boxed_spans(text)
    if not spans:
        return (), text
    group = [spans[-1]]
    for span in reversed(spans[:-1]):
        between = text[_closed(text, span) : group[-1][0]]
        if len(between) > 80 or "\n\n" in between or _BOX_JOINT.fullmatch(between) is None:
            break
        if _BOX_LIST.search(between) is None or _BOX_STEP.search(between):
            break
        group.append(span)
    contents = [_content(text, span) for span in reversed(group)]
    if len(group) == 1 and contents[0]:
        contents = [
            _within_formula(
                text[max(0, group[0][0] - 40) : group[0][0]], contents[0], text[_closed(text, group[0]) :][:40]
            )
        ]
    if len(group) > 1:
        names = [_BOX_NAME.search(text, max(0, span[0] - 24), span[0]) for span in reversed(group)]
        if all(names) and len({name[1] for name in names if name}) == len(names):
            contents = [f"{name[1]}={content}" for name, content in zip(names, contents, strict=True) if name]
    return tuple(contents), text[_closed(text, spans[-1]) :]


_BOX_LEAD = re.compile(
    r"(?:[=≈$&]|\\(?:approx|Rightarrow|implies|to|therefore)\s?|\\[(\[])\s{0,4}(-|\d[\d.]{0,12}|\\sqrt\{|\\[dt]?frac\{(?:[^{}]{1,20}\}\{)?)\s?$"
)
_BOX_TAIL = re.compile(
    r"(?P<over>\}\s?\{[^{}]{1,20}\})|(?P<close>\})"
    r"|(?P<scale>[\s$]{1,3}(?:hundred|thousand|million|billion|trillion|dozen)(?![a-z]))"
    r"|\s?(?P<more>\^\{?-?\w{1,3}\}?|\\pi|\\sqrt\{[^{}]{1,20}\}|/\s?\d{1,9})(?=\s{0,4}(?:[$.,)\n]|\\[)\]]|$))"
    r"|\s?(?P<letter>!|[a-z](?![a-zA-Z]))(?=\s{0,4}(?:[.,]?\$|\\[)\]]))"
)


def _within_formula(before: str, content: str, after: str) -> str:
    r"""A box that is a factor, a part of a fraction or a power's base, with the rest: `3\boxed{5}` is "3(5)"."""
    lead, tail = _BOX_LEAD.search(before), _BOX_TAIL.match(after)
    opened = lead[1] if lead else ""
    if opened.endswith("{"):
        closed = (tail["over"] or tail["close"] or "") if tail else ""
        return f"{opened}{content}{closed}" if closed else content
    more = (tail["more"] or tail["letter"] or "") if tail else ""
    if tail and tail["scale"]:
        return f"{opened}{content} {tail['scale'].strip(' $')}"
    if not opened and not more:
        return content
    bracketed = opened not in ("", "-") or more[:1] == "^"
    return f"{opened}({content}){more}" if bracketed else f"{opened}{content}{more}"


def _closed(text: str, span: tuple[int, int, int]) -> int:
    """Where a box ends, its closing brace included."""
    return span[2] + 1 if text[span[2] : span[2] + 1] == "}" else span[2]


def _content(text: str, span: tuple[int, int, int]) -> str:
    content = text[span[1] : span[2]].strip()
    bare = text[span[2] : span[2] + 1] != "}"
    for _ in range(4):
        inner = re.match(rf"\s*{_BOX}\s{{0,8}}\{{", content)
        if inner is None or not content.endswith("}"):
            break
        content = content[inner.end() : -1].strip()
    return content.rstrip(".,;:") if bare else content


# --- "the answer is" ------------------------------------------------------------------------------------------------

_PHRASE = re.compile(
    r"(?:"
    r"\#{4}[ \t]{0,4}:?|<answer>"
    r"|\b(?:final|correct|right|best|my)?[ \t]{0,3}answer\b(?:\*\*|__)?"
    r"(?:[ \t](?:to|for)[ \t][^.\n:=]{1,80}?)?"
    r"[ \t]{0,3}(?::|=|(?:is|was|are|would[ \t]be|should[ \t]be|must[ \t]be|equals)\b[ \t]{0,3}:?"
    r"|(?=(?:(?:is|was|ca|wo)n['’]t|cannot|can[ \t]not)\b))(?:\*\*|__)?"
    r"|(?:最终|正确|最后)?(?:的)?(?:答案|回答)[ \t]{0,3}(?:应该|应|就)?(?:(?:是|为|為|選|选)[ \t]{0,3}[：:]?|：|:)"
    r"|(?:故选|所以选|因此选|应选|故選)(?:择)?[ \t]{0,3}[：:]?"
    r"|\br[ée]ponse\b[^.\n:=]{0,40}?(?:\best\b|:)"
    r"|\b(?:a[ \t])?resposta\b[^.\n:=]{0,40}?(?:\bé(?=\s)|:)|\b(?:la[ \t])?risposta\b[^.\n:=]{0,40}?(?:\bè(?=\s)|:)"
    r"|\b(?:het[ \t])?antwoord\b[^.\n:=]{0,40}?(?:\bis\b|:)"
    r"|\b(?:đáp[ \t]án|câu[ \t]trả[ \t]lời)\b[^.\n:=]{0,40}?(?:\blà\b|:)"
    r"|\bodpowiedź\b[^.\n:=]{0,40}?(?:\bto\b|:)|\bcevap\b[ \t]{0,3}:"
    r"|\b(?:la[ \t])?respuesta\b[^.\n:=]{0,40}?(?:\bes\b|:)"
    r"|\bantwort\b[^.\n:=]{0,40}?(?:\bist\b|:|\blautet\b)"
    r"|\bответ\b[ \t]{0,3}(?::|—|-)"
    r"|उत्तर[ \t]{0,3}(?::|है)"
    r"|(?:答え|解答)[ \t]{0,3}(?:は|：|:)|(?:정답|답)[ \t]{0,3}(?:은|는|:)"
    r")[ \t]{0,8}",
    re.IGNORECASE,
)
_PHRASE_WORDS = ("####", "answer", "antwo", "ponse", "posta", "puesta", "cevap")
"""A phrase that is all ASCII has one of these in it, at most `_PHRASE_LEAD` characters from where it begins."""
_PHRASE_LEAD = 16
_HASHES = re.compile(r"####[ \t]{0,8}:?[ \t]{0,8}([^\n]{1,2000})")


def after_hashes(text: str) -> str | None:
    """The rest of the line after the last "####" (the GSM8K convention), without thousands separators; None without."""
    found = None
    for match in _HASHES.finditer(text[-TAIL:]):
        found = match[1].strip()
    return None if found is None else re.sub(r"(?<=\d),(?=\d{3})", "", found)


_FACTORIAL_LINE = re.compile(r"\s*\d{1,9}!\s*")
"""All of an answer line, "Answer: 4!": a factorial, where a sentence would end in an exclamation mark."""
_NEXT_LINE = re.compile(r"[ \t*_]{0,8}\n{1,3}[ \t]{0,8}")


def after_answer_phrase(text: str) -> str | None:
    """What follows the last "(the) final answer is", "Answer:", "####" or its like in another language, or None.

    The value is the rest of that sentence or line, of the next line if that one is empty, without Markdown emphasis;
    dollars stay, since they delimit mathematics.
    """
    return next((value for value, _ in after_answer_phrases(text)), None)


def after_answer_phrases(text: str) -> Iterator[tuple[str, int]]:
    """What follows each such phrase in the tail of a text, the last first, and where that sentence ends in the text."""
    for value, _, end in answer_phrases(text):
        yield value, end


def answer_phrases(text: str) -> Iterator[tuple[str, int, int]]:
    """What follows each such phrase, the last first, where the phrase begins, and where that sentence ends."""
    offset = max(0, len(text) - TAIL)
    tail = text[offset:]
    for match in reversed(list(_PHRASE.finditer(tail, _first_phrase(tail)))):
        begin = match.end()
        wrapped = _NEXT_LINE.match(tail, begin)
        if wrapped:
            begin = wrapped.end()
        line_end = tail.find("\n", begin, begin + 2000)
        closing = "$$" if tail.startswith("$$", begin) else "\\]" if tail.startswith("\\[", begin) else ""
        display_end = tail.find(closing, begin + 2, begin + 2000) if closing else -1
        stop = max(line_end, display_end + 2 if display_end >= 0 else -1)
        line = tail[begin : stop if stop >= 0 else begin + 2000].partition("</answer>")[0]
        length = len(first_sentence(line))
        if match[0].rstrip()[-1:] in ":：#*=" and _FACTORIAL_LINE.fullmatch(line):
            length = len(line)
        value = _without_emphasis(line[:length])
        if value:
            yield value, offset + match.start(), offset + begin + length


def _first_phrase(text: str) -> int:
    """Where phrases can begin: most of a chain has none, and looking for words is a hundred times as fast."""
    if not text.isascii():
        return 0
    small = text.lower()
    found = [place for word in _PHRASE_WORDS if (place := small.find(word)) >= 0]
    return max(0, min(found) - _PHRASE_LEAD) if found else len(text)


def _without_emphasis(sentence: str) -> str:
    line = sentence.strip()
    while line[:2] in ("**", "__") or line[-2:] in ("**", "__"):
        line = line.removeprefix("**").removeprefix("__").removesuffix("**").removesuffix("__").strip()
    return line.strip("`").strip()


# --- numbers --------------------------------------------------------------------------------------------------------

NUMBER = re.compile(
    r"(?<![\w.\\^_])[-−]?\$?\d{1,3}(?:(?:,|\{,\}|\\,|,\\!|\\!)\d{3}){1,12}(?![\d])(?:\.\d{1,40})?"
    r"|(?:(?<![\w.)\]}])[-−])?(?<![A-Za-z\d.,_])\d{1,400}(?:\.\d{1,400})?(?!\d)"
    r"|(?:(?<![\w.)\]}])[-−])?(?<![\w.])\.\d{1,400}"
)
"""A number in prose: thousands separators, decimals, a sign that is no subtraction or dash."""


def plain_number(literal: str) -> str:
    r"""A number literal without thousands separators: "1,234.50" and "1{,}234.50" are "1234.50"."""
    return re.sub(r"\\[,!]|[{}$]|,", "", literal).replace("−", "-")


def last_integer(text: str) -> int | None:
    """The last whole number in a text; a decimal with only zeros after the point is whole, others are passed over."""
    found: int | None = None
    for match in NUMBER.finditer(text[-TAIL:]):
        whole, _, fraction = plain_number(match[0]).partition(".")
        if whole.strip("-") and not fraction.strip("0") and len(whole) <= 4000:
            found = int(whole)
    return found


# --- JSON -----------------------------------------------------------------------------------------------------------

JsonObject: TypeAlias = "dict[str, Json]"
_FENCE = re.compile(r"```(?:json|JSON)?[ \t]{0,8}\n(?P<body>.*)\n[ \t]{0,8}```", re.DOTALL)


def json_object(text: str) -> JsonObject:
    """The one JSON object that a reply consists of; a single code fence around it is tolerated.

    Raises `ValueError` saying why not: longer than `MAX_JSON`, nested deeper than `MAX_JSON_DEPTH`, no JSON, not an
    object, anything before or after it (a second object too), a key given twice, NaN or Infinity.
    """
    body = text.strip()
    if len(body) > MAX_JSON:
        raise ValueError(f"reply has {len(body)} characters, more than {MAX_JSON}")
    fence = _FENCE.fullmatch(body)
    if fence:
        body = fence["body"].strip()
    if not body.startswith("{"):
        raise ValueError("reply does not start with a JSON object")
    if _json_depth(body) > MAX_JSON_DEPTH:
        raise ValueError(f"JSON is nested deeper than {MAX_JSON_DEPTH}")
    try:
        value = json.loads(
            body, object_pairs_hook=_unique_keys, parse_constant=_no_constant, parse_float=_finite_number
        )
    except json.JSONDecodeError as error:
        extra = "text after the JSON object" if error.msg == "Extra data" else f"not JSON: {error.msg}"
        raise ValueError(f"{extra} (at character {error.pos})") from error
    if not isinstance(value, dict):
        raise ValueError("reply is not a JSON object")
    return value


def _finite_number(text: str) -> float | str:
    """A JSON number with a point or exponent; one that no float can hold stays text, as `1e999` is not infinity."""
    value = float(text)
    return value if math.isfinite(value) else text


def _json_depth(body: str) -> int:
    depth = deepest = 0
    in_string = False
    for token in re.finditer(r'\\.|["{}\[\]]', body, re.DOTALL):
        if token[0] == '"':
            in_string = not in_string
        elif in_string or token[0][0] == "\\":
            continue
        elif token[0] in "{[":
            depth += 1
            deepest = max(deepest, depth)
            if deepest > MAX_JSON_DEPTH:
                break
        else:
            depth -= 1
    return deepest


def _unique_keys(pairs: list[tuple[str, Json]]) -> JsonObject:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("JSON object gives the same key twice")
    return found


def _no_constant(name: str) -> Json:
    raise ValueError(f"JSON does not know {name}")
