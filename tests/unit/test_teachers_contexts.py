"""What self-teachers are told, by which method, and what that leaks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from objective_steps import Student, record

from backends.base import Step, TrainMethod, load_method
from backends.methods._on_policy import OnPolicyObjective
from backends.methods.sd_zero import traces
from backends.records.segments import Encoder
from backends.rollouts.alarms import Alarms
from backends.rollouts.asides import before
from backends.rollouts.monitor import text_numbers
from backends.rollouts.planning import PHRASE
from backends.rollouts.types import Rollout, RolloutGroup, RolloutMark
from backends.teachers.contexts import CLEAN, DEMONSTRATION, SOLUTION, Revision, Sibling, solution_of, template
from harness.errors import DataError
from harness.types import Finish, Message

METHODS = ("opsd", "sdft", "sdpo", "cord", "sd_zero")


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Student:
    return Student(tmp_path_factory.mktemp("student"))


def rollout(text: str, sample: int = 0) -> Rollout:
    zeros = np.zeros(1, np.float32)
    ids_T = zeros.astype(np.int32)
    return Rollout("r0", 0, sample, 0, ids_T, ids_T, zeros, text, "stop", 0)


def group(*values: float | None, texts: Mapping[int, str] | None = None, **feedback: str) -> RolloutGroup:
    rollouts = tuple(rollout((texts or {}).get(n, f"<think>hm</think>answer {n}"), n) for n in range(len(values)))
    marks = tuple(RolloutMark(value, feedback=feedback.get(f"f{n}", "")) for n, value in enumerate(values))
    return RolloutGroup(record(privileged="SECRET"), rollouts, marks)


def said(context: Any, of: RolloutGroup, number: int) -> str | None:
    told = context(of, number)
    return None if told is None else "\n".join(turn.content for turn in told.prompt)


def test_a_record_s_own_privilege_is_told_behind_the_prompt() -> None:
    one = RolloutGroup(record(privileged="SECRET", response="an expert", meta={"clean": "plain?"}), ())
    for context, words in ((SOLUTION, "SECRET"), (DEMONSTRATION, "an expert")):
        text = said(context, one, 0)
        assert text is not None and text.startswith("q0?\n") and words in text
    assert said(CLEAN, one, 0) == "plain?"
    earlier = (Message("system", "be brief"), Message("user", "q?"))
    told = SOLUTION(RolloutGroup(record(privileged="S", prompt=earlier), ()), 0)
    assert told is not None and told.prompt[0] == earlier[0] and len(told.prompt) == 2


def test_no_privilege_is_no_signal() -> None:
    for context in (SOLUTION, DEMONSTRATION, CLEAN, Sibling()):
        assert context(RolloutGroup(record(privileged=" ", meta={"clean": 3}), ()), 0) is None
    assert solution_of(record(privileged=" ", response="r")) == "r"


def test_a_sibling_is_another_ones_success_without_its_thoughts() -> None:
    of = group(0.0, 1.0, 1.0, None)
    assert "answer 1" in (said(Sibling(), of, 0) or "") and "hm" not in (said(Sibling(), of, 0) or "")
    assert "answer 2" in (said(Sibling(), of, 1) or "")  # never its own
    assert "answer 1" in (said(Sibling(), of, 3) or "")
    assert said(Sibling(), group(1.0, 0.0), 0) is None  # nobody else was right
    assert said(Sibling(), group(0.0, 0.0), 0) is None
    assert said(Sibling(success=0.3), group(0.0, 0.4), 0) is not None


def test_feedback_is_told_of_what_failed() -> None:
    of = group(0.0, 0.0, f0="line 3 is wrong", f1=" ")
    assert "line 3 is wrong" in (said(Sibling(), of, 0) or "")
    assert said(Sibling(), of, 1) is None
    both = said(Sibling(), group(0.0, 1.0, f0="line 3 is wrong", f1="well done"), 0) or ""
    assert "answer 1" in both and "line 3 is wrong" in both
    assert said(Sibling(), group(0.0, 1.0, f1="well done"), 1) is None


def test_a_revision_goes_on_behind_the_attempt_as_it_was_drawn(student: Student) -> None:
    ids_T = np.array([65, 66, 256], np.int32)
    marks = (RolloutMark(1.0, correct=True), RolloutMark(0.0, correct=False), RolloutMark(None))
    ends: tuple[Finish, ...] = ("stop", "length", "stop")
    drawn = tuple(replace(rollout("", n), tokens_T=ids_T, finish=finish) for n, finish in enumerate(ends))
    of = RolloutGroup(record(), drawn, marks)
    told = [Revision()(of, number) for number in range(3)]
    assert [one.begun_T.tolist() for one in told if one.begun_T is not None] == [[65, 66], [65, 66, 256], [65, 66]]
    assert told[0].begun != told[1].begun == told[2].begun
    encoder = Encoder(student.tokenizer, 512)
    text = student.tokenizer.decode(before(encoder, record(), told[0]))
    assert text.startswith("u:q0?\na:bc\n\nThat holds.") and text.endswith("clearly.\n\n")
    assert all(len(before(encoder, record(), one)) < 8 + 3 + PHRASE for one in told)


def test_right_revisions_are_traces_and_attempts_are_not() -> None:
    def one(first: float | None, *revisions: float | None) -> RolloutGroup:
        values = (first, *revisions)
        prompts = [np.zeros(3, np.int32)] + [np.zeros(8, np.int32)] * len(revisions)
        drawn = tuple(replace(rollout("", n), prompt_T=prompt_T) for n, prompt_T in enumerate(prompts))
        marks = tuple(RolloutMark(value, correct=None if value is None else value > 0) for value in values)
        return RolloutGroup(record(), drawn, marks)

    found = traces([one(1.0, 1.0, 0.0, None), one(0.0, 1.0), one(None, 1.0)], Step(0, 1))
    assert [[credit.keep for credit in row] for row in found] == [
        [False, True, False, False], [False, True], [False, False]
    ]  # fmt: skip
    assert found[0][1].learnt == 5


def test_prompts_have_an_id_of_their_words() -> None:
    assert SOLUTION.id == template("solution").id and "#" in SOLUTION.id
    assert Sibling().id.count("#") == 3 and CLEAN.id == "clean"
    assert len({SOLUTION.id, DEMONSTRATION.id, Sibling().id, CLEAN.id}) == 4


def test_records_without_it_are_refused_and_those_without_room_left_out(student: Student) -> None:
    examples = SOLUTION.prompts("opsd")
    encoder = Encoder(student.tokenizer, 460)
    with pytest.raises(DataError, match=r"opsd tells its teacher a solution .* 1 of 2 records lack, the first 'r1'"):
        examples(encoder, [record(0, response="x"), record(1)])
    found = examples(encoder, [record(0, response="x"), record(1, response="x" * 500)])
    assert [example.id for example in found.examples] == ["r0"] and found.left_out["too_long"] == ("r1",)
    with pytest.raises(DataError, match="no record leaves room behind that"):
        examples(encoder, [record(1, response="x" * 500)])


def test_what_a_method_tells_and_whom() -> None:
    for name, context, which in (
        ("opsd", SOLUTION, "initial"), ("sdft", DEMONSTRATION, "initial"), ("sdpo", Sibling(), "ema"),
        ("cord", CLEAN, "initial"), ("sd_zero", Revision(), "initial"),
    ):  # fmt: skip
        found = load_method(name)
        assert isinstance(found, TrainMethod)
        *_, stage = found.stages(found.options())
        assert stage.rolling is not None and stage.rolling.context == context
        objective = stage.objective()
        assert isinstance(objective, OnPolicyObjective) and objective.own is not None
        assert (objective.own.teacher, objective.own.rate) == (which, 0.05)


@pytest.mark.parametrize("method", METHODS)
def test_a_planted_leak_ends_the_training_and_a_clean_run_goes_on(method: str) -> None:
    found = load_method(method)
    assert isinstance(found, TrainMethod)
    rolling = found.stages(found.options())[-1].rolling
    assert rolling is not None
    for leaking in (True, False):
        alarms = Alarms(60, ("leak",), privileged=rolling.context is not None)
        for step in range(40):
            leaks = leaking and step > 10
            says = "As stated in the solution, it is 4." if leaks else "The solution is 4, as 2 + 2."
            texts = {place: says if place < 3 else "So the answer is 4." for place in range(16)}
            alarms.see(step, {"completions": 16.0, **text_numbers([group(*[0.0] * 16, texts=texts)])})
        assert alarms.stopped == ("leak" if leaking else None)
        assert any("appeal to a solution" in line for line in alarms.lines) == leaking
