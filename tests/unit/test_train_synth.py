"""Training records from the embedded world: all truth is known."""

from __future__ import annotations

from collections import Counter

import pytest

from backends.records.record import data_hash, record_from_json, record_to_json, require
from backends.records.spans import boundaries, split_response
from backends.records.synth import synth_records
from harness.errors import DataError, UnknownName
from harness.grading import score_completion
from harness.suites import load_problems, load_suite
from harness.synth import ERROR_KINDS, Level, Split, Style
from harness.types import Completion, Problem, Score


def score(gold: str, text: str) -> float | None:
    verdict = score_completion(Problem("x", (), gold, "integer"), Completion(text, "stop"))
    assert isinstance(verdict, Score)
    return verdict.value


@pytest.mark.parametrize("style", ["short", "plain"])
@pytest.mark.parametrize("form", ["think", "plain"])
def test_twins_are_right_and_wrong_and_differ_where_meta_says(style: Style, form: str) -> None:
    records = synth_records(3, 12, style=style, form=form, positives=2)  # type: ignore[arg-type]
    require(records, ("think", "answer", "gold", "response", "rejected"), "krsl")
    assert all(split_response(record.response or "") for record in records)
    kinds = Counter(str(record.meta["error_kind"]) for record in records)
    assert set(kinds) == set(ERROR_KINDS)
    for record in records:
        response, rejected = record.response or "", record.rejected or ""
        assert score(record.gold or "", response) == 1.0 and score(record.gold or "", rejected) == 0.0
        assert (record.think or "") in response and response.endswith(record.answer or "-")
        right, wrong = record.meta["right_span"], record.meta["error_span"]
        assert isinstance(right, list) and isinstance(wrong, list)
        ours, theirs = response[right[0] : right[1]], rejected[wrong[0] : wrong[1]]
        assert ours != theirs and ours.endswith((".", "!")) and theirs.endswith((".", "!"))
        # everything in front of the wrong step is the same, but for a step that was skipped
        if record.meta["error_kind"] != "skipped_step":
            assert right[0] == wrong[0] and response[: right[0]] == rejected[: wrong[0]]
        assert all(score(record.gold or "", text) == 1.0 and text != response for text in record.positives)
        assert not record.structure and not record.candidates
    assert sum(len(record.positives) == 2 for record in records) > len(records) / 2


def test_structures_are_pieces_of_the_long_chain() -> None:
    records = synth_records(0, 15, style="long")
    for record in records:
        response = record.response or ""
        assert record.structure and record.rejected is None and "error_span" not in record.meta
        parts = boundaries(response, record.structure)
        assert [part for _, part in parts] == ["meta", "solve"] * len(record.structure) + ["answer"]
        # the pieces are all of the chain, but for the blanks between them
        joined = " ".join(f"{stage.meta} {stage.solve}" for stage in record.structure)
        assert joined == record.think
        assert all("=" in stage.solve and "=" not in stage.meta for stage in record.structure)
    assert max(len(record.structure) for record in records) > 3


def test_candidates_share_the_chain_and_differ_in_the_answer() -> None:
    for record in synth_records(1, 6, candidates=8):
        assert [candidate.reward for candidate in record.candidates] == [1.0] + [0.0] * 7
        texts = [candidate.text for candidate in record.candidates]
        assert texts[0] == record.response and len(set(texts)) == 8
        for candidate in record.candidates:
            assert score(record.gold or "", candidate.text) == candidate.reward == float(bool(candidate.correct))
            split = split_response(candidate.text)
            assert split is not None and candidate.text[split.think_start : split.think_end].strip() == record.think


def test_the_same_seed_gives_the_same_records_and_another_seed_others() -> None:
    first = synth_records(0, 20, candidates=4, positives=2)
    assert first == synth_records(0, 20, candidates=4, positives=2)
    assert data_hash(first) == "7e13c3a6078055a53f58f75e80c2a1599a12f6f007cfc28b90a1121b279857d6"  # the same everywhere
    assert [record.id for record in first] != [record.id for record in synth_records(1, 20)]
    assert len({record.id for record in first}) == 100
    assert [record.meta["level"] for record in first[:6]] == [1, 2, 3, 4, 5, 1]
    shorter = synth_records(0, 10, candidates=4, positives=2)
    assert shorter == first[:50]
    assert [record_from_json(record_to_json(record), "") for record in shorter] == shorter


def test_train_and_test_have_no_question_in_common() -> None:
    levels: tuple[Level, ...] = (1, 2, 3)
    found = {
        split: {record.prompt for seed in (0, 7) for record in synth_records(seed, 60, levels, split=split)}
        for split in ("train", "dev", "test")
    }
    assert not found["train"] & found["test"] and not found["train"] & found["dev"] and not found["dev"] & found["test"]
    suite = {problem.messages for problem in load_problems(load_suite("synth"), None, 0, None)}
    assert not found["train"] & suite
    # the suite's own questions come out of the test split with the suite's own prompt
    split: Split = "test"
    assert {record.prompt for record in synth_records(0, 100, split=split)} == suite


def test_counts_that_make_no_data_set() -> None:
    for arguments in ({"per_level": 0}, {"levels": ()}, {"candidates": 1}, {"positives": -1}):
        with pytest.raises(DataError, match="make no data set"):
            synth_records(**{"seed": 0, "per_level": 1, **arguments})  # type: ignore[arg-type]
    with pytest.raises(UnknownName, match="level"):
        synth_records(0, 1, (9,))  # type: ignore[arg-type]
