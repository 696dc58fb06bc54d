"""A judge and a judging for tests of `judges`: replies by script, no engine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from harness.models.base import Slots
from harness.types import Completion, Json, Message, Request
from judges.types import Ask, Judged, Judgment, Malformed, Summary, Task, Verdict


def read_number(completion: Completion) -> Verdict:
    """A verdict from a reply that is one digit."""
    text = completion.answer_text or ""
    if text == "crash":
        raise ZeroDivisionError("reader bug")
    if len(text) != 1 or not text.isdigit():
        raise Malformed(f"expected one digit, not {text[:20]!r}")
    return Verdict(value=int(text) / 9, label=text)


@dataclass(frozen=True)
class DigitJudging:
    """Asks for one digit per answer, `repeats` times."""

    repeats: int = 1
    max_tokens: int = 64
    name: str = "digit"

    def identity(self) -> Mapping[str, Json]:
        return {"name": self.name}

    def needs_opponent(self) -> bool:
        return False

    def asks(self, task: Task) -> Sequence[Ask]:
        messages = (Message("user", f"Rate: {task.answers[-1]}"),)
        return [
            Ask(messages, read_number, repeat=repeat, max_tokens=self.max_tokens, schema={"type": "integer"})
            for repeat in range(self.repeats)
        ]

    def rubric_id(self, task: Task) -> str:
        return "digit@1#0"

    def fold(self, task: Task, judgments: Sequence[Judgment]) -> Judged:
        raise NotImplementedError

    def summarise(self, tasks: Sequence[Task], judged: Sequence[Judged]) -> Summary:
        raise NotImplementedError


def make_tasks(count: int, same: bool = False) -> list[Task]:
    """Tasks with distinct answers, or with one answer for all."""
    return [Task(f"p{i}", 0, ("question",), ("answer" if same else f"answer {i}",)) for i in range(count)]


def reply(text: str, tokens: int = 10, **fields: object) -> Completion:
    """A finished completion of `tokens` tokens in and out."""
    return Completion(text, "stop", tokens_in=tokens, tokens_out=tokens, **fields)  # type: ignore[arg-type]


@dataclass
class ScriptedJudge:
    """Answers by a function of the request, one after the other."""

    say: Callable[[Request], Completion] = lambda request: reply("7")
    prices: Mapping[str, Json] = field(default_factory=dict)
    name: str = "fake:judge"
    seen: list[Request] = field(default_factory=list)
    concurrency: int = 1

    def __post_init__(self) -> None:
        self.slots = Slots(self.concurrency)

    def describe(self) -> Mapping[str, Json]:
        return {"engine": "fake"}

    def environment(self) -> Mapping[str, Json]:
        return self.prices

    async def answer(self, request: Request) -> Completion:
        return await self.slots.use(request, self._answer)

    async def _answer(self, request: Request) -> Completion:
        await asyncio.sleep(0)
        self.seen.append(request)
        return self.say(request)

    async def close(self) -> None:
        pass
