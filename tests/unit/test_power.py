"""Power: known table, limits, inverses, real variances, and the command."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from harness.cli.power import command
from harness.errors import DataError, UnknownName, UsageError
from harness.power import (
    ASSUMED,
    SMALLEST_DELTA_SD,
    Noise,
    mde,
    measured,
    n_needed,
    parse_difference,
    problems_needed,
)
from harness.run.result import Item, RunResult
from harness.run.store import write_result
from harness.types import Estimate

# Percentage points at 80 % power with normal quantiles; ours are Student's, so up to 5 % larger on 30 problems, and for
# one sample we add the problem that McNemar's exact test gives away. At 85 % right the other model is the noisier one.
TABLE = [
    ("aime24", 30, {1: (25, 36), 4: (13, 29), 16: (7.5, 27), 64: (5.2, 26)}),
    ("aime", 60, {1: (18, None), 4: (9.3, None), 16: (5.3, None), 64: (3.6, None)}),
    ("gpqa", 198, {1: (10.7, 14), 4: (5.5, None), 16: (3.1, None), 64: (2.1, 9.4)}),
    ("math500", 500, {1: (4.8, 6.3), 4: (2.4, None), 16: (1.4, None), 64: (1.1, 4.8)}),
]


@pytest.mark.parametrize(("suite", "problems", "expected"), TABLE)
def test_known_table(suite: str, problems: int, expected: dict[int, tuple[float, float | None]]) -> None:
    for n, (points, unpaired) in expected.items():
        given_away = 1 / problems if n == 1 else 0.0
        assert 100 * (mde(problems, n, ASSUMED[suite]) - given_away) == pytest.approx(points, rel=0.06)
        if unpaired is not None:
            assert 100 * mde(problems, n, ASSUMED[suite], paired=False) == pytest.approx(unpaired, rel=0.04)


noises = st.builds(Noise, st.floats(0.3, 0.7), st.floats(0.0, 0.4), st.floats(0.0, 0.2))


@given(noises, st.integers(20, 2000), st.floats(0.01, 0.3))
def test_n_needed_is_the_fewest(noise: Noise, problems: int, target: float) -> None:
    n = n_needed(target, problems, noise)
    if n is None:
        assert mde(problems, 1_000_000, noise) > target * (1 - 1e-4)
        return
    assert mde(problems, n, noise) <= target * (1 + 1e-6)
    assert n == 1 or mde(problems, n - 1, noise) > target


@given(noises, st.integers(1, 64), st.floats(0.01, 0.5))
def test_problems_needed_is_the_fewest(noise: Noise, n: int, target: float) -> None:
    problems = problems_needed(target, n, noise)
    assert mde(problems, n, noise) <= target
    assert problems == 2 or mde(problems - 1, n, noise) > target


def test_question_variance_sets_a_floor() -> None:
    noise = Noise(0.5, 0.36, delta_sd=0.08)
    assert n_needed(0.03, 30, noise) is None
    assert mde(30, math.inf, noise) == pytest.approx(0.0423, abs=0.0005)
    assert n_needed(0.03, 60, noise) is not None


def test_more_power_costs_more() -> None:
    noise = ASSUMED["gpqa"]
    assert mde(198, 4, noise, power=0.9) > mde(198, 4, noise) > mde(198, 4, noise, alpha=0.1)
    # At 50 % power the MDE is the half-width of the interval.
    assert mde(10_000, 4, noise, power=0.5) == pytest.approx(mde(10_000, 4, noise) * 1.95996 / 2.80159, rel=1e-3)
    assert mde(198, 4, noise, power=0.2) < mde(198, 4, noise, power=0.5)


def test_pairing_gains_nothing_where_models_are_uncorrelated() -> None:
    # The difference of two independent chances has twice the variance of one; only degrees of freedom remain.
    noise = replace(ASSUMED["gpqa"], delta_sd=ASSUMED["gpqa"].between_sd * math.sqrt(2.0))
    assert mde(198, 8, noise) == pytest.approx(mde(198, 8, noise, paired=False), rel=0.01)


@pytest.mark.parametrize("bad", [{"problems": 1}, {"n": 0}, {"power": 1.0}, {"alpha": 0.0}])
def test_mde_refuses(bad: dict[str, float]) -> None:
    arguments = {"problems": 30, "n": 4, "alpha": 0.05, "power": 0.8} | bad
    with pytest.raises(UsageError):
        mde(
            int(arguments["problems"]),
            arguments["n"],
            ASSUMED["aime"],
            alpha=arguments["alpha"],
            power=arguments["power"],
        )


@pytest.mark.parametrize("text", ["3pp", "3 pp", "3%", "0.03", "3.0 %", " 3PP "])
def test_difference(text: str) -> None:
    assert parse_difference(text) == pytest.approx(0.03)


@pytest.mark.parametrize("text", ["3", "1", "0", "-3pp", "0pp", "100%", "nan", "inf", "pp", "three", ""])
def test_difference_refused(text: str) -> None:
    with pytest.raises(UsageError, match="3pp"):
        parse_difference(text)


def result(run_id: str, values: list[float], n: int, **changes: object) -> RunResult:
    base = RunResult(
        run_id=run_id,
        suite="synth",
        suite_version="1",
        model=f"mock:{run_id}",
        headline="avg@n",
        estimates={
            "avg@n": Estimate(0.5, 0.4, 0.6, 0.05, len(values), n * len(values)),
            "tokens_out": Estimate(250.0, 240.0, 260.0, 5.0, len(values), n * len(values)),
        },
        items={f"p{i}": Item(value, n) for i, value in enumerate(values)},
        n=n,
        limit=None,
        seed=0,
        sampling={},
        data_sha256="0",
        graders={},
        model_identity={},
        environment={},
        totals={},
        finished="2026-01-01T00:00:00Z",
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def test_measured_noise() -> None:
    generator = np.random.default_rng(0)
    p = generator.beta(2, 2, 1500)
    q = np.clip(p + generator.normal(0.0, 0.06, 1500), 0, 1)
    a, b = (result(name, list(generator.binomial(32, x) / 32), 32) for name, x in (("a", p), ("b", q)))
    two, one = measured([a, b], ASSUMED["gpqa"]), measured([a], ASSUMED["gpqa"])
    assert two.delta_sd == pytest.approx(0.06, abs=0.01)
    assert one.delta_sd == 0.08
    assert two.between_sd == pytest.approx(math.sqrt(1 / 20), rel=0.05)
    assert two.within_sd == pytest.approx(math.sqrt(1 / 5), rel=0.05)
    assert measured([a, replace(a, run_id="c")], ASSUMED["gpqa"]).delta_sd == SMALLEST_DELTA_SD


def test_one_sample_measures_only_the_mean() -> None:
    noise = measured([result("a", [1.0] * 9 + [0.0], 1)], Noise(0.5, 0.25))
    assert noise.mean == pytest.approx(10 / 12)  # one more right and one more wrong
    assert noise.between_sd == pytest.approx(math.sqrt(0.25 * noise.mean * (1 - noise.mean)))
    assert "assumed" in noise.source


@pytest.mark.parametrize("values", [[], [1.0], [150.0, 30.0]])
def test_measured_refuses(values: list[float]) -> None:
    with pytest.raises(DataError, match="run a"):
        measured([result("a", values, 4)], ASSUMED["aime"])


def plan(*arguments: str) -> list[dict[str, object]]:
    found = CliRunner().invoke(command, [*arguments, "--json"], catch_exceptions=False, standalone_mode=False)
    rows = json.loads(found.stdout)["rows"]
    assert isinstance(rows, list)
    return rows


def test_command() -> None:
    rows = plan("--detect", "3pp", "--suite", "aime24:64,aime,gpqa,math500", "--protocol", "r1")
    assert [(row["suite"], row["problems"], row["n"]) for row in rows] == [
        ("aime24", 30, 64),
        ("aime", 60, 64),
        ("gpqa", 198, 8),
        ("math500", 500, 4),
    ]
    assert rows[0]["n_needed"] is None
    assert rows[0]["tokens_needed"] is None
    assert rows[3]["n_needed"] == 3


def test_command_table_says_cannot() -> None:
    found = CliRunner().invoke(command, ["--detect", "3pp", "--suite", "aime24"], standalone_mode=False)
    assert "cannot: 4.2 pp even as n grows" in found.stdout


def test_command_measures_on_runs(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for name in ("a", "b"):
        directory = tmp_path / "runs" / name
        directory.mkdir(parents=True)
        write_result(directory, result(name, list(generator.binomial(4, 0.7, 50) / 4), 4))
    both = ("--results-dir", str(tmp_path), "--suite", "synth", "--detect", "5%")
    (row,) = plan(*both, "--run", "a", "--run", "b")
    assert row["noise"] == "a and b"
    assert row["n"] == 4
    assert row["tokens_source"] == "mean of the stored samples"
    (row,) = plan(*both, "--model", "mock:a", "--limit", "10", "--n", "2")
    assert (row["noise"], row["problems"], row["n"]) == ("a, difference assumed", 10, 2)
    with pytest.raises(UnknownName, match="mock:a"):
        plan(*both, "--model", "mock:zz")
