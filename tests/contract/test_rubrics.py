"""What every rubric of the catalog promises: it loads, documents itself, renders, and its schema fits a good reply."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest
from schema_subset import check_strict, valid

from harness import catalog
from judges.prompts.fencing import fence
from judges.prompts.render import render
from judges.prompts.rubric import content_hash, load_rubric, weightings
from judges.prompts.schema import reply_schema
from judges.types import LEVELS, Rubric, Task

NAMES = sorted(catalog.entries("rubric"))
TASK = Task("p1", 0, ("How long is the hike?",), ("About 3 hours.",), opponent=("All day.",), reference="2 h 50 min")
TALK = dataclasses.replace(
    TASK, turns=("Name a bird.", "And a smaller one?"), answers=("Crow.", "Wren."), opponent=("Hen.", "Emu.")
)


def good_reply(rubric: Rubric) -> dict[str, Any]:
    """A reply as a careful judge would write it."""
    if rubric.kind == "points":
        marks = {
            one.key: {"reason": "It holds.", "evidence": ["About 3 hours."], "level": 4}
            | ({"label": one.labels[0]} if one.labels else {})
            for one in rubric.dimensions
        }
        return {"dimensions": marks, "overall": "Good."}
    if rubric.kind == "rating":
        return {"reason": "Close.", "rating": rubric.high}
    return {"reason": "Closer.", "verdict": rubric.choices[0].label}


@pytest.mark.parametrize("name", NAMES)
def test_it_loads_and_documents_itself(name: str) -> None:
    rubric = load_rubric(name)
    assert rubric.name == name
    assert re.fullmatch(rf"{name}@[0-9.]+#[0-9a-f]{{12}}", rubric.id)
    assert rubric.content_hash == content_hash(rubric)
    assert len(rubric.summary) > 15
    assert "ours" in rubric.source
    assert rubric.max_tokens >= 8


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("reference", ["2 h 50 min", None])
def test_it_renders(name: str, reference: str | None) -> None:
    rubric = load_rubric(name)
    system, user = render(rubric, dataclasses.replace(TASK, reference=reference))
    assert (system.role, user.role) == ("system", "user")
    assert fence("About 3 hours.") in user.content
    assert ("2 h 50 min" in user.content) == (reference is not None and bool(rubric.reference_template))
    two = rubric.kind == "pairwise" or "{answer_b}" in rubric.template
    assert ("All day." in user.content) == two
    assert "About 3 hours." not in system.content
    for text in (system.content, user.content):
        assert not re.search(r"\{[a-z_]+\}", text)
    assert "tildes" in system.content, "the judge must be told what the fences mean"
    for one in rubric.dimensions:
        assert all(text in system.content for text in (one.name, one.question, *one.levels))
        assert f'"{one.key}"' in user.content
    for choice in rubric.choices:
        assert choice.meaning in user.content


@pytest.mark.parametrize("name", [name for name in NAMES if "{question}" in load_rubric(name).template])
def test_it_renders_a_conversation(name: str) -> None:
    user = render(load_rubric(name), TALK)[-1].content
    places = [user.index(text) for text in ("Name a bird.", "And a smaller one?", "Crow.", "Wren.")]
    assert places == sorted(places)
    assert "context, not to be judged" in user


@pytest.mark.parametrize("name", NAMES)
def test_its_schema_takes_a_good_reply_and_no_other(name: str) -> None:
    rubric = load_rubric(name)
    schema = reply_schema(rubric)
    if rubric.reply != "json":
        assert schema is None
        return
    assert schema is not None
    check_strict(schema)
    reply = good_reply(rubric)
    assert valid(schema, reply)
    assert not valid(schema, reply | {"total": 80})
    for key, outside in (("rating", rubric.low - 1), ("rating", rubric.high + 1), ("verdict", "maybe")):
        assert key not in reply or not valid(schema, reply | {key: outside})
    for key, mark in reply.get("dimensions", {}).items():
        for level in (0, LEVELS + 1, "4", 4.0, True, None):
            assert not valid(schema, reply | {"dimensions": reply["dimensions"] | {key: mark | {"level": level}}})
        fewer = {other: value for other, value in reply["dimensions"].items() if other != key}
        assert not valid(schema, reply | {"dimensions": fewer})
    for key in reply:
        assert not valid(schema, {other: value for other, value in reply.items() if other != key})


@pytest.mark.parametrize("name", [name for name in NAMES if load_rubric(name).kind == "points"])
def test_points_rubrics_reach_from_20_to_100(name: str) -> None:
    for weighting in (None, *weightings(name)):
        weights = [one.weight for one in load_rubric(name, weighting).dimensions]
        assert [sum(weight * level / LEVELS for weight in weights) for level in (1, LEVELS)] == [20, 100]
