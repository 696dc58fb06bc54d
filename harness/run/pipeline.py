"""The pipeline as one call: plan -> generate -> score -> summarise, for every model and suite of a config."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from harness.config import RunConfig, validate
from harness.errors import DataError, Interrupted, StoreError, TooManyFailures, UsageError
from harness.grading.pool import GradingPool
from harness.metrics import parse_metric
from harness.models import load_model
from harness.models.base import NO_ROOM, Stopped
from harness.models.replies import Progress
from harness.run.folder import RunFolder
from harness.run.generate import OpenJob, generate, open_jobs
from harness.run.plan import PlannedRun, make_jobs, plan_suites, refuse_temperatures, refuse_unfit_suites
from harness.run.replan import stored_job
from harness.run.result import RunResult
from harness.run.score import Scorer
from harness.run.shards import Note, Shard, ShardResult, drop_notes, read_notes, with_shards, write_note
from harness.run.signals import cancel_on_sigterm, sigterm_interrupts
from harness.run.store import write_graded, write_result
from harness.run.summarise import summarise
from harness.run.turns import count_turns
from harness.types import Completion, Graded, Json, Model

if TYPE_CHECKING:
    from judges.types import Judgment

T = TypeVar("T")
_OF_VERDICTS = ("gate", "lorid")
"""Totals that rest on verdicts, and go with them."""


@dataclass(frozen=True)
class Outcome:
    """What a command produced."""

    results: tuple[RunResult, ...]
    """One per model and suite that has at least one scored sample, in the order asked."""
    failures: tuple[str, ...]
    """Runs in which nothing could be scored, each with its first reason."""
    judged: bool = False
    """True if a judge was asked, or was to be."""
    parts: tuple[ShardResult, ...] = ()
    """Of a shard, in place of results: what it made of each run."""


def run(
    config: RunConfig,
    progress: Callable[[], Progress[Completion]],
    judge_progress: Callable[[], Progress[Judgment]] | None = None,
    shard: Shard | None = None,
    command: str = "",
) -> Outcome:
    """Run a config to the end: generate, grade, and judge where a judge is named. A shard only generates its part.

    `command`: how it was asked for in a shell, which is kept with the runs.

    `progress` makes a progress display for a model's run, `judge_progress` one for judging. Raises what planning
    raises before anything is spent, and `Interrupted` on Ctrl-C or SIGTERM, once everything generated is on disk.
    """
    validate(config)
    finished: list[RunResult | ShardResult | str] = []
    try:
        with sigterm_interrupts():
            plans = [
                replace(plan, shard=shard, spec=replace(plan.spec, command=command)) for plan in plan_suites(config)
            ]
            refuse_temperatures(plans, config)
            models = [load_model(spec, config.options_of(spec), config.results_dir) for spec in config.model]
            for model in models:
                refuse_unfit_suites(model, plans)
            judged = config.judge.asked or any(plan.suite.judging for plan in plans)
            if judged:
                from harness.run.judged.choose import check_judging  # only here: most runs are graded

                check_judging([plan.suite for plan in plans], models, config)
            folders: list[RunFolder] = []
            for model in models:
                jobs = make_jobs(plans, model.name, model.describe(), config)
                finished += _run_model(model, jobs, config, progress())
                folders += [RunFolder(job.directory) for job in jobs]
            if judged and shard is None:
                from harness.run.judged.ask import judge_case, prepare

                assert judge_progress is not None
                for folder in folders:
                    try:
                        finished.append(judge_case(prepare(folder, config), config, judge_progress()))
                    except (DataError, TooManyFailures) as error:  # nothing is scored; the others may be fine
                        finished.append(f"{folder.name}: {error}")
    except (KeyboardInterrupt, asyncio.CancelledError):
        raise _interrupted(0) from None
    results = tuple(item for item in finished if isinstance(item, RunResult))
    failures = tuple(item for item in finished if isinstance(item, str))
    return Outcome(results, failures, judged, tuple(item for item in finished if isinstance(item, ShardResult)))


def _interrupted(unfinished: int) -> Interrupted:
    dropped = ""
    if unfinished:
        dropped = f", {unfinished} unfinished {'reply was' if unfinished == 1 else 'replies were'} dropped"
    return Interrupted(f"interrupted: everything finished is stored{dropped}; run the same command again to resume")


def _run_model(
    model: Model, jobs: Sequence[PlannedRun], config: RunConfig, progress: Progress[Completion]
) -> list[RunResult | ShardResult | str]:
    """Only generation runs in the event loop: a signal during the long waits for graders must not wait for them too."""
    with (
        GradingPool(workers=config.grading_workers, timeout=config.grading_timeout) as pool,
        ExitStack() as stack,
    ):
        opened = open_jobs(jobs, pool, stack)
        started = time.monotonic()
        finished: dict[int, RunResult | ShardResult | str | None] = {}

        def complete(job: OpenJob) -> None:
            # Suites share the engine, so each is charged its share of the wall time so far.
            made = sum(other.made for other in opened)
            seconds = (time.monotonic() - started) * job.made / made if made else 0.0
            finished[id(job)] = (_finish if job.job.shard is None else _end_part)(job, model, seconds)

        asyncio.run(_generate(model, opened, progress, complete))
        for job in opened:  # outside the event loop: a signal during the waits for graders stops at once
            if id(job) not in finished:
                complete(job)
        results = [finished[id(job)] for job in opened]
        return [item for item in results if item is not None]


async def _generate(
    model: Model, opened: Sequence[OpenJob], progress: Progress[Completion], complete: Callable[[OpenJob], None]
) -> None:
    """Generate, then close the model; SIGTERM cancels the task, so that what is in flight ends in order."""
    with cancel_on_sigterm():
        try:
            await generate(model, opened, progress, complete)
        except Stopped as stop:
            raise _interrupted(stop.unfinished) from None
        finally:
            await model.close()


def _finish(opened: OpenJob, model: Model, seconds: float) -> RunResult | str | None:
    """Write scores and result of one run; compact its records once nothing is missing.

    `seconds` is what this call spent generating for this run; what earlier calls spent is added. Returns the reason,
    not a result, if no sample has a score: there is no number to report then, and zero would be a lie. None for answers
    that only a judge can score.
    """
    job, directory = opened.job, opened.job.directory
    if job.suite.judging:
        if opened.store.complete():
            opened.store.compact()
            drop_notes(directory)
        return None
    graded = opened.scorer.finish()
    if (why := _unscored(graded)) is not None:
        return f"{job.suite.name} by {job.spec.model}: {why}"
    old = _readable(lambda: RunFolder(directory).result)
    left = read_notes(directory)
    environment, moved = _environment(opened, model, old, left)
    past = old.totals.get("seconds") if old is not None else None
    total_seconds = seconds + (past if isinstance(past, int | float) else 0.0)
    total_seconds += sum(note.seconds for note in left.values())
    # What an earlier call reported stays, even if this one asked for less: the samples behind it are still there.
    job = replace(job, metrics=(*job.metrics, *_reported(old)))
    notes = [*opened.scorer.unread.notes(), *moved]
    result = summarise(job, graded, environment, total_seconds, notes)
    write_graded(directory, graded)
    write_result(directory, result)
    drop_notes(directory)
    if not any(row.score.status == "error" for row in graded):
        opened.store.compact()
    return result


def _unscored(graded: Sequence[Graded]) -> str | None:
    """Why there is no number to report; None where a sample has a score."""
    if any(row.score.value is not None for row in graded):
        return None
    why = next((row.score.why for row in graded), "nothing was generated")
    return f"none of {len(graded)} samples has a score: {why}"


def _environment(
    opened: OpenJob, model: Model, old: RunResult | None, left: Mapping[Shard, Note]
) -> tuple[dict[str, Json], list[str]]:
    """Where the latest completions were made, with a warning where shards made them in different ones."""
    if opened.missing or (old is None and not left):
        here: Mapping[str, Json] = model.environment()
    elif left:
        here = next(iter(left.values())).environment
    else:
        assert old is not None
        return dict(old.environment), []
    return with_shards(here, left)


def _end_part(opened: OpenJob, model: Model, seconds: float) -> ShardResult:
    """Leave the note of a shard that has ended, for whoever merges."""
    job, directory, shard = opened.job, opened.job.directory, opened.job.shard
    assert shard is not None
    notes = read_notes(directory)
    old = notes.get(shard)
    environment = model.environment() if opened.missing or old is None else old.environment
    spent = seconds + (old.seconds if old is not None else 0.0)
    asked, n = count_turns(job), job.spec.sampling.n
    note = Note(n, asked, opened.failed, round(spent, 3), environment)
    write_note(directory, shard, note)
    ended = [one for one, left in {**notes, shard: note}.items() if one.count == shard.count and left.n == n]
    return ShardResult(
        suite=job.suite.name,
        model=job.spec.model,
        run_id=job.spec.run_id,
        shard=shard,
        asked=asked,
        made=opened.made,
        failed=opened.failed,
        ended=tuple(sorted(ended)),
        why=opened.why,
    )


def rescore(folder: RunFolder, config: RunConfig) -> tuple[list[Graded], list[Graded], RunResult]:
    """Grade a stored run again; nothing is generated. Returns (old attempts, new attempts, new result).

    The old attempts are empty if the run was never graded, or if its scores are damaged. Raises `StoreError` if the run
    is of another suite version, data or prompt than this code has, since its answers then belong to other questions;
    `DataError` if the suite's data cannot be loaded, or if no sample gets a score; `UsageError` where none is stored.
    """
    job = stored_job(folder, config)
    if job.suite.judging:
        raise UsageError(f"{job.suite.name} is judged, not graded: say `harness judge {folder.name} --judge NAME`")
    if ungraded := next((problem.id for problem in job.problems if not problem.grader), None):
        raise UsageError(
            f"{folder.name} is of a task that is none of our suites, so that nothing here grades {ungraded!r}: "
            "judge it with a rubric, or import it with --data-dir, so that its problems can be found in ours"
        )
    old_graded, old_result = _readable(lambda: folder.graded) or [], _readable(lambda: folder.result)
    with GradingPool(workers=config.grading_workers, timeout=config.grading_timeout) as pool:
        scorer = Scorer(job, pool)
        foreign = Counter(scorer.add_record(record) for record in folder.records)[False]
        if foreign:
            raise StoreError(
                f"{folder}: {foreign} stored completions answer other prompts than suite {job.suite.name!r} has now"
            )
        graded = scorer.finish()
    if not graded:
        raise UsageError(f"{folder.name}: no completion is stored, so there is nothing to grade: run its command again")
    if (why := _unscored(graded)) is not None:
        raise DataError(f"{folder.name}: {why}; what was stored of its scores stays as it was")
    job = replace(job, metrics=_reported(old_result))
    environment = old_result.environment if old_result else {}
    result = summarise(job, graded, environment, None, scorer.unread.notes())
    if old_result is not None:
        kept = {name: value for name, value in old_result.totals.items() if name not in _OF_VERDICTS}
        anew = {name: result.totals[name] for name in _OF_VERDICTS if name in result.totals}
        result = replace(result, totals={**kept, **anew})
    if old_result is not None and old_result.imported_from is not None:
        result = _still_imported(result, old_result)
    write_graded(folder.path, graded)
    write_result(folder.path, result)
    return old_graded, graded, result


def _still_imported(result: RunResult, old: RunResult) -> RunResult:
    """Our verdicts on another tool's replies: whose run it is, and what that tool measured, stay."""
    foreign = {name: value for name, value in old.estimates.items() if name not in result.estimates}
    return replace(
        result,
        run_id=old.run_id,
        suite_version=old.suite_version,
        sampling=old.sampling,
        seed=old.seed,
        limit=old.limit,
        graders={**old.graders, **result.graders},
        estimates={**result.estimates, **foreign},
        imported_from=old.imported_from,
        higher_is_better={name: higher for name, higher in old.higher_is_better.items() if name in foreign},
        warnings=(*result.warnings, f"graded here; {old.imported_from}'s own numbers stand beside ours"),
    )


def _readable(read: Callable[[], T]) -> T | None:
    """What a run folder holds, or None where there is nothing (readable) yet: scoring writes it anew."""
    try:
        return read()
    except StoreError:
        return None


def _reported(old: RunResult | None) -> tuple[str, ...]:
    """Metrics of an earlier result that this version still has."""
    known: list[str] = []
    for name in old.estimates if old is not None else ():
        with suppress(UsageError):
            parse_metric(name)
            known.append(name)
    return tuple(known)


_RETRIED = {
    False: "the failed ones",
    True: "failed requests; replies of a judge that could not be read are kept, and only another judge, rubric or "
    "--judge-temperature asks anew",
}
"""What the same command does again, without and with a judge: its cache keeps every reply, readable or not."""
_NO_ROOM = (
    f"What does not {NO_ROOM} fails the same way every time: log.txt says how much room there is for --max-tokens"
)


def check_failures(outcome: Outcome, allowed: float) -> None:
    """Raise `TooManyFailures` if a run failed whole, or its share of unscored and failed samples is above `allowed`."""
    reasons = list(outcome.failures)
    for part in outcome.parts:
        if part.failed > allowed * part.asked:
            reasons.append(
                f"{part.suite} by {part.model}, shard {part.shard}: {part.failed} of {part.asked} requests failed "
                f"(allowed: {allowed:.1%}): {part.why}"
            )
    for result in outcome.results:
        counts = result.estimates[result.headline].counts
        missing, total = counts["unscored"] + counts["error"], sum(counts.values())
        if missing > allowed * total:
            where = "log.txt" if result.judge is None else "scores.jsonl"
            reasons.append(
                f"{result.suite} by {result.model}: {missing} of {total} samples have no score "
                f"(allowed: {allowed:.1%}); the reasons are in {where} of the run"
            )
    if reasons:
        said = [*reasons, *(line for result in outcome.results for line in result.warnings)]
        if any(NO_ROOM in line for line in said):
            raise TooManyFailures(f"{'; '.join(reasons)}. {_NO_ROOM}")
        judged = outcome.judged or any(result.judge is not None for result in outcome.results)
        raise TooManyFailures(f"{'; '.join(reasons)}. Run the same command again to retry {_RETRIED[judged]}")
