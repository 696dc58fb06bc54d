"""The shapes of the word problems: each function tells one story into a draft.

The shape decides the graph; the theme (see `themes.py`) decides the words. How many items a story has follows from
the number of steps that the level asks for, so that one function serves all levels.
"""

from __future__ import annotations

from collections.abc import Callable

from harness.synth.draft import Draft, listing
from harness.synth.themes import COLLECTIBLES, EVENTS, NAMES, PRODUCTS, STOCKS, Theme


def products(draft: Draft, steps: int) -> str:
    """A sum of m products (2m - 1 steps), with one subtraction at the end if `steps` is even."""
    level_themes = [theme for theme in PRODUCTS if draft.size.cap >= theme.least_cap]
    theme = draft.rng.pick(level_themes)
    who = draft.rng.pick(NAMES)
    count = (steps + 1) // 2
    things = draft.rng.some(theme.things, count)
    named = [theme.tell("named", thing=thing) for thing in things]
    numbers = [(draft.factor(), draft.unit()) for _ in things]
    items = [theme.tell("item", a=a, b=b, thing=thing) for (a, b), thing in zip(numbers, things, strict=True)]
    draft.say(theme.tell("opening", who=who, list=listing(items)))
    parts = [
        draft.solve(*theme.ask("part", who=who, thing=thing), a, "*", b)
        for (a, b), thing in zip(numbers, things, strict=True)
    ]
    total = draft.total(
        parts, lambda upto: theme.ask("all" if upto == count else "sum", who=who, list=listing(named[:upto]))
    )
    if steps % 2 == 0:
        _rest(draft, theme, who, total)
    return f"products/{theme.name}"


def _rest(draft: Draft, theme: Theme, who: str, total: str) -> None:
    """The last step of `products`: something is taken off the total, or the total off something."""
    number = draft.addend() + (draft.value(total) if theme.rest_from else 0)
    draft.say(theme.tell("rest", who=who, c=number))
    left, right = (number, total) if theme.rest_from else (total, number)
    draft.solve(*theme.ask("rest", who=who), left, "-", right)


def events(draft: Draft, steps: int) -> str:
    """One quantity that grows and shrinks; from 3 steps on the last step may share it out equally."""
    theme = draft.rng.pick(EVENTS)
    who, friend, other = draft.rng.some(NAMES, 3)
    thing = draft.rng.pick(theme.things)
    start = draft.addend()
    draft.say(theme.tell("opening", who=who, thing=thing, n=start))
    share = steps >= 3 and draft.rng.below(2) == 0
    gains, losses = draft.rng.shuffled(theme.gains), draft.rng.shuffled(theme.losses)
    running: int | str = start
    for step in range(steps - int(share)):
        gain = draft.rng.below(2) == 0 if step < 4 and gains and losses else bool(gains)
        sentence, phrase = (gains if gain else losses).pop()
        number = draft.addend()
        words = {"who": who, "friend": friend, "other": other, "n": number, "thing": thing}
        draft.say(sentence.format(**words))
        ask = theme.ask("after", phrase=phrase.format(**words), **words)
        running = draft.solve(*ask, running, "+" if gain else "-", number)
    if share:
        number = draft.divisor(running)
        draft.say(theme.tell("share", who=who, thing=thing, n=number))
        draft.solve(*theme.ask("share", thing=thing), running, "/", number)
    return f"events/{theme.name}"


def comparison(draft: Draft, steps: int) -> str:
    """People who have more, fewer or several times as many as the first one; then sums, then perhaps a last step.

    With p people: p - 1 comparisons and p - 1 sums; an odd number of steps adds an equal share, and 3 steps
    leave the first person out of the sum.
    """
    people = {1: 2, 3: 3}.get(steps, steps // 2 + 1)
    names = draft.rng.some(NAMES, people)
    thing = draft.rng.pick(COLLECTIBLES)
    start = draft.addend()
    draft.say(f"{names[0]} has {start} {thing}.")
    counts: list[str] = []
    for name in names[1:]:
        kind = draft.rng.below(3)
        base = names[0]
        question, statement = f"How many {thing} does {name} have?", f"{name} has {{}} {thing}."
        if kind == 2:
            number = draft.factor()
            times = "twice" if number == 2 else f"{number} times"
            draft.say(f"{name} has {times} as many {thing} as {base}.")
            counts.append(draft.solve(question, statement, number, "*", start))
        else:
            number = draft.addend()
            draft.say(f"{name} has {number} {'more' if kind == 0 else 'fewer'} {thing} than {base}.")
            counts.append(draft.solve(question, statement, start, "+" if kind == 0 else "-", number))
    if steps == 1:
        return "comparison"
    counted = names[1:] if steps == 3 else names

    def ask(upto: int) -> tuple[str, str]:
        names = listing(counted[:upto])
        return f"How many {thing} do {names} have together?", f"Together, {names} have {{}} {thing}."

    if steps == 3:
        draft.total(counts, ask)
        return "comparison"
    first = draft.solve(*ask(2), start, "+", counts[0])
    total = draft.total([first, *counts[1:]], lambda upto: ask(upto + 1))
    if steps % 2 == 1:
        number = draft.divisor(total)
        draft.say(f"They put all their {thing} together and sort them into {number} equal piles.")
        draft.solve(f"How many {thing} are in each pile?", f"Each pile has {{}} {thing}.", total, "/", number)
    return "comparison"


_STOCK_SHAPES = {2: (1, False), 3: (1, True), 5: (2, False), 6: (2, True), 8: (3, False)}
"""Number of steps -> (number of makers, whether the pool is shared out)."""


def stock(draft: Draft, steps: int) -> str:
    """Makers who each make packs and lose some (2 steps each), pooled; one more step shares the pool out."""
    theme = draft.rng.pick(STOCKS)
    count, share = _STOCK_SHAPES[steps]
    makers = draft.rng.some(theme.things, count)
    lefts: list[str] = []
    for maker in makers:
        a, b, c = draft.factor(), draft.unit(), draft.addend()
        words = {"maker": maker, "Maker": maker[:1].upper() + maker[1:], "a": a, "b": b, "c": c}
        draft.say(f"{theme.tell('makes', **words)} {theme.tell('sheds', **words)}")
        made = draft.solve(*theme.ask("made", **words), a, "*", b)
        lefts.append(draft.solve(*theme.ask("left", **words), made, "-", c))
    total = draft.total(lefts, lambda upto: theme.ask("all", list=listing(makers[:upto])))
    if share:
        number = draft.divisor(total)
        draft.say(theme.tell("share", n=number))
        draft.solve(*theme.ask("share"), total, "/", number)
    return f"stock/{theme.name}"


STORIES: tuple[tuple[Callable[[Draft, int], str], tuple[int, ...]], ...] = (
    (products, (1, 2, 3, 4, 5, 6, 7, 8)),
    (events, (1, 2, 3, 4, 5)),
    (comparison, (1, 2, 3, 4, 5, 6, 7, 8)),
    (stock, tuple(_STOCK_SHAPES)),
)
"""Each story with the numbers of steps that it can have."""
