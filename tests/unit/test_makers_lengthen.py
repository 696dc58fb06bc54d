"""`lengthen`: every pass goes on from the last one that was right and longer; what is left out is counted by pass."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from data_fakes import CUT, FAILED, nonzero, record, says

from backends.makers.asking import Query
from backends.makers.lengthen import PASSES, Lengthen
from backends.records.source import read_records
from harness.cli.main import cli
from harness.errors import DataError, HarnessError
from harness.types import Completion

SHORT = "2 + 3 = 5 and so it is 20. The answer is 20."


def edited(words: int, answer: int = 20) -> str:
    return f"{'so ' * words}it goes. The answer is {answer}."


def test_each_pass_goes_on_from_what_the_last_one_left() -> None:
    """Planted: which passes are sound. The result is the last sound one, and each was shown the one before."""
    draw, seen = random.Random(6), list[Query]()
    given = [record(f"r{n}", response=SHORT, rejected="24") for n in range(60)]
    fates = {(one.id, at): draw.choice(["sound", "wrong", "short", "failed"]) for one in given for at in range(3)}

    def editor(query: Query) -> str | Completion:
        at = int(query.maker.split(":")[1])
        replies = {
            "sound": edited(10 * at + 20),
            "wrong": edited(90, 24),
            "short": "The answer is 20.",
            "failed": FAILED,
        }
        return replies[fates[query.problem.id, at]]

    made = Lengthen(given, "t").run(says(editor, seen))
    sound = {one.id: [at for at in range(3) if fates[one.id, at] == "sound"] for one in given}
    assert {one.id: one.response for one in made.records} == {
        name: edited(10 * passes[-1] + 20) for name, passes in sound.items() if passes
    }
    assert all(one.meta["passes"] == len(sound[one.id]) and one.rejected is None for one in made.records)
    assert made.counts["never_edited"] == sum(not passes for passes in sound.values())
    assert sum(made.counts[f"{name}_answer_wrong"] for name in PASSES) == [*fates.values()].count("wrong")
    assert len(seen) == 180
    for query in seen:
        at = int(query.maker.split(":")[1])
        earlier = [one for one in sound[query.problem.id] if one < at]
        assert (edited(10 * earlier[-1] + 20) if earlier else SHORT) in query.problem.messages[-1].content


def test_what_is_left_out_is_counted() -> None:
    replies: dict[str, Any] = {
        "cut": CUT,
        "none": "It ends in nothing at all and goes on like that for a while, as one does.",
        "bare": f"The answer is 20. {'and so on ' * 20}",
        "little": f"Now {SHORT}",
        "fine": edited(30),
    }
    given = [record(name, response=SHORT) for name in replies]
    made = Lengthen(given, "t", only=("checked",)).run(says(lambda query: replies[query.problem.id]))
    assert [one.id for one in made.records] == ["fine"] and made.records[0].meta["words_before"] == 14
    counts = nonzero(made.counts)
    assert counts.pop("words_after") > counts.pop("words_before") == 14
    assert counts == {
        **{"given": 5, "checked_cut": 1, "checked_no_answer": 1, "checked_no_chain": 1, "never_edited": 3},
        **{"too_short": 1, "kept": 1},
    }
    for more, said in (({"only": ("longer",)}, "spelled, checked, explored"), ({"at_least": 0.5}, "at least 1")):
        with pytest.raises(DataError, match=said):
            Lengthen(given, "t", **more)  # type: ignore[arg-type]
    with pytest.raises(HarnessError, match="response"):
        Lengthen([record("a")], "t")


def test_people_s_solutions_from_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """GSM8K's form: the worked answer is the response. A mock cannot edit, which is told in one line."""
    monkeypatch.chdir(tmp_path)
    row = '{"question": "How much is 2 + 3, times 4?", "answer": "2 + 3 = 5. Then 5 * 4 = 20 in all.\\n#### 20"}\n'
    Path("people.jsonl").write_text(row)
    with pytest.raises(DataError, match=r"no solution was lengthened.*1 spelled") as refused:
        words = "data lengthen people.jsonl --teacher mock:gold --grader integer --quiet -o edited.jsonl"
        cli.main(words.split(), standalone_mode=False)
    assert refused.value.exit_code == 2 and "\n" not in str(refused.value)
    cli.main(["data", "clean", "people.jsonl", "-o", "whole.jsonl"], standalone_mode=False)
    assert "5 * 4 = 20" in str(read_records(Path("whole.jsonl"))[0].response)
