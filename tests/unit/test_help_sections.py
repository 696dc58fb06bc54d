"""Help of commands with many options: by subject, and nothing lost."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from harness.cli.main import cli
from harness.cli.sections import _FINER, _SECTIONS

COMMANDS = ("run", "bench", "gate", "train")


def shown(name: str) -> str:
    return CliRunner().invoke(cli, [name, "--help"], terminal_width=100).stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_stands_under_one_subject(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    text = "".join(shown(name).partition("What to do:")[1:])
    for option in command.params:
        told = f"\n  {option.opts[0]}"
        wanted = 0 if name == "run" and option.name in _FINER else 1
        assert sum(text.count(f"{told}{end}") for end in (" ", "\n")) == wanted, option.name
    titles = [line.rstrip(":") for line in text.splitlines() if line[:1].isupper() and line.endswith(":")]
    assert titles[0] == "What to do" and set(titles[1:]) <= set(_SECTIONS) and titles[-1] == "Output"
    first = text.partition("What to do:")[2].partition("\nProblems")[0]
    assert first.count("\n  -") <= 12  # a first user's screen


def test_what_run_leaves_out_is_said_and_works() -> None:
    assert "judge_temperature" in shown("run") and "harness judge run --help" in shown("run").replace("\n", " ")
    listed = CliRunner().invoke(cli, ["judge", "run", "--help"]).stdout
    assert all(f"--{name.replace('_', '-')}" in listed for name in _FINER)


def test_no_subject_names_an_option_that_no_command_has() -> None:
    commands = [found for name in COMMANDS if (found := cli.get_command(click.Context(cli), name)) is not None]
    known = {str(option.name) for command in commands for option in command.params} | {"_click_default_help"}
    assert {name for names in _SECTIONS.values() for name in names} <= known
