"""`harness models rollouts`: what a student wrote while it was trained, and what it got for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli import options
from harness.errors import StoreError, UnknownName, UsageError
from harness.registry import SCHEME, check_id, find_card, models_dir
from harness.types import Json

if TYPE_CHECKING:
    from backends.rollouts.stored import StoredCompletion, Which
    from harness.report.rollouts import Means
    from harness.report.table import Format


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
@click.option("--least", type=options.NUMBER, help="Only with at least so much reward.")
@click.option("--most", type=options.NUMBER, help="Only with at most so much.")
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
    from harness.report.rollouts import Means, rollout_tables, whole_texts

    wanted = _Wanted(record, which, part, least, most, contains)
    shown: list[StoredCompletion] = []
    found = 0
    means: dict[int, Means] = {}
    for one in stored_completions(_folder(name, results_dir), *_range(generation)):
        means.setdefault(one.generation, Means()).add(one)
        if wanted.has(one):
            found += 1
            shown += [one] if found <= limit else []
    if not means:
        raise StoreError("no completions are kept of these generations: leave --generation out to see which there are")
    wanted.refuse_unseen()
    note = f"{found:,} of {sum(mean.completions for mean in means.values()):,} completions"
    note += f", the first {limit}: --limit shows more" if found > limit else ""
    if full and form == "table":
        click.echo("\n".join([*whole_texts(shown), note]))
        return
    tables = rollout_tables(shown, means, note)
    extra: dict[str, Json] = {"generations": [dict(row) for row in tables[1].rows], "found": found}
    options.emit(tables[:1] if form in ("json", "csv") else tables, form, extra)


@dataclass(frozen=True)
class _Wanted:
    """Which completions are shown; raises `UsageError` for an option without effect."""

    record: str | None
    which: tuple[Which, ...]
    part: str | None
    least: float | None
    most: float | None
    contains: str | None
    _parts: set[str] = field(default_factory=set)
    _records: set[str] = field(default_factory=set)
    """Rewards and wanted records that were seen."""

    def __post_init__(self) -> None:
        if self.part is not None and self.least is None and self.most is None:
            raise UsageError(f"--part {self.part} says which reward --least and --most are about: say one of them too")

    def has(self, one: StoredCompletion) -> bool:
        """Whether this one is wanted."""
        self._parts.update(one.mark.parts if one.mark is not None else ())
        if self.record is not None and not one.record.startswith(self.record):
            return False
        self._records.add(one.record)
        value = one.reward(self.part)
        return (
            all(one.is_(kind) for kind in self.which)
            and (self.least is None or (value is not None and value >= self.least))
            and (self.most is None or (value is not None and value <= self.most))
            and (self.contains is None or self.contains in one.text)
        )

    def refuse_unseen(self) -> None:
        """Raise `UnknownName` or `UsageError`, once all were seen, for a reward or a record that none of them has."""
        if self.part is not None and self.part not in self._parts:
            raise UnknownName("reward of these completions", self.part, self._parts)
        if not self._records:
            raise UsageError(f"no completion here answers a record whose id begins with {self.record!r}")


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
