"""`harness train`: train a student with a method and register the model."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli import options
from harness.cli.sections import Sections

if TYPE_CHECKING:
    from backends.config import Runtime, TrainConfig
    from harness.registry import ModelCard


@click.command("train", cls=Sections)
@click.option("--method", metavar="NAME", help="Training method (`harness list methods`, `harness show NAME`).")
@options.some(options.TRAINING, "student", "data")
@click.option("--teacher", metavar="SPEC", help="Model whose distributions are matched; else its name, for the card.")
@click.option(
    "--teacher-server",
    metavar="URL[,URL]",
    help="vLLM servers that read for the teacher: only its tokenizer is loaded here.",
)
@click.option("--recipe", metavar="NAME|FILE", help="A paper's settings; flags and --set change them.")
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="KEY=VALUE",
    callback=options.pairs,
    help="Setting of the optimiser (learning_rate, batch_size, epochs, lora_rank; STAGE.learning_rate for one stage) "
    "or option of the method.",
)
@click.option("--budget", metavar="AMOUNT", help="Tokens or time in place of epochs: 200ktok, 2Mtok, 30min.")
@click.option("--limit", type=int, help="Only that many records, the first.")
@click.option("--seed", type=int, help="Root seed. [default: 0]")
@options.some(options.TRAINING, "count", "max_length", "precision", "gradient_checkpointing", "template")
@click.option("--save-steps", type=click.IntRange(min=1), help="Steps between checkpoints. [default: ten minutes]")
@click.option("--logging-steps", type=click.IntRange(min=1), default=10, show_default=True, help="Steps between logs.")
@click.option("--report-to", multiple=True, type=click.Choice(["trackio", "wandb", "tensorboard"]), help="Also log to.")
@click.option(
    "--stop-on",
    multiple=True,
    type=click.Choice(["hacking", "collapse", "length", "hockey_stick", "leak"]),
    help="End a training on what the student writes at an alarm of this kind (docs/training.md); else it is only told.",
)
@click.option(
    "--probe",
    type=click.IntRange(min=1),
    metavar="GROUPS",
    help="Draw so many groups of the untrained student and show rewards, length and speed; train nothing.",
)
@click.option(
    "--keep-rollouts",
    type=click.Choice(["all", "text", "none"]),
    default="text",
    show_default=True,
    help="What stays of completions that the student wrote while it was trained.",
)
@options.some(options.JUDGING, "judge_options")
@click.option(
    "--judge-budget", metavar="AMOUNT", help="Stop asking reward models, resumably, at so much: 200ktok, 5usd."
)
@click.option("--dry-run", is_flag=True, help="Show settings, data and one tokenised example; train nothing.")
@options.quiet
@options.results_dir
@options.as_json
def command(
    recipe: str | None,
    assignments: dict[str, str],
    budget: str | None,
    probe: int | None,
    dry_run: bool,
    quiet: bool,
    results_dir: Path,
    as_json: bool,
    **flags: Any,
) -> None:
    """Train a student and register it: `--model trained:<id>` evaluates it at once.

    The same command goes on where it was stopped, to the same result; of a finished model it prints the card.

    \b
    harness train --method sft --student tiny --data synth:levels=1+2,per_level=500 --budget 200ktok
    harness train --method krsl --student smollm2 --data train.jsonl --set lora_rank=16 --set learning_rate=1e-4
    harness train --recipe thinkanswer:qwen-7b-math --data mathglm.jsonl --dry-run
    """  # noqa: D301  # a real backspace: it tells click to keep these lines
    from backends.base import MakeMethod, load_method
    from backends.config import Runtime
    from backends.make import make_model
    from backends.plan import left_out, plan_training
    from backends.train import train
    from backends.world import is_first
    from harness.errors import UsageError

    runtime = Runtime(**{field.name: flags.pop(field.name) for field in dataclasses.fields(Runtime)})
    config = _config(recipe, assignments, budget, flags)
    method = load_method(config.method)
    if isinstance(method, MakeMethod) and (dry_run or probe):
        raise UsageError(f"{config.method} trains nothing that could be tried out: leave out --dry-run and --probe")
    if isinstance(method, MakeMethod):
        card = make_model(method, config, results_dir)
    elif dry_run:
        _dry_run(config, runtime, recipe, results_dir, as_json)
        return
    elif probe is not None:
        _probe(config, runtime, results_dir, probe, as_json)
        return
    else:
        from harness.cli.progress import TrainProgress

        plan = plan_training(config, results_dir)
        if not quiet and is_first():
            click.echo("".join(f"{line}\n" for line in [*plan.notes, *left_out(plan)]), nl=False, err=True)
        card = train(config, results_dir, runtime, TrainProgress(quiet=quiet), plan)
    if is_first():
        _tell(card, results_dir, as_json)


def _tell(card: ModelCard, results_dir: Path, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(card), indent=1))
    else:
        loss = card.final.get("loss")
        numbers = [f"{card.tokens:,} tokens"] if card.tokens is not None else []
        numbers += [f"{card.spent.generated:,} generated"] if card.spent is not None and card.spent.generated else []
        numbers += [f"loss {loss:.4f}"] if isinstance(loss, float) else []
        click.echo(f"{card.id}  {card.stopped}" + "".join(f", {number}" for number in numbers))
        command = options.with_results_dir(f"harness run --suite synth --model trained:{card.id}", results_dir)
        click.echo(f"evaluate it: {command}", err=True)


def config_of(given: Mapping[str, Any]) -> TrainConfig:
    """The training that the command's parameters describe; reads no data. Raises what `_config` raises."""
    from backends.config import Runtime

    own = ("recipe", "assignments", "budget", "probe", "dry_run", "quiet", "results_dir", "as_json")
    other = {*own, *(field.name for field in dataclasses.fields(Runtime))}
    flags = {name: value for name, value in given.items() if name not in other}
    return _config(given["recipe"], given["assignments"], given["budget"], flags)


def _config(recipe: str | None, assignments: dict[str, str], budget: str | None, flags: dict[str, Any]) -> TrainConfig:
    """The run that recipe, flags and --set describe."""
    from backends.assign import parse_budget, sort_assignments
    from backends.base import MakeMethod, load_method
    from backends.config import TrainConfig
    from backends.recipe import apply, load_recipe
    from harness.errors import UsageError

    given = {key: value for key, value in flags.items() if value is not None}
    if budget is not None:
        tokens, seconds = parse_budget(budget)
        given |= {"budget_tokens": tokens} if tokens is not None else {"budget_seconds": seconds}
    found = load_recipe(recipe) if recipe is not None else None
    method = given.get("method") or (found.values.get("method") if found is not None else None)
    if method is None:
        raise UsageError("say what to train: --method NAME (`harness list methods`) or --recipe NAME")
    assigned = sort_assignments(str(method), assignments)
    if found is not None:
        return apply(found, {**given, **assigned})
    if isinstance(load_method(str(method)), MakeMethod):  # reads models, not data
        given.setdefault("student", "merged")
        given.setdefault("data", "")
    for name in ("student", "data"):
        if name not in given:
            raise UsageError(f"training needs --{name} (`harness train --help` has examples)")
    return TrainConfig(**assigned, **given)


def _probe(config: TrainConfig, runtime: Runtime, results_dir: Path, groups: int, as_json: bool) -> None:
    from backends.probe import probe

    found = probe(config, results_dir, groups, runtime)
    told = {**dataclasses.asdict(found), "step_seconds": found.step_seconds, "warnings": found.warnings}
    click.echo(json.dumps(told, indent=1) if as_json else "\n".join(found.lines()))


def _dry_run(config: TrainConfig, runtime: Runtime, recipe: str | None, results_dir: Path, as_json: bool) -> None:
    from backends.plan import describe, plan_training
    from backends.train import check_scorers

    if recipe is not None and not as_json:
        from backends.recipe import load_recipe
        from backends.recipe_view import describe_recipe

        # First, as it needs neither student nor data: both may be out of reach.
        click.echo("\n".join([*describe_recipe(load_recipe(recipe), config), ""]))
    plan = plan_training(config, results_dir)
    check_scorers(plan, runtime, results_dir)
    if as_json:
        click.echo(json.dumps({"id": plan.model_id, "data_hash": plan.data_hash, **plan.resolved()}, indent=1))
    else:
        click.echo("\n".join(describe(plan)))
