"""A small, seeded part of `benchmarks/sim_gate.py`: wrong verdicts are rare, and a plan delivers its power."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from harness.gate.needs import Spread


@pytest.fixture(scope="module")
def simulation() -> ModuleType:
    path = Path(__file__).resolve().parents[2] / "benchmarks" / "sim_gate.py"
    spec = importlib.util.spec_from_file_location("sim_gate", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["sim_gate"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("problems", [3, 10, 30, 100, 500])
@pytest.mark.parametrize("margin", [0.01, 0.1])
def test_single_answers_are_never_judged_wrongly_above_alpha(
    simulation: ModuleType, problems: int, margin: float
) -> None:
    for passing in (True, False):
        accepted = simulation.region(problems, margin, passing=passing)
        assert simulation.worst_case(accepted, problems, margin) <= 0.05


def test_the_bound_is_not_needlessly_careful(simulation: ModuleType) -> None:
    accepted = simulation.region(500, 0.02, passing=True)
    assert simulation.worst_case(accepted, 500, 0.02) >= 0.045


def test_tangos_test_is_too_bold_on_few_problems(simulation: ModuleType) -> None:
    assert simulation.worst_case(simulation.tango(30, 0.1), 30, 0.1) > 0.06


# With 1,000 repetitions the standard error of 5 % is 0.7 points; the limit leaves three of them.


@pytest.mark.parametrize(("units", "size", "n"), [(3, 1, 4), (30, 5, 1), (100, 1, 4), (500, 5, 4)])
@pytest.mark.parametrize("kind", ["even", "rare", "mixed"])
def test_averages_and_clusters_keep_both_errors(
    simulation: ModuleType, units: int, size: int, n: int, kind: str
) -> None:
    for margin in (0.05, 0.2):
        rate = simulation.rates(simulation.Setting(units, size, n, margin, kind), margin, 1000)
        assert rate.passed <= 0.071
        assert rate.failed <= 0.071


@pytest.mark.parametrize(("units", "n"), [(30, 1), (100, 4), (500, 1)])
def test_equal_models_are_seldom_a_regression(simulation: ModuleType, units: int, n: int) -> None:
    assert simulation.rates(simulation.Setting(units, 1, n, 0.0, "mixed"), 0.01, 1000).failed <= 0.04


@pytest.mark.parametrize(
    ("spread", "problems", "n", "margin"),
    [(Spread(0.05, 0.4), 100, 1, 0.05), (Spread(0.1, 0.3), 200, 4, 0.03), (Spread(0.3, 0.0), 100, 1, 0.05)],
)
def test_a_planned_design_passes_as_often_as_promised(
    simulation: ModuleType, spread: Spread, problems: int, n: int, margin: float
) -> None:
    designs = simulation.planned(spread, problems, n, margin)
    assert designs
    for count, samples in designs:
        rate = simulation.delivered(spread, count, samples, margin, 400)
        assert rate == pytest.approx(0.8, abs=0.08)  # standard error 2 points
