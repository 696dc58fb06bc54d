"""Judge stored answers: a run in, a judged run beside it, nothing generated twice.

A judged run is a run directory of its own, `<run id>@<what judged it>-<hash>`, with `spec.json`, `verdicts.jsonl`
(every judgment, with the judge's own words), `scores.jsonl` and `result.json`: leaderboards, comparisons and exports
read it like any other run. Replies are kept in `<results>/judgments.sqlite`, by content: whatever was asked once is
never paid for again, by whichever run or rubric.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from harness import __version__
from harness.clock import utc_now
from harness.config import RunConfig
from harness.datasets import pinned
from harness.errors import ConfigError, DataError, Interrupted, StoreError, TooManyFailures, UsageError
from harness.hashing import canonical_json, short_hash
from harness.metrics import estimate
from harness.models import load_model
from harness.models.budget import Budget
from harness.models.replies import Progress
from harness.models.reply_cache import Cache
from harness.models.under_way import beating
from harness.run.folder import JUDGED, RESULT, VERDICTS, RunFolder
from harness.run.judged.calibrate import kept_calibration
from harness.run.judged.choose import choose_judging, refuse_self
from harness.run.judged.tasks import Answers, baseline_answers, load_answers
from harness.run.plan import PlannedRun
from harness.run.replan import stored_job
from harness.run.result import CUT, Item, RunResult, cut_warning
from harness.run.sent import sent_sampling
from harness.run.signals import cancel_on_sigterm, sigterm_interrupts
from harness.run.spec import RunSpec
from harness.run.store import write_graded, write_judgments, write_result, write_spec
from harness.types import Graded, Json, Model
from judges.ask import REFUSED, judge_tasks, refuse_unfit_judge
from judges.flags import flag_answers
from judges.panel import panel_agreement, panel_fold
from judges.summary import graded as graded_rows
from judges.types import Judged, Judging, Judgment, Part, Summary, Task

CACHE = "judgments.sqlite"


@dataclass(frozen=True)
class JudgingCase:
    """Everything about one judging before a judge is asked."""

    base: RunFolder
    """The run whose answers are judged."""
    job: PlannedRun
    judging: Judging
    answers: Answers
    opponent: str | None
    """Who the answers are held against: another run's id, or "baseline"."""
    against: RunFolder | None = None
    """That run."""

    @property
    def open(self) -> list[Task]:
        """The tasks that a judge can be asked about."""
        return [task for task in self.answers.tasks if task.key not in self.answers.failed]


def prepare(folder: RunFolder, config: RunConfig, against: RunFolder | None = None) -> JudgingCase:
    """Read a run (and its opponent) and choose how to judge it; nothing is asked.

    Raises `ConfigError` if neither suite nor user says how to judge, or if the way chosen needs an opponent and there
    is none; `StoreError`, `DataError` for a run that cannot be judged.
    """
    job = stored_job(folder, config, config.limit)
    judging = choose_judging(job.suite, config)
    part = judging.part
    answers = load_answers(job, part, config.judge.samples)
    opponent = None
    if judging.needs_opponent():
        answers, opponent = _with_opponent(job, answers, config, against, part)
    elif against is not None:
        raise UsageError(f"--against: {judging.name} judges one answer at a time; name a pairwise rubric")
    return JudgingCase(folder, job, judging, answers, opponent, against)


def _with_opponent(
    job: PlannedRun, answers: Answers, config: RunConfig, against: RunFolder | None, part: Part
) -> tuple[Answers, str]:
    """The same answers, each with the other side's answer to the same question."""
    failed = dict(answers.failed)
    others: dict[tuple[str, int], tuple[str, ...]] = {}
    if against is not None:
        other_job = stored_job(against, config)
        if (other_job.suite.name, other_job.spec.data_sha256) != (job.suite.name, job.spec.data_sha256):
            raise UsageError(f"--against {against.name} is a run of {other_job.suite.name}, not of {job.suite.name}")
        found = load_answers(other_job, part, config.judge.samples)
        others = {task.key: task.answers for task in found.tasks}
        name = against.name
        for key, why in found.failed.items():
            failed.setdefault(key, f"the opponent has no answer: {why}")
    elif job.suite.baseline is not None:
        data_dir = Path(config.data_dir) if config.data_dir is not None else None
        baseline = baseline_answers(job, data_dir)
        others = {task.key: baseline[task.problem_id] for task in answers.tasks}
        name = "baseline"
    else:
        raise ConfigError(f"{job.suite.name} has no baseline: say --against RUN, whose answers these are held against")
    tasks = []
    for task in answers.tasks:
        if task.key not in others:
            failed.setdefault(task.key, "the opponent has no answer to this attempt")
        # An opponent without an answer has not answered "": that would be a length, and a text to win against.
        tasks.append(replace(task, opponent=others[task.key] if task.key not in failed else None))
    if len(failed) == len(tasks):
        raise DataError(f"no attempt has an answer on both sides: {next(iter(failed.values()))}")
    return replace(answers, tasks=tuple(tasks), failed=failed), name


def judge_case(case: JudgingCase, config: RunConfig, progress: Progress[Judgment]) -> RunResult:
    """Ask the judges and write the judged run.

    Raises `BudgetReached` once the budget is spent, `ModelError` if a judge cannot answer, `TooManyFailures` if not one
    judgment could be read; what was judged is cached.
    """
    # In one order whatever the order of the flags: a panel is a set, and so are its runs and its place on the board.
    told = config.judge
    models = [load_model(name, told.options_of(name), config.results_dir) for name in sorted(told.names)]
    if not models:
        raise ConfigError("no judge: say --judge NAME, e.g. --judge openai:gpt-4.1 (`harness list models`)")
    for model in models:
        refuse_unfit_judge(model, case.judging)
    specs = [case.job.spec, *([case.against.spec] if case.against is not None else [])]
    refuse_self(models, [(spec.model, spec.model_identity) for spec in specs], told.allow_self)
    budget = Budget.parse(told.budget) if told.budget is not None else None
    started = time.monotonic()
    with Cache(Path(config.results_dir) / CACHE) as cache:
        per_judge = [asyncio.run(_ask(model, case, cache, budget, progress)) for model in models]
    return _write(case, config, models, per_judge, time.monotonic() - started)


def judge_stored(
    folder: RunFolder, against: RunFolder | None, config: RunConfig, progress: Progress[Judgment]
) -> RunResult:
    """`harness judge RUN` as one call; Ctrl-C and SIGTERM raise `Interrupted` once every reply is in the cache."""
    try:
        with sigterm_interrupts():
            return judge_case(prepare(folder, config, against), config, progress)
    except (KeyboardInterrupt, asyncio.CancelledError):
        raise Interrupted("interrupted: every judgment so far is stored; run the same command again to go on") from None


async def _ask(
    model: Model, case: JudgingCase, cache: Cache, budget: Budget | None, progress: Progress[Judgment]
) -> list[list[Judgment]]:
    tasks = case.open
    progress.start(model.name, len(tasks) * len(case.judging.asks(tasks[0])))
    with cancel_on_sigterm():
        try:
            async with beating(progress, model):
                return await judge_tasks(model, case.judging, tasks, cache, budget, progress.advance)
        finally:
            progress.finish()
            await model.close()


def _write(
    case: JudgingCase,
    config: RunConfig,
    models: Sequence[Model],
    per_judge: Sequence[list[list[Judgment]]],
    seconds: float,
) -> RunResult:
    """Fold, summarise and store."""
    tasks = case.answers.tasks
    folded = [_fold(case, judgments) for judgments in per_judge]
    judged = folded[0] if len(folded) == 1 else panel_fold(folded, config.judge.aggregate)
    spec = _spec(case, config, models)
    folder = case.base.beside(_run_id(case, models, spec))
    nothing = all(one.value is None for one in judged)
    if nothing and folder.has(RESULT):  # made while the judge could be asked: better than no verdicts
        raise TooManyFailures(f"{_no_score(judged)}; the verdicts of an earlier command are kept")
    flat = [judgment for judgments in per_judge for per_task in judgments for judgment in per_task]
    folder.path.mkdir(parents=True, exist_ok=True)
    write_spec(folder.path, spec)
    write_judgments(folder.path, flat)  # before any number: what the judge said is there even if none follows from it
    if nothing:
        raise TooManyFailures(f"{_no_score(judged)}; the judge's own words are in {VERDICTS} of {folder.name}")
    summary = case.judging.summarise(tasks, judged)
    rows = [
        replace(row, tokens_in=tokens[0], tokens_out=tokens[1])
        for row in graded_rows(judged)
        for tokens in [case.answers.tokens.get((row.problem_id, row.attempt), (None, None))]
    ]
    warnings = [*summary.warnings, *_warnings(case, judged)]
    agreement: dict[str, Json] = {}
    if len(models) > 1:
        agreement = {
            "aggregate": config.judge.aggregate,
            "agreement": dict(panel_agreement(folded, case.judging.level)),
        }
    facts = {**spec.to_json(), "judgments": _counts(flat), "seconds": round(seconds, 3), **agreement}
    result = _result(case, summary, rows, judged, folder.name, facts, warnings, models)
    if folder.has(RESULT):
        with suppress(StoreError):
            result = kept_calibration(result, folder.result)
    write_graded(folder.path, rows)
    write_result(folder.path, result)
    return result


def _no_score(judged: Sequence[Judged]) -> str:
    return f"none of the {len(judged)} answers has a readable judgment; the first: {judged[0].why or 'no reason given'}"


def _fold(case: JudgingCase, judgments: Sequence[Sequence[Judgment]]) -> list[Judged]:
    """One judge's judgments as one value per attempt; attempts without an answer are errors, not zeros."""
    asked = iter(judgments)
    judged: list[Judged] = []
    for task in case.answers.tasks:
        why = case.answers.failed.get(task.key)
        if why is None:
            judged.append(case.judging.fold(task, next(asked)))
        else:
            judged.append(Judged(task.problem_id, task.attempt, None, "error", why=why, cluster=task.cluster))
    return judged


def _spec(case: JudgingCase, config: RunConfig, models: Sequence[Model]) -> RunSpec:
    """What makes this judged run its own."""
    data_dir = Path(config.data_dir) if config.data_dir is not None else None
    own = case.job.suite.baseline if case.opponent == "baseline" else None
    baseline = pinned(own, data_dir) if own is not None else None
    judged: dict[str, Json] = {
        "judged_from": case.base.name,
        "judging": dict(case.judging.identity()),
        "judges": [{"name": model.name, **model.describe()} for model in models],
        "aggregate": config.judge.aggregate if len(models) > 1 else None,
        "against": case.opponent,
        "baseline_sha256": baseline.sha256 if baseline is not None else None,
        "samples": config.judge.samples,
    }
    return replace(case.job.spec, judged=judged, command="")


def _run_id(case: JudgingCase, models: Sequence[Model], spec: RunSpec) -> str:
    names = "+".join(model.name for model in models)
    slug = re.sub(r"[^A-Za-z0-9._+-]+", "-", f"{case.judging.name}-{names}").strip("-.")[:60]
    return f"{case.base.name}{JUDGED}{slug}-{short_hash(canonical_json(spec.to_json()), 10)}"


def _label(case: JudgingCase, models: Sequence[Model], config_aggregate: Json) -> str:
    """The judge as a leaderboard names it: rubric, model, opponent."""
    ids = sorted({case.judging.rubric_id(task) for task in case.answers.tasks})
    what = case.judging.name if len(ids) > 1 or not ids[0].startswith(case.judging.name) else ""
    by = " + ".join(model.name for model in models)
    how = f" ({config_aggregate})" if len(models) > 1 else ""
    against = f" against {case.opponent}" if case.opponent is not None else ""
    # One name may be two judges: another endpoint, other options of the engine.
    told_apart = [dict(case.judging.identity()), *(dict(model.describe()) for model in models)]
    digest = short_hash(canonical_json(told_apart), 6)
    prompt = f"{what} [{', '.join(ids)}]" if what else ids[0]
    return f"{prompt} by {by}{how}{against} ({digest})"


def _counts(judgments: Sequence[Judgment]) -> dict[str, Json]:
    """How the asking went, for the result and for people."""
    known_in = [j.tokens_in for j in judgments if j.tokens_in is not None]
    known_out = [j.tokens_out for j in judgments if j.tokens_out is not None]
    notes: dict[str, int] = {}
    for judgment in judgments:
        for note in judgment.verdict.notes if judgment.verdict is not None else ():
            notes[note] = notes.get(note, 0) + 1
    return {
        "asked": len(judgments),
        "cached": sum(judgment.cached for judgment in judgments),
        "retried": sum(judgment.tries > 1 for judgment in judgments),
        "unscored": sum(judgment.verdict is None for judgment in judgments),
        "refused": sum(judgment.why.startswith(REFUSED) for judgment in judgments if judgment.verdict is None),
        "tokens_in": sum(known_in) if known_in else None,
        "tokens_out": sum(known_out) if known_out else None,
        "notes": dict(sorted(notes.items())),
    }


def _warnings(case: JudgingCase, judged: Sequence[Judged]) -> list[str]:
    found: list[str] = []
    missing = [item for item in judged if item.value is None]
    if missing:
        found.append(f"{len(missing)} of {len(judged)} answers have no score, the first: {missing[0].why}")
    answered = case.open
    share = case.answers.cut / len(case.answers.tasks)
    if share > CUT:
        found.append(cut_warning(share, sent_sampling(case.job.spec, case.job.problems)["max_tokens"]))
    signs = flag_answers([task.answers[-1] for task in answered], [task.turns[-1] for task in answered])
    found += [f"the answers of {case.job.spec.model}: {sign}" for sign in signs]
    return [*found, *case.answers.notes]


def _result(
    case: JudgingCase,
    summary: Summary,
    rows: Sequence[Graded],
    judged: Sequence[Judged],
    run_id: str,
    facts: Mapping[str, Json],
    warnings: Sequence[str],
    models: Sequence[Model],
) -> RunResult:
    spec = case.job.spec
    estimates = dict(summary.estimates)
    if any(row.tokens_out is not None for row in rows):
        estimates["tokens_out"] = estimate("tokens_out", rows)
    samples = {row.problem_id: 0 for row in rows}
    attempts = Counter(row.problem_id for row in rows)
    for row in rows:
        samples[row.problem_id] += row.score.value is not None
    clusters = {item.problem_id: item.cluster for item in judged}
    base: RunResult | None = None
    with suppress(StoreError):
        base = case.base.result
    imported = base if base is not None and base.imported_from is not None else None
    return RunResult(
        run_id=run_id,
        suite=spec.suite,
        suite_version=spec.suite_version,
        model=spec.model,
        headline=summary.headline,
        estimates=estimates,
        items={
            problem: Item(summary.items.get(problem), count, clusters[problem]) for problem, count in samples.items()
        },
        n=min(attempts.values()),
        limit=spec.limit,
        seed=spec.sampling.seed,
        sampling=imported.sampling if imported else sent_sampling(spec, case.job.problems),
        data_sha256=spec.data_sha256,
        graders={},
        model_identity=dict(spec.model_identity),
        environment={"harness": __version__, "judges": [dict(model.environment()) for model in models]},
        totals=base.totals if base is not None else {},
        finished=utc_now(),
        imported_from=imported.imported_from if imported else None,
        protocol=spec.protocol,
        judge=_label(case, models, facts["aggregate"]),
        judging=dict(facts),
        warnings=tuple(warnings),
    )
