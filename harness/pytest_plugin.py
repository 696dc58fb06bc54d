"""A pytest fixture that fails a test when a model has become worse: `harness gate` inside a test suite.

    def test_the_student_is_no_worse(harness_gate):
        harness_gate(baseline="tests/baseline.json", candidate="hf:./student", suite="synth_easy", margin="5pp")

Loaded by pytest wherever this package is installed, so nothing of the harness is imported until the fixture is called.
The setting `harness_gate_inconclusive` (pytest.ini, pyproject.toml) says what an inconclusive gate is: "fail", which is
the default, "skip" or "xfail".
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

if TYPE_CHECKING:
    from harness.gate.decide import GateVerdict

_INI = "harness_gate_inconclusive"
_SHOWN = 10  # changed problems in a failure's message
_RULE = ("margin", "test", "alpha", "power")
GateCheck = Callable[..., "tuple[GateVerdict, ...]"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the setting."""
    parser.addini(_INI, 'What an inconclusive harness gate is: "fail", "skip" or "xfail".', default="fail")


@pytest.fixture
def harness_gate(request: pytest.FixtureRequest) -> GateCheck:
    """A function that passes, or fails the test with the gate's report; see `check`."""
    inconclusive = str(request.config.getini(_INI))
    if inconclusive not in ("fail", "skip", "xfail"):
        raise pytest.UsageError(f'{_INI} = {inconclusive!r}: choose from "fail", "skip", "xfail"')

    def gate(baseline: str | Sequence[str], candidate: str | Sequence[str], **settings: Any) -> tuple[GateVerdict, ...]:
        __tracebackhide__ = True
        return check(baseline, candidate, inconclusive=inconclusive, **settings)

    return gate


def check(
    baseline: str | Sequence[str],
    candidate: str | Sequence[str],
    *,
    suite: str | Sequence[str] = (),
    metric: str | None = None,
    baseline_args: Mapping[str, str] | None = None,
    candidate_args: Mapping[str, str] | None = None,
    inconclusive: str = "fail",
    **settings: Any,
) -> tuple[GateVerdict, ...]:
    """Run a gate; returns the verdicts, one a suite, if it passes, and ends the test otherwise.

    Runs, models and baseline files are named as for `harness gate`. `settings` are margin, test, alpha and power, and
    what `harness.config.RunConfig` has: n, limit, seed, temperature, max_failures, data_dir, results_dir and others.
    """
    __tracebackhide__ = True
    from harness.cli.progress import RunProgress
    from harness.config import resolve, validate_settings
    from harness.errors import HarnessError
    from harness.gate.decide import overall
    from harness.gate.pairs import Rule
    from harness.gate.report import find_questions, text_report
    from harness.gate.resolve import Named, run_gate

    rule = {key: settings.pop(key) for key in _RULE if key in settings}
    try:
        config = resolve(None, (), {**settings, "suite": suite})
        validate_settings(config)
        verdicts = run_gate(
            Named("baseline", _names(baseline), baseline_args or {}),
            Named("candidate", _names(candidate), candidate_args or {}),
            config,
            metric,
            Rule(**rule, max_missing=config.max_failures),
            lambda: RunProgress(quiet=True),
            lambda line: print(line, file=sys.stderr),
        )
    except HarnessError as error:
        pytest.fail(f"harness gate: {error}", pytrace=False)
    outcome = overall(verdicts)
    if outcome != "pass":
        report = text_report(verdicts, _SHOWN, find_questions(verdicts, _SHOWN, config.data_dir))
        _end(report, "fail" if outcome == "regress" else inconclusive)
    return tuple(verdicts)


def _names(given: str | Sequence[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)


def _end(report: str, how: str) -> NoReturn:
    __tracebackhide__ = True
    if how == "skip":
        pytest.skip(report)
    if how == "xfail":
        pytest.xfail(report)
    pytest.fail(report, pytrace=False)
