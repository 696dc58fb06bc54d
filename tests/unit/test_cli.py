"""The command line: documented exit codes, one clear line for bad input, JSON that machines can read."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest

from harness import catalog
from harness.cli import main
from harness.cli.main import COMMANDS, entry

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def harness(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Any:
    """Run a command in this process: (exit code, stdout, stderr)."""
    monkeypatch.setenv("HARNESS_RESULTS_DIR", str(tmp_path / "results"))
    monkeypatch.delenv("HARNESS_DATA_DIR", raising=False)

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["harness", *arguments])
        with pytest.raises(SystemExit) as stop:
            entry()
        captured = capsys.readouterr()
        return int(stop.value.code or 0), captured.out, captured.err

    return call


SYNTH = ("run", "--suite", "synth", "--limit", "8", "--quiet")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["run", "--suite", "amie", "--model", "mock:gold"], 2, "Did you mean 'aime'"),
        (["run", "--suite", "synth", "--model", "mokc:gold"], 2, "Did you mean 'mock'"),
        (["run", "--suite", "synth", "--model", "mock:golden"], 2, "gold"),
        (["run", "--suite", "synth"], 2, "no model"),
        (["run", "--model", "mock:gold"], 2, "no suite"),
        (["run", "--suite", "synth", "--model", "mock:gold", "--n", "0"], 2, "out of range"),
        (["run", "--suite", "synth:many", "--model", "mock:gold"], 2, "many"),
        (["run", "--suite", "synth", "--model", "mock:gold", "--protocol", "r2"], 2, "Did you mean 'r1'"),
        (["run", "--suite", "synth", "--model", "mock:gold", "--metric", "pass@999"], 2, "at least 999 samples"),
        (["run", "--suite", "synth", "--model", "mock:gold", "--model-arg", "acuracy=1"], 2, "Did you mean 'accuracy'"),
        (["run", "--suite", "synth", "--model", "mock:gold", "--model-arg", "accuracy"], 2, "key=value"),
        (["run", "--suite", "math500", "--model", "mock:gold", "--data-dir", "/nowhere"], 2, "/nowhere"),
        (["run", "--suite", "synth", "--model", "hf:/no/such/folder"], 3, "/no/such/folder"),
        (["run", "--suite", "synth", "--model", "mock:gold", "--results-dir", "/dev/null"], 2, "another folder"),
        (["run", "--suite", "gym:chain_sums", "--model", "mock:gold"], 2, "Did you mean 'chain_sum'"),
        (["run", "--suite", "synth", "--model", "mock:gold", "--model", "mock:gold"], 2, "named twice"),
        (["run", "--suite", "synth", "--model", "mock:gold", "--results-dir", ""], 2, "it is empty"),
        (["run", "--suite", "synth", "--model", "mock:gold", "--data-dir", ""], 2, "it is empty"),
        (["run", "--suite", "synth", "--model", "mock:gold", "--model-arg", "variant=\udcff"], 2, "not utf-8 text"),
        (["run", "--suite", "synth", "--model", "mock:gold", "\x1b[2Jextra"], 2, "argument ([2Jextra)"),
        (["leaderboard", "--html", ""], 2, "it is empty"),
        (["export", "a", "--to", "lm-eval", "--out", ""], 2, "it is empty"),
        (["import", ""], 2, "it is empty"),
        (["show", "aime", "--problem", "1"], 2, "'aime' is a suite"),
        (["run", "--frobnicate"], 2, "No such option"),
        (["frobnicate"], 2, "No such command"),
        (["list", "suits"], 2, "suite"),
        (["show", "amie"], 2, "Did you mean"),
        (["score", "nothing"], 2, "results"),
        (["leaderboard"], 2, "results"),
        (["compare", "a", "b"], 2, "results"),
        (["plan", "--detect", "lots"], 2, "lots"),
        (["plan", "--detect", "1e-300"], 2, "1e-300"),
    ],
)
def test_bad_input_is_one_clear_error(harness: Any, arguments: list[str], code: int, message: str) -> None:
    found, out, err = harness(*arguments)
    assert found == code, err
    assert message in err
    assert "Traceback" not in err
    assert err.count("\n") == 1
    assert out == ""


def test_a_missing_key_names_its_variable(harness: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    code, _, err = harness(*SYNTH, "--model", "openai:gpt-x")
    assert code == 3
    assert "OPENAI_API_KEY" in err


def test_a_setting_wins_over_the_environment(harness: Any, tmp_path: Path) -> None:
    code, _, err = harness(*SYNTH, "--model", "mock:gold", "--set", f"results_dir={tmp_path / 'other'}")
    assert code == 0, err
    assert (tmp_path / "other" / "runs").is_dir()
    assert not (tmp_path / "results").exists()


def test_run_json_is_the_documented_shape(harness: Any) -> None:
    code, out, err = harness(*SYNTH, "--model", "mock:gold", "--json")
    assert code == 0, err
    rows = json.loads(out)["rows"]
    keys = ["suite", "model", "metric", "value", "low", "high", "n_problems", "n_samples", "counts"]
    assert all(list(row)[: len(keys)] == keys for row in rows)
    headline = rows[0]
    assert (headline["suite"], headline["model"], headline["metric"], headline["value"]) == (
        "synth",
        "mock:gold",
        "avg@n",
        1.0,
    )
    assert set(headline["counts"]) == {"scored", "no_answer", "refused", "truncated", "unscored", "error"}
    assert headline["n_problems"] == 8


@pytest.mark.parametrize(("model", "value"), [("mock:gold", 1.0), ("mock:wrong", 0.0), ("mock:silent", 0.0)])
def test_the_mock_models_score_what_they_must(harness: Any, model: str, value: float) -> None:
    code, out, err = harness(*SYNTH, "--model", model, "--json")
    assert code == 0, err
    assert json.loads(out)["rows"][0]["value"] == value


def test_failed_requests_exit_1_after_the_table(harness: Any) -> None:
    code, out, err = harness(
        *SYNTH, "--n", "4", "--temperature", "1", "--model", "mock:gold", "--model-arg", "error_rate=0.3"
    )
    assert code == 1
    assert "avg@n" in out
    assert "have no score" in err
    code, _, _ = harness(
        *SYNTH,
        "--n",
        "4",
        "--temperature",
        "1",
        "--model",
        "mock:gold",
        "--model-arg",
        "error_rate=0.3",
        "--max-failures",
        "1",
    )
    assert code == 0


@pytest.mark.parametrize("form", ["table", "md", "csv", "json"])
def test_every_format_of_run_and_leaderboard(harness: Any, form: str) -> None:
    code, out, err = harness(*SYNTH, "--model", "mock:gold", "--model", "mock:wrong", "--format", form)
    assert code == 0, err
    assert "mock:gold" in out
    code, out, err = harness("leaderboard", "--format", form)
    assert code == 0, err
    assert "mock:wrong" in out


def test_dry_run_plans_and_makes_nothing(harness: Any, tmp_path: Path) -> None:
    code, out, err = harness(*SYNTH, "--n", "4", "--temperature", "1", "--model", "mock:gold", "--dry-run", "--json")
    assert code == 0, err
    plan = json.loads(out)
    assert plan["rows"][0]["requests"] == 32
    assert plan["first_prompt"][-1]["role"] == "user"
    assert not (tmp_path / "results" / "runs").exists()
    code, out, _ = harness(*SYNTH, "--model", "mock:gold", "--dry-run")
    assert "First prompt:" in out


def test_show_a_run_and_a_problem_of_it(harness: Any, tmp_path: Path) -> None:
    harness(*SYNTH, "--model", "mock:gold")
    code, out, err = harness("list", "runs")
    assert code == 0, err
    run = out.splitlines()[2].split()[0]
    code, out, err = harness("show", run)
    assert code == 0, err
    assert "mock:gold" in out
    problem = json.loads((tmp_path / "results" / "runs" / run / "scores.jsonl").read_text().splitlines()[0])[
        "problem_id"
    ]
    code, out, err = harness("show", run, "--problem", problem, "--json")
    assert code == 0, err
    assert json.loads(out)["attempt 0"]["verdict"]["value"] == 1.0
    code, _, err = harness("show", run, "--problem", "nosuch")
    assert code == 2
    assert "nosuch" in err


@pytest.mark.parametrize("kind", catalog.KINDS)
def test_everything_that_is_listed_can_be_shown(harness: Any, kind: catalog.Kind) -> None:
    for name in catalog.entries(kind):
        if name == "vllm":
            continue  # its module needs the other environment
        code, out, err = harness("show", name)
        assert code == 0, err
        assert out.strip()


def test_show_lists_the_options_of_every_engine(harness: Any) -> None:
    own = {"mock": "accuracy", "openai": "retries", "vllm": "max_num_seqs", "trained": "engine"}
    for engine in ("mock", "openai", "hf", "smollm2", "tiny", "vllm", "trained"):
        _, out, _ = harness("show", engine)
        assert re.search(rf"options \(--model-arg\):\n(?: {{4}}.*\n)* {{4}}{own.get(engine, 'batch_size')}: ", out), out


def test_score_prints_what_changed(harness: Any, tmp_path: Path) -> None:
    harness(*SYNTH, "--model", "mock:gold")
    (run,) = (tmp_path / "results" / "runs").iterdir()
    scores = run / "scores.jsonl"
    scores.write_text(scores.read_text().replace('"value":1.0', '"value":0.0', 1))
    code, _, err = harness("score", run.name)
    assert code == 0, err
    assert "1 of " in err
    assert "verdicts changed" in err


def test_env_prints_no_secret(harness: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-verysecretvalue123456")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://user:hunter22@localhost/v1")
    code, out, err = harness("env")
    assert code == 0
    assert "verysecret" not in out + err
    assert "hunter22" not in out + err
    assert "secrets set: OPENAI_API_KEY" in out


def test_a_bug_of_ours_shows_its_traceback_without_secrets(harness: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_API_KEY", "abcdef-secret-123")

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("abcdef-secret-123")

    monkeypatch.setattr(main.cli, "main", broken)
    code, _, err = harness("list")
    assert code == 70
    assert "Traceback" in err
    assert "abcdef-secret-123" not in err


def test_the_reference_page_is_fresh(tmp_path: Path) -> None:
    """In a process of its own, as `make docs`: click keeps the help of a command as a test here first asked for it."""
    page = tmp_path / "cli.md"
    subprocess.run([sys.executable, "-m", "harness.cli.reference", page], check=True, cwd=ROOT)
    assert (ROOT / "docs" / "cli.md").read_text(encoding="utf-8") == page.read_text(encoding="utf-8"), "run `make docs`"


def test_every_command_documents_itself() -> None:
    for name in COMMANDS:
        command = main.cli.get_command(None, name)  # type: ignore[arg-type]
        assert command is not None and command.help
        for parameter in command.params:
            shown = (parameter.help or "") if isinstance(parameter, click.Option) else "an argument has none"
            assert shown and not re.search(r"\boptions\.\w", shown), f"{name} {parameter.name}: {shown!r}"


_SPEC_DAMAGE: list[dict[str, object]] = [
    {"suite": None},
    {"temperature": "hot"},
    {"temperature": float("nan")},
    {"max_tokens": -1},
    {"seed": []},
    {"limit": "all"},
    {"limit": 0},
    {"protocol": {}},
    {"model_identity": "gold"},
]


@pytest.mark.parametrize("damage", _SPEC_DAMAGE, ids=str)
def test_a_spec_of_another_shape_is_refused_by_score(harness: Any, tmp_path: Path, damage: dict[str, object]) -> None:
    assert harness(*SYNTH, "--model", "mock:gold")[0] == 0
    spec = next(tmp_path.glob("results/runs/*/spec.json"))
    spec.write_text(json.dumps({**json.loads(spec.read_text()), **damage}))
    code, _, err = harness("score", "synth")
    assert (code, "spec.json is damaged" in err) == (2, True), err


_RESULT_DAMAGE: list[dict[str, object]] = [
    {"run_id": None},
    {"suite": []},
    {"n": None},
    {"totals": None},
    {"environment": "linux"},
    {"finished": 5},
    {"items": {"p": {"mean": "x", "n": 1}}},
]


@pytest.mark.parametrize("damage", _RESULT_DAMAGE, ids=str)
def test_a_result_of_another_shape_is_refused_or_written_anew(
    harness: Any, tmp_path: Path, damage: dict[str, object]
) -> None:
    assert harness(*SYNTH, "--model", "mock:gold")[0] == 0
    path = next(tmp_path.glob("results/runs/*/result.json"))
    path.write_text(json.dumps({**json.loads(path.read_text()), **damage}))
    for command in (("plan", "--detect", "3pp", "--suite", "synth", "--run", "synth"), ("show", "synth-8p")):
        code, _, err = harness(*command)
        assert (code, "result.json is not a result file" in err) == (2, True), err
    code, _, err = harness(*SYNTH, "--model", "mock:gold", "--dry-run")
    assert code == 0, err
    assert harness("score", "synth")[0] == 0
    assert harness("show", "synth-8p")[0] == 0


@pytest.mark.parametrize("temperature", ["0", "0.7"])
def test_plan_notes_only_what_holds_of_the_rows(harness: Any, temperature: str) -> None:
    n = ("--n", "2") if temperature != "0" else ()
    assert harness(*SYNTH, "--model", "mock:gold", "--temperature", temperature, *n)[0] == 0
    _, found, _ = harness("plan", "--detect", "20pp", "--suite", "synth", "--run", "synth")
    assert "'cannot'" not in found  # no row says so
    _, found, _ = harness("plan", "--detect", "1pp", "--suite", "synth", "--run", "synth")
    assert ("cannot:" in found) == ("'cannot'" in found)
    # The suite's own temperature is 0: what counts is that of the run.
    assert temperature == "0" or "needs a temperature above 0" not in found


def test_a_name_that_no_file_can_have_is_an_unknown_run(harness: Any, tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    for name in ("a" * 5000, "a/" * 3000, "nul\0byte"):
        code, _, err = harness("score", name)
        assert (code, "no run" in err, len(err) < 5000) == (2, True, True), err


def test_a_limit_that_leaves_nothing_out_is_none(harness: Any, tmp_path: Path) -> None:
    for limit in ((), ("--limit", "100"), ("--limit", "100000")):
        assert harness("run", "--suite", "synth_easy", "--model", "mock:gold", "--quiet", *limit)[0] == 0
    (run,) = (tmp_path / "results" / "runs").iterdir()
    assert json.loads((run / "spec.json").read_text())["limit"] is None


def test_a_folder_whose_name_is_not_utf8_works(harness: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_RESULTS_DIR", f"{tmp_path}/odd-\udcff")
    for _ in range(2):
        code, out, err = harness(*SYNTH, "--model", "mock:gold", "--json")
        assert (code, json.loads(out)["rows"][0]["value"]) == (0, 1.0), err


class _Full(io.TextIOWrapper):
    """A stream without room, as /dev/full or a pipe whose reader has left."""

    error: type[OSError] = OSError

    def write(self, text: str) -> int:
        raise self.error(28, "No space left on device")


@pytest.mark.parametrize("error", [OSError, BrokenPipeError])
def test_a_full_log_stops_no_run(harness: Any, monkeypatch: pytest.MonkeyPatch, error: type[OSError]) -> None:
    stream = _Full(io.BytesIO(), encoding="utf-8")
    stream.error = error
    monkeypatch.setattr(sys, "stderr", stream)
    code, out, _ = harness("run", "--suite", "synth", "--limit", "8", "--model", "mock:gold", "--json")
    assert (code, json.loads(out)["rows"][0]["value"]) == (0, 1.0)


def test_the_exit_code_tells_of_failures_even_when_nobody_reads(harness: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = _Full(io.BytesIO(), encoding="utf-8")
    stream.error = BrokenPipeError
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", stream)
        assert harness(*SYNTH, "--model", "mock:gold", "--model-arg", "error_rate=0.3")[0] == 1


@pytest.mark.parametrize("setting", ["<&-", ">&-", "2>&-", "| true"])
def test_closed_streams_are_no_error(tmp_path: Path, setting: str) -> None:
    command = f"{sys.executable} -m harness.cli.main list suites {setting}; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_character_that_no_terminal_has_costs_no_output(harness: Any, tmp_path: Path) -> None:
    assert harness(*SYNTH, "--model", "mock:gold")[0] == 0
    for path in tmp_path.glob("results/runs/*/*.json"):
        path.write_text(json.dumps({**json.loads(path.read_text()), "model": "\ud800gold"}))
    for command in (["leaderboard", "--json"], ["leaderboard", "--format", "md"], ["show", "synth-8p", "--json"]):
        code, out, err = harness(*command)
        assert (code, "gold" in out) == (0, True), err


@pytest.mark.parametrize(
    ("usual", "used", "ending"),
    [
        (None, "results", ""),
        (None, "./results/", ""),
        (None, "elsewhere", " --results-dir elsewhere"),
        (None, "two words", " --results-dir 'two words'"),
        ("elsewhere", "elsewhere", ""),
        ("elsewhere", "results", " --results-dir results"),
    ],
)
def test_a_printed_command_looks_where_this_one_wrote(
    monkeypatch: pytest.MonkeyPatch, usual: str | None, used: str, ending: str
) -> None:
    from harness.cli.options import with_results_dir

    monkeypatch.delenv("HARNESS_RESULTS_DIR", raising=False)
    if usual is not None:
        monkeypatch.setenv("HARNESS_RESULTS_DIR", usual)
    assert with_results_dir("harness run --model m", Path(used)) == f"harness run --model m{ending}"
