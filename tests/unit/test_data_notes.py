"""Notes on mistakes, by a teacher whose replies are known, and looked up by the model that they are for."""

from __future__ import annotations

from pathlib import Path

import pytest
from data_fakes import CUT, FAILED, WRONG, nonzero, record, says

from backends.makers.asking import Query
from backends.makers.base import plain
from backends.makers.notes import Notes
from backends.records.record import write_records
from harness.errors import DataError
from harness.systems.nesycd import noted_mistakes
from harness.types import Completion

NOTE = "**Learning Summary:** Add before you multiply.\n**Supplementary Knowledge:** Brackets come first."


def test_notes_are_what_the_model_looks_up(tmp_path: Path) -> None:
    seen: list[Query] = []
    made = Notes([record("a", rejected=WRONG), record("b", rejected=WRONG, response="The answer is 20.")], "t").run(
        says(lambda _: NOTE, seen)
    )
    assert nonzero(made.counts) == {"given": 2, "kept": 2}
    asked = seen[0].problem.messages[-1].content
    assert plain(WRONG) in asked and "The right answer: 20" in asked and "<think>" not in asked and len(seen) == 2
    assert made.records[0].meta["noted_by"] == "t" and made.records[1].response == "The answer is 20."
    file = tmp_path / "notes.jsonl"
    write_records(file, made.records)
    records, notes = noted_mistakes([str(file)])
    assert [one.id for one in records] == ["a", "b"]
    assert notes == ["Add before you multiply.\nBrackets come first."] * 2


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (FAILED, "teacher_error"),
        (CUT, "cut"),
        (Completion("", "stop"), "empty"),
        ("Add before you multiply.", "no_header"),
        ("The learning summary: add first.", "no_header"),
        ("Learning Summary: No need summary.", "no_need"),
        ("Learning Summary:\nSupplementary Knowledge:\n", "no_need"),
    ],
)
def test_why_there_is_no_note(reply: str | Completion, reason: str) -> None:
    made = Notes([record("a", rejected=WRONG)], "t").run(says(lambda _: reply))
    assert made.records == () and nonzero(made.counts) == {"given": 1, reason: 1}


def test_what_it_refuses() -> None:
    with pytest.raises(DataError, match=r"1 records have no wrong solution \('rejected'\), the first 'b'"):
        Notes([record("a", rejected=WRONG), record("b")], "t")
    with pytest.raises(DataError, match=r"1 records have no answer \('gold'\), the first 'a'"):
        Notes([record("a", rejected=WRONG, gold=None)], "t")
