"""One damaged file never takes a command down: every reader of a results folder, structured damage, no traceback."""

from __future__ import annotations

import copy
import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from registry_cards import add_card

from harness.cli.main import cli
from harness.errors import HarnessError
from harness.suites import load_problems, load_suite

HUGE = "@@HUGE@@"
TEXTS = {HUGE: "9" * 400, "@@INF@@": "1e999", "@@NAN@@": "NaN", "@@NEG@@": "-Infinity", "@@HALF@@": '"\\ud800"'}
VALUES: list[Any] = [None, True, -1, 0, 1.5, -1e308, 2**62, "", "x", "x" * 5000, "NaN", [], {}, [[]], [None], {"a": 1}]
VALUES += [*TEXTS, [["a", "b"]], "../../etc"]
SUITE = ["--suite", "synth_easy", "--limit", "4", "--n", "2", "--temperature", "1"]
ONE, OTHER, JUDGED = "mock-gold", "mock-wrong", "@cot_math"


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs, a judged one with a diversity file, two models and a baseline, made by the commands themselves."""
    folder = tmp_path_factory.mktemp("pristine") / "results"

    def do(*args: str) -> Result:
        outcome = CliRunner().invoke(cli, [*args, "--results-dir", str(folder)], standalone_mode=False)
        assert outcome.exception is None, outcome.output
        return outcome

    for model in ("mock:gold", "mock:wrong"):
        do("run", *SUITE, "--model", model, "--quiet")
    do("judge", "run", run_of(folder, ONE), "--rubric", "cot_math", "--judge", "mock:judge", "--quiet")
    do("diversity", run_of(folder, ONE), "--metric", "distinct-1")
    do("gate", "--candidate", run_of(folder, ONE), "--save-baseline", str(folder / "base.json"))
    for name in ("one-sft-00000000", "two-sft-00000000"):
        add_card(folder, name)
    return folder


def run_of(results: Path, part: str) -> str:
    return next(run.name for run in sorted((results / "runs").iterdir()) if part in run.name and "@" not in run.name)


def commands(results: Path) -> list[list[str]]:
    one, other = run_of(results, ONE), run_of(results, OTHER)
    judged = next(run.name for run in (results / "runs").iterdir() if JUDGED in run.name)
    problem = load_problems(load_suite("synth_easy"), None, 0, 4)[0].id
    return [
        *(["leaderboard", "--format", form] for form in ("table", "json", "csv", "md")),
        ["leaderboard", "--html", str(results / "page.html")],
        ["compare", one, other],
        *(["show", run, *more] for run in (one, judged) for more in ([], ["--json"], ["--problem", problem])),
        ["list", "runs"],
        ["score", one],
        ["diversity", one, "--metric", "distinct-1"],
        ["export", one, "--to", "lm-eval", "--out", str(results / "out")],
        ["plan", "--run", one, "--detect", "3pp", "--suite", "synth_easy"],
        ["gate", "--baseline", str(results / "base.json"), "--candidate", other, "--margin", "5pp"],
        ["gate", "--baseline", one, "--candidate", other, "--margin", "5pp", "--json"],
        *(["models", *words] for words in (["list"], ["show", "one-sft"], ["diff", "one-sft", "two-sft"])),
        ["run", *SUITE, "--model", "mock:gold", "--quiet"],
    ]


def survives(results: Path, args: list[str]) -> Result:
    """Run a command; anything but a result or an error of ours, in one line, is a bug."""
    outcome = CliRunner().invoke(cli, [*args, "--results-dir", str(results)], standalone_mode=False)
    error = outcome.exception
    if error is not None and not isinstance(error, HarnessError | click.ClickException | OSError | SystemExit):
        raise AssertionError(f"{args}: {error!r}") from error
    return outcome


def files_of(results: Path) -> list[Path]:
    return sorted(path for path in results.rglob("*") if path.is_file() and path.name != ".lock")


def places(tree: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield at
    items = tree.items() if isinstance(tree, dict) else enumerate(tree[:4]) if isinstance(tree, list) else ()
    for key, value in items:
        yield from places(value, (*at, key))


def put(tree: Any, place: tuple[Any, ...], value: Any, *, remove: bool = False) -> Any:
    if not place:
        return value
    tree = copy.deepcopy(tree)
    inner = tree
    for key in place[:-1]:
        inner = inner[key]
    if remove:
        del inner[place[-1]]
    else:
        inner[place[-1]] = value
    return tree


def written(tree: Any) -> str:
    text = json.dumps(tree)
    for mark, literal in TEXTS.items():
        text = text.replace(json.dumps(mark), literal)
    return text


def spoil_json(path: Path, rng: random.Random) -> None:
    """One to three changed, removed or added values in one JSON value of a file."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.suffix == ".jsonl" else [path.read_text("utf-8")]
    index = rng.randrange(len(lines))
    tree = json.loads(lines[index])
    for _ in range(rng.randint(1, 3)):
        place = rng.choice([place for place in places(tree) if place] or [()])
        tree = put(tree, place, rng.choice(VALUES), remove=bool(place) and rng.random() < 0.25)
    lines[index] = written(tree)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def spoil_bytes(path: Path, rng: random.Random) -> None:
    data = bytearray(path.read_bytes())
    for _ in range(4):
        data[rng.randrange(len(data))] = rng.randrange(256)
    path.write_bytes(data[: rng.choice([len(data), rng.randrange(len(data))])])


def replaced(make: Callable[[Path], object]) -> Callable[[Path], None]:
    def spoil(path: Path) -> None:
        path.unlink()
        make(path)

    return spoil


STAND_INS: dict[str, Callable[[Path], None]] = {
    "pipe": replaced(os.mkfifo),
    "endless": replaced(lambda path: path.symlink_to("/dev/zero")),
    "link": replaced(lambda path: path.symlink_to(path.parents[3] / "precious")),
    "folder": replaced(lambda path: path.mkdir()),
    "empty": replaced(lambda path: path.touch()),
    "deep": replaced(lambda path: path.write_bytes(b"[" * 200_000)),
    "gone": replaced(lambda path: None),
    "marked": lambda path: path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes()) and None,
}


def fresh(pristine: Path, tmp_path: Path, name: str) -> Path:
    results = tmp_path / name / "a" / "results"
    shutil.copytree(pristine, results)
    return results


@pytest.mark.timeout(120)
@pytest.mark.parametrize("kind", STAND_INS)
def test_what_is_no_file_is_told_and_nothing_hangs(kind: str, pristine: Path, tmp_path: Path) -> None:
    rng = random.Random(kind)
    for number, file in enumerate(files_of(pristine)):
        results = fresh(pristine, tmp_path, str(number))
        precious = results.parents[1] / "precious"
        precious.write_text("precious", encoding="utf-8")
        STAND_INS[kind](results / file.relative_to(pristine))
        for command in [*rng.sample(commands(results), 2), ["leaderboard"]]:
            survives(results, command)
        assert precious.read_text(encoding="utf-8") == "precious"
        shutil.rmtree(results.parents[1])


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(seed=st.integers(0, 2**32))
def test_structured_damage_is_told_or_left_out(seed: int, pristine: Path, tmp_path: Path) -> None:
    rng = random.Random(seed)
    results = fresh(pristine, tmp_path, mkdtemp(dir=tmp_path))
    file = rng.choice(files_of(results))
    spoil = spoil_json if file.suffix in (".json", ".jsonl") and rng.random() < 0.9 else spoil_bytes
    spoil(file, rng)
    for command in rng.sample(commands(results), 3):
        survives(results, command)
    shutil.rmtree(results.parents[1])


@pytest.mark.parametrize("value", [HUGE, "@@NAN@@", -1e308, None, [], {"a": 1}, "x"], ids=str)
def test_a_wrong_value_anywhere_in_a_result_leaves_the_others_on_the_board(
    value: Any, pristine: Path, tmp_path: Path
) -> None:
    results = fresh(pristine, tmp_path, "board")
    path = results / "runs" / run_of(results, ONE) / "result.json"
    tree = json.loads(path.read_text(encoding="utf-8"))
    for place in places(tree):
        path.write_text(written(put(tree, place, value)), encoding="utf-8")
        outcome = survives(results, ["leaderboard", "--json"])
        models = {row["model"] for row in json.loads(outcome.stdout)["rows"]}
        assert "mock:wrong" in models
        assert "mock:gold" in models or "left out" in outcome.stderr or place[:1] in (("model",), ("judge",))


def test_a_number_that_is_none_in_a_result_can_be_scored_again(pristine: Path, tmp_path: Path) -> None:
    results = fresh(pristine, tmp_path, "again")
    path = results / "runs" / run_of(results, ONE) / "result.json"
    tree = json.loads(path.read_text(encoding="utf-8"))
    for place in (place for place in places(tree) if place[:1] in (("totals",), ("environment",), ("sampling",))):
        path.write_text(written(put(tree, place, "@@NAN@@")), encoding="utf-8")
        survives(results, ["score", run_of(results, ONE)])
