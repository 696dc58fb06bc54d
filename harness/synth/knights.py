"""Knights and knaves: everybody says one thing, knights the truth, knaves a lie; who is what?

Every puzzle has one solution, found by trying all. The right chain supposes that the first person is a knight and
derives what each statement makes of those it is about, until all is known or two things cannot both be. The wrong chain
misreads one statement as its opposite and reasons rightly from there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Literal

from harness.synth.draft import listing
from harness.synth.records import DrawnPuzzle, Level
from harness.synth.rng import Rng
from harness.synth.themes import NAMES

INSTRUCTION = (
    "Write your reasoning, then 'The answer is' and what each of them is, as in 'Zed is a knight, Wes is a knave', "
    "with nothing behind it."
)
_PEOPLE: dict[Level, int] = {1: 2, 2: 3, 3: 4, 4: 5, 5: 6}
_KNOWN = tuple(name for name in NAMES if name != "Will")
"""A name that is also a word would be hard to find in an answer."""

ClaimKind = Literal["knight", "knave", "same", "different", "one_knave", "both_knaves", "both_knights"]
_ALONE: tuple[ClaimKind, ...] = ("knight", "knave")
_TOGETHER: tuple[ClaimKind, ...] = ("same", "different", "one_knave", "both_knaves", "both_knights")
Facts = dict[int, bool]
"""Person -> whether a knight."""


@dataclass(frozen=True, slots=True)
class Statement:
    """What one person says; people are numbers."""

    speaker: int
    kind: ClaimKind
    about: tuple[int, ...]
    """One person, or two of whom one may be the speaker."""
    misread: bool = False
    """Taken for its opposite."""

    @property
    def people(self) -> tuple[int, ...]:
        """All that it ties together."""
        return tuple(dict.fromkeys((self.speaker, *self.about)))

    def holds(self, knight: Mapping[int, bool]) -> bool:
        """Whether the world is as the statement wants it: true if a knight says it, false if a knave does."""
        said = [knight[person] for person in self.about]
        true = {
            "knight": all(said),
            "knave": not any(said),
            "same": len(set(said)) == 1,
            "different": len(set(said)) == 2,
            "one_knave": not all(said),
            "both_knaves": not any(said),
            "both_knights": all(said),
        }[self.kind]
        return (true != self.misread) == knight[self.speaker]


@dataclass(frozen=True, slots=True)
class LogicStep:
    """One step: a supposition (no statement), what a statement adds, or (no facts) that it cannot be."""

    statement: Statement | None
    facts: Mapping[int, bool]


def solutions(statements: Sequence[Statement], people: int) -> list[tuple[bool, ...]]:
    """Everything that fits what is said, by trying all."""
    return [
        world
        for world in product((True, False), repeat=people)
        if all(statement.holds(dict(enumerate(world))) for statement in statements)
    ]


def follows(statement: Statement, known: Mapping[int, bool]) -> Facts | None:
    """What a statement adds to what is known; None if it cannot be."""
    unknown = [person for person in statement.people if person not in known]
    worlds = [dict(zip(unknown, values, strict=True)) for values in product((True, False), repeat=len(unknown))]
    left = [world for world in worlds if statement.holds({**known, **world})]
    if not left:
        return None
    return {person: left[0][person] for person in unknown if len({world[person] for world in left}) == 1}


def reason(statements: Sequence[Statement], people: int) -> list[LogicStep] | None:
    """Steps to the one solution; None if the supposition about the first person does not settle it."""
    steps: list[LogicStep] = []
    for knight in (True, False):
        known: Facts = {0: knight}
        steps.append(LogicStep(None, dict(known)))
        if _derive(statements, known, steps):
            return steps if len(known) == people else None
    return None


def _derive(statements: Sequence[Statement], known: Facts, steps: list[LogicStep]) -> bool:
    """Add what follows until nothing more does; False if it cannot be."""
    waiting = list(statements)
    while waiting:
        found = [(statement, follows(statement, known)) for statement in waiting]
        at = next((one for one in found if one[1] is None), None) or next((one for one in found if one[1]), None)
        if at is None:
            return True
        statement, facts = at
        steps.append(LogicStep(statement, facts or {}))
        if facts is None:
            return False
        known.update(facts)
        waiting = [other for other in waiting if any(person not in known for person in other.people)] + [
            other for other in waiting if all(person in known for person in other.people) and not other.holds(known)
        ]
    return True


def draw(rng: Rng, level: Level, fits: Callable[[str], bool]) -> DrawnPuzzle | None:
    """A puzzle whose key fits; None if what people say settles nothing, or cannot be misread to another solution."""
    people = _PEOPLE[level]
    statements = [_statement(rng, speaker, people) for speaker in range(people)]
    key = " ".join(f"{one.kind}{one.about}" for one in statements)
    worlds = solutions(statements, people) if fits(key) else []
    steps = reason(statements, people) if len(worlds) == 1 else None
    if steps is None:
        return None
    misread = _misread(rng, statements, people, worlds[0])
    if misread is None:
        return None
    wrong, wrong_world = misread
    names = rng.some(_KNOWN, people)
    told = " ".join(f'{names[one.speaker]} says: "{_quoted(one, names)}"' for one in statements)
    question = (
        "On an island, knights always tell the truth and knaves always lie. "
        f"You meet {listing(names)}. {told} Who is a knight, and who is a knave?"
    )
    return DrawnPuzzle(
        key=key,
        question=question,
        target=answer(worlds[0], names),
        answer=answer(worlds[0], names),
        right={
            "short": tuple(_short(step, names) for step in steps),
            "plain": tuple(_plain(step, names) for step in steps),
            "long": (
                *(_plain(step, names) for step in steps),
                *(_check(one, worlds[0], names) for one in statements),
            ),
        },
        wrong={
            "short": tuple(_short(step, names) for step in wrong),
            "plain": tuple(_plain(step, names) for step in wrong),
        },
        wrong_answer=answer(wrong_world, names),
        error_step=next(i for i, step in enumerate(wrong) if step.statement is not None and step.statement.misread),
        error_kind="misread_statement",
    )


def _statement(rng: Rng, speaker: int, people: int) -> Statement:
    others = [person for person in range(people) if person != speaker]
    if rng.below(5) < 2:
        return Statement(speaker, rng.pick(_ALONE), (rng.pick(others),))
    first = rng.pick(others)
    second = rng.pick([person for person in range(people) if person != first])
    return Statement(speaker, rng.pick(_TOGETHER), tuple(sorted((first, second))))


def _misread(
    rng: Rng, statements: Sequence[Statement], people: int, world: tuple[bool, ...]
) -> tuple[list[LogicStep], tuple[bool, ...]] | None:
    """Steps and solution with one statement taken for its opposite."""
    for place in rng.shuffled(range(people)):
        taken = [replace(one, misread=index == place) for index, one in enumerate(statements)]
        worlds = solutions(taken, people)
        steps = reason(taken, people) if len(worlds) == 1 and worlds[0] != world else None
        if steps is not None and any(step.statement is not None and step.statement.misread for step in steps):
            return steps, worlds[0]
    return None


def answer(world: Sequence[bool], names: Sequence[str]) -> str:
    """The answer, and the grader's target."""
    return ", ".join(f"{name} is {_kind(knight)}" for name, knight in zip(names, world, strict=True))


def _kind(knight: bool) -> str:
    return "a knight" if knight else "a knave"


def _quoted(statement: Statement, names: Sequence[str]) -> str:
    """In the speaker's words."""
    others = [names[person] for person in statement.about if person != statement.speaker]
    own = len(others) < len(statement.about)
    told = _claim(statement.kind, [*others, "I"] if own else others)
    return (told.replace(" and I is ", " and me is ") if own else told) + "."


def _claim(kind: ClaimKind, who: Sequence[str]) -> str:
    """A claim, without its full stop."""
    both = " and ".join(who)
    return {
        "knight": f"{both} is a knight",
        "knave": f"{both} is a knave",
        "same": f"{both} are of the same kind",
        "different": f"{both} are of different kinds",
        "one_knave": f"At least one of {both} is a knave",
        "both_knaves": f"{both} are both knaves",
        "both_knights": f"{both} are both knights",
    }[kind]


def _reported(statement: Statement, names: Sequence[str]) -> str:
    """What is said, by who is meant."""
    told = _claim(statement.kind, [names[person] for person in statement.about])
    return told.replace("At least", "at least")


def _facts(facts: Mapping[int, bool], names: Sequence[str]) -> str:
    return listing([f"{names[person]} is {_kind(knight)}" for person, knight in facts.items()])


def _short(step: LogicStep, names: Sequence[str]) -> str:
    if step.statement is None:
        return f"Suppose {_facts(step.facts, names)}."
    return f"Then {_facts(step.facts, names)}." if step.facts else "That cannot be."


def _plain(step: LogicStep, names: Sequence[str]) -> str:
    if step.statement is None:
        return f"Suppose {_facts(step.facts, names)}."
    said = f"{names[step.statement.speaker]} says that {_reported(step.statement, names)}"
    return f"{said}, so {_facts(step.facts, names)}." if step.facts else f"{said}, which cannot be."


def _check(statement: Statement, world: Sequence[bool], names: Sequence[str]) -> str:
    truth = "true" if world[statement.speaker] else "false"
    return f"Check: it is {truth} that {_reported(statement, names)}."
