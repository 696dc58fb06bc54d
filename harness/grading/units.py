r"""Units of answers: `\text{ cm}^2`, "square feet", `km/h`, "p.m.", `^\circ\text{C}`, a currency sign in front.

Two different units differ; a unit against none says nothing (`5 \text{ cm}` answers 5). Unknown words are units too
("8 red"), compared as words. No value is converted: 1 m is not 100 cm here.
"""

from __future__ import annotations

import re

_TABLE = {
    "mm": "mm millimeter millimeters millimetre millimetres",
    "cm": "cm cms centimeter centimeters centimetre centimetres",
    "m": "m meter meters metre metres",
    "km": "km kms kilometer kilometers kilometre kilometres",
    "in": "in inch inches",
    "ft": "ft foot feet",
    "yd": "yd yds yard yards",
    "mi": "mi mile miles",
    "mg": "mg milligram milligrams",
    "g": "g gm gram grams",
    "kg": "kg kgs kilogram kilograms",
    "lb": "lb lbs pound pounds",
    "oz": "oz ounce ounces",
    "ton": "ton tons tonne tonnes",
    "ms": "ms millisecond milliseconds",
    "s": "s sec secs second seconds",
    "min": "min mins minute minutes",
    "h": "h hr hrs hour hours",
    "day": "d day days",
    "wk": "wk week weeks",
    "month": "month months",
    "yr": "yr yrs year years",
    "$": "$ dollar dollars usd buck bucks",
    "ct": "¢ cent cents ct",
    "€": "€ euro euros eur",
    "£": "£ gbp",
    "¥": "¥ yen yuan rmb",
    "₹": "₹ rupee rupees rs rs. inr",
    "mL": "ml milliliter milliliters millilitre millilitres",
    "L": "l liter liters litre litres",
    "gal": "gal gallon gallons",
    "pt": "pt pint pints",
    "qt": "qt quart quarts",
    "cup": "cup cups",
    "am": "am a.m. a.m",
    "pm": "pm p.m. p.m",
    "deg": "deg degree degrees °",
    "degC": "°c degc celsius centigrade",
    "degF": "°f degf fahrenheit",
    "rad": "rad rads radian radians",
    "%": "% percent percentage pct percents",
    "mi/h": "mph",
    "km/h": "kph kmh kmph",
    "N": "n newton newtons",
    "J": "j joule joules",
    "kJ": "kj kilojoule kilojoules",
    "W": "w watt watts",
    "V": "v volt volts",
    "A": "amp amps ampere amperes",
    "Hz": "hz hertz",
    "K": "k kelvin kelvins",
    "Pa": "pa pascal pascals",
    "eV": "ev electronvolt electronvolts",
    "mol": "mol mole moles",
    "unit": "unit units",
}
_SAME_CASE = {"M": "M", "G": "G", "S": "S", "n": "n", "k": "k", "w": "w", "v": "v", "j": "j", "l": "l", "a": "a"}
"""Single letters that are units in one case only."""
_UNITS = {spelling: unit for unit, spellings in _TABLE.items() for spelling in spellings.split()}
_KNOWN = frozenset(_TABLE)
_AMBIGUOUS = frozenset({"mg", "ms", "in", "am", "pt", "ct", "gm", "ev", "pa", "rs", "kj", "mi"})
"""Short words that are as likely a product of letters: read as a unit only after a space or inside `\\text`."""
_FILLER = frozenset({
    "of", "the", "a", "an", "in", "total", "approximately", "about", "exactly", "is", "each", "long", "wide", "tall",
    "high", "old",
})  # fmt: skip
MULTIPLIERS = {
    "hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9, "trillion": 10**12, "dozen": 12,
}  # fmt: skip
REMARK = re.compile(
    r"(?i)\b(?:is|not|isn['’]t|never|wrong|incorrect|if|otherwise|unless|except|less|greater|fewer|least|most|between"
    r"|more|about|when|where|for|but)\b"
)


def is_unit_word(run: str, gap: bool) -> bool:
    """Whether a bare run of two letters or more after a number is the name of a unit."""
    if len(run) < 2 or run.lower() not in _UNITS:
        return False
    return gap or run.lower() not in _AMBIGUOUS


_PLAIN_LETTER = re.compile(r"([-+]?\d[\d.,/]*) ([msghLNJWVAK]|(?:[kc]?m|ft|mi)/(?:s|h)(?:\^\{?2\}?)?)")


def with_symbol(text: str) -> str:
    r"""A number and the symbol of its unit in plain text, "7 m", as `7\text{ m}`; any other text as it is.

    In a formula a bare letter is a variable, so this is for text that is none.
    """
    found = _PLAIN_LETTER.fullmatch(text)
    return text if found is None else f"{found[1]}\\text{{ {re.sub('[{}]', '', found[2])}}}"


def is_unit(word: str) -> bool:
    """Whether a word or symbol is in the table of units."""
    return word.lower() in _UNITS


def unit_name(word: str) -> str:
    """The unit that a word names; an unknown word is a unit of its own, without its plural ending."""
    bare = word.strip().strip(".,")
    if len(bare) == 1 and bare in _SAME_CASE:
        return _SAME_CASE[bare]
    known = _UNITS.get(bare.lower()) or _UNITS.get(word.strip().lower())
    if known is not None:
        return known
    low = bare.lower()
    return low[:-1] if len(low) > 3 and low.endswith("s") and not low.endswith("ss") else low


def unit_key(text: str) -> str:
    r"""The canonical unit of a phrase: "square feet", "ft^2" and "sq. ft." are "ft^2", "miles per hour" is "mi/h"."""
    body = text.replace("\\circ", "°").replace("\\cdot", "*").replace("·", "*")
    body = re.sub(r"\^?\s*\{?\s*°\s*\}?\s*", "° ", body).replace("° C", "°c").replace("° F", "°f")
    body = re.sub(r"(?i)degrees?\s+(celsius|fahrenheit|centigrade)", r"\1", re.sub(r"°\s*([cCfF])\b", r"°\1", body))
    body = re.sub(r"(?i)(\w)\s*/\s*(\w)", r"\1 per \2", body)
    found: list[str] = []
    power, below = "", False
    for word in re.findall(r"\^\s*\{?\s*-?\d+\s*\}?|[^\s^*{}()]+", body):
        low = word.lower().strip(".,")
        if word.startswith("^"):
            digits = re.sub(r"[^\d-]", "", word)
            if found and digits.startswith("-"):
                found[-1] = "/" + found[-1].lstrip("/") + ("" if digits == "-1" else "^" + digits[1:])
            elif found and digits != "1":
                found[-1] += "^" + digits
        elif low in ("square", "sq", "squared", "cubic", "cubed", "cu"):
            mark = "^2" if low.startswith("sq") else "^3"
            if low.endswith("ed") and found:
                found[-1] += mark
            else:
                power = mark
        elif low in ("per", "an", "a") and (low == "per" or found):
            below = True
        elif low not in _FILLER and low:
            found.append(("/" if below else "") + unit_name(word) + power)
            power, below = "", False
    return "".join(f"*{part}" if part[0] != "/" and index else part for index, part in enumerate(found))


def same_unit(gold: str, answer: str) -> bool:
    """Whether two unit keys may be the same: equal, one of them missing, or one the other with more words."""
    if gold == answer or not gold or not answer:
        return True
    if "unit" in (gold.split("^")[0], answer.split("^")[0]):
        return gold.partition("^")[2] == answer.partition("^")[2] or not (gold + answer).count("^")
    wanted, found = gold.split("*"), answer.split("*")
    if wanted[0] in _KNOWN or found[0] in _KNOWN:
        return wanted[0] == found[0] and _head(gold) and _head(answer)
    return set(wanted) <= set(found) or set(found) <= set(wanted)


def _head(key: str) -> bool:
    """Whether what follows a known unit is words of no unit: "cm*wide"."""
    return all(len(part) > 1 and re.split(r"[/^]", part)[0] not in _KNOWN for part in key.split("*")[1:])
