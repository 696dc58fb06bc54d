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
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType

from harness.hashing import canonical_json
from harness.models.budget import Budget
from harness.models.replies import Progress, Replies
from harness.models.reply_cache import Cache
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

    @property
    def seed(self) -> int:
        """Of the request, 0 <= seed < 2**31: depends on nothing but what is asked and which attempt it is."""
        parts = (str(self.draw.seed), self.maker, self.problem.id, str(self.attempt))
        digest = hashlib.sha256("\x1f".join(parts).encode("utf-8", "replace")).digest()
        return int.from_bytes(digest[:4], "big") & 0x7FFFFFFF

    def key(self, model: str) -> str:
        """Identity of the reply, 64 hex digits; `model`: canonical JSON of `Model.describe()`."""
        content = {
            "recipe": self.maker,
            "template": self.template,
            "record": self.problem.id,
            "target": self.problem.target,
            "messages": [[message.role, message.content] for message in self.problem.messages],
            "temperature": float(self.draw.temperature),
            "top_p": float(self.draw.top_p),
            "max_tokens": self.draw.max_tokens,
            "seed": self.seed,
            "attempt": self.attempt,
        }
        return hashlib.sha256(f"{model}\n{canonical_json(content)}".encode("utf-8", "surrogatepass")).hexdigest()

    def request(self, key: str) -> Request:
        """What the engine gets; `key` as of `key`."""
        return Request(
            id=key,
            messages=self.problem.messages,
            temperature=self.draw.temperature,
            top_p=self.draw.top_p,
            max_tokens=self.draw.max_tokens,
            stop=(),
            seed=self.seed,
            attempt=self.attempt,
            problem=self.problem,
        )


Ask = Callable[[Sequence[Query]], list[Completion]]
"""What a maker needs of an `Asker`: completions in the order of the queries."""


@dataclass(slots=True)
class Asked:
    """What an `Asker` has done so far."""

    requests: int = 0
    cached: int = 0
    """Replies found in the cache."""
    failed: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    """Of the requests made, where the engine says."""
    why: str = ""
    """Of the first failure."""


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
        keys = [query.key(self._identity) for query in queries]
        found = self._cache.get_many(keys)
        missing = {key: query for key, query in zip(keys, queries, strict=True) if key not in found}
        self.done.cached += len(set(keys)) - len(missing)
        if missing:
            what = f"{self.model.name} {queries[0].maker}"
            if self._progress is not None:
                self._progress.start(what, len(missing), len(set(keys)) - len(missing))
            try:
                found |= self._runner.run(self._ask(missing))
            finally:
                if self._progress is not None:
                    self._progress.finish()
        return [found[key] for key in keys]

    def count_missing(self, queries: Sequence[Query]) -> int:
        """How many requests a call would make now."""
        keys = {query.key(self._identity) for query in queries}
        return len(keys) - len(self._cache.get_many(keys))

    async def _ask(self, missing: dict[str, Query]) -> dict[str, Completion]:
        found: dict[str, Completion] = {}

        async def ask(item: tuple[str, Query]) -> None:
            key, query = item
            found[key] = await self._replies.ask(query.request(key))
            self._count(found[key])

        def done() -> str:
            return f"{len(found):,} of {len(missing):,} requests to {self.model.name} made"

        await self._replies.ask_all(missing.items(), ask, done)
        return found

    def _count(self, completion: Completion) -> None:
        done = self.done
        done.requests += 1
        done.tokens_in += completion.tokens_in or 0
        done.tokens_out += completion.tokens_out or 0
        if completion.finish == "error":
            done.failed += 1
            done.why = done.why or completion.error or "no reason given"
        if self._progress is not None:
            self._progress.advance(completion)
