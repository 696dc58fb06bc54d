"""`harness judge RUN --dry-run`: how much there is to judge, what it may cost, and the first prompt."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

import click

from harness.config import RunConfig
from harness.errors import PrerequisiteError
from harness.models import load_model
from harness.report.text import clean
from harness.run.judging import prepare
from harness.types import Json

_CHARS_PER_TOKEN = 3.5  # English under common tokenizers; only for estimates


def show_preview(directory: Path, against: Path | None, config: RunConfig, form: str) -> None:
    """Print the plan; no judge is asked."""
    case = prepare(directory, config, against)
    asks = [ask for task in case.open for ask in case.judging.asks(task)]
    judges = max(len(config.judge), 1)
    tokens_in = math.ceil(sum(len(m.content) for ask in asks for m in ask.messages) / _CHARS_PER_TOKEN)
    most_out = sum(ask.max_tokens for ask in asks)
    prices = [_environment(name, config) for name in config.judge]
    costs = [_cost(tokens_in, most_out, price.get("price_in"), price.get("price_out")) for price in prices]
    facts: dict[str, Json] = {
        "run": directory.name,
        "against": case.opponent,
        "answers": len(case.answers.tasks),
        "failed": len(case.answers.failed),
        "judges": list(config.judge),
        "judging": dict(case.judging.identity()),
        "judgments": len(asks) * judges,
        "tokens_in": tokens_in * judges,
        "tokens_out_at_most": most_out * judges,
        "cost_at_most": sum(cost for cost in costs if cost is not None) if any(c is not None for c in costs) else None,
        "first_prompt": [{"role": message.role, "content": message.content} for message in asks[0].messages],
    }
    if form == "json":
        click.echo(json.dumps(facts, indent=1, ensure_ascii=False))
        return
    for name, value in facts.items():
        if name != "first_prompt":
            click.echo(f"{name.replace('_', ' ')}: {clean(json.dumps(value, ensure_ascii=False), 2000)}")
    for message in asks[0].messages:
        click.echo(f"\n--- {message.role}")
        for line in message.content.splitlines():
            click.echo(clean(line, 2000))


def _environment(name: str, config: RunConfig) -> Mapping[str, Json]:
    """Where the prices are; a judge that is not set up yet may still be planned for."""
    try:
        return load_model(name, config.judge_options).environment()
    except PrerequisiteError:
        return {}


def _cost(tokens_in: int, tokens_out: int, price_in: Json, price_out: Json) -> float | None:
    if not isinstance(price_in, int | float) or not isinstance(price_out, int | float):
        return None
    return (tokens_in * price_in + tokens_out * price_out) / 1e6
