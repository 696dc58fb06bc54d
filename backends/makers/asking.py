"""Ask a model for everything that a maker needs, so that nothing is asked twice and nothing generated is lost.

    with Cache(Path("traces.jsonl.cache.sqlite")) as cache, Asker(model, cache) as ask:
        completions = ask(queries)                      # in the order of the queries

Each reply is committed to the cache (one sqlite file) as it comes, before anything is made of it. Its key is the whole
content of the query: record, maker, template, model, messages, sampling, attempt. Whatever stops a maker, the same
call goes on from there; another template, model or temperature asks anew and loses nothing. Failed requests are
counted, come back with `finish="error"` and are asked again by the next call.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from types import TracebackType

from harness.hashing import canonical_json
from harness.models.budget import Budget
from harness.models.replies import Asked, NoProgress, Progress, Replies
from harness.models.reply_cache import Cache
from harness.models.under_way import beating
from harness.types import Completion, Model, Problem, Request, Sampling


@dataclass(frozen=True, slots=True)
class Query:
    """One reply wanted."""

    maker: str
    """Who asks: "traces", "dual:rectify"."""
    template: str
    """`Template.id`; empty where the record's own prompt is asked."""
    problem: Problem
    """What is asked about, with the messages to send; its id is the record's. Target and grader serve the mock models,
    no other engine reads them."""
    attempt: int
    draw: Sampling
    """One completion of it: `n` and `stop` are not read."""

    def request(self, model: str) -> Request:
        """What the engine gets; `model`: canonical JSON of `Model.describe()`.

        Its id, 64 hex digits, is the identity of the reply. Its seed depends on nothing but what is asked and which
        attempt it is.
        """
        draw, problem = self.draw, self.problem
        parts = (str(draw.seed), self.maker, problem.id, str(self.attempt))
        digest = hashlib.sha256("\x1f".join(parts).encode("utf-8", "replace")).digest()
        seed = int.from_bytes(digest[:4], "big") & 0x7FFFFFFF
        content = {
            "recipe": self.maker,
            "template": self.template,
            "record": problem.id,
            "target": problem.target,
            "messages": [[message.role, message.content] for message in problem.messages],
            "temperature": float(draw.temperature),
            "top_p": float(draw.top_p),
            "max_tokens": draw.max_tokens,
            "seed": seed,
            "attempt": self.attempt,
        }
        return Request(
            id=hashlib.sha256(f"{model}\n{canonical_json(content)}".encode("utf-8", "surrogatepass")).hexdigest(),
            messages=problem.messages,
            temperature=draw.temperature,
            top_p=draw.top_p,
            max_tokens=draw.max_tokens,
            stop=(),
            seed=seed,
            attempt=self.attempt,
            problem=problem,
        )


Ask = Callable[[Sequence[Query]], list[Completion]]
"""What a maker needs of an `Asker`: completions in the order of the queries."""


class Asker:
    """Asks one model, through one cache; a context manager, which closes the model in the end."""

    def __init__(
        self,
        model: Model,
        cache: Cache,
        *,
        budget: Budget | None = None,
        progress: Progress[Completion] | None = None,
        role: str = "teacher",
    ) -> None:
        """`role` is for errors. Raises `ConfigError` for a budget in money and a model without prices."""
        self.model, self.done = model, Asked()
        self._cache, self._progress = cache, progress
        self._replies = Replies(model, cache, budget, f"--{role}-arg")
        self._identity = canonical_json(model.describe())
        # One loop for all calls: an engine's connections belong to the loop that they were opened in.
        self._runner = asyncio.Runner()

    def __enter__(self) -> Asker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._runner.run(self.model.close())
        finally:
            self._runner.close()

    def __call__(self, queries: Sequence[Query]) -> list[Completion]:
        """The completions, in order; a failed request has `finish="error"`.

        Raises `BudgetReached` once the budget is spent and what was in flight is stored, `ModelError` if the model
        cannot answer at all, `StoreError` if the cache fails.
        """
        requests = [query.request(self._identity) for query in queries]
        found = self._cache.get_many(request.id for request in requests)
        missing = {request.id: request for request in requests if request.id not in found}
        self.done.cached += len(found)
        if missing:
            if self._progress is not None:
                self._progress.start(f"{self.model.name} {queries[0].maker}", len(missing), len(found))
            try:
                found |= self._runner.run(self._ask(missing.values()))
            finally:
                if self._progress is not None:
                    self._progress.finish()
        return [found[request.id] for request in requests]

    def count_missing(self, queries: Sequence[Query]) -> int:
        """How many requests a call would make now."""
        keys = {query.request(self._identity).id for query in queries}
        return len(keys) - len(self._cache.get_many(keys))

    async def _ask(self, missing: Collection[Request]) -> dict[str, Completion]:
        heard: dict[str, Completion] = {}

        async def ask(request: Request) -> None:
            heard[request.id] = await self._replies.ask(request)
            self.done.count(heard[request.id])
            if self._progress is not None:
                self._progress.advance(heard[request.id])

        def done() -> str:
            return f"{len(heard):,} of {len(missing):,} requests to {self.model.name} made"

        async with beating(self._progress or NoProgress(), self.model):
            await self._replies.ask_all(missing, ask, done)
        return heard
