"""Write `docs/cli.md` from the commands' own help, so that the page cannot promise what the code does not do."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from harness.cli.main import COMMANDS, cli


def reference() -> str:
    """The page: the help of `harness` and of every command and subcommand, 100 columns wide."""
    parts = ["# Command line", "", "Generated from `harness --help` by `make docs`; a test fails when it is stale.", ""]
    top = click.Context(cli, info_name="harness", max_content_width=100, terminal_width=100, **cli.context_settings)
    parts += ["```text", cli.get_help(top), "```", ""]
    for name in COMMANDS:
        parts += _page(cli, top, name)
    return "\n".join(parts)


def _page(group: click.Group, parent: click.Context, name: str) -> list[str]:
    command = group.get_command(parent, name)
    assert command is not None
    ctx = click.Context(command, info_name=name, parent=parent, max_content_width=100, terminal_width=100)
    parts = [f"## {ctx.command_path}", "", "```text", command.get_help(ctx), "```", ""]
    if isinstance(command, click.Group):
        for subcommand in command.list_commands(ctx):
            parts += _page(command, ctx, subcommand)
    return parts


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(reference(), encoding="utf-8")
