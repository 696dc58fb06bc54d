"""Generate what is missing: one event loop, one stream of requests over all suites, each completion stored at once.

Suites of several turns take a round of requests for each turn, all suites together: what is asked next is known only
once the turn before is answered (`harness.run.turns`).
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import Protocol

from harness.grading.pool import GradingPool
from harness.models.base import stream
from harness.run.plan import Job
from harness.run.score import Scorer
from harness.run.spec import make_request, prompt_hash
from harness.run.store import RunStore, as_stored
from harness.run.turns import NOT_ASKED, by_key, count_turns, follow_up, later_turns, walk
from harness.types import Completion, Model, Problem, Record, Request

_GRACE_S = 5.0
"""How long a stop waits for suites that are being graded and written."""


class Progress(Protocol):
    """Who is told how the work goes."""

    def start(self, total: int, stored: int) -> None:
        """Called once: completions to make, completions found in the store."""

    def advance(self, completion: Completion, scorers: Sequence[Scorer]) -> None:
        """Called after each completion is stored."""

    def finish(self) -> None:
        """Called when generation ends, however it ends."""


@dataclass
class OpenJob:
    """A job with its store and its scorer."""

    job: Job
    store: RunStore
    scorer: Scorer
    missing: list[Request]
    """Requests to make; a later turn joins them once the turn before is answered."""
    waiting: int = 0
    """Later turns that cannot be asked yet."""
    to_make: int = field(init=False)
    """Completions that were missing when the job was opened, later turns included."""
    made: int = 0
    """Completions stored since then."""

    def __post_init__(self) -> None:
        self.to_make = len(self.missing) + self.waiting

    def store_completion(self, problem: Problem, attempt: int, seed: int, completion: Completion) -> None:
        """Append one completion, and a line of the log if it failed."""
        known = self.job.prompt_hashes.get(problem.id)
        made_from = known if known is not None else prompt_hash(problem.messages)
        self.store.append(Record(problem.id, attempt, seed, made_from, completion))
        self.made += 1
        if completion.error is not None:
            self.store.log(f"{problem.id} attempt {attempt}: {completion.error}")

    def next_turn(self, request: Request, completion: Completion) -> Request | None:
        """The request that follows from an answer; None after the last turn.

        It follows from the answer as it was stored, so that the run is the same when it is opened again.
        """
        if self.job.suite.follow_up is None or request.problem is None:
            return None
        stored = as_stored(Record(request.problem.id, request.attempt, request.seed, "", completion))
        problem = follow_up(self.job.suite, request.problem, stored.completion)
        if problem is None:
            return None
        self.missing.append(make_request(problem, request.attempt, self.job.spec.sampling, self.job.spec.suite))
        return self.missing[-1]

    def skip_turns(self, request: Request) -> int:
        """Store the turns after one without an answer as failed, so that they are counted and, later, made again."""
        assert request.problem is not None
        skipped = list(later_turns(self.job.suite, request.problem))
        for problem in skipped:
            seed = make_request(problem, request.attempt, self.job.spec.sampling).seed
            self.store_completion(problem, request.attempt, seed, NOT_ASKED)
        return len(skipped)


def open_jobs(jobs: Sequence[Job], pool: GradingPool, stack: ExitStack) -> list[OpenJob]:
    """Lock and read every run directory, grade what is stored, list what is missing.

    Raises `StoreError` before anything is generated.
    """
    opened: list[OpenJob] = []
    for job in jobs:
        store = stack.enter_context(RunStore(job.directory, job.spec))
        scorer = Scorer(job, pool)
        for record in store.current():
            scorer.add_record(record)
        if job.suite.follow_up is not None:
            opened.append(_open_turns(job, store, scorer))
            continue
        missing = [
            make_request(problem, attempt, job.spec.sampling, job.spec.suite)
            for problem, attempt in job.attempts()
            if not store.done((problem.id, attempt), job.prompt_hashes[problem.id])
        ]
        opened.append(OpenJob(job, store, scorer, missing))
    return opened


def _open_turns(job: Job, store: RunStore, scorer: Scorer) -> OpenJob:
    """As `open_jobs` for several turns: of every conversation the first turn without an answer is missing."""
    stored = by_key(store.current())
    missing: list[Request] = []
    waiting = 0
    for first, attempt in job.attempts():
        asked = False
        for problem, record in walk(job.suite, first, attempt, stored):
            if asked:
                waiting += 1
            elif record is None or record.completion.finish == "error":
                missing.append(make_request(problem, attempt, job.spec.sampling, job.spec.suite))
                asked = True
    return OpenJob(job, store, scorer, missing, waiting)


async def generate(
    model: Model, opened: Sequence[OpenJob], progress: Progress, complete: Callable[[OpenJob], None]
) -> None:
    """Make every missing completion. Each is stored before it is graded; an interrupt loses only what is in flight.

    `complete` is called, in a thread, for every job as soon as all its completions are there while others go on; those
    that are complete only at the end are left to the caller. Raises `Stopped` or `CancelledError` when cancelled.
    """
    pairs = [(job, request) for job in opened for request in job.missing]
    total = sum(job.to_make for job in opened)
    progress.start(total, sum(count_turns(job.job) for job in opened) - total)
    ends: list[asyncio.Future[None]] = []

    def check(job: OpenJob) -> None:
        if job.made == job.to_make and any(other.made < other.to_make for other in opened):
            ends.append(_in_thread(complete, job))

    try:
        for job in opened:
            check(job)
        while pairs:
            pairs = await _round(model, opened, pairs, progress, check)
        await asyncio.gather(*ends)
    finally:
        progress.finish()
        if ends:
            await asyncio.wait(ends, timeout=_GRACE_S)  # mostly writing; what waits for graders longer is given up
        for job in opened:
            job.store.sync()


def _in_thread(work: Callable[[OpenJob], None], job: OpenJob) -> asyncio.Future[None]:
    """The end of a call in a thread of its own, which keeps no process from ending: a stop may give it up."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()

    def settle(error: BaseException | None) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)

    def call() -> None:
        error: BaseException | None = None
        try:
            work(job)
        except BaseException as raised:  # handed to whoever awaits the future
            error = raised
        with suppress(RuntimeError):  # the loop has ended without waiting
            loop.call_soon_threadsafe(settle, error)

    threading.Thread(target=call, name="complete", daemon=True).start()
    return future


async def _round(
    model: Model,
    opened: Sequence[OpenJob],
    pairs: list[tuple[OpenJob, Request]],
    progress: Progress,
    check: Callable[[OpenJob], None],
) -> list[tuple[OpenJob, Request]]:
    """One stream of requests; returns those that follow from its answers."""
    # The longest expected completions first, so that one suite's long tail does not idle the engine at the end.
    pairs.sort(key=lambda pair: -pair[1].max_tokens)
    # Engines hand back the request object itself, so its identity finds the job: problem ids may repeat across suites.
    owner = {id(request): job for job, request in pairs}
    scorers = [job.scorer for job in opened]
    following: list[tuple[OpenJob, Request]] = []
    async for request, completion in stream(model, [request for _, request in pairs]):
        job = owner[id(request)]
        assert request.problem is not None
        job.store_completion(request.problem, request.attempt, request.seed, completion)
        job.scorer.add(request.problem, request.attempt, completion)
        progress.advance(completion, scorers)
        if completion.finish == "error":
            for _ in range(job.skip_turns(request)):
                progress.advance(NOT_ASKED, scorers)
        elif (turn := job.next_turn(request, completion)) is not None:
            following.append((job, turn))
        check(job)
    return following
