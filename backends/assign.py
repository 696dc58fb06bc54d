"""What `--set key=value` and `--budget` mean: a setting of the optimiser, of one stage, or an option of the method."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from backends.base import load_method
from backends.config import Settings, settings_from
from backends.rollouts.settings import rollout_settings
from harness.errors import ConfigError, did_you_mean
from harness.models.budget import Budget

_TIME = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(s|sec|min|h)", re.IGNORECASE)
_MOST = 1e15
"""Tokens or seconds: more than any training has."""
_SECONDS = {"s": 1.0, "sec": 1.0, "min": 60.0, "h": 3600.0}


DRAWING = ("rollout", "reward")
"""What the keys begin with that say how a student draws, and what that is worth."""


def sort_assignments(method: str, values: Mapping[str, str]) -> dict[str, Any]:
    """Fields of `TrainConfig`: settings ("learning_rate", "<stage>.learning_rate"), how the student draws
    ("rollout.group", "rollout.<stage>.group"), what that is worth ("reward.<reward>.<option>").

    All else is the method's own options. Raises `UnknownName` for the method, `ConfigError` for a key that is none of
    these, with a suggestion.
    """
    options = {field.name for field in fields(load_method(method).options)}
    general = {field.name for field in fields(Settings)}
    found: dict[str, dict[str, Any]] = {"settings": {}, "options": {}, "rollout": {}, "reward": {}}
    for key, value in values.items():
        prefix, _, name = key.partition(".")
        if prefix == "rollout":
            own = name.rpartition(".")[2]
            found["rollout"][name] = getattr(rollout_settings({}, {own: value}), own)
        elif prefix == "reward":
            found["reward"][name] = value
        elif key.rpartition(".")[2] in general:
            name = key.rpartition(".")[2]
            found["settings"][key] = getattr(settings_from({name: value}), name)
        elif key in options:
            found["options"][key] = value
        else:
            raise ConfigError(
                f"{key!r} is no setting and no option of {method}.{did_you_mean(key, options | general)} "
                f"Options: {', '.join(sorted(options)) or 'none'}; settings: {', '.join(sorted(general))}"
            )
    return found


def parse_budget(text: str) -> tuple[int | None, float | None]:
    """(tokens, seconds) of "200ktok", "2Mtok", "10min", "1.5h". Raises `ConfigError` for anything else."""
    time = _TIME.fullmatch(text.strip())
    if time is not None:
        amount, unit = float(time[1]) * _SECONDS[time[2].lower()], "s"
    else:
        try:
            parsed = Budget.parse(text)
            amount, unit = parsed.limit, parsed.unit
        except ConfigError:
            amount, unit = 0.0, ""
    if amount <= 0 or unit not in ("s", "tok"):
        raise ConfigError(f"budget {_cut(text)} is no amount of tokens (200ktok, 2Mtok) or of time (30min, 2h)")
    if amount > _MOST:
        raise ConfigError(f"budget {_cut(text)} is more than any training has: leave it out for none")
    return (None, amount) if unit == "s" else (max(1, round(amount)), None)


def _cut(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:40]}…")
