r"""What an answer claims: a list of items, each a value with its unit, or values joined by relations.

Only reading is done here; `harness.grading.mathjudge` compares. A text that is no such claim is `Unreadable`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from fractions import Fraction

from harness.answers import last_boxed_group
from harness.grading.latex import unwrap
from harness.grading.mathnode import Node
from harness.grading.mathpoints import both_signs, is_constant, real_value
from harness.grading.mathsame import last_digit
from harness.grading.mathtext import TexToken, Unreadable, tokens
from harness.grading.mathtree import parse
from harness.grading.mathwords import CURRENCY, spelled
from harness.grading.spelled import spelled_number
from harness.grading.units import MULTIPLIERS, REMARK, is_unit, unit_key

_LEADING = tuple(TexToken("rel", text, gap) for text in ("=", "~") for gap in (False, True))
_ROUGHLY = frozenset({"about", "approximately", "approx", "exactly", "roughly", "around"})
CONCLUSIONS = ("=>", "<=>")
_BRACES = 4
"""Braces that may stand around a whole answer."""
_CURRENCIES = frozenset(CURRENCY.values()) | {"Rs", "Rs.", "USD", "US", "EUR"}


@dataclass(frozen=True, slots=True)
class MathSide:
    """One side of a claim."""

    node: Node | None
    """None for words: `\\text{Evelyn}`."""
    spelling: str
    """Letters and digits only, in lower case; of words this is all there is."""
    unit: str = ""
    percent: bool = False
    remark: bool = False
    """Whether the words behind it say something about it: "is wrong", "if …"."""


@dataclass(frozen=True, slots=True)
class MathItem:
    """Sides and the relations between them: one side for a bare value."""

    sides: tuple[MathSide, ...]
    relations: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MathClaim:
    """The items of an answer in the order in which they are written."""

    items: tuple[MathItem, ...]
    either: bool = False
    """Whether "or" stands between them."""


def read_tokens(text: str) -> list[TexToken]:
    """The tokens of a bare answer in LaTeX, plain notation or words, its delimiters off. Raises `Unreadable`."""
    body = unwrap(text)
    if "\\begin" not in body:
        body = _ESCAPED.sub(r"\\", body)
    if body.startswith("\\boxed{") and body.count("{") == body.count("}") + 1:
        body = body.removeprefix("\\boxed{")
    group = [part for part in last_boxed_group(body) if part]
    if group:
        body = ", ".join(unwrap(part) for part in group)
    body = _GLUED.sub(r" \1 ", body)
    body = _units_outside(_BETWEEN.sub(r"\1, ", body))
    body = re.sub(r"(?<!\\)(?:\\[()\[\]]|\$)", " ", body)
    body = _SIGN_WORD.sub("-", body.strip())
    number = spelled_number(body)
    return tokens(spelled(body if number is None else str(number)))


def read_claim(text: str) -> MathClaim:
    """The claim of a bare answer. Raises `Unreadable`."""
    return claim_of(read_tokens(text))


_ARTICLE = re.compile(r"^(?i:an?|the) (?=[A-Za-z]{3})")
_ESCAPED = re.compile(r"\\\\(?=[a-zA-Z{}])")
"""A backslash that was escaped twice, as in `\\\\frac`; in matrices it ends a row."""
_GLUED = re.compile(r"(?<=[\d)}])(and|or)(?=[A-Za-z(\\-])")
_SIGN_WORD = re.compile(r"^(?:\\text\s?\{\s*)?(?:minus|negative)\s*\}?\s*(?=[\d.]|\\frac)")
_BETWEEN = re.compile(r"(?<==)([^$=<>]{1,200})\$\s+\$(?=[^$]*=)")
_UNIT_FORMULA = re.compile(r"^([-+]?(?:[\d.,/]|\s){1,40})\$([^$]{1,40})\$$")
_UNIT_BEHIND = re.compile(r"^(.*\$)\s*([A-Za-z°][A-Za-z/.°^\d ]{0,40})$", re.DOTALL)


def _units_outside(body: str) -> str:
    r"""Units that stand on the other side of a dollar sign than their number, as `\text`: "35 $m^3$", "$7$ m"."""
    formula = _UNIT_FORMULA.match(body)
    if formula:
        unit = re.sub(r"\\(?:text|mathrm|rm|mbox)|[{}~\\]", " ", formula[2]).strip()
        if all(is_unit(part) for part in re.sub(r"\^ ?-?\d", "", unit).replace("/", " ").split()) and unit:
            return f"{formula[1]}\\text{{{unit}}}"
    behind = _UNIT_BEHIND.match(body)
    if behind and not re.match(r"(?:and|or)\b", behind[2]) and (len(behind[2]) > 1 or is_unit(behind[2])):
        return f"{behind[1]}\\text{{{behind[2]}}}"
    return body


def claim_of(found: list[TexToken]) -> MathClaim:
    """The claim that these tokens make. Raises `Unreadable`."""
    found = _condition(_unbraced(found))
    if any(token.text in CONCLUSIONS for token in found):  # what follows from the rest is what is claimed
        found = _split([TexToken("rel", "=>") if token.text in CONCLUSIONS else token for token in found], "=>")[-1][0]
    while len(found) > 1 and (found[0] in _LEADING or found[0].text.lower() in _ROUGHLY):
        found = found[1:]
    parts = _split(found, "sep")
    items = tuple(item for part, _ in parts if part for item in _items(part))
    if not items:
        raise Unreadable("nothing is claimed")
    return MathClaim(items, any(token is not None and token.text == "or" for _, token in parts))


def _condition(found: list[TexToken]) -> list[TexToken]:
    r"""What holds in `\{x \mid x > 2\}`; other tokens as they are."""
    if len(found) < 5 or found[0].text != "\\{" or _closes(found) != len(found) - 1 or found[1].kind != "letter":
        return found
    for place, token in enumerate(found[2:6], start=2):
        if token.text in ("|", ":") and any(other.kind == "rel" for other in found[place:]):
            return found[place + 1 : -1]
    return found


def _unbraced(found: list[TexToken]) -> list[TexToken]:
    """Without braces around the whole: `{1,2,3}` is a list; and without brackets around an equation."""
    for _ in range(_BRACES):
        if len(found) < 3 or found[0].kind != "open" or _closes(found) != len(found) - 1:
            break
        equation = found[0].text == "(" and any(token.kind == "rel" for token in found)
        if found[0].text != "{" and not equation:
            break
        found = found[1:-1]
    return found


def _closes(found: list[TexToken]) -> int:
    """The place of the bracket that closes the first one."""
    depth = 0
    for place, token in enumerate(found):
        depth += (token.kind == "open") - (token.kind == "close")
        if depth == 0:
            return place
    return -1


def _split(found: list[TexToken], kind: str) -> list[tuple[list[TexToken], TexToken | None]]:
    """The parts between tokens of a kind outside brackets, each with the token that ends it."""
    parts: list[tuple[list[TexToken], TexToken | None]] = []
    depth = start = 0
    for place, token in enumerate(found):
        depth += (token.kind == "open") - (token.kind == "close")
        depth += (token.text.startswith("\\begin") - token.text.startswith("\\end")) if token.kind == "env" else 0
        if depth < 0:
            raise Unreadable("a bracket closes that was not opened")
        if depth == 0 and kind in (token.kind, token.text):
            parts.append((found[start:place], token))
            start = place + 1
    if depth:
        raise Unreadable("a bracket is not closed")
    parts.append((found[start:], None))
    return parts


def _items(found: list[TexToken]) -> list[MathItem]:
    r"""The item that tokens spell; two where `\pm` stands in it."""
    parts = _split(_unbraced(found), "rel")
    relations = tuple(token.text for _, token in parts if token is not None)
    sides = [_value(part, bool(relations)) for part, _ in parts]
    relations = _rounded(sides, relations)
    signs = [side for side in sides if side.node is not None and len(both_signs(side.node)) > 1]
    if not signs or any(side.node is not None and side.node.op == "set" for side in signs):
        return [MathItem(tuple(sides), relations)]
    return [
        MathItem(tuple(_signed(side, place) for side in sides), relations)
        for place in range(2)
    ]  # fmt: skip


def _rounded(sides: list[MathSide], relations: tuple[str, ...]) -> tuple[str, ...]:
    """`1/3 = 0.333` says that 0.333 rounds 1/3."""
    nodes = [side.node for side in sides[-2:]]
    if relations[-1:] != ("=",) or any(node is None for node in nodes):
        return relations
    exact, decimal = (node for node in nodes if node is not None)
    last = last_digit(decimal)
    value = None if last is None or not is_constant(exact) else real_value(exact)
    written = real_value(decimal)
    if last is None or value is None or written is None or not 0 < abs(value - written) <= last / 2:
        return relations
    return (*relations[:-1], "~")


def _signed(side: MathSide, place: int) -> MathSide:
    if side.node is None:
        return side
    signs = both_signs(side.node)
    return side if len(signs) == 1 else replace(side, node=signs[place])


def _value(found: list[TexToken], related: bool) -> MathSide:
    """The value that tokens spell; a word is a name where it stands in a relation."""
    if not found:
        raise Unreadable("a side is empty")
    spelling = re.sub(r"[^\w]|_", "", _ARTICLE.sub("", "".join(token.text for token in found))).lower()
    spelling = "-" + spelling if found[0].text == "-" else spelling
    if related and len(found) == 1 and found[0].kind == "word":
        return MathSide(Node("var", name=found[0].text), spelling)
    words = all(token.kind == "word" for token in found) or (_is_label(found) and not related)
    if words and not (len(found) == 1 and found[0].text in _CURRENCIES):
        return MathSide(None, spelling, remark=REMARK.search(" ".join(token.text for token in found)) is not None)
    found, currency = _without_currency(found)
    body, unit, percent = _with_unit(found)
    node = parse(body)
    if node.op == "percent" and not unit:
        node, percent = node.args[0], True
    factor = 1
    following = unit.split()
    while following and following[0].lower().rstrip(".,") in MULTIPLIERS:
        factor *= MULTIPLIERS[following.pop(0).lower().rstrip(".,")]
    if factor > 1:
        node = Node("mul", (node, Node("num", name=str(factor), value=Fraction(factor))))
    said = " ".join(following)
    if said.lower().startswith(("percent", "pct")):
        percent, said = True, ""
    key = unit_key(f"{currency} {said}".strip())
    return MathSide(node, spelling, key, percent, REMARK.search(said) is not None)


def _is_label(found: list[TexToken]) -> bool:
    r"""`(\text{C})` and `\text{A} B` are words as well."""
    if not any(token.kind == "word" for token in found):
        return False
    return (
        all(token.kind in ("word", "letter") or token.text in ("(", ")", "-", ".", "'") for token in found)
        and found[0].kind != "letter"
    )


def _without_currency(found: list[TexToken]) -> tuple[list[TexToken], str]:
    """The tokens without a currency sign in front, and the sign."""
    place = 1 if found[0].text in ("-", "+") and len(found) > 2 else 0
    if found[place].kind == "word" and found[place].text in _CURRENCIES:
        return found[:place] + found[place + 1 :], found[place].text
    return found, ""


def _with_unit(found: list[TexToken]) -> tuple[list[TexToken], str, bool]:
    """(the tokens of the value, the unit behind it as text, whether a percent sign stands between)."""
    depth = 0
    for place, token in enumerate(found):
        depth += (token.kind == "open") - (token.kind == "close")
        depth += (token.text.startswith("\\begin") - token.text.startswith("\\end")) if token.kind == "env" else 0
        if depth or place == 0 or not _ends_value(found[place - 1]):
            continue
        rest = found[place:]
        if token.kind == "word":
            if not all(_unitish(other) for other in rest) or _counts_again(rest):
                raise Unreadable("words between formulas")
            return found[:place], _said(rest), False
        if token.text == "%" and token.kind == "op" and all(other.kind == "word" for other in rest[1:]):
            return found[:place], _said(rest[1:]), True
        degree = 0 if any(before.kind == "func" for before in found[:place]) else _degree(rest)
        if degree and all(token.kind == "word" or token.text in ("C", "F", "K") for token in rest[degree:]):
            return found[:place], "° " + _said(rest[degree:]), False
        if any(mark.kind == "word" for mark in rest) and _is_frac_unit(rest):
            return found[:place], _said(rest), False
    return found, "", False


def _ends_value(token: TexToken) -> bool:
    return token.kind in ("num", "letter", "const", "close") or token.text in ("!", "'") or token.kind == "env"


def _degree(rest: list[TexToken]) -> int:
    """How many tokens at the start are a degree sign."""
    texts = [token.text for token in rest[:4]]
    if texts[:1] in (["deg"], ["circ"]) and rest[0].kind == "op":
        return 1
    if texts[:2] in (["^", "circ"], ["^", "deg"]):
        return 2
    return 4 if texts in (["^", "{", "circ", "}"], ["^", "{", "deg", "}"]) else 0


def _is_frac_unit(rest: list[TexToken]) -> bool:
    r"""`5 \frac{\text{m}}{\text{s}}` and `5 {\text{cm}}`, but not the fraction in `4\frac13 \text{ g}`."""
    opening = 1 if rest[0].text == "frac" else 0
    if len(rest) < opening + 2 or rest[opening].text != "{" or rest[opening + 1].kind != "word":
        return False
    return all(_unitish(token) for token in rest[opening:])


def _counts_again(rest: list[TexToken]) -> bool:
    """Whether a number follows that is no exponent: "7 hours 20 minutes" is no unit."""
    return any(
        token.kind == "num" and not any(before.text == "^" for before in rest[max(0, place - 3) : place])
        for place, token in enumerate(rest)
    )


def _unitish(token: TexToken) -> bool:
    if token.kind == "letter":
        return len(token.text) == 1
    return token.kind in ("word", "num") or token.text in ("^", "/", "*", "-", "circ", "deg", "{", "}", "(", ")", ".")


def _said(rest: list[TexToken]) -> str:
    r"""The words of a unit; `\frac{\text{m}}{\text{s}}` as m/s."""
    texts = [token.text for token in rest]
    if texts[:1] == ["frac"]:
        return "".join(texts[1:]).replace("}{", "/").strip("{}")
    return re.sub(
        r"\^ \{? ?(-?) ?(\d) ?\}?", r"^\1\2", " ".join("°" if text in ("circ", "deg") else text for text in texts)
    )
