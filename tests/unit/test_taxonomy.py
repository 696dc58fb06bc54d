"""`harness list methods --by`: every method has its place, and what it says agrees with what the method does."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import get_args

import pytest
from system_fakes import command

from backends.base import load_method, student_writes
from backends.methods.taxonomy import BY, TAXONOMY, Access, Feedback, Granularity, Taxonomy, groups
from harness import catalog

OWN = {name for name, (_, summary) in catalog.entries("method").items() if not summary.startswith("plugin of")}


def test_every_method_has_a_place_and_nothing_else_has_one() -> None:
    assert set(TAXONOMY) == OWN
    assert tuple(field.name for field in fields(Taxonomy)) == BY


@pytest.mark.parametrize("name", sorted(TAXONOMY))
def test_what_is_said_of_a_method_is_what_it_does(name: str) -> None:
    row, method = TAXONOMY[name], load_method(name)
    assert set(row.feedback) <= set(get_args(Feedback))
    assert row.access in get_args(Access) and row.granularity in get_args(Granularity)
    reads = getattr(method, "reads_teacher", None)
    assert ("logit" in row.feedback) <= (row.access == "white-box")
    if reads is not None and reads(method.options()):
        assert row.access == "white-box", "it reads the teacher's weights"
    if row.access == "teacher-free":
        assert "text" not in row.feedback and "logit" not in row.feedback
    if "outcome" in row.feedback and not {"text", "preference"} & set(row.feedback) and name != "prm":
        assert student_writes(method), "a reward is of what the student wrote"


def test_groups_hold_every_method_once_a_value() -> None:
    assert {name for names in groups("access").values() for name in names} == OWN
    assert sum(map(len, groups("granularity").values())) == len(OWN)
    assert "kdrl" in groups("feedback")["logit"] and "kdrl" in groups("feedback")["outcome"]


def test_the_command_groups_methods_and_nothing_else() -> None:
    rows = json.loads(command("list", "methods", "--by", "access", "--json").stdout)["rows"]
    assert [row["name"] for row in rows] == ["black-box", "teacher-free", "white-box"]
    refused = command("list", "suites", "--by", "access")
    assert refused.exit_code == 2 and "--by groups training methods" in refused.stderr
    assert '"access": "white-box"' in command("show", "opd", "--json").stdout
