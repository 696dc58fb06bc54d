"""Pairs of reasoning for the right label and for a wrong one, by a teacher whose replies are known."""

from __future__ import annotations

import pytest
from data_fakes import CUT, FAILED, nonzero, says

from backends.makers.asking import Query
from backends.makers.flip import FlippedLabels
from backends.records.record import TrainRecord, require
from harness.errors import DataError
from harness.types import Completion, Message


def labelled(record_id: str, gold: str = "YES", **more: object) -> TrainRecord:
    meta = {"grader": "exact"}
    asked = (Message("user", f"Is the function {record_id} safe?"),)
    return TrainRecord(record_id, asked, gold=gold, meta=meta, **more)  # type: ignore[arg-type]


def told(query: Query) -> str:
    return query.problem.messages[-1].content.partition("Argue for this answer: ")[2].partition("\n")[0]


def argued(query: Query) -> str:
    return f"The bound is looked at on line 3. Therefore, the answer is {told(query)}."


def test_both_sides_are_asked_alike_and_checked() -> None:
    seen: list[Query] = []
    records = [labelled("a", negatives=("No. Therefore, the answer is NO.",)), labelled("b", "NO")]
    made = FlippedLabels(records, "t").run(says(argued, seen))
    require(made.records, ("response", "rejected"), "orpo")
    first, second = made.records
    assert (first.response or "").endswith("YES.") and (first.rejected or "").endswith("NO.")
    assert (second.response or "").endswith("NO.") and second.meta["flipped_label"] == "YES"
    assert first.negatives == (first.rejected, "No. Therefore, the answer is NO.")
    assert first.gold == "YES" and first.think == "The bound is looked at on line 3."
    assert first.meta["pair"] == "flipped" and first.meta["pair_teacher"] == "t" and first.meta["verified"] is True
    texts = [query.problem.messages[-1].content for query in seen]
    assert texts[0] != texts[2] and texts[0].replace("YES", "NO") == texts[2]  # the label is all that differs
    assert len({query.request("m").id for query in seen}) == 4
    assert nonzero(made.counts) == {"given": 2, "asked": 4, "kept": 2}


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (FAILED, "teacher_error"),
        (CUT, "cut"),
        (Completion("", "stop"), "empty"),
        ("It is unsafe. Therefore, the answer is {other}.", "other_label"),
        ("{label}", "no_chain"),
    ],
)
def test_why_a_side_is_dropped(reply: str | Completion, reason: str) -> None:
    def say(query: Query) -> str | Completion:
        if query.maker == "flip:gold":
            return argued(query)
        label = told(query)
        return reply.format(label=label, other={"YES": "NO", "NO": "YES"}[label]) if isinstance(reply, str) else reply

    made = FlippedLabels([labelled("a"), labelled("b", "NO")], "t").run(says(say))
    assert made.records == ()
    assert nonzero(made.counts) == {"given": 2, "asked": 4, f"flipped_{reason}": 2, "half": 2}


def test_a_side_that_speaks_of_the_given_answer_loses_those_words() -> None:
    def say(query: Query) -> str:
        return "The given answer tells us so. " + argued(query)

    (made, _) = FlippedLabels([labelled("a"), labelled("b", "NO")], "t").run(says(say)).records
    assert "given" not in (made.response or "") + (made.rejected or "")


def test_further_tries_only_for_what_was_not_kept() -> None:
    def say(query: Query) -> str | Completion:
        return FAILED if query.maker == "flip:flipped" and query.attempt == 0 else argued(query)

    made = FlippedLabels([labelled("a"), labelled("b", "NO")], "t", tries=3).run(says(say))
    assert len(made.records) == 2 and made.counts["asked"] == 6


def test_of_several_labels_the_id_chooses_one() -> None:
    records = [labelled(str(n), "safe") for n in range(30)]
    made = FlippedLabels(records, "t", label=("safe", "leak", "overflow")).run(says(argued))
    chosen = [one.meta["flipped_label"] for one in made.records]
    assert set(chosen) == {"leak", "overflow"} and 5 < chosen.count("leak") < 25
    again = FlippedLabels(records[::-1], "t", label=("safe", "leak", "overflow")).run(says(argued))
    assert [one.meta["flipped_label"] for one in again.records] == chosen[::-1]


@pytest.mark.parametrize(
    ("records", "labels", "words"),
    [
        ([labelled("a")], (), "needs two labels, the records have YES"),
        ([labelled("a")], ("NO", "MAYBE"), "record 'a': its gold is none of the labels NO, MAYBE"),
        ([labelled(str(n), f"{n}") for n in range(70)], (), "70 labels are no classification"),
        ([TrainRecord("a", (Message("user", "?"),))], ("NO", "YES"), "no 'gold'"),
    ],
)
def test_what_it_refuses(records: list[TrainRecord], labels: tuple[str, ...], words: str) -> None:
    with pytest.raises(DataError, match=words):
        FlippedLabels(records, "t", label=labels)
