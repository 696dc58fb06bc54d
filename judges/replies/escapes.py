r"""Backslashes in a judge's JSON: which of them JSON meant, and which are LaTeX that nobody escaped.

Judges quote mathematics, and most write `"reason": "drops the \sqrt{2}"` as they would in prose. JSON refuses `\s`, and
reads `\frac` as a form feed and "rac". The rule, backslash by backslash, inside a JSON string:

1. `\"`, `\\`, `\/` and `\u` with four hexadecimal digits are JSON's.
2. `\b` and `\f` before a letter are LaTeX (`\beta`, `\frac`): nobody writes a backspace before a word.
3. `\n`, `\r` and `\t` are LaTeX if they and the letters behind them are the name of a command (`NAMES`): `\nu`, `\rho`,
   `\times`, but not `\nThe`. What may be white space and a word (`WORDS`: `\ne`, `\tan`, `\nexists`) is that where
   a line ends, outside `$…$`: behind a full stop, a colon, another such escape or `\[`, and directly behind a word
   in a string that escapes its other commands as JSON asks (`\\sqrt`).
4. Every other `\b`, `\f`, `\n`, `\r` and `\t` is JSON's; a backslash before anything else is a backslash.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_COMMANDS = """
nLeftarrow nLeftrightarrow nRightarrow nVDash nVdash nabla napprox natural ncong ne nearrow neg negmedspace
negthickspace negthinspace neq nequiv newcommand newenvironment newline newpage nexists ngeq ngeqq ngeqslant
ngtr ngtrsim ni nicefrac nleftarrow nleftrightarrow nleq nleqq nleqslant nless nlesssim nmid nobreak
nobreakspace node noindent nolimits nolinebreak nonumber norm normalfont normalsize not notag notin notni
nparallel nprec npreccurlyeq npreceq nrightarrow nshortmid nshortparallel nsim nsimeq nsqsubseteq nsqsupseteq
nsubset nsubseteq nsubseteqq nsucc nsucccurlyeq nsucceq nsupset nsupseteq nsupseteqq nthroot ntriangleleft
ntrianglelefteq ntriangleright ntrianglerighteq nu num numberwithin nvDash nvdash nwarrow
rVert raggedleft raggedright raise raisebox rangle rank ratio rbag rbrace rbrack rceil re real ref relax
renewcommand restriction rfloor rgroup rhd rho right rightangle rightarrow rightarrowtail rightharpoondown
rightharpoonup rightleftarrows rightleftharpoons rightmoustache rightrightarrows rightsquigarrow rightthreetimes
ring risingdotseq rlap rm rmfamily rmoustache root rot rtimes rule rvert
tabular tag tan tanh tau tbinom text textasciicircum textasciitilde textbackslash textbar textbf textbullet
textcircled textcolor textdegree textdollar textgreater textit textless textmd textnormal textquotedblleft
textquotedblright textrm textsc textsf textsl textstyle textsubscript textsuperscript texttt textup textwidth
tfrac tg therefore theta thetasym thickapprox thicksim thickspace thinspace tilde times tiny to top toprule tr
trace triangle triangledown triangleeq triangleleft trianglelefteq triangleq triangleright trianglerighteq tt
twoheadleftarrow twoheadrightarrow
"""
NAMES = frozenset(_COMMANDS.split())
"""Commands of LaTeX and its mathematics packages whose first letter is one of JSON's white-space escapes."""
WORDS = frozenset(
    ("ne", "nexists", "ni", "nless", "nmid", "node", "nparallel", "nu", "tan", "tg", "to", "tr", "trace", "tt")
)
"""Those of them that may be a line break or a tab and a word, or a letter that a line may begin with."""

_ESCAPE = re.compile(r'\\(?:u[0-9A-Fa-f]{4}|([bfnrt])([A-Za-z]*)|["\\/]|(.))', re.DOTALL)
# A string that nothing closes goes to the end: each quote in it tried as an opening would cost quadratic time.
_STRING = re.compile(r'"((?:[^"\\]|\\.)*+)(?:"|\\?\Z)', re.DOTALL)
_ESCAPED_COMMAND = re.compile(r"(?<!\\)(?:\\\\)+[A-Za-z(\[]")
_LINE_ENDS = (*".:;!?。：！？", r"\u3002", r"\uff1a", r"\n", r"\t", r"\r", r"\[")


def mended(source: str) -> str:
    r"""The JSON text with every backslash that JSON did not mean doubled, so that it reads as a backslash.

    `source` is JSON or something like it, from one brace to the other. Linear in its length.
    """
    if "\\" not in source:
        return source
    return "".join(_pieces(source))


def _pieces(source: str) -> Iterator[str]:
    position = 0
    for string in _STRING.finditer(source):
        yield source[position : string.start(1)]
        yield _mended_string(string[1])
        position = string.end(1)
    yield source[position:]


def _mended_string(body: str) -> str:
    if "\\" not in body:
        return body
    escapes_commands = _ESCAPED_COMMAND.search(body) is not None
    dollars = counted = 0
    pieces, position = [], 0
    for escape in _ESCAPE.finditer(body):
        start, letter, name = escape.start(), escape[1], (escape[1] or "") + (escape[2] or "")
        dollars, counted = dollars + body.count("$", counted, start), start
        if letter is None:
            is_literal = escape[3] is not None
        elif letter in "bf":
            is_literal = len(name) > 1
        elif name in WORDS:
            ends_line = body.endswith(_LINE_ENDS, 0, start) or (escapes_commands and body[start - 1 : start].isalnum())
            is_literal = dollars % 2 == 1 or not ends_line
        else:
            is_literal = name in NAMES
        pieces += [body[position:start], "\\" if is_literal else ""]
        position = start
    return "".join([*pieces, body[position:]])
