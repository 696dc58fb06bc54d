"""`harness judge new`: a rubric file to start from."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from harness import catalog
from harness.cli.judge_new import command
from harness.errors import ConfigError, UnknownName
from judges.prompts.rubric import load_rubric


def new(*args: str) -> Result:
    return CliRunner().invoke(command, list(args), catch_exceptions=True)


@pytest.mark.parametrize("like", sorted(catalog.entries("rubric")))
def test_a_copy_of_every_rubric_asks_the_very_same_question(
    like: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = new("mine", "--like", like)
    assert (
        result.exit_code == 0 and result.output.startswith("mine.toml: a copy of ") and result.output.count("\n") == 1
    )
    assert load_rubric("mine.toml").content_hash == load_rubric(like).content_hash


def test_a_copy_of_a_file_by_its_whole_name(tmp_path: Path) -> None:
    first, second = tmp_path / "one.toml", tmp_path / "two.toml"
    assert new(str(first), "--like", "rating_10").exit_code == 0
    assert new(str(second), "--like", str(first)).exit_code == 0
    assert load_rubric(str(second)).content_hash == load_rubric("rating_10").content_hash


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("my words")
    error = new(str(path), "--like", "pairwise_5").exception
    assert isinstance(error, ConfigError) and "is there already" in str(error)
    assert path.read_text() == "my words"


@pytest.mark.parametrize(
    ("name", "like", "kind", "words"),
    [
        ("m ine", "pairwise_5", ConfigError, "rename the file"),
        ("distinct_answers", "pairwise_5", ConfigError, "is a metric"),
        ("mine", "pairwise_6", UnknownName, "pairwise_5"),
        ("no/such/folder/mine", "pairwise_5", ConfigError, "cannot be written"),
    ],
)
def test_what_cannot_be_written_is_told_and_leaves_no_file(
    name: str, like: str, kind: type[Exception], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    error = new(name, "--like", like).exception
    assert isinstance(error, kind) and words in str(error) and "\n" not in str(error)
    assert not list(tmp_path.iterdir())
