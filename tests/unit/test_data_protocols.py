"""Protocols: steps that are known are mined from solutions and merged; chains that follow them are kept."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest
from data_fakes import CUT, FAILED, RIGHT, nonzero, record, says

from backends.makers.asking import Query
from backends.makers.base import plain
from backends.makers.protocols import Protocols, follows, numbered, steps_of
from backends.records.inputs import noted
from backends.records.record import require
from backends.records.synth import synth_records
from harness.errors import DataError
from harness.types import Completion, Sampling

SUM = ("Add the numbers in the brackets.", "Multiply by what is behind them.", "Check the result.")
PRODUCT = ("Take out a common factor.", "Check the result.")
MARKED = RIGHT.replace("2 + 3", "[first] 2 + 3")
CHAIN = "Step 1: 2 + 3 = 5.\n**Step 2:** 5 * 4 = 20.\nStep 3: 20 is 4 times 5.\nThe answer is 20."


def told(*steps: str) -> str:
    return json.dumps({"output": list(steps)})


def teacher(query: Query) -> str:
    """Lists what the solutions it reads have in common, merges to the longer list, and solves by it."""
    said = query.problem.messages[-1].content
    if query.maker == "protocols:mine":
        return told(*(SUM[:2] if "[first]" in said else SUM[:1]), SUM[2])
    return told(*SUM) if query.maker == "protocols:merge" else CHAIN


def test_the_steps_are_recovered_from_what_several_solutions_show() -> None:
    """The known truth: no reply to the first question has to be the protocol, the merged one is."""
    seen: list[Query] = []
    records = [record(str(at), task="sums", response=MARKED if at else RIGHT) for at in range(4)]
    made = Protocols(records, "t", together=1).run(says(teacher, seen))
    assert made.facts["protocols"] == {"sums": list(SUM)}
    assert [query.maker for query in seen].count("protocols:merge") == 1 and len(seen) == 4 + 1 + 4
    assert nonzero(made.counts) == {"given": 4, "tasks": 1, "mine_asked": 4, "merge_asked": 1, "asked": 4, "kept": 4}
    first = made.records[0]
    assert first.prompt == records[0].prompt and first.gold == "20" and follows(first.response or "", 3)
    assert first.meta["protocol_by"] == "t" and len({one.meta["protocol"] for one in made.records}) == 1
    assert numbered(SUM) in seen[-1].problem.messages[-1].content
    require(made.records, ("response",), "sft")


def test_each_task_has_its_own_protocol_and_one_list_needs_no_merging() -> None:
    records = [record("a", task="sums", response=RIGHT), record("b", task="products", response=RIGHT)]
    end, two = "\nThe answer is 20.", "Step 1: 4 is a factor.\nStep 2: 4 * 5 = 20.\nThe answer is 20."

    def reply(query: Query) -> str:
        if query.maker == "protocols:mine":
            return told(*(SUM if query.problem.id == "a" else PRODUCT))
        return CHAIN if query.problem.id == "a" else two

    made = Protocols(records, "t").run(says(reply))
    assert made.facts["protocols"] == {"sums": list(SUM), "products": list(PRODUCT)}
    assert nonzero(made.counts) == {"given": 2, "tasks": 2, "mine_asked": 2, "asked": 2, "kept": 2}
    assert [one.response for one in made.records] == [
        "<think>\n" + text.replace(end, "\n</think>" + end) for text in (CHAIN, two)
    ]
    assert len({one.meta["protocol"] for one in made.records}) == 2


@pytest.mark.parametrize(
    ("maker", "reply", "reason"),
    [
        ("mine", FAILED, "mine_teacher_error"),
        ("mine", CUT, "mine_cut"),
        ("mine", "Step 1: add", "mine_malformed"),
        ("mine", told("only one"), "mine_malformed"),
        ("mine", told("the same", "the same"), "mine_malformed"),
        ("mine", told(*(f"step {at}" for at in range(9))), "mine_malformed"),
        ("mine", told("x" * 301, "y"), "mine_malformed"),
        ("merge", "no", "merge_malformed"),
        ("merge", FAILED, "merge_teacher_error"),
        ("follow", FAILED, "teacher_error"),
        ("follow", CUT, "cut"),
        ("follow", CHAIN.replace("is 20.", "is 24."), "wrong"),
        ("follow", "2 + 3 = 5. 5 * 4 = 20. The answer is 20.", "off_protocol"),
        ("follow", CHAIN.replace("Step 3", "Step 4"), "off_protocol"),
    ],
)
def test_why_nothing_is_kept(maker: str, reply: str | Completion, reason: str) -> None:
    def ask(query: Query) -> str | Completion:
        return reply if query.maker == f"protocols:{maker}" else teacher(query)

    records = [record(str(at), response=MARKED if at else RIGHT) for at in range(2)]
    made = Protocols(records, "t", together=1).run(says(ask))
    assert not made.records and made.counts[reason] == (1 if maker == "merge" else 2)
    assert made.counts["no_protocol"] == (0 if maker == "follow" else 2)


def test_what_it_refuses() -> None:
    with pytest.raises(DataError, match="response"):
        Protocols([record("a")], "t")
    with pytest.raises(DataError, match="no 'gold' or no grader"):
        Protocols([record("a", gold=None, response=RIGHT)], "t")
    for bad in ({"sample": 0}, {"together": 0}, {"most": 1}):
        with pytest.raises(DataError, match="at least"):
            Protocols([record("a", response=RIGHT)], "t", **bad)


MARKS = ("Step {}:", "**Step {}:**", "### Step {}.", "step {})", "> Step {} :", "_Step {}_:")


def test_generated_chains_follow_exactly_if_every_step_is_there_once_in_order() -> None:
    """Rule: a line begins "Step k" with a mark behind the number; the numbers are 1 to n in order."""
    draw = random.Random(12)
    for _ in range(400):
        steps = draw.randint(2, 8)
        lines = [f"{draw.choice(MARKS).format(at + 1)} as in step {draw.randint(1, 9)} we add." for at in range(steps)]
        assert follows("\n".join(lines), steps)
        at, wrong = draw.randrange(steps), list(lines)
        match draw.choice(("lost", "twice", "swapped", "inside", "more")):
            case "lost":
                del wrong[at]
            case "twice":
                wrong.insert(at, wrong[at])
            case "swapped":
                wrong[at], wrong[at - 1] = wrong[at - 1], wrong[at]
            case "inside":
                wrong[at] = "So " + wrong[at]
            case "more":
                wrong.append(f"Step {steps + 1}: more")
        assert not follows("\n".join(wrong), steps)
    assert steps_of(f"Here: {told(*SUM)}", 3) == SUM and steps_of(told(*SUM), 2) is None and steps_of("", 8) is None


def test_questions_of_the_generated_world_are_asked_in_its_words_and_the_sample_is_the_seeds() -> None:
    records = [noted(one, grader="integer") for one in synth_records(0, 10, (1, 2), style="plain")]
    maker = Protocols(records, "t", sample=6, together=4)
    assert [len(group) for group in maker._groups()] == [4, 2]
    assert [query.request("").id for query in maker.first()] == [query.request("").id for query in maker.first()]
    assert maker._groups() != replace(maker, draw=Sampling(seed=1))._groups()
    said = maker.first()[0].problem.messages[-1].content
    assert all(one.prompt[-1].content in said and plain(one.response or "") in said for one in maker._groups()[0])
