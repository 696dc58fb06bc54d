"""`questions:<grader>:<file>`: one's own questions, and a grader that must know their answers first."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness.catalog.names_evaluation import SUITE_FORMS
from harness.cli.main import cli
from harness.errors import DataError, HarnessError, UnknownName, UsageError
from harness.suites import PREFIXES, load_problems, load_suite, parse_suite_arg
from harness.types import Json, Message, Problem

YES: dict[str, Json] = {"question": "Is 7 prime? Say YES or NO.", "gold": "YES"}


def problems(folder: Path, *rows: dict[str, Json], grader: str = "exact", seed: int = 0) -> list[Problem]:
    path = folder / "mine.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return load_problems(load_suite(f"questions:{grader}:{path}"), None, seed, None)


def test_a_row_is_asked_as_it_stands(tmp_path: Path) -> None:
    (one,) = problems(tmp_path, YES)
    assert one.messages == (Message("user", "Is 7 prime? Say YES or NO."),)
    assert (one.target, one.grader) == ("YES", "exact") and one.id.startswith("question-")
    record: dict[str, Json] = {
        "id": "r1",
        "prompt": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "How many?"}],
        "gold": "72",
        "meta": {"grader": "exact"},
    }
    (one,) = problems(tmp_path, record, grader="integer")
    assert [turn.role for turn in one.messages] == ["system", "user"] and (one.id, one.grader) == ("r1", "integer")
    (one,) = problems(tmp_path, {"problem": "1 + 71?", "answer": "first 1, then 71\n#### 72"}, grader="number")
    assert one.target == "72"


def test_choices_by_letter_and_by_words_are_one_question(tmp_path: Path) -> None:
    words: dict[str, Json] = {"id": 1, "question": "Capital?", "choices": ["Rome", "Paris", "Bonn"], "gold": "Paris"}
    for seed in range(4):
        (by_words,) = problems(tmp_path, words, grader="choice", seed=seed)
        (by_letter,) = problems(tmp_path, words | {"gold": "B"}, grader="choice", seed=seed)
        assert by_words == by_letter
        assert by_words.choices["ABC".index(by_words.target)] == "Paris"


@pytest.mark.parametrize(
    ("grader", "row", "says"),
    [
        ("exact", {"gold": "YES"}, "none of question, prompt"),
        ("exact", {"question": "Is it?"}, "none of gold, answer"),
        ("exact", {"question": "  ", "gold": "YES"}, "not empty"),
        ("exact", {"question": ["Is it?"], "gold": "YES"}, "needs a role"),
        ("exact", {"question": [{"role": "assistant", "content": "It is."}], "gold": "YES"}, "turn of the user"),
        ("exact", {"question": "Is it?", "gold": True}, "text or a number"),
        ("exact", YES | {"id": 1.5}, "id should be text"),
        ("integer", YES, "not a number"),
        ("choice", YES, "'choices' should be a list"),
        ("choice", YES | {"choices": [True, False], "gold": "A"}, "a choice should be text"),
        ("choice", YES | {"choices": ["NO", "MAYBE"]}, "letter of one of its 2"),
        ("choice", YES | {"choices": ["YES", "YES"]}, "the same"),
        ("choice", YES | {"choices": ["B", "A"], "gold": "A"}, "letter of one of its 2"),
    ],
)
def test_what_is_refused_before_anything_is_asked(tmp_path: Path, grader: str, row: dict[str, Json], says: str) -> None:
    with pytest.raises(DataError, match=says) as error:
        problems(tmp_path, row, grader=grader)
    assert "mine.jsonl:1" in str(error.value)


def test_a_number_that_overflows_is_no_gold(tmp_path: Path) -> None:
    (tmp_path / "mine.jsonl").write_text('{"question": "How many?", "gold": 1e400}\n')
    with pytest.raises(DataError, match="too large to be read"):
        load_problems(load_suite(f"questions:exact:{tmp_path / 'mine.jsonl'}"), None, 0, None)


def test_two_rows_of_one_id(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="two rows have the id"):
        problems(tmp_path, YES, YES)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("questions:exact", UsageError),
        ("questions:exact:", UsageError),
        ("questions:labels:mine.jsonl", UnknownName),
        ("questions:exact:nowhere/mine.jsonl", DataError),
    ],
)
def test_names_that_say_too_little(name: str, kind: type[HarnessError]) -> None:
    with pytest.raises(kind):
        load_suite(name)


def test_choices_stand_in_one_cell_of_a_table(tmp_path: Path) -> None:
    rows: list[dict[str, Json]] = [{"id": "1", "question": "Capital?", "choices": ["Rome", "Paris"], "gold": "Paris"}]
    path = tmp_path / "mine.csv"
    path.write_text('id,question,choices,gold\n1,Capital?,"[""Rome"", ""Paris""]",Paris\n')
    told = load_problems(load_suite(f"questions:choice:{path}"), None, 0, None)
    assert told == problems(tmp_path, *rows, grader="choice")
    for cell in ("Rome;Paris", '"{""a"": 1}"', "[Rome", "[" * 5000, '"[""Rome""]"'):
        path.write_text(f"id,question,choices,gold\n1,Capital?,{cell},Paris\n")
        with pytest.raises(DataError, match="in one cell as"):
            load_problems(load_suite(f"questions:choice:{path}"), None, 0, None)


def test_the_name_of_a_file_alone_is_told_what_it_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnknownName):
        load_suite("mine.csv")
    (tmp_path / "mine.csv").write_text("question,gold\nIs it?,YES\n")
    with pytest.raises(UsageError, match=r"as in --suite questions:math:mine\.csv"):
        load_suite("mine.csv")
    with pytest.raises(UsageError, match="questions:<grader>:<file>"):
        load_suite("questions")


def test_the_list_of_suites_has_the_prefixes_with_how_they_are_written() -> None:
    assert set(SUITE_FORMS) == set(PREFIXES)
    out = CliRunner().invoke(cli, ["list", "suites"]).output
    assert all(form in out for form in SUITE_FORMS.values())


def test_samples_are_told_behind_the_file() -> None:
    assert parse_suite_arg("questions:math:a.jsonl:8") == [("questions:math:a.jsonl", 8)]


def test_a_run_over_them(tmp_path: Path) -> None:
    (tmp_path / "mine.jsonl").write_text(json.dumps(YES) + "\n")
    words = ["run", "--suite", "questions:exact:mine.jsonl", "--data-dir", str(tmp_path), "--model", "mock:gold"]
    words += ["--results-dir", str(tmp_path / "results"), "--quiet", "--json"]
    result = CliRunner().invoke(cli, words)
    assert result.exit_code == 0, result.output
    assert '"avg@n"' in result.output
