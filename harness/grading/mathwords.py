r"""The vocabulary of mathematical text: functions, relations, signs and their Unicode forms; and `spelled`."""

from __future__ import annotations

import re
import unicodedata

from harness.grading.latex import NUMBER_WORDS, join_digits


def names(text: str) -> list[str]:
    """The words of a list that is written as one text."""
    return text.split()


FUNCTIONS = frozenset(
    names(
        "sin cos tan cot sec csc arcsin arccos arctan arccot arcsec arccsc sinh cosh tanh coth sech csch "
        "arcsinh arccosh arctanh cis ln log lg exp max min gcd lcm det deg dim ker arg tr rank sgn Re Im Arg sqrt "
        "cbrt asin acos atan"
    )
)
PLAIN_FUNCTIONS = FUNCTIONS - {"deg", "dim", "ker", "arg", "tr", "rank", "sgn", "Re", "Im", "Arg", "det"}
_GREEK = names(
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron rho sigma tau "
    "upsilon phi chi psi omega"
)
_GREEK_LETTERS = dict(zip("αβγδεζηθικλμνξορστυφχψω", _GREEK, strict=True))
GREEK = frozenset(_GREEK) | {name.capitalize() for name in _GREEK} | {"varphi", "vartheta", "varrho", "varsigma"}
RELATIONS = {
    "=": "=", "==": "=", "<": "<", ">": ">", "<=": "<=", ">=": ">=", "!=": "!=", "\\le": "<=", "\\leq": "<=",
    "\\leqslant": "<=", "\\ge": ">=", "\\geq": ">=", "\\geqslant": ">=", "\\lt": "<", "\\gt": ">", "\\ne": "!=",
    "\\neq": "!=", "\\approx": "~", "\\simeq": "~", "\\sim": "~", "\\in": "in", "\\equiv": "==", "\\to": "->",
    "\\rightarrow": "->", "\\mapsto": "->", "\\subset": "sub", "\\subseteq": "sub", "\\propto": "prop",
    "\\Rightarrow": "=>", "\\implies": "=>", "\\Leftrightarrow": "<=>", "\\iff": "<=>", "->": "->", "=>": "=>",
    "\\cong": "cong", "\\doteq": "~", "\\notin": "notin", "\\mid": "|", "\\parallel": "par", "\\perp": "perp",
    "\\coloneqq": "=", ":=": "=",
}  # fmt: skip
OPERATORS = {
    "\\cdot": "*", "\\times": "*", "\\ast": "*", "*": "*", "**": "^", "\\div": "/", "/": "/", "+": "+", "-": "-",
    "^": "^", "_": "_", "!": "!", "\\pm": "pm", "\\mp": "mp", "\\cup": "cup", "\\cap": "cap", "\\setminus": "minus",
    "\\backslash": "minus", ":": ":", "\\colon": ":", "|": "|", "\\vert": "|", "\\mid": "|", "'": "'",
    "\\prime": "'", "\\%": "%", "%": "%", "&": "&", "\\\\": "\\\\", "\\|": "||", "\\Vert": "||", "\\circ": "circ",
    "\\degree": "deg", "\\degrees": "deg",
}  # fmt: skip
OPEN = {"(": "(", "[": "[", "{": "{", "\\{": "\\{", "\\lbrace": "\\{", "\\lfloor": "floor", "\\lceil": "ceil",
         "\\langle": "<", "\\lvert": "|(", "\\lVert": "|("}  # fmt: skip
CLOSE = {")": ")", "]": "]", "}": "}", "\\}": "\\}", "\\rbrace": "\\}", "\\rfloor": "floor", "\\rceil": "ceil",
          "\\rangle": ">", "\\rvert": ")|", "\\rVert": ")|"}  # fmt: skip
CONSTANTS = {"\\pi": "pi", "\\infty": "inf", "\\infinity": "inf", "\\emptyset": "empty", "\\varnothing": "empty"}
PLAIN_CONSTANTS = {"pi": "pi", "infty": "inf", "infinity": "inf", "inf": "inf", "oo": "inf"}
CURRENCY = {
    "\\$": "$",
    "€": "€",
    "£": "£",
    "¥": "¥",
    "₹": "₹",
    "¢": "¢",
    "\\AA": "Å",
    "Å": "Å",
    "\\pounds": "£",
    "\\euro": "€",
}

SMALL_WORDS = frozenset(
    names(
        "if for is not when where with otherwise all some any of the per to from each no are at by on as an "
        "it be only both than am pm yes"
    )
)
SEPARATING = {"and": ",", "or": "or", "und": ",", "oder": "or", "et": ",", "ou": "or", "和": ",", "或": "or"}
"""Words between the elements of a list."""
SYMBOLS = frozenset(names("ell hbar partial nabla angle triangle odot oplus star imath jmath aleph Re Im top dagger"))
COMMANDS = frozenset(names("frac sqrt binom dbinom tbinom choose sum int prod lim pmod bmod mod over not oint iint"))
_CAPITALS = dict(zip("ΓΔΘΛΞΠΣΦΨΩ", names("Gamma Delta Theta Lambda Xi Pi Sigma Phi Psi Omega"), strict=True))
_UNICODE = str.maketrans(
    {
        "−": "-", "–": "-", "—": "-", "×": r"\times ", "·": r"\cdot ", "⋅": r"\cdot ", "∙": r"\cdot ", "÷": "/",
        "∕": "/", "⁄": "/", "≤": r"\le ", "≥": r"\ge ", "⩽": r"\le ", "⩾": r"\ge ", "≠": r"\ne ", "≈": r"\approx ",
        "π": r"\pi ", "∞": r"\infty ", "√": r"\sqrt ", "∛": r"\sqrt[3] ", "∪": r"\cup ", "∩": r"\cap ",
        "∈": r"\in ", "∅": r"\emptyset ", "±": r"\pm ", "∓": r"\mp ", "°": r"^{\circ}", "º": r"^{\circ}",
        "′": "'", "’": "'", "″": "''", "ℝ": r"\mathbb{R}", "→": r"\to ", "≡": r"\equiv ", "∠": r"\angle ",
        "⟨": r"\langle ", "⟩": r"\rangle ", "（": "(", "）": ")", "，": ",", "；": ";", "：": ":", "＝": "=",
        "％": r"\%", "ℏ": r"\hbar ", "∑": r"\sum ", "∫": r"\int ", "∏": r"\prod ", "∂": r"\partial ", "…": r"\ldots ",
    }
    | {chr(0x2080 + digit): f"_{{{digit}}}" for digit in range(10)}
    | {letter: f"\\{name} " for letter, name in _GREEK_LETTERS.items()}
    | {letter: f"\\{name} " for letter, name in _CAPITALS.items()}
)  # fmt: skip
_POWERS = {"¹": "1", "²": "2", "³": "3", "⁻": "-"} | {chr(0x2070 + d): str(d) for d in (0, 4, 5, 6, 7, 8, 9)}
_POWER_RUN = re.compile("[" + "".join(_POWERS) + "]+")
_VULGAR = re.compile("[½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅐⅛⅜⅝⅞⅑⅒]")
_SIZES = re.compile(
    r"\\(?:left|right|bigl|bigr|big|Big|Bigl|Bigr|bigg|Bigg|biggl|biggr|Biggl|Biggr|displaystyle|textstyle|limits"
    r"|nolimits|middle)(?![a-zA-Z])\.?|(?<!\\)\\!"
)
_SPACES = re.compile(
    r"(?<!\\)\\[,;: ]|~|\\(?:q?quad|thinspace|enspace|hspace\s?\{[^{}]*\}|newline|phantom\s?\{[^{}]*\})"
)
_STYLE = re.compile(r"\{\\(?:rm|bf|it|tt|sf)\s+([^{}]*)\}")


_FACES = re.compile(r"\\(?:mathbf|boldsymbol|bm|mathit|mathcal)(?=\s?\{|\s[A-Za-z\d\\])")
_NESTED = re.compile(r"(\\(?:text|mathrm|mbox|textbf)\s?\{[^{}]*)\{([^{}]*)\}([^{}]*)")
_TIMES = re.compile(r"(?<=\d)\s?[xX]\s?(?=10\s?(?:\^|\*\*))|(?<=\d )[xX] (?=\d)")
_AND_SO_ON = re.compile(r"(?<!\d)(\d*\.\d*?)(\d)\2{2,}(?:\\l?dots(?![a-z])|\.\.\.)")
_BASE = re.compile(
    r"(?<![\w.])(\d[\dA-F]*)(?:\s|~|\\ )*(?:\\text\s?\{)?\s*\(?(?:in )?(?i:base)(?:\s|-|~|\\ )*(?:\}\s*)?(\d{1,2}|"
    + "|".join(NUMBER_WORDS)
    + r")\)?\}?"
)


def spelled(text: str) -> str:
    """The text with Unicode signs, sizes and spacing commands as plain LaTeX, and thousands separators removed."""
    body = _POWER_RUN.sub(lambda m: "^{" + "".join(_POWERS[sign] for sign in m[0]) + "}", text)
    body = _VULGAR.sub(_vulgar, body).translate(_UNICODE)
    body = _BASE.sub(r"\1_{\2}", _FACES.sub("", join_digits(body)))
    body = _TIMES.sub(r"\\times ", body)
    body = _AND_SO_ON.sub(r"\1\\overline{\2}", body)
    for _ in range(3):
        body = _NESTED.sub(r"\1\2\3", body)
    body = re.sub(r"\\(?:d|t|c)frac(?![a-zA-Z])", r"\\frac", body)
    body = re.sub(r"(?<![\d.])(\d+)\s+(\d+)\s?/\s?(\d+)(?![\d.])", r"\1\\frac{\2}{\3}", body)
    return _SPACES.sub(" ", _STYLE.sub(r"\\mathrm{\1}", _SIZES.sub("", body)))


def _vulgar(match: re.Match[str]) -> str:
    top, bottom = unicodedata.normalize("NFKC", match[0]).split("⁄")
    return f"\\frac{{{top}}}{{{bottom}}}"
