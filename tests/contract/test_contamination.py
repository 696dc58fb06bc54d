"""The contamination filter: on questions made here, and on labelled pairs of MATH-500 and published training sets.

Measured with the defaults (8-grams, a fifth of the smaller text), 218 training problems against the 500 questions: 58
pairs found, 55 of them labelled (precision 0.948); of the 144 pairs that the labellers found by shared n-grams 51
(recall 0.354; most of the others share a template and no more), of the 96 that they found by meaning 4 (0.042). Of the
500 questions themselves 497 are found (3 have fewer than 5 words), with every number replaced 303. Of 2,000 training
questions of GSM8K none is taken for one of MATH-500.
"""

from __future__ import annotations

import json
import random
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from backends.records.contamination import Hit, Questions, words
from backends.records.record import TrainRecord
from backends.records.synth import synth_records
from harness import catalog
from harness.datasets import MissingData
from harness.errors import DataError
from harness.suites import load_problems, load_suite
from harness.types import Message, Problem

BOXED = "Put your final answer in \\boxed{}."


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def record(name: str, *turns: str) -> TrainRecord:
    return TrainRecord(name, tuple(Message("user", turn) for turn in turns))


def questions(*texts: str, n: int = 8, threshold: float = 0.2) -> Questions:
    found = Questions(n, threshold)
    suite = [Problem(f"q{i}", (Message("user", f"{text}\n\n{BOXED}"),), "", "exact") for i, text in enumerate(texts)]
    filler = [
        f"filler question number {i} about the letter {chr(97 + i)} and nothing but that letter" for i in range(20)
    ]
    suite += [Problem(f"f{i}", (Message("user", f"{text}\n\n{BOXED}"),), "", "exact") for i, text in enumerate(filler)]
    found.add("suite", suite)
    return found


LONG = "A farmer has 17 sheep and 25 goats on a hill by the river, and all but 9 of the sheep run away one night."


def test_words_by_hand() -> None:
    assert words("What is $\\frac{1}{2}+x_1$,  ＡＢＣ’s naïve 数学?") == [
        "what", "is", "frac", "1", "2", "+", "x", "1", "abc", "s", "naïve", "数", "学",
    ]  # fmt: skip


def test_the_share_of_the_smaller_text_decides() -> None:
    found = questions("one two three four five six seven eight nine ten", n=3, threshold=0.5)  # 8 grams
    assert found.hits(record("r", "one two three four five six")) == [Hit("r", "suite", "q0", 1.0, 4)]
    assert found.hits(record("r", "x y z one two three four five six a b c d e f")) == [Hit("r", "suite", "q0", 0.5, 4)]
    assert found.hits(record("r", "x y z one two three four five a b c d e f g")) == []
    assert (
        found.hits(record("r", "one two three", "four five six seven eight")) != []
    )  # two turns, 1 + 3 of their 4 grams
    assert found.hits(record("r", "one two x two three x three four x")) == []


def test_copies_are_found_whatever_surrounds_them() -> None:
    found = questions(LONG, "What is 8 * 2 + 1?", "Sum?")
    assert found.unchecked == {"suite": 1}
    for text in (
        LONG,
        LONG.upper(),
        f"Solve this. {LONG} Think!",
        LONG.replace(" ", "\n"),
        f"Example: 1\n\n{LONG}\n\n{LONG}",
    ):
        assert [hit.problem for hit in found.hits(record("r", text))] == ["q0"], text
    for text in ("What is 8 * 2 + 1?", "Answer in a box. What is 8*2+1 ?", "Look:\nwhat is $8 * 2 + 1$\nand say why"):
        assert [(hit.problem, hit.overlap) for hit in found.hits(record("r", text))] == [("q1", 1.0)], text
    for text in (
        "What is 8 * 2 + 1 - 5?",
        "What is 8 - 2 + 1?",
        "So what is 8 * 2 + 1?",
        BOXED,
        f"Why?\n\n{BOXED}",
        "Sum?",
    ):
        assert found.hits(record("r", text)) == [], text


def test_wording_inside_the_questions_is_no_evidence() -> None:
    found = Questions()
    names = [f"{a}{b}" for a in "abcde" for b in "vwxyz"]
    asked = [f"Read the text below with care and then tell me {name} {name[::-1]} {name}{name}" for name in names]
    found.add("suite", [Problem(text, (Message("user", text),), "", "exact") for text in asked])
    assert found.hits(record("r", "Read the text below with care and then tell me a joke")) == []
    assert [hit.problem for hit in found.hits(record("r", asked[7]))] == [asked[7]]


def test_only_what_the_user_asks_is_compared() -> None:
    found = questions(LONG)
    asked = TrainRecord("r", (Message("system", LONG), Message("user", "Hello?")), response=LONG)
    assert found.hits(asked) == []


def test_the_filter_keeps_the_rest_in_order_and_says_what_it_left_out() -> None:
    data = [record("a", "Something else altogether"), record("b", LONG), record("c", "More of the same kind as that")]
    looked_for = questions(LONG)
    hits = [looked_for.hits(one) for one in data]
    assert [one.id for one, found in zip(data, hits, strict=True) if not found] == ["a", "c"]
    assert hits[1][0].suite == "suite" and looked_for.unchecked == {"suite": 0}


def test_settings_that_compare_nothing_are_refused() -> None:
    for n, threshold in ((1, 0.5), (8, 0.0), (8, 1.1), (8, float("nan"))):
        with pytest.raises(DataError, match="compare nothing"):
            Questions(n, threshold)
    found = questions(LONG)
    with pytest.raises(DataError, match="twice or has no problems"):
        found.add("suite", [Problem("x", (Message("user", LONG),), "", "exact")])
    with pytest.raises(DataError, match="twice or has no problems"):
        found.add("other", [])


# --- real data ------------------------------------------------------------------------------------------------------


@cache
def math500(folder: Path) -> tuple[list[Problem], Questions]:
    problems = load_problems(load_suite("math500"), folder, 0, None)
    found = Questions()
    found.add("math500", problems)
    return problems, found


def statement(problem: Problem) -> str:
    return problem.messages[-1].content.rpartition("\n\n")[0]


def test_precision_and_recall_on_labelled_pairs(shared_data: Path) -> None:
    problems, found = math500(shared_data)
    by_text = {statement(problem).strip(): problem.id for problem in problems}
    pairs = [row for row in rows(shared_data / "math500_contamination_pairs.jsonl") if row["train_problem"]]
    texts = list(dict.fromkeys(row["train_problem"] for row in pairs))
    labelled = {
        kind: {(row["train_problem"], by_text[row["bench_problem"].strip()]) for row in pairs if row["kind"] == kind}
        for kind in ("c_lex", "c_sem")
    }
    assert (len(texts), len(labelled["c_lex"]), len(labelled["c_sem"])) == (218, 144, 96)
    predicted = {(text, hit.problem) for text in texts for hit in found.hits(record("r", text))}
    right = predicted & (labelled["c_lex"] | labelled["c_sem"])
    assert (len(predicted), len(right)) == (58, 55)
    assert {kind: len(predicted & of_kind) for kind, of_kind in labelled.items()} == {"c_lex": 51, "c_sem": 4}


def test_copies_and_edits_of_real_questions(shared_data: Path) -> None:
    problems, found = math500(shared_data)
    copies = edits = strangers = 0
    for problem in problems:
        rng = random.Random(problem.id)
        text = statement(problem)
        hits = found.hits(record("r", text))
        copies += any(hit.problem == problem.id and hit.overlap == 1.0 for hit in hits)
        strangers += any(hit.problem != problem.id for hit in hits)
        edited = re.sub(r"\d+", lambda match, rng=rng: str(rng.randrange(2, 99)), text)  # type: ignore[misc]
        edits += any(hit.problem == problem.id for hit in found.hits(record("r", edited)))
    assert copies == 500 - found.unchecked["math500"] == 497
    assert strangers <= 10  # questions of the benchmark that resemble each other
    assert edits >= 290


def test_other_questions_raise_few_alarms(shared_data: Path) -> None:
    _, found = math500(shared_data)
    other = [record(str(i), row["question"]) for i, row in enumerate(rows(shared_data / "gsm8k_train_2k.jsonl"))]
    assert not any(found.hits(one) for one in other)


def test_every_suite_can_be_looked_for(shared_data: Path) -> None:
    found = Questions()
    total = 0
    for name in catalog.entries("suite"):
        try:
            problems = load_problems(load_suite(name), shared_data, 0, 400)
        except MissingData:
            continue
        found.add(name, problems)
        total += len(problems)
        # almost every question of almost every suite finds itself; the rest is counted
        missed = sum(
            not any(
                (hit.suite, hit.problem) == (name, problem.id) for hit in found.hits(TrainRecord("r", problem.messages))
            )
            for problem in problems
        )
        assert missed <= found.unchecked[name] <= 0.15 * len(problems), name
    assert len(found.unchecked) >= 18 and total > 5000


def test_template_worlds_look_alike_without_being_the_same() -> None:
    found = Questions()
    found.add("synth", load_problems(load_suite("synth"), None, 0, None))
    trained = synth_records(0, 100)
    flagged = sum(bool(found.hits(one)) for one in trained)
    assert 0 < flagged < 0.3 * len(trained)  # none is a copy: the splits are disjoint by construction
    assert not any(hit.overlap == 1.0 and hit.shared > 1 for r in trained for hit in found.hits(r))
