"""Power where few problems differ: at floor and ceiling the exact test decides what can be found."""

from __future__ import annotations

import json
import math
import sys
from itertools import product
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from stored_runs import coin, make_run

from harness.cli.power import command
from harness.power import ASSUMED_ELSEWHERE, Noise, mde, measured
from harness.run.folder import RunFolder
from harness.stats.distributions import binomial_two_sided
from harness.stats.exact import fewest, least_share, mcnemar_power

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.parametrize(("alpha", "count"), [(0.05, 6), (0.1, 5), (0.01, 8), (0.5, 2)])
def test_no_exact_test_is_significant_before_so_many_differ(alpha: float, count: int) -> None:
    assert fewest(alpha) == count
    assert binomial_two_sided(count, count) <= alpha < binomial_two_sided(count - 1, count - 1)


@pytest.mark.parametrize(
    ("problems", "differing", "difference"), [(7, 0.5, 0.3), (12, 0.9, 0.9), (15, 0.3, 0.0), (15, 1.0, 0.5)]
)
def test_the_power_is_the_sum_over_all_outcomes(problems: int, differing: float, difference: float) -> None:
    wins, losses = (differing + difference) / 2, (differing - difference) / 2
    total = 0.0
    for w, lost in product(range(problems + 1), repeat=2):
        if w + lost <= problems and binomial_two_sided(w, w + lost) <= 0.05:
            ways = math.comb(problems, w) * math.comb(problems - w, lost)
            total += ways * wins**w * losses**lost * (1 - differing) ** (problems - w - lost)
    assert mcnemar_power(problems, differing, difference, 0.05) == pytest.approx(total, abs=1e-9)


def test_a_pilot_at_100_percent_claims_no_more_than_the_exact_test_finds(tmp_path: Path) -> None:
    assert least_share(100, 0.05, 0.8) == pytest.approx(0.0779, abs=1e-4)  # six of a hundred, four times in five
    for value in (0.0, 1.0):
        noise = measured([RunFolder(make_run(tmp_path / str(value), "m", [value] * 100)).result], ASSUMED_ELSEWHERE)
        assert 0.0 < noise.mean < 1.0
        assert 0.0779 <= mde(100, 1, noise) < 0.11


noises = st.builds(
    Noise,
    st.one_of(st.sampled_from([1e-9, 0.01, 0.99, 1 - 1e-9]), st.floats(0.001, 0.999)),
    st.floats(0.0, 0.4),
    st.floats(0.0, 0.2),
)


@given(noises, st.integers(2, 400), st.sampled_from([1, 2, 4, 16, 64]))
def test_unpaired_is_never_said_to_show_more_and_samples_never_harm(noise: Noise, problems: int, n: int) -> None:
    found = mde(problems, n, noise)
    assert found <= mde(problems, n, noise, paired=False)
    assert mde(problems, 4 * n, noise) <= found * (1 + 1e-9)
    assert found >= 1.0 - (1.0 - least_share(problems, 0.05, 0.8)) ** (1 / n) - 1e-12
    assert found <= 1.0


@pytest.mark.parametrize("mean", [0.0, 0.05, 0.99, 1.0])
def test_what_a_pilot_at_the_end_promises_is_found(mean: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    sys.modules.pop("sim_power", None)
    from sim_power import simulate

    found = simulate(100, 1, mean, "even", 60)
    assert found.power >= 0.64  # 80 % promised, three standard deviations of 60
    assert found.power_before < 0.6  # what it was


def plan(results: Path, *words: str) -> list[dict[str, object]]:
    asked = [*words, "--detect", "5pp", "--results-dir", str(results), "--json"]
    done = CliRunner().invoke(command, asked, catch_exceptions=False, standalone_mode=False)
    rows = json.loads(done.stdout)["rows"]
    assert isinstance(rows, list)
    return rows


def test_a_plan_for_a_run_is_about_that_run(tmp_path: Path) -> None:
    easy = make_run(tmp_path, "mock:a", coin(0.7, 40, 0), suite="synth_easy", limit=40, run_id="easy-a")
    make_run(tmp_path, "mock:a", coin(0.7, 500, 0), suite="synth", run_id="synth-a")
    (row,) = plan(tmp_path, "--run", easy.name)
    assert (row["suite"], row["problems"], row["n"]) == ("synth_easy", 40, 1)
    assert [row["suite"] for row in plan(tmp_path, "--model", "mock:a")] == ["synth_easy", "synth"]
    assert [row["suite"] for row in plan(tmp_path)] == ["aime", "gpqa", "math500"]
    (more,) = plan(tmp_path, "--run", easy.name, "--limit", "80")
    assert more["problems"] == 80
