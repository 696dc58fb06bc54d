"""A stored run as this code would plan it now: what re-grading, judging and exporting start from.

Our own runs render their questions again from the suite. An imported run was asked in another tool's words, which are
kept beside its replies (`problems.jsonl`), with the gold answer and, where its task is one of our suites, the grader
that we would use.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from harness.config import RunConfig, validate
from harness.errors import ConfigError, StoreError, UnknownName
from harness.run.folder import SPEC, RunFolder
from harness.run.plan import PlannedRun, make_jobs, plan_suites
from harness.run.spec import RunSpec
from harness.suites import load_suite, within_limit
from harness.types import DataRef, Problem, Sampling, Suite


def stored_job(folder: RunFolder, config: RunConfig, limit: int | None = None) -> PlannedRun:
    """The job of a stored run as this code would plan it now, of at most `limit` of its problems.

    Raises `StoreError` if the run is damaged, judged, imported without replies, or of another version or data than the
    suite has now.
    """
    spec = folder.spec
    if limit is not None and (spec.limit is None or limit < spec.limit):
        spec = replace(spec, limit=limit)
    if spec.imported_from is not None:
        return _imported(folder, spec)
    if spec.judged_from is not None:
        raise StoreError(f"{folder} is what a judge said of run {spec.judged_from}: name that run instead")
    asked = replace(
        config,
        suite=(spec.suite,),
        model=(spec.model,),
        seed=spec.sampling.seed,
        limit=spec.limit,
        temperature=spec.sampling.temperature,
        top_p=spec.sampling.top_p,
        max_tokens=spec.sampling.max_tokens,
        protocol=spec.protocol,
        n=1,
    )
    try:
        validate(asked)
    except ConfigError as error:
        raise StoreError(
            f"{folder.path / SPEC} is damaged ({error}): restore it, or move the folder away to start again"
        ) from error
    job = make_jobs(plan_suites(asked), spec.model, spec.model_identity, asked)[0]
    for field in ("suite_version", "data_sha256"):
        was, now = getattr(spec, field), getattr(job.spec, field)
        if was != now:
            raise StoreError(
                f"{folder} was made with {field} {was!r}, the suite has {now!r} now: "
                "its answers belong to other questions"
            )
    # A limit that leaves nothing out is none.
    return replace(job, spec=replace(spec, limit=job.spec.limit), directory=folder.path)


def _imported(folder: RunFolder, spec: RunSpec) -> PlannedRun:
    """An imported run as a job, asked in the other tool's words."""
    problems = folder.problems
    if not problems:
        raise StoreError(
            f"{folder} was imported from {spec.imported_from} without prompts and replies, since its files did "
            "not hold both: import it again from files that do (lm-eval --log_samples, lighteval --save-details)"
        )
    suite = _suite(spec, problems)
    problems = [problems[index] for index in within_limit([problem.id for problem in problems], spec.limit)]
    return PlannedRun(suite, problems, spec, directory=folder.path)


def _suite(spec: RunSpec, problems: Sequence[Problem]) -> Suite:
    """Our suite of that name, for a task that is none of ours a bare one that nothing grades.

    Without its way of judging and its later turns: both need more of a problem than an import keeps.
    """
    try:
        return replace(load_suite(spec.suite), judging="", follow_up=None)
    except UnknownName:
        return Suite(
            name=spec.suite,
            version=spec.suite_version,
            summary="a task of another tool",
            data=DataRef((), len(problems), spec.data_sha256, dict),
            render=lambda row, seed: problems[0],
            grader="",
            sampling=Sampling(),
            metrics=("avg@n",),
            licence="",
            paper="",
        )
