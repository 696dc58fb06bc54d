"""`harness data select`: what is farthest from a benchmark's questions, by a fake embedder of known vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from backends.makers import select
from backends.makers.decontaminate import Decontaminate
from backends.makers.select import Select
from backends.records.record import TrainRecord
from harness.errors import UnknownName
from harness.suites import load_problems, load_suite
from harness.types import Message

QUESTION = load_problems(load_suite("synth_easy"), None, 0, None)[3].messages[-1].content


class Angles:
    """ "30" is a vector at 30 degrees, a question of the suite one at 0; lengths differ."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, texts: Sequence[str]) -> Any:
        angles = [np.deg2rad(float(text)) if text.isdigit() else 0.0 for text in texts]
        return np.array([[np.cos(a), np.sin(a)] for a in angles]) * np.arange(1, len(texts) + 1)[:, None]

    def identity(self) -> dict[str, str]:
        return {"embedder": self.name}


def records(*texts: str) -> list[TrainRecord]:
    return [TrainRecord(f"r{text[:9]}", (Message("user", text),)) for text in texts]


def test_the_farthest_are_kept_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(select, "Embedder", Angles)
    maker = Select(records("10", "80", QUESTION, "45", "60"), suite="synth_easy", farthest=3, embedder="mine")
    made = maker.run(lambda queries: [])
    assert [one.id for one in made.records] == ["r80", "r45", "r60"]
    assert [one.meta["nearest"] for one in made.records] == [0.1736, 0.7071, 0.5]
    assert made.records[0].meta["nearest_suite"] == "synth_easy"
    assert made.counts == {"given": 5, "kept": 3}
    assert made.facts["embedder"] == "mine" and made.facts["nearest_kept"] == 0.7071
    assert made.facts["nearest_of_all"] == 1.0


def test_fewer_than_asked_for_are_all_kept_whatever_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(select, "Embedder", Angles)
    monkeypatch.setattr(select, "_ROWS", 2)
    made = Select(records("10", "80", "45"), suite="synth_easy", farthest=9).run(lambda queries: [])
    assert [one.meta["nearest"] for one in made.records] == [0.9848, 0.1736, 0.7071]


def test_paraphrases_of_questions_are_left_out_from_a_cosine_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of what stays is as near as that, nothing of what goes is farther, unless it is the question itself."""
    monkeypatch.setattr("harness.metrics.diversity_embed.Embedder", Angles)
    given = records("10", "30", "80", QUESTION, "20", "45")
    made = Decontaminate(given, suite="synth_easy", cosine=0.9, embedder="mine").run(lambda _: [])
    assert [one.id for one in made.records] == ["r30", "r80", "r45"]
    assert made.counts == {"given": 6, "contaminated": 3, "clean": 3}
    assert (made.facts["paraphrases"], made.facts["embedder"]) == (2, "mine")
    assert [one.id for one in Decontaminate(given, suite="synth_easy").run(lambda _: []).records] == [
        *("r10", "r30", "r80", "r20", "r45")
    ]
    only = Decontaminate(records(QUESTION), suite="synth_easy", cosine=0.9).run(lambda _: [])
    assert not only.records and only.facts["paraphrases"] == 0


def test_a_suite_that_does_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(select, "Embedder", Angles)
    with pytest.raises(UnknownName):
        Select(records("10"), suite="nope").run(lambda queries: [])
