"""Generate what is missing: one event loop, the requests of all suites together, each completion stored at once.

A conversation of several turns is asked turn by turn, whatever the others have come to (`harness.run.turns`).
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass

from harness.grading.pool import GradingPool
from harness.models import base
from harness.models.replies import Progress
from harness.models.under_way import beating
from harness.run.plan import PlannedRun
from harness.run.rows import as_stored
from harness.run.score import Scorer
from harness.run.shards import read_notes
from harness.run.spec import make_request, prompt_hash
from harness.run.store import RunStore
from harness.run.turns import NOT_ASKED, by_key, count_turns, follow_up, later_turns, walk
from harness.types import Completion, Model, Problem, Record

_GRACE_S = 5.0
"""How long a stop waits for suites that are being graded and written."""


@dataclass
class OpenJob:
    """A job with its store and its scorer."""

    job: PlannedRun
    store: RunStore
    scorer: Scorer
    missing: list[tuple[Problem, int]]
    """Problem and attempt of what can be asked now: of every conversation the first turn without an answer."""
    to_make: int
    """Completions that were missing when the job was opened, later turns included."""
    made: int = 0
    """Completions stored since then."""
    failed: int = 0
    """Those of them that are none."""
    why: str = ""
    """Why the first of them failed."""

    async def converse(self, model: Model, problem: Problem, attempt: int, progress: Progress[Completion]) -> None:
        """Make a completion, and those of the turns that follow from it; each is stored before it is graded."""
        turn: Problem | None = problem
        while turn is not None:
            request = make_request(turn, attempt, self.job.spec.sampling, self.job.spec.suite)
            completion = await model.answer(request)
            record = self._store(turn, attempt, request.seed, completion)
            self.scorer.add(turn, attempt, completion)
            progress.advance(completion)
            if completion.finish == "error":
                for later in later_turns(self.job.suite, turn):  # counted as failed, and made again by a later call
                    seed = make_request(later, attempt, self.job.spec.sampling).seed
                    self._store(later, attempt, seed, NOT_ASKED)
                    progress.advance(NOT_ASKED)
                return
            # From the answer as it was stored, so that the run is the same when it is opened again.
            follows = self.job.suite.follow_up is not None
            turn = follow_up(self.job.suite, turn, as_stored(record).completion) if follows else None

    def _store(self, problem: Problem, attempt: int, seed: int, completion: Completion) -> Record:
        """Append one completion, and a line of the log if it failed."""
        known = self.job.prompt_hashes.get(problem.id)
        made_from = known if known is not None else prompt_hash(problem.messages)
        record = Record(problem.id, attempt, seed, made_from, completion)
        self.store.append(record)
        self.made += 1
        if completion.finish == "error":
            self.failed += 1
            self.why = self.why or completion.error or ""
        if completion.error is not None:
            self.store.log(f"{problem.id} attempt {attempt}: {completion.error}")
        return record


def open_jobs(jobs: Sequence[PlannedRun], pool: GradingPool, stack: ExitStack) -> list[OpenJob]:
    """Lock and read every run directory, merge its shards, grade what is stored, list what is missing.

    A shard grades nothing that was stored: there is no score before all are merged. Raises `StoreError` before anything
    is generated.
    """
    opened: list[OpenJob] = []
    for job in jobs:
        store = stack.enter_context(RunStore(job.directory, job.spec, job.shard))
        read_notes(job.directory)  # a damaged one is named before anything is spent
        scorer = Scorer(job, pool)
        if job.shard is None:
            store.merge()
            for record in store.current():
                scorer.add_record(record)
        if job.suite.follow_up is not None:
            opened.append(_open_turns(job, store, scorer))
            continue
        missing = [
            (problem, attempt)
            for problem, attempt in job.attempts()
            if not store.done((problem.id, attempt), job.prompt_hashes[problem.id])
        ]
        opened.append(OpenJob(job, store, scorer, missing, len(missing)))
    return opened


def _open_turns(job: PlannedRun, store: RunStore, scorer: Scorer) -> OpenJob:
    """As `open_jobs` for several turns."""
    stored = by_key(store.current())
    missing: list[tuple[Problem, int]] = []
    to_make = 0
    for first, attempt in job.attempts():
        asked = False
        for problem, record in walk(job.suite, first, attempt, stored):
            if not asked and record is not None and record.completion.finish != "error":
                continue
            if not asked:
                missing.append((problem, attempt))
            asked = True
            to_make += 1
    return OpenJob(job, store, scorer, missing, to_make)


async def generate(
    model: Model, opened: Sequence[OpenJob], progress: Progress[Completion], complete: Callable[[OpenJob], None]
) -> None:
    """Make every missing completion. Each is stored before it is graded; an interrupt loses only what is in flight.

    `complete` is called, in a thread, for every job as soon as all its completions are there while others go on; those
    that are complete only at the end are left to the caller. Raises `Stopped` or `CancelledError` when cancelled.
    """
    total = sum(job.to_make for job in opened)
    found = sum(count_turns(job.job) for job in opened) - total
    progress.start(model.name, total, found, lambda: _score_so_far([job.scorer for job in opened]))
    ends: list[asyncio.Future[None]] = []

    def check(job: OpenJob) -> None:
        if job.made == job.to_make and any(other.made < other.to_make for other in opened):
            ends.append(_in_thread(complete, job))

    async def converse(item: tuple[OpenJob, Problem, int]) -> None:
        job, problem, attempt = item
        await job.converse(model, problem, attempt, progress)
        check(job)

    try:
        for job in opened:
            check(job)
        async with beating(progress, model):
            await base.bounded(_in_order(opened), converse)
        await asyncio.gather(*ends)
    finally:
        progress.finish()
        if ends:
            await asyncio.wait(ends, timeout=_GRACE_S)  # mostly writing; what waits for graders longer is given up
        for job in opened:
            job.store.sync()


def _in_order(opened: Sequence[OpenJob]) -> Iterator[tuple[OpenJob, Problem, int]]:
    """What is asked, in order: attempt by attempt if the engine sees all of it at once, else problem by problem.

    An engine that prefills a prompt once for its samples has to have them together.
    """
    whole = sum(len(job.missing) for job in opened) <= base.AHEAD
    # The longest expected completions first, so that one suite's long tail does not idle the engine at the end.
    for job in sorted(opened, key=lambda job: -job.job.spec.sampling.max_tokens):
        places: dict[str, int] = {}
        for problem, _ in job.missing:
            places.setdefault(problem.id, len(places))
        for problem, attempt in job.missing if whole else sorted(job.missing, key=lambda one: places[one[0].id]):
            yield job, problem, attempt


def _score_so_far(scorers: Sequence[Scorer]) -> str:
    scored = sum(scorer.scored for scorer in scorers)
    return f"score so far {100 * sum(scorer.right for scorer in scorers) / scored:.1f} %" if scored else ""


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
