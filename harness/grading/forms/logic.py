"""Cases for the logic puzzles: knights and knaves, and countdown.

Each spelling of the gold goes into each sentence, as it is (right) and for another world or expression (wrong). What a
changed expression is worth is computed here, with fractions, not asked of the grader.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from typing import TypeVar

from harness.grading.forms import Case, Part, Wording, part_of
from harness.grading.forms.words import SAID
from harness.synth.draft import listing
from harness.synth.expressions import Tree, parse, write
from harness.types import Problem

World = Mapping[str, bool]
T = TypeVar("T")


def _group(world: World, knight: bool) -> list[str]:
    return [name for name, kind in world.items() if kind == knight]


def _kind(knight: bool, several: bool = False) -> str:
    return ("knight" if knight else "knave") + ("s" if several else "")


def _grouped(world: World, join: str = ", ", both: str = "") -> str:
    told = []
    for knight in (True, False):
        names = _group(world, knight)
        if names:
            verb = f"are {both if len(names) == 2 else ''}{_kind(knight, True)}" if len(names) > 1 else ""
            told.append(f"{listing(names)} {verb or f'is a {_kind(knight)}'}")
    return join.join(told)


def _headed(world: World, join: str, mark: str) -> str:
    groups = [(knight, _group(world, knight)) for knight in (True, False)]
    return join.join(f"{_kind(knight, len(names) > 1)}{mark}{listing(names)}" for knight, names in groups if names)


def _each(text: str, join: str = ", ") -> Callable[[World], str]:
    def told(world: World) -> str:
        return join.join(
            text.format(name=name, kind=_kind(knight), other=_kind(not knight)) for name, knight in world.items()
        )

    return told


KNIGHTS: tuple[tuple[str, Callable[[World], str]], ...] = (
    ("each, comma", _each("{name} is a {kind}")),
    ("each, and", _each("{name} is a {kind}", " and ")),
    ("each, semicolon", _each("{name} is a {kind}", "; ")),
    ("each, colon", _each("{name}: {kind}")),
    ("each, equals", _each("{name} = {kind}")),
    ("each, brackets", _each("{name} ({kind})")),
    ("each, bare", _each("{name} {kind}")),
    ("each, capitals", lambda world: _each("{name} is a {kind}")(world).replace("kn", "KN")),
    ("each, bold", _each("**{name}** is a **{kind}**")),
    ("each, arrow", _each("{name} -> {kind}")),
    ("each, negative", _each("{name} is not a {other}")),
    ("each, short negative", _each("{name} isn't a {other}")),
    ("each, twice", _each("{name} is a {kind}, not a {other}")),
    ("each, must be", _each("{name} must be a {kind}")),
    ("each, lines", _each("\n- {name} is a {kind}", "")),
    ("each, numbered", _each("\n1) {name}: {kind}", "")),
    ("each, table", _each("\n| {name} | {kind} |", "")),
    ("each, latex", _each(r"\text{{{name} is a {kind}}}")),
    ("each, JSON", lambda world: "{" + _each('"{name}": "{kind}"')(world) + "}"),
    ("backwards", lambda world: _each("{name} is a {kind}")(dict(reversed(list(world.items()))))),
    ("grouped, comma", _grouped),
    ("grouped, and", lambda world: _grouped(world, " and ")),
    ("grouped, while", lambda world: _grouped(world, " while ")),
    ("grouped, both", lambda world: _grouped(world, ", ", "both ")),
    ("grouped, lines", lambda world: "\n" + _grouped(world, ".\n")),
    ("headed, colon", lambda world: _headed(world, "; ", ": ")),
    ("headed, comma", lambda world: _headed(world, ", ", ": ")),
    ("headed, verb", lambda world: "the " + _headed(world, " and the ", " is ").replace("s is ", "s are ")),
    ("headed, lines", lambda world: "\n" + _headed(world, "\n", ": ")),
)
KNIGHT_TRAPS: tuple[Wording, ...] = (
    Wording("or", "The answer is {value} or {other}."),
    Wording("if", "The answer is {value} if we believe the first."),
    Wording("either", "The answer is either {value}, or nothing at all."),
    Wording("maybe", "The answer is maybe {value}."),
    Wording("both ways", "The answer is {other}, {value}."),
    Wording("in the thought only", "<think>The answer is {value}.</think>I cannot tell."),
    Wording("one left out", "The answer is {short}."),
    Wording("box of the other", "The answer is {value}. \\boxed{{other}}"),
    Wording("corrected away", "The answer is {value}. Wait, that is wrong.\nThe answer is {other}."),
)


def knights_cases(problem: Problem, seed: int, parts: frozenset[Part]) -> Iterator[Case]:
    """The gold and each world with one person changed, in each spelling and sentence; and traps."""
    told = [part.split(" is a ") for part in problem.target.split(", ")]
    gold: World = {name: kind == "knight" for name, kind in told}
    others: list[World] = [{**gold, name: not knight} for name, knight in gold.items()]
    yield from _spelled(problem, "knights", parts, gold, others, KNIGHTS)
    spell = KNIGHTS[0][1]
    short = spell(dict(list(gold.items())[:-1]))
    for trap in KNIGHT_TRAPS:
        if part_of(f"knights: {trap.name}") in parts:
            text = trap.text.replace("{value}", spell(gold)).replace("{other}", spell(others[0]))
            yield Case(problem, "trap", f"knights: {trap.name}", False, text.replace("{short}", short))


def _spelled(
    problem: Problem,
    grader: str,
    parts: frozenset[Part],
    gold: T,
    others: list[T],
    spellings: tuple[tuple[str, Callable[[T], str]], ...],
) -> Iterator[Case]:
    """Each spelling by itself, in one sentence after the other, of the gold and of something else."""
    for place, (name, spell) in enumerate(spellings):
        form = f"{grader}: {name}"
        if part_of(form) in parts:
            for step in range(2):
                other = others[(place + step) % len(others)]
                sentence = SAID[(2 * place + step) % len(SAID)].text
                if "\n" in spell(gold):
                    sentence = "The answer is:{value}"
                yield Case(problem, "spelling", form, True, _put(sentence, spell(gold), spell(other)))
                yield Case(problem, "spelling", form, False, _put(sentence, spell(other), spell(gold)))
    for said in SAID:
        form = f"{grader}: {said.name}"
        if part_of(form) in parts:
            spell = spellings[0][1]
            yield Case(problem, "sentence", form, True, _put(said.text, spell(gold), spell(others[0])))
            yield Case(problem, "sentence", form, False, _put(said.text, spell(others[0]), spell(gold)))


def _put(text: str, value: str, other: str) -> str:
    return text.replace("{value}", value).replace("{other}", other)


def _latex(tree: Tree) -> str:
    if isinstance(tree, int):
        return str(tree)
    op, left, right = tree
    if op == "/":
        return rf"\frac{{{_latex(left)}}}{{{_latex(right)}}}"
    sides = [_latex(side) if isinstance(side, int) else rf"\left({_latex(side)}\right)" for side in (left, right)]
    sign = r"\times" if op == "*" else op
    return f"{sides[0]} {sign} {sides[1]}"


def _swapped(tree: Tree) -> Tree:
    """Operands of sums and products the other way round."""
    if isinstance(tree, int):
        return tree
    op, left, right = tree[0], _swapped(tree[1]), _swapped(tree[2])
    return (op, right, left) if op in "+*" else (op, left, right)


COUNTDOWN: tuple[tuple[str, Callable[[Tree], str]], ...] = (
    ("as asked", write),
    ("no blanks", lambda tree: write(tree).replace(" ", "")),
    ("with its value", lambda tree: f"{write(tree)} = {_shown(tree)}"),
    ("value first", lambda tree: f"{_shown(tree)} = {write(tree)}"),
    ("signs", lambda tree: write(tree).replace("*", "×").replace("/", "÷").replace("-", "−")),
    ("dots", lambda tree: write(tree).replace("*", "·")),
    ("letter x", lambda tree: write(tree).replace("*", "x")),
    ("square brackets", lambda tree: write(tree).replace("(", "[").replace(")", "]")),
    ("in brackets", lambda tree: f"({write(tree)})"),
    ("swapped", lambda tree: write(_swapped(tree))),
    ("latex", _latex),
    ("dollars", lambda tree: f"${_latex(tree)}$"),
    ("latex, with its value", lambda tree: f"${_latex(tree)} = {_shown(tree)}$"),
    ("brackets everywhere", lambda tree: _bracketed(tree)),
    ("named", lambda tree: f"the expression {write(tree)}"),
    ("explained", lambda tree: f"{write(tree)}, which uses every number once"),
)
COUNTDOWN_TRAPS: tuple[Wording, ...] = (
    Wording("not", "The answer is not {value}."),
    Wording("or", "The answer is {value} or {other}."),
    Wording("value only", "The answer is {number}."),
    Wording("claims another value", "The answer is {value} = {number}1."),
    Wording("plus nothing", "The answer is {value} + 0."),
    Wording("a power", "The answer is ({value})^1."),
    Wording("half a bracket", "The answer is ({value}."),
    Wording("code", "The answer is int({value})."),
    Wording("in the thought only", "<think>The answer is {value}.</think>I cannot tell."),
    Wording("box of the other", "The answer is {value}. \\boxed{{other}}"),
    Wording("corrected away", "The answer is {value}. Wait, that is wrong.\nThe answer is {other}."),
)


def _exact(tree: Tree) -> Fraction | None:
    """Its value; None where it divides by zero."""
    if isinstance(tree, int):
        return Fraction(tree)
    left, right = _exact(tree[1]), _exact(tree[2])
    if left is None or right is None or (tree[0] == "/" and right == 0):
        return None
    return {"+": left + right, "-": left - right, "*": left * right, "/": left / (right or 1)}[tree[0]]


def _shown(tree: Tree) -> str:
    return str(_exact(tree))


def _bracketed(tree: Tree) -> str:
    return str(tree) if isinstance(tree, int) else f"({_bracketed(tree[1])} {tree[0]} {_bracketed(tree[2])})"


def _changed(tree: Tree) -> Iterator[Tree]:
    """Trees with one operation or one number changed, or one number left out."""
    if isinstance(tree, int):
        yield tree + 1
        return
    op, left, right = tree
    yield from ((other, left, right) for other in ("+", "-", "*", "/") if other != op)
    yield left
    yield from ((op, changed, right) for changed in _changed(left))
    yield from ((op, left, changed) for changed in _changed(right))


def _numbers(tree: Tree) -> list[int]:
    return [tree] if isinstance(tree, int) else sorted([*_numbers(tree[1]), *_numbers(tree[2])])


def countdown_cases(problem: Problem, seed: int, parts: frozenset[Part]) -> Iterator[Case]:
    """The gold and expressions with one change that makes them wrong, in each spelling and sentence; and traps."""
    tree = parse(problem.target.partition("=")[0])
    goal, numbers = _exact(tree), _numbers(tree)
    changed = [one for one in _changed(tree) if _exact(one) is not None and not isinstance(one, int)]
    others: list[Tree] = [one for one in changed if _exact(one) != goal or _numbers(one) != numbers]
    yield from _spelled(problem, "countdown", parts, tree, others, COUNTDOWN)
    for trap in COUNTDOWN_TRAPS:
        if part_of(f"countdown: {trap.name}") in parts:
            text = _put(trap.text, write(tree), write(others[0])).replace("{number}", str(goal))
            yield Case(problem, "trap", f"countdown: {trap.name}", False, text)
