"""A third party's package (tests/plugins) by entry points alone: what it adds works wherever ours does."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import catalog
from harness.cli.main import entry

PACKAGE = Path(__file__).resolve().parents[1] / "plugins"
NAMES = tomllib.loads((PACKAGE / "pyproject.toml").read_text())["project"]["entry-points"]["harness.plugins"]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """The package as an installer leaves it: its folder and its metadata on the path of imports."""
    site = tmp_path_factory.mktemp("site")
    info = site / "arithmetician-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: arithmetician\nVersion: 0.1\n")
    lines = [f"{name} = {target}\n" for name, target in NAMES.items()]
    (info / "entry_points.txt").write_text("".join(["[harness.plugins]\n", *lines]))
    with pytest.MonkeyPatch.context() as patch:
        for folder in (PACKAGE, site):
            patch.syspath_prepend(str(folder))
        catalog._plugins.cache_clear()
        yield str(PACKAGE), str(site)
    catalog._plugins.cache_clear()


class Cli:
    """The command line in this process."""

    def __init__(self, patch: pytest.MonkeyPatch, capsys: Any) -> None:
        self._patch, self._capsys = patch, capsys

    def __call__(self, *args: str, code: int = 0) -> str:
        """Standard output of a command; of one that fails, what it says of that."""
        self._patch.setattr(sys, "argv", ["harness", *args])
        with pytest.raises(SystemExit) as stop:
            entry()
        said = self._capsys.readouterr()
        assert stop.value.code == code, said
        return str(said.out or said.err)

    def rows(self, *args: str) -> list[dict[str, Any]]:
        """The rows of a command's JSON."""
        return list(json.loads(self(*args, "--json"))["rows"])

    def run(self, *args: str, suite: str = "sums", model: str = "mock:gold") -> list[dict[str, Any]]:
        """The rows of a run."""
        return self.rows("run", "--suite", suite, "--model", model, *args)


@pytest.fixture
def harness(installed: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> Cli:
    """Commands whose runs go to a folder of this test."""
    monkeypatch.setenv("HARNESS_RESULTS_DIR", str(tmp_path / "results"))
    return Cli(monkeypatch, capsys)


@pytest.mark.usefixtures("installed")
def test_its_reward_is_one_of_a_total(harness: Cli) -> None:
    from backends.rewards.total import Totals
    from tests.unit.rollout_groups import group, unused_scorers

    totals = Totals("brevity=2+tags=1", {"brevity.words": "2"})
    marks = totals.mark(group(["one two", "one two three"]), unused_scorers())
    assert [mark.value for mark in marks] == [2.0, 0.0]
    assert "words: int = 20" in harness("show", "brevity")


def test_everything_is_listed_without_being_imported(installed: tuple[str, str]) -> None:
    """In a process of its own: `harness list` reads names and imports none of the package."""
    kinds = sorted({name.partition(".")[0] for name in NAMES})
    code = (
        "import sys; from click.testing import CliRunner; from harness.cli.main import cli\n"
        f"print(*(CliRunner().invoke(cli, ['list', kind]).stdout for kind in {kinds}))\n"
        "assert not [name for name in sys.modules if name.startswith('arithmetician')]"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([*installed, *filter(None, [os.environ.get("PYTHONPATH")])])}
    out = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True).stdout
    for name in NAMES:
        assert f"{name.partition('.')[2]} " in out
    assert out.count("plugin of arithmetician") == len(NAMES)


def test_contributing_shows_the_method_as_it_is() -> None:
    page = (PACKAGE.parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")
    shown = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert (PACKAGE / "arithmetician" / "focal.py").read_text(encoding="utf-8") in shown


def test_a_list_says_what_each_of_its_names_is(harness: Cli) -> None:
    for kind, said in {
        "metrics": "price plugin of arithmetician: A metric in a unit of its own that is better when lower",
        "methods": "plugin of arithmetician: likelihood of the tokens that the student is unsure of",
        "models": "plugin of arithmetician: An engine, `reckoner:<anything>`: works out",
        "analyses": "plugin of arithmetician",
    }.items():
        assert " ".join(said.split()) in " ".join(harness("list", kind).split()), kind


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("sums", "16 golds score 1, near misses 0"),
        ("price", "values of 48 known attempts"),
        ("reckoner", "answers two at once, and the same again"),
        ("worked", "options of `harness data worked`"),
        ("lengths", "loads, and has what its kind must have"),
        pytest.param("focal", "trains, learns, resumes, accumulates", marks=pytest.mark.slow),
    ],
)
def test_each_is_checked_by_its_name(harness: Cli, name: str, said: str) -> None:
    assert said in harness("check", "--plugin", name)


def test_what_does_not_keep_its_promise_is_told(harness: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    from arithmetician import price, reckoner

    from harness.types import Completion, Estimate, Metric

    def first(graded: Any, k: Any = None) -> Estimate:
        value = float(graded[0].attempt)
        return Estimate(value, 5.0, 6.0, 0.1, 1, 1)

    async def fails(*_: Any) -> Completion:
        return Completion("", "error", error="no sums today")

    monkeypatch.setattr(price, "METRIC", Metric("price", first, unit="mct", lower_is_better=True))
    told = harness("check", "--plugin", "price", code=1)
    assert "its interval 5.0 to 6.0 does not hold its value 0.0" in told and "in another order are worth 3.0" in told
    monkeypatch.setattr(reckoner.Reckoner, "_answer", fails)
    assert "a reply failed: no sums today" in harness("check", "--plugin", "reckoner", code=1)
    assert "unknown plugin 'nope'. Known: audited_sums, auditor, brevity" in harness(
        "check", "--plugin", "nope", code=2
    )
    assert "leave out --suite" in harness("check", "--plugin", "sums", "--suite", "sums", code=2)


def test_a_suite_runs_and_is_checked(harness: Cli) -> None:
    (row,) = [row for row in harness.run() if row["metric"] == "avg@n"]
    assert (row["value"], row["n_problems"]) == (1.0, 16)
    assert "sums" in harness("check", "--suite", "sums")
    assert [row["value"] for row in harness.run(model="mock:wrong") if row["metric"] == "avg@n"] == [0.0]


def prices(harness: Cli) -> tuple[str, str]:
    """Run ids of a cheap model and of a dear one, both right."""
    cheap = harness.run("--metric", "price")
    dear = harness.run("--metric", "price", "--model-arg", "think=true", "--max-tokens", "1000")
    cheap_again = harness.run("--metric", "price", "--max-tokens", "1000")
    assert {row["value"] for row in cheap if row["metric"] == "price"} == {10.0}
    return str(cheap_again[0]["run_id"]), str(dear[0]["run_id"])


def test_a_metric_that_is_better_when_lower_ranks_first(harness: Cli) -> None:
    cheap, dear = prices(harness)
    table = harness("leaderboard", "--metric", "price")
    assert "price (not the headline metric) [mct, lower is better]" in table
    rows = harness.rows("leaderboard", "--metric", "price")
    order = [row["run_id"] for row in rows if row["run_id"] in (cheap, dear)]
    assert order == [cheap, dear]
    values = {row["run_id"]: row["value"] for row in rows}
    assert values[dear] > 2 * values[cheap]


def test_its_unit_is_printed_with_a_run(harness: Cli) -> None:
    out = harness("run", "--suite", "sums", "--model", "mock:gold", "--metric", "price")
    assert "price [mct]" in out
    assert "10.0" in out


def test_a_gate_fails_when_it_rises_and_passes_when_it_falls(harness: Cli) -> None:
    cheap, dear = prices(harness)
    gate = ("gate", "--metric", "price", "--margin", "20mct")
    worse = harness(*gate, "--baseline", cheap, "--candidate", dear, code=1)
    assert "REGRESS: sums price: worse by" in worse
    assert " mct [" in worse
    better = harness(*gate, "--baseline", dear, "--candidate", cheap)
    assert "PASS: sums price: better by" in better
    gate = (*gate[:-1], "20tok", "--baseline", dear, "--candidate", cheap)
    refused = harness(*gate, code=2)
    assert "'tok' is no unit of it" in refused
    assert "20mct, or 5% of the baseline's mean" in refused


def test_it_exports_with_its_direction(harness: Cli, tmp_path: Path) -> None:
    cheap, _ = prices(harness)
    harness("export", cheap, "--to", "lm-eval", "--out", str(tmp_path / "out"))
    (path,) = (tmp_path / "out").rglob("results_*.json")
    assert json.loads(path.read_text())["higher_is_better"]["sums"]["price"] is False


def test_an_engine_answers_with_its_options(harness: Cli) -> None:
    assert [row["value"] for row in harness.run(model="reckoner:x") if row["metric"] == "avg@n"] == [1.0]
    off = harness.run("--model-arg", "off=1", "--metric", "price", model="reckoner:x")
    assert [row["value"] for row in off if row["metric"] in ("avg@n", "price")] == [0.0, 2.0]
    assert len({row["run_id"] for row in harness.rows("leaderboard")}) == 2, (
        "an option that changes the answers is kept"
    )
    refused = ("run", "--suite", "sums", "--model", "reckoner:x", "--model-arg", "of=1")
    assert "reckoner:x has no option 'of'. Did you mean 'off'?" in harness(*refused, code=2)
    gate = ("gate", "--suite", "sums", "--baseline", "reckoner:x", "--candidate", "reckoner:x")
    assert "PASS: sums avg@n: equal" in harness(*gate, "--margin", "20pp")


def test_each_is_shown_with_its_own_words(harness: Cli) -> None:
    price = harness("show", "price")
    assert "unit: mct" in price and "better: lower" in price and "Mean over problems of the mean price" in price
    assert "off: int = 0 (Added to every result)" in harness("show", "reckoner")
    assert "summary: sums of two small numbers" in harness("show", "sums")


def test_a_measure_of_diversity_is_computed_beside_ours(harness: Cli) -> None:
    run = str(harness.run("--n", "3", "--temperature", "1", model="mock:garbled")[0]["run_id"])
    rows = harness.rows("diversity", run, "--metric", "lengths", "--metric", "distinct-1", "--form", "within")
    assert [row["metric"] for row in rows] == ["lengths", "distinct-1"]
    assert rows[0]["value"] > 5
    assert "source: none: standard deviation of characters" in harness("show", "lengths")


def test_an_analysis_is_a_command_of_harness_analyze(harness: Cli) -> None:
    runs = [str(harness.run("--model-arg", f"off={off}", model="reckoner:x")[0]["run_id"]) for off in (0, 3)]
    rows = harness.rows("analyze", "lucky", *runs)
    digits = harness.rows("analyze", "lucky", *runs, "--digit", "0")
    assert [row["run"] for row in rows] == runs and rows != digits
    # A result plus 3 ends in 7 where the result itself ends in 4.
    assert rows[1]["lucky"] == harness.rows("analyze", "lucky", runs[0], "--digit", "4")[0]["lucky"] > 0
    assert "The lucky digit." in harness("analyze", "lucky", "--help") and "lucky" in harness("analyze", "--help")
    assert "digit: int = 7 (The lucky digit)" in harness("show", "lucky")
    assert "10 is not in the range 0<=x<=9" in harness("analyze", "lucky", *runs, "--digit", "10", code=2)


JUDGE = ("--judge", "reckoner:judge")


def test_a_judged_suite_is_scored_by_its_protocol(harness: Cli) -> None:
    run = ("run", "--suite", "audited_sums", "--model", "reckoner:x", *JUDGE)
    for off, value in (("0", 1.0), ("1", 0.0)):
        rows = harness.rows(*run, "--model-arg", f"off={off}", "--allow-self")
        assert [row["value"] for row in rows if row["metric"] == "audited"] == [value]
    assert [row["value"] for row in harness.rows("leaderboard")] == [1.0, 0.0]
    assert [row["value"] for row in harness.rows("leaderboard", "--metric", "missed")] == [0.0, 1.0]
    assert "missed (not the headline metric) [%, lower is better]" in harness("leaderboard", "--metric", "missed")


def test_a_run_is_judged_by_its_protocol_and_by_a_panel(harness: Cli) -> None:
    run = str(harness.run()[0]["run_id"])
    (row,) = [row for row in harness.rows("judge", run, *JUDGE, "--judging", "auditor") if row["metric"] == "audited"]
    assert row["value"] == 1.0
    panel = ("judge", run, *JUDGE, "--judge", "reckoner:other", "--judging", "auditor", "--aggregate")
    assert [row["value"] for row in harness.rows(*panel, "mean") if row["metric"] == "audited"] == [1.0]
    assert "auditor gives points" in harness(*panel, "majority", code=2)
    refused = harness("judge", run, *JUDGE, "--judging", "auditor", "--rubric", "rating_10", code=2)
    assert "auditor has no rubric" in refused


def test_a_maker_is_a_command_of_harness_data(harness: Cli, tmp_path: Path) -> None:
    rows = [{"id": f"p{i}", "prompt": f"What is {i} + 2?"} for i in range(4)]
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    make = ("data", "worked", str(tmp_path / "prompts.jsonl"), "--teacher", "reckoner:x")
    out = tmp_path / "out.jsonl"
    make = (*make, "-o", str(out))
    assert "Work it out: What is 0 + 2?" in harness(*make, "--dry-run")
    harness(*make, "--most", "4")
    made = [json.loads(line) for line in out.read_text().splitlines()]
    assert [(row["id"], row["answer"], row["response"]) for row in made] == [
        (f"p{i}", str(i + 2), f"\\boxed{{{i + 2}}}") for i in range(3)
    ]
    assert "Largest number that is kept" in harness("data", "worked", "--help")
    assert "worked" in harness("data", "--help")
    assert "0 is not in the range x>=1" in harness(*make, "--most", "0", code=2)


@pytest.mark.slow
def test_a_method_trains_a_student_that_is_evaluated(harness: Cli, tmp_path: Path) -> None:
    from tests.tiny_model import write_model

    student = write_model(tmp_path / "student")
    rows = [{"id": f"p{i}", "prompt": f"What is {i} + 2?", "response": f"It is {i + 2}."} for i in range(4)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    train = ("train", "--student", f"hf:{student}", "--data", str(tmp_path / "rows.jsonl"), "--set", "epochs=1")
    small = ("--set", "batch_size=4", "--precision", "float32", "--quiet", "--json")
    cards = {}
    for method, options in (("sft", ()), ("focal", ("--set", "gamma=0")), ("focal", ())):
        card = json.loads(harness(*train, "--method", method, *options, *small))
        cards[method, bool(options)] = card
    assert cards["focal", True]["final"]["loss"] == cards["sft", False]["final"]["loss"], "it reduces to SFT"
    assert cards["focal", False]["final"]["loss"] < cards["sft", False]["final"]["loss"]
    assert "gamma must not be negative" in harness(*train, "--method", "focal", "--set", "gamma=-1", code=2)
    assert cards["focal", False]["id"] in harness("models", "list")
    row = harness.run("--limit", "2", "--max-tokens", "4", model=f"trained:{cards['focal', False]['id']}")[0]
    assert row["trained"]["method"] == "focal"
