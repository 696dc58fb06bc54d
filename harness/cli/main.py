"""`harness`: a group whose commands are imported only when they run, so that `--help` stays instant."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import traceback

import click

from harness import __version__
from harness.cli.lazy import ReaderLeft, Subcommands
from harness.errors import HarnessError

# Command -> (module, one-line help). The help stands here so that listing the commands imports none of them.
COMMANDS: dict[str, tuple[str, str]] = {
    "run": ("harness.cli.run", "Evaluate models on suites; resumes where it stopped."),
    "score": ("harness.cli.score", "Grade a stored run again, generating nothing."),
    "judge": ("harness.cli.judge", "Judge stored runs, and find out how far a judge can be trusted."),
    "train": ("harness.cli.train", "Train a student with a distillation method; resumes where it stopped."),
    "chain": ("harness.cli.chain", "Carry out a chain of steps: data, trainings, merges, evaluations."),
    "models": ("harness.cli.models", "Look after trained models: list, show, diff, rollouts, calibrate, rm, add."),
    "leaderboard": ("harness.cli.leaderboard", "Rank all stored runs, with intervals and ties."),
    "compare": ("harness.cli.compare", "Compare runs problem by problem."),
    "report": ("harness.cli.report", "Write stored runs as one HTML file to look through."),
    "gate": ("harness.cli.gate", "Say whether a candidate has become worse than a baseline; for CI."),
    "bench": ("harness.cli.bench", "Train several methods at the same budget and compare them."),
    "diversity": ("harness.cli.diversity", "Measure how different the responses of a run are."),
    "analyze": ("harness.cli.analyze", "Say what stored runs hold beyond their scores."),
    "plan": ("harness.cli.power", "Say which difference a suite can detect, and what it takes."),
    "data": ("harness.cli.data", "Make training data with any model as the teacher."),
    "list": ("harness.cli.listing", "List suites, models, graders, metrics, rubrics, protocols or runs."),
    "show": ("harness.cli.show", "Show everything about one name or one stored run."),
    "check": ("harness.cli.check", "Check suites: gold must score 1, near misses 0."),
    "import": ("harness.cli.importing", "Bring result files of other tools into the leaderboard."),
    "export": ("harness.cli.exporting", "Write a run as files of another tool or its benchmark."),
    "env": ("harness.cli.env", "Show versions, extras, devices and folders."),
}


_LINE_MAX = 4000  # characters of an error: the longest list of names fits, a hostile name does not


@click.group(
    cls=Subcommands,
    table=COMMANDS,
    epilog="Exit codes: 0 done, 1 too many unscored or failed samples (`gate`: a regression), 2 wrong usage or data, "
    "3 something must be installed or started first, 4 a gate is inconclusive, 5 the budget is spent (resumable), "
    "130 interrupted (resumable).",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="harness")
def cli() -> None:
    """Evaluate, compare and rank language models with error bars you can defend."""


def entry() -> None:
    """Console script: every expected error is one redacted line on stderr and its documented exit code."""
    _open_streams()
    try:
        for argument in sys.argv[1:]:
            argument.encode()  # what cannot be written down cannot be part of a stored run
        code = cli.main(standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except HarnessError as error:
        _fail(f"{error}", error.exit_code)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(error.exit_code)
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        name = context.command_path if context is not None else "harness"
        _fail(f"{error.format_message()} Try `{name} --help`", error.exit_code)
    except UnicodeEncodeError as error:
        _fail(f"{error.object!r} is not {error.encoding} text: check the spelling, and that the locale is UTF-8", 2)
    except (KeyboardInterrupt, click.Abort):
        _fail("interrupted", 130)
    except ReaderLeft:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:  # a full disk, a missing permission: the system's own words, and where
        place = f"{error.filename}: " if error.filename else ""
        _fail(f"{place}{error.strerror or error}; nothing that was stored is lost", 3)
    except Exception:  # a bug of ours: show it whole, but never a secret
        from harness.redact import redact

        print(f"error: this is a bug in harness, please report it:\n{redact(traceback.format_exc())}", file=sys.stderr)
        sys.exit(70)


def _open_streams() -> None:
    """Output must not fail for a character that the terminal's encoding lacks, or because a stream is closed."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115  lives as long as we do
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _fail(message: str, code: int) -> None:
    """One line, whatever foreign text the message quotes, and the exit code; a full stderr changes neither."""
    from harness.plain import clean
    from harness.redact import redact

    with contextlib.suppress(OSError):
        print(f"error: {clean(redact(message), _LINE_MAX)}", file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    entry()
