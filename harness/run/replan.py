"""A stored run as this code would plan it now: what re-grading and judging start from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.config import RunConfig, validate
from harness.errors import ConfigError, StoreError
from harness.run.checked import spec_problem
from harness.run.kept import kept_job
from harness.run.plan import Job, make_jobs, plan_suites
from harness.run.store import SPEC


def stored_job(directory: Path, stored: dict[str, Any], config: RunConfig) -> Job:
    """The job of a stored run as this code would plan it now.

    Raises `StoreError` if the run is damaged, judged, imported without replies, or of another version or data than the
    suite has now.
    """
    if stored.get("imported_from"):
        return kept_job(directory, stored)
    if origin := stored.get("judged_from"):
        raise StoreError(f"{directory} is what a judge said of run {origin}: name that run instead")
    try:
        if problem := spec_problem(stored):
            raise ConfigError(problem)
        asked = replace(
            config,
            suite=(stored["suite"],),
            model=(stored["model"],),
            seed=stored["seed"],
            limit=stored["limit"],
            temperature=stored["temperature"],
            top_p=stored["top_p"],
            max_tokens=stored["max_tokens"],
            protocol=stored["protocol"],
            n=1,
        )
        validate(asked)
    except ConfigError as error:
        raise StoreError(
            f"{directory / SPEC} is damaged ({error}): restore it, or move the folder away to start again"
        ) from error
    job = make_jobs(plan_suites(asked), stored["model"], stored["model_identity"], asked)[0]
    for field in ("suite_version", "data_sha256"):
        if stored[field] != getattr(job.spec, field):
            raise StoreError(
                f"{directory} was made with {field} {stored[field]!r}, the suite has {getattr(job.spec, field)!r} now: "
                "its answers belong to other questions"
            )
    return replace(job, directory=directory)
