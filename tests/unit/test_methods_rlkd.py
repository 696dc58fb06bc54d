"""RLKD: its stage, what it reduces to, and clipping by the spread of a group's rewards."""

from __future__ import annotations

from dataclasses import replace

import pytest
from completions import completions, set_up
from objective_steps import Student
from rollout_groups import group

from backends.base import Step
from backends.losses.policy import Surrogate
from backends.methods import grpo, rlkd
from backends.methods._policy_options import PolicyOptions
from backends.rollouts.types import RolloutGroup, RolloutMark

STEP = Step(0, 4)


def marked(*values: float | None) -> RolloutGroup:
    return replace(group(["x"] * len(values)), marks=tuple(RolloutMark(value) for value in values))


def test_the_papers_stage() -> None:
    (stage,) = rlkd.METHOD.stages(rlkd.RlkdOptions())
    assert stage.rolling is not None and stage.rolling.weights == "accuracy=3+structure=3+format=2+tags=2"
    assert dict(stage.rolling.settings) == {"group": 4, "temperature": 0.7}
    assert (stage.settings["learning_rate"], stage.settings["batch_size"]) == (5e-5, 32)
    objective = stage.objective()
    assert [term.name for term in objective.terms] == ["policy", "kl_reference"]  # type: ignore[attr-defined]
    assert objective.terms[1].coefficient == 0.04 and objective.terms[1].estimator == "k3"  # type: ignore[attr-defined]


def test_without_the_distance_it_is_grpo(student: Student) -> None:
    (ours,) = rlkd.METHOD.stages(rlkd.RlkdOptions(kl_coef=0.0))
    (theirs,) = grpo.METHOD.stages(PolicyOptions())
    taken = [student.step(set_up(stage.objective(), student, completions()), completions()) for stage in (ours, theirs)]
    assert taken[0].loss == taken[1].loss and taken[0].log == taken[1].log
    groups = [marked(1.0, 0.0, 3.5, None)]
    assert ours.rolling is not None and theirs.rolling is not None
    assert str(ours.rolling.credit(groups, STEP)) == str(theirs.rolling.credit(groups, STEP))


def test_clipping_by_the_spread_of_rewards() -> None:
    assert rlkd.clips([1.0, 1.0]) == [0.2, 0.2]
    assert rlkd.clips([0.5, 1.0, 1.5, 8.0, 0.0]) == [0.4, 0.4, pytest.approx(0.2 * 2.75 / 1.5), 0.1, 0.2]
    assert rlkd.clips([0.0, 0.0]) == [0.2, 0.2]  # nothing is learnt there
    assert rlkd.spread(marked(1.0, None, 3.0)) == pytest.approx(2**0.5)
    assert rlkd.spread(marked(1.0, None)) == rlkd.spread(marked(2.0, 2.0)) == 0.0


def test_each_completion_has_its_groups_clipping() -> None:
    (stage,) = rlkd.METHOD.stages(rlkd.RlkdOptions(adaptive_clip=True))
    assert stage.rolling is not None
    groups = [marked(0.0, 1.0), marked(0.0, 3.0), marked(1.0, None, 1.0)]
    found = stage.rolling.credit(groups, STEP)
    plain = rlkd.METHOD.stages(rlkd.RlkdOptions())[0].rolling
    assert plain is not None
    for row, other in zip(found, plain.credit(groups, STEP), strict=True):
        assert {**row[0].numbers, "clip": 0.0} == {**other[0].numbers, "clip": 0.0}
    clips = [[one.numbers["clip"] for one in row] for row in found]
    assert clips == [[pytest.approx(0.4)] * 2, [pytest.approx(0.2 * 2 / 3)] * 2, [0.2] * 3]


def test_a_group_may_go_as_far_as_its_number_says(student: Student, monkeypatch: pytest.MonkeyPatch) -> None:
    import backends.methods._terms as module

    seen: list[list[float]] = []
    real = module.surrogate

    def watched(*given: object, **named: object) -> Surrogate:
        seen.append([round(float(row[0]), 6) for row in named["low"]])  # type: ignore[attr-defined]
        return real(*given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "surrogate", watched)
    examples = tuple(
        replace(one, numbers={**one.numbers, "clip": clip})
        for one, clip in zip(completions(), (0.1, 0.2, 0.3, 0.4), strict=True)
    )
    (stage,) = rlkd.METHOD.stages(rlkd.RlkdOptions(adaptive_clip=True))
    student.step(set_up(stage.objective(), student, examples), examples)
    assert seen == [[0.1, 0.2, 0.3, 0.4]]


def test_clipping_is_set_once() -> None:
    with pytest.raises(ValueError, match="say neither low nor high"):
        rlkd.RlkdOptions(adaptive_clip=True, low=0.1)
