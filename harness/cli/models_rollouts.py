"""`harness models rollouts`: what a student wrote while it was trained, and what it got for it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import click

from harness.cli import options
from harness.errors import StoreError, UsageError
from harness.registry import SCHEME, check_id, find_card, models_dir
from harness.types import Json

if TYPE_CHECKING:
    from backends.rollouts.stored import StoredCompletion
    from harness.report.table import Format, Row, Table

_TEXT = 100
"""Characters of a text in a table."""
Which = Literal["right", "wrong", "unscored", "cut"]


@dataclass(frozen=True)
class _Wanted:
    """Which completions are shown."""

    record: str | None
    which: tuple[Which, ...]
    part: str | None
    """The reward that the bounds are about; None: the total."""
    least: float | None
    most: float | None
    contains: str | None

    def take(self, one: StoredCompletion) -> bool:
        value = None if one.mark is None else one.mark.value if self.part is None else one.mark.parts.get(self.part)
        bounded = self.least is None and self.most is None
        return (
            (self.record is None or one.record.startswith(self.record))
            and all(_is(one, which) for which in self.which)
            and (bounded or (value is not None and _between(self.least, value, self.most)))
            and (self.contains is None or self.contains in one.text)
        )


def _between(low: float | None, value: float, high: float | None) -> bool:
    return (low is None or value >= low) and (high is None or value <= high)


def _is(one: StoredCompletion, which: Which) -> bool:
    if which == "cut":
        return one.finish == "length"
    if one.mark is None:
        return False
    return one.mark.value is None if which == "unscored" else one.mark.correct is (which == "right")


@click.command("rollouts")
@click.argument("name")
@click.option("--generation", metavar="N|FIRST:LAST", help="Of this generation alone, or of several. [default: all]")
@click.option("--record", metavar="ID", help="Answers to this record, or to those whose id begins so.")
@click.option(
    "--which",
    multiple=True,
    type=click.Choice(["right", "wrong", "unscored", "cut"]),
    help="Only these; unscored: a scorer had no value for it, cut: by the token limit.",
)
@click.option("--part", metavar="REWARD", help="The reward that --least and --most are about. [default: the total]")
@click.option("--least", type=float, help="Only with at least so much reward.")
@click.option("--most", type=float, help="Only with at most so much.")
@click.option("--contains", metavar="TEXT", help="Only with this text in them.")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="Show so many.")
@click.option("--full", is_flag=True, help="Whole prompts and texts, one after the other.")
@options.results_dir
@options.output_format
def rollouts(
    name: str,
    generation: str | None,
    record: str | None,
    which: tuple[Which, ...],
    part: str | None,
    least: float | None,
    most: float | None,
    contains: str | None,
    limit: int,
    full: bool,
    results_dir: Path,
    form: Format,
) -> None:
    """Show the completions that model NAME was trained on, with each reward, and their means by generation.

    Also of a training that is under way. JSON has the whole texts.

    \b
    harness models rollouts tiny-grpo-1a2b3c4d --which wrong --part format --least 1
    harness models rollouts tiny-grpo --generation 30:40 --contains "therefore" --full
    """  # noqa: D301  # a real backspace: it tells click to keep these lines
    from backends.rollouts.stored import stored_completions

    wanted = _Wanted(record, which, part, least, most, contains)
    shown: list[StoredCompletion] = []
    found = 0
    means: dict[int, _Means] = {}
    for one in stored_completions(_folder(name, results_dir), *_range(generation)):
        means.setdefault(one.generation, _Means()).add(one)
        if wanted.take(one):
            found += 1
            shown += [one] if found <= limit else []
    if not means:
        raise StoreError("no completions are kept of these generations: leave --generation out to see which there are")
    note = f"{found:,} of {sum(mean.completions for mean in means.values()):,} completions"
    note += f", the first {limit}: --limit shows more" if found > limit else ""
    if full and form == "table":
        click.echo("\n".join([*_whole(shown), note]))
        return
    tables = _tables(shown, means, note)
    extra: dict[str, Json] = {"generations": [dict(row) for row in tables[1].rows], "found": found}
    options.emit(tables[:1] if form in ("json", "csv") else tables, form, extra)


def _folder(name: str, results_dir: Path) -> Path:
    """The model's folder, also of one whose training has not ended."""
    folder = models_dir(results_dir) / check_id(name.removeprefix(SCHEME))
    return folder if folder.is_dir() else find_card(results_dir, name)[0]


def _range(text: str | None) -> tuple[int, int | None]:
    if text is None:
        return 0, None
    first, colon, last = text.partition(":")
    try:
        begin = int(first or 0)
        return begin, (int(last) if last else None) if colon else begin
    except ValueError:
        raise UsageError(f"--generation {text!r}: a number, or FIRST:LAST") from None


class _Means:
    """Of one generation."""

    def __init__(self) -> None:
        self.completions = self.unscored = self.cut = 0
        self._values: dict[str, list[float]] = {}

    def add(self, one: StoredCompletion) -> None:
        self.completions += 1
        self.cut += one.finish == "length"
        if one.mark is not None:
            self.unscored += one.mark.value is None
            told = {"reward": one.mark.value, **one.mark.parts}
            for name, value in told.items():
                if value is not None:
                    self._values.setdefault(name, []).append(value)

    def row(self) -> dict[str, Json]:
        means: dict[str, Json] = {name: sum(values) / len(values) for name, values in self._values.items()}
        return {"completions": self.completions, "cut": self.cut, "unscored": self.unscored, **means}


def _tables(shown: Sequence[StoredCompletion], means: dict[int, _Means], note: str) -> list[Table]:
    from harness.report.table import Column, Table, column

    parts = list(dict.fromkeys(name for one in shown if one.mark is not None for name in one.mark.parts))
    rows = [_row(one) for one in shown]
    columns = (
        column("generation", right=True),
        column("record"),
        column("sample", right=True),
        Column("reward", lambda row: _number(row["reward"]), right=True),
        *(Column(part, partial(_part, part), right=True) for part in parts),
        Column("right", lambda row: {True: "yes", False: "no"}.get(cast(bool, row["correct"]), "-")),
        Column("end", lambda row: str(row["finish"])),
        Column("text", lambda row: " ".join(str(row["text"])[: 4 * _TEXT].split())[:_TEXT]),
    )
    by_generation = [{"generation": number, **mean.row()} for number, mean in means.items()]
    names = list(dict.fromkeys(name for row in by_generation for name in row))
    summary = (Column(name, partial(_mean, name), right=True) for name in names)
    return [
        Table("Completions", columns, tuple(rows), (note,)),
        Table("Means by generation", tuple(summary), tuple(by_generation)),
    ]


def _row(one: StoredCompletion) -> Row:
    told = asdict(one)
    mark = told.pop("mark") or {"value": None, "parts": {}, "correct": None, "feedback": "", "why": ""}
    return {**told, "reward": mark.pop("value"), **mark}


def _part(part: str, row: Row) -> str:
    return _number(cast("dict[str, Json]", row["parts"]).get(part))


def _mean(name: str, row: Row) -> str:
    return _number(row.get(name))


def _number(value: Json) -> str:
    return "-" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)


def _whole(shown: Iterable[StoredCompletion]) -> Iterator[str]:
    from harness.plain import clean

    for one in shown:
        mark = one.mark
        parts = [] if mark is None else [f"{name} {_number(value)}" for name, value in mark.parts.items()]
        total = "not marked" if mark is None else f"reward {_number(mark.value)}"
        yield clean(
            f"=== generation {one.generation}, {one.record}, sample {one.sample}: {', '.join([total, *parts])}", 1000
        )
        for title, text in (
            ("prompt", one.prompt),
            ("gold", one.gold or ""),
            (f"completion ({one.finish})", one.text),
            ("why", mark.why if mark is not None else ""),
            ("feedback", mark.feedback if mark is not None else ""),
        ):
            if text:
                yield f"--- {title}"
                yield from (clean(line, 10_000) for line in islice(text.split("\n"), 10_000))
        yield ""
