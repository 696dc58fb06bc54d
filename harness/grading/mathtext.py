r"""Mathematical text as tokens: LaTeX, plain notation (`5*pi/6`, `7 - sqrt(2)`) and Unicode signs (√ π ² ½ ×) alike.

Linear in the length of the text. Words are told from products of letters here: "5 dollars" ends in a word, `5xy` does
not. Nothing is evaluated.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from harness.grading.mathwords import (
    CLOSE,
    COMMANDS,
    CONSTANTS,
    CURRENCY,
    FUNCTIONS,
    GREEK,
    OPEN,
    OPERATORS,
    PLAIN_CONSTANTS,
    PLAIN_FUNCTIONS,
    RELATIONS,
    SEPARATING,
    SMALL_WORDS,
    SYMBOLS,
)  # fmt: skip
from harness.grading.units import is_unit_word

TokenKind = Literal["num", "letter", "word", "func", "const", "op", "rel", "sep", "open", "close", "cmd", "env"]


@dataclass(frozen=True, slots=True)
class TexToken:
    """One token; `gap` says whether space stood before it."""

    kind: TokenKind
    text: str
    gap: bool = False


_TEXT_NAMES = "text|textbf|textit|textrm|textnormal|textsf|texttt|mathrm|mbox|hbox|operatorname\\*?|mathsf|textup|rm"
_LEX = re.compile(
    r"(?P<text>\\(?:" + _TEXT_NAMES + r")\s?\{(?P<inner>[^{}]*)\})"
    r"|(?P<face>\\(?:mathbf|mathit|boldsymbol|bm|mathcal|mathbb|mathfrak|mathscr|vec|hat|bar|tilde|dot|ddot|widehat"
    r"|overline|overrightarrow|underline|widetilde|overarc|textsuperscript)"
    r"(?:\s?\{\s?(?P<faced>[^{}]*?)\s?\}|\s(?P<faceletter>\\?[A-Za-z]+)|(?P<faceone>\d)))"
    r"|(?P<env>\\(?:begin|end)\s?\{(?P<envname>[a-zA-Z]+\*?)\}(?:\{[clr|]*\})?)"
    r"|(?P<repeat>\d*\.\d*\\(?:overline|bar|dot)\s?\{?\d+\}?)"
    r"|(?P<num>(?:\d+(?:\.(?!\.)\d*)?|\.\d+)(?:[eE][-+]?\d{1,4}(?![\w^]))?)"
    r"|(?P<dots>\\(?:ldots|cdots|dots|dotsc|dotsb|vdots|ddots)(?![a-zA-Z])|\.\.\.)"
    r"|(?P<cmd>\\[a-zA-Z]+|\\[^a-zA-Z\s])"
    r"|(?P<words>[^\W\d_]+(?:[ .\-']{1,3}[^\W\d_]+)*)"
    r"|(?P<two><=|>=|!=|==|:=|->|=>|\*\*)"
    r"|(?P<one>\S)"
    r"|(?P<space>\s+)"
)


class Unreadable(Exception):
    """The text is no mathematics that is read here."""


def tokens(text: str) -> list[TexToken]:
    """The tokens of a text that `spelled` has made plain. Raises `Unreadable`."""
    found: list[TexToken] = []
    gap = False
    for match in _LEX.finditer(text):
        if match["space"] is not None:
            gap = True
            continue
        if match[0] == "." and found and found[-1].kind == "word":  # of an abbreviation: "Rs. 350"
            continue
        found.extend(_lexed(match, gap, found))
        gap = False
    return found


def _lexed(match: re.Match[str], gap: bool, before: list[TexToken]) -> list[TexToken]:
    if match["text"] is not None:
        return _upright(match["inner"], match["text"], gap, before)
    if match["face"] is not None:
        return [_faced(match, gap)]
    if match["env"] is not None:
        return [TexToken("env", match["env"].split("{")[0] + " " + match["envname"].rstrip("*"), gap)]
    if match["repeat"] is not None or match["num"] is not None:
        return [TexToken("num", match[0].replace(" ", ""), gap)]
    if match["dots"] is not None:
        return [TexToken("letter", "…", gap)]
    if match["words"] is not None:
        return _words(match["words"], gap, before)
    return [_sign(match[0], gap)]


def _sign(text: str, gap: bool) -> TexToken:
    """A command or a sign."""
    if text in RELATIONS and text != "\\mid":
        return TexToken("rel", RELATIONS[text], gap)
    if text in OPERATORS:
        return TexToken("op", OPERATORS[text], gap)
    if text in OPEN:
        return TexToken("open", OPEN[text], gap)
    if text in CLOSE:
        return TexToken("close", CLOSE[text], gap)
    if text in CONSTANTS:
        return TexToken("const", CONSTANTS[text], gap)
    if text in CURRENCY:
        return TexToken("word", CURRENCY[text], gap)
    if text in (",", ";"):
        return TexToken("sep", text, gap)
    name = text[1:]
    if name in FUNCTIONS and name != "sqrt":
        return TexToken("func", name, gap)
    if text.startswith("\\") and (name in GREEK or name in SYMBOLS):
        return TexToken("letter", text, gap)
    if text.startswith("\\") and name in COMMANDS:
        return TexToken("cmd", name, gap)
    raise Unreadable(text)


def _upright(inner: str, whole: str, gap: bool, before: list[TexToken]) -> list[TexToken]:
    r"""The tokens of `\text{…}`, `\mathrm{…}` and their like."""
    body = inner.replace("~", " ").strip()
    if not body:
        return []
    if body.lower() in SEPARATING or body in (",", ";"):
        return [TexToken("sep", SEPARATING.get(body.lower(), ","), True)]
    if whole.startswith(("\\mathrm", "\\operatorname", "\\rm")) and body in FUNCTIONS:
        return [TexToken("func", body, gap)]
    if body.lower() in PLAIN_FUNCTIONS and len(body) > 2 and body.lower() != "min":
        return [TexToken("func", body.lower(), gap)]
    if re.fullmatch(r"[-+]?[\d.,/ ]*\d", body):
        return tokens(body)
    if whole.startswith("\\mathrm") and body == "d":
        return [TexToken("letter", "d", gap)]
    pieces = re.split(r"\b(?:and|or)\b|,", body)
    if len(pieces) > 1 and any(piece.strip() == "" for piece in pieces):  # "5 \text{ cm and } 3"
        said = [TexToken("word", piece.strip(), True) for piece in pieces if piece.strip()]
        return [*said, TexToken("sep", ",", True)] if pieces[-1].strip() == "" else [TexToken("sep", ",", True), *said]
    return [TexToken("word", body, gap)]


def _faced(match: re.Match[str], gap: bool) -> TexToken:
    face = match["face"][1:].split("{")[0].split()[0].rstrip("0123456789")
    inner = re.sub(r"\s", "", match["faced"] or match["faceletter"] or match["faceone"] or "")
    if face in ("mathbf", "mathit", "boldsymbol", "bm", "mathcal"):
        if len(inner) > 1 and inner.isalpha():
            return TexToken("word", inner, gap)
        return TexToken("num", inner, gap) if inner.isdigit() else TexToken("letter", inner or "?", gap)
    return TexToken("letter", f"{face}({inner})", gap)


def _words(phrase: str, gap: bool, before: list[TexToken]) -> list[TexToken]:
    """A run of letters and spaces: words where it reads like words, else functions, constants and single letters."""
    runs = re.findall(r"[^\W\d_]+|[ .\-']+", phrase)
    if any(run.lower() in SEPARATING for run in runs):
        return _separated(runs, gap, before)
    after_number = bool(before) and (before[-1].kind in ("num",) or before[-1].text in (")", "}"))
    names = runs[0::2]
    alone = len(names) == 1
    if any(_is_word(name, after_number, gap or index > 0, alone) for index, name in enumerate(names)):
        lead = 0
        while lead < len(names) and _is_function(names[lead]):
            lead += 1
        if lead == 0:
            return [TexToken("word", phrase, gap)]
    found: list[TexToken] = []
    for run in runs:
        if not run[0].isalpha():
            found.extend(_sign(sign, True) for sign in run if sign in "-'")
            gap = True
            continue
        found.extend(_letters(run, gap))
        gap = False
    return found


def _separated(runs: list[str], gap: bool, before: list[TexToken]) -> list[TexToken]:
    """The parts between "and" and "or"."""
    found: list[TexToken] = []
    part: list[str] = []
    for run in [*runs, "and"]:
        if run.lower() not in SEPARATING:
            part.append(run)
            continue
        said = "".join(part).strip(" ")
        if said:
            found.extend(_words(said, gap or bool(found), found if found else before))
        found.append(TexToken("sep", SEPARATING[run.lower()], True))
        part = []
    return found[:-1]


def _is_function(run: str) -> bool:
    return run in PLAIN_FUNCTIONS or run in PLAIN_CONSTANTS or run in GREEK


def _is_word(run: str, after_number: bool, gap: bool, alone: bool) -> bool:
    """Whether a run of letters is a word and no product of letters; "at" and "it" are words only beside others."""
    if after_number and (run == "min" or (not gap and run in ("st", "nd", "rd", "th"))):
        return True
    if _is_function(run) or re.fullmatch(r"(?:sin|cos|tan|ln|log|exp|sqrt|pi)[a-zA-Z]?", run):
        return False
    if (
        not run.isascii()
        or len(run) >= 4
        or (run.lower() in SMALL_WORDS and not (alone and len(run) == 2))
        or run in ("Rs", "USD", "US")
    ):
        return True
    if after_number and is_unit_word(run, gap):
        return True
    return (
        after_number and gap and len(run) == 3 and re.search(r"[aeiou]", run) is not None and run not in ("abc", "ace")
    )


def _letters(run: str, gap: bool) -> list[TexToken]:
    if run in PLAIN_CONSTANTS:
        return [TexToken("const", PLAIN_CONSTANTS[run], gap)]
    if run in PLAIN_FUNCTIONS:
        return [TexToken("func", run, gap)]
    if run in GREEK:
        return [TexToken("letter", "\\" + run, gap)]
    fused = re.fullmatch(r"(sin|cos|tan|ln|log|exp|sqrt|pi)([a-zA-Z])", run)
    if fused:
        return [*_letters(fused[1], gap), TexToken("letter", fused[2])]
    return [TexToken("letter", letter, gap and index == 0) for index, letter in enumerate(run)]
