"""`confident`: R_DC by hand, what is read as stated, and what is kept."""

from __future__ import annotations

from typing import Any

import pytest

from backends.makers.confident import Confident, rdc
from backends.records.record import TrainRecord
from harness.errors import DataError
from harness.types import Message


def trace(name: str, text: str = "", **meta: Any) -> TrainRecord:
    prompt = (Message("user", "3 + 4?"),)
    return TrainRecord(id=name, prompt=prompt, gold="7", response=text, meta={"grader": "integer", **meta})


def test_the_reward_of_the_paper() -> None:
    assert rdc(1, 0.8, 1, 0.7) == pytest.approx(0.87)
    assert rdc(1, 1, 1, 1) == 1 and rdc(0, 1, 1, 1) == -1
    assert rdc(0, 0.2, 0, 0.9) == pytest.approx(-0.04)  # who says that nothing is needed is not held to an answer


def test_the_best_share_is_kept_and_the_rest_counted() -> None:
    records = [
        trace("sure", 'The answer is 7. {"need": 1, "accept": 0.9}'),
        trace("unsure", 'The answer is 7. {"need": 1, "accept": 0.2}'),
        trace("wrong", 'The answer is 8. {"need": 1, "accept": 0.9}'),
        trace("told", "whatever", q_need=0.8, q_acc=0.7, y_acc=1),
        trace("silent", "The answer is 7."),
        trace("odd", '{"need": 2, "accept": 0.5}'),
        TrainRecord(id="open", prompt=(Message("user", "?"),), response='x {"need": 1, "accept": 1}'),
    ]
    made = Confident(records, share=0.5).run(lambda _: [])
    assert [record.id for record in made.records] == ["sure", "told"]
    assert [record.meta["r_dc"] for record in made.records] == [pytest.approx(0.99), pytest.approx(0.87)]
    assert made.counts == {"given": 7, "no_confidence": 2, "unchecked": 1, "below": 2, "kept": 2}
    assert [one.id for one in Confident(records).run(lambda _: []).records] == ["sure", "told"]  # a third of four, up
    assert len(Confident(records, share=1.0).run(lambda _: []).records) == 4
    assert not Confident([trace("silent", "7")]).run(lambda _: []).records


@pytest.mark.parametrize("meta", [{"y_acc": 3}, {"y_need": "yes"}, {"y_acc": None}])
def test_what_is_no_share_is_refused(meta: Any) -> None:
    with pytest.raises(DataError, match="must be a number from 0 to 1"):
        Confident([trace("a", '7 {"need": 1, "accept": 1}', **meta)]).run(lambda _: [])
