"""`harness chain`: several commands as one, cached by content."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from harness.cli import options


@click.command("chain")
@click.argument("chain", metavar="NAME|FILE.toml")
@click.option(
    "--set", "assignments", multiple=True, metavar="NAME=VALUE", callback=options.pairs, help="Input of the chain."
)
@click.option("--dry-run", is_flag=True, help="Check every step, and say which are done and what the others would do.")
@options.quiet
@options.results_dir
@options.output_format
def command(**given: Any) -> None:
    """Carry out a CHAIN of steps: data, trainings, merges and evaluations (docs/training.md; `harness list chains`).

    The same command goes on where it was stopped. A step is done again only if what it reads or is told has changed.

    \b
    harness chain edit-krsl --set teacher=openai:my-teacher --dry-run
    harness chain my-chain.toml --set student=smollm2
    """  # noqa: D301  # a real backspace: it tells click to keep these lines
    from backends.chain import filled, load_chain
    from harness.cli.chain_run import ChainRun, outcome

    form, results_dir = given["form"], Path(given["results_dir"])
    chain = filled(load_chain(given["chain"]), given["assignments"])
    run = ChainRun(chain, results_dir, quiet=given["quiet"])
    run.check()
    done = run.preview() if given["dry_run"] else run.carry_out()
    options.emit([outcome(chain, done, dry=given["dry_run"])], form)
