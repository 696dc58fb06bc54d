"""The pytest plugin, in a pytest of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from gate_sides import make_side

from harness.gate.baseline import write_baseline

pytest_plugins = ["pytester"]

TEST = """
def test_gate(harness_gate):
    verdicts = harness_gate(baseline="base.json", candidate="{candidate}.json", margin="{margin}")
    assert [verdict.outcome for verdict in verdicts] == ["pass"]
"""


@pytest.fixture
def project(pytester: pytest.Pytester) -> Path:
    """A folder with a baseline, the same again, and a worse candidate."""
    write_baseline(pytester.path / "base.json", make_side([1.0] * 120))
    write_baseline(pytester.path / "same.json", make_side([1.0] * 120, "same"))
    write_baseline(pytester.path / "worse.json", make_side([0.0] * 40 + [1.0] * 80, "worse"))
    (pytester.path / "results").mkdir()
    return pytester.path


def run(pytester: pytest.Pytester, candidate: str, margin: str, ini: str = "") -> pytest.RunResult:
    pytester.makepyfile(TEST.format(candidate=candidate, margin=margin))
    pytester.makeini(f"[pytest]\nfilterwarnings = error\n{ini}")
    return pytester.runpytest_subprocess("-p", "no:cacheprovider", "-rA")


@pytest.mark.slow
@pytest.mark.usefixtures("project")
def test_a_pass_passes_and_a_regression_fails_with_the_report(pytester: pytest.Pytester) -> None:
    run(pytester, "same", "5pp").assert_outcomes(passed=1)
    failed = run(pytester, "worse", "5pp")
    failed.assert_outcomes(failed=1)
    failed.stdout.fnmatch_lines(["*REGRESS: toy avg@n: worse by 33.3 pp*", "*problems that changed, worst first (40)*"])
    failed.stdout.no_fnmatch_line("*Traceback*")


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize(
    ("how", "outcome"), [("", "failed"), ("fail", "failed"), ("skip", "skipped"), ("xfail", "xfailed")]
)
def test_inconclusive_is_what_the_setting_says(pytester: pytest.Pytester, how: str, outcome: str) -> None:
    ini = f"harness_gate_inconclusive = {how}" if how else ""
    found = run(pytester, "same", "1pp", ini)
    found.assert_outcomes(**{outcome: 1})
    found.stdout.fnmatch_lines(["*INCONCLUSIVE: toy avg@n*"])


@pytest.mark.slow
@pytest.mark.usefixtures("project")
def test_a_setting_or_name_that_is_wrong_is_told_in_one_line(pytester: pytest.Pytester) -> None:
    wrong = run(pytester, "same", "1pp", "harness_gate_inconclusive = ignore")
    wrong.stdout.fnmatch_lines(['*choose from "fail", "skip", "xfail"*'])
    absent = run(pytester, "absent", "1pp")
    absent.assert_outcomes(failed=1)
    absent.stdout.fnmatch_lines(["*harness gate: absent.json cannot be read*"])
    margin = run(pytester, "same", "1ppt")
    margin.stdout.fnmatch_lines(["*Did you mean 1pp?*"])


def test_the_plugin_imports_nothing_until_it_is_used() -> None:
    code = (
        "import sys\nimport harness.pytest_plugin\n"
        "print(sorted(n for n in sys.modules if n.startswith('harness.') or n in ('numpy', 'click', 'torch')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['harness.pytest_plugin']"
