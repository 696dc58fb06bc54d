"""The Arena-Hard suites on made-up files in the official layout; the real v0.1 files are in the contract tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from harness.cli.main import cli
from harness.config import RunConfig
from harness.datasets import content_hash, load_rows, pinned
from harness.errors import DataError
from harness.interop.benchmarks import export_benchmark
from harness.run.folder import RunFolder
from harness.suites import load_problems, load_suite
from harness.types import DataRef

HARD, CREATIVE = "o3-mini-2025-01-31", "gemini-2.0-flash-001"


def answer(uid: str, model: str, text: str) -> dict[str, Any]:
    messages = [{"role": "user", "content": "?"}, {"role": "assistant", "content": {"answer": text}}]
    return {
        "uid": uid,
        "ans_id": "x",
        "model": model,
        "messages": messages,
        "tstamp": 1.0,
        "metadata": {"token_len": 3},
    }


def question(uid: str, category: str) -> dict[str, Any]:
    return {"uid": uid, "category": category, "subcategory": "coding", "prompt": f"Do {uid}.\r\n"}


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three prompts; both baseline models have answered all of them, as the published files may."""
    base = tmp_path / "arena-hard-v2.0"
    uids = {"h1": "hard_prompt", "h2": "hard_prompt", "c1": "creative_writing"}
    write(base / "question.jsonl", [question(uid, category) for uid, category in uids.items()])
    for model in (HARD, CREATIVE):
        write(base / "model_answer" / f"{model}.jsonl", [answer(uid, model, f"{model} on {uid}") for uid in uids])
    return tmp_path


def baseline() -> DataRef:
    found = load_suite("arena_hard_v2").baseline
    assert found is not None
    return found


def test_v2_problems_carry_their_category(folder: Path) -> None:
    problems = load_problems(load_suite("arena_hard_v2"), folder, seed=0, limit=None)
    assert {problem.id: problem.meta["category"] for problem in problems} == {
        "h1": "hard_prompt",
        "h2": "hard_prompt",
        "c1": "creative_writing",
    }
    assert problems[0].messages[0].content == "Do c1."
    assert problems[0].meta["topic"] == "coding"


def test_each_category_is_held_against_its_own_baseline(folder: Path) -> None:
    assert {row["id"]: row["output"] for row in load_rows(baseline(), folder)} == {
        "h1": f"{HARD} on h1",
        "h2": f"{HARD} on h2",
        "c1": f"{CREATIVE} on c1",
    }


def test_an_unpinned_join_is_pinned_to_what_is_there(folder: Path) -> None:
    fixed = pinned(baseline(), folder)
    assert (fixed.rows, len(fixed.sha256)) == (3, 64)
    assert content_hash(load_rows(fixed, folder)) == fixed.sha256  # joined once, not twice


def test_v2_files_that_do_not_fit_are_refused(folder: Path) -> None:
    base = folder / "arena-hard-v2.0"
    suite = load_suite("arena_hard_v2")
    write(base / "question.jsonl", [question("h1", "easy_prompt")])
    with pytest.raises(DataError, match=r"question\.jsonl:1.*'easy_prompt' is none of hard_prompt"):
        load_rows(suite.data, folder)
    write(base / "question.jsonl", [{**question("h1", "hard_prompt"), "prompt": " "}])
    with pytest.raises(DataError, match="empty prompt"):
        load_rows(suite.data, folder)
    write(base / "question.jsonl", [question("h1", "hard_prompt")])
    write(base / "model_answer" / f"{HARD}.jsonl", [{**answer("h1", HARD, "x"), "messages": []}])
    with pytest.raises(DataError, match=r"o3-mini-2025-01-31\.jsonl:1.*messages"):
        load_rows(baseline(), folder)
    write(base / "model_answer" / f"{HARD}.jsonl", [answer("h1", HARD, "x"), answer("h1", HARD, "y")])
    with pytest.raises(DataError, match="more than once"):
        load_rows(baseline(), folder)
    (base / "model_answer" / f"{CREATIVE}.jsonl").unlink()
    with pytest.raises(DataError, match=r"gemini-2\.0-flash-001\.jsonl is not in"):
        load_rows(baseline(), folder)


def test_v01_files_that_are_not_the_published_ones_are_refused(tmp_path: Path) -> None:
    suite = load_suite("arena_hard")
    write(tmp_path / "arena_hard_v01_questions.jsonl", [{"uid": "u", "cluster": "c", "prompt": "p"}])
    with pytest.raises(DataError, match="1 rows, the suite is pinned to 500"):
        load_rows(suite.data, tmp_path)
    assert suite.judging == "arena_hard"
    assert suite.baseline is not None
    write(tmp_path / "arena_hard_v01_answers" / "gpt-4-0314.jsonl", [answer("u", "gpt-4-0314", "a")])
    with pytest.raises(DataError, match="1 rows, the suite is pinned to 500"):
        load_rows(suite.baseline, tmp_path)


def test_exported_judgments_of_v2_name_the_baseline_of_their_category(folder: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    places = ("--data-dir", str(folder), "--results-dir", str(results), "--quiet")
    judged = ("run", "--suite", "arena_hard_v2", "--model", "mock:gold", "--judge", "mock:judge", "--prompt", "own")
    done = CliRunner().invoke(cli, [*judged, *places])
    (run,) = [path for path in (results / "runs").iterdir() if "@" in path.name]
    assert done.exit_code == 0, done.output
    config = RunConfig(data_dir=str(folder), results_dir=str(results))
    _, judgments = export_benchmark(RunFolder(run), "arena_hard", tmp_path / "out", config)
    rows = [json.loads(line) for line in judgments.read_text(encoding="utf-8").splitlines()]
    assert {row["uid"]: row["baseline"] for row in rows} == {"h1": HARD, "h2": HARD, "c1": CREATIVE}
