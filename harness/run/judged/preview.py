"""What judging a run would take: how much there is to judge, what is known already, and what the rest may cost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.config import RunConfig
from harness.errors import PrerequisiteError
from harness.hashing import canonical_json
from harness.models import load_model
from harness.models.budget import Prices
from harness.models.reply_cache import Cache
from harness.run.folder import RunFolder
from harness.run.judged.ask import CACHE, prepare
from harness.types import Json
from judges.ask import ask_request, refuse_unfit_judge
from judges.types import Ask, Judging

_CHARS_PER_TOKEN = 3.5  # English under common tokenizers; only for estimates


def judging_plan(folder: RunFolder, against: RunFolder | None, config: RunConfig) -> dict[str, Json]:
    """Everything that can be said before a judge is asked, the first prompt included."""
    case = prepare(folder, config, against)
    asks = [ask for task in case.open for ask in case.judging.asks(task)]
    plans = [_plan(name, asks, case.judging, config) for name in config.judge.names]
    costs = [plan["cost_at_most"] for plan in plans]
    return {
        "run": folder.name,
        "against": case.opponent,
        "answers": len(case.answers.tasks),
        "failed": len(case.answers.failed),
        "judges": list(config.judge.names),
        "judging": dict(case.judging.identity()),
        "judgments": len(asks) * max(len(config.judge.names), 1),
        "cached": sum(_number(plan["cached"]) for plan in plans),
        "repeated": sum(_number(plan["repeated"]) for plan in plans),
        "tokens_in": math.ceil(sum(_number(plan["tokens_in"]) for plan in plans)),
        "tokens_out_at_most": math.ceil(sum(_number(plan["tokens_out_at_most"]) for plan in plans)),
        # A total that leaves a judge out would be no bound.
        "cost_at_most": sum(map(_number, costs)) if costs and None not in costs else None,
        "by_judge": list(plans),
        "first_prompt": [{"role": message.role, "content": message.content} for message in asks[0].messages],
    }


def _plan(name: str, asks: Sequence[Ask], judging: Judging, config: RunConfig) -> dict[str, Json]:
    """What one judge would be asked: not what is in the cache, and what stands twice among the asks only once."""
    try:
        judge = load_model(name, config.judge.options_of(name), config.results_dir)
    except PrerequisiteError:  # a judge that is not set up yet may still be planned for
        prices, identity = _told_prices(config.judge.options_of(name)), ""
    else:
        refuse_unfit_judge(judge, judging)
        prices, identity = Prices.of(judge.environment()), canonical_json(judge.describe())
    return {"judge": name, **asks_plan(asks, identity, prices, Path(config.results_dir) / CACHE)}


def asks_plan(asks: Sequence[Ask], identity: str, prices: Prices | None, cache: Path) -> dict[str, Json]:
    """What these asks would take of a judge: what is known already, tokens, and cost at most where there are prices.

    `identity`: canonical JSON of `Model.describe()`, empty for a judge that is not set up.
    """
    keyed = [(ask_request(identity, ask).id, ask) for ask in asks]
    stored = _stored([key for key, _ in keyed], cache) if identity else set()
    open_asks = list({key: ask for key, ask in keyed if key not in stored}.values())
    cached = sum(key in stored for key, _ in keyed)
    tokens_in = math.ceil(sum(len(m.content) for ask in open_asks for m in ask.messages) / _CHARS_PER_TOKEN)
    most_out = sum(ask.max_tokens for ask in open_asks)
    return {
        "judgments": len(asks),
        "cached": cached,
        "repeated": len(asks) - cached - len(open_asks),
        "tokens_in": tokens_in,
        "tokens_out_at_most": most_out,
        "cost_at_most": prices.cost(tokens_in, most_out) if prices is not None else None,
    }


def _told_prices(judge_options: Mapping[str, object]) -> Prices | None:
    """Prices as the user wrote them, for a judge that would have told them had its key or library been there."""
    try:
        return Prices.of({name: float(str(judge_options[name])) for name in ("price_in", "price_out")})
    except (KeyError, ValueError):
        return None


def _stored(keys: Sequence[str], path: Path) -> set[str]:
    if not path.exists():  # a plan creates no files
        return set()
    with Cache(path) as cache:
        return set(cache.get_many(keys))


def _number(value: Json) -> float:
    return value if isinstance(value, int | float) else 0
