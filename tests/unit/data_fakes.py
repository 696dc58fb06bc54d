"""Teachers of training data whose replies are known, and a record for them to work on."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from backends.makers.asking import Ask, Query
from backends.records.record import TrainRecord
from harness.types import Completion, Message

ASKED = (Message("user", "How much is 2 + 3, times 4?"),)
RIGHT = "<think>\n2 + 3 = 5. 5 * 4 = 20.\n</think>\nThe answer is 20."
WRONG = "<think>\n2 + 3 = 6. 6 * 4 = 24.\n</think>\nThe answer is 24."


def record(record_id: str = "a", **more: object) -> TrainRecord:
    fields: dict[str, object] = {"gold": "20", "meta": {"grader": "integer"}, **more}
    return TrainRecord(record_id, ASKED, **fields)  # type: ignore[arg-type]


def says(reply: Callable[[Query], str | Completion], seen: list[Query] | None = None) -> Ask:
    def ask(queries: Sequence[Query]) -> list[Completion]:
        if seen is not None:
            seen.extend(queries)
        replies = [reply(query) for query in queries]
        return [Completion(one, "stop") if isinstance(one, str) else one for one in replies]

    return ask


FAILED = Completion("", "error", error="timeout")
CUT = Completion("2 + 3", "length")


def nonzero(counts: object) -> dict[str, int]:
    assert isinstance(counts, dict)
    return {name: count for name, count in counts.items() if count}
