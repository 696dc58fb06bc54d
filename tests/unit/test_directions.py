"""What `benchmarks/directions.py` calls reproduced: a difference beyond its margin, on either side, or neither."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

pytest.importorskip("transformers", reason="needs the extra train")

from directions import look  # type: ignore[import-not-found]
from directions_registered import ARMS, CLAIMS, Claim  # type: ignore[import-not-found]


class World:
    """Right answers of two arms, drawn."""

    def __init__(self, one: float, other: float, problems: int) -> None:
        rng = np.random.default_rng(0)
        self.drawn = {
            f"{name}/{seed}": (rng.random(problems) < share).astype(float)
            for name, share in (("sft", one), ("kd", other))
            for seed in range(3)
        }

    def models(self, name: str) -> tuple[str, ...]:
        return tuple(f"{name}/{seed}" for seed in range(3))

    def column(self, model: str, measure: str) -> np.ndarray:
        return self.drawn[model]


@pytest.mark.parametrize(
    ("one", "other", "problems", "sign", "margin", "verdict"),
    [
        (0.7, 0.4, 400, "above", 0.0, "reproduced"),
        (0.4, 0.7, 400, "above", 0.0, "not reproduced"),
        (0.4, 0.7, 400, "below", 0.0, "reproduced"),
        (0.5, 0.5, 40, "above", 0.0, "cannot tell"),
        (0.5, 0.5, 2000, "above", -0.1, "reproduced"),
        (0.5, 0.5, 2000, "below", -0.1, "not reproduced"),
        (0.5, 0.5, 40, "above", -0.02, "cannot tell"),
    ],
)
def test_a_verdict_by_hand(one: float, other: float, problems: int, sign: str, margin: float, verdict: str) -> None:
    found = look(World(one, other, problems), Claim("R", "sft", "kd", "accuracy", sign, margin))
    assert found["verdict"] == verdict
    assert found["low"] <= found["difference"] <= found["high"] and found["detectable"] > 0


def test_every_claim_is_about_arms_that_are_trained_alike() -> None:
    for claim in CLAIMS:
        assert claim.arm in {*ARMS, "teacher"} and claim.than in {*ARMS, "untrained", "start"}
        if claim.arm in ARMS and claim.than in ARMS:
            one, other = ARMS[claim.arm], ARMS[claim.than]
            assert (one.budget, one.student) == (other.budget, other.student)
