"""Training records from the embedded world, and rejection sampling, which is tested on it: all truth is known."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from backends.records.record import data_hash, record_from_json, record_to_json, require
from backends.records.rejection import response_of, select_right
from backends.records.spans import boundaries, split_response
from backends.records.synth import synth_records
from harness.errors import DataError, UnknownName
from harness.grading import Pending, score_completion
from harness.grading.pool import GradingPool
from harness.reasoning import with_answer
from harness.suites import load_problems, load_suite
from harness.synth import ERROR_KINDS, Level, Split, Style
from harness.types import Completion, Message, Problem, Record, Score


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


# --- rejection sampling ---------------------------------------------------------------------------------------------

PROBLEMS = [
    Problem("p1", (Message("user", "2 + 2?"),), "4", "integer"),
    Problem("p2", (Message("user", "3 + 3?"),), "6", "integer"),
    Problem("p3", (Message("user", "1/2 of 1?"),), "\\frac{1}{2}", "math"),
]


def record(problem: str, attempt: int, text: str, finish: str = "stop", **more: object) -> Record:
    completion = Completion(text, finish, **more)  # type: ignore[arg-type]
    return Record(problem, attempt, 0, "", completion)


def test_right_completions_are_kept_and_wrong_ones_become_negatives() -> None:
    sampled = [
        record("p1", 1, "<think>\nsum\n</think>\nThe answer is 4."),
        record("p1", 0, "<think>\nadd\n</think>\nThe answer is 4."),
        record("p1", 2, "<think>\nno\n</think>\nThe answer is 5."),
        record("p1", 3, "<think>\nadd\n</think>\nThe answer is 4."),
        record("p1", 4, "<think>\nThe answer is 4", "length"),
        record("p1", 9, "<think>\nx\n</think>\nIt is \\boxed{4}. And", "length"),
        record("p1", 5, "", "error", error="timeout"),
        record("p1", 6, "I do not know"),
        record("p1", 7, "The answer is 7."),
        record("p1", 8, "<think>\nwell\n</think>\nThe answer is 4."),
        record("p2", 0, "The answer is 7."),
    ]
    kept = select_right(sampled, PROBLEMS, dataset="toy", teacher="mock:gold", per_problem=2)
    assert kept.verdicts == {"right": 4, "wrong": 3, "truncated": 2, "error": 1, "no_answer": 1}
    assert (kept.duplicates, kept.surplus, kept.unsolved) == (1, 1, ("p2",))
    first, second = kept.records
    assert (first.id, second.id) == ("p1#0", "p1#1")
    assert (first.response, first.think, first.answer, first.gold) == (
        "<think>\nadd\n</think>\nThe answer is 4.", "add", "The answer is 4.", "4",
    )  # fmt: skip
    assert first.prompt == PROBLEMS[0].messages
    assert first.negatives == ("<think>\nno\n</think>\nThe answer is 5.", "The answer is 7.")
    assert (first.rejected, second.rejected) == first.negatives
    assert first.meta == {"dataset": "toy", "teacher": "mock:gold", "problem": "p1", "attempt": 0, "grader": "integer"}
    every = select_right(reversed(sampled), PROBLEMS, dataset="toy", teacher="t")
    assert [r.id for r in every.records] == ["p1#0", "p1#1", "p1#8"] and every.surplus == 0
    assert [r.rejected for r in every.records] == [*first.negatives, first.negatives[0]]


def test_graders_that_need_a_worker_get_one() -> None:
    sampled = [record("p3", i, f"So it is $\\boxed{{{answer}}}$.") for i, answer in enumerate(("0.5", "2^{-1}", "2"))]
    verdicts = [score_completion(PROBLEMS[2], item.completion) for item in sampled]
    assert any(isinstance(verdict, Pending) for verdict in verdicts), "nothing needs a worker: the case tests nothing"
    with GradingPool(workers=1) as pool:
        kept = select_right(sampled, PROBLEMS, dataset="toy", teacher="t", pool=pool)
    assert [r.id for r in kept.records] == ["p3#0", "p3#1"] and kept.verdicts == {"right": 2, "wrong": 1}


@pytest.mark.parametrize(
    ("completion", "response"),
    [
        (Completion("<think>\na\n</think>\n4", "stop"), "<think>\na\n</think>\n4"),
        (Completion("a\n</think>\n4", "stop", opened_think=True), "<think>\na\n</think>\n4"),
        (Completion("4", "stop", reasoning="a"), "<think>\na\n</think>\n4"),
        (Completion("a. The answer is 4. ", "stop"), "a. The answer is 4."),
    ],
)
def test_a_response_has_its_think_block_whole(completion: Completion, response: str) -> None:
    assert response_of(with_answer(completion)) == response
    kept = select_right([Record("p1", 0, 0, "", completion)], PROBLEMS, dataset="d", teacher="t")
    assert kept.records[0].response == response


def test_completions_of_other_problems_are_refused() -> None:
    good = record("p1", 0, "4")
    with pytest.raises(DataError, match="'p9', which is not among"):
        select_right([replace(good, problem_id="p9")], PROBLEMS, dataset="d", teacher="t")
    with pytest.raises(DataError, match="two completions of attempt 0"):
        select_right([good, good], PROBLEMS, dataset="d", teacher="t")
    with pytest.raises(DataError, match="per_problem 0"):
        select_right([good], PROBLEMS, dataset="d", teacher="t", per_problem=0)
    assert select_right([], PROBLEMS, dataset="d", teacher="t").records == ()
