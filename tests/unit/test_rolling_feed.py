"""The feed of completions: records that a reward could never mark are not drawn for, and are counted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from objective_steps import Student
from test_rollouts_rolls import STEP, Told, source

from backends.config import Runtime
from backends.rewards.total import Totals
from backends.rollouts.journal import Journal
from backends.trainers.rolling import rolling_feed
from harness.errors import DataError

RULE = {"structure.gsrm": "rule:equations"}


def test_records_without_a_step_in_the_teachers_path_are_left_out(student: Student, tmp_path: Path) -> None:
    given = source(student)
    chains = ("1 + 1 = 2.", "none", "2 + 2 = 4.", "nothing")
    given = replace(given, records=tuple(replace(r, think=c) for r, c in zip(given.records, chains, strict=True)))
    journal = Journal(tmp_path, "train", "s")
    feed = rolling_feed(given, Told(), Totals("structure=1", RULE), journal, 4, Runtime(), tmp_path)
    try:
        micro_batches = feed.batch(replace(STEP, number=0), [[0, 1], [2, 3]], student.training(()))
    finally:
        feed.close()
    assert {example.id.partition("/")[0] for part in micro_batches for example in part} <= {"r0", "r2"}
    assert feed.numbers["records/unmarkable"] == 2.0
    given = replace(given, records=tuple(replace(one, think="none") for one in given.records))
    with pytest.raises(DataError, match="no record can be marked: all 4 are left out, the first 'r0': structure: no"):
        rolling_feed(given, Told(), Totals("structure=1", RULE), journal, 4, Runtime(), tmp_path)
