"""Run folders that an earlier version wrote (tests/golden/runs, by commit 5b03d22) are read as they were then.

One folder of every kind: graded, graded with failed attempts (so not compacted), judged pointwise and in pairs,
MT-Bench with two turns and its judged run, imports of lm-eval and lighteval. tests/golden/runs.json holds what that
version's commands said of them and wrote; neither is ever made again. Keys of JSON may be added.
"""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from harness import __version__
from harness.cli.main import cli
from harness.distribution import install_command
from harness.errors import HarnessError, StoreError
from harness.run.folder import PROBLEMS, RESULT, SCORES, SPEC, VERDICTS, RunFolder
from harness.run.result import result_to_json
from harness.run.rows import graded_to_json, problem_to_json

GOLDEN = Path(__file__).parents[1] / "golden"
EXPECTED: dict[str, Any] = json.loads((GOLDEN / "runs.json").read_text(encoding="utf-8"))
GRADED, OTHER = "synth_easy-4p-mock-gold-6d6672329d", "synth_easy-4p-mock-gold-0e87c9aa13"
POINTWISE, PAIRWISE = f"{GRADED}@cot_quality-mock-judge-09f9d97967", f"{GRADED}@pairwise_5-mock-judge-81ce5ce5b4"
MT_BENCH = "mt_bench-mock-garbled-33dcfa4234@mt_bench-mock-judge-c5ea0fb660"
IDS = sorted(path.name for path in (GOLDEN / "runs").iterdir())


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A copy: commands write into results folders."""
    shutil.copytree(GOLDEN / "runs", tmp_path / "runs")
    return tmp_path


def said(results: Path, command: str) -> list[Any]:
    """Exit code, stdout and stderr of a command; `@` stands for the results folder."""
    words = [word.replace("@/", f"{results}/") for word in command.split()]
    outcome = CliRunner().invoke(cli, [*words, "--results-dir", str(results)])
    refused = str(outcome.exception) if isinstance(outcome.exception, HarnessError) else ""
    assert refused or outcome.exception is None or isinstance(outcome.exception, SystemExit), outcome.exception
    texts = (
        text.replace(install_command("lighteval"), "@install") for text in (outcome.stdout, outcome.stderr + refused)
    )
    shown, told = (text.replace(str(results), "@") for text in texts)
    return [outcome.exit_code, json.loads(shown) if command.endswith("--json") and shown else shown, told]


def problem(name: str) -> str:
    """A problem of the run, as a person writes it."""
    if name.startswith("synth_easy"):
        return "c18643fc1db9"
    return "81/2" if name.startswith("mt_bench") else "2"


def commands() -> list[str]:
    """Everything that reads a stored run."""
    return [
        "leaderboard --json",
        "leaderboard --baseline mock:gold",
        "list runs --json",
        f"compare {OTHER} {GRADED} --json",
        f"compare {POINTWISE} {PAIRWISE} --json",
        f"gate --baseline {OTHER} --candidate {GRADED} --json",
        f"gate --baseline {OTHER} --candidate {GRADED} --metric tokens_out",
        f"diversity {OTHER} {GRADED} --metric distinct-1 --metric distinct_answers --json",
        f"plan --run {GRADED} --run {OTHER} --detect 10pp --json",
        *(f"show {name} --json" for name in IDS),
        f"show {POINTWISE}",
        *(f"show {name} --problem {problem(name)} --json" for name in IDS),
        *(f"gate --candidate {name} --save-baseline @/baseline.json" for name in IDS),
        *(f"export {name} --to lm-eval --out @/out" for name in (GRADED, MT_BENCH)),
    ]


def observed(results: Path, command: str) -> list[Any]:
    """What it says and the files that it writes."""
    shown = said(results, command)
    written = sorted([*results.glob("baseline.json"), *results.glob("out/*/*")])
    files = {str(path.relative_to(results)): path.read_text(encoding="utf-8") for path in written}
    return [*shown, {name: text.replace(__version__, "@version") for name, text in files.items()}]


ADDED = ("  judge: judged on ", "  note: the baseline ")
"""How lines begin that stand under tables since."""
NAMED = {
    "mock:gold [accuracy=0.4, variant=b, think=false]": "mock:gold [0e87c9aa13]",
    "mock:gold [accuracy=0.6, variant=unset, think=true]": "mock:gold [6d6672329d]",
}
"""What tells two runs of one model apart now, and what did then."""


def of_then(now: Any, then: Any) -> Any:
    """What is said now, without the keys and lines that have been added since, and with the names of then."""
    if isinstance(now, dict) and isinstance(then, dict):
        return {key: of_then(value, then[key]) for key, value in now.items() if key in then}
    if isinstance(now, list) and isinstance(then, list) and len(now) == len(then):
        return [of_then(*pair) for pair in zip(now, then, strict=True)]
    if isinstance(now, str) and isinstance(then, str):
        new = tuple(line for line in ADDED if line not in then)
        kept = "".join(line for line in now.splitlines(keepends=True) if not line.startswith(new))
        if not any(name in kept for name in NAMED):
            return kept
        for name, before in NAMED.items():
            kept = kept.replace(name, before)
        return then if narrow(kept) == narrow(then) else kept  # a column is as wide as its names
    return now


def narrow(text: str) -> str:
    return re.sub(" +", " ", re.sub("─+", "─", text))


@pytest.mark.parametrize("command", commands())
def test_commands_say_of_old_runs_what_they_said(results: Path, command: str) -> None:
    assert of_then(observed(results, command), EXPECTED[command]) == EXPECTED[command]


def rows(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def plain(value: Any) -> Any:
    return json.loads(json.dumps(value))


@pytest.mark.parametrize("name", IDS)
def test_every_file_is_read_into_its_type_and_nothing_is_lost(name: str) -> None:
    folder = RunFolder(GOLDEN / "runs" / name)
    assert list(folder.spec.to_json().items()) == list(folder.spec_json.items())
    if folder.has(RESULT):
        assert plain(result_to_json(folder.result)) == json.loads((folder.path / RESULT).read_text(encoding="utf-8"))
        assert [plain(graded_to_json(row)) for row in folder.graded] == rows(folder.path / SCORES)
    if folder.has(VERDICTS):
        assert [plain(asdict(row)) for row in folder.judgments] == rows(folder.path / VERDICTS)
    assert [plain(problem_to_json(one)) for one in folder.problems] == rows(folder.path / PROBLEMS)
    attempts = {(row["problem_id"], row["attempt"]) for row in rows(folder.path / SCORES)}
    records = {(record.problem_id, record.attempt): record for record in folder.records}
    assert folder.latest == records
    assert records.keys() == attempts or "@" in name or not attempts or not name.startswith("synth_easy")
    assert len(records) == (0 if "@" in name else 4 if name.startswith(("mt_bench", "lm-eval")) else 8)


@pytest.mark.parametrize(
    ("name", "change", "told"),
    [
        (GRADED, {"temperature": "warm"}, r"temperature is not a number\): restore it"),
        (GRADED, {"stop": "x"}, r"stop is not a list of texts\): restore it"),
        (GRADED, {"model_identity": None}, "model_identity is not a table"),
        (GRADED, {"protocol": 3}, "protocol is not a text"),
        (POINTWISE, {"judged_from": 1}, r"judged_from or judging .*: write it again with the same `harness judge`"),
        (PAIRWISE, {"against": []}, "against is not a text"),
        (IDS[1], {"suite": None}, r"suite is not a text\): import the run again"),
    ],
)
def test_a_damaged_spec_is_named_with_what_to_do(results: Path, name: str, change: Any, told: str) -> None:
    folder = RunFolder.of(results, name)
    (folder.path / SPEC).write_text(json.dumps(folder.spec_json | change), encoding="utf-8")
    with pytest.raises(StoreError, match=rf"spec\.json is damaged \(.*{told}"):
        _ = RunFolder.of(results, name).spec


def files(results: Path) -> dict[str, bytes]:
    """What is stored but results, which tell times: completions hold their seconds, so none may be made again."""
    stored = {path.relative_to(results).as_posix(): path for path in (results / "runs").rglob("*.*")}
    return {
        name: path.read_bytes() for name, path in sorted(stored.items()) if path.name not in ("result.json", ".lock")
    }


MADE = "--suite synth_easy --limit 4 --n 2 --temperature 0.6 --model mock:gold"


@pytest.mark.parametrize(
    "command",
    [
        f"run {MADE} --model-arg accuracy=0.6 --model-arg think=true",
        f"run {MADE} --model-arg accuracy=0.4 --model-arg variant=b",
        f"score {GRADED}",
        f"judge {GRADED} --rubric cot_quality --samples 1 --judge mock:judge",
        f"judge {GRADED} --rubric pairwise_5 --samples 1 --judge mock:judge --allow-self --against {OTHER}",
    ],
)
def test_the_same_command_finds_its_old_folder_and_writes_the_same_bytes(results: Path, command: str) -> None:
    before = files(results)
    assert said(results, command)[0] == 0
    assert files(results) == before
