"""Which prompts a generation has, which seeds, how many: all of it known before anything is drawn."""

from __future__ import annotations

from typing import Any

import pytest

from backends.assign import sort_assignments
from backends.config import TrainConfig
from backends.rollouts.order import completion_seed, prompts_of, spare_of, tries_of
from backends.rollouts.settings import RolloutSettings, prompts_per_generation, rollout_settings
from harness.errors import ConfigError


def test_each_epoch_visits_every_prompt_once_in_an_order_of_its_own() -> None:
    visits = [place for generation in range(6) for place in prompts_of(3, generation, 4, 8)]
    for epoch in range(3):
        part = visits[8 * epoch : 8 * epoch + 8]
        assert sorted(place for place, _ in part) == list(range(8))
        assert {visit for _, visit in part} == {epoch}
    assert [place for place, _ in visits[:8]] != [place for place, _ in visits[8:16]]


def test_a_generation_is_known_without_the_ones_before_and_may_cross_epochs() -> None:
    late = prompts_of(0, 1000, 6, 4)
    assert late == prompts_of(0, 1000, 6, 4) != prompts_of(1, 1000, 6, 4)
    assert [visit for _, visit in late] == [1500] * 4 + [1501] * 2
    assert len(set(prompts_of(0, 0, 10, 3))) == 10  # a prompt twice in one generation is not the same visit


def test_the_seed_of_a_completion_depends_on_each_of_its_names() -> None:
    first = completion_seed(0, "train", "a", 0, 0)
    assert first == 684001377 and 0 <= first < 2**31
    others = [(1, "train", "a", 0, 0), (0, "sft", "a", 0, 0), (0, "train", "b", 0, 0), (0, "train", "a", 1, 0)]
    assert len({first, completion_seed(0, "train", "a", 0, 1), *(completion_seed(*one) for one in others)}) == 6


def test_the_users_settings_come_before_the_papers_and_defaults_are_no_part_of_an_id() -> None:
    found = rollout_settings({"group": 4, "temperature": 0.7}, {"group": 2})
    assert found == RolloutSettings(group=2, temperature=0.7)
    assert found.lasting() == {"group": 2, "temperature": 0.7} and RolloutSettings().lasting() == {}
    assert RolloutSettings(updates=2, passes=3).steps == 6


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"group": 0}, "at least 1"),
        ({"temperature": 0}, "above 0.*the same"),
        ({"temperature": 1e-40}, "from 0.001 to 1000"),
        ({"temperature": 1e300}, "from 0.001 to 1000"),
        ({"top_p": 1.2}, "at most 1"),
        ({"max_new": -1}, "at least 1"),
        ({"truncated": "cut"}, "keep"),
        ({"grop": 8}, "Did you mean 'group'"),
    ],
)
def test_a_bad_setting_is_one_line(told: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        rollout_settings({}, told)


def test_prompts_of_a_generation_must_come_out() -> None:
    assert prompts_per_generation(RolloutSettings(group=8, updates=2), 16, 2) == 4
    with pytest.raises(ConfigError, match="no whole number of groups"):
        prompts_per_generation(RolloutSettings(group=8), 12, 1)
    with pytest.raises(ConfigError, match="among 3 processes"):
        prompts_per_generation(RolloutSettings(group=8), 16, 3)


def test_assignments_are_sorted_by_what_they_begin_with() -> None:
    told = {"rollout.group": "4", "reward.letters.chosen": "ab", "learning_rate": "1e-3", "weights": "letters=1"}
    found = sort_assignments("grpo", told)
    assert found["rollout"] == {"group": 4} and found["reward"] == {"letters.chosen": "ab"}
    assert found["settings"] == {"learning_rate": 1e-3} and found["options"] == {"weights": "letters=1"}
    with pytest.raises(ConfigError, match="rollout has no option 'grup'"):
        sort_assignments("grpo", {"rollout.grup": "4"})


def test_an_offline_method_has_the_id_that_it_had() -> None:
    plain = TrainConfig("sft", "tiny", "x", settings={"max_steps": 3}, options={"a": "b"}, seed=4)
    assert plain.hash("d", "o") == "99d811baceaf5397"  # as it was before there were such settings
    drawing = TrainConfig("grpo", "tiny", "x", rollout={"group": 4}, reward={"letters.chosen": "a"})
    assert drawing.identity()["rollout"] == {"group": 4} and "reward" in drawing.identity()


def test_spare_prompts_have_visits_of_their_own_that_tell_the_tries() -> None:
    spares = [
        spare_of(0, generation, place, tries, prompts=2, records=5)
        for generation in range(3)
        for place in range(2)
        for tries in range(3)
    ]
    assert len({visit for _, visit in spares}) == 18 and max(visit for _, visit in spares) == -1
    assert [tries_of(visit) for _, visit in spares] == [1, 2, 3] * 6 and tries_of(0) == tries_of(7) == 0
    assert {place for place, _ in spares} <= set(range(5)) and spare_of(1, 0, 0, 0, 2, 99) != spare_of(
        0, 0, 0, 0, 2, 99
    )
