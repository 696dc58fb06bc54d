"""A command group whose subcommands are imported on first use, so that `--help` of the group stays instant."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click


class ReaderLeft(Exception):
    """Whoever read our output (`| head`) has seen enough."""


class Subcommands(click.Group):
    """Subcommands from a table: name -> (module that exports it, one-line help).

    A module exports its one command as `command`; "module:attribute" names another.
    """

    def __init__(self, *args: Any, table: Mapping[str, tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._table = table

    def table(self) -> Mapping[str, tuple[str, str]]:
        """In the order of use."""
        return self._table

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of the table."""
        return list(self.table())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one subcommand."""
        if cmd_name not in self.table():
            return None
        module, _, attribute = self.table()[cmd_name][0].partition(":")
        found = getattr(import_module(module), attribute or "command")
        assert isinstance(found, click.Command)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """From the table alone."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self.table().items()])

    def invoke(self, ctx: click.Context) -> object:
        """Run a command; a reader of our output that went away is told apart here, before click exits with 1."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise ReaderLeft from None
