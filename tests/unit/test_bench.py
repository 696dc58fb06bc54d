"""`harness.bench`: what is trained and evaluated when, what is compared, and how failures look."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
from bench_fakes import FakeTrainer, mock_evaluation, stored_arm
from stored_runs import coin, make_run

from harness.bench.compare import Entry, SuiteComparison, compare_suites
from harness.bench.runner import check_arms, preflight, run_bench, unequal
from harness.bench.spec import Arm, BenchSpec, Planned
from harness.config import RunConfig
from harness.errors import ConfigError, DataError, Interrupted, ModelError, TooManyFailures, TrainingStopped
from harness.run.folder import RunFolder
from harness.run.pipeline import Outcome
from harness.run.result import Item
from harness.stats import holm, paired


def spec(results: Path, *methods: str, seeds: int = 2) -> BenchSpec:
    config = RunConfig(suite=("synth",), model=("tiny",), limit=10, results_dir=str(results))
    return BenchSpec(methods or ("sft", "emo"), seeds, "tiny", config)


def nothing(line: str) -> None: ...


def bench(asked: BenchSpec, trainer: FakeTrainer, evaluated: list[str] | None = None) -> tuple[Arm, ...]:
    answer = mock_evaluation(asked.evaluation, {"emo": 0.9, "sft": 0.6})

    def evaluate(model: str) -> Outcome:
        (evaluated if evaluated is not None else []).append(model)
        return answer(model)

    return run_bench(preflight(asked, trainer), evaluate, nothing)


def one(arms: tuple[Arm, ...], results: Path, n: int = 1) -> SuiteComparison:
    (found,) = compare_suites(arms, {"toy": n}, results)
    return found


def entry(found: SuiteComparison, name: str) -> Entry:
    return next(entry for entry in found.entries if entry.arm.name == name)


def test_trainings_and_evaluations_go_seed_by_seed(tmp_path: Path) -> None:
    trainer, evaluated = FakeTrainer(tmp_path), []
    arms = bench(spec(tmp_path), trainer, evaluated)
    assert trainer.trained == [("sft", 0), ("emo", 0), ("sft", 1), ("emo", 1)]
    assert evaluated == [
        "trained:tiny-sft-0", "trained:tiny-emo-0", "tiny", "trained:tiny-sft-1", "trained:tiny-emo-1"
    ]  # fmt: skip
    assert [(arm.name, arm.kind, len(arm.members)) for arm in arms] == [
        ("sft", "method", 2), ("emo", "method", 2), ("untrained tiny", "student", 1)
    ]  # fmt: skip
    check_arms(arms)
    (found,) = compare_suites(arms, {"synth": 1}, tmp_path)
    assert {measure.key for measure in found.measures} == {"accuracy", "format", "tokens_out"}
    assert all("accuracy" in entry.means for entry in found.entries)


def test_teacher_and_further_models_get_rows(tmp_path: Path) -> None:
    asked = replace(spec(tmp_path, "sft", seeds=1), teacher="openai:big", models=("mock:other",))
    arms = bench(asked, FakeTrainer(tmp_path))
    assert [arm.name for arm in arms] == ["sft", "untrained tiny", "teacher openai:big", "mock:other"]


def test_a_stopped_comparison_goes_on_with_what_is_missing(tmp_path: Path) -> None:
    asked = spec(tmp_path)
    stopped = FakeTrainer(tmp_path, stop={("sft", 1): Interrupted("stopped")})
    with pytest.raises(Interrupted):
        bench(asked, stopped)
    again = FakeTrainer(tmp_path)
    bench(asked, again)
    assert stopped.trained + again.trained == [("sft", 0), ("emo", 0), ("sft", 1), ("emo", 1)]
    third = FakeTrainer(tmp_path)
    assert all(plan.finished for plan in preflight(asked, third).trainings.values())
    bench(asked, third)
    assert third.trained == []


def test_a_method_that_fails_costs_its_own_row(tmp_path: Path) -> None:
    trainer = FakeTrainer(
        tmp_path,
        refuse={"krsl": DataError("no record has 'rejected'")},
        stop={("emo", 1): TrainingStopped("the loss is no number")},
    )
    said: list[str] = []
    asked = spec(tmp_path, "sft", "emo", "krsl")
    answer = mock_evaluation(asked.evaluation, {})
    arms = run_bench(preflight(asked, trainer), answer, said.append)
    assert [len(arm.members) for arm in arms] == [2, 1, 0, 1]
    assert "no record has 'rejected'" in said[0]  # before anything is trained
    with pytest.raises(TooManyFailures) as error:
        check_arms(arms)
    assert error.value.exit_code == 1
    assert "krsl: no record has 'rejected'" in str(error.value)
    assert "emo: seed 1: the loss is no number" in str(error.value)
    (found,) = compare_suites(arms, {"synth": 1}, tmp_path)
    assert entry(found, "krsl").means == {}
    assert entry(found, "emo").versus["accuracy"].n_seeds == 1
    assert "emo: 1 of 2 seeds" in " ".join(found.notes)


def test_nothing_begins_if_no_method_can(tmp_path: Path) -> None:
    trainer = FakeTrainer(tmp_path, refuse={"sft": DataError("no file"), "emo": DataError("no file")})
    with pytest.raises(DataError, match="no file"):
        preflight(spec(tmp_path), trainer)


def test_settings_in_which_the_methods_differ_are_told() -> None:
    plans = {
        (method, seed): Planned("id", False, 10, 5, 1000, {"lora_rank": rank, "scheduler": "cosine"})
        for method, rank in (("sft", "none"), ("krsl", "64"))
        for seed in range(2)
    }
    (line,) = unequal(plans)
    assert line.startswith("the methods differ in lora_rank (sft none, krsl 64)")


def test_a_wrong_command_is_refused_at_once(tmp_path: Path) -> None:
    trainer = FakeTrainer(tmp_path, refuse={"emo": ConfigError("emo has no option 'x'")})
    with pytest.raises(ConfigError, match="no option"):
        preflight(spec(tmp_path), trainer)


@pytest.mark.parametrize(
    ("methods", "seeds", "words"),
    [((), 3, "no methods"), (("sft", "sft"), 3, "named twice"), (("sft",), 0, "out of range")],
)
def test_a_spec_that_makes_no_sense(methods: tuple[str, ...], seeds: int, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        BenchSpec(methods, seeds, "tiny", RunConfig())


def test_a_model_that_cannot_answer_costs_one_seed(tmp_path: Path) -> None:
    asked = spec(tmp_path)
    trainer = FakeTrainer(tmp_path)
    answer = mock_evaluation(asked.evaluation, {})

    def evaluate(model: str) -> Outcome:
        if model == "trained:tiny-emo-1":
            raise ModelError("out of memory")
        return answer(model)

    arms = run_bench(preflight(asked, trainer), evaluate, nothing)
    assert arms[1].failures == ("seed 1: out of memory",)
    (found,) = compare_suites(arms, {"synth": 1}, tmp_path)
    assert entry(found, "emo").means["accuracy"].n_seeds == 1
    assert entry(found, "sft").means["accuracy"].n_seeds == 2


# --- comparison -------------------------------------------------------------------------------------------------------


def test_one_seed_is_what_compare_says(tmp_path: Path) -> None:
    a, b = coin(0.4, 40, 1), coin(0.6, 40, 2)
    arms = (stored_arm(tmp_path, "sft", "method", [a]), stored_arm(tmp_path, "emo", "method", [b]))
    expected = paired(arms[1].members[0].runs["toy"].items, arms[0].members[0].runs["toy"].items)
    assert expected is not None and expected.test == "mcnemar"
    gap = entry(one(arms, tmp_path), "emo").versus["accuracy"]
    assert (gap.value, gap.low, gap.high, gap.p) == pytest.approx(
        (expected.diff, expected.low, expected.high, expected.p)
    )


def test_every_row_can_be_held_against_the_untrained_student(tmp_path: Path) -> None:
    a, b, untrained = coin(0.4, 40, 1), coin(0.6, 40, 2), coin(0.2, 40, 3)
    arms = (
        stored_arm(tmp_path, "sft", "method", [a]),
        stored_arm(tmp_path, "emo", "method", [b]),
        stored_arm(tmp_path, "untrained tiny", "student", [untrained]),
    )
    (found,) = compare_suites(arms, {"toy": 1}, tmp_path, "student")
    assert found.reference == "untrained tiny" and found.notes == ()
    for name, run in (("sft", 0), ("emo", 1)):
        expected = paired(arms[run].members[0].runs["toy"].items, arms[2].members[0].runs["toy"].items)
        gap = entry(found, name).versus["accuracy"]
        assert expected is not None and (gap.value, gap.p) == pytest.approx((expected.diff, expected.p))
    assert not entry(found, "untrained tiny").versus
    (other,) = compare_suites(arms, {"toy": 1}, tmp_path, "emo")
    assert other.reference == "emo" and one(arms, tmp_path).reference == "sft"
    (gone,) = compare_suites((*arms[:2], replace(arms[2], members=())), {"toy": 1}, tmp_path, "student")
    assert gone.reference == "sft" and gone.notes[0] == "untrained tiny has no scores here: differences are to sft"
    with pytest.raises(ConfigError, match="neither 'student' nor one of --methods"):
        BenchSpec(("sft",), 1, "tiny", RunConfig(), reference="emo")


def test_pairs_are_of_the_same_seed(tmp_path: Path) -> None:
    """Each seed of emo is the same seed of sft with three more right: no seed variance is left in the difference."""
    columns = [coin(0.3, 40, seed) for seed in range(3)]
    better = [[1.0 if i < 3 else value for i, value in enumerate([0.0] * 3 + column[3:])] for column in columns]
    columns = [[0.0] * 3 + column[3:] for column in columns]
    arms = (stored_arm(tmp_path, "sft", "method", columns), stored_arm(tmp_path, "emo", "method", better))
    found = one(arms, tmp_path)
    gap = entry(found, "emo").versus["accuracy"]
    assert gap.value == pytest.approx(3 / 40)
    seed = next(c for c in gap.components if c.sources == ("training seed",))
    assert seed.se == 0.0
    assert entry(found, "sft").by_seed["accuracy"] == pytest.approx([sum(column) / 40 for column in columns])


def test_the_control_is_held_against_every_seed(tmp_path: Path) -> None:
    arms = (
        stored_arm(tmp_path, "sft", "method", [coin(0.7, 30, 1), coin(0.7, 30, 2)]),
        stored_arm(tmp_path, "tiny", "student", [coin(0.2, 30, 3)]),
    )
    found = one(arms, tmp_path)
    gap = entry(found, "tiny").versus["accuracy"]
    means = [entry(found, name).means["accuracy"].value for name in ("tiny", "sft")]
    assert gap.value == pytest.approx(means[0] - means[1])
    assert gap.n_seeds == 2
    assert gap.p_holm == gap.p


def test_holm_is_over_the_rows_and_ranks_have_ties(tmp_path: Path) -> None:
    arms = (
        stored_arm(tmp_path, "sft", "method", [coin(0.5, 60, s) for s in range(5)]),
        stored_arm(tmp_path, "emo", "method", [coin(0.5, 60, s) for s in range(5, 10)]),
        stored_arm(tmp_path, "best", "method", [[1.0] * 60] * 5),
        stored_arm(tmp_path, "tiny", "student", [[0.0] * 60]),
    )
    found = one(arms, tmp_path)
    rows = [row for row in found.entries if "accuracy" in row.versus]
    p = [row.versus["accuracy"].p for row in rows]
    assert [row.versus["accuracy"].p_holm for row in rows] == pytest.approx(holm([x for x in p if x is not None]))
    assert {row.arm.name: row.rank for row in found.entries} == {"best": 1, "sft": 2, "emo": 2, "tiny": 4}
    assert entry(found, "sft").letters == entry(found, "emo").letters


def test_problems_without_a_score_in_every_seed_are_left_out_and_told(tmp_path: Path) -> None:
    arms = (
        stored_arm(tmp_path, "sft", "method", [[1.0, None, 0.0, 1.0], [1.0, 1.0, 0.0, 1.0]]),
        stored_arm(tmp_path, "emo", "method", [[0.0, 1.0, 0.0, None], [0.0, 1.0, 1.0, 1.0]]),
    )
    found = one(arms, tmp_path)
    assert entry(found, "sft").means["accuracy"].n_problems == 3
    assert entry(found, "emo").versus["accuracy"].n_problems == 2
    assert "sft: 1 problem is left out: not every seed has a score of it" in found.notes


def test_the_first_method_without_scores_gives_way(tmp_path: Path) -> None:
    arms = (
        Arm("sft", "method", (), ("it failed",)),
        stored_arm(tmp_path, "emo", "method", [coin(0.5, 20, 1)]),
        stored_arm(tmp_path, "krsl", "method", [coin(0.5, 20, 2)]),
    )
    found = one(arms, tmp_path)
    assert found.reference == "emo"
    assert "sft has no scores here: differences are to emo" in found.notes
    assert set(entry(found, "krsl").versus) == {"accuracy", "tokens_out"}


def test_only_the_samples_asked_for_count(tmp_path: Path) -> None:
    """An earlier command with a larger n must not make one row's diversity, or its interval, another thing."""
    sampled = {"temperature": 1.0, "top_p": 1.0, "max_tokens": 64, "stop": []}
    four = stored_arm(tmp_path, "sft", "method", [[1.0, 0.0, 1.0]], n=4, sampling=sampled)
    two = stored_arm(tmp_path, "emo", "method", [[1.0, 0.0, 1.0]], n=2, sampling=sampled)
    found = one((four, two), tmp_path, n=2)
    for name in ("sft", "emo"):
        sources = [c.sources for c in entry(found, name).means["accuracy"].components]
        assert sources == [("question", "seed x question"), ("sampling",)]
    single = one((four, two), tmp_path, n=1)
    assert ("question", "seed x question", "sampling") in [
        c.sources for c in entry(single, "sft").means["accuracy"].components
    ]


def test_a_greedy_run_has_no_sampling(tmp_path: Path) -> None:
    found = one((stored_arm(tmp_path, "sft", "method", [coin(0.5, 20, s) for s in (1, 2)]),), tmp_path)
    assert [c.sources for c in entry(found, "sft").means["accuracy"].components] == [
        ("training seed",), ("question",), ("seed x question",)
    ]  # fmt: skip


def test_judged_scores_are_a_measure_of_their_own(tmp_path: Path) -> None:
    base = stored_arm(tmp_path, "sft", "method", [[1.0, 0.0, 1.0]])
    values = [0.5, 0.25, 1.0]
    where = make_run(tmp_path, "mock:sft-0", values, run_id="toy-sft-0@cot", judge="cot_math by mock:judge")
    judged = (replace(base.members[0], judged={"toy": RunFolder(where).result}),)
    found = one((replace(base, members=judged),), tmp_path)
    assert found.headline.key == "accuracy"
    assert entry(found, "sft").means["judged"].value == pytest.approx(sum(values) / 3)
    # A suite that only a judge scores, whose items are not plain means of samples: its own values count.
    items = {f"p{i:03d}": Item(value / 2, 1) for i, value in enumerate(values)}
    weighted = make_run(tmp_path, "mock:x", values, run_id="toy-x@arena", judge="arena by mock:judge", items=items)
    alone = (replace(base.members[0], runs={}, judged={"toy": RunFolder(weighted).result}),)
    found = one((replace(base, members=alone),), tmp_path)
    assert found.headline.key == "judged"
    assert entry(found, "sft").means["judged"].value == pytest.approx(sum(values) / 6)
    assert math.isclose(entry(found, "sft").means["tokens_out"].value, 100.0)
    # Ratings from 1 to 10: shares of the scale.
    ratings = {f"p{i:03d}": Item(10 * value, 1) for i, value in enumerate(values)}
    rated = make_run(
        tmp_path,
        "mock:y",
        values,
        run_id="toy-y@rate",
        judge="r by j",
        items=ratings,
        headline="rating",
        estimates={"rating": replace(RunFolder(where).result.estimates["avg@n"], value=5.8)},
    )
    alone = (replace(base.members[0], runs={}, judged={"toy": RunFolder(rated).result}),)
    found = one((replace(base, members=alone),), tmp_path)
    assert entry(found, "sft").means["judged"].value == pytest.approx(sum(values) / 3)
