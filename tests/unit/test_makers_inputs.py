"""The switches of distilling a 405B model: `inputs` (real or synthetic) and `traces --target` (chain or label)."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from data_fakes import ASKED, CUT, FAILED, nonzero, record, says

from backends.makers.asking import Query
from backends.makers.inputs import SyntheticInputs
from backends.makers.traces import Traces, answer_alone
from backends.records.record import TrainRecord, render_response
from backends.records.source import read_records
from backends.records.verify import grade_texts
from harness.cli.main import cli
from harness.errors import DataError
from harness.types import Completion, Message


def seeds(count: int) -> list[TrainRecord]:
    return [
        TrainRecord(f"s{n}", (Message("user", f"What is the capital of country number {n}?"),)) for n in range(count)
    ]


def written(replies: Sequence[str | Completion], given: Sequence[TrainRecord], **more: Any) -> tuple[Any, list[Query]]:
    seen: list[Query] = []
    maker = SyntheticInputs(given, "t", number=len(replies), **more)
    return maker.run(says(lambda query: replies[query.attempt], seen)), seen


def test_new_inputs_are_kept_once_and_everything_else_is_counted() -> None:
    fresh = [f"Which river flows through town {n} of the long valley beyond the hills?" for n in "ab"]
    replies: list[str | Completion] = [
        f"New input: {fresh[0]}",
        f"**New input:**\n{fresh[0].upper()}",
        f"New input: {fresh[0]} Yes",
        "New input: what is the CAPITAL of country number 3",
        "New input:\n \n",
        fresh[1],
        FAILED,
        CUT,
        f"<think>\nNew input: none\n</think>\n> New input: {fresh[1]}",
    ]
    made, seen = written(replies, seeds(5), near=0.7)
    assert [one.prompt[-1].content for one in made.records] == [fresh[0], fresh[1]]
    assert nonzero(made.counts) == {
        **{"given": 5, "asked": 9, "teacher_error": 1, "cut": 1, "no_input": 2, "repeated": 2, "near_duplicate": 1},
        "kept": 2,
    }
    first = made.records[0]
    assert first.gold is None and first.id.startswith("input-") and len(first.meta["written_after"]) == 4  # type: ignore[arg-type]
    for query in seen:
        assert sum(f"country number {n}?" in query.problem.messages[-1].content for n in range(5)) == 4
    assert len({query.problem.messages for query in seen}) > 5


def test_examples_are_those_of_the_seed_and_as_many_as_there_are() -> None:
    given = seeds(3)
    one, again, other = (
        [query.problem.messages for query in SyntheticInputs(given, number=20, draw=draw).first()]
        for draw in (SyntheticInputs.draw, SyntheticInputs.draw, SyntheticInputs.draw.__class__(seed=1))
    )
    assert one == again != other and len(SyntheticInputs(given).first()) == 3
    with pytest.raises(DataError, match="turn of the user"):
        SyntheticInputs([TrainRecord("a", (*ASKED, Message("assistant", "Well.")))])


def test_the_label_of_a_planted_answer_is_all_that_is_left() -> None:
    """Chains in every form that a response has, with the answer behind them: what is left is right, and is short."""
    draw, checked = random.Random(4), 0
    words = [*"sabr", "we", "add", "both", "then", "it", "3", "+", "4", "=", "7"]
    for number in range(200):
        chain = ". ".join(" ".join(draw.sample(words, 6)) for _ in range(draw.randint(1, 6))) + "."
        gold = str(draw.randint(-50, 999))
        answer = draw.choice([f"The answer is {gold}.", rf"\boxed{{{gold}}}", f"Therefore, the answer is {gold}"])
        text = draw.choice(
            [
                *(f"{chain} {answer}", f"{chain}\n{answer}", answer, gold, render_response(chain, answer)),
                *(render_response(chain, f"{chain}\n{answer}"), f"My thought: {chain}\nMy answer: {gold}"),
            ]
        )
        left = answer_alone(text)
        assert chain not in left and len(left.split()) < 7
        assert grade_texts([(record(f"r{number}", gold=gold, meta={"grader": "math"}), left)]) == ["right"], text
        checked += chain in text
    assert checked > 100
    assert answer_alone("First this. Then that. It is 4 or 5.") == "" == answer_alone("<think>\nIt never ends.")


def test_labels_replace_chains_and_equal_ones_are_one() -> None:
    replies = ["2 + 3 = 5. The answer is 20.", "5 * 4 = 20. The answer is 20.", "4 * 6 = 24. The answer is 24.", "20"]
    made = Traces([record("a")], "t", n=4, target="answer").run(says(lambda query: replies[query.attempt]))
    assert [(one.response, one.think, one.rejected) for one in made.records] == [
        ("The answer is 20.", None, "The answer is 24."),
        ("20", None, "The answer is 24."),
    ]
    assert made.counts["duplicates"] == 1 and "no_label" not in made.counts
    vague = Traces([record("a", gold=None, meta={})], "t", target="answer").run(says(lambda _: "One. Two. Three."))
    assert not vague.records and vague.counts["no_label"] == 1


def test_inputs_are_labelled_by_traces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the command line, a second call asks nobody; the mock writes no input, which is told in one line."""
    monkeypatch.chdir(tmp_path)
    data = "data traces --teacher mock:gold --quiet"
    more = data.replace("traces", "inputs t.jsonl")
    cli.main([*data.split(), "--suite", "synth_easy", "--per-level", "5", "-o", "t.jsonl"], standalone_mode=False)
    with pytest.raises(DataError, match=r"no new input was written.*10 no input") as refused:
        cli.main([*more.split(), "-o", "new.jsonl"], standalone_mode=False)
    assert refused.value.exit_code == 2 and "\n" not in str(refused.value)
    labels = ["--prompts", "t.jsonl", "--target", "answer", "-o", "labels.jsonl"]
    cli.main([*data.split(), *labels], standalone_mode=False)
    assert all(one.think is None and one.response for one in read_records(Path("labels.jsonl")))
