"""Answers in a benchmark's own files become runs, and what our judges say of them goes back into its files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness.cli.main import cli
from harness.errors import DataError, StoreError, UnknownName, UsageError
from harness.run.folder import RunFolder


class Commands:
    """Commands on one results folder and the real data."""

    def __init__(self, data: Path, results: Path) -> None:
        self.data, self.results = data, results

    def __call__(self, *arguments: str) -> str:
        places = ("--data-dir", str(self.data), "--results-dir", str(self.results))
        done = CliRunner().invoke(cli, [*arguments, *(places if arguments[:2] != ("judge", "score") else places[:2])])
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == 0, done.output
        return done.stdout

    def judged(self) -> float:
        """Judge the one imported run with a judge that means nothing; returns its headline in percent or points."""
        (run,) = [path.name for path in (self.results / "runs").iterdir()]
        self("judge", run, "--judge", "mock:judge", "--prompt", "own", "--quiet")
        return self.headline()

    def headline(self) -> float:
        """Of the one judged run."""
        (path,) = [path for path in (self.results / "runs").iterdir() if "@" in path.name]
        result = RunFolder(path).result
        return result.estimates[result.headline].value


@pytest.fixture
def harness(shared_data: Path, tmp_path: Path) -> Commands:
    return Commands(shared_data, tmp_path / "results")


def outputs(data: Path, model: str) -> list[dict[str, str]]:
    """A model_outputs.json as its authors would publish it."""
    rows = [json.loads(line) for line in (data / "alpaca_eval_reference.jsonl").read_text("utf-8").splitlines()]
    lines = (data / "alpaca_eval_outputs" / f"{model}.jsonl").read_text("utf-8").splitlines()
    answers = {row["index"]: row["output"] for row in map(json.loads, lines)}
    return [
        {
            "dataset": row["dataset"],
            "instruction": row["instruction"],
            "output": answers[row["index"]],
            "generator": model,
        }
        for row in rows
    ]


def test_alpaca_eval(harness: Commands, tmp_path: Path, judged_results: Path) -> None:
    file = judged_results.parent / "model_outputs.json"
    shutil.copytree(judged_results, harness.results)
    ours = harness.headline()
    paths = harness("export", "file-vicuna-7b@", "--to", "alpaca_eval", "--out", str(tmp_path / "out")).splitlines()
    board = tmp_path / "leaderboard.csv"
    harness("judge", "score", "alpaca_eval", paths[1], "--leaderboard", str(board))
    scored = json.loads(harness("judge", "score", "alpaca_eval", paths[1], "--published", str(board), "--json"))[
        "rows"
    ][0]
    assert scored["published_lc"] == scored["length_controlled_winrate"]
    assert scored["published_win_rate"] == scored["win_rate"]
    assert scored["length_controlled_winrate"] == pytest.approx(100 * ours, abs=1e-6)
    assert scored["n_total"] == 805 and not scored["flags"]
    written = json.loads(Path(paths[0]).read_text("utf-8"))
    assert [row["output"] for row in written] == [row["output"] for row in json.loads(file.read_text("utf-8"))]


def test_the_null_model_is_named_beside_its_score(harness: Commands, tmp_path: Path) -> None:
    file = tmp_path / "model_outputs.json"
    file.write_text(json.dumps(outputs(harness.data, "NullModel")), encoding="utf-8")
    harness("import", str(file), "--from", "alpaca_eval")
    harness.judged()
    (path,) = [path for path in (harness.results / "runs").iterdir() if "@" in path.name]
    assert any("constant answer: 805 of 805" in warning for warning in RunFolder(path).result.warnings)


def test_outputs_that_do_not_align_are_refused(harness: Commands, tmp_path: Path) -> None:
    rows = outputs(harness.data, "vicuna-7b")
    file = tmp_path / "model_outputs.json"
    file.write_text(json.dumps(rows[:-1]), encoding="utf-8")
    with pytest.raises(DataError, match="1 missing: instruction 804"):
        harness("import", str(file), "--from", "alpaca_eval")
    assert not (harness.results / "runs").exists()


def test_arena_hard(harness: Commands, tmp_path: Path) -> None:
    answers = harness.data / "arena_hard_v01_answers" / "gpt-3.5-turbo-0125.jsonl"
    harness("import", str(answers), "--from", "arena_hard")
    ours = harness.judged()
    paths = harness("export", "file-gpt-3.5-turbo-0125@", "--to", "arena_hard", "--out", str(tmp_path)).splitlines()
    rows = json.loads(harness("judge", "score", "arena_hard", paths[1], "--json"))["rows"]
    assert {row["method"] for row in rows} == {"mean vote", "Bradley-Terry"}
    assert all(row["score"] == pytest.approx(ours, abs=1e-3) and row["n_problems"] == 500 for row in rows)


def test_mt_bench(harness: Commands, tmp_path: Path) -> None:
    harness(
        "run", "--suite", "mt_bench", "--model", "mock:garbled", "--judge", "mock:judge", "--prompt", "own", "--quiet"
    )
    (path,) = [path for path in (harness.results / "runs").iterdir() if "@" in path.name]
    ours = RunFolder(path).result.estimates["rating"].value
    answers, judgments = harness("export", "mock-garbled@", "--to", "mt_bench", "--out", str(tmp_path)).splitlines()
    scored = json.loads(harness("judge", "score", "mt_bench", judgments, "--json"))["rows"][0]
    assert scored["rating"] == pytest.approx(ours) and scored["n"] == 160
    again = Commands(harness.data, tmp_path / "again")
    again("import", answers, "--from", "mt_bench")
    assert again.judged() == pytest.approx(ours)  # the same answers, the same judge
    with pytest.raises(UsageError, match="is a run of mt_bench, not of arena_hard"):
        harness("export", "mock-garbled@", "--to", "arena_hard", "--out", str(tmp_path))


def test_mt_bench_in_pairs(harness: Commands, tmp_path: Path) -> None:
    for model in ("mock:garbled", "mock:wrong"):
        harness("run", "--suite", "mt_bench", "--model", model, "--judge", "mock:judge", "--prompt", "own", "--quiet")
    ids = sorted(path.name for path in (harness.results / "runs").iterdir() if "@" not in path.name)
    harness("judge", ids[0], "--against", ids[1], "--rubric", "pairwise_5", "--judge", "mock:judge", "--quiet")
    (path,) = (harness.results / "runs").glob("*mt_bench_pair*")
    _, judgments = harness("export", path.name, "--to", "mt_bench", "--out", str(tmp_path)).splitlines()
    assert judgments.endswith("_pair.jsonl")
    rows = {row["model"]: row for row in json.loads(harness("judge", "score", "mt_bench", judgments, "--json"))["rows"]}
    ours = RunFolder(path).result.estimates["win_rate"].value
    assert rows["mock:garbled"]["adjusted_win_rate"] == pytest.approx(ours)
    assert rows["mock:wrong"]["adjusted_win_rate"] == pytest.approx(1 - ours)


@pytest.mark.parametrize(
    ("benchmark", "rows", "message"),
    [
        ("arena_hard", [], "there is no answer in it"),
        (
            "mt_bench",
            [{"question_id": 81, "model_id": "m", "choices": [{"turns": ["only one"]}]}],
            "1 turns to question 81",
        ),
        ("mt_bench", [{"question_id": 81, "model_id": "m", "choices": [{"turns": []}]}], "0 turns to question 81"),
        ("mt_bench", [{"question_id": 81, "model_id": " ", "choices": [{"turns": ["a", "b"]}]}], "without a name"),
    ],
)
def test_answers_that_are_not_there_are_refused(
    harness: Commands, tmp_path: Path, benchmark: str, rows: list[object], message: str
) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    with pytest.raises(DataError, match=message):
        harness("import", str(path), "--from", benchmark)


def test_an_unknown_tool_is_told_with_all_that_are_known(harness: Commands, tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match=r"'alpaca_eval'.*arena_hard.*lm-eval"):
        harness("import", str(tmp_path), "--from", "alpaca_evl")


@pytest.fixture(scope="module")
def judged_results(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One run of AlpacaEval, imported and judged."""
    folder = tmp_path_factory.mktemp("judged")
    path = folder / "model_outputs.json"
    path.write_text(json.dumps(outputs(shared_data, "vicuna-7b")), encoding="utf-8")
    harness = Commands(shared_data, folder / "results")
    harness("import", str(path), "--from", "alpaca_eval")
    harness.judged()
    return harness.results


@pytest.mark.parametrize("damage", ["origin", "verdicts", "scores", "order", "problem_id", "repeat"])
def test_a_damaged_judged_run_is_not_exported(
    harness: Commands, judged_results: Path, tmp_path: Path, damage: str
) -> None:
    shutil.copytree(judged_results, harness.results)
    (run,) = [path for path in (tmp_path / "results" / "runs").iterdir() if "@" in path.name]
    if damage == "origin":
        spec = json.loads((run / "spec.json").read_text("utf-8"))
        (run / "spec.json").write_text(json.dumps({**spec, "judged_from": 5}), encoding="utf-8")
    elif damage == "verdicts":
        (run / "verdicts.jsonl").write_text("", encoding="utf-8")
    elif damage in ("order", "problem_id", "repeat"):
        lines = (run / "verdicts.jsonl").read_text("utf-8").splitlines()
        rows = [{**json.loads(line), damage: 1 if damage == "repeat" else "nowhere"} for line in lines]
        (run / "verdicts.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    else:
        lines = (run / "scores.jsonl").read_text("utf-8").splitlines(keepends=True)
        (run / "scores.jsonl").write_text("".join(lines[1:]), encoding="utf-8")
    with pytest.raises(StoreError, match="the same `harness judge`"):
        harness("export", run.name, "--to", "alpaca_eval", "--out", str(tmp_path / "out"))
