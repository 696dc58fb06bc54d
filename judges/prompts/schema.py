"""The shape of a judge's reply, as a JSON schema that engines can hold a model to.

Only what every constrained decoder knows is used: objects with all properties required and no others, enums, arrays
without bounds. Properties are in the order in which they are to be written, the reason always before what it is the
reason for: a model that has decided first only defends its decision.

    points            {"dimensions": {"<key>": {"reason", "evidence", "level"[, "label"]}, ...}, "overall"}
    rating            {"reason", "rating"}
    pairwise, label   {"reason", "verdict"}
    reply = "token", "line"   no JSON at all, so no schema
"""

from __future__ import annotations

from collections.abc import Mapping

from harness.types import Json
from judges.types import LEVELS, Dimension, Rubric


def reply_schema(rubric: Rubric) -> dict[str, Json] | None:
    """JSON schema (draft 2020-12) of a reply; None where the reply is one bare label or a text.

    Points are not in it: the judge gives levels and we compute.
    """
    if rubric.reply != "json":
        return None
    if rubric.kind == "points":
        dimensions = {one.key: _dimension(one) for one in rubric.dimensions}
        return _object({"dimensions": _object(dimensions), "overall": _text()})
    if rubric.kind == "rating":
        ratings = list(range(rubric.low, rubric.high + 1))
        return _object({"reason": _text(), "rating": {"type": "integer", "enum": ratings}})
    return _object({"reason": _text(), "verdict": _one_of([choice.label for choice in rubric.choices])})


def _dimension(one: Dimension) -> dict[str, Json]:
    properties: dict[str, Json] = {
        "reason": _text(),
        "evidence": {"type": "array", "items": _text()},
        "level": {"type": "integer", "enum": list(range(1, LEVELS + 1))},
    }
    if one.labels:
        properties["label"] = _one_of(one.labels)
    return _object(properties)


def _object(properties: Mapping[str, Json]) -> dict[str, Json]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _text() -> dict[str, Json]:
    return {"type": "string"}


def _one_of(labels: list[str] | tuple[str, ...]) -> dict[str, Json]:
    return {"type": "string", "enum": list(labels)}
