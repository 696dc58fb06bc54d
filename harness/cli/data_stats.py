"""`harness data stats`: what is in files of records."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli import options
from harness.plain import clean, plural
from harness.report.table import to_json


@click.command("stats")
@click.argument("records", nargs=-1, required=True, metavar="RECORDS...")
@click.option("--tokenizer", metavar="ENGINE:NAME", help="Count tokens as this student, and what it cannot learn.")
@click.option(
    "--max-length", type=click.IntRange(min=2), default=4096, show_default=True, help="With --tokenizer: the limit."
)
@options.results_dir
@options.as_json
def command(records: tuple[str, ...], tokenizer: str | None, max_length: int, results_dir: Path, as_json: bool) -> None:
    """Say what is in files of records: fields, how responses split into chain and answer, lengths, the data hash."""
    from backends.load import find_weights, load_tokenizer
    from backends.makers.stats import stats
    from backends.records.inputs import read_all

    loaded = load_tokenizer(find_weights(tokenizer, results_dir)) if tokenizer is not None else None
    found = stats(read_all(records), loaded, max_length)
    if as_json:
        click.echo(to_json(found), nl=False)
        return
    click.echo(f"{plural(found['records'], 'record')}, data hash {found['data_hash'][:16]}")
    click.echo("fields: " + ", ".join(f"{name} {count:,}" for name, count in found["fields"].items()))
    shown = ", ".join(f"{rule} {count:,}" for rule, count in found["splits"].items()) or "no responses"
    click.echo(f"responses split by: {shown}; {found['without_chain']:,} of them without a chain")
    for unit in ("words", "tokens"):
        for name, spread in found[unit].items():
            numbers = ", ".join(f"{key} {value:,.0f}" for key, value in spread.items())
            click.echo(f"{unit} of {name}: {numbers}")
    for reason, count in found["unusable"].items():
        click.echo(f"cannot be trained on ({reason}): {count:,}")
    for name, values in found["meta"].items():
        click.echo(f"{name}: " + ", ".join(f"{clean(value, 60)} {count:,}" for value, count in values.items()))
    if found["meta"].get("split", {}).get("test"):
        click.echo("warning: holds TEST problems of a suite: never evaluate on it what they train", err=True)
