"""Every command line of README and docs is one: all are parsed, and what needs nothing runs as it is written.

A line that does not run here is marked by `NEEDS` with the reason. Lines of a page run in the page's order and in one
folder, so that a line may use what one above it made.
"""

from __future__ import annotations

import re
import shlex
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
import pytest

from harness.cli.main import cli, entry

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
NEEDS = {
    r"openai:|\$T\b|--reward-server|--teacher-server": "a server, or a key",
    r"\b(hf|vllm):": "weights that are the reader's, or a download",
    r"\b(tiny|smollm2)\b|trained:|--preset demo": "minutes, of which most train a model",
    r"models (show|diff|rm|add|rollouts|calibrate)": "a trained model",
    r"gsm8k|math500|aime|gpqa|alpaca_eval|lighteval:|--data-dir": "benchmark files",
    r"\bRUN|_RUN\b|…|my-chain": "what the reader puts in its place",
    r"questions\.jsonl|korean\.jsonl|mathglm\.jsonl|duals\.jsonl|steps\.jsonl|train\.csv|my_": "a file of the reader's",
    r"data confident": "answers of a model that was asked for its confidence",
    r"\bfocal\b": "the plugin of CONTRIBUTING",
    r"harness report\b|--recipe .* --data": "runs, or data and weights of the paper",
}
"""Pattern -> what a line with it needs that this machine may not have."""
TRACES = "harness data traces --teacher mock:gold --suite synth_easy --per-level 5 -o traces.jsonl"
GIVEN = {
    "README.md": "harness run --suite synth_easy --limit 5 --model mock:gold",
    "docs/cli.md": TRACES,
    "docs/rubrics.md": "harness judge new mine --like cot_math",
}
"""Page -> what its reader has done before."""


def spans(page: Path) -> list[str]:
    """The command lines that stand for themselves: fenced or indented, joined where a backslash goes on."""
    lines, fenced, found = page.read_text(encoding="utf-8").replace("\\\n", " ").splitlines(), False, []
    for line in lines:
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif (fenced or line.startswith("    ")) and line.strip().startswith("harness "):
            found += [one.strip() for one in line.split("&&") if one.strip().startswith("harness ")]
    return [line for line in found if not line.startswith("harness data:")]


def words(line: str) -> list[str]:
    """Its words as a shell would give them, without what stands for the reader's own."""
    plain = re.sub(r"[\[\]]", "", line.replace("$T", "--teacher openai:my-teacher"))
    told = shlex.split(plain, comments=True)[1:]
    return [word for last, word in pairwise(["", *told]) if word != "MORE…" and (word != "…" or last.startswith("--"))]


def parse(told: list[str], root: Path) -> None:
    """Raises what click raises for a command that there is not, or options that it has not."""
    (root / "DIR").mkdir(exist_ok=True)
    folders = ("--data-dir", "--results-dir")
    told = [str(root / "DIR") if last in folders else word for last, word in pairwise(["", *told])]
    command: click.Command = cli
    context = click.Context(cli, info_name="harness")
    while isinstance(command, click.Group):
        name, found, told = command.resolve_command(context, told)
        assert found is not None and name is not None
        command = found
        if isinstance(command, click.Group):
            context = click.Context(command, info_name=name, parent=context)
            if name == "judge" and told and told[0] not in command.list_commands(context):
                told = ["run", *told]
    command.make_context(command.name, told, parent=context)


COMMANDS = [(page.relative_to(ROOT).as_posix(), line) for page in PAGES for line in spans(page)]


def reason(line: str) -> str | None:
    """What it needs; None for one that runs."""
    return next((why for pattern, why in NEEDS.items() if re.search(pattern, line.partition("#")[0])), None)


def test_there_are_such_lines_and_every_reason_is_one_of_some_line() -> None:
    assert len(COMMANDS) > 120 and len([line for _, line in COMMANDS if reason(line) is None]) >= 15
    for pattern in NEEDS:
        assert any(re.search(pattern, line) for _, line in COMMANDS), pattern


def test_every_line_is_a_command_with_options_that_it_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    wrong = []
    for page, line in COMMANDS:
        try:
            parse(words(line), tmp_path)
        except click.exceptions.Exit:
            pass
        except (click.ClickException, ValueError, AssertionError) as error:
            missing = isinstance(error, click.BadParameter) and "does not exist" in error.format_message()
            if not missing:  # a file that a line above makes, or the reader has
                wrong.append(f"{page}: {line}\n    {error!r} {getattr(error, 'message', '')}")
    assert not wrong, "\n".join(wrong)


def test_what_is_named_in_a_sentence_is_a_command_with_such_options() -> None:
    wrong, seen = [], 0
    for page in PAGES:
        if page.name in ("LOG.md", "cli.md"):  # what was measured then; generated
            continue
        for span in re.findall(r"`harness ([a-z][^`]*)`", page.read_text(encoding="utf-8")):
            if span.startswith("data brief"):  # the maker that data.md writes as an example
                continue
            told, context = span.split(), click.Context(cli, info_name="harness")
            command: click.Command = cli
            while told and isinstance(command, click.Group):
                context = click.Context(command, info_name=told[0], parent=context)
                found = command.get_command(context, told[0])
                if found is None and command.name == "judge":
                    found = command.get_command(context, "run")
                elif found is not None:
                    told = told[1:]
                if found is None:
                    break
                command = found
            has = {name for one in command.params for name in (*one.opts, *one.secondary_opts)} | {"--help"}
            seen += 1
            named = [one.partition("=")[0].rstrip(",.;:)") for one in told if one.startswith("--") and len(one) > 2]
            if isinstance(command, click.Group) and told and told[0][0].isalpha() and told[0].islower():
                wrong.append(f"{page.name}: harness {span}")
            wrong += [f"{page.name}: harness {span}: {one}" for one in named if one not in has]
    assert seen > 100 and not wrong, "\n".join(wrong)


def run(told: list[str], monkeypatch: pytest.MonkeyPatch, capsys: Any) -> tuple[object, str]:
    monkeypatch.setattr(sys, "argv", ["harness", *told])
    with pytest.raises(SystemExit) as stop:
        entry()
    return stop.value.code, capsys.readouterr().err


@pytest.mark.parametrize("page", sorted({page for page, line in COMMANDS if reason(line) is None}))
def test_what_needs_nothing_runs_as_it_is_written(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("HARNESS_RESULTS_DIR", "HARNESS_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    failed = {}
    for line in [
        *([GIVEN[page]] if page in GIVEN else []),
        *(line for of, line in COMMANDS if of == page and reason(line) is None),
    ]:
        if line.startswith("harness judge new"):  # a page may begin more than once
            (tmp_path / "mine.toml").unlink(missing_ok=True)
        code, said = run(words(line), monkeypatch, capsys)
        if code != 0:
            failed[line] = (code, said[-300:])
    assert not failed, failed
