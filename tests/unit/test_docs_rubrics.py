"""The files of docs/rubrics.md are rubrics: a reader who copies one has one that works."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from judges.prompts.rubric import load_rubric

PAGE = Path(__file__).parents[2] / "docs" / "rubrics.md"
FILES = re.findall(r"^```toml\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def test_every_kind_has_a_file() -> None:
    assert sorted(re.search(r'^kind = "(\w+)"', text, re.MULTILINE).group(1) for text in FILES) == [  # type: ignore[union-attr]
        "label",
        "pairwise",
        "points",
        "rating",
    ]


@pytest.mark.parametrize("text", FILES, ids=lambda text: text.split('kind = "')[1].split('"')[0])
def test_the_file_loads(tmp_path: Path, text: str) -> None:
    (tmp_path / "mine.toml").write_text(text, encoding="utf-8")
    assert load_rubric(str(tmp_path / "mine.toml")).id.startswith("mine@1#")
