"""Rubric files that make no sense: each is refused with the file, the line and what to do.

`tests/golden/rubric_errors.json` has four good files and, per row, a line of one of them, what to write instead, and
the message and line to expect (the edited line itself where `at` is not given).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.errors import ConfigError
from judges.prompts.rubric import load_rubric

GOLDEN = json.loads((Path(__file__).parent.parent / "golden" / "rubric_errors.json").read_text(encoding="utf-8"))


def message(folder: Path, lines: list[str]) -> str:
    path = folder / "bad.toml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_rubric(str(path))
    text = str(caught.value)
    assert "\n" not in text
    return text.removeprefix(f"{path}:")


@pytest.mark.parametrize("base", sorted(GOLDEN["bases"]))
def test_the_unedited_files_load(tmp_path: Path, base: str) -> None:
    path = tmp_path / "good.toml"
    path.write_text("\n".join(GOLDEN["bases"][base]), encoding="utf-8")
    assert load_rubric(str(path)).kind == base


@pytest.mark.parametrize("row", GOLDEN["errors"], ids=lambda row: f"{row['base']}:{row['line']}:{row['says'][:40]}")
def test_a_mistake_is_named_with_its_line(tmp_path: Path, row: dict[str, Any]) -> None:
    lines = list(GOLDEN["bases"][row["base"]])
    lines[row["line"] - 1] = row["new"]
    found = message(tmp_path, lines)
    assert row["says"] in found
    assert found.startswith(f"{row.get('at', row['line'])}: "), found


def test_no_dimensions(tmp_path: Path) -> None:
    lines = [line for line in GOLDEN["bases"]["points"][:22] if line != "{dimensions}"]
    assert message(tmp_path, lines).startswith("1: a rubric of kind 'points' needs [[dimensions]]")
    assert "5: 'dimensions' must be tables" in message(tmp_path, [*lines[:4], "dimensions = 3", *lines[4:]])


def test_too_few_choices(tmp_path: Path) -> None:
    assert "needs at least two [[choices]]" in message(tmp_path, GOLDEN["bases"]["label"][:12])
    assert "needs at least two [[choices]]" in message(tmp_path, GOLDEN["bases"]["label"][:8])


def test_an_error_in_a_dimension_without_weightings_is_found_before_one_is_asked_for(tmp_path: Path) -> None:
    lines = [*GOLDEN["bases"]["points"], "[weightings.bad]", "truth = 1", "grace = 1"]
    assert message(tmp_path, lines).startswith("42: the weights add up to 2, not 100: 1 + 1")


def test_deep_nesting_is_a_config_error(tmp_path: Path) -> None:
    assert "not valid TOML" in message(tmp_path, ["version = " + "[" * 5000])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('name = "mine"', "1: missing key 'kind': points, rating, pairwise, label (docs/rubrics.md"),
        ('kind = "rating"', "1: missing keys 'version', 'summary', 'source', 'template', 'low', 'high'"),
        ('kind = "points"\ntemplate = "x"', "1: missing keys 'version', 'summary', 'source', 'dimensions'"),
    ],
)
def test_what_a_first_try_lacks_is_told_at_once(tmp_path: Path, text: str, says: str) -> None:
    assert message(tmp_path, [text]).startswith(says)


@pytest.mark.parametrize(
    ("base", "table", "says"),
    [
        ("points", '[[dimensions]]\nkey = "a"', "missing keys 'name', 'question', 'weight', 'levels'"),
        ("pairwise", '[[choices]]\nlabel = "a"', "missing keys 'value', 'meaning'"),
    ],
)
def test_what_a_table_lacks_is_told_at_once(tmp_path: Path, base: str, table: str, says: str) -> None:
    lines = [*GOLDEN["bases"][base], table]
    assert message(tmp_path, lines).endswith(says)


@pytest.mark.parametrize("name", ["rating", "tokens_in", "tokens_out", "truncated"])
def test_a_file_is_not_named_like_a_metric(tmp_path: Path, name: str) -> None:
    path = tmp_path / f"{name}.toml"
    path.write_text("\n".join(GOLDEN["bases"]["rating"]), encoding="utf-8")
    with pytest.raises(ConfigError, match=f"rename the file: '{name}' is a metric"):
        load_rubric(str(path))
