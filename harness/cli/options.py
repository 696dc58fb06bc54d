"""Options that several commands share, so that they read and behave the same everywhere."""

from __future__ import annotations

import functools
import math
import os
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast, get_args

import click

from harness.options import key_value
from judges.types import Aggregate, Orders, WhichPrompt

if TYPE_CHECKING:
    from harness.report.table import Format, Table
    from harness.types import Json

F = TypeVar("F", bound=Callable[..., Any])


class FilePath(click.Path):
    """A path that is not empty: an unset shell variable must not come to mean the working directory."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """See `click.ParamType`."""
        if value == "":
            self.fail("it is empty; leave it out or name a path.", param, ctx)
        return super().convert(value, param, ctx)


class _Finite(click.types.FloatParamType):
    """What nan is compared with is never reached, and inf is no size of anything."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """See `click.ParamType`."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is no finite number.", param, ctx)
        return number


class FiniteRange(_Finite, click.FloatRange):
    """A finite number between bounds."""


NUMBER = _Finite()


results_dir = click.option(
    "--results-dir",
    type=FilePath(file_okay=False, path_type=Path),
    default=Path("results"),
    envvar="HARNESS_RESULTS_DIR",
    show_default=True,
    show_envvar=True,
    help="Folder that holds runs/.",
)


def with_results_dir(command: str, results_dir: Path) -> str:
    """A command to print for the user: with the --results-dir that it needs to look where this one wrote."""
    usual = os.environ.get("HARNESS_RESULTS_DIR") or "results"
    same = os.path.abspath(results_dir) == os.path.abspath(usual)
    return command if same else f"{command} --results-dir {shlex.quote(str(results_dir))}"


data_dir = click.option(
    "--data-dir",
    type=FilePath(file_okay=False, path_type=Path),
    envvar="HARNESS_DATA_DIR",
    show_envvar=True,
    help="Folder with the benchmark files; without it the hub is asked.",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Machine-readable output on stdout.")
quiet = click.option("--quiet", is_flag=True, help="No progress on stderr.")


def pairs(ctx: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """KEY=VALUE options as a mapping."""
    try:
        return dict(map(key_value, values))
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, parameter) from None


SAMPLING: dict[str, Callable[[F], F]] = {
    "n": click.option("--n", type=int, help="Samples per problem (default: the protocol's, else the suite's own)."),
    "limit": click.option("--limit", type=int, help="Only that many problems per suite, the same for every model."),
    "seed": click.option("--seed", type=int, help="Root seed of sampling, choice order and --limit. [default: 0]"),
    "temperature": click.option("--temperature", type=NUMBER, help="Sampling temperature; 0 is greedy."),
    "top_p": click.option("--top-p", type=NUMBER, help="Nucleus sampling threshold."),
    "max_tokens": click.option("--max-tokens", type=int, help="New tokens per completion, reasoning included."),
    "protocol": click.option("--protocol", metavar="NAME", help="Sampling preset, e.g. r1 (`harness list protocols`)."),
}
"""Which problems are asked and how answers are sampled; the parameters are named as in `harness.config.RunConfig`."""

TRAINING: dict[str, Callable[[F], F]] = {
    "student": click.option("--student", metavar="SPEC", help="Model to train: tiny, smollm2, hf:PATH, trained:ID."),
    "data": click.option(
        "--data", metavar="FILE|synth:…", help="Training data (docs/data.md), or synth:levels=1+2,per_level=500."
    ),
    "count": click.option(
        "--count",
        type=click.Choice(["student", "all"]),
        help="What a budget of tokens counts: what the student reads and writes, or also what a teacher and judges do. "
        "[default: student; where a method of `harness bench` lets the student write: all]",
    ),
    "max_length": click.option(
        "--max-length",
        type=int,
        help="Most tokens of a training sequence; longer ones are left out. [default: 2048]",
    ),
    "precision": click.option(
        "--precision",
        type=click.Choice(["auto", "float32", "bf16"]),
        help="Of training. [default: auto: bf16 on a GPU, else float32]",
    ),
    "gradient_checkpointing": click.option(
        "--gradient-checkpointing", is_flag=True, default=None, help="Less memory, one more forward pass."
    ),
    "template": click.option(
        "--template", metavar="FILE|off", help="Chat template of training, in place of the tokenizer's own."
    ),
}
"""How a student is trained; the parameters are named as in `backends.config.TrainConfig`."""

JUDGING: dict[str, Callable[[F], F]] = {
    "judge": click.option(
        "--judge", multiple=True, metavar="ENGINE:NAME", help="Model that judges; repeat it for a panel of judges."
    ),
    "judge_options": click.option(
        "--judge-arg",
        "judge_options",
        multiple=True,
        metavar="KEY=VALUE",
        callback=pairs,
        help="Option of the judge's engine, e.g. base_url=…; of one judge of a panel: JUDGE:base_url=….",
    ),
    "rubric": click.option(
        "--rubric", metavar="NAME|FILE", help="Judge prompt (`harness list rubrics`) or a TOML file."
    ),
    "judging": click.option(
        "--judging", metavar="NAME", help="Judging protocol (`harness list judging`) in place of the suite's own."
    ),
    "weighting": click.option("--weighting", metavar="NAME", help="One of the rubric's named weightings."),
    "prompt": click.option(
        "--prompt",
        type=click.Choice(get_args(WhichPrompt)),
        help="A benchmark's own judge prompt where it is installed, or our rubric. [default: auto]",
    ),
    "repeats": click.option("--repeats", type=int, help="Ask the judge that often. [default: 1]"),
    "orders": click.option(
        "--orders",
        type=click.Choice(get_args(Orders)),
        help="Which answer is shown first in pairwise judgments. [default: both, or the protocol's]",
    ),
    "judge_temperature": click.option(
        "--judge-temperature", type=NUMBER, help="Sampling temperature of the judge. [default: 0, or the protocol's]"
    ),
    "aggregate": click.option(
        "--aggregate", type=click.Choice(get_args(Aggregate)), help="How a panel decides. [default: mean]"
    ),
    "samples": click.option("--samples", type=int, help="Judge only that many samples of each problem."),
    "budget": click.option(
        "--budget", metavar="AMOUNT", help="Stop judging, resumably, at so much: 200ktok, 5usd (prices: --judge-arg)."
    ),
    "allow_self": click.option("--allow-self", is_flag=True, default=None, help="Let a model judge its own answers."),
}
"""Everything that says who judges and how; the parameters are the keys of `harness.config`."""


def some(group: Mapping[str, Callable[[F], F]], *names: str) -> Callable[[F], F]:
    """Those options of a group that mean something to a command; all of them if none is named."""

    def apply(function: F) -> F:
        for name in reversed(names or tuple(group)):
            function = group[name](function)
        return function

    return apply


def output_format(function: F) -> F:
    """`--format table|md|csv|json`, with `--json` as a short form; the command gets the one that counts as `form`."""

    @functools.wraps(function)
    def command(*, form: Format, as_json: bool, **given: Any) -> Any:
        return function(form="json" if as_json else form, **given)

    formats = click.Choice(["table", "md", "csv", "json"])
    chosen = click.option("--format", "form", type=formats, default="table", show_default=True, help="Output format.")
    return cast(F, chosen(as_json(command)))


def emit(tables: Sequence[Table], form: Format, extra: Mapping[str, Json] | None = None) -> None:
    """Print a command's result on stdout, with colours and as wide as it is if that is a terminal."""
    from harness.report.table import render

    tty = form == "table" and sys.stdout.isatty()
    click.echo(render(tables, form, tty=tty, extra=extra), nl=False)
