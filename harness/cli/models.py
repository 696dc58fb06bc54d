"""`harness models`: the registry of trained models: list, show, compare, remove, import."""

from __future__ import annotations

import click

from harness.cli.lazy import Subcommands

SUBCOMMANDS: dict[str, tuple[str, str]] = {
    "list": ("harness.cli.models_show:list_models", "List all models: method, base, data, tokens, scores."),
    "show": ("harness.cli.models_show:show", "Show a model's card, its lineage and the runs that evaluated it."),
    "diff": ("harness.cli.models_show:diff", "Show in what two cards differ."),
    "rollouts": ("harness.cli.models_rollouts:rollouts", "Show what a student wrote in training, and what it got."),
    "calibrate": ("harness.cli.models_calibrate:calibrate", "Choose when a model's answer is the positive label."),
    "rm": ("harness.cli.models_change:remove_model", "Remove a model; its runs stay."),
    "add": ("harness.cli.models_change:add", "Import a checkpoint that was trained elsewhere."),
}
"""Subcommand -> (where it is, one-line help)."""


@click.group("models", cls=Subcommands, table=SUBCOMMANDS)
def command() -> None:
    """Look after the registry of trained models; a model's id, or the beginning of one, names it everywhere.

    \b
    harness models list
    harness run --suite synth --model trained:tiny-sft-1a2b3c4d
    """  # noqa: D301  # a real backspace: it tells click to keep these lines
