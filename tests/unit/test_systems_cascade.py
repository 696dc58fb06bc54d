"""`cascade:`: what the student is shown, when the teacher is asked, and a break-even that was computed by hand."""

from __future__ import annotations

import asyncio
import json
import math
from pathlib import Path
from typing import Any

import pytest
from system_fakes import answered, asked_of, boxed, command, request

from harness.errors import ConfigError, DataError
from harness.models import load_model
from harness.run.components import break_even, usage_of
from harness.suites import load_problems, load_suite
from harness.systems import base
from harness.systems.base import Assembly
from harness.systems.cascade import Cascade, CascadeOptions
from harness.systems.retrieval import Bm25, Library
from harness.types import Completion, Graded, Message, Request, Score
from tests.scripted_model import ScriptedModel


def cascade(student: Any, teacher: Any, samples: int = 3, results_dir: Path | None = None, **options: Any) -> Cascade:
    told = CascadeOptions(teacher="t", **options)
    return Cascade(Assembly(samples, told, {"model": student, "teacher": teacher}, results_dir))


def items_file(folder: Path, *questions: str) -> str:
    path = folder / "items.jsonl"
    rows = [
        {"id": f"i{place}", "prompt": [{"role": "user", "content": one}], "response": f"solved {place}"}
        for place, one in enumerate(questions)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


# --- looking up ------------------------------------------------------------------------------------------------------


def test_bm25_by_hand() -> None:
    """Three texts of 2, 3 and 1 words: "a" is in two of them, "c" twice in one."""
    scores = Bm25(["a b", "a c c", "d"]).scores("C, a? a")
    a, c = math.log(1 + 1.5 / 2.5), math.log(1 + 2.5 / 1.5)
    assert scores == pytest.approx({0: a * 1.0, 1: a * 2.5 / 3.0625 + c * 5 / 4.0625})
    assert scores[1] == pytest.approx(1.590851, abs=1e-6)


def test_the_nearest_first_the_question_itself_never_and_nothing_that_shares_no_word() -> None:
    library = Library(["two apples", "red apples", "Two red apples!", "a car"], "bm25", "", "x")
    assert asyncio.run(library.nearest("two red apples", 3)) == [0, 1]
    assert asyncio.run(library.nearest("boats", 3)) == []
    with pytest.raises(DataError, match="x holds nothing that could be looked up"):
        Library([], "bm25", "", "x")


def test_by_meaning_the_embedder_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    import numpy as np

    class Fake:
        def __init__(self, name: str) -> None:
            self.name = name

        def __call__(self, texts: Any) -> Any:
            return np.array([[len(text), 1.0] for text in texts])

        def identity(self) -> dict[str, str]:
            return {"embedder": self.name}

    monkeypatch.setattr("harness.metrics.diversity_embed.Embedder", Fake)
    library = Library(["aaaaaaaaaa", "a", "bbb"], "dense", "e", "x")
    assert asyncio.run(library.nearest("bbbb", 2)) == [2, 0]
    assert library.identity() == {"embedder": "e"}


# --- when the teacher is asked ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("samples", "escalated"),
    [
        ((1, 1, 1), False),
        ((1, 1, 2), True),
        ((1, 2, 3), True),
        ((1, 1, None), True),  # no answer is no agreement
        ((None, None, None), True),
    ],
)
def test_the_teacher_is_asked_where_samples_disagree(samples: tuple[int | None, ...], escalated: bool) -> None:
    drawn = {place: boxed(one) if one is not None else "Hm." for place, one in enumerate(samples)}
    student, teacher = (
        ScriptedModel(lambda one: drawn[asked_of(one)[1]]),
        ScriptedModel(lambda _: boxed(9), "openai:big"),
    )
    found = asyncio.run(answered(cascade(student, teacher), request()))
    assert found.text == (boxed(9) if escalated else drawn[0]) and len(teacher.asked) == escalated
    assert found.composed is not None and found.composed.facts["escalated"] is escalated
    assert usage_of(found)["model"].calls == 3 and ("teacher" in usage_of(found)) is escalated
    assert found.tokens_in == 300 + 100 * escalated  # N student calls, and the escalation


def test_a_teacher_that_fails_is_no_reason_to_take_the_students_answer() -> None:
    lost = ScriptedModel(lambda _: Completion("", "error", error="overloaded"), "openai:big")
    student = ScriptedModel(lambda one: boxed(asked_of(one)[1]))
    found = asyncio.run(answered(cascade(student, lost), request()))
    assert (found.finish, found.error) == ("error", "teacher (openai:big, request 1) failed: overloaded")
    assert found.composed is not None and len(found.composed.replies) == 4


@pytest.mark.parametrize(("logprob", "tokens", "sure"), [(-0.5, 10, True), (-2.0, 10, False), (0.0, 0, False)])
def test_by_confidence_the_mean_probability_decides(logprob: float, tokens: int, sure: bool) -> None:
    reply = Completion(boxed(1), "stop", logprob=logprob, tokens_out=tokens)
    found = asyncio.run(
        answered(
            cascade(ScriptedModel(lambda _: reply), ScriptedModel(lambda _: boxed(9)), 1, by="confidence"), request()
        )
    )
    assert found.text == boxed(1 if sure else 9) and found.composed is not None
    confidence = math.exp(logprob / tokens) if tokens else 0.0
    assert found.composed.facts["confidence"] == pytest.approx(confidence)


def test_a_student_without_probabilities_ends_the_run() -> None:
    mute = cascade(load_model("mock:gold", {}), load_model("mock:gold", {}), 1, by="confidence")
    with pytest.raises(ConfigError, match="log-probabilities of the answer, which mock:gold does not give"):
        mute.check({"integer"}, load_suite("synth").sampling)
    silent = ScriptedModel(lambda _: boxed(1))
    with pytest.raises(ConfigError, match="log-probabilities of the answer, which openai:scripted does not give"):
        asyncio.run(answered(cascade(silent, silent, 1, by="confidence"), request()))


def test_the_student_sees_the_nearest_solved_items_and_the_teacher_does_not(tmp_path: Path) -> None:
    path = items_file(tmp_path, "two red apples", "a blue car", "two apples", "Two green apples?")
    student, teacher = ScriptedModel(lambda one: boxed(asked_of(one)[1])), ScriptedModel(lambda _: boxed(9))
    asked = (Message("system", "be brief"), Message("user", "two green apples"))
    system = cascade(student, teacher, items=(path,), shots=2)
    found = asyncio.run(answered(system, request(messages=asked)))
    assert [one.content for one in student.asked[0].messages] == [
        *("be brief", "two red apples", "solved 0", "two apples", "solved 2", "two green apples")
    ]
    assert [one.role for one in student.asked[0].messages[1:]] == ["user", "assistant"] * 2 + ["user"]
    assert teacher.asked[0].messages == asked
    assert found.composed is not None and found.composed.facts["items"] == ["i2", "i0"]


def test_the_identity_has_the_items_by_their_content(tmp_path: Path) -> None:
    def identity(*questions: str, **options: Any) -> str:
        model = ScriptedModel(lambda _: "")
        (tmp_path / str(len(options))).mkdir(exist_ok=True)
        path = items_file(tmp_path / str(len(options)), *questions)
        return json.dumps(cascade(model, model, items=(path,), **options).describe(), sort_keys=True)

    assert identity("a", "b") == identity("a", "b", demo_cost=3.0)
    assert len({identity("a", "b"), identity("a", "c"), identity("a", "b", shots=1)}) == 3


# --- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "options", "said"),
    [
        ("cascade:3:mock:gold", {}, "cascade needs the option 'teacher'"),
        ("cascade:3:mock:gold", {"teacher": ""}, "teacher must be the spec of a model"),
        ("cascade:3:mock:gold", {"teacher": "big:x"}, "unknown model 'big'"),
        ("cascade:1:mock:gold", {"teacher": "mock:gold"}, "at least 2 samples"),
        ("cascade:3:mock:gold", {"teacher": "mock:gold", "by": "confidence"}, "looks at one answer"),
        ("cascade:mock:gold", {"teacher": "mock:gold", "by": "luck"}, "must be one of agreement, confidence"),
        ("cascade:mock:gold", {"teacher": "mock:gold", "threshold": "3"}, "from 0 to 1"),
        ("cascade:mock:gold", {"teacher": "mock:gold", "items": "none.jsonl"}, "none.jsonl"),
        ("cascade:mock:gold", {"teacher": "mock:gold", "items": "EMPTY"}, "EMPTY"),
        ("cascade:mock:gold", {"teacher": "mock:gold", "items": "UNSOLVED"}, "1 items are not solved, the first 'a'"),
        ("cascade:mock:gold", {"teacher": "mock:gold", "demo_cost": "-1"}, "demo_cost must not be negative"),
        (
            "cascade:mock:gold",
            {"teacher": "mock:gold", "threshold": "0.5"},
            "threshold has no effect here: .*confi",
        ),
        ("cascade:mock:gold", {"teacher": "mock:gold", "shots": "5"}, "shots has no effect here: it belongs to items"),
        (
            "cascade:mock:gold",
            {"teacher": "mock:gold", "embedder": "e"},
            "embedder has no effect here: .*dense",
        ),
    ],
)
def test_what_cannot_cascade_is_one_line(spec: str, options: dict[str, str], said: str, tmp_path: Path) -> None:
    (tmp_path / "EMPTY").write_text("")
    (tmp_path / "UNSOLVED").write_text('{"id": "a", "prompt": [{"role": "user", "content": "?"}]}\n')
    placed = {key: str(tmp_path / one) if one.isupper() else one for key, one in options.items()}
    with pytest.raises(Exception, match=said) as error:
        load_model(spec, placed)
    assert error.value.exit_code == 2 and "\n" not in str(error.value)  # type: ignore[attr-defined]


# --- what it costs ---------------------------------------------------------------------------------------------------


def graded(*costs: tuple[int, int]) -> list[Graded]:
    """Answers by calls of student and teacher."""
    from harness.types import Usage

    def usage(calls: int) -> Usage:
        return Usage(calls, 100 * calls, 20 * calls)

    return [
        Graded("p", n, Score(1.0, "scored"), usage={"model": usage(s)} | ({"teacher.model": usage(t)} if t else {}))
        for n, (s, t) in enumerate(costs)
    ]


@pytest.mark.parametrize(
    ("costs", "teacher_price", "answers", "why"),
    [
        # A student's call costs 200 millionths; the teacher's 2,000: 3 * 200 + 2,000 / 2 = 1,600 for an answer.
        ([(3, 1), (3, 0)], 10.0, 2500, None),
        ([(3, 1), (3, 1)], 10.0, None, "an answer costs no less than the teacher's"),
        ([(3, 0), (3, 0)], 10.0, None, "the teacher was never asked: nothing tells what it costs"),
        ([(3, 1), (3, 0)], None, None, "a price is missing"),
    ],
)
def test_the_break_even_by_hand(costs: Any, teacher_price: float | None, answers: int | None, why: str | None) -> None:
    price = {} if teacher_price is None else {"price_in": teacher_price, "price_out": 5 * teacher_price}
    parts = {"model": {"price_in": 1.0, "price_out": 5.0}, "teacher": {"parts": {"model": price}}}
    found = break_even(graded(*costs), {"parts": parts, "demo_cost": 1.0})
    assert (found["answers"], found.get("why")) == (answers, why)
    assert break_even(graded(*costs), {"parts": parts, "demo_cost": None}) == {}
    assert break_even([], {"parts": parts, "demo_cost": 1.0}) == {}


def test_a_cascade_on_the_embedded_world_breaks_even_where_it_was_computed_by_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A quarter each: agreed and right, agreed and wrong, taught and right, taught and wrong."""
    problems = load_problems(load_suite("synth_easy"), None, 0, 20)
    places = {one.id: place for place, one in enumerate(problems)}

    def student(asked: Request) -> str:
        assert asked.problem is not None
        kind, gold = places[asked.problem.id] % 4, int(asked.problem.target)
        number = asked_of(asked)[1]
        return (boxed(gold), boxed(gold + 1), boxed(gold + number), boxed(gold) if number else "Hm.")[kind]

    def teacher(asked: Request) -> str:
        assert asked.problem is not None
        return boxed(int(asked.problem.target) + (places[asked.problem.id] % 4 == 3))

    models = {
        "mock:gold": ScriptedModel(student, "openai:small", price_in=1.0, price_out=5.0),
        "openai:big": ScriptedModel(teacher, "openai:big", price_in=10.0, price_out=50.0),
    }
    monkeypatch.setattr(base, "load_model", lambda spec, *_: models[spec])
    path = items_file(tmp_path, *(one.messages[-1].content for one in problems[:3]))
    told = {"temperature": 0.7, "teacher": "openai:big", "demo_cost": 1.0, "items": path}
    options = [part for key, one in told.items() for part in ("--model-arg", f"{key}={one}")]
    run = ["run", "--suite", "synth_easy", "--limit", "20", "--results-dir", tmp_path, "--model", "cascade:3:mock:gold"]
    made = command(*run, *options, "--format", "json")
    assert made.exit_code == 0, made.stderr
    row = json.loads(made.stdout)["rows"][0]
    assert row["value"] == 0.5
    assert {role: one["calls"] for role, one in row["components"].items()} == {"model": 60, "teacher": 10}
    assert row["cost"] == pytest.approx(20 * 0.0016)
    even = {"demo_cost": 1.0, "teacher_cost": pytest.approx(0.002), "cost": pytest.approx(0.0016), "answers": 2500}
    assert row["break_even"] == even
    shown = models["mock:gold"].asked[0].messages
    assert len(shown) == 5 and shown[0].content != shown[-1].content  # the question itself is not shown solved
    board = command("leaderboard", "--results-dir", tmp_path).stdout
    assert "teacher: 0.50 calls, 50 in, 10 out, 0.001 cost" in board and "after 2500" in board
