"""`harness models list|show|diff`: what the cards of the registry say, and the runs beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from harness.cli import options
from harness.errors import HarnessError
from harness.registry import MODEL, SCHEME, ModelCard, children, find_card, lineage, list_cards, models_dir
from harness.types import Json

if TYPE_CHECKING:
    from harness.report.table import Format, Row
    from harness.run.result import RunResult

_SAME = frozenset({"id", "created", "seconds", "final", "fingerprint"})
"""What two trainings never share: not in what two cards differ unless `--all` asks."""


@click.command("list")
@options.results_dir
@options.output_format
def list_models(results_dir: Path, form: Format) -> None:
    """List all models of the registry, oldest first, with the latest score on each suite.

    A model whose training has not finished, or whose card is broken, is named on stderr and left out.
    """
    from harness.plain import clean
    from harness.report.table import Column, Table
    from harness.report.text import count

    cards, problems = list_cards(results_dir)
    runs = _runs(results_dir)
    rows = [{**_short(card), "runs": [_run(result) for result in runs.get(card.id, ())]} for card in cards]
    columns = (
        Column("model", lambda row: str(row["id"])),
        Column("method", lambda row: str(row["method"])),
        Column("base", lambda row: str(row["base"])),
        Column("data", lambda row: str(row["data"] or "-")),
        Column("seed", lambda row: _plain(row["seed"]), right=True),
        Column("tokens", lambda row: count(cast("int | None", row["tokens"])), right=True),
        Column("minutes", lambda row: _minutes(row["seconds"]), right=True),
        Column("kind", lambda row: str(row["kind"])),
        Column("stopped", lambda row: str(row["stopped"])),
        Column("created", lambda row: str(row["created"])),
        Column("scores", lambda row: _scores(cast("Sequence[Row]", row["runs"]))),
    )
    if rows or form == "json":
        warned = any(run["warnings"] for row in rows for run in cast("Sequence[Row]", row["runs"]))
        notes = ("! a score with warnings: `harness models show NAME` has them",) if warned else ()
        table = Table("", columns, tuple(rows), notes)
        options.emit([table], form)
    else:
        click.echo(f"no models in {models_dir(results_dir)}: `harness train` makes one", err=True)
    for problem in problems:
        click.echo(f"note: left out: {clean(problem, 1000)}", err=True)


@click.command("show")
@click.argument("name")
@click.option(
    "--plot",
    type=options.FilePath(dir_okay=False, path_type=Path),
    metavar="FILE.html",
    help="Also write a page of what training logged: rewards, lengths, entropy, alarms.",
)
@options.results_dir
@options.as_json
def show(name: str, plot: Path | None, results_dir: Path, as_json: bool) -> None:
    """Show the card of model NAME, what it was trained from, what was trained from it, and the runs of it."""
    from harness.cli.show import print_facts
    from harness.report.table import to_json

    folder, card = find_card(results_dir, name)
    if plot is not None:
        from harness.bench.logged import write_training_page

        write_training_page(plot, card.id, folder / "metrics.jsonl")
    line = lineage(results_dir, card)
    below = children(list_cards(results_dir).cards, card.id)
    runs = _runs(results_dir).get(card.id, ())
    facts: dict[str, Json] = {
        "folder": str(folder),
        "files": _files(folder, card),
        "base": _base(folder, card, line.cards[0].base),
        "card": cast(Json, asdict(card)),
        "lineage": [_short(one) for one in line.cards],
        "trained from it": [_short(one) for one in below],
        "runs": [_run(result) for result in runs],
    }
    if line.problems:
        facts["problems"] = list(line.problems)
    if as_json:
        click.echo(to_json(facts), nl=False)
    else:
        told = {
            "lineage": [_descent(one) for one in line.cards],
            "trained from it": [_descent(one) for one in below],
            "runs": [_told(result) for result in runs],
        }
        print_facts(facts | {name: "\n".join((*lines, "")) if lines else "none" for name, lines in told.items()})


@click.command("diff")
@click.argument("a")
@click.argument("b")
@click.option("--all", "everything", is_flag=True, help="Also id, time, final numbers and fingerprint.")
@options.results_dir
@options.output_format
def diff(a: str, b: str, everything: bool, results_dir: Path, form: Format) -> None:
    """Show in what the cards of models A and B differ, the training config field by field."""
    from harness.report.table import Column, Table, flatten

    cards = [find_card(results_dir, name)[1] for name in (a, b)]
    one, other = (flatten(cast("Row", facts)) for facts in _stages_side_by_side(*map(asdict, cards)))
    names = [name for name in dict.fromkeys([*one, *other]) if one.get(name) != other.get(name)]
    rows: list[dict[str, Json]] = [
        {"field": name, "a": one.get(name), "b": other.get(name), "only_in": _only_in(name, one, other)}
        for name in names
        if everything or name.partition(".")[0] not in _SAME
    ]
    alike = [f"{name.rpartition('.')[2]} {_plain(one[name])}" for name in one if _alike(name, one, other)]
    columns = (
        Column("field", lambda row: str(row["field"])),
        Column(cards[0].id, lambda row: _side(row, "a")),
        Column(cards[1].id, lambda row: _side(row, "b")),
    )
    extra: dict[str, Json] = {"a": cards[0].id, "b": cards[1].id}
    if rows or form == "json":
        table = Table("", columns, tuple(rows), (f"alike: {', '.join(alike)}",) if alike else ())
        options.emit([table], form, extra)
    else:
        click.echo(f"{cards[0].id} and {cards[1].id} were made alike", err=True)


def _stages_side_by_side(a: dict[str, Any], b: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The facts of two cards in which stages of other names stand beside each other, in order: "train/dpo"."""
    told = (one["config"].get("stages") for one in (a, b))
    stages = [dict(found) if isinstance(found, Mapping) else {} for found in told]
    own = [[name for name in stages[side] if name not in stages[1 - side]] for side in (0, 1)]
    both = {side: {pair[side]: "/".join(pair) for pair in zip(*own, strict=False)} for side in (0, 1)}
    renamed = [{both[side].get(name, name): told for name, told in stages[side].items()} for side in (0, 1)]
    one, other = (
        {**card, "config": {**card["config"], "stages": told} if told else card["config"]}
        for card, told in zip((a, b), renamed, strict=True)
    )
    return one, other


def _alike(name: str, one: Row, other: Row) -> bool:
    """Whether both stages have a setting, and the same."""
    return name.startswith("config.stages.") and name in other and one[name] == other[name]


def _only_in(name: str, one: Row, other: Row) -> str | None:
    """Which card alone has a field: "a", "b", or None for both."""
    if name in one and name in other:
        return None
    return "a" if name in one else "b"


def _side(row: Row, side: str) -> str:
    """A value of one card: None as `models show` writes it, "-" if this card does not have the field."""
    if row["only_in"] not in (None, side):
        return "-"
    return "None" if row[side] is None else _plain(row[side])


def _short(card: ModelCard) -> dict[str, Json]:
    """What a table or a line of descent shows of a card."""
    names = ("id", "method", "base", "teacher", "data", "data_hash", "seed", "records", "tokens", "seconds")
    return {name: getattr(card, name) for name in (*names, "kind", "stopped", "created")}


def _runs(results_dir: Path) -> dict[str, list[RunResult]]:
    """Model id -> results of the runs that evaluated it, oldest first."""
    from harness.leaderboard import load_results

    found: dict[str, list[RunResult]] = {}
    for result in load_results(results_dir)[0] if results_dir.is_dir() else ():
        if result.model.startswith(SCHEME):
            found.setdefault(result.model.removeprefix(SCHEME), []).append(result)
    return {name: sorted(results, key=lambda result: result.finished) for name, results in found.items()}


def _run(result: RunResult) -> dict[str, Json]:
    from harness.run.result import warnings_of

    estimate = result.estimates[result.headline]
    return {
        "suite": result.suite,
        "metric": result.headline,
        "value": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
        "limit": result.limit,
        "judge": result.judge,
        "run_id": result.run_id,
        "finished": result.finished,
        "warnings": list(warnings_of(result)),
    }


def _descent(card: ModelCard) -> str:
    """A card as one line: "tiny-sft-1: sft of tiny, seed 0, synth:levels=1, 120.1k tokens, finished"."""
    from harness.plain import clean
    from harness.report.text import count

    seed = [f"seed {card.seed}"] if card.seed is not None else []
    tokens = [f"{count(card.tokens)} tokens"] if card.tokens is not None else []
    start = f"{card.method} of {' + '.join(map(clean, card.parents))}"
    facts = [start, *seed, *([clean(card.data)] if card.data else []), *tokens, card.stopped]
    return f"{card.id}: {', '.join(map(str, facts))}"


def _told(result: RunResult) -> str:
    """A run as one line: suite (and limit), score with its interval, judge, id."""
    from harness.metrics import described
    from harness.report.text import with_interval
    from harness.run.result import warnings_of

    estimate = result.estimates[result.headline]
    scale, _ = described(result.headline).shown(estimate.value)
    limit = f" ({result.limit})" if result.limit is not None else ""
    judge = f", judged by {result.judge}" if result.judge else ""
    score = with_interval(estimate.value, estimate.low, estimate.high, scale)
    warned = "".join(f"; warning: {warning}" for warning in warnings_of(result))
    return f"{result.suite}{limit}: {result.headline} {score}{judge}, {result.run_id}{warned}"


def _scores(runs: Sequence[Row]) -> str:
    """The latest score on each suite (and limit), "!" where there are warnings: "synth_easy 43.3, gsm8k (100) 12 !"."""
    from harness.metrics import described

    latest: dict[str, str] = {}
    for run in runs:
        value = cast(float, run["value"])
        scale, _ = described(str(run["metric"])).shown(value)
        limit = f" ({run['limit']})" if run["limit"] is not None else ""
        latest[f"{run['suite']}{limit}"] = f"{scale * value:.1f}{' !' if run['warnings'] else ''}"
    return ", ".join(f"{suite} {value}" for suite, value in latest.items()) or "-"


def _files(folder: Path, card: ModelCard) -> str:
    """Whether the checkpoint is still what the card was written for."""
    from harness.models.trained import fingerprint

    checkpoint = folder / MODEL
    if not checkpoint.is_dir():
        return f"{MODEL}/ is missing: restore it, or train again"
    size = sum(file.stat().st_size for file in checkpoint.iterdir() if file.is_file())
    where = f" in {checkpoint.resolve()}" if checkpoint.is_symlink() else ""
    if card.fingerprint is None:
        return f"{size / 1e6:.1f} MB{where}; the card has no fingerprint to check them by"
    same = fingerprint(folder) == card.fingerprint
    return f"{size / 1e6:.1f} MB{where}, {'as the card says' if same else 'CHANGED since the card was written'}"


def _base(folder: Path, card: ModelCard, first: str) -> str:
    """Whether an adapter's base is still the one that it was trained from; `first`: what its descent began with.

    Looked up where it is a folder: anything else would be fetched, or made, to answer.
    """
    from harness.models.trained import find_weights

    if card.kind != "adapter":
        return f"{card.base}: not needed, all weights are here"
    if card.base_fingerprint is None:
        return f"{card.base}: the card does not say which weights of it"
    if not Path(first.removeprefix("hf:")).expanduser().is_dir():
        return f"{card.base}: {card.base_fingerprint}, checked when it is loaded"
    try:
        find_weights(folder, card)
    except HarnessError as error:
        return f"{card.base}: NOT AS IT WAS: {error}"
    return f"{card.base}: as the card says ({card.base_fingerprint})"


def _minutes(seconds: Json) -> str:
    return f"{seconds / 60:.1f}" if isinstance(seconds, int | float) else "-"


def _plain(value: Json) -> str:
    return "-" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
