"""Whoever can answer messages. `load_model("openai:gpt-x", {...})` is the one way in.

An engine is one module with `build(rest, options) -> Model` and one line in `harness/catalog/`; its module is
imported only when a spec names it. `harness.types.Model` is what it must do, `harness.models.base` what engines share.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import cast

from harness.catalog import entries, load
from harness.errors import ConfigError
from harness.types import Model

__all__ = ["load_model"]

_SYSTEMS = "harness.systems."
"""Where systems of models are: they keep replies in the results folder."""


def load_model(spec: str, options: Mapping[str, str], results_dir: str | Path | None = None) -> Model:
    """The model behind a spec "scheme:rest" ("mock:gold", "openai:gpt-x", "hf:./checkpoint", "smollm2").

    `options` are the engine's own, as strings. `results_dir` is where "trained:<id>" looks its model up, and
    where systems of models keep replies. Raises
    `UnknownName` for an unknown scheme, `ConfigError` for an option that does not fit, `MissingExtra` or `MissingKey`
    for what is not installed or set, `ModelError` if it cannot load.
    """
    scheme, _, rest = spec.partition(":")
    build = cast("Callable[[str, Mapping[str, str]], Model]", load("model", scheme))
    system = entries("model")[scheme][0].startswith(_SYSTEMS)
    if system and results_dir is not None and "results_dir" in options:
        raise ConfigError(f"{scheme} has no option 'results_dir': --results-dir says where replies are kept")
    looks = scheme == "trained" or system
    if looks and results_dir is not None:
        options = {"results_dir": str(results_dir), **options}
    return build(rest, options)
