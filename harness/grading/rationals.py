r"""Number literals as exact fractions: `1,234.50`, `\$15,\!000`, `\frac{3}{4}`, `1 1/2`, `50\%`, `7.8\times 10^2`.

Exact arithmetic means that 0.1 + 0.2 style rounding never decides a verdict. Only literals are read: nothing is
evaluated beyond one fraction bar and one power of ten, and lengths are bounded before anything is computed.
"""

from __future__ import annotations

import re
from fractions import Fraction

MAX_DIGITS = 400
"""Longest run of digits that is read as a number."""
MAX_EXPONENT = 400
"""Largest power of ten that is read, in absolute value."""

_THOUSANDS = re.compile(r"(?<![\d.])\d{1,3}(?:,\d{3})+(?![\d,])(?:\.\d+)?")
_SPACED = re.compile(r"\d{1,3}(?: \d{3})+(?:\.\d+)?")
_DECIMAL = re.compile(r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)")
_FRAC_BRACED = re.compile(r"([-+]?)(?:(\d+)\s?)?\\frac\{\s?([-+]?\d+)\s?\}\{\s?([-+]?\d+)\s?\}")
_SLASH = re.compile(r"([-+]?)(?:(\d+) )?(\d+) ?/ ?(\d+)")
_SCIENTIFIC = re.compile(
    r"([-+]?\d+(?:\.\d+)?)(?:\\times|\\cdot|×|\*)10\^\{?([-+]?\d{1,4})\}?|([-+]?\d+(?:\.\d+)?)[eE]([-+]?\d{1,4})"
)
_REPEATING = re.compile(r"([-+]?)(\d*)\.(\d*)\\(?:overline|bar|dot)\{?(\d+)\}?(?:\\ldots|\.\.\.)?")
_PERCENT = re.compile(r"\s*(?:\\?%|percent(?:age)?|pct)\.?$", re.IGNORECASE)
_PERCENT_TEXT = re.compile(r"\\(?:text|mathrm|mbox)\s?\{\s*(?:percent|pct|\\?%)\s*\}")
_POWER_OF_TEN = re.compile(r"([-+]?)10\^(?:\{([-+]?\d{1,4})\}|([-+]?\d{1,4}))")
_UNIT = re.compile(
    r"\s*(?:\\(?:text|mathrm|textbf|mbox|mathbf)\s?\{[^{}\d]*\}(?:\^\{?[23]\}?)?|\^\{?\\circ\}?|°|\\degree(?:s)?)$"
)


def parse_decimal(text: str) -> Fraction | None:
    """A plain integer or decimal literal, thousands separators (commas or spaces) allowed; None for anything else."""
    body = text.strip().replace("−", "-")
    if len(body) > MAX_DIGITS:
        return None
    digits = body.lstrip("+-")
    if _THOUSANDS.fullmatch(digits):
        body = body.replace(",", "")
    elif _SPACED.fullmatch(digits):
        body = body.replace(" ", "")
    return Fraction(body.rstrip(".") if body.endswith(".") else body) if _DECIMAL.fullmatch(body) else None


def parse_rational(text: str) -> Fraction | None:
    r"""A number literal as an exact fraction: decimal, `a/b`, `\frac{a}{b}`, mixed, `a \times 10^b`; else None."""
    body = text.strip().replace("−", "-").replace("\\dfrac", "\\frac").replace("\\tfrac", "\\frac")
    if len(body) > MAX_DIGITS:
        return None
    body = re.sub(r"\\frac\s?(\d)\s?(\d)$", r"\\frac{\1}{\2}", body)
    plain = parse_decimal(body)
    if plain is not None:
        return plain
    for pattern in (_FRAC_BRACED, _SLASH):
        match = pattern.fullmatch(body)
        if match:
            return _mixed(match[1], match[2], match[3], match[4])
    repeating = _REPEATING.fullmatch(body)
    if repeating:
        return _repeating(repeating[1], repeating[2], repeating[3], repeating[4])
    ten = _POWER_OF_TEN.fullmatch(body)
    if ten:
        exponent = int(ten[2] or ten[3])
        return _power_of_ten(Fraction(-1 if ten[1] == "-" else 1), exponent)
    power = _SCIENTIFIC.fullmatch(body.replace(" ", ""))
    if power:
        return _power_of_ten(Fraction(power[1] or power[3]), int(power[2] or power[4]))
    return None


def _power_of_ten(mantissa: Fraction, exponent: int) -> Fraction | None:
    return mantissa * Fraction(10) ** exponent if abs(exponent) <= MAX_EXPONENT else None


def _repeating(sign: str, whole: str, fixed: str, period: str) -> Fraction:
    r"""`0.1\overline{6}` is (16 - 1) / 90."""
    value = Fraction(
        int(whole + fixed + period) - int((whole + fixed) or "0"), 10 ** len(fixed) * (10 ** len(period) - 1)
    )
    return -value if sign == "-" else value


def _mixed(sign: str, whole: str | None, numerator: str, denominator: str) -> Fraction | None:
    if int(denominator) == 0 or (whole is not None and numerator[:1] in "+-"):
        return None
    value = Fraction(int(numerator), int(denominator)) + (int(whole) if whole else 0)
    return -value if sign == "-" else value


def strip_wrapping(text: str) -> str:
    r"""A literal without math delimiters, currency signs, spacing commands, units and emphasis."""
    body = text.strip()
    for opening, closing in (("\\(", "\\)"), ("\\[", "\\]"), ("$$", "$$"), ("$", "$"), ("**", "**")):
        if len(body) > len(opening) + len(closing) and body.startswith(opening) and body.endswith(closing):
            body = body[len(opening) : -len(closing)].strip()
    body = re.sub(r"\\[!,;: ]|\{,\}|~", lambda m: "," if m[0] == "{,}" else "", body)
    body = re.sub(r"\\left|\\right|\\displaystyle", "", body)
    body = re.sub(r"^([-−]?)\s*(?:\\?\$|[€£¥₹]|US\$|USD\s)\s*([-−]?)", r"\1\2", body)
    for _ in range(4):
        body = _UNIT.sub("", body).strip()
        body = re.sub(r"\s*(?:\\?\$|€|£|¥|₹)$", "", body)
    return re.sub(r"^([-+−])\s+(?=[\d.\\])", r"\1", body.strip().rstrip(".").strip())


def read_number(text: str) -> tuple[Fraction, bool] | None:
    """(value as written, whether a percent sign followed) of a literal with its wrapping, or None."""
    if len(text) > 2 * MAX_DIGITS:
        return None
    body = strip_wrapping(_PERCENT_TEXT.sub(r"\\%", text))
    bare = _PERCENT.sub("", body)
    value = parse_rational(bare)
    return None if value is None else (value, bare != body)


def show(value: Fraction) -> str:
    """Canonical spelling: an integer, an exact decimal if there is a short one, else "a/b"."""
    if value.denominator == 1:
        return str(value.numerator)
    rest = value.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    if rest != 1 or value.denominator > 10**12:
        return f"{value.numerator}/{value.denominator}"
    digits = 0
    while 10**digits % value.denominator != 0:
        digits += 1
    scaled = abs(value.numerator) * 10**digits // value.denominator
    text = str(scaled).zfill(digits + 1)
    return f"{'-' if value < 0 else ''}{text[:-digits]}.{text[-digits:]}"
