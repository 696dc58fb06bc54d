"""What a gate can show is said before anything is generated, and what it advises can be done."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from gate_sides import make_side
from hypothesis import given
from hypothesis import strategies as st

from harness.cli.main import cli
from harness.errors import UsageError
from harness.gate.advice import need_lines
from harness.gate.decide import GateVerdict, decide_all
from harness.gate.needs import check_reach
from harness.gate.pairs import Rule
from harness.run.plan import PlannedRun
from harness.run.spec import RunSpec
from harness.suites import load_suite
from harness.types import Problem, Suite

DOCS = Path(__file__).parents[2] / "docs"


def design(problems: int, n: int = 1, size: int = 0, units: int = 0) -> PlannedRun:
    """A plan of so many problems, in so many clusters."""
    suite = load_suite("synth_easy")
    suite = replace(suite, data=replace(suite.data, rows=max(size, problems)))
    asked = [Problem(f"p{i}", (), "", "math", cluster=f"c{i % units}" if units else "") for i in range(problems)]
    return planned(suite, tuple(asked), n)


def planned(suite: Suite, problems: tuple[Problem, ...], n: int) -> PlannedRun:
    spec = RunSpec(suite.name, suite.version, "", "mock:gold", {}, replace(suite.sampling, n=n), None)
    return PlannedRun(suite, problems, spec)


def reach(plan: PlannedRun, margin: float, rule: Rule, within_sd: float | None = None) -> str:
    return check_reach(plan, plan.spec.sampling.n > 1, within_sd, margin, rule)


@given(st.integers(2, 400), st.integers(1, 300), st.sampled_from(["noninferior", "equivalent"]))
def test_warned_of_is_what_two_equal_runs_cannot_pass(problems: int, tenths: int, test: str) -> None:
    rule = Rule(f"{tenths / 10}pp", test)  # type: ignore[arg-type]
    (verdict,) = decide_all([(make_side([1.0] * problems), make_side([1.0] * problems, "new"))], rule)
    try:
        warned = reach(design(problems), tenths / 1000, rule).startswith("warning:")
        assert test == "noninferior" or not warned
    except UsageError:
        warned = True
        assert test == "equivalent"
    assert verdict.outcome == ("inconclusive" if warned else "pass")


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (design(100, size=100), "below 3.0 points. Say --margin 3pp or more, or take a suite of at least 149 problems"),
        (design(60, size=500), "Take --limit 149 or more, or say --margin 5pp or more"),
        (design(60, size=500, units=10), "below 25.9 points. Say --margin 26pp or more"),
    ],
)
def test_the_refusal_says_what_would_do(made: PlannedRun, words: str) -> None:
    assert words in reach(made, 0.02, Rule("2pp"))
    with pytest.raises(UsageError, match="can never pass a margin of 2pp"):
        reach(made, 0.02, Rule("2pp", "equivalent"))


def test_sampled_models_are_told_from_where_an_unchanged_one_passes() -> None:
    line = reach(design(100, n=4), 0.05, Rule("5pp"))
    found = re.search(r"with 80% power from ([0-9.]+)pp on \(noise assumed\)", line)
    assert found is not None and 6.0 < float(found[1]) < 12.0
    assert "80%" not in reach(design(100), 0.05, Rule("5pp"))
    assert "as noisy as the stored side" in reach(design(100, n=4), 0.05, Rule("5pp"), within_sd=0.05)


def gate(results: Path, *words: str) -> Result:
    sides = ("--baseline", "mock:gold", "--candidate", "mock:gold", "--no-annotations")
    return CliRunner().invoke(cli, ["gate", "--results-dir", str(results), *sides, *words], standalone_mode=False)


@pytest.mark.parametrize("margin", [("--margin", "2pp"), ()])
def test_the_command_says_it_before_it_generates(tmp_path: Path, margin: tuple[str, ...]) -> None:
    done = gate(tmp_path, "--suite", "synth,synth_easy", "--limit", "200", "--quiet", *margin)
    assert done.return_value == 4
    warning = "warning: synth_easy: 100 problems x 1: an unchanged model cannot pass a margin of"
    assert warning in done.stderr  # though quiet
    loud = gate(tmp_path / "loud", "--suite", "synth,synth_easy", "--margin", "2pp")
    assert "synth: 500 problems x 1: a pass takes a margin above 0.6pp" in loud.stderr.splitlines()[0]
    assert warning in loud.stderr.splitlines()[1] and "completions to make" in loud.stderr.splitlines()[2]
    none = gate(tmp_path / "none", "--suite", "synth,synth_easy", "--test", "equivalent", "--margin", "2pp")
    assert isinstance(none.exception, UsageError)
    assert not (tmp_path / "none").exists()  # not even of the suite that could


SOURCES = [*(DOCS / name for name in ("gate.md", "examples/gate.yml", "cli.md")), DOCS.parent / "README.md"]
SOURCES += [DOCS.parent / "harness" / name for name in ("pytest_plugin.py", "cli/gate.py")]


def documented() -> list[tuple[str, int | None, float]]:
    """(suite, n, margin) of every gate that the documentation shows; a baseline file's suite is its name."""
    found = []
    for path in SOURCES:
        for line in path.read_text(encoding="utf-8").splitlines():
            margin = re.search(r"margin[ =\"]+([0-9.]+)pp", line)
            if margin is None or "gate" not in line:
                continue
            suites = re.search(r"suite[ =\"]+([a-z0-9_:,]+)", line) or re.search(r"gate/([a-z0-9_]+)\.json", line)
            assert suites is not None, line
            for part in suites[1].split(","):
                name, _, n = part.partition(":")
                found.append((name, int(n) if n else None, float(margin[1]) / 100))
    return found


def test_an_unchanged_model_passes_every_documented_gate() -> None:
    gates = documented()
    assert len(gates) >= 8
    for name, n, margin in gates:
        suite = load_suite(name)
        samples = n or suite.sampling.n
        rows = suite.data.rows
        plan = planned(suite, tuple(Problem(f"p{i}", (), "", "math") for i in range(rows)), samples)
        line = check_reach(plan, suite.sampling.temperature > 0, None, margin, Rule("1pp"))
        assert not line.startswith("warning:"), line
        shown = re.search(r"power from ([0-9.]+)pp on", line)
        assert shown is None or float(shown[1]) <= 100 * margin, line


def test_an_unchanged_model_passes(tmp_path: Path) -> None:
    done = gate(tmp_path, "--suite", "synth_easy", "--margin", "5pp")
    assert done.return_value == 0, done.output
    assert "a pass takes a margin above 3.0pp even if not one answer differs" in done.stderr


def of_suite(values: list[float], name: str, **changes: object) -> GateVerdict:
    suite = load_suite("synth_easy")
    facts = {"suite": "synth_easy", "suite_version": suite.version, "data_sha256": suite.data.sha256, **changes}
    sides = make_side(values, **facts), make_side(values[::-1], name, **facts)
    return decide_all([sides], Rule("1pp"))[0]


@pytest.mark.parametrize("n", [1, 4])
@pytest.mark.parametrize("temperature", [0.0, 0.6])
@pytest.mark.parametrize("problems", [10, 40, 100])
def test_no_more_problems_are_advised_than_the_suite_has(problems: int, temperature: float, n: int) -> None:
    limit = None if problems == 100 else problems
    sampling = {"temperature": temperature, "max_tokens": 256}
    verdict = of_suite([1.0, 0.5, 1.0, 1.0, 0.5] * (problems // 5), "new", n=n, sampling=sampling, limit=limit)
    assert verdict.outcome == "inconclusive"
    assert all(need.available == 100 and (need.problems or 0) <= 100 for need in verdict.needs)
    text = "\n".join(need_lines(verdict))
    assert all(int(number) <= 100 for number in re.findall(r"([0-9]+) problems", text))
    assert "    harness " in text  # whatever the case, a command that leads on


def test_a_limited_run_is_told_the_limit_that_decides() -> None:
    suite = load_suite("synth")
    facts = {"suite": "synth", "suite_version": suite.version, "data_sha256": suite.data.sha256, "limit": 40}
    sides = [make_side([1.0] * 40, name, sampling={"temperature": 0.0}, **facts) for name in ("base", "new")]
    (verdict,) = decide_all([(sides[0], sides[1])], Rule("5pp"))
    (need,) = verdict.needs
    assert need.problems is not None and 59 <= need.problems <= 120
    command = f"harness gate --baseline mock:base --candidate mock:new --suite synth:1 --seed 0 --limit {need.problems}"
    assert command in "\n".join(need_lines(verdict))
