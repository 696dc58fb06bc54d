"""What runs are called side by side: by their model, and runs of one model by what they were made with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from harness.hashing import canonical_json
from harness.types import Json

_MOST = 60
"""Characters of settings in a name; what would be longer is named by the end of its id."""


class _Named(Protocol):
    """A run's result."""

    @property
    def model(self) -> str: ...
    @property
    def run_id(self) -> str: ...
    @property
    def seed(self) -> int | None: ...
    @property
    def model_identity(self) -> Mapping[str, Json]: ...


def display_names(results: Sequence[_Named]) -> list[str]:
    """The model of each run. Runs of one model (two seeds, an option that changed) are told apart by what differs.

    By their settings where these are short, so that a model has one name in the tables of all suites: "m [seed=1]".
    Else by the hash at the end of their ids, and by all of these where even the ends are equal.
    """
    names = [result.model for result in results]
    for model in {name for name in names if names.count(name) > 1}:
        places = [place for place, result in enumerate(results) if result.model == model]
        for place, label in zip(places, _labels([results[place] for place in places]), strict=True):
            names[place] = f"{model} [{label}]"
    return names


def _labels(results: Sequence[_Named]) -> list[str]:
    ids = [result.run_id for result in results]
    for labels in (_settings(results), [one.rsplit("-", 1)[-1] for one in ids]):
        if len(set(labels)) == len(labels):
            return labels
    return ids


def _settings(results: Sequence[_Named]) -> list[str]:
    """What differs in the identities of models and in the seed, all of it; equal texts where that is no short text."""
    told: list[dict[str, Json]] = [{**result.model_identity, "seed": result.seed} for result in results]
    keys = [key for key in dict.fromkeys(key for one in told for key in one) if _differs(key, told)]
    if "adapter" in keys and "adapter_fingerprint" in keys:
        keys.remove("adapter_fingerprint")
    values = [[one.get(key) for key in keys] for one in told]
    labels = [", ".join(f"{key}={_shown(value)}" for key, value in zip(keys, row, strict=True)) for row in values]
    plain = all(value is None or isinstance(value, str | int | float) for row in values for value in row)
    return labels if plain and max(map(len, labels)) <= _MOST else ["" for _ in labels]


def _differs(key: str, told: Sequence[Mapping[str, Json]]) -> bool:
    return len({canonical_json(one.get(key)) for one in told}) > 1


def _shown(value: Json) -> str:
    """As one would say it after --model-arg."""
    if isinstance(value, bool):
        return str(value).lower()
    return "unset" if value in (None, "") else str(value)
