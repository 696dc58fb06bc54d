"""Panels of judges: one value from several, and their agreement."""

from __future__ import annotations

import pytest

from harness.errors import DataError, UsageError
from judges.panel import panel_agreement, panel_fold
from judges.types import Aggregate, Judged


def row(value: float | None, problem: str = "p", attempt: int = 0, **parts: float) -> Judged:
    status = "unscored" if value is None else "scored"
    return Judged(problem, attempt, value, status, why="" if value is not None else "unreadable", parts=parts)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "how", "expected"),
    [
        ((0.2, 0.4, 0.9), "mean", 0.5),
        ((0.2, 0.4, 0.9), "median", 0.4),
        ((0.2, 0.4), "median", 0.3),
        ((0.6, 0.7, 0.0), "majority", 1.0),
        ((0.4, 0.0, 1.0), "majority", 0.0),
        ((0.5, 0.5, 1.0), "majority", 0.5),
        ((1.0, 0.0), "majority", 0.5),
        ((1.0, 0.5, 0.0), "majority", 0.5),
        ((1.0, 1.0, 0.0, 0.0, 0.5), "majority", 0.5),
        ((0.7,), "mean", 0.7),
    ],
)
def test_aggregation(values: tuple[float, ...], how: Aggregate, expected: float) -> None:
    (folded,) = panel_fold([[row(value)] for value in values], how)
    assert folded.value == pytest.approx(expected)
    assert folded.status == "scored"


def test_a_missing_member_leaves_no_value() -> None:
    members = [[row(0.2)], [row(None)], [row(0.4)]]
    (folded,) = panel_fold(members)
    assert (folded.value, folded.status) == (None, "unscored")
    assert folded.why == "2 of 3 judges gave a value, all are needed; unreadable"
    errors = [[row(0.2)], [Judged("p", 0, None, "error", why="down")]]
    assert panel_fold(errors)[0].status == "error"


def test_parts_are_means_over_the_members_that_have_them() -> None:
    (folded,) = panel_fold([[row(0.2, flip=1.0, quotes=0.5)], [row(0.4, flip=0.0)]])
    assert folded.parts == {"flip": 0.5, "quotes": 0.5}
    assert folded.flipped is None


def test_answers_keep_their_order_and_cluster() -> None:
    first = [Judged("b", 0, 1.0, "scored", cluster="c"), Judged("a", 1, 0.0, "scored")]
    folded = panel_fold([first, first])
    assert [(one.problem_id, one.attempt, one.cluster) for one in folded] == [("b", 0, "c"), ("a", 1, "")]


@pytest.mark.parametrize(
    "per_judge",
    [[], [[]], [[row(1.0)], [row(1.0, "q")]], [[row(1.0)], [row(1.0, attempt=1)]], [[row(1.0)], []]],
)
def test_judges_of_other_answers_are_no_panel(per_judge: list[list[Judged]]) -> None:
    with pytest.raises(DataError):
        panel_fold(per_judge)
    with pytest.raises(DataError):
        panel_agreement(per_judge)


def test_another_aggregation_is_refused() -> None:
    with pytest.raises(UsageError, match="mean, median, majority"):
        panel_fold([[row(1.0)]], "best")  # type: ignore[arg-type]


def test_agreement_of_judges_that_agree() -> None:
    values = [0.1, 0.4, 0.4, 0.9, 0.6, 0.2]
    judge = [row(value, f"p{i}") for i, value in enumerate(values)]
    found = panel_agreement([judge, judge, judge], resamples=50)
    assert found["alpha"] == pytest.approx(1.0)
    assert (found["low"], found["high"]) == pytest.approx((1.0, 1.0))
    assert (found["judges"], found["answers"], found["level"]) == (3, 6, "interval")


def test_agreement_leaves_missing_values_out() -> None:
    one = [row(value, f"p{i}") for i, value in enumerate([0.0, 1.0, None, 1.0])]
    other = [row(value, f"p{i}") for i, value in enumerate([0.0, 1.0, 1.0, 0.0])]
    found = panel_agreement([one, other], "nominal", resamples=20)
    assert found["answers"] == 3
    # Values 0 0 | 1 1 | 1 0: observed 2 of 6, expected 2 * 3 * 3 / (6 * 5).
    assert found["alpha"] == pytest.approx(1 - (2 / 6) / (18 / 30))


def test_agreement_is_undefined_where_nothing_differs() -> None:
    judge = [row(1.0, f"p{i}") for i in range(4)]
    found = panel_agreement([judge, judge])
    assert (found["alpha"], found["low"], found["high"]) == (None, None, None)
    assert panel_agreement([judge])["alpha"] is None


def test_attempts_are_resampled_with_their_problem() -> None:
    def judge(shift: int) -> list[Judged]:
        return [row(float((i * 7 + shift * (i % 3 == 0)) % 5) / 5, f"p{i}", k) for i in range(30) for k in range(8)]

    def single(shift: int) -> list[Judged]:
        return [one for one in judge(shift) if one.attempt == 0]

    many, few = panel_agreement([judge(0), judge(1)]), panel_agreement([single(0), single(1)])
    # Eight equal attempts say nothing that one does not: the interval may not shrink.
    for end in ("low", "high"):
        assert many[end] == pytest.approx(few[end], abs=0.05)
