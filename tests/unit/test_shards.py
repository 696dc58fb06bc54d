"""A run in shards: every completion is asked for once, by whoever's it is, and merging gives what one process gives."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from test_pipeline import TOY, Quiet, Scripted, failed, right
from test_store import make_spec
from test_turns import TALK, reply

from harness import catalog
from harness.cli.main import cli
from harness.config import JudgeConfig, RunConfig
from harness.errors import StoreError, TooManyFailures
from harness.run import pipeline
from harness.run.folder import COMPACTED, LOG, RECORDS, RESULT, SCORES, SPEC, RunFolder
from harness.run.pipeline import Outcome, check_failures, run
from harness.run.plan import PlannedRun
from harness.run.shards import NOTE, Note, Shard, parse_shard, read_notes, shards_with, write_note
from harness.run.turns import count_turns
from harness.types import Completion, Json, Request, Sampling

TOLD = replace(TALK, name="told", judging="")


@pytest.fixture(autouse=True)
def toy_suite(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(catalog._CATALOG["suite"], "toy", (f"{__name__}:TOY", "doubling"))
    monkeypatch.setitem(catalog._CATALOG["suite"], "talk", (f"{__name__}:TALK", "a conversation"))
    yield


class Placed(Scripted):
    """A model that says where it runs."""

    def __init__(self, reply: Callable[[Request], Completion], device: str = "cpu") -> None:
        super().__init__(reply)
        self.device = device

    def environment(self) -> dict[str, Json]:
        return {"device": self.device, "price_in": 1.0, "price_out": 2.0}


@pytest.fixture
def go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    def start(model: Scripted, shard: str | None = None, **changes: Any) -> Outcome:
        monkeypatch.setattr(pipeline, "load_model", lambda spec, options, results_dir: model)
        given = {"suite": ("toy",), "results_dir": str(tmp_path), "grading_workers": 1, **changes}
        config = RunConfig(model=("scripted",), **given)
        return run(config, Quiet, shard=parse_shard(shard) if shard else None)

    return start


def directory(results: Path) -> Path:
    (found,) = (results / "runs").iterdir()
    return found


def asked(*models: Scripted) -> Counter[tuple[str, int]]:
    return Counter((request.problem.id, request.attempt) for model in models for request in model.asked)


# --- what is whose ---------------------------------------------------------------------------------------------------


@given(index=st.integers(1, 99_999), more=st.integers(0, 99_998))
def test_every_shard_is_read_as_it_is_written(index: int, more: int) -> None:
    shard = Shard(index, min(index + more, 99_999))
    assert parse_shard(str(shard)) == parse_shard(f" {shard}\n") == shard


@given(st.one_of(st.text(max_size=8), st.from_regex(r"-?[0-9]{0,3}[/.of ]{0,2}-?[0-9]{0,3}", fullmatch=True)))
def test_nothing_else_is_a_shard(text: str) -> None:
    parts = text.strip().split("/")
    fits = len(parts) == 2 and all(part.isascii() and part.isdigit() and len(part) <= 6 for part in parts)
    if fits and 1 <= int(parts[0]) <= int(parts[1]) <= 99_999:
        assert parse_shard(text) == Shard(int(parts[0]), int(parts[1]))
    else:
        with pytest.raises(ValueError, match="1 <= I <= N"):
            parse_shard(text)


@given(problems=st.integers(1, 40), n=st.integers(1, 9), count=st.integers(1, 60), more=st.integers(0, 5))
def test_every_attempt_belongs_to_one_shard_and_stays_there(problems: int, n: int, count: int, more: int) -> None:
    made = [replace(TOY.render({"id": f"q{i}", "question": "?", "answer": "1"}, 0)) for i in range(problems)]

    def parts(samples: int) -> list[set[tuple[str, int]]]:
        job = PlannedRun(TOY, made, make_spec(sampling=Sampling(n=samples)))
        shards = [replace(job, shard=Shard(index, count)) for index in range(1, count + 1)]
        found = [{(problem.id, attempt) for problem, attempt in shard.attempts()} for shard in shards]
        assert sorted(key for part in found for key in part) == sorted((p.id, a) for p, a in job.attempts())
        assert [count_turns(shard) for shard in shards] == list(map(len, found))
        return found

    few, many = parts(n), parts(n + more)
    assert max(map(len, few)) - min(map(len, few)) <= 1
    assert all(one <= other for one, other in zip(few, many, strict=True))


# --- what comes of it ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [("1/3", "2/3", "3/3"), ("3/3", "1/3", "2/3")])
def test_shards_in_any_order_give_what_one_process_gives(
    go: Any, order: tuple[str, ...], tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    alone = tmp_path_factory.mktemp("alone")
    (expected,) = go(Scripted(right), results_dir=str(alone)).results
    models = [Scripted(right) for _ in order]
    for number, (shard, model) in enumerate(zip(order, models, strict=True), 1):
        outcome = go(model, shard)
        (part,) = outcome.parts
        assert outcome.results == () and (part.asked, part.made, part.failed) == (len(model.asked),) * 2 + (0,)
        assert len(part.ended) == number
        assert not any(RunFolder(directory(tmp_path)).has(file) for file in (RESULT, SCORES, RECORDS, COMPACTED))
    assert set(asked(*models).values()) == {1} and len(asked(*models)) == 20
    last = Scripted(failed)
    (result,) = go(last).results
    assert not last.asked, "merging asks for nothing that is there"
    changing = {"finished": "", "totals": {}}
    assert replace(result, **changing) == replace(expected, **changing)
    for one in ("tokens_in", "tokens_out", "cost"):
        assert result.totals[one] == expected.totals[one]
    whole, merged = RunFolder(directory(alone)), RunFolder(directory(tmp_path))
    assert merged.graded == whole.graded and merged.latest == whole.latest and merged.spec == whole.spec
    assert sorted(p.name for p in merged.path.iterdir()) == sorted([*(p.name for p in whole.path.iterdir()), LOG])


def test_the_merge_makes_what_no_shard_made_and_what_failed(go: Any, tmp_path: Path) -> None:
    first, broken = Scripted(right), Scripted(failed)
    go(first, "1/4")
    (part,) = go(broken, "3/4").parts
    assert (part.failed, part.why) == (5, "503 from the endpoint")
    last = Scripted(right)
    (result,) = go(last).results
    assert set(asked(first, last).values()) == {1} and len(asked(first, last)) == 20
    assert result.estimates["avg@n"].counts["scored"] == 20
    assert "attempt" in (directory(tmp_path) / LOG).read_text(), "the shard's log is kept"


def test_a_shard_with_too_many_failures_says_so_and_asks_them_again(go: Any) -> None:
    with pytest.raises(TooManyFailures, match=r"toy by scripted, shard 2/2: 10 of 10 requests failed .* 503"):
        check_failures(go(Scripted(failed), "2/2"), 0.02)
    again = Scripted(right)
    outcome = go(again, "2/2")
    check_failures(outcome, 0.02)
    assert len(again.asked) == 10 and outcome.parts[0].failed == 0


def test_a_shard_that_ended_asks_nothing_again_and_raising_n_only_what_is_new(go: Any) -> None:
    go(Scripted(right), "1/2")
    again, more = Scripted(right), Scripted(right)
    (part,) = go(again, "1/2").parts
    assert (part.asked, part.made, again.asked) == (10, 0, [])
    (part,) = go(more, "1/2", n=4).parts
    assert (part.asked, part.made, part.ended) == (20, 10, (Shard(1, 2),))
    assert {request.attempt for request in more.asked} == {2, 3}


def test_shards_go_on_from_a_merged_run(go: Any, tmp_path: Path) -> None:
    go(Scripted(right))
    assert RunFolder(directory(tmp_path)).has(COMPACTED)
    models = [Scripted(right) for _ in range(3)]
    for index, model in enumerate(models[:2], 1):
        go(model, f"{index}/2", n=4)
    (result,) = go(models[2], n=4).results
    assert [len(model.asked) for model in models] == [10, 10, 0]
    assert (result.n, result.estimates["avg@n"].n_samples) == (4, 40)


def test_more_shards_than_completions_is_no_error(go: Any) -> None:
    (part,) = go(Scripted(right), "25/30").parts
    assert (part.asked, part.made) == (0, 0)


def test_a_conversation_is_one_shards_and_no_shard_judges(go: Any, tmp_path: Path) -> None:
    judge = JudgeConfig(names=("mock:judge",))
    models = [Scripted(reply) for _ in range(2)]
    for index, model in enumerate(models, 1):
        outcome = go(model, f"{index}/2", suite=("talk",), judge=judge)
        assert outcome.parts[0].asked == len(model.asked) == 10 and not outcome.failures
    talks = [{(request.problem.cluster, request.attempt) for request in model.asked} for model in models]
    assert len(talks[0] | talks[1]) == 10 and not talks[0] & talks[1]
    assert len(RunFolder(directory(tmp_path)).latest) == 20


def test_another_division_is_refused_before_anything_is_asked(go: Any) -> None:
    go(Scripted(right), "1/2")
    model = Scripted(right)
    with pytest.raises(StoreError, match=r"is in 2 shards \(records\.1of2\.jsonl\), not 3: say --shard I/2"):
        go(model, "1/3")
    assert not model.asked
    go(model)
    go(model, "1/3", n=4)


# --- what only a shard knows -----------------------------------------------------------------------------------------


def test_time_and_place_of_the_shards_reach_the_result(go: Any, tmp_path: Path) -> None:
    go(Placed(right, "gpu A"), "1/2")
    go(Placed(right, "gpu B"), "2/2")
    folder = RunFolder(directory(tmp_path))
    for shard in shards_with(folder.path, NOTE):
        note = read_notes(folder.path)[shard]
        write_note(folder.path, shard, replace(note, seconds=100.0))
    (result,) = go(Placed(right, "login node")).results
    assert result.environment["device"] == "gpu A"
    assert result.environment["shards"] == {"2/2": {"device": "gpu B"}}
    assert any("shards 2/2 generated elsewhere: other device" in line for line in result.warnings)
    assert result.totals["seconds"] == pytest.approx(200, abs=30)
    assert not shards_with(folder.path, NOTE)
    (again,) = go(Placed(right, "login node")).results
    assert again.environment == result.environment and again.totals["seconds"] == pytest.approx(200, abs=30)


def test_what_the_merge_makes_is_made_there(go: Any) -> None:
    go(Placed(right, "gpu A"), "1/2")
    (result,) = go(Placed(right, "gpu C")).results
    assert result.environment["device"] == "gpu C"
    assert result.environment["shards"] == {"1/2": {"device": "gpu A"}}


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": 2}', '{"schema": 1, "n": "2"}', "[" * 9999])
def test_a_damaged_note_is_named_with_what_to_do(go: Any, tmp_path: Path, text: str) -> None:
    go(Scripted(right), "1/2")
    path = directory(tmp_path) / Shard(1, 2).own(NOTE)
    path.write_text(text)
    model = Scripted(right)
    with pytest.raises(StoreError, match=r"shard\.1of2\.json is damaged .*delete it"):
        go(model)
    assert not model.asked, "before anything is spent"
    path.unlink()
    assert go(Scripted(right)).results


# --- the command -----------------------------------------------------------------------------------------------------


def command(results: Path, *more: str) -> Any:
    words = ["run", "--suite", "synth_easy", "--limit", "5", "--model", "mock:gold", "--results-dir", str(results)]
    return CliRunner().invoke(cli, [*words, "--quiet", *more])


def test_the_command_shows_its_part_and_what_is_open(tmp_path: Path) -> None:
    planned = json.loads(command(tmp_path, "--shard", "2/2", "--dry-run", "--json").stdout)["rows"][0]
    assert (planned["requests"], planned["stored"]) == (2, 0) and not list(tmp_path.iterdir())
    (row,) = json.loads(command(tmp_path, "--shard", "2/2", "--json").stdout)["rows"]
    assert (row["shard"], row["asked"], row["made"], row["ended"]) == ("2/2", 2, 2, ["2/2"])
    words = ["run", "--suite", "synth_easy", "--limit", "5", "--model", "mock:gold", "--results-dir", str(tmp_path)]
    done = CliRunner().invoke(cli, [*words, "--shard", "1/2"])
    assert done.exit_code == 0 and "all 2 shards have ended" in done.stderr and "2 of 2" in done.stdout
    planned = json.loads(command(tmp_path, "--dry-run", "--json").stdout)["rows"][0]
    assert (planned["requests"], planned["stored"]) == (0, 5)
    (row, *_) = json.loads(command(tmp_path, "--json").stdout)["rows"]
    assert (row["metric"], row["n_samples"]) == ("avg@n", 5)


@pytest.mark.parametrize("text", ["0/4", "5/4", "4", "a/b", "1/2/3", "-1/2", "1/100000", ""])
def test_bad_shards_are_one_line_and_nothing_is_made(tmp_path: Path, text: str) -> None:
    done = command(tmp_path, "--shard", text)
    assert done.exit_code == 2 and "e.g. 2/4" in done.stderr and "Traceback" not in done.output
    assert not list(tmp_path.iterdir())


def test_no_secret_reaches_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "very-secret-value-42")
    write_note(tmp_path, Shard(1, 1), Note(1, 1, 0, 0.0, {"header": "very-secret-value-42"}))
    assert "very-secret" not in (tmp_path / Shard(1, 1).own(NOTE)).read_text()
    assert (tmp_path / SPEC).exists() is False
