"""Ask a judge everything that a judging wants to know about a list of answers.

    judgments = await judge_tasks(judge, judging, tasks, cache)      # one list per task, in the order of its asks

What the cache holds is not asked; what is asked twice is asked once; each reply is stored before it is read. A reply
that cannot be read is asked for once more, at once. After that the judgment has no verdict and says why: a failure
never becomes a score, and never stops the rest.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from hashlib import sha256

from harness.hashing import canonical_json
from harness.models.base import AHEAD, named_markup, refuse_unfit
from harness.models.budget import Budget
from harness.models.replies import Replies
from harness.models.reply_cache import Cache
from harness.redact import one_line
from harness.refusals import refuses
from harness.types import Completion, Message, Model, Request, Sampling
from judges.replies.thought import with_reply
from judges.types import Ask, Judging, Judgment, Malformed, Task, Verdict

_QUOTED = 2000
"""Characters of a malformed reply that are shown to the judge again: enough to mend it, cheap if it ran on and on."""
_REASON = 500
_TOKEN_REPLY = 16
"""A limit this low is meant: the reply is to be one label, and being cut is not what is wrong with it."""


def refuse_unfit_judge(judge: Model, judging: Judging) -> None:
    """Raise `ConfigError` for a judge that could not answer: a vote cannot hold verdicts against each other."""
    told = judging.identity().get("temperature", 0.0)
    refuse_unfit(judge, {""}, Sampling(temperature=told if isinstance(told, int | float) else 0.0))


def read_verdict(ask: Ask, completion: Completion) -> Verdict:
    """What a reply says; `completion` has been through `judges.replies.thought.with_reply`.

    Raises `Malformed` if it says nothing readable; a reply that was cut before its verdict says just that.
    """
    cut = completion.finish == "length" and ask.max_tokens > _TOKEN_REPLY
    if completion.answer_text is None:
        raise Malformed(_cut(ask) if cut else "the reply ends inside its reasoning: there is no answer after it")
    try:
        return ask.parse(completion)
    except Malformed as error:
        if cut:
            raise Malformed(_cut(ask)) from error
        raise


def _cut(ask: Ask) -> str:
    return f"the reply was cut by max_tokens ({ask.max_tokens}) before it came to a verdict"


def ask_again(ask: Ask, completion: Completion, reason: str) -> Ask:
    """The same question once more, with the reply that could not be read and why."""
    said = (completion.answer_text if completion.answer_text is not None else completion.text).strip()
    if len(said) > _QUOTED:
        said = f"{said[: _QUOTED // 2]}\n[…]\n{said[-_QUOTED // 2 :]}"
    cut = "Be brief enough to finish. " if completion.finish == "length" else ""
    complaint = (
        f"That reply could not be read: {reason[:_REASON]}. {cut}"
        "Decide again and reply in exactly the form asked for, with nothing before or after it."
    )
    turns = (Message("assistant", said or "(empty reply)"), Message("user", complaint))
    return replace(ask, messages=(*ask.messages, *turns))


def ask_request(judge: str, ask: Ask) -> Request:
    """What the engine gets; `judge`: canonical JSON of `Model.describe()`.

    The id, 64 hex digits, is a hash over everything that can change the reply: who is asked, what, and how it is
    sampled. Another repeat of the same question is another seed.
    """
    content = canonical_json(
        {
            "messages": [[message.role, message.content] for message in ask.messages],
            "temperature": float(ask.temperature),
            "max_tokens": ask.max_tokens,
            # As text: the order of its properties is the order in which they are written, reason before verdict.
            "schema": json.dumps(ask.schema) if ask.schema is not None else None,
            "top_logprobs": ask.top_logprobs,
        }
    )
    seed = int.from_bytes(_digest(f"{content}\n{ask.repeat}")[:4], "big") & 0x7FFFFFFF
    return Request(
        # No part can run into the next: line breaks within JSON are escaped.
        id=_digest(f"{judge}\n{content}\n{seed}").hex(),
        messages=ask.messages,
        temperature=ask.temperature,
        top_p=1.0,
        max_tokens=ask.max_tokens,
        stop=(),
        seed=seed,
        schema=ask.schema,
        top_logprobs=ask.top_logprobs,
    )


def _digest(text: str) -> bytes:
    return sha256(text.encode("utf-8", "surrogatepass")).digest()


NO_REPLY = "the judge gave no reply: "
"""How `Judgment.why` begins where the request itself failed; every other reason is about a reply."""
REFUSED = "the judge refused: "
"""How `Judgment.why` begins where the reply declines to judge."""
_PLANNED_AT_ONCE = 256

Place = tuple[int, int]
"""Where a judgment belongs: number of the task, number of the ask in it."""


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
    return await _Session(judge, judging, tasks, cache, budget, on_judgment).run()


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
        self._replies, self._on_judgment = Replies(judge, cache, budget), on_judgment
        identity = judge.describe()
        self._identity, self._markup = canonical_json(identity), named_markup(identity)
        self._results: list[list[Judgment | None]] = []
        self._rendered: tuple[int, Sequence[Ask]] = (-1, ())
        self._ready: dict[Place, tuple[Ask, Request]] = {}
        """What is asked first, so that it is not rendered again."""
        self._done = 0
        """Judgments settled."""

    async def run(self) -> list[list[Judgment]]:
        """Settle everything."""
        missing = await self._plan()
        total = sum(map(len, self._results))

        def done() -> str:
            return f"{self._done:,} of {total:,} judgments by {self._judge.name} done"

        await self._replies.ask_all(missing.items(), self._ask, done)
        return [[judgment for judgment in row if judgment is not None] for row in self._results]

    async def _plan(self) -> dict[str, list[Place]]:
        """Render every ask and settle those that the cache can answer; key -> judgments that wait for this reply.

        Only keys are kept of most of what is missing: the messages of 100,000 asks would fill the memory.
        """
        missing: dict[str, list[Place]] = {}
        batch: dict[Place, tuple[Ask, Request]] = {}

        async def look_up() -> None:
            stored = self._cache.get_many(request.id for _, request in batch.values())
            for place, (ask, request) in batch.items():
                if request.id not in stored or not await self._settle(place, ask, request, stored, may_ask=False):
                    missing.setdefault(request.id, []).append(place)
                    if len(self._ready) < AHEAD:
                        self._ready[place] = ask, request
            batch.clear()
            await asyncio.sleep(0)  # an interrupt is heard here

        for task in range(len(self._tasks)):
            asks = self._asks(task)
            self._results.append([None] * len(asks))
            batch |= {(task, n): (ask, ask_request(self._identity, ask)) for n, ask in enumerate(asks)}
            if len(batch) >= _PLANNED_AT_ONCE:
                await look_up()
        await look_up()
        return missing

    async def _ask(self, question: tuple[str, Sequence[Place]]) -> None:
        """Make the requests of one question, and settle every judgment that waits for it."""
        key, places = question
        heard = self._cache.get_many([key])  # another process may have asked it since
        for place in places:
            await self._settle(place, *self._request(place), heard)

    def _request(self, place: Place) -> tuple[Ask, Request]:
        if place in self._ready:
            return self._ready.pop(place)
        ask = self._asks(place[0])[place[1]]
        return ask, ask_request(self._identity, ask)

    def _asks(self, task: int) -> Sequence[Ask]:
        if self._rendered[0] != task:
            self._rendered = (task, self._judging.asks(self._tasks[task]))
        return self._rendered[1]

    async def _settle(
        self, place: Place, ask: Ask, request: Request, heard: dict[str, Completion], *, may_ask: bool = True
    ) -> bool:
        """Make one judgment from replies: those heard, by key, those in the cache, and new ones, which are then heard.

        Without `may_ask` nothing is asked: False if that would be needed.
        """
        first, requested = None, False
        while True:
            completion = heard.get(request.id) or (self._cache.get(request.id) if first is not None else None)
            if completion is None:
                if not may_ask:
                    return False
                completion, requested = await self._replies.ask(request), True
                heard[request.id] = completion
            if completion.finish != "error":  # the cache keeps what was said, the judge's identity which markup it has
                completion = with_reply(replace(completion, markup=self._markup))
            try:
                verdict, why = _read(ask, completion)
            except Malformed as error:
                verdict, why = None, one_line(error)
                if first is None:
                    first, ask = completion, ask_again(ask, completion, why)
                    request = ask_request(self._identity, ask)
                    continue
                if refuses(completion.answer_text or ""):
                    why = REFUSED + why
            self._finish(place, ask, (completion,) if first is None else (first, completion), verdict, why, requested)
            return True

    def _finish(
        self,
        place: Place,
        ask: Ask,
        tries: Sequence[Completion],
        verdict: Verdict | None,
        why: str,
        requested: bool,
    ) -> None:
        task = self._tasks[place[0]]
        judgment = Judgment(
            problem_id=task.problem_id,
            attempt=task.attempt,
            judge=self._judge.name,
            rubric=self._judging.rubric_id(task),
            order=ask.order,
            repeat=ask.repeat,
            verdict=verdict,
            raw=tries[0 if tries[-1].finish == "error" else -1].text,
            why=why,
            tries=len(tries),
            tokens_in=_sum([one.tokens_in for one in tries]),
            tokens_out=_sum([one.tokens_out for one in tries]),
            cached=not requested,
        )
        self._results[place[0]][place[1]] = judgment
        self._done += 1
        if self._on_judgment is not None:
            self._on_judgment(judgment)


def _read(ask: Ask, completion: Completion) -> tuple[Verdict | None, str]:
    """What a reply says, or why it says nothing for good; raises `Malformed` where another may say more."""
    if completion.finish == "error":
        return None, NO_REPLY + (completion.error or "no reason given")
    try:
        return read_verdict(ask, completion), ""
    except Malformed:
        raise
    except Exception as error:  # a mistake in a reader must not lose the other judgments
        return None, f"the reader of replies failed: {type(error).__name__}: {one_line(error)}"


def _sum(tokens: Sequence[int | None]) -> int | None:
    """Tokens of all tries; None if one of them is not known: part of a sum is not a smaller sum."""
    known = [count for count in tokens if count is not None]
    return sum(known) if len(known) == len(tokens) else None
