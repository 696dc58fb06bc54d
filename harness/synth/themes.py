"""What the stories are about. Pure data: to add a story, add an entry; the shapes are in `stories.py`.

Placeholders: {who} and {friend} are names; {thing} is one of `things`; {list} is the English list of the items;
{a} {b} {c} {n} are numbers of the question; {phrase} is an event's phrase. In statements {} is where the equation goes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

NAMES = (
    "Ada", "Amir", "Anna", "Ben", "Bo", "Carla", "Chen", "Dana", "David", "Elif", "Emma", "Eva", "Farah", "Finn",
    "Grace", "Hana", "Hugo", "Ines", "Ivan", "Jack", "Jun", "Kai", "Kofi", "Lara", "Leo", "Lina", "Luis", "Maya",
    "Mia", "Milan", "Nadia", "Nia", "Noah", "Olga", "Omar", "Oscar", "Paula", "Priya", "Rosa", "Sam", "Sara", "Tariq",
    "Tess", "Tom", "Uma", "Vera", "Will", "Yuki", "Zara", "Zoe",
)  # fmt: skip


@dataclass(frozen=True)
class Theme:
    """The words of a story; its shape decides which texts there are."""

    name: str
    things: tuple[str, ...]
    """What is counted; in stocks, who makes it."""
    texts: Mapping[str, str]
    """Sentences of the question."""
    asks: Mapping[str, tuple[str, str]]
    """Sub-problem -> (question, statement)."""
    gains: tuple[tuple[str, str], ...] = ()
    """Events: (sentence, the same as a phrase after "after")."""
    losses: tuple[tuple[str, str], ...] = ()
    rest_from: bool = False
    """True: the total is taken off {c}. False: {c} is taken off the total."""
    least_cap: int = 0
    """Only in sizes whose numbers go this far: no ship makes 3 miles per hour."""

    def tell(self, text: str, **words: object) -> str:
        """A sentence of the question."""
        return self.texts[text].format(**words)

    def ask(self, sub: str, **words: object) -> tuple[str, str]:
        """Question and statement of a sub-problem."""
        question, statement = self.asks[sub]
        return question.format(**words), statement.format("{}", **words)


PRODUCTS: tuple[Theme, ...] = (
    Theme(
        name="shop",
        things=("pens", "notebooks", "mugs", "scarves", "lamps", "books", "plants", "cushions", "candles"),
        texts={
            "opening": "{who} buys {list}.",
            "item": "{a} {thing} for {b} dollars each",
            "named": "the {thing}",
            "rest": "{who} has {c} dollars to start with.",
        },
        asks={
            "part": ("How many dollars do the {thing} cost?", "The {thing} cost {} dollars."),
            "sum": ("How many dollars do {list} cost together?", "Together, {list} cost {} dollars."),
            "all": ("How many dollars does {who} spend in all?", "In all, {who} spends {} dollars."),
            "rest": ("How many dollars does {who} have left?", "That leaves {} dollars."),
        },
        rest_from=True,
    ),
    Theme(
        name="reading",
        things=("novel", "history book", "fairy tale", "crime story", "travel book", "play"),
        texts={
            "opening": "{who} wants to read {list}.",
            "item": "a {thing} of {a} chapters with {b} pages each",
            "named": "the {thing}",
            "rest": "So far, {who} has read {c} of the pages.",
        },
        asks={
            "part": ("How many pages does the {thing} have?", "There are {} pages in the {thing}."),
            "sum": ("How many pages do {list} have together?", "Together, {list} have {} pages."),
            "all": ("How many pages does {who} want to read in all?", "In all, there are {} pages."),
            "rest": ("How many pages are left to read?", "That leaves {} pages."),
        },
    ),
    Theme(
        name="garden",
        things=("tulips", "roses", "lilies", "daisies", "sunflowers", "poppies"),
        texts={
            "opening": "{who} plants {list}.",
            "item": "{a} rows of {b} {thing}",
            "named": "the {thing}",
            "rest": "Rabbits eat {c} of the flowers.",
        },
        asks={
            "part": ("How many {thing} does {who} plant?", "There are {} {thing}."),
            "sum": ("How many flowers are there if {who} counts {list}?", "Counting {list}, there are {} flowers."),
            "all": ("How many flowers does {who} plant in all?", "In all, there are {} flowers."),
            "rest": ("How many flowers are left?", "That leaves {} flowers."),
        },
    ),
    Theme(
        name="wages",
        things=("the bakery", "the library", "the harbor", "the museum", "the school", "the post office"),
        texts={
            "opening": "{who} works {list}.",
            "item": "{a} hours at {thing} for {b} dollars an hour",
            "named": "{thing}",
            "rest": "{who} spends {c} of the dollars earned.",
        },
        asks={
            "part": ("How many dollars does {who} earn at {thing}?", "At {thing}, {who} earns {} dollars."),
            "sum": (
                "How many dollars does {who} earn at {list} together?",
                "At {list} together, {who} earns {} dollars.",
            ),
            "all": ("How many dollars does {who} earn in all?", "In all, {who} earns {} dollars."),
            "rest": ("How many of these dollars are left?", "That leaves {} dollars."),
        },
    ),
    Theme(
        name="trip",
        things=("train", "bus", "car", "ship", "motorbike"),
        texts={
            "opening": "{who} travels {list}.",
            "item": "{a} hours by {thing} at {b} miles per hour",
            "named": "{thing}",
            "rest": "The whole journey is {c} miles long.",
        },
        asks={
            "part": ("How many miles does {who} travel by {thing}?", "By {thing}, {who} travels {} miles."),
            "sum": (
                "How many miles does {who} travel by {list} together?",
                "By {list} together, {who} travels {} miles.",
            ),
            "all": ("How many miles does {who} travel in all?", "In all, {who} travels {} miles."),
            "rest": ("How many miles are left?", "That leaves {} miles."),
        },
        rest_from=True,
        least_cap=3000,
    ),
)
"""Several products, added up; at times {c} is taken off, or they are taken off {c}. "named": an item after the first
mention; "sum": of the first few items."""

EVENTS: tuple[Theme, ...] = (
    Theme(
        name="collection",
        things=("marbles", "stickers", "shells", "coins", "postcards", "buttons", "toy cars"),
        texts={
            "opening": "{who} has {n} {thing}.",
            "share": "{who} puts all the {thing} into {n} boxes, the same number in each.",
        },
        asks={
            "after": ("How many {thing} does {who} have after {phrase}?", "After {phrase}, {who} has {} {thing}."),
            "share": ("How many {thing} are in each box?", "Each box holds {} {thing}."),
        },
        gains=(
            ("{who} buys {n} more.", "buying {n} more"),
            ("{friend} gives {who} {n} more.", "getting {n} from {friend}"),
            ("At home, {who} finds {n} more.", "finding {n} at home"),
        ),
        losses=(
            ("{who} gives {n} of them to {other}.", "giving {n} to {other}"),
            ("{who} sells {n} of them.", "selling {n}"),
            ("{who} loses {n} of them.", "losing {n}"),
        ),
    ),
    Theme(
        name="bus",
        things=("bus", "tram", "train", "ferry"),
        texts={
            "opening": "A {thing} leaves the station with {n} passengers.",
            "share": "Then all the passengers get off and form {n} equal groups.",
        },
        asks={
            "after": (
                "How many passengers are on the {thing} after {phrase}?",
                "After {phrase}, there are {} passengers.",
            ),
            "share": ("How many people are in each group?", "Each group has {} people."),
        },
        gains=(
            ("At the market, {n} people get on.", "the stop at the market"),
            ("At the park, {n} people get on.", "the stop at the park"),
            ("At the school, {n} people get on.", "the stop at the school"),
        ),
        losses=(
            ("At the harbor, {n} people get off.", "the stop at the harbor"),
            ("At the bridge, {n} people get off.", "the stop at the bridge"),
            ("At the church, {n} people get off.", "the stop at the church"),
        ),
    ),
    Theme(
        name="store",
        things=("apples", "melons", "bottles", "chairs", "umbrellas", "baskets"),
        texts={
            "opening": "A store has {n} {thing}.",
            "share": "On Sunday, the {thing} are put on {n} shelves, the same number on each.",
        },
        asks={
            "after": (
                "How many {thing} does the store have after {phrase}?",
                "After {phrase}, the store has {} {thing}.",
            ),
            "share": ("How many {thing} are on each shelf?", "Each shelf holds {} {thing}."),
        },
        gains=(
            ("On Monday, {n} more arrive.", "Monday"),
            ("On Wednesday, {n} more arrive.", "Wednesday"),
            ("On Friday, {n} more arrive.", "Friday"),
        ),
        losses=(
            ("On Tuesday, the store sells {n}.", "Tuesday"),
            ("On Thursday, the store sells {n}.", "Thursday"),
            ("On Saturday, the store sells {n}.", "Saturday"),
        ),
    ),
)
"""One quantity that changes step by step."""

STOCKS: tuple[Theme, ...] = (
    Theme(
        name="bakery",
        things=("the north bakery", "the old bakery", "the village bakery", "the station bakery"),
        texts={
            "makes": "{Maker} bakes {a} trays of {b} rolls.",
            "sheds": "It sells {c} of them.",
            "share": "The rolls that are left are packed into {n} equal bags.",
        },
        asks={
            "made": ("How many rolls does {maker} bake?", "{Maker} bakes {} rolls."),
            "left": ("How many rolls does {maker} have left?", "{Maker} has {} rolls left."),
            "all": ("How many rolls are left at {list} together?", "At {list} together, {} rolls are left."),
            "share": ("How many rolls are in each bag?", "Each bag holds {} rolls."),
        },
    ),
    Theme(
        name="farm",
        things=("the hill farm", "the river farm", "the green farm", "the coast farm"),
        texts={
            "makes": "{Maker} picks {a} crates of {b} pears.",
            "sheds": "It throws away {c} bad ones.",
            "share": "The good pears are sent to {n} schools, the same number to each.",
        },
        asks={
            "made": ("How many pears does {maker} pick?", "{Maker} picks {} pears."),
            "left": ("How many good pears does {maker} have?", "{Maker} has {} good pears."),
            "all": ("How many good pears do {list} have together?", "Together, {list} have {} good pears."),
            "share": ("How many pears does each school get?", "Each school gets {} pears."),
        },
    ),
)
"""Several makers, each making {a} packs of {b} and giving {c} away; what is left is pooled. "all": of the
first few makers."""

COLLECTIBLES = ("stickers", "marbles", "cards", "stamps", "beads", "shells", "comic books", "badges")
