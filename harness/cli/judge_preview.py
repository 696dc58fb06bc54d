"""`harness judge RUN --dry-run`: how much there is to judge, what it may cost, and the first prompt."""

from __future__ import annotations

import json
import math
from pathlib import Path

import click

from harness.config import RunConfig
from harness.errors import PrerequisiteError
from harness.models import load_model
from harness.report.text import clean
from harness.run.judging import prepare
from harness.types import Json
from judges.budget import Prices

_CHARS_PER_TOKEN = 3.5  # English under common tokenizers; only for estimates


def show_preview(directory: Path, against: Path | None, config: RunConfig, form: str) -> None:
    """Print the plan; no judge is asked."""
    case = prepare(directory, config, against)
    asks = [ask for task in case.open for ask in case.judging.asks(task)]
    judges = max(len(config.judge), 1)
    tokens_in = math.ceil(sum(len(m.content) for ask in asks for m in ask.messages) / _CHARS_PER_TOKEN)
    most_out = sum(ask.max_tokens for ask in asks)
    prices = [found for name in config.judge if (found := _prices(name, config)) is not None]
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
        "cost_at_most": sum(price.cost(tokens_in, most_out) for price in prices) if prices else None,
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


def _prices(name: str, config: RunConfig) -> Prices | None:
    """None without prices; a judge that is not set up yet may still be planned for."""
    try:
        return Prices.of(load_model(name, config.judge_options).environment())
    except PrerequisiteError:
        return None
