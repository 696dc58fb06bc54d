"""`harness models calibrate`: choose when a model's answer is the positive one of two labels; its card keeps it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli import options
from harness.errors import UsageError

if TYPE_CHECKING:
    from backends.records.record import TrainRecord
    from harness.models.calibrated import LabelSeen
    from harness.types import Model

REPLIES = "calibrate-cache.sqlite"
"""What a results folder calls the file of the answers that thresholds were chosen by."""


@dataclass(frozen=True)
class Found:
    """What became of the records."""

    told: list[tuple[LabelSeen, bool]]
    """The label of each answer that has one, and whether the record's is the positive one."""
    unread: int
    """Answers without a label, cut or failed."""


@click.command("calibrate")
@click.argument("name")
@click.option(
    "--data",
    type=options.FilePath(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Validation records, with gold.",
)
@click.option("--positive", default="YES", show_default=True, metavar="LABEL", help="The label that is looked for.")
@click.option("--negative", default="NO", show_default=True, metavar="LABEL", help="The other one.")
@click.option("--ratio", type=options.NUMBER, metavar="P", help="Share of positives to be met. [default: the data's]")
@click.option("--max-tokens", type=click.IntRange(1), default=2048, show_default=True, help="Longest answer.")
@click.option("--limit", type=click.IntRange(1), help="Only the first records.")
@click.option("--off", is_flag=True, help="Take the threshold out of the card again.")
@click.option(
    "--model-arg",
    "model_options",
    multiple=True,
    metavar="KEY=VALUE",
    callback=options.pairs,
    help="Option of the engine, e.g. dtype=float32.",
)
@options.results_dir
def calibrate(
    name: str,
    data: Path | None,
    positive: str,
    negative: str,
    ratio: float | None,
    max_tokens: int,
    limit: int | None,
    off: bool,
    model_options: dict[str, str],
    results_dir: Path,
) -> None:
    """Choose the threshold on P(positive) of model NAME's answers with the best F1, and keep it in its card.

    The model answers the records, greedily; its answers are kept, so that the same command goes on where it stopped.
    The data are weighed to --ratio, the share of positives that will be met.
    `harness run --model trained:NAME` then decides by it; `--model-arg calibrated=false` leaves it out.

    \b
    harness models calibrate tiny-orpo-1a2b --data validation.jsonl --positive YES --negative NO --ratio 0.1
    """  # noqa: D301  # a real backspace: it tells click to keep these lines
    from harness.registry import SCHEME, find_card, write_card
    from harness.threshold import LabelThreshold, choose_threshold

    folder, card = find_card(results_dir, name)
    if off:
        write_card(folder, replace(card, calibration=None))
        click.echo(f"{card.id} answers as it does", err=True)
        return
    if data is None:
        raise UsageError("calibrate needs --data FILE: validation records with a label in 'gold' (or --off)")
    if not positive.strip() or positive == negative or not negative.strip():
        raise UsageError("--positive and --negative must be two different labels")
    records = _labelled(data, positive, negative)[:limit]
    from harness.models import load_model

    model = load_model(SCHEME + card.id, {**model_options, "calibrated": "false"}, results_dir)
    found = asyncio.run(_look(model, records, positive, negative, max_tokens, results_dir / REPLIES))
    chances, labels = [one.chance for one, _ in found.told], [right for _, right in found.told]
    threshold, best, before = choose_threshold(chances, labels, ratio)
    kept = LabelThreshold(positive, negative, threshold, ratio, best, before, len(labels), found.unread)
    write_card(folder, replace(card, calibration=kept))
    click.echo(
        f"{card.id}: {positive} from P = {threshold:.4f} on, F1 {100 * best:.1f} (at 0.5: {100 * before:.1f}), of "
        f"{len(labels)} answers; {found.unread} without a label"
    )


def _labelled(data: Path, positive: str, negative: str) -> list[TrainRecord]:
    """The records of a file. Raises `UsageError` for one whose gold is neither label."""
    from backends.records.inputs import read_prompts

    records, _ = read_prompts(data)
    for record in records:
        if (record.gold or "").strip() not in (positive, negative):
            raise UsageError(
                f"record {record.id!r}: its gold is {record.gold!r}, neither {positive!r} nor {negative!r}"
            )
    return records


async def _look(
    model: Model, records: Sequence[TrainRecord], positive: str, negative: str, max_tokens: int, file: Path
) -> Found:
    from harness.hashing import canonical_json
    from harness.models.base import bounded
    from harness.models.calibrated import label_chance
    from harness.models.reply_cache import Cache, request_key
    from harness.types import Request

    identity = canonical_json(dict(model.describe()))
    found: dict[int, LabelSeen | None] = {}

    async def ask(item: tuple[int, TrainRecord]) -> None:
        number, record = item
        request = Request(f"{number}", record.prompt, 0.0, 1.0, max_tokens, (), 0)
        key = request_key(identity, request)
        if (answer := cache.get(key)) is None:
            answer = await model.answer(request)
            answer = answer if answer.finish == "error" else cache.put(key, model.name, answer)
        found[number] = await label_chance(model, record.prompt, answer, positive, negative)

    try:
        with Cache(file, what="file of the replies to calibrate by") as cache:
            await bounded(enumerate(records), ask)
    finally:
        await model.close()
    read = [(one, (records[n].gold or "").strip() == positive) for n, one in sorted(found.items()) if one is not None]
    return Found(read, len(records) - len(read))
