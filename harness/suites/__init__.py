"""Benchmarks: one file per family, each suite a frozen instance; this module finds them and renders their problems.

A suite name is either in the catalog ("math500") or has a prefix that hands the rest to a builder: another library's
tasks ("gym:<task>" of reasoning-gym, "lighteval:<task>") or a file of one's own ("questions:<grader>:<file>",
"text_quality:<file>"). Nothing is imported until its suite is asked for.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import re
from collections.abc import Sequence
from pathlib import Path

from harness import catalog
from harness.catalog.names_evaluation import SUITE_FORMS
from harness.datasets import load_rows
from harness.errors import DataError, UnknownName, UsageError
from harness.types import Problem, Suite

PREFIXES: dict[str, str] = {
    "gym": "harness.suites.gym:build",
    "lighteval": "harness.suites.lighteval_tasks:build",
    "questions": "harness.suites.questions:build",
    "text_quality": "harness.suites.text_quality:build",
}
"""Prefix of a suite name -> "module:function" that builds a `Suite` from the rest of the name."""


def load_suite(name: str) -> Suite:
    """The suite of a name.

    Raises `UnknownName` with a suggestion; a prefixed name raises what its library's builder raises (`MissingExtra`,
    `UnknownName`).
    """
    prefix, colon, task = name.partition(":")
    if colon:
        if prefix not in PREFIXES:
            raise UnknownName("suite prefix", prefix, PREFIXES)
        module, _, attribute = PREFIXES[prefix].partition(":")
        suite = getattr(importlib.import_module(module), attribute)(task)
    else:
        suite = _listed(name)
    if not isinstance(suite, Suite):
        raise UsageError(f"suite {name!r} is a {type(suite).__name__}, not a harness.types.Suite")
    return suite


def _listed(name: str) -> object:
    try:
        return catalog.load("suite", name)
    except UnknownName:
        if name in SUITE_FORMS:
            raise UsageError(f"{name} is the beginning of a suite's name: {SUITE_FORMS[name]}") from None
        if os.path.isfile(name):
            raise UsageError(
                f"{name} is a file: say how its answers are checked, as in --suite questions:math:{name} "
                "(or exact, integer, number, choice)"
            ) from None
        raise


def parse_suite_arg(argument: str) -> list[tuple[str, int | None]]:
    """Split `--suite`: "aime:64,gpqa" -> [("aime", 64), ("gpqa", None)]; "lighteval:math_500:4" keeps its prefix.

    A trailing ":<digits>" is the number of samples, except directly after a prefix. Raises `UsageError` for an empty
    name, a sample count below 1 or a suite named twice.
    """
    found: list[tuple[str, int | None]] = []
    for part in argument.split(","):
        name, count = _split_count(part.strip())
        if not name or name.endswith(":"):
            raise UsageError(f"--suite {argument!r} has an empty name; write it as in --suite aime:64,gpqa")
        if name in (known for known, _ in found):
            raise UsageError(f"--suite {argument!r} names {name!r} twice")
        found.append((name, count))
    return found


def _split_count(part: str) -> tuple[str, int | None]:
    name, colon, tail = part.rpartition(":")
    if not colon or not name or name in PREFIXES:
        return part, None
    if re.fullmatch(r"[0-9]{1,7}", tail):
        if int(tail) < 1:
            raise UsageError(f"--suite {part!r}: at least 1 sample per problem")
        return name, int(tail)
    if name.partition(":")[0] not in PREFIXES:
        raise UsageError(f"--suite {part!r}: {tail!r} is not a number of samples; write it as in aime:64")
    return part, None


def load_problems(suite: Suite, data_dir: Path | None, seed: int, limit: int | None) -> list[Problem]:
    """The suite's problems, rendered, in order of id.

    `seed` decides the order of choices only. `limit` takes that many problems by the hash of their ids: a sample that
    is not biased by the data's order, the same for every model and seed, and nested (limit 10 is part of limit 20).
    Raises what `harness.datasets.load_rows` raises, `UsageError` for a limit below 1, `DataError` for a row that
    cannot be rendered.
    """
    if limit is not None and limit < 1:
        raise UsageError(f"--limit {limit}: at least 1 problem")
    rows = load_rows(suite.data, data_dir)
    rows = [rows[index] for index in within_limit([str(row["id"]) for row in rows], limit)]
    problems: list[Problem] = []
    for row in rows:
        try:
            problems.append(suite.render(row, seed))
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise DataError(f"suite {suite.name}: row {row['id']!r} cannot be rendered ({error})") from error
    return problems


def within_limit(ids: Sequence[str], limit: int | None) -> list[int]:
    """Positions of the problems that a limit takes, in order; all of them where it leaves nothing out."""
    if limit is None or limit >= len(ids):
        return list(range(len(ids)))
    return sorted(sorted(range(len(ids)), key=lambda index: _rank(ids[index]))[:limit])


def _rank(problem_id: str) -> str:
    return hashlib.sha256(f"limit:{problem_id}".encode()).hexdigest()
