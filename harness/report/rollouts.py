"""What a student wrote in training as tables, and in full."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from itertools import islice
from typing import cast

from backends.rollouts.stored import StoredCompletion
from harness.plain import clean
from harness.report.table import Column, Row, Table, at, column
from harness.types import Json

_TEXT = 100
"""Characters of a text in a table."""


class Means:
    """What the completions of one generation come to."""

    def __init__(self) -> None:
        self.completions = self.unscored = self.cut = 0
        self._values: dict[str, list[float]] = {}

    def add(self, one: StoredCompletion) -> None:
        """One more."""
        self.completions += 1
        self.cut += one.finish == "length"
        if one.mark is not None:
            self.unscored += one.mark.value is None
            told = {"reward": one.mark.value, **one.mark.parts}
            for name, value in told.items():
                if value is not None:
                    self._values.setdefault(name, []).append(value)

    def row(self) -> dict[str, Json]:
        """As data."""
        means: dict[str, Json] = {name: sum(values) / len(values) for name, values in self._values.items()}
        return {"completions": self.completions, "cut": self.cut, "unscored": self.unscored, **means}


def rollout_tables(shown: Sequence[StoredCompletion], means: dict[int, Means], note: str) -> list[Table]:
    """The completions with each reward, and what their generations come to."""
    parts = list(dict.fromkeys(name for one in shown if one.mark is not None for name in one.mark.parts))
    columns = (
        column("generation", right=True),
        column("record"),
        column("sample", right=True),
        _shown("reward", "reward"),
        *(_shown(part, "parts", part) for part in parts),
        Column("right", lambda row: {True: "yes", False: "no"}.get(cast(bool, row["correct"]), "-")),
        Column("end", lambda row: str(row["finish"])),
        Column("text", lambda row: " ".join(str(row["text"])[: 4 * _TEXT].split())[:_TEXT]),
    )
    by_generation = [{"generation": number, **mean.row()} for number, mean in means.items()]
    names = list(dict.fromkeys(name for row in by_generation for name in row))
    return [
        Table("Completions", columns, tuple(_row(one) for one in shown), (note,)),
        Table("Means by generation", tuple(_shown(name, name) for name in names), tuple(by_generation)),
    ]


def _row(one: StoredCompletion) -> Row:
    told = asdict(one)
    mark = told.pop("mark") or {"value": None, "parts": {}, "correct": None, "feedback": "", "why": ""}
    return {**told, "reward": mark.pop("value"), **mark}


def _shown(title: str, *path: str) -> Column:
    return Column(title, lambda row: _number(at(row, *path)), right=True)


def _number(value: Json) -> str:
    return "-" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)


def whole_texts(shown: Iterable[StoredCompletion]) -> Iterator[str]:
    """Prompts and texts in full, one after the other."""
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
