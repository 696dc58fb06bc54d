"""No command lets foreign text act on a terminal, a log or a workflow, in any output format."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner
from registry_cards import make_card
from stored_runs import make_run

from harness.cli.main import cli
from harness.errors import HarnessError
from harness.plain import visible_json
from harness.registry import ModelCard, models_dir, write_card
from harness.run.store import write_judgments
from judges.types import Judgment, Mark, Verdict

EVIL = "evil\x1b[31m\x9b2J\u202e\u2066\u200b\u2028\n::error file=x::pwned\r\n::warning::\x07\x7f"
UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")
COMMAND = re.compile(r"^\s*::(?:error|warning|notice)", re.MULTILINE)


def evil_card(name: str) -> ModelCard:
    changes = {field: f"{EVIL}{field}" for field in ("method", "teacher", "data", "device", "commit")}
    return make_card(name, **changes, config={EVIL: EVIL, "deep": [EVIL]}, final={EVIL: EVIL}, versions={EVIL: EVIL})


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs, what a judge said of one, and two models, whose every free text is hostile."""
    folder = tmp_path_factory.mktemp("results")
    for number, model in enumerate((f"mock:a{EVIL}", f"mock:b{EVIL}")):
        run = make_run(
            folder,
            model,
            [1.0, 0.0, float(number), 1.0],
            run_id=f"toy-{number}",
            suite=f"toy{EVIL}",
            warnings=(f"warned {EVIL}",),
            environment={EVIL: EVIL},
            model_identity={"engine": EVIL, EVIL: EVIL},
            graders={EVIL: EVIL},
            protocol=EVIL,
        )
        spec = {"schema": 1, "suite": f"toy{EVIL}", "suite_version": EVIL, "data_sha256": EVIL, "model": model}
        spec |= {"model_identity": {EVIL: EVIL}, "temperature": 0.0, "top_p": 1.0, "max_tokens": 10, "seed": 0}
        spec |= {"limit": None, "protocol": EVIL, "stop": [EVIL]}
        (run / "spec.json").write_text(json.dumps(spec), encoding="utf-8")
        rename_problems(run)
    judged = make_run(folder, f"mock:a{EVIL}", [0.5] * 4, run_id="toy-0@j", suite="toy", judge=f"j {EVIL}")
    mark = Mark(EVIL, 3, 0.5, EVIL, (EVIL,))
    verdict = Verdict(0.5, EVIL, (mark,), (EVIL,))
    write_judgments(judged, [Judgment(f"p0{EVIL}", 0, EVIL, EVIL, "single", 0, verdict, EVIL)])
    for name in ("one-sft-00000000", "two-sft-00000000"):
        (models_dir(folder) / name).mkdir(parents=True)
        write_card(models_dir(folder) / name, evil_card(name))
    return folder


def rename_problems(run: Path) -> None:
    """Hostile problem ids, answers and reasons."""
    result = json.loads((run / "result.json").read_text(encoding="utf-8"))
    result["items"] = {f"{key}{EVIL}": value for key, value in result["items"].items()}
    (run / "result.json").write_text(json.dumps(result), encoding="utf-8")
    rows = [json.loads(line) for line in (run / "scores.jsonl").read_text(encoding="utf-8").splitlines()]
    for row in rows:
        row["problem_id"] += EVIL
        row["score"] |= {"answer": EVIL, "why": EVIL}
    (run / "scores.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


TABLES = [["--format", form] for form in ("table", "md", "csv", "json")]
COMMANDS: list[Sequence[str]] = [
    *(["leaderboard", *form] for form in TABLES),
    ["leaderboard", "--html", "OUT/page.html"],
    ["compare", "toy-0", "toy-1", "--html", "OUT/compare.html"],
    ["report", "toy-0", "toy-1", "-o", "OUT/report.html"],
    *(["compare", "toy-0", "toy-1", *form] for form in TABLES),
    *(["gate", "--baseline", "toy-0", "--candidate", "toy-1", "--margin", "5pp", *more] for more in ([], ["--json"])),
    [
        "gate",
        "--baseline",
        "toy-0",
        "--candidate",
        "toy-1",
        "--margin",
        "5pp",
        "--annotations",
        "--junit",
        "OUT/gate.xml",
    ],
    ["gate", "--candidate", "toy-1", "--save-baseline", "OUT/base.json"],
    *(["list", "runs", *more] for more in ([], ["--json"])),
    *(["show", run, *more] for run in ("toy-0", "toy-0@j") for more in ([], ["--json"])),
    *(["show", "toy-0", "--problem", f"p000{EVIL}", *more] for more in ([], ["--json"])),
    *(["models", "list", *more] for more in ([], ["--json"])),
    *(["models", "show", "one-sft-00000000", *more] for more in ([], ["--json"])),
    *(["models", "diff", "one-sft-00000000", "two-sft-00000000", *more] for more in ([], ["--json"])),
    ["score", "toy-0"],
    ["judge", "run", "toy-0", "--rubric", "cot_math", "--judge", "mock:judge"],
    ["diversity", "toy-0"],
    ["plan", "--run", "toy-0", "--detect", "3pp"],
    ["export", "toy-0", "--to", "lm-eval", "--out", "OUT/export"],
    ["run", "--suite", EVIL, "--model", "mock:gold"],
    ["run", "--suite", "synth_easy", "--model", f"mock:{EVIL}"],
    ["models", "show", EVIL],
    ["show", EVIL],
]


@pytest.mark.parametrize(
    "command", COMMANDS, ids=lambda command: " ".join(command)[:60].encode("ascii", "ignore").decode()
)
def test_no_output_holds_what_a_terminal_or_a_workflow_would_act_on(
    command: Sequence[str], results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    args = [part.replace("OUT", str(tmp_path)) for part in command]
    if args[0] not in ("list",) or args[1] == "runs":
        args += ["--results-dir", str(results)]
    outcome = CliRunner().invoke(cli, args, standalone_mode=False)
    if outcome.exception is not None and not isinstance(outcome.exception, HarnessError | SystemExit):
        raise outcome.exception
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    for text in (outcome.output, *(path.read_text(encoding="utf-8") for path in written)):
        assert UNSEEN.findall(text) == []
        commands = [line for line in text.splitlines() if COMMAND.match(line)]
        assert all("title=harness gate" in line for line in commands)  # ours, or none
        assert commands == [] or "--annotations" in command


def test_a_cell_of_csv_is_one_line(results: Path) -> None:
    out = CliRunner().invoke(cli, ["leaderboard", "--format", "csv", "--results-dir", str(results)]).stdout
    assert len(out.splitlines()) == 1 + len(
        json.loads(CliRunner().invoke(cli, ["leaderboard", "--json", "--results-dir", str(results)]).stdout)["rows"]
    )


def test_json_says_the_same_with_what_cannot_be_seen_as_escapes(results: Path) -> None:
    out = CliRunner().invoke(cli, ["show", "toy-0", "--json", "--results-dir", str(results)]).stdout
    assert json.loads(out)["spec"]["protocol"] == EVIL


def test_half_a_character_of_a_damaged_file_is_an_escape() -> None:
    assert visible_json(json.dumps("a\ud800\u202e", ensure_ascii=False)) == '"a\\ud800\\u202e"'
