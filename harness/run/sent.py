"""How a run was really sampled: what the engine's options left out of its requests, or put in place of what was asked.

`omit=temperature` leaves the temperature to the server, `extra_body={"temperature": 1}` replaces it. A result says what
was sent, so that such runs are never ranked with runs at the temperature that stands in the spec.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from harness.run.spec import RunSpec
from harness.types import Json, Problem

SERVERS_OWN = "server's own"
"""Stands for a value that the server chose."""
BY_MODEL = "by model"
"""Stands for a value that differs between the models of a system."""
_NAMES = ("temperature", "top_p", "max_tokens", "stop")


def changed_sampling(identity: Mapping[str, Json]) -> dict[str, Json]:
    """Those of temperature, top_p, max_tokens and stop that were not sent as asked, by a model's identity."""
    omitted, body = identity.get("omit"), identity.get("extra_body")
    found: dict[str, Json] = {name: SERVERS_OWN for name in _NAMES if isinstance(omitted, list) and name in omitted}
    if isinstance(body, Mapping):
        named = {**body, "max_tokens": body.get("max_completion_tokens", body.get("max_tokens"))}
        for name in _NAMES:
            value = named.get(name)
            if value is not None:
                number = isinstance(value, int | float) and not isinstance(value, bool)
                found[name] = float(value) if number and name != "max_tokens" else value  # type: ignore[arg-type]
    return found | _changed_in_parts(identity.get("parts"))


def _changed_in_parts(parts: Json) -> dict[str, Json]:
    """The same of a system's models: "by model" where they differ."""
    if not isinstance(parts, Mapping):
        return {}
    changes = [changed_sampling(part) for part in parts.values() if isinstance(part, Mapping)]
    names = [name for name in _NAMES if any(name in change for change in changes)]
    same = {name: all(change.get(name) == changes[0].get(name) for change in changes) for name in names}
    return {name: changes[0][name] if same[name] else BY_MODEL for name in names}


def changed_by_options(options: Mapping[str, str]) -> dict[str, Json]:
    """The same before a model is made, from the options that it will be given; what is malformed is its matter."""
    try:
        body = json.loads(options.get("extra_body") or "{}")
    except (ValueError, RecursionError):
        body = {}
    return changed_sampling({"omit": [part.strip() for part in options.get("omit", "").split(",")], "extra_body": body})


def sent_sampling(spec: RunSpec, problems: Iterable[Problem]) -> dict[str, Json]:
    """How the completions of a run were drawn; "by question" where its problems have temperatures of their own."""
    asked = spec.identity()
    sampling = {name: asked[name] for name in _NAMES}
    if any(problem.temperature is not None for problem in problems):
        sampling["temperature"] = "by question"
    return {**sampling, **changed_sampling(spec.model_identity)}
