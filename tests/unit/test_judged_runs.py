"""Judged runs: stored answers in, a run of their own out, nothing paid twice, nothing lost."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.cli.main import entry
from harness.errors import StoreError
from harness.run.folder import RECORDS, RunFolder
from harness.run.rows import record_to_json
from harness.types import Completion, Request
from tests.scripted_model import ScriptedModel

KEYS = (
    "reasoning_correctness",
    "method_relevance",
    "step_completeness",
    "calculation_accuracy",
    "conclusion_reasonableness",
)
Call = Callable[..., tuple[int, str, str]]


def verdict(*levels: int) -> str:
    """A reply to cot_math with these levels."""
    marks: dict[str, Any] = {
        key: {"reason": "as it is", "evidence": [], "level": level} for key, level in zip(KEYS, levels, strict=True)
    }
    marks["calculation_accuracy"]["label"] = "correct"
    return json.dumps({"dimensions": marks, "overall": "fine"})


def preference(label: str) -> str:
    return json.dumps({"reason": "it is so", "verdict": label})


@pytest.fixture
def harness(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Iterator[Call]:
    """Run a command in this process: (exit code, stdout, stderr); two runs of eight problems are there."""
    monkeypatch.setenv("HARNESS_RESULTS_DIR", str(tmp_path / "results"))
    monkeypatch.delenv("HARNESS_DATA_DIR", raising=False)

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["harness", *arguments])
        with pytest.raises(SystemExit) as stop:
            entry()
        captured = capsys.readouterr()
        return int(stop.value.code or 0), captured.out, captured.err

    models = ("--model", "mock:gold", "--model", "mock:wrong")
    assert call("run", "--suite", "synth_easy", "--limit", "8", "--quiet", *models)[0] == 0
    yield call


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[ScriptedModel]]:
    """Make `--judge NAME` mean a scripted model; returns every one that was loaded."""

    def install(reply: Callable[[Request], str | Completion], **environment: Any) -> list[ScriptedModel]:
        loaded: list[ScriptedModel] = []

        def load(name: str, options: Any, results_dir: str) -> ScriptedModel:
            loaded.append(ScriptedModel(reply, name, **environment))
            return loaded[-1]

        monkeypatch.setattr("harness.run.judged.ask.load_model", load)
        monkeypatch.setattr("harness.run.judged.choose.load_model", load)
        return loaded

    return install


def judged(tmp_path: Path, part: str = "@") -> Path:
    """The one judged run whose id has this part."""
    found = [path for path in (tmp_path / "results" / "runs").iterdir() if "@" in path.name and part in path.name]
    assert len(found) == 1
    return found[0]


GOLD, WRONG = "synth_easy-8p-mock-gold", "synth_easy-8p-mock-wrong"
COT = ("--rubric", "cot_math", "--judge", "openai:j", "--quiet")


def test_points_become_a_run_of_their_own(harness: Call, judge: Any, tmp_path: Path) -> None:
    models = judge(lambda request: verdict(5, 4, 3, 2, 1))
    code, out, _ = harness("judge", GOLD, *COT)
    assert code == 0
    result = RunFolder(judged(tmp_path)).result
    assert result.headline == "cot_math"
    assert result.estimates["cot_math"].value == pytest.approx((25 + 16 + 12 + 8 + 3) / 100)
    assert result.estimates["cot_math.calculation_accuracy"].value == pytest.approx(0.4)
    assert result.judge is not None and "cot_math@" in result.judge and "by openai:j" in result.judge
    assert len(models[0].asked) == 8
    assert all(request.schema is not None for request in models[0].asked)
    assert [row.score.value for row in RunFolder(judged(tmp_path)).graded] == [pytest.approx(0.64)] * 8
    assert "64.0" in out

    code, _, _ = harness("judge", GOLD, *COT)
    assert code == 0 and not models[1].asked  # all of it is in the cache

    board = json.loads(harness("leaderboard", "--json")[1])
    assert {row["metric"] for row in board["rows"]} == {"avg@n", "cot_math"}


def test_an_unreadable_judge_is_counted_and_never_zero(harness: Call, judge: Any, tmp_path: Path) -> None:
    models = judge(lambda request: verdict(5, 5, 5, 5, 5) if len(models[0].asked) <= 5 else "no idea")
    code, _, err = harness("judge", GOLD, *COT)
    result = RunFolder(judged(tmp_path)).result
    assert code == 1 and "have no score" in err and "scores.jsonl" in err
    assert result.estimates["cot_math"].value == 1.0
    assert result.estimates["cot_math"].counts["unscored"] == 3
    assert result.judging["judgments"]["retried"] == 3  # type: ignore[index, call-overload]
    assert [row.why for row in RunFolder(judged(tmp_path)).judgments if row.verdict is None]


def test_a_judge_that_cannot_be_read_at_all_is_a_failure_and_takes_nothing_away(
    harness: Call, judge: Any, tmp_path: Path
) -> None:
    judge(lambda request: "no idea")
    code, _, err = harness("judge", GOLD, *COT)
    assert code == 1 and "none of the 8 answers" in err and "verdicts.jsonl" in err
    assert not (judged(tmp_path) / "result.json").exists()
    (tmp_path / "results" / "judgments.sqlite").unlink()
    judge(lambda request: verdict(5, 4, 3, 2, 1))
    assert harness("judge", GOLD, *COT)[0] == 0
    (tmp_path / "results" / "judgments.sqlite").unlink()
    judge(lambda request: Completion("", "error", error="HTTP 500"))
    code, _, err = harness("judge", GOLD, *COT)
    assert code == 1 and "HTTP 500" in err and "are kept" in err
    assert all(row.verdict is not None for row in RunFolder(judged(tmp_path)).judgments)


def test_a_judge_that_likes_the_first_answer_prefers_nobody(harness: Call, judge: Any, tmp_path: Path) -> None:
    judge(lambda request: preference("A>B"))
    arguments = ("judge", GOLD, "--against", WRONG, "--rubric", "pairwise_5", "--judge", "openai:j", "--quiet")
    code, _, _ = harness(*arguments)
    result = RunFolder(judged(tmp_path)).result
    assert code == 0
    assert result.estimates["win_rate"].value == pytest.approx(0.5)
    assert result.estimates["flip_rate"].value == 1.0
    assert result.judge is not None and WRONG in result.judge


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((GOLD, "--rubric", "cot_math"), 2, "--judge"),
        ((GOLD, "--judge", "openai:j"), 2, "--rubric"),
        ((GOLD, "--rubric", "cot_mat", "--judge", "openai:j"), 2, "Did you mean 'cot_math'"),
        ((GOLD, "--rubric", "pairwise_5", "--judge", "openai:j"), 2, "--against"),
        ((GOLD, "--rubric", "cot_math", "--against", WRONG, "--judge", "openai:j"), 2, "one answer at a time"),
        ((GOLD, "--rubric", "cot_math", "--judge", "mock:gold"), 2, "--allow-self"),
        ((GOLD, "--against", WRONG, "--rubric", "pairwise_5", "--judge", "mock:wrong"), 2, "--allow-self"),
        ((GOLD, "--rubric", "cot_math", "--judge", "openai:j", "--budget", "lots"), 2, "budget"),
        ((GOLD, "--rubric", "cot_math", "--judge", "openai:j", "--orders", "both"), 2, "order"),
        ((GOLD, "--rubric", "cot_math", "--judge", "openai:j", "--judge", "openai:j"), 2, "twice"),
        ((GOLD, "--rubric", "cot_math", "--judge", "a:j", "--judge", "a:k", "--aggregate", "majority"), 2, "majority"),
        ((GOLD, "--rubric", "cot_math", "--judge", "openai:j", "--prompt", "official"), 2, "--prompt official"),
        ((GOLD, "--rubric", "cot_math", "--judge", "openai:j", "--prompt", "official"), 2, "two prompts"),
        (("no-such-run", "--rubric", "cot_math", "--judge", "openai:j"), 2, "no run"),
        ((GOLD, "--rubric", "/nowhere.toml", "--judge", "openai:j"), 2, "/nowhere.toml"),
    ],
)
def test_bad_input_is_one_clear_error(
    harness: Call, judge: Any, arguments: tuple[str, ...], code: int, message: str
) -> None:
    models = judge(lambda request: verdict(5, 5, 5, 5, 5))
    got, _, err = harness("judge", *arguments, "--quiet")
    assert got == code and message in err and len(err.strip().splitlines()) == 1
    assert not any(model.asked for model in models)


def test_a_model_may_judge_itself_if_told_so(harness: Call, judge: Any) -> None:
    judge(lambda request: verdict(5, 5, 5, 5, 5))
    assert harness("judge", GOLD, "--rubric", "cot_math", "--judge", "mock:gold", "--allow-self", "--quiet")[0] == 0


def test_a_budget_stops_and_a_larger_one_goes_on(harness: Call, judge: Any, tmp_path: Path) -> None:
    models = judge(lambda request: verdict(5, 5, 5, 5, 5))
    code, _, err = harness("judge", GOLD, *COT, "--budget", "300tok")
    assert code == 5 and "--budget" in err
    made = len(models[0].asked)
    assert 0 < made < 8
    assert harness("judge", GOLD, *COT, "--budget", "100ktok")[0] == 0
    assert len(models[1].asked) == 8 - made


def test_a_panel_is_the_mean_of_its_judges(harness: Call, judge: Any, tmp_path: Path) -> None:
    models: list[ScriptedModel] = judge(lambda request: verdict(5, 5, 5, 5, 5))
    code, _, _ = harness("judge", GOLD, *COT, "--judge", "openai:k", "--json")
    result = RunFolder(judged(tmp_path)).result
    assert code == 0 and [len(model.asked) for model in models] == [8, 8]
    assert len(RunFolder(judged(tmp_path)).judgments) == 16
    assert result.estimates["cot_math"].value == 1.0 and "agreement" in result.judging


def test_the_order_of_a_panel_changes_nothing(harness: Call, judge: Any, tmp_path: Path) -> None:
    judge(lambda request: verdict(5, 4, 3, 2, 1))
    for panel in (("--judge", "openai:k"), ("--judge", "openai:a")):
        assert harness("judge", GOLD, "--rubric", "cot_math", *panel, "--judge", "openai:j", "--quiet")[0] == 0
    assert harness("judge", GOLD, "--rubric", "cot_math", "--judge", "openai:j", *panel, "--quiet")[0] == 0
    runs = [RunFolder(path).result for path in (tmp_path / "results" / "runs").iterdir() if "@" in path.name]
    assert sorted("a + openai:j" in str(run.judge) for run in runs) == [False, True]


def test_one_name_with_other_options_is_another_judge(
    harness: Call, judge: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge(lambda request: verdict(5, 4, 3, 2, 1))
    assert harness("judge", GOLD, *COT)[0] == 0
    monkeypatch.setattr(ScriptedModel, "describe", lambda self: {"engine": "scripted", "effort": "high"})
    assert harness("judge", WRONG, *COT)[0] == 0
    labels = {RunFolder(judged(tmp_path, f"{name}")).result.judge for name in (GOLD, WRONG)}
    assert len(labels) == 2
    code, _, err = harness("compare", *(judged(tmp_path, name).name for name in (GOLD, WRONG)))
    assert code == 2 and "judge" in err


def test_failed_answers_are_errors_not_zeros(harness: Call, judge: Any, tmp_path: Path) -> None:
    run = next(path for path in (tmp_path / "results" / "runs").iterdir() if path.name.startswith(GOLD))
    spoil(run)
    models = judge(lambda request: verdict(5, 5, 5, 5, 5))
    harness("judge", GOLD, *COT)
    result = RunFolder(judged(tmp_path)).result
    assert len(models[0].asked) == 7
    assert result.estimates["cot_math"].value == 1.0 and result.estimates["cot_math"].counts["error"] == 1


def test_an_opponent_without_an_answer_is_no_empty_answer(harness: Call, tmp_path: Path) -> None:
    from harness.config import JudgeConfig, RunConfig
    from harness.run.judged.ask import prepare

    runs = {name: next((tmp_path / "results" / "runs").glob(f"{name}-*")) for name in (GOLD, WRONG)}
    spoil(runs[WRONG])
    config = RunConfig(judge=JudgeConfig("pairwise_5", names=("openai:j",)))
    case = prepare(RunFolder(runs[GOLD]), config, RunFolder(runs[WRONG]))
    assert [task.opponent is None for task in case.answers.tasks].count(True) == len(case.answers.failed) == 1
    assert len(case.open) == 7 and all(task.opponent is not None for task in case.open)


def test_answers_that_the_limit_cut_are_said_of_the_judged_run(harness: Call, judge: Any, tmp_path: Path) -> None:
    run = next(path for path in (tmp_path / "results" / "runs").iterdir() if path.name.startswith(GOLD))
    spoil(run, finish="length", text="half an")
    judge(lambda request: verdict(5, 5, 5, 5, 5))
    harness("judge", GOLD, *COT)
    warning = "12.5% of the samples were cut by the limit of"
    assert any(found.startswith(warning) for found in RunFolder(judged(tmp_path)).result.warnings)
    assert warning in harness("leaderboard")[1]


def spoil(run: Path, **changes: str) -> None:
    """Make the last stored completion a failed one, or what `changes` say."""

    rows = [record_to_json(record) for record in RunFolder(run).records]
    rows[-1] |= changes or {"finish": "error", "text": "", "error": "HTTP 500"}
    (run / "records.parquet").unlink()
    (run / RECORDS).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def test_a_judged_run_is_shown_and_not_graded(harness: Call, judge: Any, tmp_path: Path) -> None:
    judge(lambda request: verdict(5, 4, 3, 2, 1))
    harness("judge", GOLD, *COT)
    name = judged(tmp_path).name
    problem = RunFolder(judged(tmp_path)).judgments[0].problem_id
    code, out, _ = harness("show", name, "--problem", problem)
    assert code == 0 and "reasoning_correctness" in out
    code, _, err = harness("score", name)
    assert code == 2 and "name that run instead" in err


def test_answers_that_only_a_judge_scores_are_not_called_unfinished(harness: Call, judge: Any, tmp_path: Path) -> None:
    judge(lambda request: verdict(5, 4, 3, 2, 1))
    harness("judge", GOLD, *COT)
    for run in (tmp_path / "results" / "runs").iterdir():
        if "@" not in run.name:
            (run / "result.json").unlink()  # what a run of alpaca_eval looks like: it has no score of its own
    lines = harness("list", "runs")[1].splitlines()[2:]
    assert [line.split("  ")[-1].strip().partition(":")[0] for line in lines] == ["judged", "finished", "unfinished"]
    assert "in the judged runs" in harness("show", GOLD)[1] and "unfinished" in harness("show", WRONG)[1]
    assert harness("show", "mt_benhc")[2].count("mt_bench,") == 1  # a suite and a protocol: one name


def test_runs_are_named_by_path_wherever_they_are(
    harness: Call, judge: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge(lambda request: preference("A=B"))
    runs = tmp_path / "results" / "runs"
    gold, wrong = (next(runs.glob(f"{name}*")) for name in (GOLD, WRONG))
    elsewhere = wrong.rename(tmp_path / "elsewhere")
    arguments = ("--rubric", "pairwise_5", "--judge", "openai:j", "--quiet")
    assert harness("judge", GOLD, "--against", str(elsewhere), *arguments)[0] == 0
    monkeypatch.chdir(gold)
    assert harness("judge", ".", "--against", str(elsewhere), *arguments)[0] == 0
    assert judged(tmp_path).parent == runs and not list(gold.glob("@*"))


def test_damage_is_mended_by_the_command_that_wrote_it(harness: Call, judge: Any, tmp_path: Path) -> None:
    judge(lambda request: verdict(5, 4, 3, 2, 1))
    harness("judge", GOLD, *COT)
    name = judged(tmp_path).name
    (judged(tmp_path) / "result.json").write_text("{}", encoding="utf-8")
    (judged(tmp_path) / "scores.jsonl").write_text("{}", encoding="utf-8")
    code, _, err = harness("compare", name, WRONG)
    assert code == 2 and "`harness judge`" in err
    with pytest.raises(StoreError, match="`harness judge`"):
        _ = RunFolder(judged(tmp_path)).graded
    assert harness("judge", GOLD, *COT)[0] == 0
    assert RunFolder(judged(tmp_path)).result.headline == "cot_math" and len(RunFolder(judged(tmp_path)).graded) == 8


def test_the_preview_asks_nobody(harness: Call, judge: Any) -> None:
    models = judge(lambda request: verdict(5, 5, 5, 5, 5))
    code, out, _ = harness("judge", GOLD, "--rubric", "cot_math", "--judge", "openai:j", "--dry-run", "--json")
    assert code == 0 and json.loads(out)["judgments"] == 8
    assert not any(model.asked for model in models)
