"""A generation whose scorers failed, taken up again; and what is told of requests that fail."""

from __future__ import annotations

from pathlib import Path

from objective_steps import Student
from test_rollouts_rolls import Told, make, shown

from backends.rollouts.types import RolloutGroup, RolloutMark


def test_where_scorers_failed_they_are_asked_again_unless_it_has_been_trained_on(
    student: Student, tmp_path: Path
) -> None:
    """Seen failing: a training that had stopped because its judge was down stopped there for ever."""

    def down(group: RolloutGroup) -> tuple[RolloutMark, ...]:
        return (RolloutMark(None, why="judge: no reply"),) * len(group.rollouts)

    broken = make(student, mark=down, folder=tmp_path, settings={"group": 4})
    assert broken.numbers["unscored"] == 1
    engine = Told()
    assert shown(make(student, engine, begun=True, folder=tmp_path, settings={"group": 4})) == shown(broken)
    mended = make(student, engine, folder=tmp_path, settings={"group": 4})
    assert mended.numbers["unscored"] == 0 and not engine.calls
    assert shown(mended) == shown(make(student, settings={"group": 4}))
    assert shown(make(student, engine, down, folder=tmp_path, settings={"group": 4})) == shown(mended)  # as it is now


def test_the_share_of_failed_requests_is_of_those_that_were_made(student: Student) -> None:
    told = iter([(0, 0, 10, 1), (70, 20, 18, 3)])
    assert make(student, more={"judged": lambda: next(told)}).numbers["asked/failed"] == 0.25
    assert "asked/failed" not in make(student).numbers
