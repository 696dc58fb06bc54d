"""`harness gate`: has a candidate become worse than a baseline by more than a margin?"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli import options
from harness.cli.sections import Sections

if TYPE_CHECKING:
    from harness.config import RunConfig
    from harness.gate.decide import GateVerdict
    from harness.gate.resolve import Named
    from harness.types import Json


@click.command("gate", cls=Sections)
@click.option(
    "--baseline", multiple=True, metavar="RUN|MODEL|FILE", help="What to hold against; one stored run for each suite."
)
@click.option(
    "--candidate", multiple=True, required=True, metavar="RUN|MODEL|FILE", help="What may not have become worse."
)
@click.option("--suite", multiple=True, metavar="NAME[:N],…", help="Suites; default: those of the stored runs.")
@click.option("--metric", metavar="NAME", help="Metric that decides. [default: the suite's first]")
@click.option("--margin", metavar="SIZE", help="Tolerated loss: 1pp, 0.01; 20tok or 5% of a length. [default: 1pp, 5%]")
@click.option(
    "--test",
    type=click.Choice(["noninferior", "superior", "equivalent"]),
    default="noninferior",
    show_default=True,
    help="What must be shown: not worse, better, or the same, each by the margin.",
)
@click.option(
    "--alpha", type=options.NUMBER, default=0.05, show_default=True, help="One-sided level: chance of a wrong verdict."
)
@click.option(
    "--power", type=options.NUMBER, default=0.8, show_default=True, help="Power that the plan of samples aims at."
)
@click.option(
    "--max-failures",
    type=options.NUMBER,
    default=0.02,
    show_default=True,
    help="Share of samples without a score that is tolerated on either side.",
)
@click.option("--n", type=int, help="Samples per problem of a model that is evaluated.")
@click.option("--limit", type=int, help="Only that many problems per suite.")
@click.option("--seed", type=int, help="Root seed. [default: the stored side's, else 0]")
@options.some(options.SAMPLING, "temperature", "top_p", "max_tokens", "protocol")
@click.option(
    "--baseline-arg",
    multiple=True,
    metavar="KEY=VALUE",
    callback=options.pairs,
    help="Option of the baseline's engine.",
)
@click.option(
    "--candidate-arg", multiple=True, metavar="KEY=VALUE", callback=options.pairs, help="Option of the candidate's."
)
@click.option(
    "--save-baseline",
    type=options.FilePath(dir_okay=False, path_type=Path),
    help="Write the candidate's values to a small file, to be a --baseline later, and stop.",
)
@click.option("--junit", "junit_file", type=options.FilePath(dir_okay=False, path_type=Path), help="Write JUnit XML.")
@click.option(
    "--annotations/--no-annotations", default=None, help="GitHub annotations on stderr. [default: within its actions]"
)
@click.option("--show", default=10, show_default=True, type=click.IntRange(min=0), help="Changed problems to list.")
@options.data_dir
@options.results_dir
@options.quiet
@options.as_json
def command(
    baseline: tuple[str, ...],
    candidate: tuple[str, ...],
    baseline_arg: dict[str, str],
    candidate_arg: dict[str, str],
    save_baseline: Path | None,
    junit_file: Path | None,
    annotations: bool | None,
    show: int,
    as_json: bool,
    quiet: bool,
    **given: Any,
) -> int:
    """Say, with statistics, whether a candidate has become worse than a baseline.

    Each side is a stored run, a model (evaluated first, or found stored), or a baseline file. Problems are paired, and
    clusters of them count once. Exit code 0: the loss is shown to be below the margin. 1: shown to be above. 4:
    inconclusive, and what would decide is printed. In GitHub Actions annotations and a job summary are written.

    \b
    harness gate --baseline hf:./released --candidate hf:./new --suite math500:4 --margin 3pp
    harness gate --candidate hf:./released --suite synth_easy --save-baseline baseline.json
    harness gate --baseline baseline.json --candidate hf:./new --junit gate.xml
    """  # noqa: D301  # a real backspace: it tells click to keep these lines
    from harness.cli.progress import RunProgress
    from harness.errors import HarnessError, UsageError
    from harness.gate.pairs import Rule
    from harness.gate.resolve import Named, run_gate

    settings = {key: given.pop(key) for key in ("metric", "margin", "test", "alpha", "power")}
    metric, in_actions = settings.pop("metric"), os.environ.get("GITHUB_ACTIONS") == "true"
    config = _config(given)
    new = Named("candidate", candidate, candidate_arg)
    if save_baseline is not None:
        return _save(save_baseline, new, config, metric, quiet)
    if not baseline:
        raise UsageError("say --baseline RUN|MODEL|FILE, or --save-baseline FILE to make one")
    marked = in_actions if annotations is None else annotations

    def say(line: str) -> None:
        if not quiet or line.startswith("warning:"):
            click.echo(line, err=True)

    try:
        rule = Rule(**settings, max_missing=config.max_failures)
        old = Named("baseline", baseline, baseline_arg)
        verdicts = run_gate(old, new, config, metric, rule, lambda: RunProgress(quiet=quiet), say)
    except HarnessError as error:
        _tell_error(str(error), junit_file, marked)
        raise
    return _tell(verdicts, config, show, junit_file, marked, as_json)


def _config(given: dict[str, Any]) -> RunConfig:
    from harness.config import resolve, validate_settings

    folder, results = given.pop("data_dir"), given.pop("results_dir")
    config = resolve(None, (), {**given, "data_dir": str(folder) if folder else None, "results_dir": str(results)})
    validate_settings(config)
    return config


def _save(path: Path, side: Named, config: RunConfig, metric: str | None, quiet: bool) -> int:
    from harness.cli.progress import RunProgress
    from harness.gate.baseline import write_baseline
    from harness.gate.resolve import find_side
    from harness.plain import clean

    found = find_side(side, config, metric, lambda: RunProgress(quiet=quiet))
    write_baseline(path, found)
    kept = f"{found.metric} of {found.model} on {len(found.values)} problems of {found.suite}"
    click.echo(f"{path}: {clean(kept, 500)}")
    return 0


def _tell_error(message: str, junit_file: Path | None, marked: bool) -> None:
    from harness.gate.github import error_annotation
    from harness.gate.junit import junit, write_junit
    from harness.redact import redact

    if junit_file is not None:
        write_junit(junit_file, junit([], 0, {}, error=redact(message)))
    if marked:
        click.echo(error_annotation(redact(message)), err=True, nl=False)


def _tell(
    verdicts: list[GateVerdict], config: RunConfig, show: int, junit_file: Path | None, marked: bool, as_json: bool
) -> int:
    from harness.gate import report
    from harness.gate.decide import EXIT_CODES, overall
    from harness.gate.github import annotation_lines, append_summary, summary
    from harness.gate.junit import junit, write_junit
    from harness.redact import redact
    from harness.report.table import to_json

    questions = report.find_questions(verdicts, show, config.data_dir)
    if junit_file is not None:
        write_junit(junit_file, redact(junit(verdicts, show, questions)))
    if page := os.environ.get("GITHUB_STEP_SUMMARY"):
        append_summary(Path(page), redact(summary(verdicts, show, questions)))
    if marked:
        click.echo(redact(annotation_lines(verdicts)), err=True, nl=False)
    if as_json:
        data: dict[str, Json] = report.as_json(verdicts, show, questions)
        click.echo(redact(to_json(data)), nl=False)
    else:
        click.echo(redact(report.text_report(verdicts, show, questions)), nl=False)
    sys.stdout.flush()
    return EXIT_CODES[overall(verdicts)]
