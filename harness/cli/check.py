"""`harness check`: do the data, the targets and the graders of every suite fit together?"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from harness.cli import options
from harness.cli.progress import Display, duration
from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.types import Json, Suite

_T = TypeVar("_T")


@click.command("check")
@click.option("--suite", "suites", multiple=True, metavar="NAMES", help="Suites, as for run; default: all.")
@options.data_dir
@click.option("--limit", type=click.IntRange(min=1), help="Problems per suite; default: all.")
@click.option(
    "--deep",
    is_flag=True,
    help="Instead, grade many equal spellings, sentences and perturbations of each gold.",
)
@click.option(
    "--cases",
    type=click.IntRange(min=1),
    default=20_000,
    show_default=True,
    help="With --deep: about that many replies per suite, one for each problem at least.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="With --deep: which replies are made.")
@click.option(
    "--forms",
    type=click.Choice(["all", "open", "held"]),
    default="all",
    show_default=True,
    help="With --deep: all forms, or the two thirds to mend a grader with, or the third held back to test it.",
)
@click.option(
    "--beside",
    type=click.Choice(["math-verify"]),
    help="With --deep: what the bare library says to the same replies; slow.",
)
@click.option(
    "--plugin", metavar="NAME", help="Instead, try what every thing of its kind must keep on one of a plugin (or ours)."
)
@options.as_json
def command(
    suites: tuple[str, ...],
    data_dir: Path | None,
    limit: int | None,
    deep: bool,
    cases: int,
    seed: int,
    forms: str,
    beside: str | None,
    plugin: str | None,
    as_json: bool,
) -> None:
    """Check every suite: the data is what is pinned, the gold answer scores 1, a near miss scores 0.

    Suites whose data is not at hand are listed as skipped, unless they are named with --suite. Exit code 1 if any
    suite fails; with --deep a suite fails on one false positive, on one reply that could not be scored, or if less than
    99.9 % of the replies that must be right are.

    With --plugin NAME: a suite as above; a method trains a small random student, all weights move, it resumes to the
    same weights; a metric, an engine: values and replies that are known; of other kinds, that they load.
    """
    if plugin is not None:
        from harness.cli.check_plugin import check_plugin

        if suites or deep:
            raise UsageError("--plugin NAME is a check of its own: leave out --suite and --deep")
        if not check_plugin(plugin, data_dir, as_json=as_json):
            raise click.exceptions.Exit(1)
        return
    from harness import catalog
    from harness.suites import parse_suite_arg

    asked = ",".join(suites) if suites else ",".join(sorted(catalog.entries("suite")))
    names = [name for name, _ in parse_suite_arg(asked)]
    if deep:
        passed = _deep(names, data_dir, limit, cases, seed, forms, beside is not None, bool(suites), as_json)
    else:
        passed = _plain(names, data_dir, limit, bool(suites), as_json)
    if not passed:
        raise click.exceptions.Exit(1)


def _plain(names: Sequence[str], data_dir: Path | None, limit: int | None, named: bool, as_json: bool) -> bool:
    from harness.datasets import MissingData
    from harness.errors import DataError
    from harness.grading.pool import GradingPool
    from harness.report.check import check_table, unchecked
    from harness.suites._check import check_suite

    rows: list[dict[str, Json]] = []
    with GradingPool() as pool:
        for name in names:
            try:
                done, skipped = _checked(name, named, lambda suite: check_suite(suite, data_dir, limit, pool))
                rows.append({"suite": name, **(done or unchecked("skipped", skipped))})
            except MissingData:
                raise
            except DataError as error:
                rows.append({"suite": name, **unchecked("failed", str(error))})
    options.emit([check_table(rows)], "json" if as_json else "table")
    return not any(row["status"] == "failed" for row in rows)


def _deep(
    names: Sequence[str],
    data_dir: Path | None,
    limit: int | None,
    cases: int,
    seed: int,
    forms: str,
    beside: bool,
    named: bool,
    as_json: bool,
) -> bool:
    from harness.grading.forms import PARTS
    from harness.grading.pool import GradingPool
    from harness.report.check import deep_failures, deep_forms, deep_suites
    from harness.report.table import to_json
    from harness.suites import load_suite
    from harness.suites._deep import DeepCheck, deep_check

    parts = frozenset(part for part in PARTS if forms in ("all", part))
    found: list[DeepCheck] = []
    skipped: list[str] = []
    for name in names:
        if load_suite(name).judging:
            skipped.append(f"{name}: scored by a judge, it has no golds")
            continue

        def check(suite: Suite) -> DeepCheck:
            step = _Progress(suite.name).step
            with GradingPool() as pool:
                return deep_check(
                    suite,
                    data_dir,
                    pool,
                    limit=limit,
                    at_most=cases,
                    seed=seed,
                    parts=parts,
                    beside=beside,
                    progress=step,
                )

        done, reason = _checked(name, named, check)
        if done is None:
            skipped.append(f"{name}: {reason}")
        else:
            found.append(done)
    tables = [deep_suites(found, skipped), deep_forms(found)]
    if as_json:
        suites, by_form = (list(table.rows) for table in tables)
        click.echo(to_json({"rows": suites, "forms": by_form, "failures": list(deep_failures(found))}), nl=False)
    else:
        options.emit(tables, "table")
    return all(one.passed for one in found)


def _checked(name: str, named: bool, check: Callable[[Suite], _T]) -> tuple[_T | None, str]:
    """What a check finds; or, unless the suite was named, why its data is not at hand."""
    from harness.datasets import MissingData
    from harness.errors import PrerequisiteError
    from harness.suites import load_suite

    print(f"checking {name} ...", file=sys.stderr)
    try:
        return check(load_suite(name)), ""
    except (MissingData, PrerequisiteError) as error:
        if named:
            raise
        return None, str(error)


class _Progress(Display):
    """So many cases of a suite graded, and until when."""

    def __init__(self, name: str) -> None:
        super().__init__(quiet=False)
        self._name, self._started = name, self._shown

    def step(self, done: int, total: int) -> None:
        """One more."""
        if done >= total // 100 and self._due():
            left = (total - done) * (self._shown - self._started) / done
            self._line(f"{self._name}: {done}/{total} cases  ETA {duration(left)}")
