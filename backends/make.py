"""Models that are made without training (merging), registered like trained ones."""

from __future__ import annotations

import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from backends.base import MakeMethod
from backends.config import TrainConfig
from backends.load import canonical, find_weights, finished
from backends.options import parse_settings
from backends.provenance import provenance
from harness.hashing import canonical_json, short_hash
from harness.models.hf_source import fingerprint_of
from harness.registry import CARD, MODEL, ModelCard, make_id, models_dir, write_card
from harness.types import Json


def make_model(method: MakeMethod, config: TrainConfig, results_dir: Path) -> ModelCard:
    """Make and register a model, or return the card of one that is there; `config.student` names it in the id.

    Raises `ConfigError` for options that do not say what to make or models that do not fit, and what loading raises.
    """
    options: Any = parse_settings(method.options, config.options, config.method)
    # By their whole ids, before this model's folder is there: a beginning could then mean both.
    named = {spec: canonical(spec, results_dir) for spec in method.reads(options)}
    parents = [named[spec] for spec in method.reads(options)]
    facts: dict[str, Json] = {
        "config": cast(Json, config.identity()),
        "weights": [find_weights(spec, results_dir).mark() for spec in parents],
    }
    folder = models_dir(results_dir) / make_id(config.student, config.method, facts)
    if (folder / CARD).is_file():
        return finished(folder)
    half = folder / ".half"
    shutil.rmtree(half, ignore_errors=True)
    half.mkdir(parents=True)
    started = time.monotonic()

    def load_own(spec: str) -> tuple[Any, Any]:
        from harness.models.hf_load import load_for_training

        return load_for_training(find_weights(named[spec], results_dir), "auto")

    try:
        resolved = method.make(options, load_own, half)
    except BaseException:
        shutil.rmtree(half, ignore_errors=True)
        with suppress(OSError):
            folder.rmdir()  # nothing else is in it: no trace is left of what was not made
        raise
    shutil.rmtree(folder / MODEL, ignore_errors=True)
    half.rename(folder / MODEL)
    card = ModelCard(
        id=folder.name,
        method=config.method,
        base=config.student,
        teacher=None,
        config={**config.identity(), "options": dict(resolved), "parents": cast(Json, parents)},
        config_hash=short_hash(canonical_json(facts)),
        data=None,
        data_hash=None,
        seed=None,
        records=None,
        tokens=None,
        steps=None,
        seconds=round(time.monotonic() - started, 1),
        **provenance(),
        kind="full",
        stopped="finished",
        final={},
        fingerprint=fingerprint_of(folder / MODEL),
    )
    write_card(folder, card)
    return card
