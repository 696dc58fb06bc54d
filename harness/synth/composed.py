"""Out of distribution: operations and stories that no stream puts together. Numbers and length are level 3's.

A story of the streams has a shape of its own: quantities that change are never multiplied, purchases are never shared
out, people are compared with the first one only, makers only lose. Here each story does what only another one does, so
that a model that learnt the operations can solve it, and one that learnt the stories cannot. `shape` tells them apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from harness.errors import DataError
from harness.synth.draft import SIZES, Draft
from harness.synth.expressions import Op
from harness.synth.generate import Story, question_id, split_of, tell
from harness.synth.records import Level, SubProblem, SynthProblem
from harness.synth.rng import Rng
from harness.synth.themes import COLLECTIBLES, EVENTS, NAMES, PRODUCTS, STOCKS

LEVEL: Level = 3
STEPS = 3
_PATIENCE = 1_000
"""Questions in a row that are known before a stream counts as exhausted."""
_LOADS = {
    "collection": ("{who} buys {a} bags of {b} {thing}.", "buying the bags", "in the bags"),
    "bus": ("At the museum, {a} classes of {b} children get on.", "the stop at the museum", "in the classes"),
    "store": ("On Thursday, {a} crates of {b} {thing} arrive.", "Thursday", "in the crates"),
}
"""Events: a gain that is a product; as a phrase after "after"; where its parts are."""
_SHARES = {
    "shop": ("{who} puts what is left into {n} equal envelopes.", "dollars are in each envelope"),
    "reading": ("{who} reads the rest in {n} days, as many pages each day.", "pages does {who} read each day"),
    "garden": ("The flowers that are left go into {n} equal bunches.", "flowers are in each bunch"),
    "wages": ("{who} puts what is left into {n} equal envelopes.", "dollars are in each envelope"),
}
"""Products: what is left is shared out; what is asked."""


def grown_by_product(draft: Draft, steps: int) -> str:
    """A quantity that changes, once by a product."""
    theme = draft.rng.pick(EVENTS)
    who, friend, other = draft.rng.some(NAMES, 3)
    thing = draft.rng.pick(theme.things)
    start, a, b, loss = draft.addend(), draft.factor(), draft.unit(), draft.addend()
    words: dict[str, object] = {"who": who, "friend": friend, "other": other, "thing": thing, "n": loss, "a": a, "b": b}
    gain, after, where = _LOADS[theme.name]
    lost, phrase = draft.rng.pick([one for one in theme.losses if after not in one[1]])
    draft.say(f"{theme.tell('opening', **{**words, 'n': start})} {gain.format(**words)} {lost.format(**words)}")
    counted = "passengers" if theme.name == "bus" else thing
    load = draft.solve(f"How many {counted} are {where}?", f"There are {{}} {counted} {where}.", a, "*", b)
    grown = draft.solve(*theme.ask("after", **{**words, "phrase": after}), start, "+", load)
    draft.solve(*theme.ask("after", **{**words, "phrase": phrase.format(**words)}), grown, "-", loss)
    return f"composed/events with a product/{theme.name}"


def shared_products(draft: Draft, steps: int) -> str:
    """A product, what is left of it or beside it, and that shared out."""
    theme = draft.rng.pick([theme for theme in PRODUCTS if theme.name in _SHARES])
    who, thing = draft.rng.pick(NAMES), draft.rng.pick(theme.things)
    a, b = draft.factor(), draft.unit()
    words: dict[str, object] = {"who": who, "thing": thing, "a": a, "b": b}
    draft.say(theme.tell("opening", who=who, list=theme.tell("item", **words)))
    part = draft.solve(*theme.ask("part", **words), a, "*", b)
    number = draft.addend() + (draft.value(part) if theme.rest_from else 0)
    draft.say(theme.tell("rest", who=who, c=number))
    left, right = (number, part) if theme.rest_from else (part, number)
    rest = draft.solve(*theme.ask("rest", who=who), left, "-", right)
    count = draft.divisor(rest)
    sentence, asked = _SHARES[theme.name]
    draft.say(sentence.format(who=who, n=count))
    draft.solve(f"How many {asked.format(who=who)}?", "Shared out equally, that is {}.", rest, "/", count)
    return f"composed/products shared/{theme.name}"


def compared_in_a_row(draft: Draft, steps: int) -> str:
    """People of whom each is compared with the one before, not with the first."""
    names, thing = draft.rng.some(NAMES, 3), draft.rng.pick(COLLECTIBLES)
    before: int | str = draft.addend()
    draft.say(f"{names[0]} has {before} {thing}.")
    counts = []
    for name, base in zip(names[1:], names, strict=False):
        op: Op = draft.rng.pick(("+", "-", "*"))
        number = draft.factor() if op == "*" else draft.addend()
        more = {"+": f"{number} more {thing} than", "-": f"{number} fewer {thing} than"}
        many = f"{'twice' if number == 2 else f'{number} times'} as many {thing} as"
        draft.say(f"{name} has {more.get(op, many)} {base}.")
        before = draft.solve(f"How many {thing} does {name} have?", f"{name} has {{}} {thing}.", before, op, number)
        counts.append(before)
    who = f"{names[1]} and {names[2]}"
    draft.total(counts, lambda _: (f"How many {thing} do {who} have together?", f"Together, {who} have {{}} {thing}."))
    return "composed/comparison in a row"


def gaining_stock(draft: Draft, steps: int) -> str:
    """A maker who makes packs and gains some, shared out."""
    theme = draft.rng.pick(STOCKS)
    maker = draft.rng.pick(theme.things)
    a, b, c = draft.factor(), draft.unit(), draft.addend()
    words: dict[str, object] = {"maker": maker, "Maker": maker[:1].upper() + maker[1:], "a": a, "b": b}
    draft.say(f"{theme.tell('makes', **words)} It buys {c} more.")
    made = draft.solve(*theme.ask("made", **words), a, "*", b)
    thing = "rolls" if theme.name == "bakery" else "pears"
    asked = f"How many {thing} does {maker} have then?", f"{words['Maker']} then has {{}} {thing}."
    total = draft.solve(*asked, made, "+", c)
    count = draft.divisor(total)
    draft.say(f"All the {thing} are packed into {count} equal boxes.")
    draft.solve(f"How many {thing} are in each box?", f"Each box holds {{}} {thing}.", total, "/", count)
    return f"composed/stock that gains/{theme.name}"


STORIES: tuple[Story, ...] = (grown_by_product, shared_products, compared_in_a_row, gaining_stock)


def shape(template: str, subproblems: tuple[SubProblem, ...]) -> str:
    """Story and steps without the numbers: "events n*n n+s1 s2-n"."""
    steps = []
    for sub in subproblems:
        sides = [side if isinstance(side, str) else "n" for side in (sub.left, sub.right)]
        steps.append(sub.op.join(sorted(sides) if sub.op in "+*" else sides))
    kind = next((name for name in ("events", "products", "comparison", "stock") if name in template), template)
    return " ".join([kind, *steps])


def composed(seed: int, count: int) -> list[SynthProblem]:
    """The first `count` distinct problems of such compositions; a longer list begins with the shorter one.

    Raises `DataError` for a negative count.
    """
    if count < 0:
        raise DataError(f"count must be 0 or more, not {count}")
    return list(islice(_stream(seed), count))


def _stream(seed: int) -> Iterator[SynthProblem]:
    rng = Rng("composed", seed)
    seen: set[str] = set()
    misses = 0
    while misses < _PATIENCE:
        told = tell(rng, SIZES[LEVEL], rng.pick(STORIES), (STEPS,), "word")
        if told is None or told[1] in seen:
            misses += 1
            continue
        misses = 0
        template, question, subs = told
        seen.add(question)
        split = split_of(template, subs)
        yield SynthProblem(
            question_id("composed", question), LEVEL, "word", template, split, question, subs[-1].answer, subs
        )
    raise DataError(f"no new composition after {len(seen)}: ask for fewer")
