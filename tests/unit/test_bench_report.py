"""What `harness bench` shows: tables, JSON, Markdown, the page; presets; and the command with a fake trainer."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from bench_fakes import FakeTrainer, Quiet, mock_evaluation, stored_arm
from click.testing import CliRunner, Result
from stored_runs import coin

from backends.assign import parse_budget
from backends.config import TrainConfig
from harness.bench.compare import SuiteComparison, compare_suites
from harness.bench.page import check_report, loss_curves, noise_bars, scatter, write_report
from harness.bench.presets import PRESETS, find_preset
from harness.bench.report import all_tables, suite_table, training_table, variance_table
from harness.bench.spec import Arm, BenchSpec
from harness.bench.training import BackendTrainer
from harness.catalog import entries
from harness.cli import bench_run
from harness.cli.bench import command
from harness.cli.progress import JudgeProgress
from harness.config import RunConfig
from harness.errors import ConfigError, DataError, TooManyFailures, TrainingStopped, UnknownName, UsageError
from harness.registry import models_dir
from harness.report.page.charts import curves
from harness.report.table import render
from harness.run.pipeline import Outcome, run
from tests.tiny_model import write_model

HOSTILE = 'a<script>alert(1)</script>"&\x1b[31m'


def arms(results: Path) -> tuple[Arm, ...]:
    return (
        stored_arm(results, "sft", "method", [coin(0.5, 40, s) for s in range(3)]),
        stored_arm(results, HOSTILE, "method", [coin(0.7, 40, s) for s in range(3, 6)], tokens=80),
        stored_arm(results, "tiny", "student", [coin(0.2, 40, 9)]),
        Arm("krsl", "method", (), ("no record has 'rejected'",)),
    )


def compared(results: Path, rows: tuple[Arm, ...]) -> tuple[SuiteComparison, ...]:
    return compare_suites(rows, {"toy": 1}, results)


def spec() -> BenchSpec:
    return BenchSpec(("sft", "emo"), 3, "tiny", RunConfig())


def test_the_table_has_a_row_for_every_method_failed_ones_too(tmp_path: Path) -> None:
    rows = arms(tmp_path)
    (found,) = compared(tmp_path, rows)
    text = render([suite_table(found)], "table")
    assert re.search(r"krsl\s+0\s+failed", text)
    assert " vs sft" in text and "tokens vs sft" in text and "train tokens" in text and "p (Holm)" in text
    assert "\x1b" not in text
    assert "krsl: no record has 'rejected'" in render([training_table(rows)], "table")


def test_json_has_intervals_components_and_the_models_behind_a_row(tmp_path: Path) -> None:
    rows = arms(tmp_path)
    (found,) = compared(tmp_path, rows)
    shown = json.loads(render([suite_table(found)], "json"))["rows"]
    sft, other, control, krsl = shown
    accuracy = sft["measures"]["accuracy"]
    assert accuracy["low"] <= accuracy["value"] <= accuracy["high"]
    assert len(accuracy["by_seed"]) == 3
    assert accuracy["versus"] is None
    assert [c["sources"] for c in accuracy["components"]][:2] == [["training seed"], ["question"]]
    versus = other["measures"]["accuracy"]["versus"]
    assert versus["p_holm"] >= versus["p"]
    assert other["measures"]["tokens_out"]["versus"]["value"] == -20
    assert sft["train_tokens"] == pytest.approx(1001)
    assert sft["models"] == [f"trained:sft-{seed}" for seed in range(3)]
    assert control["kind"] == "student" and control["train_tokens"] is None
    assert krsl["value"] is None and krsl["failures"] == ["no record has 'rejected'"]


def test_components_that_cannot_be_told_apart_say_so(tmp_path: Path) -> None:
    one_seed = (stored_arm(tmp_path, "sft", "method", [coin(0.5, 40, 1)]),)
    (found,) = compared(tmp_path, one_seed)
    text = render([variance_table(found)], "table")
    assert "(in question)" in text
    assert "one training seed: what another seed would give is not in the interval" in text


def test_the_page_is_whole_and_safe(tmp_path: Path) -> None:
    rows = arms(tmp_path)
    for arm in rows:
        for member in arm.members:
            if member.card is not None and arm.name == "sft":
                folder = models_dir(tmp_path) / member.card.id
                folder.mkdir(parents=True)
                lines = [json.dumps({"tokens": 10 * i, "loss": 1 / (i + 1)}) for i in range(5)]
                (folder / "metrics.jsonl").write_text("\n".join([*lines, "{torn", '{"loss": null, "tokens": 1}']))
    path = tmp_path / "report.html"
    write_report(path, spec(), rows, compared(tmp_path, rows), tmp_path)
    page = path.read_text()
    assert page.count("<script") == 3 and "\x1b" not in page  # the page's own, and its data
    own = page[page.index('<section id="board">') : page.index('<p id="failed"')]
    assert not re.search(r"<script|(?:src|href)\s*=|url\(|@import|https?://", own)
    figures = re.findall(r"<figure>.*?</figure>", own, re.DOTALL)
    assert len(figures) == 3
    for figure in figures:
        ElementTree.fromstring(figure)
    assert figures[2].count("<polyline") == 3
    assert len(loss_curves(rows, tmp_path)[0][1]) == 5
    assert figures[0].count('r="2.5"') == 6  # a dot for each trained seed


def test_markdown_has_all_tables(tmp_path: Path) -> None:
    rows = arms(tmp_path)
    path = tmp_path / "report.md"
    write_report(path, spec(), rows, compared(tmp_path, rows), tmp_path)
    text = path.read_text()
    assert text.startswith("# sft, emo on tiny: 3 seeds, each for its own epochs")
    assert text.count("### ") == len(all_tables(rows, compared(tmp_path, rows)))
    assert not re.search(r"(?<!\\)<script", text)


def test_pictures_of_nothing_are_left_out(tmp_path: Path) -> None:
    (found,) = compared(tmp_path, (Arm("sft", "method", (), ("failed",)),))
    assert scatter(found) == noise_bars(found) == curves([("sft", ())]) == ""
    flat = (stored_arm(tmp_path, "sft", "method", [[0.0] * 9] * 2, tokens=5),)
    (found,) = compared(tmp_path, flat)
    assert "<figure>" in scatter(found)  # no spread at all is no division by zero
    assert noise_bars(found) == ""
    assert curves([("sft", ((0.0, 1.0), (1.0, float("nan"))))]) == ""


def test_a_report_that_cannot_be_written_is_told_before_training(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\.html or \.md"):
        check_report(tmp_path / "report.pdf")
    with pytest.raises(UsageError, match="no folder"):
        check_report(tmp_path / "nowhere" / "report.md")


# --- presets and assignments ------------------------------------------------------------------------------------------


def test_presets_are_valid() -> None:
    for by_student in PRESETS.values():
        for student, preset in by_student.items():
            assert preset["student"] == student
            assert preset.keys() <= {parameter.name for parameter in command.params}
            assert parse_budget(preset["budget"])[0] is not None
            trainer = trainer_for(preset["methods"], preset["assignments"])
            for method in preset["methods"]:
                if method in entries("method"):
                    trainer.config(method, 0)


def test_the_command_line_wins_over_a_preset() -> None:
    empty: dict[str, Any] = dict.fromkeys(("student", "data", "seeds", "budget", "n", "limit"))
    given = {**empty, "preset": "demo", "methods": (), "suite": (), "assignments": {"batch_size": "2"}, "seeds": 5}
    found = bench_run.with_preset(given)
    assert (found["seeds"], found["student"]) == (5, "tiny")
    assert found["assignments"]["batch_size"] == "2"
    assert found["assignments"]["learning_rate"] == PRESETS["demo"]["tiny"]["assignments"]["learning_rate"]
    other = bench_run.with_preset({**given, "student": "smollm2"})
    assert other["precision"] == "bf16" and "lora_rank" in other["assignments"]
    with pytest.raises(UnknownName, match="demo"):
        find_preset("dem", None)


def trainer_for(methods: tuple[str, ...], assignments: dict[str, str] | Any) -> BackendTrainer:
    base = TrainConfig(method=methods[0], student="tiny", data="synth")
    return BackendTrainer(base, methods, assignments, Path("results"), lambda: lambda progress: None)


def test_assignments_are_for_all_methods_or_for_one() -> None:
    trainer = trainer_for(
        ("sft", "krsl"),
        {"learning_rate": "1e-4", "krsl.learning_rate": "1e-3", "krsl.alpha": "0.5", "krsl.sft.epochs": "2"},
    )
    sft, krsl = trainer.config("sft", 0), trainer.config("krsl", 1)
    assert (sft.settings, sft.options, sft.seed) == ({"learning_rate": 1e-4}, {}, 0)
    assert krsl.settings == {"learning_rate": 1e-3, "sft.epochs": 2.0}
    assert (krsl.options, krsl.seed) == ({"alpha": "0.5"}, 1)
    with pytest.raises(ConfigError, match="no setting"):
        trainer_for(("sft",), {"emo.learning_speed": "1"}).config("sft", 0)


def test_how_a_student_draws_is_for_the_methods_that_let_it_draw() -> None:
    trainer = trainer_for(
        ("sft", "grpo"), {"rollout.group": "4", "reward.letters.chosen": "a", "grpo.rollout.updates": "2"}
    )
    assert not trainer.config("sft", 0).rollout and not trainer.config("sft", 0).reward
    assert trainer.config("grpo", 0).rollout == {"group": 4, "updates": 2}
    assert trainer.config("grpo", 0).reward == {"letters.chosen": "a"}


def test_a_plan_tells_the_settings_of_every_stage(tmp_path: Path) -> None:
    student = write_model(tmp_path / "student", context=1024)
    base = TrainConfig(method="krsl", student=f"hf:{student}", data="synth:levels=1,per_level=8")
    assignments = {"learning_rate": "1e-3", "krsl.key_steps.learning_rate": "1e-4", "lora_rank": "none"}
    trainer = BackendTrainer(base, ("krsl",), assignments, tmp_path, lambda: lambda progress: None)
    told = trainer.plan("krsl", 0).settings
    assert (told["learning_rate"], told["lora_rank"]) == ("0.001 then 0.0001", "none")


def test_harness_train_makes_the_models_that_bench_looks_for() -> None:
    from harness.cli.train import _config

    assignments = {"learning_rate": "0.0001", "alpha": "0.5"}
    flags = {"method": "krsl", "student": "tiny", "data": "synth", "teacher": None, "seed": 2, "max_length": None}
    alone = _config(None, assignments, "2ktok", flags)
    base = TrainConfig(method="sft", student="tiny", data="synth", budget_tokens=2000)
    trainer = BackendTrainer(
        base, ("sft", "krsl"), {"learning_rate": "1e-4", "krsl.alpha": "0.5"}, Path("results"), lambda: print
    )
    assert trainer.config("krsl", 2).identity() == alone.identity()


# --- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeTrainer:
    trainer = FakeTrainer(tmp_path)
    monkeypatch.setattr(bench_run, "_trainer", lambda given, spec: trainer)
    monkeypatch.setattr(
        bench_run, "_evaluate", lambda config, quiet, model: mock_evaluation(config, {"emo": 0.9})(model)
    )
    return trainer


def invoke(results: Path, *more: str) -> Result:
    told = ["--methods", "sft,emo", "--student", "mock:gold", "--data", "synth", "--seeds", "2", "--suite", "synth"]
    where = ["--limit", "12", "--results-dir", str(results)]
    return CliRunner().invoke(command, [*told, *where, *more], standalone_mode=False)


def test_the_command_prints_tables_and_writes_the_report(tmp_path: Path, fake: FakeTrainer) -> None:
    done = invoke(tmp_path, "--report", str(tmp_path / "r.html"))
    assert done.exception is None, done.exception
    assert "synth: mean over seeds and problems" in done.stdout
    assert "untrained mock:gold" in done.stdout
    assert "[4/4] emo, seed 1: training tiny-emo-1" in done.stderr
    page = (tmp_path / "r.html").read_text()
    assert page[: page.index('<p id="failed"')].count("<figure>") == 2  # nothing was logged, so there are no curves
    again = invoke(tmp_path, "--json")
    assert len(fake.trained) == 4
    shown = json.loads(again.stdout)
    assert [row["model"] for row in shown["rows"]] == ["sft", "emo", "untrained mock:gold"]
    assert shown["bench"]["seeds"] == 2 and len(shown["trainings"]) == 4


def test_the_students_options_hold_for_what_is_trained_from_it(
    tmp_path: Path, fake: FakeTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: dict[str, dict[str, str]] = {}

    def evaluate(config: RunConfig, quiet: bool, model: str) -> Outcome:
        told[model] = config.options_of(model)
        return mock_evaluation(config, {})(model)

    monkeypatch.setattr(bench_run, "_evaluate", evaluate)
    own = ("--model-arg", "mock:gold:dtype=float32", "--model-arg", "mock:gold:revision=main")
    done = invoke(tmp_path, *own, "--model", "mock:wrong", "--model-arg", "spread=1", "--seeds", "1")
    assert done.exception is None, done.exception
    assert told == {
        "trained:tiny-sft-0": {"spread": "1", "dtype": "float32"},
        "trained:tiny-emo-0": {"spread": "1", "dtype": "float32"},
        "mock:gold": {"spread": "1", "dtype": "float32", "revision": "main"},
        "mock:wrong": {"spread": "1"},
    }


def test_a_preset_takes_fewer_methods(tmp_path: Path) -> None:
    given = {"preset": "demo", "student": None, "methods": ("sft,krsl",), "assignments": {"krsl.alpha": "1"}}
    taken = bench_run.with_preset(given)
    assert taken["methods"] == ("sft,krsl",) and taken["assignments"]["krsl.sft_share"] == "0.8"
    assert not any(key.startswith("thinkanswer.") for key in taken["assignments"])
    assert taken["assignments"]["learning_rate"] == "1e-3" and taken["assignments"]["krsl.alpha"] == "1"
    said = bench_run.with_preset(given | {"assignments": {"thinkanswer.cot_ce_weight": "1"}})
    assert said["assignments"]["thinkanswer.cot_ce_weight"] == "1"  # what the user says is told to be of no method
    assert "thinkanswer.cot_ce_weight" in bench_run.with_preset(given | {"methods": ()})["assignments"]


def test_a_judge_adds_a_column(tmp_path: Path, fake: FakeTrainer, monkeypatch: pytest.MonkeyPatch) -> None:
    def evaluate(config: RunConfig, quiet: bool, model: str) -> Outcome:
        chosen = replace(config, model=("mock:gold",), model_options={"variant": model, "think": "true"})
        return run(chosen, Quiet, lambda: JudgeProgress(quiet=True))

    monkeypatch.setattr(bench_run, "_evaluate", evaluate)
    done = invoke(tmp_path, "--judge", "mock:judge", "--rubric", "cot_math", "--seeds", "1", "--json")
    assert done.exception is None, done.exception
    for row in json.loads(done.stdout)["rows"]:
        assert 0.0 < row["measures"]["judged"]["value"] < 1.0
        assert row["metric"] == "accuracy"


def test_without_a_budget_a_note_says_what_is_compared(tmp_path: Path, fake: FakeTrainer) -> None:
    assert "compares recipes and not methods" in invoke(tmp_path, "--dry-run").stderr
    assert "warning: no --budget" in invoke(tmp_path, "--quiet").stdout  # and under the table
    for more in (["--budget", "1ktok"], ["--set", "max_steps=2"]):
        assert "recipes" not in invoke(tmp_path, "--dry-run", *more).stderr


def test_a_dry_run_spends_nothing(tmp_path: Path, fake: FakeTrainer) -> None:
    done = invoke(tmp_path, "--dry-run", "--model", "mock:wrong")
    assert done.exception is None, done.exception
    assert "4,000 tokens to train in all" in done.stdout
    (requests,) = re.findall(r"synth\s+(\d+)\s+12\s+1\s+(\d+)", done.stdout)
    assert requests == ("6", "72")  # four trained models, the control, one more
    assert fake.trained == [] and not (tmp_path / "runs").exists()


def test_a_failed_method_is_shown_and_sets_the_exit_code(tmp_path: Path, fake: FakeTrainer) -> None:
    fake.stop = {("emo", 0): TrainingStopped("NaN"), ("emo", 1): TrainingStopped("NaN")}
    done = invoke(tmp_path)
    assert re.search(r"emo\s+0\s+failed", done.stdout)
    assert isinstance(done.exception, TooManyFailures)
    assert done.exception.exit_code == 1


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--report", "x.pdf"], "ending in"),
        (["--rubric", "cot_math"], "say --judge"),
        (["--model", "mock:nobody"], "unknown mock model"),
        (["--preset", "nope"], "unknown preset"),
        (["--seeds", "0"], "out of range"),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_trained(
    tmp_path: Path, fake: FakeTrainer, more: list[str], words: str
) -> None:
    done = invoke(tmp_path, *more)
    assert words in str(done.exception)
    assert fake.trained == []


def test_several_processes_are_told_what_to_do(tmp_path: Path, fake: FakeTrainer, monkeypatch: Any) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert "accelerate launch" in str(invoke(tmp_path).exception)


def test_a_teacher_that_is_only_a_name_gets_no_row(tmp_path: Path, fake: FakeTrainer) -> None:
    done = invoke(tmp_path, "--teacher", "gold-traces", "--json")
    assert "the teacher gets no row" in done.stderr
    assert json.loads(done.stdout)["bench"]["teacher"] is None


def test_a_method_that_cannot_begin_is_in_the_dry_run(tmp_path: Path, fake: FakeTrainer) -> None:
    fake.refuse = {"emo": DataError("no record has 'rejected'")}
    done = invoke(tmp_path, "--dry-run")
    assert "emo cannot begin: no record has 'rejected'" in done.stdout
