"""The rows of the table of teachers in reinforcement learning, by hand; schedules, masks, and what is kept."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, get_args, get_type_hints

import pytest
import torch
from drawn_groups import group
from torch import Tensor

from backends.base import Step, TrainMethod, load_method
from backends.losses.divergence import sampled_divergence
from backends.losses.policy import surrogate
from backends.methods import kdrl, rft
from backends.methods._teacher_rl import d_added, d_alone, d_for_wrong, d_until, scaled_by_d, towards_teacher
from backends.rollouts.types import RolloutMark
from harness import catalog
from harness.errors import DataError

RL = (
    "grpo",
    "ppo",
    "mcq_rl",
    "opd",
    "minillm",
    "kdrl",
    "trrd",
    "srpo",
    "hdpo",
    "rlsd",
    "opd_then_rl",
    "rft",
    "tsd_kd",
    "scope",
    "lightning_opd",
)
UNMARKED = ("opd", "minillm", "tsd_kd", "lightning_opd")


def seen(step: int = 0, advantage: float = 2.0, **numbers: float) -> Any:
    """One token: old -1.0, student -.8, teacher -.5, in float64."""

    def one(value: float) -> Tensor:
        return torch.tensor([[value]], dtype=torch.float64)

    logps = one(-0.8).requires_grad_()
    numbers = {"correct": 0.0, "dead": 0.0} | numbers
    return SimpleNamespace(
        logps_RT=logps, old_RT=one(-1.0), teacher_RT=one(-0.5), log_ratio_RT=logps - one(-1.0),
        d_RT=one(-0.5) - logps.detach(), advantage_RT=one(advantage), step=Step(step, 300),
        number=lambda name: one(numbers[name]),
    )  # fmt: skip


def worth(rule: Any, **of: Any) -> float:
    return float(rule(seen(**of))[1].item())


@pytest.mark.parametrize(("alpha", "ratio"), [(1.0, 1.221403), (0.5, 0.951229), (0.0, 0.740818)])
def test_golden_ratios_of_trrd(alpha: float, ratio: float) -> None:
    log_ratio, advantage = towards_teacher(alpha, 1.0)(seen())
    assert log_ratio.exp().item() == pytest.approx(ratio, abs=1e-6)
    assert advantage.item() == 2.0


def test_the_ratio_of_trrd_has_a_gradient_within_its_bound_and_none_beyond() -> None:
    for bound, slope in ((1.0, 1.0), (0.1, 0.5)):
        of = seen()
        towards_teacher(0.5, bound)(of)[0].sum().backward()
        assert of.logps_RT.grad.item() == pytest.approx(slope)


@pytest.mark.parametrize("advantage", [-2.0, 0.0, 1.5])
def test_an_update_of_trrd_has_the_sign_of_the_advantage(advantage: float) -> None:
    of = seen(advantage=advantage)
    log_ratio, worth_RT = towards_teacher(0.5, 1.0)(of)
    surrogate(of.logps_RT, log_ratio, worth_RT, torch.ones(1, 1), clip="off").loss_RT.sum().backward()
    assert torch.sign(-of.logps_RT.grad).item() == torch.sign(torch.tensor(advantage)).item()


def test_the_table() -> None:
    d = 0.3
    assert worth(d_alone(1.0)) == pytest.approx(d) and worth(d_alone(2.0)) == pytest.approx(2 * d)
    assert worth(d_added(0.1, "none")) == pytest.approx(2 + 0.1 * d)
    assert worth(d_added(0.1, "response"), correct=1.0) == 2
    assert worth(d_added(0.1, "response"), correct=0.0) == pytest.approx(2 + 0.1 * d)
    assert worth(d_added(0.1, "group"), dead=0.0) == 2
    assert worth(d_added(0.1, "group"), dead=1.0) == pytest.approx(2 + 0.1 * d)
    assert worth(d_for_wrong, correct=1.0) == 2 and worth(d_for_wrong, correct=0.0) == pytest.approx(d)
    assert worth(d_until(40), step=39) == pytest.approx(d) and worth(d_until(40), step=40) == 2
    scale = torch.tensor(d).exp().item()
    assert worth(scaled_by_d(1.0, 0.5)) == pytest.approx(2 * scale)
    assert worth(scaled_by_d(1.0, 0.5), advantage=-2.0) == pytest.approx(-2 / scale)
    assert worth(scaled_by_d(1.0, 0.2)) == pytest.approx(2 * 1.2)
    assert worth(scaled_by_d(0.5, 0.2)) == pytest.approx(2 * 1.1)
    assert worth(scaled_by_d(1.0, 0.2), advantage=0.0) == 0


def test_d_has_no_gradient() -> None:
    for rule in (d_alone(1.0), d_added(0.1, "none"), d_for_wrong, scaled_by_d(0.5, 0.2)):
        assert not rule(seen())[1].requires_grad


def test_golden_estimators_of_kdrl() -> None:
    logps, teacher = torch.tensor([-0.8], dtype=torch.float64), torch.tensor([-0.5], dtype=torch.float64)
    values = [sampled_divergence(logps, teacher, estimator=k).item() for k in ("k1", "k2", "k3")]
    assert values == pytest.approx([-0.3, 0.045, 0.049859], abs=1e-6)


def test_golden_schedule_of_kdrl() -> None:
    b = kdrl.weight(kdrl.KdrlOptions())
    assert [b(Step(number, 280)) for number in (0, 40, 80, 280)] == pytest.approx([0.005, 0.003, 0.001, 0.001])
    assert kdrl.weight(kdrl.KdrlOptions(b=0.0))(Step(0, 1)) == 0  # `least` is not above where it begins
    constant = kdrl.weight(kdrl.KdrlOptions(b=2e-3, fall=0.0))
    assert {constant(Step(number, 280)) for number in (0, 280)} == {2e-3}


def test_kdrl_s_mask_belongs_to_the_advantage() -> None:
    with pytest.raises(ValueError, match="mask has no effect"):
        kdrl.KdrlOptions(form="loss", mask="response")


def marked(texts: tuple[str, ...], values: tuple[float | None, ...]) -> Any:
    found = group(texts=texts)
    marks = tuple(RolloutMark(value, correct=None if value is None else value > 0) for value in values)
    return type(found)(found.record, found.rollouts, marks)


def test_rft_keeps_each_right_text_once_and_so_many() -> None:
    one = marked(("a", "b", "a", "c", "d", "e"), (1, 0, 1, 1, None, 1))
    (found,) = rft.credit(rft.RftOptions(most=2), [one], Step(0, 1))
    assert [credit.keep for credit in found] == [True, False, False, True, False, False]
    with pytest.raises(DataError, match="no reward says"):
        rft.credit(rft.RftOptions(), [_unknown()], Step(0, 1))


def _unknown() -> Any:
    found = group(texts=("a", "b"))
    return type(found)(found.record, found.rollouts, (RolloutMark(1.0), RolloutMark(0.0)))


@pytest.mark.parametrize("name", RL)
def test_every_method_is_one_stage_of_drawing(name: str) -> None:
    method = load_method(name)
    assert isinstance(method, TrainMethod) and method.name == name
    (stage,) = method.stages(method.options())
    assert stage.rolling is not None and "response" not in stage.needs
    assert stage.rolling.weights == ("" if name in UNMARKED else "accuracy=1")
    assert ("teacher logits" in method.needs) == (name not in ("grpo", "ppo", "mcq_rl", "rft"))
    stage.objective()


def test_no_choice_is_read_as_nothing() -> None:
    """A choice "none" of an option that may be None would become None on the command line."""
    for name in catalog.entries("method"):
        for option, kind in get_type_hints(load_method(name).options).items():
            choices = [choice for part in get_args(kind) for choice in get_args(part)]
            assert type(None) not in get_args(kind) or "none" not in choices, f"{name}: {option}"
