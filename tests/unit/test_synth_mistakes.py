"""Every kind of mistake is where it says it is and of the kind it says; the student's own ones become negatives."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from data_fakes import says

from backends.makers.asking import Query
from backends.makers.negatives import OwnMistakes
from backends.records.source import load_records, read_records
from backends.records.synth import synth_records
from backends.records.verify import grade_texts
from harness.cli.main import cli
from harness.errors import ConfigError, DataError
from harness.synth import (
    ALL_ERROR_KINDS,
    ERROR_KINDS,
    LEVELS,
    ErrorKind,
    SynthProblem,
    generate,
    render,
    verify_chain,
    wrong_chain,
)
from harness.synth.bugs import carry, place, table
from harness.types import Completion


@pytest.mark.parametrize("kind", ALL_ERROR_KINDS)
def test_the_mistake_is_the_only_one_and_where_the_label_says(kind: ErrorKind) -> None:
    made = 0
    for level in LEVELS:
        for problem in generate(5, level, 30):
            try:
                chain = wrong_chain(problem, 1, "plain", (kind,))
            except DataError:
                assert kind != "digit_slip"
                continue
            made += 1
            assert list(verify_chain(problem, chain)) == [chain.error_step] and chain.error_kind == kind
            assert chain.answer != problem.answer
            assert named(problem, kind, chain.error_step or 0, chain.steps[chain.error_step or 0].result)
    assert made > 40


def named(problem: SynthProblem, kind: ErrorKind, index: int, result: int) -> bool:
    """Whether a result is what that kind of mistake makes, where the kind alone decides it."""
    bug = {"carry": carry, "table": table, "place": place}.get(kind)
    if bug is None:
        return True
    sub = problem.subproblems[index]
    left, right = (side if isinstance(side, int) else problem.sub(side).answer for side in (sub.left, sub.right))
    return result in bug(sub.op, left, right, sub.answer) and result != sub.answer


@pytest.mark.parametrize(
    ("found", "wrong"),
    [
        (carry("+", 47, 38, 85), [75]),
        (carry("+", 68, 57, 125), [115]),
        (carry("+", 20, 30, 50), []),
        (carry("-", 52, 38, 14), [26]),
        (carry("*", 47, 8, 376), [326]),
        (carry("*", 47, 18, 846), []),
        (table("*", 7, 8, 56), [48, 49, 63, 64]),
        (table("/", 48, 6, 8), [7, 9]),
        (place("*", 20, 30, 600), [60, 6000]),
        (place("/", 90, 30, 3), [30]),
        (place("+", 20, 30, 50), []),
    ],
)
def test_bugs_by_hand(found: list[int], wrong: list[int]) -> None:
    assert found == wrong


def test_records_have_the_kinds_that_are_asked_for_and_the_usual_four_otherwise() -> None:
    records = load_records("synth:levels=2+3,per_level=60,errors=all,negatives=3")
    kinds = Counter(record.meta["error_kind"] for record in records)
    assert set(kinds) == set(ALL_ERROR_KINDS)
    for record in records:
        assert len(record.negatives) == len(record.meta["negative_kinds"]) == 3  # type: ignore[arg-type]
        assert record.rejected not in record.negatives and len(set(record.negatives)) == 3
    assert set(grade_texts([(record, text) for record in records for text in record.negatives])) == {"wrong"}
    only = load_records("synth:levels=3,per_level=20,errors=digit_slip+table")
    assert {record.meta["error_kind"] for record in only} <= {"digit_slip", "table"}
    usual = load_records("synth:levels=2+3,per_level=60")
    assert usual == synth_records(0, 60, (2, 3)) and {one.meta["error_kind"] for one in usual} == set(ERROR_KINDS)
    with pytest.raises(ConfigError, match="errors are all, or joined"):
        load_records("synth:errors=typo")
    with pytest.raises(DataError, match="add digit_slip"):
        load_records("synth:levels=1,per_level=50,errors=carry")
    with pytest.raises(DataError, match="short or plain"):
        load_records("synth:levels=1,per_level=2,negatives=1,style=long")


def test_the_students_own_mistakes_become_the_negatives() -> None:
    problems = generate(0, 2, 6)
    records = synth_records(0, 6, (2,), negatives=1)
    own = {problem.id: render(wrong_chain(problem, 3, "short", ("digit_slip",)), boxed=False) for problem in problems}

    def student(query: Query) -> str | Completion:
        number = [record.id for record in records].index(query.problem.id)
        if number == 0 or query.attempt == 0:
            return records[number].response or ""
        if number == 1:
            return Completion("<think>\nI think", "length")
        return own[query.problem.id] if query.attempt < 3 else "The answer is 0."

    made = OwnMistakes(records, "s", n=4).run(says(student))
    assert [record.id for record in made.records] == [record.id for record in records[2:]]
    for record, source in zip(made.records, records[2:], strict=True):
        assert record.negatives == (own[record.id], "The answer is 0.") and record.rejected == own[record.id]
        assert record.response == source.response and record.meta["error_kind"] == "own"
        assert record.meta["rejected_by"] == "s" and "error_span" not in record.meta
    assert made.counts["never_wrong"] == 2 and made.counts["kept"] == 4
    assert (made.counts["right"], made.counts["wrong"], made.counts["truncated"]) == (9, 12, 3)
    assert made.counts["duplicates"] == 4
    with pytest.raises(DataError, match="response"):
        OwnMistakes([record.__class__(record.id, record.prompt, gold="1", task="math")], "s")


def test_from_the_world_to_pairs_that_a_method_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for words in (
        "data synth --levels 1,2 --per-level 12 -o right.jsonl",
        "data negatives right.jsonl --student mock:gold --student-arg accuracy=0.5 --n 3 -o own.jsonl",
    ):
        cli.main(words.split(), standalone_mode=False)
    records = read_records(Path("own.jsonl"))
    report = json.loads(Path("own.jsonl.report.json").read_text())
    assert 0 < len(records) == report["counts"]["kept"] < 24
    assert grade_texts([(one, one.rejected or "") for one in records]) == ["wrong"] * len(records)
    assert grade_texts([(one, one.response or "") for one in records]) == ["right"] * len(records)
