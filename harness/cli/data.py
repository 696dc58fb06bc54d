"""`harness data`: make training records, check them, say what is in them."""

from __future__ import annotations

from collections.abc import Mapping

import click

from harness import catalog
from harness.cli.lazy import Subcommands

STATS = {"stats": ("harness.cli.data_stats", "Say what is in a file of records.")}


class DataGroup(Subcommands):
    """The makers of the catalog, and what is no maker."""

    def table(self) -> Mapping[str, tuple[str, str]]:
        """Makers first, in the catalog's order."""
        return {**catalog.entries("maker"), **super().table()}

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Of a maker: its own command."""
        if cmd_name in STATS or cmd_name not in self.table():
            return super().get_command(ctx, cmd_name)
        from harness.cli.data_make import maker_command

        return maker_command(cmd_name)


@click.group("data", cls=DataGroup, table=STATS)
def command() -> None:
    """Make training data with any model as the teacher; every command resumes and loses nothing (docs/data.md).

    \b
    harness data synth --levels 1,2 --per-level 500 -o train.jsonl
    harness data traces --teacher openai:my-teacher --suite synth_easy --n 4 -o traces.jsonl
    """  # noqa: D301  # a real backspace: it tells click to keep these lines
