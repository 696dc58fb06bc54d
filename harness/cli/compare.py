"""`harness compare`: hold runs against each other problem by problem."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli import options
from harness.errors import UsageError
from harness.report.table import Format

if TYPE_CHECKING:
    from harness.compare import Pair
    from harness.run.folder import RunFolder


@click.command("compare")
@click.argument("runs", nargs=-1, required=True, metavar="RUN RUN [RUN...]")
@click.option("--show", default=10, show_default=True, type=click.IntRange(min=0), help="Differing problems to list.")
@click.option("--force", is_flag=True, help="Compare different suite versions or tools all the same, and say so.")
@click.option(
    "--tokenizer",
    metavar="NAME",
    help="Count tokens with this one: a checkpoint's folder, trained:ID, or owner/name of the hub.",
)
@click.option(
    "--html", type=options.FilePath(path_type=Path, dir_okay=False), help="Also write the page of `harness report`."
)
@options.data_dir
@options.results_dir
@options.output_format
def command(
    runs: tuple[str, ...],
    show: int,
    force: bool,
    tokenizer: str | None,
    html: Path | None,
    data_dir: Path | None,
    results_dir: Path,
    form: Format,
) -> None:
    """Compare runs problem by problem; the first RUN of each suite is the reference.

    RUN is a run id, a unique beginning of one, a path, or a model, whose runs of all suites are meant that every model
    named here has. Shows the paired difference with its interval and test,
    wins and losses, tokens saved (of all that was generated, and of the chain of thought) if one tokenizer counted
    both, and the problems on which the runs differ, biggest change first, with an answer of each and, where the
    suite's data are at hand, the question.
    """
    from harness.compare import compare_runs, with_answers
    from harness.report.pairs import pair_tables

    found = _found(runs, results_dir)
    pairs = compare_runs(found, force=force, tokenizer=tokenizer)
    if html is not None:
        from harness.files import write_output
        from harness.leaderboard import build
        from harness.report.page.document import Own, PageSpec, report

        names = {s.result.run_id: s.model for group in build([run.result for run in found]) for s in group.standings}
        spec = PageSpec("Comparison", baseline=names[found[0].result.run_id], data_dir=data_dir)
        write_output(html, report(found, spec, Own(pair_tables(pairs, 0))))
    if form in ("json", "csv"):
        tables = pair_tables(pairs, show)[:1]  # the flips are inside the rows
    else:
        pairs = [with_answers(pair, show) for pair in pairs]
        tables = pair_tables(pairs, show, _asked(pairs, show, data_dir))
    options.emit(tables, form)


def _asked(pairs: Sequence[Pair], show: int, data_dir: Path | None) -> dict[tuple[str, str], str]:
    """The questions of the flips that are shown."""
    from harness.run.problem import questions_of

    found: dict[tuple[str, str], str] = {}
    for pair in pairs:
        result, wanted = pair.other.result, {flip.problem_id for flip in pair.flips[:show]}
        asked = questions_of(result.suite, result.seed, result.limit, wanted, data_dir)
        found |= {(result.suite, problem): text for problem, text in asked.items()}
    return found


def _found(names: tuple[str, ...], results_dir: Path) -> list[RunFolder]:
    """The runs meant; of models those of suites that all of them have."""
    from harness.run.folder import find_runs

    found = [find_runs(results_dir, name) for name in names]
    if all(len(one) == 1 for one in found):
        return [one for (one,) in found]
    suites = [{run.spec.suite for run in one} for one in found]
    common = set.intersection(*suites)
    if not common:
        told = "; ".join(f"{name}: {', '.join(sorted(one))}" for name, one in zip(names, suites, strict=True))
        raise UsageError(f"no suite is common to all of them ({told})")
    left = sorted(set.union(*suites) - common)
    if left:
        click.echo(f"left out, as not all have a run of it: {', '.join(left)}", err=True)
    return [run for one in found for run in one if run.spec.suite in common]
