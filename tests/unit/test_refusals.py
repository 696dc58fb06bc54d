"""Refusals: told from generated forms, a third of them held back; a status of models and of judges."""

from __future__ import annotations

import asyncio

import pytest

from harness.grading import score_completion
from harness.models.reply_cache import Cache
from harness.refusals import refuses
from harness.run.result import count_warnings
from harness.types import Completion, Problem, Score
from judges.ask import REFUSED, judge_tasks
from judges.flags import flag_answers
from judges.panel import panel_fold
from judges.pointwise import RubricJudging
from judges.prompts.rubric import load_rubric
from judges.types import Judged
from tests.refusal_forms import NO_REFUSALS, held_back, refusals
from tests.unit.judging_fakes import ScriptedJudge, make_tasks, reply


@pytest.mark.parametrize(("held", "missed"), [(False, 0), (True, 3)])
def test_refusals_are_told_in_every_form(held: bool, missed: int) -> None:
    forms = [text for form, text in refusals() if held_back(form) == held]
    assert len(forms) >= 140 and sum(not refuses(text) for text in forms) <= missed
    assert not [text for text in NO_REFUSALS if held_back(text) == held and refuses(text)]


def test_only_the_beginning_counts_and_takes_no_long_time() -> None:
    assert not refuses("The sum is even. It is odd. It is 7. So be it. I cannot help with that.")
    assert not refuses("")
    for text in ("I cannot " * 100_000, "as an ai " * 100_000, "request " * 100_000):
        refuses(text)


def scored(text: str) -> Score:
    problem = Problem("p", (), "7", "integer")
    found = score_completion(problem, Completion(text, "stop", answer_text=text))
    assert isinstance(found, Score)
    return found


def test_a_model_that_refuses_is_counted_apart_and_wrong() -> None:
    refused, silent, answered = (
        scored(text)
        for text in (
            "I'm sorry, but I can't help with that.",
            "I do not know.",
            "I'm sorry, I cannot help you further. \\boxed{7}",
        )
    )
    assert (refused.status, refused.value) == ("refused", 0.0)
    assert (silent.status, silent.value) == ("no_answer", 0.0)
    assert (answered.status, answered.value) == ("scored", 1.0), "an answer that apologises is an answer"


def test_many_refusals_are_said_beside_a_result() -> None:
    assert count_warnings({"scored": 95, "refused": 5}, 100) == ["5 of 100 samples refuse to answer: counted as wrong"]
    assert count_warnings({"scored": 99, "refused": 1}, 100) == []
    flags = flag_answers(["I can't help with that."] * 2 + ["x"] * 3, ["q"] * 5)
    assert flags == ["2 of 5 answers are refusals"]


def test_a_judge_that_refuses_has_no_value_and_is_no_reader_s_mistake() -> None:
    judging = RubricJudging(load_rubric("rating_10"))
    (task,) = make_tasks(1)
    statuses = {}
    for name, text in (("refused", "I will not judge this answer."), ("unscored", "Seven, I think.")):
        judge = ScriptedJudge(lambda request, text=text: reply(text))  # type: ignore[misc]
        with Cache(None) as cache:
            ((judgment,),) = asyncio.run(judge_tasks(judge, judging, [task], cache))
        assert judgment.why.startswith(REFUSED) == (name == "refused") and judgment.verdict is None
        assert REFUSED not in judge.seen[-1].messages[-1].content, "the second question is the one of ever"
        folded = judging.fold(task, [judgment])
        statuses[name] = (folded.status, folded.value)
    assert statuses == {"refused": ("refused", None), "unscored": ("unscored", None)}


def test_a_panel_with_one_refusal_says_so() -> None:
    fine, lost = Judged("p", 0, 0.5, "scored"), Judged("p", 0, None, "refused", why="no")
    (found,) = panel_fold([[fine], [lost]])
    assert (found.status, found.value) == ("refused", None)
