"""`harness check --plugin NAME`: does a plugin's thing keep what its kind promises?"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import cast

from harness import catalog
from harness.cli import options
from harness.errors import HarnessError, UnknownName
from harness.report.table import Table, column
from harness.types import Graded, Json, Message, Metric, Model, Request, Score

Found = tuple[str, list[str]]
"""What was checked, and what does not hold."""


def check_plugin(name: str, data_dir: Path | None, *, as_json: bool) -> bool:
    """Check everything of that name, of whatever kind; print a row for each; False if anything failed.

    Raises `UnknownName`.
    """
    kinds = [kind for kind in catalog.KINDS if name in catalog.entries(kind)]
    if not kinds:
        everything = {one: entry for kind in catalog.KINDS for one, entry in catalog.entries(kind).items()}
        plugins = [one for one, (_, summary) in everything.items() if summary.startswith("plugin of")]
        raise UnknownName("plugin", name, sorted(plugins or everything))
    rows: list[dict[str, Json]] = []
    for kind in kinds:
        try:
            checked, failures = _check(kind, name, data_dir)
        except HarnessError as error:
            checked, failures = "", [str(error)]
        except Exception as error:  # another's code: whatever it raises is what was to be found out
            checked, failures = "", [f"{type(error).__name__}: {error}"]
        rows.append(
            {
                "kind": kind,
                "name": name,
                "status": "failed" if failures else "ok",
                "checked": checked,
                "failures": [*failures],
            }
        )
    columns = (column("kind"), column("name"), column("status"), column("checked"))
    notes = tuple(f"{row['kind']} {name}: {one}" for row in rows for one in cast("list[str]", row["failures"]))
    options.emit(
        [Table("Does it keep what its kind promises?", columns, tuple(rows), notes)], "json" if as_json else "table"
    )
    return all(row["status"] == "ok" for row in rows)


def _check(kind: catalog.Kind, name: str, data_dir: Path | None) -> Found:
    thing = catalog.load(kind, name)
    if kind == "suite":
        return _suite(name, data_dir)
    if kind == "method":
        from backends.method_check import check_method

        return check_method(name)
    checks: dict[str, Callable[[], Found]] = {
        "metric": lambda: _metric(name, thing),
        "model": lambda: _engine(name, cast("Callable[[str, Mapping[str, str]], Model]", thing)),
        "maker": lambda: _command(name),
    }
    return checks.get(kind, lambda: ("loads, and has what its kind must have", []))()


def _suite(name: str, data_dir: Path | None) -> Found:
    from harness.grading.pool import GradingPool
    from harness.suites import load_suite
    from harness.suites._check import check_suite

    with GradingPool() as pool:
        found = check_suite(load_suite(name), data_dir, None, pool)
    failures = cast("list[dict[str, Json]]", found["failures"])
    return f"{found['problems']} golds score 1, near misses 0", [
        f"{one['problem_id']}: {one['why']}" for one in failures
    ]


def _metric(name: str, thing: object) -> Found:
    """Values of attempts that are known: finite, within their interval, whatever the order of the attempts."""
    if not isinstance(thing, Metric):
        return "loads; it is a family of metrics, whose parts are not known here", []
    rows = [
        Graded(f"p{problem}", attempt, Score(float((problem + attempt) % 3 == 0), "scored"), tokens_in=5, tokens_out=9)
        for problem in range(12)
        for attempt in range(4)
    ]
    k = 2 if name.endswith("@k") else None
    found, turned = thing.function(rows, k), thing.function(rows[::-1], k)
    failures = [] if math.isfinite(found.value) else [f"its value of 48 plain attempts is {found.value}"]
    if not found.low <= found.value <= found.high:
        failures.append(f"its interval {found.low} to {found.high} does not hold its value {found.value}")
    if not math.isclose(found.value, turned.value, rel_tol=1e-9, abs_tol=1e-12):
        failures.append(f"the same attempts in another order are worth {turned.value}, not {found.value}")
    return "values of 48 known attempts", failures


def _engine(name: str, build: Callable[[str, Mapping[str, str]], Model]) -> Found:
    """Two questions at once, each with its own reply; what it says of itself can be stored."""
    model = build("check", {})
    json.dumps([dict(model.describe()), dict(model.environment())])
    asked = [Request(f"q{n}", (Message("user", f"What is {n} + {n}?"),), 0.0, 1.0, 64, (), n) for n in range(2)]

    async def ask() -> list[str]:
        try:
            replies = await asyncio.gather(*map(model.answer, asked))
            again = await model.answer(asked[0])
        finally:
            await model.close()
        wrong = [f"a reply failed: {one.error}" for one in replies if one.finish == "error"]
        if not wrong and again.text != replies[0].text:
            wrong.append("the same question at temperature 0 had another reply")
        return wrong

    return "answers two at once, and the same again", asyncio.run(ask())


def _command(name: str) -> Found:
    from harness.cli.data_make import maker_command

    return f"loads; {len(maker_command(name).params)} options of `harness data {name}`", []
