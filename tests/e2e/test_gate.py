"""`harness gate` as a command: models that are evaluated, stored runs, files for CI, resuming, and A/A runs."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import pytest

from harness.cli.progress import RunProgress
from harness.config import RunConfig
from harness.gate.decide import decide_all
from harness.gate.pairs import Rule
from harness.gate.resolve import Named, find_sides
from harness.run.pipeline import run

pytestmark = pytest.mark.slow

PLAIN = {key: value for key, value in os.environ.items() if not key.startswith("GITHUB_")}


def gate(folder: Path, *arguments: str, code: int, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "harness", "gate", "--results-dir", str(folder), "--quiet", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=PLAIN | environment, cwd=folder)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


MODELS = ("--baseline", "mock:gold", "--candidate", "mock:gold")
SAMPLED = ("--suite", "synth_easy:4", "--temperature", "0.6", "--baseline-arg", "accuracy=0.8")


def test_two_models_are_evaluated_and_held_against_each_other(tmp_path: Path) -> None:
    worse = gate(tmp_path, *MODELS, *SAMPLED, "--candidate-arg", "accuracy=0.4", "--margin", "5pp", code=1)
    assert worse.stdout.startswith("REGRESS: synth_easy avg@n: worse by ") and "'" in worse.stdout
    better = gate(tmp_path, *MODELS, *SAMPLED, "--candidate-arg", "accuracy=1.0", "--json", code=0)
    found = json.loads(better.stdout)
    assert (found["outcome"], found["suites"][0]["problems"]) == ("pass", 100)
    same = gate(tmp_path, *MODELS, *SAMPLED, "--candidate-arg", "accuracy=0.8", "--margin", "5pp", code=0)
    assert "are the same run" in same.stdout
    other = ("--candidate-arg", "accuracy=0.8", "--candidate-arg", "variant=b", "--margin", "3pp")
    unknown = gate(tmp_path, *MODELS, *SAMPLED, *other, code=4)
    assert "to decide with 80% power" in unknown.stdout and "    harness gate --baseline synth_easy-" in unknown.stdout


def test_suites_are_decided_together_and_told_to_every_machine(tmp_path: Path) -> None:
    summary, xml = tmp_path / "summary.md", tmp_path / "out" / "gate.xml"
    done = gate(
        tmp_path,
        *MODELS,
        "--suite",
        "synth,synth_easy",
        "--candidate-arg",
        "accuracy=0.95",
        "--margin",
        "8pp",
        "--junit",
        str(xml),
        code=4,
        GITHUB_ACTIONS="true",
        GITHUB_STEP_SUMMARY=str(summary),
    )
    assert done.stdout.rstrip().endswith("regressions are Holm-corrected.")
    marks = [line.split(" ")[0] for line in done.stderr.splitlines()]
    assert marks == ["::notice", "::warning"]
    cases = ElementTree.parse(xml).findall(".//testcase")
    assert [len(case.findall("skipped")) for case in cases] == [0, 1]
    assert summary.read_text().startswith("## harness gate: inconclusive")


def test_a_baseline_file_decides_with_its_own_sampling(tmp_path: Path) -> None:
    path = tmp_path / "base.json"
    model = ("--candidate", "mock:gold", "--candidate-arg", "accuracy=0.8")
    limited = ("--suite", "synth_easy:4", "--temperature", "0.6", "--limit", "60", "--seed", "3")
    gate(tmp_path, *model, *limited, "--save-baseline", str(path), code=0)
    first = path.read_bytes()
    gate(tmp_path, *model, *limited, "--save-baseline", str(path), code=0)
    assert path.read_bytes() == first
    done = gate(tmp_path, "--baseline", str(path), *model, "--json", "--margin", "20pp", code=0)
    row = json.loads(done.stdout)["suites"][0]
    assert (row["problems"], row["difference"], row["n_flips"]) == (60, 0.0, 0)  # the same samples were found
    assert len(list((tmp_path / "runs").iterdir())) == 1
    other = gate(tmp_path, "--baseline", str(path), *model, "--temperature", "1", code=2)
    assert "leave the option out" in other.stderr
    raw = json.loads(path.read_text()) | {"suite_version": "0"}
    path.write_text(json.dumps(raw))
    assert "version '0'" in gate(tmp_path, "--baseline", str(path), *model, code=2).stderr


@pytest.mark.parametrize("limit", [(), ("--limit", "40")], ids=["all problems", "a subset"])
@pytest.mark.parametrize("kind", ["model", "run", "file"])
def test_the_commands_that_are_printed_run_as_they_stand(tmp_path: Path, kind: str, limit: tuple[str, ...]) -> None:
    sampled = ("--suite", "synth_easy:4", "--temperature", "0.6", *limit)
    old: tuple[str, ...] = ("--baseline", "mock:gold", "--baseline-arg", "accuracy=0.8", *sampled)
    if kind != "model":
        saved = ("--candidate", "mock:gold", "--candidate-arg", "accuracy=0.8", "--save-baseline", "kept/base.json")
        gate(tmp_path, *saved, *sampled, code=0)
        stored = json.loads((tmp_path / "kept" / "base.json").read_text(encoding="utf-8"))["run_id"]
        old = ("--baseline", "kept/base.json" if kind == "file" else stored)
    new = ("--candidate", "mock:gold", "--candidate-arg", "accuracy=0.8")
    found = gate(tmp_path, *old, *new, "--margin", "4pp" if limit else "2pp", "--data-dir", "my data", code=4).stdout
    commands = [shlex.split(line) for line in found.splitlines() if line.startswith("    harness ")]
    assert commands
    for command in commands:
        assert command[-4:] == ["--data-dir", "my data", "--results-dir", str(tmp_path)]
        if limit:  # more problems: models, each with its engine's options
            assert "--candidate-arg accuracy=0.8" in shlex.join(command)
            assert ("--baseline-arg" in command) == (kind == "model")
        else:  # another margin: a file as it was named, not the run behind it
            assert ("kept/base.json" in command) == (kind == "file")
        command = [sys.executable, "-m", *command, "--quiet"]
        done = subprocess.run(command, capture_output=True, text=True, env=PLAIN, cwd=tmp_path)
        assert done.returncode in (0, 1, 4), done.stdout + done.stderr
    assert ("the stored baseline had options" in found) == (kind != "model" and bool(limit))


def test_another_seed_draws_other_samples_of_the_candidate(tmp_path: Path) -> None:
    model = ("--candidate", "mock:gold", "--candidate-arg", "accuracy=0.8")
    sampled = ("--suite", "synth_easy:4", "--temperature", "0.6", "--seed", "3")
    gate(tmp_path, *model, *sampled, "--save-baseline", "base.json", code=0)
    done = gate(tmp_path, "--baseline", "base.json", *model, "--seed", "4", "--margin", "10pp", code=0)
    assert "note: seeds differ: 3 and 4" in done.stdout and "are the same run" not in done.stdout


def test_stored_runs_are_named_by_a_beginning(tmp_path: Path) -> None:
    for model in ("mock:gold", "mock:slow"):
        config = RunConfig(
            suite=("synth_easy",),
            model=(model,),
            results_dir=str(tmp_path),
            model_options={"latency": "0"},
        )
        run(config, lambda: RunProgress(quiet=True))
    done = gate(tmp_path, "--baseline", "synth_easy-mock-gold", "--candidate", "synth_easy-mock-slow", code=4)
    assert "mock:slow" in done.stdout
    assert (
        "no baseline run of suite 'synth'"
        in gate(
            tmp_path, "--baseline", "synth_easy-mock-gold", "--candidate", "mock:gold", "--suite", "synth", code=2
        ).stderr
    )


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("--candidate", "mock:gold"), "--save-baseline"),
        (MODELS, "need --suite"),
        ((*MODELS, "--suite", "synth_easy", "--margin", "-1pp"), "negative"),
        ((*MODELS, "--suite", "synth_easy", "--margin", "1ppt"), "Did you mean 1pp?"),
        ((*MODELS, "--suite", "synth_easy", "--metric", "pass@8", "--margin", "5pp"), "raise --n"),
        ((*MODELS, "--suite", "synth_easy", "--alpha", "0.7"), "alpha"),
        ((*MODELS, "--suite", "mt_bench"), "scored by a judge"),
        (("--baseline", "nothing", "--candidate", "mock:gold"), "nothing"),
        ((*MODELS, "--baseline", "mock:wrong", "--suite", "synth_easy"), "one model"),
    ],
)
def test_what_cannot_be_decided_is_one_line(tmp_path: Path, arguments: tuple[str, ...], word: str) -> None:
    done = gate(tmp_path, *arguments, "--junit", str(tmp_path / "gate.xml"), code=2)
    assert word in done.stderr and len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "runs").exists()  # told before anything was asked
    if "save-baseline" not in word:
        assert ElementTree.parse(tmp_path / "gate.xml").find(".//error") is not None


def test_failed_samples_are_counted_and_never_pass_silently(tmp_path: Path) -> None:
    done = gate(tmp_path, *MODELS, "--suite", "synth", "--candidate-arg", "error_rate=0.1", "--json", code=4)
    row = json.loads(done.stdout)["suites"][0]
    assert len(row["excluded"]) == 500 - row["problems"] > 20
    assert row["missing"] == pytest.approx(len(row["excluded"]) / 500)
    assert "have no score" in row["reasons"][0]
    failing = ("--candidate-arg", "error_rate=1", "--margin", "5pp")
    gone = gate(tmp_path, *MODELS, "--suite", "synth_easy", *failing, code=2)
    assert "none of 100 samples has a score" in gone.stderr


def test_an_interrupted_gate_resumes(tmp_path: Path) -> None:
    arguments = ("--baseline", "mock:gold", "--candidate", "mock:slow", "--suite", "synth_easy", "--margin", "8pp")
    limited = ("--candidate-arg", "latency=0", "--limit", "40")
    gate(tmp_path, *arguments, *limited, code=0)
    run_folder = next((tmp_path / "runs").glob("*slow*"))
    whole = (run_folder / "result.json").read_text()
    # What a kill leaves: some completions, no scores and no result.
    import pyarrow.parquet

    from harness.run.rows import record_from_json, record_to_json

    rows = pyarrow.parquet.read_table(run_folder / "records.parquet").to_pylist()[:15]
    kept = [record_from_json({key: value for key, value in row.items() if value is not None}) for row in rows]
    (run_folder / "records.jsonl").write_text("".join(json.dumps(record_to_json(record)) + "\n" for record in kept))
    for name in ("records.parquet", "scores.jsonl", "result.json"):
        (run_folder / name).unlink()
    gate(tmp_path, *arguments, *limited, code=0)
    assert json.loads((run_folder / "result.json").read_text())["items"] == json.loads(whole)["items"]


def test_equal_models_are_seldom_called_a_regression(tmp_path: Path) -> None:
    """Real A/A runs: one model, two seeds, the whole pipeline; 60 gates, a false alarm allowed in 5 % of them."""
    runs: dict[int, str] = {}
    for seed in range(40):
        config = RunConfig(
            suite=("synth_easy",),
            model=("mock:gold",),
            seed=seed,
            limit=50,
            temperature=0.6,
            results_dir=str(tmp_path),
            model_options={"accuracy": "0.6"},
        )
        runs[seed] = run(config, lambda: RunProgress(quiet=True)).results[0].run_id
    outcomes: Counter[str] = Counter()
    config = RunConfig(results_dir=str(tmp_path))
    for seed in range(0, 40, 2):
        names = Named("baseline", (runs[seed],)), Named("candidate", (runs[seed + 1],))
        sides = find_sides(*names, config, None, lambda: RunProgress(quiet=True))
        for margin in ("1pp", "5pp", "20pp"):
            outcomes[decide_all(sides, Rule(margin))[0].outcome] += 1
    assert outcomes["regress"] <= 7  # 5 % of 60 and three standard deviations
    assert outcomes["pass"] > 0
