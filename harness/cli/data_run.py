"""What the asking commands of `harness data` share: their options, a dry run, and carrying a recipe out.

Beside the output stand the replies (`<out>.cache.sqlite`, never deleted), what became of everything
(`<out>.report.json`), and further sets of the recipe (`<stem>.<set>.jsonl`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from harness.cli import options
from harness.plain import plural
from harness.types import Json, Model

if TYPE_CHECKING:
    from backends.makers.asking import Asked, Draw
    from backends.makers.base import Made, Recipe
    from backends.makers.templates import Template
    from backends.records.record import TrainRecord
    from harness.models.budget import Budget

F = TypeVar("F", bound=Callable[..., Any])
SETS = {"traces": ("unsolved",), "dual": ("stage1",)}
"""Recipe -> the further sets that it makes."""


out_option = click.option(
    "-o",
    "--out",
    required=True,
    type=options.FilePath(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Records to write, as JSON lines; replies and report stand beside it.",
)
force_option = click.option("--force", is_flag=True, help="Replace a file at --out that this command did not make.")
limit_option = click.option("--limit", type=click.IntRange(min=1), help="Only the first so many records.")


@dataclass(frozen=True)
class Settings:
    """What every asking command is told."""

    role: str
    """What the model is called: teacher, student."""
    model: str
    model_options: dict[str, str]
    out: Path
    temperature: float | None
    top_p: float | None
    max_tokens: int
    seed: int
    template_files: dict[str, str]
    budget: Budget | None
    """Of the whole command, whichever models it asks."""
    max_failures: float
    results_dir: Path
    dry_run: bool
    quiet: bool
    force: bool

    @classmethod
    def of(cls, given: Mapping[str, Any], role: str = "teacher") -> Settings:
        """From click's parameters, which have the same names."""
        from harness.models.budget import Budget

        budget = Budget.parse(given["budget"]) if given["budget"] is not None else None
        own: dict[str, Any] = {"role": role, "budget": budget}
        return cls(**own, **{item.name: given[item.name] for item in fields(cls) if item.name not in own})

    def draw(self, temperature: float, top_p: float = 1.0) -> Draw:
        """The sampling, with a recipe's own defaults."""
        from backends.makers.asking import Draw

        return Draw(
            temperature if self.temperature is None else self.temperature,
            top_p if self.top_p is None else self.top_p,
            self.max_tokens,
            self.seed,
        )

    def template(self, name: str) -> Template:
        """A template, or the user's file that stands in for it."""
        from backends.makers.templates import load_template

        file = self.template_files.get(name)
        return load_template(name, Path(file) if file is not None else None)

    def load_model(self) -> Model:
        """The model that is asked."""
        from harness.models import load_model

        return load_model(self.model, self.model_options, self.results_dir)


def asking(role: str) -> Callable[[F], F]:
    """The options of `Settings`; `role` is what the model is called: teacher, student."""
    chosen = [
        click.option(f"--{role}", "model", required=True, metavar="ENGINE:NAME", help=f"Model that is the {role}."),
        click.option(
            f"--{role}-arg",
            "model_options",
            multiple=True,
            metavar="KEY=VALUE",
            callback=options.pairs,
            help=f"Option of the {role}'s engine, e.g. base_url=….",
        ),
        out_option,
        click.option(
            "--temperature", type=click.FloatRange(0, 10), help="Sampling temperature. [default: the recipe's]"
        ),
        click.option("--top-p", type=click.FloatRange(0, 1, min_open=True), help="Nucleus. [default: the recipe's]"),
        click.option("--max-tokens", type=click.IntRange(min=1), default=4096, show_default=True, help="Of a reply."),
        click.option("--seed", type=int, default=0, show_default=True, help="Of sampling."),
        limit_option,
        click.option(
            "--template",
            "template_files",
            multiple=True,
            metavar="NAME=FILE",
            callback=options.pairs,
            help="A prompt of one's own in place of a template.",
        ),
        click.option("--budget", metavar="AMOUNT", help="Stop, resumably, at so much: 200ktok, 5usd."),
        click.option(
            "--max-failures",
            type=click.FloatRange(0, 1),
            default=0.02,
            show_default=True,
            help="Share of failed requests that is tolerated (exit 0).",
        ),
        options.results_dir,
        click.option("--dry-run", is_flag=True, help="Say what would be asked, and show one prompt; ask nothing."),
        force_option,
        click.option("--quiet", is_flag=True, help="No progress and no summary on stderr."),
    ]

    def apply(function: F) -> F:
        for option in reversed(chosen):
            function = option(function)
        return function

    return apply


def beside(out: Path, ending: str) -> Path:
    """`traces.jsonl` -> `traces.jsonl.report.json`."""
    return out.with_name(out.name + ending)


def side_file(out: Path, name: str) -> Path:
    """`traces.jsonl` -> `traces.unsolved.jsonl`."""
    return out.with_name(f"{out.stem}.{name}{out.suffix}")


def check_out(out: Path, recipe: str, inputs: Sequence[Path], force: bool = False) -> None:
    """Refuse to replace what is an input, or what this recipe did not make. Raises `UsageError`."""
    from harness.errors import UsageError

    report = _old_report(out)
    ours = report.get("recipe") == recipe
    owned = {out: ours} | {
        side_file(out, name): ours and name in report.get("sets", {}) for name in SETS.get(recipe, ())
    }
    for path, made in owned.items():
        if path.exists() and not path.is_file():
            raise UsageError(f"{path} is a device, a pipe or a folder: name a file as --out")
        if any(one.exists() and path.exists() and os.path.samefile(one, path) for one in inputs):
            raise UsageError(f"{path}, which would be written, is an input: name another --out")
        if path.exists() and not made and not force:
            raise UsageError(
                f"{path} is there and not made by `harness data {recipe}`: name another --out, or say --force to "
                "replace it"
            )


def _old_report(out: Path) -> dict[str, Any]:
    """What an earlier call reported of its work; {} where there is no report that can be read."""
    from harness.files import parse_json

    try:
        found = parse_json(beside(out, ".report.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) and isinstance(found.get("sets", {}), dict) else {}


def carry_out(
    recipe: Recipe, settings: Settings, inputs: Sequence[Path], source: Mapping[str, Json], note: str = ""
) -> None:
    """Ask, write, report. `source` says in the report where the records came from; `note` ends the summary.

    Raises `TooManyFailures` if more requests failed than are tolerated (all: nothing is written), `Interrupted`.
    """
    check_out(settings.out, recipe.name, inputs, settings.force)
    _check_templates(recipe, settings)
    if settings.dry_run:
        show_plan(recipe, settings)
        return
    from backends.makers.asking import Asker
    from harness.cli.progress import AskProgress
    from harness.errors import DataError, Interrupted, TooManyFailures
    from harness.run.signals import sigterm_interrupts

    model = settings.load_model()
    try:
        with (
            sigterm_interrupts(),
            open_cache(settings.out) as cache,
            Asker(
                model,
                cache,
                budget=settings.budget,
                progress=AskProgress(quiet=settings.quiet),
                role=settings.role,
            ) as ask,
        ):
            made = recipe.run(ask)
    except KeyboardInterrupt:
        raise Interrupted("interrupted: every reply so far is stored; run the same command again to resume") from None
    done = ask.done
    facts = {**source, "model": model.name, "model_identity": dict(model.describe())}
    facts |= {"templates": [template.id for template in recipe.templates]}
    if made.records:
        write_made(made, settings.out, recipe.name, facts, done)
    if not settings.quiet:
        click.echo(summary(made, settings.out, done, note), err=True)
    if done.failed > settings.max_failures * (done.requests + done.cached):
        raise TooManyFailures(
            f"{done.failed} of {done.requests} requests to {model.name} failed, the first: {done.why}. Run the same "
            "command again: it asks only these" + ("" if made.records else "; nothing was written")
        )
    if not made.records:
        raise DataError(f"nothing was kept, so {settings.out} was not written: " + counted(made.counts))


def open_cache(out: Path) -> Any:
    """The replies beside an output; a `harness.models.reply_cache.Cache`."""
    from harness.models.reply_cache import Cache

    return Cache(beside(out, ".cache.sqlite"), what="file of replies", elsewhere="say another --out")


def write_made(made: Made, out: Path, recipe: str, facts: Mapping[str, Json], done: Asked | None = None) -> None:
    """The report, the further sets, the records; each file whole or not at all."""
    import dataclasses

    from backends.records.record import data_hash, write_records
    from harness import __version__
    from harness.files import write_output

    old_sets = _old_report(out).get("sets", {})
    found = {name: records for name, records in made.others.items() if records}
    report = {
        "recipe": recipe,
        "harness": __version__,
        "records": len(made.records),
        "data_hash": data_hash(made.records),
        "counts": dict(made.counts),
        "sets": {
            name: {"file": side_file(out, name).name, "records": len(records), "data_hash": data_hash(records)}
            for name, records in found.items()
        },
        **facts,
        "asked": dataclasses.asdict(done) if done is not None else None,
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    # The report goes first: whoever finds records without it could not tell who made them.
    write_output(beside(out, ".report.json"), json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    for name in SETS.get(recipe, ()):
        if name in old_sets and name not in found:
            side_file(out, name).unlink(missing_ok=True)  # it would not belong to these records
    for name, records in found.items():
        write_records(side_file(out, name), records)
    write_records(out, made.records)


def _check_templates(recipe: Recipe, settings: Settings) -> None:
    from harness.errors import UnknownName

    used = [template.name for template in recipe.templates]
    for name in settings.template_files:
        if name not in used:
            raise UnknownName(f"template of {recipe.name}", name, used)


def counted(counts: Mapping[str, int]) -> str:
    """Counts that are not 0, in words."""
    return ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in counts.items() if count)


def summary(made: Made, out: Path, done: Asked | None, note: str = "") -> str:
    """What a person reads when it is over."""
    lines = []
    if done is not None:
        lines.append(
            f"asked {done.requests:,} ({done.cached:,} more were stored), {done.failed:,} failed, "
            f"{done.tokens_in:,} tokens in, {done.tokens_out:,} out"
        )
    lines.append(counted(made.counts))
    if made.records:
        lines.append(f"{plural(len(made.records), 'record')} in {out}")
        lines += [f"{len(found):,} in {side_file(out, name)}" for name, found in made.others.items() if found]
    return "\n".join([*lines, *([note] if note else [])])


def show_plan(recipe: Recipe, settings: Settings) -> None:
    """What would be asked first, how much of it is stored, and one prompt."""
    from backends.makers.asking import Asker
    from harness.models.reply_cache import Cache

    queries = recipe.first()
    path = beside(settings.out, ".cache.sqlite")
    model = settings.load_model()
    with open_cache(settings.out) if path.exists() else Cache(None) as cache, Asker(model, cache) as ask:
        missing = ask.count_missing(queries)
    click.echo(f"{recipe.name}: {len(queries):,} requests to {model.name} first, {missing:,} of them not stored yet")
    for template in recipe.templates:
        click.echo(f"template {template.id}: {template.summary}")
    if queries:
        draw = queries[0].draw
        click.echo(f"temperature {draw.temperature:g}, top-p {draw.top_p:g}, at most {draw.max_tokens:,} tokens")
        click.echo("\nFirst prompt:")
        for message in queries[0].problem.messages:
            click.echo(f"[{message.role}]\n{message.content}")


def read_inputs(
    files: Sequence[str], limit: int | None, grader: str | None, *, plain: bool = False
) -> list[TrainRecord]:
    """The records of the named files, the first `limit` of them."""
    from backends.records.inputs import read_all

    return read_all(files, grader, plain=plain)[:limit]


def provenance(files: Sequence[str], records: Sequence[TrainRecord]) -> dict[str, Json]:
    """Where a recipe's records came from, for the report."""
    from backends.records.record import data_hash

    return {"inputs": list(files), "input_hash": data_hash(records)}
