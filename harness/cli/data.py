"""`harness data`: make training records, check them, say what is in them."""

from __future__ import annotations

import click

from harness.cli.lazy import Subcommands

SUBCOMMANDS: dict[str, tuple[str, str]] = {
    "synth": ("harness.cli.data_files:synth", "Write records of the embedded world: no data, no model."),
    "traces": ("harness.cli.data_traces", "Let a teacher answer prompts; keep what the grader confirms."),
    "dual": ("harness.cli.data_recipes:dual", "Rectify wrong chains, corrupt right ones: pairs for krsl."),
    "shorten": ("harness.cli.data_recipes:shorten", "Rewrite responses to the length that their problems deserve."),
    "perspectives": ("harness.cli.data_recipes:perspectives", "Add right rationales from several perspectives."),
    "rationales": ("harness.cli.data_recipes:rationales", "Let a teacher think, and not answer (CoTD-PO)."),
    "candidates": ("harness.cli.data_candidates", "Let a student answer given those thoughts, with rewards."),
    "decontaminate": ("harness.cli.data_files:decontaminate", "Leave out what overlaps with the benchmarks."),
    "stats": ("harness.cli.data_files:stats", "Say what is in a file of records."),
}
"""Subcommand -> (where it is, one-line help)."""


@click.group("data", cls=Subcommands, table=SUBCOMMANDS)
def command() -> None:
    """Make training data with any model as the teacher; every command resumes and loses nothing (docs/data.md).

    \b
    harness data synth --levels 1,2 --per-level 500 -o train.jsonl
    harness data traces --teacher openai:my-teacher --suite synth_easy --n 4 -o traces.jsonl
    """  # noqa: D301  # a real backspace: it tells click to keep these lines
