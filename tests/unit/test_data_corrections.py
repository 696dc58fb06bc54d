"""Corrections of wrong solutions, by a teacher whose replies are known."""

from __future__ import annotations

import pytest
from data_fakes import CUT, FAILED, RIGHT, WRONG, nonzero, record, says

from backends.makers.asking import Query
from backends.makers.base import plain
from backends.makers.corrections import Corrections
from backends.records.record import require
from harness.errors import DataError
from harness.types import Completion

WHY = "The first step is wrong: 2 + 3 is 5."
GOOD = f"{WHY}\n\n**Corrected solution:** {plain(RIGHT)}"


def test_both_parts_are_kept_in_the_form_of_the_wrong_one() -> None:
    seen: list[Query] = []
    records = [record("a", rejected=WRONG, negatives=("no idea",)), record("b", response=RIGHT, rejected=WRONG)]
    made = Corrections(records, "t", n=2).run(
        says(lambda q: GOOD if q.attempt == 0 else GOOD.replace("5.", "five."), seen)
    )
    first, second = made.records
    assert first.response == RIGHT and first.feedback == WHY and len(first.positives) == 1
    assert first.negatives == (WRONG, "no idea") and first.rejected == WRONG
    assert first.meta["corrected_by"] == "t" and first.meta["verified"] is True
    assert second.response == RIGHT and len(second.positives) == 1  # what it has is not a second right one
    asked = seen[0].problem.messages[-1].content
    assert plain(WRONG) in asked and "<think>" not in asked and "gold" not in asked and len(seen) == 4
    assert nonzero(made.counts) == {"given": 2, "asked": 4, "right": 4, "kept": 2}
    require(made.records, ("response", "rejected", "feedback"), "lema")


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (FAILED, "teacher_error"),
        (CUT, "cut"),
        (Completion("", "stop"), "empty"),
        (plain(RIGHT), "one_part"),
        (f"Corrected solution: {plain(RIGHT)}", "one_part"),
        (f"{WHY}\nCorrected solution:\n", "one_part"),
        (f"{WHY} The corrected solution: is below. {plain(RIGHT)}", "one_part"),
        (f"{WHY}\nCorrected solution:\n{plain(WRONG)}", "wrong"),
        (f"{WHY}\nCorrected solution:\nI do not know", "no_answer"),
        (f"{WHY}\nCorrected solution:\n20", "no_chain"),
    ],
)
def test_why_a_correction_is_dropped(reply: str | Completion, reason: str) -> None:
    made = Corrections([record("a", rejected=WRONG)], "t").run(says(lambda q: reply))
    assert made.records == ()
    assert nonzero(made.counts) == {"given": 1, "asked": 1, reason: 1, "uncorrected": 1}


def test_what_it_refuses() -> None:
    with pytest.raises(DataError, match=r"1 records have no wrong solution .* first 'b'"):
        Corrections([record("a", rejected=WRONG), record("b")], "t")
    with pytest.raises(DataError, match="no 'gold'"):
        Corrections([record("a", rejected=WRONG, gold=None)], "t")
