"""Streams of problems from a seed, with splits that cannot overlap.

How the splits are kept apart: every problem has a *key*, its computation in canonical form (numbers and operations,
the operands of sums and products sorted) together with its story. The key's digest decides the split, whatever the
seed. So a question of the test split is in no train stream, and neither is its twin with other names or wording.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from harness.errors import DataError, UnknownName
from harness.synth.draft import SIZES, Draft, Redraw, Size
from harness.synth.expressions import Op
from harness.synth.records import FAMILIES, LEVELS, SPLITS, Family, Level, Operand, Split, SubProblem, SynthProblem
from harness.synth.rng import Rng, digest
from harness.synth.stories import STORIES

Story = Callable[[Draft, int], str]
ASKS = ("What is {}?", "Compute {}.", "Calculate {}.", "Work out {}.", "Find the value of {}.")
_WORDS: dict[Op, str] = {"+": "sum", "-": "difference", "*": "product", "/": "quotient"}
_RANKS: dict[Op, int] = {"+": 1, "-": 1, "*": 2, "/": 2}
_OPS: tuple[Op, ...] = ("+", "+", "-", "*", "*")
"""Drawn from with these weights; a division is tried where it is exact."""


@dataclass(frozen=True, slots=True)
class _Node:
    """A subtree: what stands for it in a sub-problem, how it is written, how tightly it binds."""

    operand: Operand
    text: str
    rank: int = 3


def _write(op: Op, left: _Node, right: _Node) -> str:
    """Text of an operation, with brackets wherever leaving them out would change the order of the operations."""
    left_text = f"({left.text})" if left.rank < _RANKS[op] else left.text
    right_text = f"({right.text})" if right.rank <= _RANKS[op] else right.text
    return f"{left_text} {op} {right_text}"


def _number(number: int) -> _Node:
    return _Node(number, str(number))


def _shape(draft: Draft, steps: int) -> _Node:
    """A random subtree of that many operations."""
    if steps == 0:
        return _number(draft.addend())
    left_steps = draft.rng.below(steps)
    left = _shape(draft, left_steps)
    right = _shape(draft, steps - 1 - left_steps)
    op = draft.rng.pick(_OPS)
    if op == "*":
        left = _number(draft.unit()) if isinstance(left.operand, int) else left
        right = _number(draft.factor()) if isinstance(right.operand, int) else right
    elif isinstance(left.operand, str) and isinstance(right.operand, int) and draft.rng.below(4) == 0:
        with contextlib.suppress(Redraw):  # no divisor: the operation stays what it was
            right = _number(draft.divisor(left.operand))
            op = "/"
    if op == "-" and draft.value(left.operand) < draft.value(right.operand):
        left, right = right, left
    text = _write(op, left, right)
    operand = draft.solve(f"What is {text}?", f"The {_WORDS[op]} is {{}}.", left.operand, op, right.operand)
    return _Node(operand, text, _RANKS[op])


def expression(draft: Draft, steps: int) -> str:
    """Write one expression of `steps` operations into the draft; raises `Redraw` for unusable numbers."""
    draft.say(draft.rng.pick(ASKS).format(_shape(draft, steps).text))
    return "expression"


_SHARES: tuple[tuple[Split, int], ...] = (("train", 70), ("dev", 80), ("test", 100))
"""Upper ends, in percent of the keys."""
_PATIENCE = 1_000
"""Problems in a row that are known or of another split before a stream counts as exhausted."""
_TRIES = 200
"""Draws of one story until its numbers are usable; keeps the stories equally frequent."""

_STORIES = {
    level: [(story, steps) for story, steps in STORIES if any(size.steps[0] <= n <= size.steps[1] for n in steps)]
    for level, size in SIZES.items()
}


def canonical(subproblems: tuple[SubProblem, ...]) -> str:
    """The computation as text, the operands of sums and products sorted: "(+ 3 (* 4 7))"."""
    forms: dict[str, str] = {}

    def form(operand: Operand) -> str:
        return str(operand) if isinstance(operand, int) else forms[operand]

    for sub in subproblems:
        sides = [form(sub.left), form(sub.right)]
        if sub.op in "+*":
            sides.sort()
        forms[sub.id] = f"({sub.op} {sides[0]} {sides[1]})"
    return forms[subproblems[-1].id]


def split_of(template: str, subproblems: tuple[SubProblem, ...]) -> Split:
    """The only split in which this computation in this story may appear."""
    return split_by(template, canonical(subproblems))


def split_by(*key: str) -> Split:
    """The split of whatever has that key."""
    bucket = digest("split", *key) % 100
    return next(split for split, end in _SHARES if bucket < end)


def _draw(rng: Rng, level: Level, family: Family) -> SynthProblem | None:
    """A problem of any split; None if a story found no usable numbers."""
    size = SIZES[level]
    story, steps = (expression, range(1, 9)) if family == "arithmetic" else rng.pick(_STORIES[level])
    told = tell(rng, size, story, [count for count in steps if size.steps[0] <= count <= size.steps[1]], family)
    if told is None:
        return None
    template, question, subs = told
    split = split_of(template, subs)
    return SynthProblem(
        question_id(str(level), question), level, family, template, split, question, subs[-1].answer, subs
    )


def question_id(prefix: str, question: str) -> str:
    """An id that depends on the question only: the same in every seed."""
    return f"synth-{prefix}-{hashlib.sha256(question.encode()).hexdigest()[:12]}"


def tell(
    rng: Rng, size: Size, story: Story, fitting: Sequence[int], family: Family
) -> tuple[str, str, tuple[SubProblem, ...]] | None:
    """Template, question and sub-problems of a story of one of those lengths; None if it found no usable numbers."""
    for _ in range(_TRIES):
        draft = Draft(rng=rng, size=size, least=0 if family == "arithmetic" else 2)
        try:
            template = story(draft, rng.pick(fitting))
        except Redraw:
            continue
        if len(draft.subs) == 1 and max(draft.value(draft.subs[0].left), draft.value(draft.subs[0].right)) < size.reach:
            continue
        if family == "word":
            draft.say(draft.subs[-1].question)
        return template, " ".join(draft.sentences), tuple(draft.subs)
    return None


def stream(seed: int, level: Level, split: Split, family: Family | None = None) -> Iterator[SynthProblem]:
    """Endless distinct problems of one level and split, half of each family unless one is asked for.

    A longer stream begins with the shorter one. Raises `UnknownName` for a level, split or family that does not
    exist, and `DataError` when no new question was found in many draws (level 1 arithmetic is small).
    """
    for kind, name, known in (("level", level, LEVELS), ("split", split, SPLITS)):
        if name not in known:
            raise UnknownName(kind, str(name), map(str, known))
    if family is not None and family not in FAMILIES:
        raise UnknownName("family", family, FAMILIES)
    return _stream(seed, level, split, family)


def _stream(seed: int, level: Level, split: Split, family: Family | None) -> Iterator[SynthProblem]:
    rng = Rng("synth", seed, level, split, family)
    seen: set[str] = set()
    misses = 0
    while misses < _PATIENCE:
        problem = _draw(rng, level, family if family is not None else rng.pick(FAMILIES))
        if problem is None or problem.split != split or problem.question in seen:
            misses += 1
            continue
        misses = 0
        seen.add(problem.question)
        yield problem
    raise DataError(
        f"no new {family or 'synth'} problem of level {level} in split {split!r} after {len(seen)}: ask for fewer, "
        "for a higher level or for both families"
    )


def generate(
    seed: int, level: Level, count: int, split: Split = "train", family: Family | None = None
) -> list[SynthProblem]:
    """The first `count` problems of `stream`; raises as that does, and `DataError` for a negative count."""
    if count < 0:
        raise DataError(f"count must be 0 or more, not {count}")
    return list(islice(stream(seed, level, split, family), count))
