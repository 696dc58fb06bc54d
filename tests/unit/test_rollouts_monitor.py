"""What is logged of a generation, and the alarms: a planted fault is told, a clean run is quiet."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pytest

from backends.config import Stoppable
from backends.rollouts.alarms import FLAT_STOP, FLAT_WARN, WINDOW, Alarms, Series, Sign
from backends.rollouts.cutting import CUT_OFF
from backends.rollouts.monitor import advantage_numbers, effective_share, part_numbers, staleness, text_numbers
from backends.rollouts.sampler_gap import BF16_LEAST, SamplerGap
from backends.rollouts.types import LEFT_OUT, Credited, RolloutGroup, RolloutMark
from tests.drawn_groups import group

# --- numbers of a generation ------------------------------------------------------------------------------------------


def marked(rows: list[tuple[float | None, float | None]], correct: list[bool | None] | None = None) -> RolloutGroup:
    """A group with parts "accuracy" and "format" (weights 1 and 2) and their total."""
    made = group(texts=("x",) * len(rows))
    marks = []
    for at, (accuracy, form) in enumerate(rows):
        total = None if accuracy is None or form is None else accuracy + 2 * form
        right = None if accuracy is None else accuracy > 0
        marks.append(RolloutMark(total, {"accuracy": accuracy, "format": form}, correct[at] if correct else right))
    return replace(made, marks=tuple(marks))


WEIGHTS = {"accuracy": 1.0, "format": 2.0}


def test_parts_have_mean_spread_and_what_has_no_value() -> None:
    groups = [marked([(1, 0), (0, 1)]), marked([(None, 1), (1, 1)])]
    found = part_numbers(groups, WEIGHTS)
    assert found["reward"] == pytest.approx((1 + 2 + 3) / 3)  # None is left out, not 0
    assert found["none/reward"] == 0.25 and found["none/reward/accuracy"] == 0.25 and found["none/reward/format"] == 0
    assert found["reward/accuracy"] == pytest.approx(2 / 3) and found["reward/format"] == 0.75
    assert found["std/reward/format"] == pytest.approx(np.std([0, 1, 1, 1]))
    assert found["accuracy"] == pytest.approx(2 / 3)
    assert found["with_accuracy/format"] == pytest.approx(np.corrcoef([0, 1, 1], [1, 0, 1])[0, 1])
    assert "with_accuracy/accuracy" in found
    assert found["group_std"] == 0.5  # of the one group that has two values


def test_shares_of_the_variance_add_up_and_tell_who_decides() -> None:
    only_format = part_numbers([marked([(1, 0), (1, 1), (1, 0)]), marked([(0, 1), (0, 0)])], WEIGHTS)
    assert only_format["variance/format"] == pytest.approx(1) and only_format["variance/accuracy"] == pytest.approx(0)
    rng = np.random.default_rng(0)
    rows = [[(float(a), float(f)) for a, f in rng.integers(0, 2, (8, 2))] for _ in range(20)]
    mixed = part_numbers([marked(row) for row in rows], WEIGHTS)
    assert mixed["variance/format"] + mixed["variance/accuracy"] == pytest.approx(1)
    assert mixed["variance/format"] == pytest.approx(0.8, abs=0.1)  # twice the weight, four times the variance


def test_only_what_scorers_failed_at_is_unscored() -> None:
    whys = ("accuracy: killed", f"vote: {LEFT_OUT}a tie", CUT_OFF, "judge: silent")
    made = replace(group(texts=("x",) * 5), marks=(*(RolloutMark(None, why=why) for why in whys), RolloutMark(1.0)))
    assert part_numbers([made], {})["unscored"] == 0.4


def test_nothing_marked_and_nothing_that_differs() -> None:
    assert part_numbers([group()], WEIGHTS) == {}
    flat = part_numbers([marked([(1, 1), (1, 1)])], WEIGHTS)
    assert "variance/format" not in flat and "with_accuracy/format" not in flat and flat["group_std"] == 0
    nobody = part_numbers([marked([(None, None), (None, None)])], WEIGHTS)
    assert nobody["none/reward"] == 1 and "reward" not in nobody and "accuracy" not in nobody


def test_texts() -> None:
    groups = [
        group(texts=("<think>a</think>1", "<think>b</think> 1", "2")),
        group(texts=("abcabcabcabc", "defghijklmno")),
    ]
    found = text_numbers(groups)
    assert found["distinct_answers"] == 2.0
    assert found["repetition"] == pytest.approx(np.mean([3 / 14, 3 / 15, 6 / 9, 0]))  # "2" is shorter than a 4-gram
    assert found["leak"] == 0
    leaking = group(
        texts=("by the Reference solution", "as shown in the solution above", "my solution", "given answers")
    )
    assert text_numbers([leaking])["leak"] == 0.5


def test_repetition_is_of_each_completion_alone() -> None:
    """The same text twice in a group repeats nothing within either."""
    assert text_numbers([group(texts=("abcdefgh", "abcdefgh"))])["repetition"] == 0
    assert "repetition" not in text_numbers([group(texts=("a", ""))])


def test_the_effective_share_is_of_the_ratios() -> None:
    ratios = np.array([1.0, 1.0, 4.0])
    numbers = {"ratio": float(ratios.mean()), "ratio_square": float((ratios**2).mean())}
    assert effective_share(numbers)["ess"] == pytest.approx(ratios.sum() ** 2 / (3 * (ratios**2).sum()))
    assert effective_share({"loss": 1.0}) == {} and effective_share({"ratio": 0.0, "ratio_square": 0.0}) == {}


def test_advantages_and_age() -> None:
    credited = [[Credited(numbers={"advantage": 2.0}), Credited(numbers={"advantage": -1.0})], [Credited()]]
    credited.append([Credited(keep=False, numbers={"advantage": 9.0})])
    found = advantage_numbers(credited)
    assert found == {
        "advantage/up": 2.0, "advantage/up_share": 0.5, "advantage/down": 1.0, "advantage/down_share": 0.5,
    }  # fmt: skip
    assert advantage_numbers([[Credited()]]) == {}
    assert staleness([group(version=3)], 5) == {"staleness": 2.0}


# --- the sampler ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gaps", "wrong"),
    [
        ([1e-7, 2e-7, 9e-5], None),  # float32 on both sides: below what matters
        ([1e-7, 1.7e-2], 1),  # a tied head that stayed the old one
        ([1e-7, 0.38], 1),  # old weights
        ([4e-3, 6e-3, 1.1e-2], None),  # bfloat16: its own noise is the measure
        ([4e-3, 1.3e-2], 1),
        ([4e-3, 5e-3, float("nan")], 2),
        ([float("inf")], 0),
    ],
)
def test_weights_that_did_not_arrive_are_told(gaps: list[float], wrong: int | None) -> None:
    rule = SamplerGap()
    told = [rule.see(gap) for gap in gaps]
    assert [at for at, line in enumerate(told) if line] == ([] if wrong is None else [wrong])
    if wrong:
        assert "does not have the student's weights" in (told[wrong] or "") and f"{gaps[0]:.1e}" in (told[wrong] or "")


def test_in_bfloat16_a_lucky_first_step_is_no_measure() -> None:
    rule = SamplerGap(least=BF16_LEAST)
    assert [rule.see(gap) for gap in (2e-7, 1.4e-4, 3e-3)] == [None] * 3 and rule.see(1.7e-2)
    alarms = Alarms(9, noise=BF16_LEAST)
    alarms.load_state_dict(Alarms(9, noise=BF16_LEAST).state_dict() | {"gap": 1e-7})
    assert not alarms.see(1, {"sampler_gap": 3e-3}) and alarms.see(2, {"sampler_gap": 1.7e-2})


# --- series -----------------------------------------------------------------------------------------------------------


def test_a_slope_is_in_its_standard_errors() -> None:
    series = Series()
    noise = np.random.default_rng(0).normal(0, 0.1, WINDOW)
    for at in range(WINDOW):
        assert series.slope == 0  # no window yet
        series.add(0.02 * at + noise[at])
    x = np.arange(WINDOW)
    (slope, _), covariance = np.polyfit(x, 0.02 * x + noise, 1, cov="unscaled")
    rest = 0.02 * x + noise - np.polyval(np.polyfit(x, 0.02 * x + noise, 1), x)
    error = np.sqrt(rest @ rest / (WINDOW - 2) * covariance[0, 0])
    assert series.slope == pytest.approx(slope / error)
    flat = Series()
    for _ in range(30):
        flat.add(0.25)
    assert flat.slope == 0 and flat.start == flat.now == 0.25 and len(flat.last) == WINDOW


# --- alarms on simulated trainings ------------------------------------------------------------------------------------

COMPLETIONS = 64


def clean(step: int, rng: np.random.Generator) -> dict[str, float]:
    """A generation of a training that learns: accuracy .3 to .45, format with it, everything noisy."""
    learnt = 1 - np.exp(-step / 30)
    accuracy = rng.binomial(COMPLETIONS, 0.3 + 0.15 * learnt) / COMPLETIONS
    form = rng.binomial(COMPLETIONS, 0.6 + 0.3 * learnt) / COMPLETIONS
    return {
        "completions": COMPLETIONS,
        "accuracy": accuracy,
        "reward/accuracy": accuracy,
        "reward/format": form,
        "reward": accuracy + 0.5 * form,
        "group_std": 0.4,
        "length": 40 * float(np.exp(rng.normal(0, 0.05))),
        "cut": rng.binomial(COMPLETIONS, 0.03) / COMPLETIONS,
        "entropy": 0.8 * float(np.exp(-step / 200) + rng.normal(0, 0.03)),
        "repetition": 0.08 + rng.normal(0, 0.01),
        "distinct_answers": 3 - learnt + rng.normal(0, 0.2),
        "flat": 0.2 + rng.normal(0, 0.05),
        "unscored": rng.binomial(COMPLETIONS, 0.02) / COMPLETIONS,
        "leak": rng.binomial(COMPLETIONS, 0.01) / COMPLETIONS,
        "reward/leak": -rng.spawn(1)[0].binomial(COMPLETIONS // 2, 0.03) / (COMPLETIONS // 2),
        "none/reward/leak": 0.5,
        "sampler_gap": 4e-3 * float(np.exp(rng.normal(0, 0.1))),
        "dev/accuracy": rng.binomial(200, 0.3 + 0.12 * learnt) / 200,
        "reward/structure.shuffled": 0.05,
    }


Plant = Callable[[int, dict[str, float], np.random.Generator], Mapping[str, float]]


def told(plant: Plant | None = None, seed: int = 0, steps: int = 60, **more: Any) -> list[tuple[int, Sign]]:
    rng, alarms = np.random.default_rng(seed), Alarms(steps, privileged=True, **more)
    found = []
    for step in range(steps):
        numbers = clean(step, rng)
        numbers |= plant(step, numbers, rng) if plant else {}
        found += [(step, sign) for sign in alarms.see(step, numbers)]
    return found


@pytest.mark.parametrize("seed", range(25))
def test_a_clean_training_is_quiet(seed: int) -> None:
    assert told(seed=seed) == []


def test_a_reward_that_differs_between_prompts_more_than_within_a_group_has_not_fallen() -> None:
    """Seen in a real run of three prompts a step: the group's spread alone is no measure of a mean over few prompts."""

    def few_prompts(step: int, numbers: dict[str, float], rng: np.random.Generator) -> dict[str, float]:
        return {"reward": 0.18 + rng.normal(0, 0.03), "group_std": 0.01}

    assert not [sign for seed in range(20) for _, sign in told(few_prompts, seed) if sign.kind == "hockey_stick"]


def test_the_slope_over_all_generations_is_that_of_least_squares() -> None:
    series, values = Series(), np.random.default_rng(1).normal(0, 1, 35) + 0.05 * np.arange(35)
    for value in values:
        series.add(float(value))
    x = np.arange(35)
    line = np.polyfit(x, values, 1)
    rest = values - np.polyval(line, x)
    error = np.sqrt(rest @ rest / 33 / ((x - 17) @ (x - 17)))
    assert series.drift == pytest.approx(line[0] / error)
    short = Series([1.0] * 3, [1.0] * 3, 3)
    assert short.drift == 0


def test_a_clean_training_in_small_groups_is_quiet_nearly_always() -> None:
    """Accuracy that stays where it is while format rises is no hacking: chance shows a fall in few of many runs."""

    def still(step: int, numbers: dict[str, float], rng: np.random.Generator) -> dict[str, float]:
        return {"accuracy": rng.binomial(COMPLETIONS, 0.3) / COMPLETIONS}

    loud = [seed for seed in range(60) if told(still, seed)]
    assert len(loud) <= 2


def format_only(step: int, numbers: dict[str, float], rng: np.random.Generator) -> dict[str, float]:
    """The reward is the format alone, and accuracy pays for it."""
    accuracy = rng.binomial(COMPLETIONS, max(0.02, 0.3 - 0.3 * step / 40)) / COMPLETIONS
    return {"accuracy": accuracy, "reward/accuracy": accuracy, "reward": numbers["reward/format"]}


def saturated(step: int, numbers: dict[str, float], rng: np.random.Generator) -> dict[str, float]:
    """The form that is paid for is there from the beginning, so the reward has nowhere to go: accuracy goes."""
    paid = rng.binomial(COMPLETIONS, 0.92) / COMPLETIONS
    return format_only(step, numbers, rng) | {"reward/format": paid, "reward": paid}


def ramp(name: str, start: float, end: float, by: int = 30) -> Plant:
    return lambda step, numbers, rng: {name: start + (end - start) * min(1.0, step / by)}


PLANTED: dict[str, tuple[Plant, str]] = {
    "hacking/format": (format_only, "the reward format rose"),
    "hacking/reward": (saturated, "and the reward did not"),
    "hacking/repetition": (ramp("repetition", 0.08, 0.5), "are repetitions, 11% at first"),
    "hacking/reward/structure.shuffled": (ramp("reward/structure.shuffled", 0.05, 0.6), "structure says yes to"),
    "hacking/distinct": (
        lambda step, numbers, rng: ramp("distinct_answers", 3, 1)(step, numbers, rng)
        | {"accuracy": 0.2 + rng.normal(0, 0.02), "reward": 0.02 * step + rng.normal(0, 0.02)},
        "one answer to please",
    ),
    "hacking/dev": (
        lambda step, numbers, rng: ramp("dev/accuracy", 0.3, 0.15)(step, numbers, rng)
        | ramp("accuracy", 0.3, 0.6)(step, numbers, rng),
        "learnt by heart",
    ),
    "collapse/entropy": (ramp("entropy", 0.8, 0.1), "entropy of a token is"),
    "collapse/cut": (ramp("cut", 0.03, 0.5), "cut off"),
    "length/longer": (ramp("length", 40, 200), "tokens a completion"),
    "length/shorter": (ramp("length", 40, 12, by=6), "length collapse"),
    "leak": (ramp("leak", 0.0, 0.3), "appeal to a solution"),
    "leak/leak": (ramp("reward/leak", -0.01, -0.3), "leak: the judge says that"),
    "dip": (ramp("reward", 0.6, 0.0), "more than a group's own spread"),
    "hockey_stick": (lambda step, numbers, rng: {"reward": 0.6 - 0.6 * np.sin(np.pi * step / 50)}, "hockey stick"),
    "unscored": (lambda step, numbers, rng: {"unscored": 0.4 if step > 9 else 0.0}, "the scorers fail"),
    "flat/warn": (lambda step, numbers, rng: {"flat": 1.0}, f"in {FLAT_WARN} generations in a row all groups are flat"),
    "flat/stop": (lambda step, numbers, rng: {"flat": 1.0}, f"in {FLAT_STOP} generations"),
    "sampler": (lambda step, numbers, rng: {"sampler_gap": 0.3 if step == 7 else 4e-3}, "of the drawn tokens"),
}  # fmt: skip


@pytest.mark.parametrize("key", PLANTED)
def test_a_planted_fault_is_told_once(key: str) -> None:
    plant, line = PLANTED[key]
    found = [(step, sign) for step, sign in told(plant) if sign.key == key]
    assert len(found) == 1
    step, sign = found[0]
    assert line in sign.line and step < 60
    assert sign.fatal == (key in ("unscored", "flat/stop", "sampler"))
    if key == "hacking/format":
        assert step < 40


@pytest.mark.parametrize("kind", get_args(Stoppable))
def test_a_training_can_be_ended_at_each_kind_that_may_be_named(kind: Stoppable) -> None:
    """A hockey stick at its dip: when the reward is back there is nothing left to save."""
    key = next(key for key in ("dip", *PLANTED) if key.startswith("dip" if kind == "hockey_stick" else kind))
    plant, rng, alarms = PLANTED[key][0], np.random.default_rng(0), Alarms(60, (kind,), privileged=True)
    for step in range(60):
        numbers = clean(step, rng)
        signs = alarms.see(step, numbers | plant(step, numbers, rng))
        if alarms.stopped is not None:
            break
    assert alarms.stopped == kind and [sign.kind for sign in signs] == [kind]
    assert kind != "hockey_stick" or signs[0].key == "dip"


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("plant", [format_only, saturated])
def test_a_reward_for_format_alone_is_told_within_forty_steps(plant: Plant, seed: int) -> None:
    found = [step for step, sign in told(plant, seed) if sign.kind == "hacking"]
    assert found and found[0] < 40


def test_a_leak_is_nothing_where_the_teacher_is_shown_no_more() -> None:
    alarms = Alarms(60)
    rng = np.random.default_rng(0)
    assert not [
        s for step in range(40) for s in alarms.see(step, clean(step, rng) | {"leak": step / 40}) if s.kind == "leak"
    ]


def test_a_judge_of_leaks_is_heard_wherever_it_is_asked_and_more_of_few_is_no_proof() -> None:
    """One in twenty at first, and one in ten later: only with many judged is that more than chance."""

    def rises(many: int) -> list[Sign]:
        alarms, rng = Alarms(60), np.random.default_rng(0)
        found = []
        for step in range(40):
            more = {"completions": many, "none/reward/leak": 0.75, "reward/leak": -0.05 - 0.05 * min(1, step / 10)}
            found += [sign for sign in alarms.see(step, clean(step, rng) | more) if sign.kind == "leak"]
        return found

    assert rises(32) == [] and [sign.key for sign in rises(3200)] == ["leak/leak"]
    assert "judge says that 9.9% [9.0%, 10.9%] of the completions" in rises(3200)[0].line


def test_requests_that_fail_are_counted_over_the_generations_that_made_any() -> None:
    """A student most of whose completions have no answer has few of them judged."""
    alarms, rng = Alarms(60), np.random.default_rng(0)
    asked = {step: {"asked/failed": 1.0} for step in (3, 9, 10, 17, 30)}
    found = [(step, s) for step in range(40) for s in alarms.see(step, clean(step, rng) | asked.get(step, {}))]
    assert [(step, sign.key, sign.fatal) for step, sign in found if sign.kind == "unscored"] == [(30, "asked", True)]


@pytest.mark.parametrize(("generations", "ends"), [(1, 0), (3, 2), (60, 4)])
def test_a_training_of_few_generations_does_not_end_well_without_any_value(generations: int, ends: int) -> None:
    alarms, rng = Alarms(60, generations=generations), np.random.default_rng(0)
    found = [s for step in range(6) for s in alarms.see(step, clean(step, rng) | {"unscored": 0.5}) if s.fatal]
    assert len(found) == 1 and alarms.lines[0].startswith(f"step {ends + 1}: ")


def test_flat_groups_are_nothing_where_rewards_are_only_looked_at() -> None:
    alarms = Alarms(60, compares=False)
    rng = np.random.default_rng(0)
    assert [s for step in range(55) for s in alarms.see(step, clean(step, rng) | {"flat": 1.0})] == []


def test_it_ends_where_the_user_said_so() -> None:
    alarms = Alarms(60, ("hacking",))
    rng = np.random.default_rng(0)
    for step in range(60):
        numbers = clean(step, rng)
        assert alarms.stopped is None or step > WINDOW
        alarms.see(step, numbers | format_only(step, numbers, rng))
    assert alarms.stopped == "hacking"
    assert "step " in alarms.lines[0] and len(alarms.lines) >= 1


def test_a_training_that_goes_on_is_watched_as_if_it_had_never_stopped() -> None:
    rng = np.random.default_rng(3)
    rows = [(numbers := clean(step, rng)) | format_only(step, numbers, rng) for step in range(60)]
    whole, first, second = (Alarms(60, ("hacking",)) for _ in range(3))
    expected = [sign for step, row in enumerate(rows) for sign in whole.see(step, row)]
    found = [sign for step, row in enumerate(rows[:17]) for sign in first.see(step, row)]
    second.load_state_dict(first.state_dict())
    found += [sign for step, row in enumerate(rows[17:], 17) for sign in second.see(step, row)]
    assert found == expected and expected
    assert second.state_dict() == whole.state_dict()


def test_steps_that_draw_nothing_and_numbers_that_are_none_count_for_nothing() -> None:
    alarms = Alarms(60)
    for step in range(40):
        assert alarms.see(step, {"loss": 1.0, "entropy": 0.0}) == []
        assert alarms.see(step, {"completions": 8, "reward": float("nan"), "length": 10.0}) == []
    assert "reward" not in alarms.state_dict()["seen"]
