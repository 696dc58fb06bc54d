"""`harness data missing`: numbers are taken out only where the solution proves that they are needed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from data_fakes import says
from system_fakes import command

from backends.makers.missing import MissingPremises
from backends.records.record import TrainRecord
from harness.synth import build, generate, render
from harness.types import Message

SHOP = "Ben buys 3 boxes of 12 pens and gives away 5 pens. How many pens are left?"


def record(question: str, response: str, gold: str, name: str = "a") -> TrainRecord:
    return TrainRecord(name, (Message("user", question),), response=response, gold=gold, meta={"grader": "integer"})


def made(*records: TrainRecord) -> tuple[list[TrainRecord], dict[str, int]]:
    found = MissingPremises(records=records).run(says(lambda query: ""))
    return list(found.records), dict(found.counts)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "solution", ["3 * 12 = 36. 36 - 5 = 31.", "He has <<3*12=36>>36 pens, <<36-5=31>>31 are left."]
)
def test_a_needed_number_is_taken_out_and_the_proof_is_told(solution: str) -> None:
    (whole, lacking), counts = made(record(SHOP, solution, "31"))
    assert counts == {"given": 1, "no_equations": 0, "not_shown": 0, "kept": 1}
    meta = lacking.meta
    worlds = {3: lambda n: n * 12 - 5, 12: lambda n: 3 * n - 5, 5: lambda n: 36 - n}
    taken, other = int(str(meta["taken_out"])), int(str(meta["could_be"]))
    assert worlds[taken](taken) == 31 != worlds[taken](other) == meta["answer_then"]
    assert lacking.prompt[-1].content == SHOP.replace(f" {taken} ", " some ") and whole.prompt[-1].content == SHOP
    assert (lacking.gold, meta["grader"], meta["twin"], lacking.response) == (
        "cannot be determined",
        "abstain",
        "a",
        None,
    )


@pytest.mark.parametrize(
    ("question", "solution", "gold", "why"),
    [
        (SHOP, "There are 31.", "31", "no_equations"),
        (SHOP, "3 * 12 = 35. 35 - 5 = 30.", "30", "no_equations"),
        (SHOP, "3 * 12 = 36. 36 - 5 = 31.", "30", "no_equations"),
        (SHOP.replace("12", "36"), "3 * 12 = 36. 36 - 5 = 31.", "31", "not_shown"),  # told, and a result
        ("Of 4 bags Ben sells 4 bags.", "4 + 4 = 8.", "8", "not_shown"),  # told twice
        ("The bus has 9 seats. How much is two and two?", "2 + 2 = 4.", "4", "not_shown"),  # not needed
    ],
)
def test_what_proves_nothing_is_left_out_and_counted(question: str, solution: str, gold: str, why: str) -> None:
    records, counts = made(record(question, solution, gold))
    assert not records and counts[why] == 1


def test_generated_problems_are_proved_and_never_wrongly() -> None:
    """Of the generated world the graph is known: what the maker shows by equations holds in it."""
    problems = {one.id: one for level in (2, 3, 4) for one in generate(4, level, 40, family="word")}  # type: ignore[arg-type]
    records, counts = made(
        *(
            record(one.question, render(build(one, "plain"), "plain"), str(one.answer), key)
            for key, one in problems.items()
        )
    )
    assert counts["kept"] > 60
    for lacking in records[1::2]:
        problem, taken = problems[str(lacking.meta["twin"])], lacking.meta["taken_out"]
        found: dict[str, float] = {}
        for sub in problem.subproblems:
            left, right = (found[one] if isinstance(one, str) else lacking.meta["could_be"] if one == taken else one
                           for one in (sub.left, sub.right))  # fmt: skip
            found[sub.id] = {"+": left + right, "-": left - right, "*": left * right, "/": left / right}[sub.op]  # type: ignore
        assert found[problem.subproblems[-1].id] == lacking.meta["answer_then"] != problem.answer


def test_what_it_makes_is_a_suite_that_the_analysis_reads(tmp_path: Path) -> None:
    rows = [{"id": f"q{n}", "prompt": SHOP.replace("12", str(n)), "gold": str(3 * n - 5),
             "response": f"3 * {n} = {3 * n}. {3 * n} - 5 = {3 * n - 5}."} for n in range(12, 20)]  # fmt: skip
    (tmp_path / "q.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    out = tmp_path / "missing.jsonl"
    ran = command("data", "missing", tmp_path / "q.jsonl", "--grader", "integer", "-o", out)
    assert ran.exit_code == 0, ran.stderr
    ran = command(
        "run", "--suite", f"questions:integer:{out}", "--model", "mock:gold", "--results-dir", tmp_path, "--quiet"
    )
    assert ran.exit_code == 0, ran.stderr
    (run,) = (path.name for path in (tmp_path / "runs").iterdir())
    ran = command("analyze", "missing_premise", run, "--results-dir", tmp_path, "--json")
    assert ran.exit_code == 0, ran.stderr
    (row,) = json.loads(ran.stdout)["rows"]
    assert row["pairs"] >= 6 and row["abstains"]["value"] == row["whole_right"]["value"] == 1
