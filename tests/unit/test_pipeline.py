"""The pipeline on a toy suite with mock models: counting, resuming, retrying, re-grading."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness import catalog
from harness.config import RunConfig
from harness.datasets import content_hash
from harness.errors import ConfigError, HarnessError, Interrupted, ModelError, StoreError, TooManyFailures, UnknownName
from harness.models.base import NotBegun
from harness.run import pipeline
from harness.run.folder import RECORDS, SCORES, RunFolder
from harness.run.pipeline import Outcome, check_failures, rescore, run
from harness.types import Completion, DataRef, Json, Message, Problem, Request, Sampling, Suite

ROWS = [{"id": f"q{i}", "question": f"What is {i} + {i}?", "answer": str(2 * i)} for i in range(10)]


def render(row: Any, seed: int) -> Problem:
    return Problem(id=row["id"], messages=(Message("user", row["question"]),), target=row["answer"], grader="integer")


TOY = Suite(
    name="toy",
    version="1",
    summary="doubling",
    data=DataRef(files=(), rows=10, sha256=content_hash(ROWS), from_local=dict, generate=lambda: ROWS),
    render=render,
    grader="integer",
    sampling=Sampling(n=2, temperature=1.0, max_tokens=50),
    metrics=("avg@n", "pass@2", "format:boxed"),
    formats=("boxed",),
    licence="Apache-2.0",
    paper="none",
)


LATER = replace(TOY, name="later", sampling=Sampling(n=2, temperature=1.0, max_tokens=10))


class Scripted:
    """A model whose replies a test decides."""

    name = "scripted"

    def __init__(self, reply: Any) -> None:
        self.reply = reply
        self.asked: list[Request] = []
        self.closed = 0

    def describe(self) -> dict[str, Json]:
        return {"engine": "scripted"}

    def environment(self) -> dict[str, Json]:
        return {"price_in": 1.0, "price_out": 2.0}

    async def answer(self, request: Request) -> Completion:
        self.asked.append(request)
        return self.reply(request)

    async def close(self) -> None:
        self.closed += 1


class Quiet:
    def start(self, what: str, total: int, found: int, note: object) -> None: ...

    def advance(self, one: Completion) -> None: ...

    def beat(self, open_now: object) -> None: ...

    def finish(self) -> None: ...


def right(request: Request) -> Completion:
    return Completion(f"\\boxed{{{request.problem.target}}}", "stop", tokens_in=5, tokens_out=3)


def failed(request: Request) -> Completion:
    return Completion("", "error", error="503 from the endpoint")


@pytest.fixture(autouse=True)
def toy_suite(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(catalog._CATALOG["suite"], "toy", (f"{__name__}:TOY", "doubling"))
    yield


@pytest.fixture
def go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    def start(model: Scripted, **changes: Any) -> Outcome:
        monkeypatch.setattr(pipeline, "load_model", lambda spec, options, results_dir: model)
        given = {"results_dir": str(tmp_path), "grading_workers": 1, **changes}
        config = RunConfig(suite=("toy",), model=("scripted",), **given)
        return run(config, Quiet)

    return start


def directory(results: Path) -> Path:
    (found,) = (results / "runs").iterdir()
    return found


def test_a_run_scores_stores_and_counts(go: Any, tmp_path: Path) -> None:
    model = Scripted(right)
    (result,) = go(model).results
    assert result.estimates["avg@n"].value == 1.0
    assert result.estimates["pass@2"].value == 1.0
    assert result.estimates["format:boxed"].value == 1.0
    assert result.estimates["avg@n"].counts["scored"] == 20
    assert (result.n, result.totals["tokens_out"]) == (2, 60)
    assert result.totals["cost"] == pytest.approx((20 * 5 * 1.0 + 60 * 2.0) / 1e6)
    assert RunFolder(directory(tmp_path)).result == result
    assert model.closed == 1
    assert len({(r.problem.id, r.attempt, r.seed) for r in model.asked}) == 20


def test_unknown_markup_is_a_warning_of_the_result_and_known_once_it_is_named(go: Any, tmp_path: Path) -> None:
    def thinking(request: Request) -> Completion:
        return Completion(f"<mull>\\boxed{{1}} or so</mull>It is {request.problem.target}.", "stop")

    (result,) = go(Scripted(thinking)).results
    assert result.estimates["avg@n"].value == 0.0
    (warning,) = [line for line in RunFolder(directory(tmp_path)).result.warnings if "markup" in line]
    assert warning.startswith("20 replies seem to hold a thought in unknown markup, <mull>…</mull>")
    _, _, again = rescore(RunFolder(directory(tmp_path)), RunConfig(suite=("toy",), model=("scripted",)))
    assert warning in again.warnings


def test_markup_that_the_user_named_is_stored_with_each_reply(go: Any, tmp_path: Path) -> None:
    def thinking(request: Request) -> Completion:
        text = f"<mull>\\boxed{{1}} or so</mull>It is {request.problem.target}."
        return Completion(text, "stop", markup="<mull>…</mull>")

    (result,) = go(Scripted(thinking)).results
    assert result.estimates["avg@n"].value == 1.0 and result.warnings == ()
    assert {record.completion.markup for record in RunFolder(directory(tmp_path)).records} == {"<mull>…</mull>"}
    _, _, again = rescore(RunFolder(directory(tmp_path)), RunConfig(suite=("toy",), model=("scripted",)))
    assert again.estimates["avg@n"].value == 1.0


def test_the_same_command_again_asks_nothing(go: Any) -> None:
    first = go(Scripted(right)).results
    again = Scripted(failed)
    second = go(again).results
    assert again.asked == []
    assert second[0].estimates == first[0].estimates
    assert second[0].totals == first[0].totals


def test_fewer_samples_than_stored_reports_what_is_stored(go: Any) -> None:
    go(Scripted(right), n=4)
    model = Scripted(failed)
    (result,) = go(model, n=1).results
    assert model.asked == []
    assert (result.n, result.estimates["avg@n"].n_samples) == (4, 40)
    assert "pass@2" in result.estimates, "four samples are stored, so what they support stays reported"


def test_a_metric_once_asked_for_stays_in_the_result(go: Any) -> None:
    assert "pass@4" in go(Scripted(right), n=4, metric=("pass@4",)).results[0].estimates
    assert "pass@4" in go(Scripted(right), n=4).results[0].estimates


def test_a_format_that_the_suite_does_not_record_is_refused_before_spending(go: Any) -> None:
    model = Scripted(right)
    with pytest.raises(ConfigError, match="format:json; it has format:boxed"):
        go(model, metric=("format:json",))
    assert model.asked == []


def test_a_suite_is_headed_by_what_is_paired(go: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import dataclasses

    monkeypatch.setitem(globals(), "TOY", dataclasses.replace(TOY, metrics=("pass@2", "avg@n")))
    with pytest.raises(ConfigError, match=r"first metric must be avg@n"):
        go(Scripted(right))


def test_failures_are_counted_not_zero_and_made_again(go: Any, tmp_path: Path) -> None:
    outcome = go(Scripted(lambda r: failed(r) if r.problem.id == "q3" else right(r)))
    estimate = outcome.results[0].estimates["avg@n"]
    assert estimate.value == 1.0
    assert estimate.counts["error"] == 2
    assert estimate.bounds == (pytest.approx(0.9), 1.0)
    with pytest.raises(TooManyFailures, match="2 of 20 samples"):
        check_failures(outcome, 0.02)
    check_failures(outcome, 0.1)
    assert "503 from the endpoint" in (directory(tmp_path) / "log.txt").read_text()
    assert (directory(tmp_path) / RECORDS).exists(), "a run with failures stays open for a retry"

    retry = Scripted(right)
    (result,) = go(retry).results
    assert {request.problem.id for request in retry.asked} == {"q3"}
    assert result.estimates["avg@n"].counts["error"] == 0
    assert not (directory(tmp_path) / RECORDS).exists()


def test_a_run_in_which_everything_failed_has_no_number(go: Any, tmp_path: Path) -> None:
    outcome = go(Scripted(failed))
    assert outcome.results == ()
    assert not (directory(tmp_path) / "result.json").exists()
    with pytest.raises(TooManyFailures, match=r"none of 20 samples has a score: .*503"):
        check_failures(outcome, 1.0)


def test_statuses_of_unfinished_answers(go: Any, tmp_path: Path) -> None:
    replies = {
        "q0": Completion("<think>so 0 + 0 is \\boxed{0}", "length"),
        "q1": Completion("I do not know.", "stop"),
        "q2": Completion("", "stop"),
        "q3": Completion("It is 6, that is, the", "length"),
        "q4": Completion("<think>easy</think> \\boxed{8} and then I go on and", "length"),
    }
    go(Scripted(lambda r: replies.get(r.problem.id, right(r))), n=1)
    scores = {row.problem_id: row.score for row in RunFolder(directory(tmp_path)).graded}
    assert [scores[q].status for q in replies] == ["truncated", "no_answer", "no_answer", "truncated", "scored"]
    assert [scores[q].value for q in replies] == [0.0, 0.0, 0.0, 0.0, 1.0]


def test_an_interrupt_keeps_what_was_made(go: Any, tmp_path: Path) -> None:
    def reply(request: Request) -> Completion:
        if len(model.asked) > 7:
            raise KeyboardInterrupt
        return right(request)

    model = Scripted(reply)
    with pytest.raises(Interrupted, match="resume"):
        go(model)
    assert len(list(RunFolder(directory(tmp_path)).records)) == 7
    rest = Scripted(right)
    go(rest)
    assert len(rest.asked) == 13


@pytest.mark.timeout(60)
def test_an_engine_that_dies_while_256_callers_await_gives_one_error_and_keeps_every_answer(
    go: Any, tmp_path: Path
) -> None:
    class Dies(Scripted):
        async def answer(self, request: Request) -> Completion:
            self.asked.append(request)
            if len(self.asked) > 30:
                while len(self.asked) < 30 + 256:
                    await asyncio.sleep(0)
                raise ModelError("the engine died: its own messages are above")
            return self.reply(request)

    with pytest.raises(ModelError, match="the engine died"):
        go(Dies(right), n=50)
    assert len(list(RunFolder(directory(tmp_path)).records)) == 30
    rest = Scripted(right)
    go(rest, n=50)
    assert len(rest.asked) == 470


def test_a_suite_that_is_complete_is_graded_although_others_go_on_and_are_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(catalog._CATALOG["suite"], "later", (f"{__name__}:LATER", "the same, shorter"))
    seen: list[bool] = []

    class Slow(Scripted):
        async def answer(self, request: Request) -> Completion:
            self.asked.append(request)
            number = len(self.asked)
            if number > 20:  # all of toy, whose completions may be longer, are there
                while not list(tmp_path.glob("runs/toy-*/result.json")):
                    await asyncio.sleep(0.01)
                seen.append(True)
            if number == 26:
                signal.raise_signal(signal.SIGINT)
            if number > 23:
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    raise (NotBegun if number > 26 else asyncio.CancelledError) from None
            return self.reply(request)

    monkeypatch.setattr(pipeline, "load_model", lambda spec, options, results_dir: Slow(right))
    config = RunConfig(suite=("later", "toy"), model=("scripted",), results_dir=str(tmp_path), grading_workers=1)
    with pytest.raises(Interrupted, match="is stored, 3 unfinished replies were dropped; run the same"):
        run(config, Quiet)
    assert len(seen) == 20
    (done,) = tmp_path.glob("runs/toy-*")
    assert RunFolder(done).result.estimates["avg@n"].value == 1.0
    (rest,) = tmp_path.glob("runs/later-*")
    assert len(list(RunFolder(rest).records)) == 3 and not (rest / "result.json").exists()


def test_more_than_one_sample_at_temperature_zero_is_refused(go: Any) -> None:
    with pytest.raises(ConfigError, match="copies of one answer"):
        go(Scripted(right), temperature=0.0)


def test_a_metric_that_n_does_not_support_is_refused_before_spending(go: Any) -> None:
    model = Scripted(right)
    with pytest.raises(ConfigError, match="at least 8"):
        go(model, metric=("pass@8",))
    with pytest.raises(UnknownName, match="Did you mean"):
        go(model, metric=("pas@2",))
    assert model.asked == []
    assert "pass@2" not in go(model, n=1).results[0].estimates


def test_rescore_says_what_changed_and_generates_nothing(go: Any, tmp_path: Path) -> None:
    go(Scripted(right))
    folder = directory(tmp_path)
    scores = (folder / SCORES).read_text()
    (folder / SCORES).write_text(scores.replace('"value":1.0', '"value":0.0', 1))
    config = RunConfig(results_dir=str(tmp_path), grading_workers=1)
    old, new, result = rescore(RunFolder(folder), config)
    assert [a.score.value for a in old].count(0.0) == 1
    assert [a.score.value for a in new].count(0.0) == 0
    assert "pass@2" in result.estimates
    assert (folder / SCORES).read_text() == scores
    (folder / SCORES).unlink()
    (folder / "result.json").write_text("{")
    old, new, result = rescore(RunFolder(folder), config)
    assert (old, len(new)) == ([], 20)
    assert RunFolder(folder).result == result


@pytest.mark.parametrize("answer", [failed, None])
def test_a_run_without_a_scored_sample_is_not_graded_again_and_says_why(go: Any, tmp_path: Path, answer: Any) -> None:
    go(Scripted(answer or right))
    folder = directory(tmp_path)
    if answer is None:
        for part in folder.glob("*records*"):
            part.unlink()
    kept = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    said = "none of 20 samples has a score: .*503 from the endpoint" if answer else "no completion is stored"
    with pytest.raises(HarnessError, match=said):
        rescore(RunFolder(folder), RunConfig(results_dir=str(tmp_path), grading_workers=1))
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} == kept


def test_answers_to_other_questions_are_not_regraded(go: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import dataclasses

    go(Scripted(right))
    monkeypatch.setitem(globals(), "TOY", dataclasses.replace(TOY, version="2"))
    with pytest.raises(StoreError, match="suite_version '1'"):
        rescore(RunFolder(directory(tmp_path)), RunConfig(results_dir=str(tmp_path), grading_workers=1))


@pytest.mark.timeout(40)  # the stuck call would sleep longer
@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("where", ["load_model", "_finish"])
def test_a_signal_outside_generation_stops_at_once_and_before_the_next_model(
    where: str, kind: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered: list[str] = []

    def stuck(*_: object) -> None:
        entered.append(where)
        signal.raise_signal(kind)
        time.sleep(60)

    models = iter([Scripted(right), Scripted(right)])
    monkeypatch.setattr(pipeline, "load_model", lambda spec, options, results_dir: next(models))
    monkeypatch.setattr(pipeline, where, stuck)
    before = signal.getsignal(signal.SIGTERM)
    config = RunConfig(suite=("toy",), model=("scripted:1", "scripted:2"), results_dir=str(tmp_path))
    with pytest.raises(Interrupted, match="resume"):
        run(config, Quiet)
    assert entered == [where]
    assert signal.getsignal(signal.SIGTERM) is before
    if where == "_finish":
        (directory,) = (tmp_path / "runs").iterdir()
        assert len(list(RunFolder(directory).records)) == 20
