"""Means, differences and variance components over training seeds: by hand, in their limits, and by simulation."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from harness.errors import DataError
from harness.stats import mean_interval
from harness.stats.distributions import t_quantile
from harness.stats.paired import paired_differences
from harness.stats.seeds import Cells, Seeded, seeded_difference, seeded_mean, split

Array = npt.NDArray[np.float64]


def contributions(found: Seeded) -> dict[tuple[str, ...], float]:
    return {component.sources: component.se for component in found.components}


def test_components_by_hand() -> None:
    """Two problems, two seeds, no samples to tell apart: the mean squares of the two-way table."""
    y = np.array([[0.0, 2.0], [4.0, 10.0]])  # grand mean 4, problems 1 and 7, seeds 2 and 6, residuals +-1
    found = seeded_mean(Cells(y), share=False)
    ms_problem, ms_seed, ms_rest = 2 * 18.0, 2 * 8.0, 4.0
    assert found.value == 4.0
    assert contributions(found) == pytest.approx(
        {
            ("training seed",): math.sqrt((ms_seed - ms_rest) / 4),
            ("question",): math.sqrt((ms_problem - ms_rest) / 4),
            ("seed x question", "sampling"): math.sqrt(ms_rest / 4),
        }
    )
    assert found.se == pytest.approx(math.sqrt((ms_problem + ms_seed - ms_rest) / 4))
    half = math.sqrt(t_quantile(1) ** 2 * ms_problem / 4 + t_quantile(1) ** 2 * (ms_seed - ms_rest) / 4)
    assert (found.low, found.high) == pytest.approx((4 - half, 4 + half))


def test_squares_of_the_components_add_up() -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=(60, 1)) + rng.normal(size=(1, 4)) + rng.normal(size=(60, 4))
    found = seeded_mean(Cells(y, np.full((60, 4), 0.1)), share=False)
    assert math.fsum(c.se**2 for c in found.components) == pytest.approx(found.se**2)
    assert [c.sources for c in found.components] == [
        ("training seed",), ("question",), ("seed x question",), ("sampling",)
    ]  # fmt: skip


def test_one_seed_is_what_one_run_says() -> None:
    values = np.array([1.0, 0.0, 0.0, 1.0, 1.0, 0.5])
    other = np.array([0.0, 0.0, 1.0, 1.0, 0.0, 0.5])
    mean = mean_interval(values)
    found = seeded_mean(Cells(values[:, None]))
    assert (found.value, found.low, found.high, found.se) == (mean.value, mean.low, mean.high, mean.se)
    pair = paired_differences(values - other, (), mcnemar=False)
    gap = seeded_difference(Cells(values[:, None]), Cells(other[:, None]))
    assert (gap.value, gap.low, gap.high, gap.p) == pytest.approx((pair.diff, pair.low, pair.high, pair.p))
    assert any("one training seed" in note for note in found.notes)
    assert any("raise --n" in note for note in found.notes)


def test_single_answers_get_mcnemar() -> None:
    ones, zeros = np.ones((6, 1)), np.zeros((6, 1))
    assert seeded_difference(Cells(ones), Cells(zeros), single=True).p == pytest.approx(2 / 2**6)


def test_nobody_right_is_not_certain() -> None:
    found = seeded_mean(Cells(np.zeros((30, 3))))
    assert (found.low, found.high) == (0.0, pytest.approx(1 - 0.025 ** (1 / 30)))
    same = seeded_difference(Cells(np.zeros((30, 3))), Cells(np.zeros((30, 3))))
    assert same.p == 1.0
    assert same.low < 0.0 < same.high


def test_a_negative_component_is_shown_as_zero_with_a_note() -> None:
    y = np.array([[0.0, 1.0], [1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])  # equal seeds, everything is interaction
    components, notes = split(Cells(y))
    seed = components[0]
    assert (seed.sources, seed.se, seed.negative) == (("training seed",), 0.0, True)
    assert any("training seed came out below 0" in note for note in notes)


def test_no_seeds_of_a_model_that_was_not_trained() -> None:
    y = np.array([[0.25], [0.5], [1.0]])
    found = seeded_mean(Cells(y, np.full((3, 1), 0.01), fixed=True))
    assert found.notes == ()
    assert [c.sources for c in found.components] == [("question",), ("sampling",)]
    unknown = seeded_mean(Cells(y, np.full((3, 1), 0.01)))
    assert [c.sources for c in unknown.components] == [("question", "seed x question"), ("sampling",)]


def test_a_greedy_model_has_no_sampling_variance() -> None:
    y = np.array([[0.0, 1.0], [1.0, 1.0], [0.0, 0.0]])
    found = seeded_mean(Cells(y, deterministic=True))
    assert [c.sources for c in found.components][-1] == ("seed x question",)
    assert not any("sampling" in note for note in found.notes)


def test_a_fixed_model_is_held_against_every_seed() -> None:
    trained = Cells(np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]), np.full((3, 2), 0.02))
    control = Cells(np.array([[0.5], [0.5], [0.0]]), np.full((3, 1), 0.03), fixed=True)
    found = seeded_difference(trained, control)
    assert found.value == pytest.approx(2 / 3 - 1 / 3)
    assert found.n_seeds == 2
    # Its sampling is the same for both seeds, and so is not halved by them.
    assert contributions(found)[("sampling",)] == pytest.approx(math.sqrt(0.02 / 6 + 0.03 / 3))
    assert seeded_difference(control, trained).value == pytest.approx(-found.value)


def test_what_cannot_be_paired_or_averaged_is_refused() -> None:
    with pytest.raises(DataError, match="paired by problem and seed"):
        seeded_difference(Cells(np.zeros((3, 2))), Cells(np.zeros((3, 3))))
    with pytest.raises(DataError, match="nothing to average"):
        seeded_mean(Cells(np.zeros((0, 3))))
    with pytest.raises(DataError, match="no value for one of the seeds"):
        seeded_mean(Cells(np.array([[0.0, math.nan]])))


def test_clusters_of_one_change_nothing_and_larger_ones_widen() -> None:
    rng = np.random.default_rng(1)
    y = np.repeat(rng.random((20, 1)), 3, axis=0) + 0.1 * rng.random((60, 3))
    alone = seeded_mean(Cells(y), share=False)
    named = seeded_mean(Cells(y, clusters=[f"p{i}" for i in range(60)]), share=False)
    passages = seeded_mean(Cells(y, clusters=[f"c{i // 3}" for i in range(60)]), share=False)
    assert (named.low, named.se) == (pytest.approx(alone.low), pytest.approx(alone.se))
    assert passages.se > 1.5 * alone.se


# --- simulation: with 1,500 repetitions the standard error of a coverage of 95 % is 0.56 points; limits leave three ---


def coverage(draw: Callable[[np.random.Generator], Seeded], truth: float, repetitions: int = 1500) -> float:
    rng = np.random.default_rng(7)
    hits = 0
    for _ in range(repetitions):
        found = draw(rng)
        hits += found.low <= truth <= found.high
    return hits / repetitions


def normal(rng: np.random.Generator, problems: int, seeds: int, seed_sd: float) -> Array:
    question, rest = rng.normal(size=(problems, 1)), rng.normal(size=(problems, seeds))
    return 0.35 * question + seed_sd * rng.normal(size=(1, seeds)) + 0.35 * rest


@pytest.mark.parametrize("problems", [50, 200])
@pytest.mark.parametrize("seed_sd", [0.0, 0.03, 0.2])
def test_intervals_over_three_seeds_cover(problems: int, seed_sd: float) -> None:
    covered = coverage(lambda rng: seeded_mean(Cells(normal(rng, problems, 3, seed_sd)), share=False), 0.0)
    assert 0.933 <= covered <= 0.985


def right_or_wrong(rng: np.random.Generator, problems: int, seed_sd: float) -> tuple[Array, Array]:
    """Cell means and sampling variances of 2 samples for each of 3 seeds, accuracy about 0.5."""
    chance = 0.5 + 0.6 * (rng.random((problems, 1)) - 0.5) + seed_sd * rng.normal(size=(1, 3))
    chance = np.clip(chance + 0.2 * (rng.random((problems, 3)) - 0.5), 0.0, 1.0)
    samples = (rng.random((2, problems, 3)) < chance).astype(np.float64)
    return samples.mean(axis=0), samples.var(axis=0, ddof=1) / 2


@pytest.mark.parametrize("seed_sd", [0.0, 0.05])
def test_intervals_of_an_accuracy_cover(seed_sd: float) -> None:
    covered = coverage(lambda rng: seeded_mean(Cells(*right_or_wrong(rng, 100, seed_sd))), 0.5)
    assert 0.933 <= covered <= 0.985


@pytest.mark.parametrize("seed_sd", [0.0, 0.05])
def test_intervals_of_a_difference_cover(seed_sd: float) -> None:
    def draw(rng: np.random.Generator) -> Seeded:
        return seeded_difference(Cells(*right_or_wrong(rng, 100, seed_sd)), Cells(*right_or_wrong(rng, 100, seed_sd)))

    assert 0.92 <= coverage(draw, 0.0, 500) <= 0.99


def test_the_problems_alone_would_cover_far_too_little() -> None:
    """What leaving the seeds out does: the reason for all this."""

    def draw(rng: np.random.Generator) -> Seeded:
        return seeded_mean(Cells(normal(rng, 200, 3, 0.06).mean(axis=1, keepdims=True)), share=False)

    assert coverage(draw, 0.0) < 0.85


def test_equal_methods_are_seldom_told_apart() -> None:
    rng = np.random.default_rng(3)
    p = [
        seeded_difference(Cells(*right_or_wrong(rng, 60, 0.05)), Cells(*right_or_wrong(rng, 60, 0.05))).p
        for _ in range(300)
    ]
    assert sum(value is not None and value <= 0.05 for value in p) / 300 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 300)


def test_components_are_recovered() -> None:
    """Means of the estimated variances over many draws are the true ones (before any is cut at 0)."""
    rng = np.random.default_rng(5)
    problems, seeds, samples = 40, 3, 2
    true = {"training seed": 0.3, "question": 0.5, "seed x question": 0.4, "sampling": 0.6}
    sums = dict.fromkeys(true, 0.0)
    repetitions = 800
    for _ in range(repetitions):
        y = (
            true["question"] * rng.normal(size=(1, problems, 1))
            + true["training seed"] * rng.normal(size=(1, 1, seeds))
            + true["seed x question"] * rng.normal(size=(1, problems, seeds))
            + true["sampling"] * rng.normal(size=(samples, problems, seeds))
        )
        components, _ = split(Cells(y.mean(axis=0), y.var(axis=0, ddof=1) / samples))
        for component in components:
            sums[component.sources[0]] += component.se**2 / repetitions
    per = {"training seed": seeds, "question": problems, "seed x question": problems * seeds}
    for name, sd in true.items():
        expected = sd**2 / per.get(name, problems * seeds * samples)
        assert sums[name] == pytest.approx(expected, rel=0.12), name
