"""`harness list runs` says what comes next for every run; methods and recipes are listed and shown in full."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from stored_runs import make_run

from harness.cli.main import cli
from harness.cli.run_list import SAID
from harness.errors import SeveralRuns, UnknownName, UsageError
from harness.report.page.gather import gather
from harness.run.folder import RunFolder, find_run, find_runs
from harness.run.spec import RunSpec
from harness.types import Sampling

MOCK = {"engine": "mock"}
FILE = {"engine": "file", "model": "m"}


def spec_of(identity: Any) -> str:
    return json.dumps(
        RunSpec("toy", "1", "0" * 64, "file:m", {}, Sampling(), None).to_json() | {"model_identity": identity}
    )


@pytest.mark.parametrize(
    ("spec", "judged", "expected"),
    [
        (spec_of(MOCK), False, SAID["unfinished"]),
        (spec_of(FILE), False, SAID["imported"]),
        (spec_of(FILE), True, "judged"),
        (spec_of(["file"]), False, SAID["unfinished"]),
        ("{", False, SAID["unfinished"]),
    ],
)
def test_the_state_of_a_run_without_a_result(tmp_path: Path, spec: str, judged: bool, expected: str) -> None:
    for name in ("a-run", "a-run@rubric-judge") if judged else ("a-run",):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "spec.json").write_text(spec, encoding="utf-8")
    out = CliRunner().invoke(cli, ["list", "runs", "--results-dir", str(tmp_path), "--json"]).output
    assert {row["name"]: row["summary"] for row in json.loads(out)["rows"]}["a-run"] == expected


def test_runs_of_one_model_are_shown_by_what_differs_and_judged_ones_are_found(tmp_path: Path) -> None:
    for seed in (0, 1):
        make_run(tmp_path, "mock:a", [1.0, 0.0], run_id=f"toy-{seed}", seed=seed)
    make_run(tmp_path, "mock:a", [1.0, 0.0], run_id="toy-0@rubric-judge", judge="rubric by judge")
    args = ["list", "runs", "--results-dir", str(tmp_path)]
    out = CliRunner().invoke(cli, args).output
    assert "mock:a [seed=0]" in out and "mock:a [seed=1]" in out
    assert {row["model"] for row in json.loads(CliRunner().invoke(cli, [*args, "--json"]).output)["rows"]} == {"mock:a"}
    judged = CliRunner().invoke(cli, [*args, "--state", "judged", "--json"]).output
    assert [row["name"] for row in json.loads(judged)["rows"]] == ["toy-0@rubric-judge"]


def test_show_says_the_same(tmp_path: Path) -> None:
    (tmp_path / "runs" / "a-run").mkdir(parents=True)
    (tmp_path / "runs" / "a-run" / "spec.json").write_text(spec_of(FILE), encoding="utf-8")
    out = CliRunner().invoke(cli, ["show", "a-run", "--results-dir", str(tmp_path), "--json"]).output
    assert json.loads(out)["result"] == SAID["imported"]


def test_letters_of_several_runs_are_told_with_these(tmp_path: Path) -> None:
    for name in ("toy-a-1", "toy-a-2", "other"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "spec.json").write_text(spec_of(MOCK), encoding="utf-8")
    with pytest.raises(SeveralRuns) as told:
        cli.main(["show", "toy-a", "--results-dir", str(tmp_path)], standalone_mode=False)
    assert str(told.value) == "'toy-a' is the beginning or part of 2 runs: toy-a-1, toy-a-2. Write more of it"


def test_a_model_with_a_name_is_shown_as_its_engine(tmp_path: Path) -> None:
    out = CliRunner().invoke(cli, ["show", "mock:gold"]).output
    alone = CliRunner().invoke(cli, ["show", "mock"]).output
    assert out.startswith("model mock:gold, of the engine mock:\n")
    assert out.partition("\n")[2] == alone.partition("\n")[2]
    with pytest.raises(UsageError, match="a model of the registry: `harness models show tiny-sft-1` shows it"):
        cli.main(["show", "trained:tiny-sft-1"], standalone_mode=False)
    with pytest.raises(UnknownName, match="unknown name or run 'nosuch:gold'"):
        cli.main(["show", "nosuch:gold", "--results-dir", str(tmp_path)], standalone_mode=False)


@pytest.mark.parametrize("kind", ["judgings", "judging"])
def test_judging_protocols_are_listed_by_either_name(kind: str) -> None:
    assert "mt_bench_pair" in CliRunner().invoke(cli, ["list", kind]).output


def test_recipes_are_listed() -> None:
    out = CliRunner().invoke(cli, ["list", "recipes"]).output
    assert "\nthinkanswer:qwen-7b-math" in out


def test_a_recipe_is_shown_and_the_variants_of_one_are_named() -> None:
    out = CliRunner().invoke(cli, ["show", "edit"]).output
    assert "arXiv 2405.19737" in out and "\n    settings.key_steps.learning_rate: 5e-06 (code)\n" in out
    assert "\n  notes:\n    The authors' stage 1 reads" in out
    out = CliRunner().invoke(cli, ["show", "thinkanswer"]).output
    assert out.startswith("method:\n") and "\nrecipes:\n" in out and "\n  thinkanswer:qwen-7b-math: " in out
    assert "\n    method: mle" not in CliRunner().invoke(cli, ["show", "gsm8k"]).output


def test_a_reward_is_listed_and_shown_with_its_bounds_and_options() -> None:
    listed = CliRunner().invoke(cli, ["list", "rewards"]).output
    assert "\nformat " in f"\n{listed}" and "1 for a reply in the form that was asked for" in listed
    out = CliRunner().invoke(cli, ["show", "length"]).output
    assert "from: -1.0\n  to: 0.0" in out and "options (--set reward.length.NAME):\n    limit: int (Tokens" in out
    assert "records need: gold" in CliRunner().invoke(cli, ["show", "accuracy"]).output


def test_a_method_is_shown_with_paper_options_and_settings() -> None:
    out = CliRunner().invoke(cli, ["show", "krsl"]).output
    assert "beta: float = 0.025 (Weight with which the key tokens of wrong responses are unlearned)" in out
    assert "micro_batch: int | None = None (Examples per forward pass on one device" in out
    assert "arXiv 2405.19737" in out
    assert "    beta: float = 0.025" in out
    assert "    key_steps:\n      records need: response, rejected\n" in out
    assert "      learning_rate: 5e-06" in out
    assert "authors' code" in out.partition("deviations:")[2]


@pytest.mark.parametrize("columns", ["80", "100", "120", ""])
@pytest.mark.parametrize("kind", ["suites", "metrics", "methods", "runs"])
def test_names_and_words_are_whole_at_any_width(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, columns: str
) -> None:
    (tmp_path / "runs" / ("synth_easy-" + "a-long-name-" * 6)).mkdir(parents=True)
    where = ["list", kind, "--results-dir", str(tmp_path)]
    rows = json.loads(CliRunner().invoke(cli, [*where, "--json"]).stdout)["rows"]
    monkeypatch.setenv("COLUMNS", columns) if columns else monkeypatch.delenv("COLUMNS", raising=False)
    shown = CliRunner().invoke(cli, where).stdout
    assert {word for row in rows for cell in (row["name"], row["summary"]) for word in cell.split()} <= set(
        shown.split()
    )
    if columns and kind != "runs":  # a run's id is one word, wider than this
        assert all(len(line) <= int(columns) or " " not in line.strip() for line in shown.splitlines())
    elif not columns:
        assert len(shown.splitlines()) == len(rows) + (2 if kind == "runs" else 0)  # a table has a head


def finished(results: Path, suite: str, model: str) -> None:
    words = ["run", "--suite", suite, "--limit", "4", "--model", model, "--results-dir", str(results), "--quiet"]
    assert CliRunner().invoke(cli, words).exit_code == 0


def test_a_list_of_runs_says_what_each_came_to_and_can_be_narrowed(tmp_path: Path) -> None:
    finished(tmp_path, "synth_easy", "mock:gold")
    finished(tmp_path, "synth_easy", "mock:wrong")
    (tmp_path / "runs" / "damaged").mkdir()
    (tmp_path / "runs" / "damaged" / "result.json").write_text("{")
    told = ["list", "runs", "--results-dir", str(tmp_path)]
    shown = CliRunner().invoke(cli, told).stdout.splitlines()
    assert [" ".join(title.split()) for title in shown[:1]] == ["run suite model score date state"]
    assert "damaged" in shown[2] and "avg@n 100.0 [39.8, 100.0] %" in shown[3] and "mock:wrong" in shown[4]
    rows = json.loads(CliRunner().invoke(cli, [*told, "--model", "mock:gold", "--json"]).stdout)["rows"]
    assert [(row["suite"], row["value"], row["state"]) for row in rows] == [("synth_easy", 1.0, "finished")]
    assert json.loads(CliRunner().invoke(cli, [*told, "--state", "imported", "--json"]).stdout)["rows"] == []
    assert isinstance(CliRunner().invoke(cli, ["list", "suites", "--state", "finished"]).exception, UsageError)


def test_a_model_s_name_means_its_runs_where_they_are_unambiguous(tmp_path: Path) -> None:
    for suite in ("synth_easy", "synth_choice"):
        finished(tmp_path, suite, "mock:gold")
    finished(tmp_path, "synth_easy", "mock:wrong")
    assert find_run(tmp_path, "mock:wrong").result.suite == "synth_easy"
    with pytest.raises(SeveralRuns, match="'mock:gold' is a model with 2 runs"):
        find_run(tmp_path, "mock:gold")
    compared = ["compare", "mock:gold", "mock:wrong", "--results-dir", str(tmp_path), "--json"]
    result = CliRunner().invoke(cli, compared)
    assert [row["suite"] for row in json.loads(result.stdout)["rows"]] == ["synth_easy"]
    assert "left out, as not all have a run of it: synth_choice" in result.stderr
    words = ["run", "--suite", "synth_easy", "--limit", "5", "--model", "mock:gold", "--quiet"]
    assert CliRunner().invoke(cli, [*words, "--results-dir", str(tmp_path)]).exit_code == 0
    with pytest.raises(SeveralRuns, match="3 runs"):  # two of one suite: which is meant?
        find_runs(tmp_path, "mock:gold")
    with pytest.raises(UsageError, match="no run 'mock:silent'"):
        find_run(tmp_path, "mock:silent")


def test_a_method_whose_student_writes_shows_how_it_draws() -> None:
    out = CliRunner().invoke(cli, ["show", "scope"]).output
    assert "rollout.temperature: 0.6" in out and "drawing (--set rollout.NAME):" in out and "truncated:" in out
    assert "rollout" not in CliRunner().invoke(cli, ["show", "redi"]).output


def test_a_choice_by_name_shows_what_there_is_to_choose() -> None:
    out = CliRunner().invoke(cli, ["show", "opd"]).output
    assert "clip: Literal['ppo', 'off', 'cispo', 'dual'] | None = 'off'" in out
    assert "end: Literal['same', 'mask'] = 'same'" in out and "coef: float = 1.0" in out


def test_a_damaged_run_is_not_replaced_by_what_a_judge_said_of_it(tmp_path: Path) -> None:
    make_run(tmp_path, "m:a", [1.0] * 4, run_id="toy-a")
    make_run(tmp_path, "m:a", [0.0] * 4, run_id="toy-a@r-j", judge="r@1 by j")
    for name in ("toy-a", "toy-a@r-j"):
        (tmp_path / "runs" / name / "spec.json").write_text(spec_of(MOCK).replace("file:m", "m:a"), encoding="utf-8")
    (tmp_path / "runs" / "toy-a" / "spec.json").write_text("", encoding="utf-8")
    assert find_run(tmp_path, "m:a").name == "toy-a" and [run.name for run in find_runs(tmp_path, "m:a")] == ["toy-a"]


def test_a_folder_that_was_copied_is_a_run_of_its_own(tmp_path: Path) -> None:
    shutil.copytree(make_run(tmp_path, "m:a", [1.0] * 4, run_id="toy-a"), tmp_path / "runs" / "backup")
    assert find_run(tmp_path, "backup").result.run_id == "backup"


def test_a_damaged_result_is_listed_with_what_is_known(tmp_path: Path) -> None:
    for name, spec in (("a-run", spec_of(MOCK)), ("b-run", "{")):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "spec.json").write_text(spec, encoding="utf-8")
        (tmp_path / "runs" / name / "result.json").write_text("", encoding="utf-8")
    out = CliRunner().invoke(cli, ["list", "runs", "--results-dir", str(tmp_path)]).output
    assert "None" not in out and ["a-run", "toy", "file:m", "damaged"] in [
        line.split()[:4] for line in out.splitlines()
    ]


def test_two_runs_of_one_name_are_refused(tmp_path: Path) -> None:
    paths = [make_run(tmp_path / where, "m:a", [1.0] * 4, run_id="toy") for where in "ab"]
    with pytest.raises(UsageError, match="two of these runs are called 'toy'"):
        gather([RunFolder(path) for path in paths], None)
