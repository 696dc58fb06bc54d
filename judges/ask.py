"""Ask a judge everything that a judging wants to know about a list of answers.

    judgments = await judge_tasks(judge, judging, tasks, cache)      # one list per task, in the order of its asks

All asks of all tasks are one stream of requests. What the cache holds is not asked; what is asked twice is asked once;
each reply is stored before it is read. A reply that cannot be read is asked for once more, ahead of what still waits,
so that no second wave follows the first. After that the judgment has no verdict and says why: a failure never becomes a
score, and never stops the rest.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from harness.errors import BudgetReached
from harness.models.base import named_markup
from harness.redact import one_line
from harness.types import Completion, Model, Request
from judges.budget import Budget, Meter
from judges.cache import Cache, ask_seed, reply_key, storable
from judges.replies.reading import ask_again, read_verdict
from judges.replies.thought import with_reply
from judges.stream import AHEAD, answer_stream
from judges.types import Ask, Judging, Judgment, Malformed, Task, Verdict

NO_REPLY = "the judge gave no reply: "
"""How `Judgment.why` begins where the request itself failed; every other reason is about a reply."""
_PLANNED_AT_ONCE = 256


class JudgeProgress(Protocol):
    """Who is told how the judging goes."""

    def start(self, judge: str, total: int) -> None:
        """Called once for each judge: judgments to make, found in the cache or not."""

    def advance(self, judgment: Judgment) -> None:
        """Called as each judgment is settled."""

    def finish(self) -> None:
        """Called when a judge is done, however it ends."""


async def judge_tasks(
    judge: Model,
    judging: Judging,
    tasks: Sequence[Task],
    cache: Cache,
    budget: Budget | None = None,
    on_judgment: Callable[[Judgment], None] | None = None,
) -> list[list[Judgment]]:
    """Every judgment of every task: one list per task, in the order of `Judging.asks`.

    `on_judgment` is called as each is settled, in any order. Every reply is in the cache before anything else happens
    to it, so whatever stops this, the same call goes on from there.
    Raises `DataError` before anything is asked if a task lacks what the judging needs, `BudgetReached` once the budget
    is spent and what was in flight is settled, `ConfigError` for a budget in money without prices, `ModelError` if the
    judge cannot answer at all, `StoreError` if the cache fails.
    """
    session = _Session(judge, judging, tasks, cache, budget, on_judgment)
    await session.plan()
    await session.ask_missing()
    return session.finished()


@dataclass(slots=True)
class _Place:
    """One judgment on its way: which ask of which task, and its first reply if that could not be read."""

    task: int
    ask: int
    first: Completion | None = None
    reason: str = ""
    requested: bool = False
    """True once a request was made for this judgment."""


@dataclass(slots=True)
class _Question:
    """One distinct thing to ask, and every judgment that waits for the reply."""

    key: str
    places: list[_Place] = field(default_factory=list)
    request: Request | None = None
    """Kept while the engine has it, so that no other object takes its identity."""
    ask: Ask | None = None
    """What the first of the places asks, while the engine has the request: rendering it again would cost time."""

    @property
    def is_second_try(self) -> bool:
        """True if the first reply could not be read."""
        return self.places[0].first is not None


class _Session:
    """The state of one call of `judge_tasks`."""

    def __init__(
        self,
        judge: Model,
        judging: Judging,
        tasks: Sequence[Task],
        cache: Cache,
        budget: Budget | None,
        on_judgment: Callable[[Judgment], None] | None,
    ) -> None:
        self._judge, self._judging, self._tasks, self._cache = judge, judging, tasks, cache
        self._on_judgment = on_judgment
        self._identity = judge.describe()
        self._meter = Meter(budget, judge) if budget is not None else None
        self._results: list[list[Judgment | None]] = []
        self._questions: dict[str, _Question] = {}
        """By key: what was neither found nor answered yet."""
        self._queue: deque[_Question] = deque()
        """Not with the engine yet."""
        self._asked: dict[int, _Question] = {}
        """By identity of the request: engines hand back the very object."""
        self._rendered: tuple[int, Sequence[Ask]] = (-1, ())
        self._done = 0
        """Judgments settled."""

    # --- what is there, what is missing ---

    async def plan(self) -> None:
        """Render every ask, settle those that the cache can answer, queue the rest.

        Only keys are kept of what is queued: the messages of 100,000 asks would fill the memory.
        """
        batch: list[tuple[_Place, Ask, str]] = []
        for index in range(len(self._tasks)):
            asks = self._asks(index)
            self._results.append([None] * len(asks))
            batch += [(_Place(index, n), ask, reply_key(self._identity, ask)) for n, ask in enumerate(asks)]
            if len(batch) >= _PLANNED_AT_ONCE:
                self._look_up(batch)
                batch = []
                await asyncio.sleep(0)  # an interrupt is heard here
        self._look_up(batch)

    def _look_up(self, batch: list[tuple[_Place, Ask, str]]) -> None:
        stored = self._cache.get_many(key for _, _, key in batch)
        for place, ask, key in batch:
            if key in stored:
                self._read(place, ask, stored[key])
            else:
                self._await_reply(key, place)

    def _await_reply(self, key: str, place: _Place, *, next_one: bool = False) -> None:
        """Let a judgment wait for a reply, which is asked for unless it is already."""
        question = self._questions.get(key)
        if question is None:
            question = self._questions[key] = _Question(key)
            if next_one:
                self._queue.appendleft(question)
            else:
                self._queue.append(question)
        question.places.append(place)

    def _asks(self, task: int) -> Sequence[Ask]:
        if self._rendered[0] != task:
            self._rendered = (task, self._judging.asks(self._tasks[task]))
        return self._rendered[1]

    def _ask(self, place: _Place) -> Ask:
        ask = self._asks(place.task)[place.ask]
        return ask if place.first is None else ask_again(ask, place.first, place.reason)

    # --- requests ---

    async def ask_missing(self) -> None:
        """Make every request that is missing, as far as the budget reaches."""
        await answer_stream(self._judge, self._admit, self._answered)
        if self._queue:
            assert self._meter is not None
            raise BudgetReached(
                f"stopped at the budget: {self._done:,} of {sum(map(len, self._results)):,} judgments by "
                f"{self._judge.name} done, spent {self._meter.budget}; raise --budget and run the same command again "
                "(what is done is stored and costs nothing)"
            )

    def _answered(self, request: Request, completion: Completion) -> None:
        self._receive(self._asked.pop(id(request)), request, storable(completion))

    def _admit(self, with_engine: int) -> list[tuple[Request, bool]]:
        """The next requests of what waits, as far as the window and the budget allow; second tries go ahead."""
        admitted: list[tuple[Request, bool]] = []
        while self._queue and with_engine + len(admitted) < AHEAD:
            question = self._queue[0]
            ask = self._ask(question.places[0])
            stored = self._cache.get(question.key)  # another process may have asked it since
            if stored is not None:
                self._queue.popleft()
                self._settle(question, stored)
                continue
            request = self._request(question.key, ask)
            if self._meter is not None and not self._meter.reserve(request):
                break
            self._queue.popleft()
            self._asked[id(request)] = question
            question.request, question.ask = request, ask
            admitted.append((request, question.is_second_try))
        return admitted

    def _request(self, key: str, ask: Ask) -> Request:
        return Request(
            id=key,
            messages=ask.messages,
            temperature=ask.temperature,
            top_p=1.0,
            max_tokens=ask.max_tokens,
            stop=(),
            seed=ask_seed(ask),
            schema=ask.schema,
            top_logprobs=ask.top_logprobs,
        )

    def _receive(self, question: _Question, request: Request, completion: Completion) -> None:
        """Store a reply, then read it."""
        if completion.finish != "error":
            self._cache.put(question.key, self._judge.name, completion)
        if self._meter is not None:
            self._meter.settle(request, completion)
        question.places[0].requested = True
        self._settle(question, completion)

    # --- replies ---

    def _settle(self, question: _Question, completion: Completion) -> None:
        del self._questions[question.key]
        for number, place in enumerate(question.places):
            known = question.ask if number == 0 else None
            self._read(place, known if known is not None else self._ask(place), completion)

    def _read(self, place: _Place, ask: Ask, completion: Completion) -> None:
        """Turn a reply into a judgment, or into a second question."""
        if completion.finish == "error":
            self._finish(place, ask, completion, None, NO_REPLY + (completion.error or "no reason given"))
            return
        # The cache keeps what was said, the judge's identity which markup it has.
        completion = with_reply(replace(completion, markup=named_markup(self._identity)))
        try:
            verdict = read_verdict(ask, completion)
        except Malformed as error:
            if place.first is None:
                self._retry(place, ask, completion, one_line(error))
                return
            self._finish(place, ask, completion, None, one_line(error))
        except Exception as error:  # a mistake in a reader must not lose the other judgments
            why = f"the reader of replies failed: {type(error).__name__}: {one_line(error)}"
            self._finish(place, ask, completion, None, why)
        else:
            self._finish(place, ask, completion, verdict, "")

    def _retry(self, place: _Place, ask: Ask, completion: Completion, reason: str) -> None:
        place.first, place.reason = completion, reason
        again = ask_again(ask, completion, reason)
        key = reply_key(self._identity, again)
        stored = self._cache.get(key)
        if stored is not None:
            self._read(place, again, stored)
        else:
            self._await_reply(key, place, next_one=True)

    def _finish(self, place: _Place, ask: Ask, completion: Completion, verdict: Verdict | None, why: str) -> None:
        task, first = self._tasks[place.task], place.first
        last = first if completion.finish == "error" and first is not None else completion
        judgment = Judgment(
            problem_id=task.problem_id,
            attempt=task.attempt,
            judge=self._judge.name,
            rubric=self._judging.rubric_id(task),
            order=ask.order,
            repeat=ask.repeat,
            verdict=verdict,
            raw=last.text,
            why=why,
            tries=1 if first is None else 2,
            tokens_in=_sum(completion.tokens_in, first.tokens_in if first is not None else 0),
            tokens_out=_sum(completion.tokens_out, first.tokens_out if first is not None else 0),
            cached=not place.requested,
        )
        self._results[place.task][place.ask] = judgment
        self._done += 1
        if self._on_judgment is not None:
            self._on_judgment(judgment)

    def finished(self) -> list[list[Judgment]]:
        """All judgments; every one is there once `ask_missing` has returned."""
        return [[judgment for judgment in row if judgment is not None] for row in self._results]


def _sum(one: int | None, other: int | None) -> int | None:
    """Tokens of two tries; None if either is not known: part of a sum is not a smaller sum."""
    return None if one is None or other is None else one + other
