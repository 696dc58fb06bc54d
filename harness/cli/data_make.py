"""`harness data NAME`: the command of a maker, generated from its class, and what all of them share."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

import click

from harness.cli import options
from harness.cli.fields import Option, field_docs, field_option
from harness.errors import DataError, Interrupted, TooManyFailures, UsageError
from harness.models import load_model
from harness.models.replies import Asked
from harness.plain import plural
from harness.types import Completion, Model

if TYPE_CHECKING:
    from backends.makers.asking import Query
    from backends.makers.base import Made, Maker
    from backends.makers.output import Output

_SHARED: dict[str, Option] = {
    "data_dir": options.data_dir,
    **{name: options.JUDGING[name] for name in ("judge", "judge_options", "rubric")},
    "student_options": click.option(
        "--student-arg",
        "student_options",
        multiple=True,
        metavar="KEY=VALUE",
        callback=options.pairs,
        help="Option of the student's engine, e.g. dtype=float32.",
    ),
}
"""A maker's field of such a name is the option that other commands have."""
_RECORDS = click.argument("records", nargs=-1, required=True, metavar="RECORDS...")
_OUT = click.option(
    "-o",
    "--out",
    required=True,
    type=options.FilePath(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Records to write, as JSON lines; replies and report stand beside it.",
)
_FORCE = click.option("--force", is_flag=True, help="Replace a file at --out that this command did not make.")
_LIMIT = click.option("--limit", type=click.IntRange(min=1), help="Only the first so many records.")


def _asking(role: str) -> list[Option]:
    """The options of a maker that asks a model; `role` is what that is called: teacher, student."""
    share, failed = options.FiniteRange(0, 1), "Share of failed requests that is tolerated (exit 0)."
    usual = "[default: the maker's]"
    who = "Model that is asked." if role == "model" else f"Model that is the {role}."
    return [
        click.option(f"--{role}", "model", required=True, metavar="ENGINE:NAME", help=who),
        click.option(
            f"--{role}-arg",
            "model_options",
            multiple=True,
            metavar="KEY=VALUE",
            callback=options.pairs,
            help=f"Option of the {role}'s engine, e.g. base_url=….",
        ),
        _OUT,
        click.option("--temperature", type=options.FiniteRange(0, 10), help=f"Sampling temperature. {usual}"),
        click.option("--top-p", type=options.FiniteRange(0, 1, min_open=True), help=f"Nucleus. {usual}"),
        click.option("--max-tokens", type=click.IntRange(min=1), default=4096, show_default=True, help="Of a reply."),
        click.option("--seed", type=int, default=0, show_default=True, help="Of sampling."),
        _LIMIT,
        click.option(
            "--template",
            "template_files",
            multiple=True,
            metavar="NAME=FILE",
            callback=options.pairs,
            help="A prompt of one's own in place of a template.",
        ),
        click.option("--budget", metavar="AMOUNT", help="Stop, resumably, at so much: 200ktok, 5usd."),
        click.option("--max-failures", type=share, default=0.02, show_default=True, help=failed),
        options.results_dir,
        click.option("--dry-run", is_flag=True, help="Say what would be asked, and show one prompt; ask nothing."),
        _FORCE,
        click.option("--quiet", is_flag=True, help="No progress and no summary on stderr."),
    ]


def own_fields(kind: type[Maker]) -> list[dataclasses.Field[Any]]:
    """The fields of a maker that are options of its own."""
    from backends.makers.base import Maker

    given = {field.name for field in dataclasses.fields(Maker)}
    return [field for field in dataclasses.fields(kind) if field.name not in given]


def maker_command(name: str) -> click.Command:
    """The command of a maker of the catalog.

    Raises `UnknownName`, and `UsageError` for a plugin that is no maker or has a field that cannot be an option.
    """
    from backends.makers.base import load_maker

    kind = load_maker(name)

    def callback(**given: Any) -> None:
        make(kind, given)

    try:
        hints, docs = get_type_hints(kind), field_docs(kind)
    except (NameError, TypeError) as error:  # a type that is imported for a type checker only
        raise UsageError(f"maker {name!r}: the type of a field cannot be read ({error})") from error
    chosen: list[Option] = [_RECORDS] if kind.takes_files else []
    for field in own_fields(kind):
        chosen.append(_SHARED.get(field.name) or field_option(field, hints[field.name], docs.get(field.name), "maker"))
    chosen += _asking(kind.role) if kind.role else [_OUT, _FORCE, *([_LIMIT] if kind.takes_files else [])]
    decorated: Callable[..., Any] = callback
    for option in reversed(chosen):
        decorated = option(decorated)
    command = click.command(name, help=kind.__doc__)(decorated)
    flags = Counter(flag for parameter in command.params for flag in parameter.opts)
    if twice := [flag for flag, count in flags.items() if count > 1]:
        raise UsageError(f"maker {name!r} cannot have an option {twice[0]}: every maker's command has one")
    return command


def make(kind: type[Maker], given: Mapping[str, Any]) -> None:
    """Carry a maker out, or say what it would ask; `given` is what click was told.

    Raises `TooManyFailures` if more requests failed than are tolerated (all: nothing is written), `Interrupted`.
    """
    from backends.makers.output import Output
    from backends.records.record import data_hash

    own = {field.name: given[field.name] for field in own_fields(kind)}
    files, dry_run = given.get("records", ()), given.get("dry_run", False)
    inputs = [Path(one) for one in files] + [one for one in own.values() if isinstance(one, Path)]
    with Output(given["out"], kind, inputs, force=given["force"], dry_run=dry_run) as output:
        asking = _asking_fields(kind, given) if kind.role else {}
        records, source = kind.read(files, given)
        records = records[: given.get("limit")]
        if source:
            source["input_hash"] = data_hash(records)
        if source.get("split") == "test":
            warning = f"warning: these are TEST problems of {source['suite']}: never evaluate on it what they train"
            click.echo(warning, err=True)
        model = load_model(given["model"], given["model_options"], given["results_dir"]) if kind.role else None
        if model is not None:
            asking["continues"] = model.continues
        maker = kind(records, **asking, **own, cache=lambda: output.cache)
        if model is not None:
            _refuse_unfit(maker, model)
            model = maker.over(model)
        if model is not None and dry_run:
            _show_plan(maker, model, output)
            return
        made, done = _ask(maker, model, output, given["quiet"]) if model is not None else (maker.run(_nobody), None)
        facts = {**source, **made.facts}
        if model is not None:
            facts |= {"model": model.name, "model_identity": dict(model.describe())}
            facts["templates"] = [template.id for template in maker.templates.values()]
        if made.records:
            output.write(made, facts, done)
        if not given.get("quiet"):
            click.echo(_summary(made, output, done), err=True)
    if done is not None and done.failed > given["max_failures"] * (done.requests + done.cached):
        raise TooManyFailures(
            f"{done.failed} of {done.requests} requests to {facts['model']} failed, the first: {done.why}. Run the "
            "same command again: it asks only these" + ("" if made.records else "; nothing was written")
        )
    if not made.records:
        why = f": {_counted(made.counts)}" if kind.role else ""
        raise DataError(f"{kind.nothing}, so {output.path} was not written{why}")


def _refuse_unfit(maker: Maker, model: Model) -> None:
    """Raise `ConfigError` for a system of models that could not answer the maker's first requests."""
    from harness.systems.base import System

    if isinstance(model, System) and (queries := maker.first()):
        model.check({query.problem.grader for query in queries}, queries[0].draw)


def _asking_fields(kind: type[Maker], given: Mapping[str, Any]) -> dict[str, Any]:
    from harness.models.budget import Budget

    drawn = ("temperature", "top_p", "max_tokens", "seed")
    return {
        "model": given["model"],
        "draw": dataclasses.replace(kind.usual(given), **{n: given[n] for n in drawn if given[n] is not None}),
        "template_files": given["template_files"],
        "results_dir": given["results_dir"],
        "budget": Budget.parse(given["budget"]) if given["budget"] is not None else None,
    }


def _show_plan(maker: Maker, model: Model, output: Output) -> None:
    """What would be asked first, how much of it is stored, and one prompt."""
    from backends.makers.asking import Asker

    queries = maker.first()
    with Asker(model, output.cache) as ask:
        missing = ask.count_missing(queries)
    click.echo(f"{maker.name}: {len(queries):,} requests to {model.name} first, {missing:,} of them not stored yet")
    for template in maker.templates.values():
        click.echo(f"template {template.id}: {template.summary}")
    if queries:
        draw = queries[0].draw
        click.echo(f"temperature {draw.temperature:g}, top-p {draw.top_p:g}, at most {draw.max_tokens:,} tokens")
        click.echo("\nFirst prompt:")
        for message in queries[0].problem.messages:
            click.echo(f"[{message.role}]\n{message.content}")


def _ask(maker: Maker, model: Model, output: Output, quiet: bool) -> tuple[Made, Asked]:
    from backends.makers.asking import Asker
    from harness.cli.progress import AskProgress
    from harness.run.signals import sigterm_interrupts

    budget, progress = maker.budget, AskProgress(quiet=quiet)
    try:
        with (
            sigterm_interrupts(),
            Asker(model, output.cache, budget=budget, progress=progress, role=maker.role) as ask,
        ):
            return maker.run(ask), ask.done
    except KeyboardInterrupt:
        raise Interrupted("interrupted: every reply so far is stored; run the same command again to resume") from None


def _nobody(queries: Sequence[Query]) -> list[Completion]:
    raise AssertionError("this maker asks nobody")


def _counted(counts: Mapping[str, int]) -> str:
    """Counts that are not 0, in words."""
    return ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in counts.items() if count)


def _summary(made: Made, output: Output, done: Asked | None) -> str:
    """What a person reads when it is over."""
    lines = []
    if done is not None:
        lines.append(
            f"asked {done.requests:,} ({done.cached:,} more were stored), {done.failed:,} failed, "
            f"{done.tokens_in:,} tokens in, {done.tokens_out:,} out"
        )
    counts = {name: count for name, count in made.counts.items() if name != "records" or not made.records}
    if counts:
        lines.append(_counted(counts))
    if made.records:
        lines.append(f"{plural(len(made.records), 'record')} in {output.path}")
        lines += [f"{len(found):,} in {output.sets[name]}" for name, found in made.others.items() if found]
    return "\n".join([*lines, *([made.note] if made.note else [])])
