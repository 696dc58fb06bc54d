"""docs/systems-of-the-papers.md says of every system of the papers what it is here: the names and the tests exist."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, get_args

import click
import pytest

from backends.chain import chains
from backends.recipe import recipes
from backends.rollouts.alarms import AlarmKind
from harness import catalog
from harness.cli.main import cli
from harness.suites import PREFIXES

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "systems-of-the-papers.md").read_text(encoding="utf-8")
IDS = [*(f"A{i}" for i in range(1, 18)), "A2b", *(f"B{i}" for i in range(1, 27)), *(f"C{i}" for i in range(1, 54))]
STATES = ("works", "core only", "open", "out of scope")
NAMED = re.compile(r"(\w+) ((?:`[^`]+`(?:, )?)+)")


class Row(NamedTuple):
    id: str
    system: str
    names: str
    state: str
    missing: str
    tests: str


ROWS = [
    Row(*(cell.strip() for cell in line.strip("|").split("|")))
    for line in PAGE.splitlines()
    if re.match(r"\| [ABC]\d", line)
]


def quoted(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def named(row: Row) -> Iterator[tuple[str, str]]:
    """Every (kind, name) of a row."""
    for part in row.names.split("; ") if row.names != "–" else ():
        found = NAMED.fullmatch(part)
        assert found, f"{row.id}: {part!r} is no kind with names"
        yield from ((found[1], name) for name in quoted(found[2]))


def known() -> dict[str, set[str]]:
    names: dict[str, set[str]] = {kind: set(catalog.entries(kind)) for kind in catalog.KINDS}
    names["system"] = names.pop("model")
    names["suite"] |= set(PREFIXES)
    names["recipe"] = {name.partition(":")[0] for name in recipes()}
    names["chain"] = set(chains())
    names["alarm"] = set(get_args(AlarmKind))
    return names


def is_command(name: str) -> bool:
    command: click.Command | None = cli
    context = click.Context(cli)
    for word in name.split():
        command = command.get_command(context, word) if isinstance(command, click.Group) else None
    return command is not None


def test_every_row_is_there_once() -> None:
    assert Counter(row.id for row in ROWS) == Counter(IDS)


def test_every_name_exists() -> None:
    names = known()
    unknown = [
        (row.id, kind, name)
        for row in ROWS
        for kind, name in named(row)
        if not (is_command(name) if kind == "command" else name in names[kind])
    ]
    assert unknown == []


def test_the_look_up_of_commands_can_fail() -> None:
    assert is_command("models calibrate")
    assert not is_command("models nothing")
    assert not is_command("compare nothing")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_a_row_is_consistent(row: Row) -> None:
    assert row.state in STATES
    assert row.missing != "–" or row.state == "works", "what is left out or missing is said"
    if row.state in ("works", "core only"):
        assert row.names != "–"
        assert row.tests != "–"
    files = [ROOT / "tests" / name for name in quoted(row.tests)]
    assert [str(file) for file in files if not file.is_file()] == []
    texts = "\n".join(file.read_text(encoding="utf-8") for file in files).lower()
    assert not files or any(re.search(rf"\b{re.escape(name)}\b", texts) for _, name in named(row)), "none is about it"
