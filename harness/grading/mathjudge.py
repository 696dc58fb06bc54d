r"""Whether two claims say the same: lists as lists, equations as equations, named values by their names.

The rules are those of docs/grading.md. `Undecided` (from `harness.grading.mathsame`) where numbers cannot tell.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from harness.grading.mathclaim import MathClaim, MathItem, MathSide
from harness.grading.mathintervals import as_set
from harness.grading.mathnode import Node
from harness.grading.mathpoints import Kind, agree, both_signs, difference, is_constant, mentions
from harness.grading.mathsame import STRUCTURES, ordered, same, unordered
from harness.grading.units import same_unit

_FLIPPED = {">": "<", ">=": "<="}


def claims_equal(gold: MathClaim, answer: MathClaim) -> bool:
    """Whether the answer claims what the gold claims. Raises `Undecided`."""
    golds, answers = _spread(gold), _spread(answer)
    if any(_is_domain(item) for item in (*golds, *answers)):
        golds, answers = _without_domains(golds, answers)
    if len(golds) == len(answers) == 1:
        return items_equal(golds[0], answers[0])
    if (len(golds) == 1) != (len(answers) == 1):
        return _one_against_list(gold, golds, answer, answers)
    return _lists_equal(golds, answers)


def _spread(claim: MathClaim) -> list[MathItem]:
    r"""The items; those of a set, where a set (or `x = {…}`, `x \in {…}`) is all there is."""
    only = claim.items[0]
    node = only.sides[-1].node
    if len(claim.items) > 1 or node is None or node.op != "set" or only.relations not in ((), ("=",), ("in",)):
        return list(claim.items)
    if only.relations and not _is_name(only.sides[0]):
        return list(claim.items)
    elements = [replace(only.sides[-1], node=part) for arg in node.args for part in both_signs(arg)]
    named = ("=",) if only.relations else ()
    return [MathItem((*only.sides[:-1], element), named) for element in elements]


def _is_domain(item: MathItem) -> bool:
    r"""`k \\in \\mathbb{Z}`: says what a letter stands for."""
    if item.relations != ("in",):
        return False
    node = item.sides[1].node
    return node is not None and node.op == "var" and node.name.startswith("mathbb(")


def _without_domains(golds: list[MathItem], answers: list[MathItem]) -> tuple[list[MathItem], list[MathItem]]:
    """Such items count only where both sides have them beside others."""
    if all(any(_is_domain(item) for item in items) for items in (golds, answers)):
        return golds, answers
    return [i for i in golds if not _is_domain(i)] or golds, [i for i in answers if not _is_domain(i)] or answers


def _one_against_list(gold: MathClaim, golds: list[MathItem], answer: MathClaim, answers: list[MathItem]) -> bool:
    """A tuple against its elements in their order; a union of intervals against inequalities joined by "or"."""
    one, many = (golds[0], answers) if len(golds) == 1 else (answers[0], golds)
    either = answer.either if len(golds) == 1 else gold.either
    node = _bare(one)
    if node is None:
        named = _assignment(one)
        node = named[1].node if named else None
    if node is not None and node.op == "tuple":
        names = [letter.spelling for letter in _letters(one)] or sorted(name for name in _names(many) if len(name) == 1)
        if len(set(names)) == len(many) and sorted(names) == sorted(_names(many)):
            many = sorted(many, key=lambda item: names.index(_names([item])[0]))
        values = [value_of(item) for item in many]
        nodes = [value.node for value in values if value is not None and value.node is not None]
        return len(nodes) == len(many) and ordered(node.args, nodes)
    if either:
        sets = [as_set(item) for item in many]
        united = as_set(one)
        parts = [found[1] for found in sets if found is not None]
        if united is not None and len(parts) == len(many):
            return same(united[1], Node("cup", tuple(parts)))
    return False


def _letters(item: MathItem) -> list[MathSide]:
    """The names in `(x,y) = (1,2)`."""
    node = item.sides[0].node
    if not item.relations or node is None or node.op != "tuple" or any(arg.op != "var" for arg in node.args):
        return []
    return [MathSide(arg, re.sub(r"\W|_", "", arg.name).lower()) for arg in node.args]


def value_of(item: MathItem) -> MathSide | None:
    """The value that an item claims, without its name; None if it is no such claim."""
    if not item.relations:
        return item.sides[0]
    named = _assignment(item)
    return named[1] if named else None


def _bare(item: MathItem) -> Node | None:
    return None if item.relations else item.sides[0].node


def _lists_equal(golds: list[MathItem], answers: list[MathItem]) -> bool:
    named = [_names(items) for items in (golds, answers)]
    if all(len(set(names)) > 1 and "" not in names for names in named):
        return unordered(_groups(golds, named[0]), _groups(answers, named[1]), _group_equal)
    if len(golds) != len(answers):
        return len(golds) < len(answers) <= 2 * len(golds) and _repeats(golds, answers)
    for names in named:
        if "" not in names and len({name.split("_")[0] for name in names}) == len(names) > 1:
            return all(items_equal(g, a) for g, a in zip(golds, answers, strict=True)) or (
                names is named[1] and unordered(golds, answers, items_equal)
            )
    return unordered(golds, answers, items_equal)


def _repeats(golds: list[MathItem], answers: list[MathItem]) -> bool:
    """Whether the answer is the gold with elements said twice, none of which the gold says twice."""
    return all(any(items_equal(gold, answer) for gold in golds) for answer in answers) and all(
        any(items_equal(gold, answer) for answer in answers)
        and not any(items_equal(gold, other) for other in golds[place + 1 :])
        for place, gold in enumerate(golds)
    )


def _names(items: Sequence[MathItem]) -> list[str]:
    """The name of each item's value; a value without one that follows a named one has that name."""
    names: list[str] = []
    for item in items:
        found = _assignment(item)
        names.append(found[0].spelling if found else names[-1] if names and not item.relations else "")
    return names


def _groups(items: list[MathItem], names: list[str]) -> list[list[MathItem]]:
    """`p=5, q=2; p=7, q=2` as two groups: a new one begins where a name comes again."""
    groups: list[list[MathItem]] = []
    seen: set[str] = set()
    for item, name in zip(items, names, strict=True):
        if not groups or name in seen:
            groups.append([])
            seen = set()
        groups[-1].append(item)
        seen.add(name)
    return groups


def _group_equal(golds: list[MathItem], answers: list[MathItem]) -> bool:
    return unordered(golds, answers, items_equal)


def items_equal(gold: MathItem, answer: MathItem) -> bool:
    """Whether two items say the same. Raises `Undecided`."""
    if not gold.relations and not answer.relations:
        return values_equal(gold.sides[0], answer.sides[0])
    if "~" in gold.relations + answer.relations:
        return _approximately(gold, answer)
    sets = as_set(gold), as_set(answer)
    if sets[0] is not None and sets[1] is not None:
        names = {found[0] for found in sets if found is not None and found[0]}
        return len(names) <= 1 and same(sets[0][1], sets[1][1])
    left, right = _assignment(gold), _assignment(answer)
    if not gold.relations:
        return right is not None and values_equal(gold.sides[0], right[1])
    if not answer.relations:
        return left is not None and _is_value_of(*left) and values_equal(left[1], answer.sides[0])
    if left is not None and right is not None:
        chains = _chain_names(gold), _chain_names(answer)
        if max(len(chains[0]), len(chains[1])) > 1:
            return chains[0] == chains[1] and values_equal(left[1], right[1])
        renamed = _same_name(left, right)
        if renamed is not None:
            return values_equal(left[1], renamed)
    return _relations_equal(gold, answer)


def values_equal(gold: MathSide, answer: MathSide) -> bool:
    """Whether two values with their units are equal. Raises `Undecided`."""
    if answer.remark and not gold.remark:
        return False
    if gold.node is None or answer.node is None:
        return gold.spelling == answer.spelling
    if gold.spelling.isalpha() and answer.spelling.isalpha() and _is_letter(gold) and _is_letter(answer):
        return _same_letter(gold, answer)
    if not same_unit(gold.unit or gold.percent * "%", answer.unit or answer.percent * "%"):
        return False
    if gold.unit in ("deg", "rad") and answer.unit == "" and mentions(answer.node, "const"):
        return same(_in_radians(gold), answer.node) or same(gold.node, answer.node)
    if answer.unit in ("deg", "rad") and gold.unit == "" and mentions(gold.node, "const"):
        return same(gold.node, _in_radians(answer)) or same(gold.node, answer.node)
    if gold.percent == answer.percent:
        return same(gold.node, answer.node)
    if gold.percent:
        return same(gold.node, answer.node) or same(Node("percent", (gold.node,)), answer.node)
    return same(gold.node, answer.node) or same(gold.node, Node("percent", (answer.node,)))


def _is_letter(value: MathSide) -> bool:
    return len(value.spelling) == 1 and value.node is not None and value.node.op == "var"


def _same_letter(gold: MathSide, answer: MathSide) -> bool:
    """An option letter is the same in lower case; any other letter is a variable."""
    assert gold.node is not None and answer.node is not None
    return gold.node.name == answer.node.name or (
        gold.node.name in "ABCDE" and gold.node.name == answer.node.name.upper()
    )


def _in_radians(value: MathSide) -> Node:
    assert value.node is not None
    return Node("degree", (value.node,)) if value.unit == "deg" else value.node


def _assignment(item: MathItem) -> tuple[MathSide, MathSide] | None:
    """(name, value) of "name = … = value" and of "value = name"; None for anything else."""
    relations = item.relations
    if not relations or any(relation != "=" for relation in relations):
        return None
    first, last = item.sides[0], item.sides[-1]
    if _is_quantity(first):
        return first, last
    if first.node is not None and is_constant(first.node):
        return (last, first) if len(item.sides) == 2 and _is_name(last) else (first, last)
    return None


def _chain_names(item: MathItem) -> frozenset[str]:
    """The letters that a chain gives one value: p and q in `p = q = 3`."""
    nodes = [side.node for side in item.sides[:-1]]
    return frozenset(node.name for node in nodes if node is not None and node.op == "var")


def _is_name(value: MathSide) -> bool:
    return value.node is None or value.node.op in ("var", "app")


def _is_value_of(name: MathSide, value: MathSide) -> bool:
    """Whether "name = value" gives one quantity its value, so that the value alone answers it; `MR=SRMC` does not."""
    node = value.node
    both_names = node is not None and (
        (node.op == "var" and node.name.isalpha() and len(node.name) > 1)
        or (node.op == "mul" and all(part.op == "var" and part.name.isupper() for part in node.args))
    )
    return _names_one(name) and not both_names


def _names_one(value: MathSide) -> bool:
    """Whether a name is that of one quantity, so that its value alone answers the whole."""
    node = value.node
    if node is None or node.op in ("var", "app", "tuple", "func", "abs", "ratio", "big"):
        return True
    if node.op == "div":
        return all(_names_one(replace(value, node=part)) for part in node.args)
    return node.op == "mul" and (
        all(part.op == "var" and part.name.isupper() for part in node.args)
        or any(part.name.startswith("\\angle") for part in node.args)
    )


def _is_quantity(value: MathSide) -> bool:
    """Whether a side names a quantity (`x`, `f(2)`, `|AB|`, `m+n`) and is no curve (`2x+3y`, `x^2`)."""
    return value.node is None or _quantity(value.node)


def _quantity(node: Node) -> bool:
    match node.op:
        case "var" | "app" | "big":
            return True
        case "add" | "mul" | "div" | "ratio" | "tuple" | "abs" | "root":
            return bool(node.args) and all(_quantity(arg) for arg in node.args)
        case "neg":
            return _quantity(node.args[0])
        case "func":
            return not is_constant(node)
    return False


def _same_name(gold: tuple[MathSide, MathSide], answer: tuple[MathSide, MathSide]) -> MathSide | None:
    """The answer's value, its function's variable renamed to the gold's, if both have the same name."""
    left, right = gold[0].node, answer[0].node
    if left is None or right is None:
        return answer[1] if gold[0].spelling == answer[0].spelling else None
    if left == right:
        return answer[1]
    if {left.op, right.op} == {"app", "var"} and left.name == right.name:  # x(t) = … and x = …
        return answer[1] if all(arg.op == "var" for arg in (*left.args, *right.args)) else None
    if left.op == right.op == "app" and left.name == right.name and len(left.args) == len(right.args):
        pairs = list(zip(right.args, left.args, strict=True))
        if all(old.op == new.op == "var" for old, new in pairs) and answer[1].node is not None:
            names = {old.name: new for old, new in pairs}
            if any(new.name not in names and _names_variable(answer[1].node, new.name) for new in names.values()):
                return None
            return replace(answer[1], node=_substituted(answer[1].node, names))
    return None


def _names_variable(node: Node, name: str) -> bool:
    return (node.op == "var" and node.name == name) or any(_names_variable(arg, name) for arg in node.args)


def _substituted(node: Node, names: dict[str, Node]) -> Node:
    if node.op == "var" and node.name in names:
        return names[node.name]
    return Node(node.op, tuple(_substituted(arg, names) for arg in node.args), node.name, node.value)


def _approximately(gold: MathItem, answer: MathItem) -> bool:
    """`≈` has two sides, and both count where both items have them; a bare value answers either."""
    left, right = (_exact_and_rounded(item) for item in (gold, answer))
    if not gold.relations or not answer.relations:
        bare = gold if not gold.relations else answer
        found = right if bare is gold else left
        pairs = [(bare.sides[0], side) if bare is gold else (side, bare.sides[0]) for side in found]
        return any(values_equal(g, a) for g, a in pairs)
    if "~" in gold.relations and "~" in answer.relations:
        return len(gold.sides) == len(answer.sides) and (
            _sides_equal(gold.sides, answer.sides) or _sides_equal(gold.sides, answer.sides[::-1])
        )
    named = _assignment(_before_rounding(gold)), _assignment(_before_rounding(answer))
    names = [found[0] if found else item.sides[0] for found, item in zip(named, (gold, answer), strict=True)]
    return values_equal(names[0], names[1]) and any(values_equal(g, a) for g in left for a in right)


def _sides_equal(golds: Sequence[MathSide], answers: Sequence[MathSide]) -> bool:
    return all(values_equal(g, a) for g, a in zip(golds, answers, strict=True))


def _before_rounding(item: MathItem) -> MathItem:
    count = item.relations.index("~") if "~" in item.relations else len(item.relations)
    return MathItem(item.sides[: count + 1], item.relations[:count]) if count else item


def _exact_and_rounded(item: MathItem) -> list[MathSide]:
    """The value before `≈`, if it is no mere name, and the one behind it."""
    if "~" not in item.relations:
        named = _assignment(item)
        return [named[1] if named else item.sides[-1]]
    place = item.relations.index("~")
    before = item.sides[place]
    return ([] if place == 0 and _is_name(before) else [before]) + [item.sides[-1]]


def _relations_equal(gold: MathItem, answer: MathItem) -> bool:
    """Chains link by link, in any order: each link up to a factor that is not zero, and positive in an inequality."""
    golds, answers = _links(gold), _links(answer)
    if golds is None or answers is None:
        return gold.relations == answer.relations and _sides_equal(gold.sides, answer.sides)
    return unordered(golds, answers, _link_equal)


Link = tuple[str, MathSide, MathSide]


def _links(item: MathItem) -> list[Link] | None:
    found = []
    for place, relation in enumerate(item.relations):
        left, right = item.sides[place], item.sides[place + 1]
        if left.node is None or right.node is None or relation not in ("=", "<", "<=", ">", ">=", "!="):
            return None
        if left.node.op in STRUCTURES or right.node.op in STRUCTURES:
            return None
        found.append((_FLIPPED[relation], right, left) if relation in _FLIPPED else (relation, left, right))
    return found


def _link_equal(gold: Link, answer: Link) -> bool:
    """Whether two equations or inequalities have the same solutions, up to a factor."""
    if gold[0] != answer[0]:
        return False
    sides = [value.node for value in (*gold[1:], *answer[1:])]
    a, b, c, d = (node for node in sides if node is not None)
    straight = same_unit(gold[1].unit, answer[1].unit) and same_unit(gold[2].unit, answer[2].unit)
    crossed = same_unit(gold[1].unit, answer[2].unit) and same_unit(gold[2].unit, answer[1].unit)
    turned = gold[0] in ("=", "!=") and crossed
    if (straight and same(a, c) and same(b, d)) or (turned and same(a, d) and same(b, c)):
        return True
    if all(is_constant(node) for node in (a, b)) or all(is_constant(node) for node in (c, d)):
        return False
    if not straight and not turned:
        return False
    kind: Kind = "positive" if gold[0] in ("<", "<=") else "proportional"
    return agree((difference(a, b),), (difference(c, d),), kind)
