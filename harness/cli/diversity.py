"""`harness diversity`: how different the responses of a run are, within prompts and across prompts."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from harness.cli import options
from harness.report.table import Format

if TYPE_CHECKING:
    from harness.metrics.diversity import Form
    from judges.types import Part

_EVERY_S = 5.0


@click.command("diversity")
@click.argument("runs", nargs=-1, required=True, metavar="RUN [RUN...]")
@click.option(
    "--metric", "metrics", multiple=True, help="A measure (`harness list diversity`) or a metric; repeatable."
)
@click.option(
    "--form",
    "which",
    type=click.Choice(["within", "across", "both"]),
    default="both",
    show_default=True,
    help="Responses to one prompt, the j-th responses of all prompts, or both.",
)
@click.option(
    "--part",
    type=click.Choice(["answer", "reasoning", "all"]),
    default="answer",
    show_default=True,
    help="What of a completion is looked at; reasoning is everything where there is no think block.",
)
@click.option("--n", "samples", type=click.IntRange(min=1), help="Look at the first N samples of each problem.")
@click.option("--keep-truncated", is_flag=True, help="Count completions that were cut by the token limit.")
@click.option("--embedder", default="", help="Folder or hub id of a sentence-transformers model.")
@click.option(
    "--embed-tokens",
    type=click.IntRange(min=8),
    help="Tokens of a text that are embedded, from its start [default: 128; the model's own with --embedder].",
)
@click.option("--nli", help="hf:<folder or hub id> of an NLI model; adds the measure nli.")
@click.option("--nli-labels", help="Order of its outputs, if its labels do not say: contradiction,neutral,entailment.")
@click.option(
    "--bleu-tokenizer",
    type=click.Choice(["13a", "intl", "zh", "char"]),
    default="13a",
    show_default=True,
    help="sacrebleu's tokenizer for self-bleu; zh for Chinese.",
)
@click.option(
    "--steps",
    "cutter",
    metavar="rule:equations|ENGINE:NAME",
    help="What cuts responses into steps for step-dispersion: a structure reward model (gsrm), or equations. "
    "[default: paragraphs]",
)
@options.results_dir
@options.data_dir
@options.output_format
def command(
    runs: tuple[str, ...],
    metrics: tuple[str, ...],
    which: Literal["within", "across", "both"],
    part: Part,
    samples: int | None,
    keep_truncated: bool,
    embedder: str,
    embed_tokens: int | None,
    nli: str | None,
    nli_labels: str | None,
    bleu_tokenizer: str,
    cutter: str | None,
    results_dir: Path,
    data_dir: Path | None,
    form: Format,
) -> None:
    """Measure how different the stored responses of a RUN are, with intervals.

    RUN is a run id, a unique beginning of one, or a path. With several runs of one suite, the others are compared with
    the first on the same prompts and equally many responses. Needs runs with several samples per problem (--n), but
    for --form across. Scores are kept in the run's diversity.json.
    """
    from harness.metrics.diversity import FORMS
    from harness.report.diversity import diversity_tables
    from harness.run.diversity import choose_measures, cutting, measure_runs, tools_for
    from harness.run.folder import find_run
    from harness.run.responses import length_notes, on_equal_terms

    forms: Sequence[Form] = FORMS if which == "both" else (which,)
    progress = _Measuring()
    folders = [find_run(results_dir, run) for run in runs]
    loaded, notes = on_equal_terms(folders, part, samples, keep_truncated=keep_truncated)
    names, skipped = choose_measures(metrics, loaded, nli)
    tools = tools_for(
        names, embedder, embed_tokens, nli, nli_labels, bleu_tokenizer, embedded=progress.embedded, read=progress.read
    )
    with cutting(cutter, loaded, results_dir, data_dir) as cut:
        lines = measure_runs(loaded, names, forms, replace(tools, cut=cut), progress.line)
    tables = diversity_tables(lines, [*notes, *skipped, *length_notes(loaded)])
    if form in ("json", "csv"):
        tables = tables[:1]  # the steps are inside the rows
    extra = {"notes": list(tables[0].notes)}
    options.emit(tables, form, extra)


class _Measuring:
    """Lines on stderr: what is being measured, and every few seconds how far it is."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def line(self, text: str) -> None:
        """What begins now."""
        from harness.plain import clean

        click.echo(clean(text), err=True)
        self._last = time.monotonic()

    def embedded(self, done: int, total: int) -> None:
        """See `harness.metrics.diversity_embed.Embedder`."""
        self._sometimes(f"  {done} of {total} texts embedded")

    def read(self, pairs: int) -> None:
        """See `harness.metrics.diversity_nli.NliModel`."""
        self._sometimes(f"  {pairs} pairs read")

    def _sometimes(self, text: str) -> None:
        if time.monotonic() - self._last >= _EVERY_S:
            self._last = time.monotonic()
            click.echo(text, err=True)
