"""Suites of several turns: the second is made from the answer to the first, stored, counted, resumed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from test_pipeline import Quiet, Scripted

from harness import catalog
from harness.config import RunConfig
from harness.datasets import content_hash
from harness.errors import ConfigError
from harness.run.folder import RECORDS, RunFolder
from harness.run.judged.tasks import load_answers
from harness.run.pipeline import _run_model
from harness.run.plan import PlannedRun, make_jobs, plan_suites, refuse_temperatures
from harness.run.replan import stored_job
from harness.run.spec import make_request, prompt_hash
from harness.run.store import RunStore
from harness.run.turns import count_stored, count_turns, walk
from harness.types import Completion, DataRef, Message, Problem, Record, Request, Sampling, Suite

QUESTIONS = 5
ROWS = [{"id": f"q{i}", "question": f"Count to {i}."} for i in range(QUESTIONS)]


def render(row: Any, seed: int) -> Problem:
    return Problem(f"{row['id']}/1", (Message("user", row["question"]),), "", "exact", cluster=row["id"])


def second(problem: Problem, completion: Completion) -> Problem | None:
    if len(problem.messages) > 1:
        return None
    messages = (*problem.messages, Message("assistant", completion.answer_text or ""), Message("user", "Backwards."))
    return replace(problem, id=f"{problem.cluster}/2", messages=messages)


TALK = Suite(
    name="talk",
    version="1",
    summary="counting, then counting backwards",
    data=DataRef(files=(), rows=QUESTIONS, sha256=content_hash(ROWS), from_local=dict, generate=lambda: ROWS),
    render=render,
    grader="exact",
    sampling=Sampling(n=2, temperature=1.0, max_tokens=50),
    metrics=("avg@n",),
    licence="Apache-2.0",
    paper="none",
    judging="mt_bench",
    follow_up=second,
)
COOL = replace(TALK, name="cool", sampling=Sampling(max_tokens=50))
COOL = replace(COOL, render=lambda row, seed: replace(render(row, seed), temperature=0.0 if row["id"] == "q0" else 0.7))
UNJUDGED = replace(TALK, name="unjudged", judging="")


def reply(request: Request) -> Completion:
    words = f"{request.problem.id} attempt {request.attempt}"
    return Completion(f"<think>hm, {words}</think>\n{words}", "stop", tokens_in=5, tokens_out=3)


class Counting(Quiet):
    def __init__(self) -> None:
        self.started = (0, 0)
        self.made = 0

    def start(self, what: str, total: int, found: int, note: object) -> None:
        self.started = (total, found)

    def advance(self, one: Completion) -> None:
        self.made += 1


@pytest.fixture(autouse=True)
def suites(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("talk", "cool", "unjudged"):
        monkeypatch.setitem(catalog._CATALOG["suite"], name, (f"{__name__}:{name.upper()}", "a conversation"))
    yield


@pytest.fixture
def go(tmp_path: Path) -> Any:
    """Generate, as `harness run` does before it judges."""

    def start(model: Scripted, suite: str = "talk", **changes: Any) -> Counting:
        config = RunConfig(suite=(suite,), model=("scripted",), results_dir=str(tmp_path), grading_workers=1, **changes)
        plans, progress = plan_suites(config), Counting()
        refuse_temperatures(plans, config)
        _run_model(model, make_jobs(plans, model.name, model.describe(), config), config, progress)
        return progress

    return start


def directory(results: Path) -> Path:
    (found,) = (results / "runs").iterdir()
    return found


def the_job(results: Path) -> PlannedRun:
    config = RunConfig(suite=("talk",), model=("scripted",), results_dir=str(results))
    (job,) = make_jobs(plan_suites(config), "scripted", {"engine": "scripted"}, config)
    return job


def stored(results: Path) -> dict[tuple[str, int], Record]:
    return RunFolder(directory(results)).latest


def test_the_second_turn_is_asked_after_the_first_and_shows_its_answer(go: Any, tmp_path: Path) -> None:
    model = Scripted(reply)
    progress = go(model)
    assert progress.started == (20, 0)
    assert progress.made == 20
    place = {(request.problem.id, request.attempt): number for number, request in enumerate(model.asked)}
    assert len(place) == 20
    for name, attempt in place:
        assert name.endswith("/1") or place[name[:-1] + "1", attempt] < place[name, attempt]
    seconds = [request for request in model.asked if request.problem.id.endswith("/2")]
    for request in seconds:
        question = request.problem.cluster
        assert [message.role for message in request.messages] == ["user", "assistant", "user"]
        assert request.messages[1].content == f"{question}/1 attempt {request.attempt}"
    assert len(stored(tmp_path)) == 20
    assert len({record.prompt_hash for key, record in stored(tmp_path).items() if key[0].endswith("/2")}) == 10
    assert len({request.seed for request in model.asked}) == 20
    assert not (directory(tmp_path) / RECORDS).exists(), "a complete run is compacted"


@pytest.mark.timeout(60)
def test_a_second_turn_waits_for_no_other_first_turn(go: Any) -> None:
    """The first turn of q0 is answered only once all other conversations have ended."""

    class Slow(Scripted):
        async def answer(self, request: Request) -> Completion:
            while request.problem.id == "q0/1" and len(self.asked) < 16:
                await asyncio.sleep(0)
            return await super().answer(request)

    model = Slow(reply)
    go(model)
    assert {request.problem.cluster for request in model.asked[:16]} == {f"q{i}" for i in range(1, QUESTIONS)}
    assert {request.problem.cluster for request in model.asked[16:]} == {"q0"}


def test_a_complete_run_asks_nothing_more(go: Any, tmp_path: Path) -> None:
    go(Scripted(reply))
    again = Scripted(reply)
    assert go(again).started == (0, 20)
    assert again.asked == []
    assert (count_turns(the_job(tmp_path)), count_stored(the_job(tmp_path))) == (20, 20)


@pytest.mark.parametrize("kept", [0, 1, 9, 10, 11, 19])
def test_a_run_that_was_killed_makes_only_what_is_missing(go: Any, tmp_path: Path, kept: int) -> None:
    class Killed(Scripted):
        async def answer(self, request: Request) -> Completion:
            if len(self.asked) == kept:
                raise RuntimeError("killed")
            return await super().answer(request)

    with pytest.raises(RuntimeError, match="killed"):
        go(Killed(reply))
    assert len(stored(tmp_path)) == kept
    assert count_stored(the_job(tmp_path)) == kept
    model = Scripted(reply)
    progress = go(model)
    assert progress.started == (20 - kept, kept)
    assert len(model.asked) == progress.made == 20 - kept
    assert {key: record.completion.text for key, record in stored(tmp_path).items()} == {
        (request.problem.id, request.attempt): reply(request).text
        for problem in the_job(tmp_path).problems
        for attempt in range(2)
        for request in both_requests(problem, attempt)
    }


def both_requests(problem: Problem, attempt: int) -> list[Request]:
    first = make_request(problem, attempt, TALK.sampling)
    shown = Completion("", "stop", answer_text=reply(first).text.rpartition("\n")[2])
    following = second(problem, shown)
    assert following is not None
    return [first, make_request(following, attempt, TALK.sampling)]


def test_a_second_turn_after_another_first_answer_is_stale_and_made_again(go: Any, tmp_path: Path) -> None:
    go(Scripted(reply))
    job = the_job(tmp_path)
    first = job.problems[3]
    with RunStore(job.directory, job.spec) as store:
        other = Completion("another answer", "stop")
        store.append(Record(first.id, 1, 7, prompt_hash(first.messages), other))
    model = Scripted(reply)
    assert go(model).started == (1, 19)
    (request,) = model.asked
    assert (request.problem.id, request.attempt) == (f"{first.cluster}/2", 1)
    assert request.messages[1].content == "another answer"
    assert count_stored(job) == 20


def test_after_a_failed_first_turn_the_second_is_counted_as_failed_and_made_later(go: Any, tmp_path: Path) -> None:
    def sick(request: Request) -> Completion:
        return Completion("", "error", error="503") if request.problem.id == "q2/1" else reply(request)

    model = Scripted(sick)
    progress = go(model)
    assert progress.started == (20, 0)
    assert progress.made == 20
    assert len(model.asked) == 18
    failed = {key: record.completion.error for key, record in stored(tmp_path).items() if record.completion.error}
    assert sorted(failed) == [("q2/1", 0), ("q2/1", 1), ("q2/2", 0), ("q2/2", 1)]
    assert "not asked" in failed["q2/2", 0]
    answers = load_answers(the_job(tmp_path), "answer", None)
    assert len(answers.tasks) == 20
    assert sorted(answers.failed) == sorted(failed)
    well = Scripted(reply)
    assert go(well).started == (4, 16)
    assert len(well.asked) == 4
    assert not any(record.completion.error for record in stored(tmp_path).values())


@pytest.mark.parametrize(
    ("text", "shown"),
    [("<think>and so on and on", ""), ("", ""), ("<think>a</think> b <think>c</think>\nd", "d")],
)
def test_a_user_sees_no_thoughts_and_an_endless_thought_as_nothing(
    go: Any, tmp_path: Path, text: str, shown: str
) -> None:
    model = Scripted(lambda request: Completion(text, "length"))
    go(model)
    assert {request.messages[1].content for request in model.asked if len(request.messages) > 1} == {shown}
    answers = load_answers(the_job(tmp_path), "answer", None)
    assert {task.answers for task in answers.tasks} == {(shown,), (shown, shown)}
    assert answers.failed == {}


@pytest.mark.parametrize(
    "text", ["the key is sk-abcdefghijklmnopqrstuvwxyz0123456789ABCD", "half a pair \ud83d of surrogates"]
)
def test_what_the_store_changes_in_an_answer_changes_nothing_later(go: Any, tmp_path: Path, text: str) -> None:
    go(Scripted(lambda request: Completion(text, "stop")))
    again = Scripted(reply)
    assert go(again).started == (0, 20)
    assert load_answers(the_job(tmp_path), "answer", None).failed == {}


def test_judging_sees_both_turns_and_only_the_last_answer_is_new(go: Any, tmp_path: Path) -> None:
    go(Scripted(reply), n=1)
    answers = load_answers(the_job(tmp_path), "answer", None)
    first, following = answers.tasks[:2]
    assert first.turns == ("Count to 0.",)
    assert following.turns == ("Count to 0.", "Backwards.")
    assert following.answers == ("q0/1 attempt 0", "q0/2 attempt 0")
    assert {task.cluster for task in answers.tasks[:2]} == {"q0"}


def test_walk_goes_on_after_a_missing_answer_so_that_turns_are_counted(tmp_path: Path) -> None:
    turns = list(walk(TALK, the_job(tmp_path).problems[0], 0, {}))
    assert [(problem.id, record) for problem, record in turns] == [("q0/1", None), ("q0/2", None)]


def test_a_problem_has_its_own_temperature(go: Any) -> None:
    model = Scripted(reply)
    go(model, suite="cool")
    assert {request.problem.cluster: request.temperature for request in model.asked} == {
        "q0": 0.0,
        **{f"q{i}": 0.7 for i in range(1, QUESTIONS)},
    }
    assert len(model.asked) == 10


@pytest.mark.parametrize(
    ("suite", "changes", "message"),
    [
        ("cool", {"temperature": 0.0}, "leave out --temperature 0 "),
        ("cool", {"temperature": 0.7}, "not comparable"),
        ("cool", {"protocol": "greedy"}, "leave out --protocol greedy"),
        ("cool", {"protocol": "r1"}, "leave out --protocol r1"),
        ("cool", {"n": 2}, "temperature 0, where 2 samples are 2 copies of one answer; say --n 1$"),
        ("talk", {"temperature": 0.0}, "2 samples at temperature 0 are 2 copies"),
        ("unjudged", {}, "only a judging protocol can score"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_asked(
    go: Any, suite: str, changes: dict[str, Any], message: str
) -> None:
    model = Scripted(reply)
    with pytest.raises(ConfigError, match=message):
        go(model, suite=suite, **changes)
    assert model.asked == []


def test_what_was_stored_can_be_planned_again_although_its_temperature_is_named(go: Any, tmp_path: Path) -> None:
    go(Scripted(reply), suite="cool")
    found = directory(tmp_path)
    job = stored_job(RunFolder(found), RunConfig())
    assert len(load_answers(job, "answer", None).tasks) == 10


def test_a_suite_of_one_turn_walks_as_before(tmp_path: Path) -> None:
    job = the_job(tmp_path)
    plain = replace(job, suite=replace(TALK, follow_up=None))
    assert count_turns(plain) == 10
    assert [problem.id for problem, _ in walk(plain.suite, job.problems[0], 0, {})] == ["q0/1"]
