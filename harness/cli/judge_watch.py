"""`harness judge lab --watch FILE`: edit, save, and see what the edit is worth, until Ctrl-C."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from harness.cli.progress import JudgeProgress
from harness.errors import ConfigError, TooManyFailures
from harness.models.budget import Budget
from harness.models.reply_cache import Cache
from harness.report.lab_versions import version_text
from harness.report.table import Format
from harness.run.judged.ask import CACHE
from harness.run.signals import sigterm_interrupts
from harness.stats.sequential import share_of_alpha
from judges.lab.arm import JudgeArm
from judges.lab.session import lab_report
from judges.lab.sets import PairSet, batches
from judges.lab.trial import Trial, try_version
from judges.lab.versions import VersionLog
from judges.prompts.rubric import load_rubric
from judges.types import Rubric

BATCH = 20
"""Pairs between two looks."""
_POLL = 0.3


@dataclass(frozen=True)
class Watched:
    """What stays the same while the prompt is edited."""

    path: Path
    arm_of: Callable[[Rubric], JudgeArm]
    """The judge with a prompt."""
    start: Rubric | None
    """What the first version is held against, where there is no version before."""
    pairs: PairSet
    results_dir: Path
    budget: Budget | None
    own_names: Sequence[str]
    seed: int
    show: int
    form: Format
    quiet: bool


def watch(told: Watched) -> None:
    """Try the file as it is, then again after every save; Ctrl-C ends it.

    Raises what `load_rubric` raises for the file as it is at the start, and what asking the judge raises.
    """
    rubric = load_rubric(str(told.path))
    arm = told.arm_of(rubric)
    log = VersionLog(told.results_dir, rubric.name, arm, told.pairs, told.seed)
    last = log.last(rubric.name) or told.start
    seen = told.path.read_bytes()
    with sigterm_interrupts(), Cache(told.results_dir / CACHE) as cache, asyncio.Runner() as runner:
        try:
            while True:
                if last is None or rubric.content_hash != last.content_hash:
                    _try(told, log, arm, last, seen.decode("utf-8-sig"), cache, runner)
                    last = rubric
                else:
                    click.echo(f"{told.path} asks what the last version asks: nothing to do", err=True)
                rubric, seen = _edited(told, seen)
                arm = told.arm_of(rubric)
        except KeyboardInterrupt:
            click.echo(f"\nversions are kept in {log.folder}", err=True)
        finally:
            runner.run(arm.judge.close())


def _try(
    told: Watched,
    log: VersionLog,
    arm: JudgeArm,
    last: Rubric | None,
    text: str,
    cache: Cache,
    runner: asyncio.Runner,
) -> None:
    """Ask about one version, write it into the log and print what it is worth."""
    before = told.arm_of(last) if last is not None else None
    parts = batches(told.pairs.pairs, told.seed, BATCH)
    progress = JudgeProgress(quiet=told.quiet)
    progress.start(arm.rubric.id, arm.size(told.pairs.pairs) * (1 if before is None else 2))
    try:
        trial = runner.run(
            try_version(
                arm,
                before,
                parts,
                cache,
                alpha=share_of_alpha(log.comparisons + 1),
                budget=told.budget,
                on_judgment=progress.advance,
            )
        )
    finally:
        progress.finish()
    _show(told, log, arm, before, trial, text)


def _show(told: Watched, log: VersionLog, arm: JudgeArm, before: JudgeArm | None, trial: Trial, text: str) -> None:
    if not any(outcome.scored for outcome in trial.new):
        raise TooManyFailures(f"not one reply to {arm.rubric.id} could be read: judge one answer with `harness judge`")
    arms = [arm] if before is None else [before, arm]
    outcomes = [trial.new] if before is None else [trial.last, trial.new]
    report = lab_report(told.pairs, arms, outcomes, own_names=told.own_names, seed=told.seed)
    log.add(report.arms[-1], trial, before.rubric.id if before is not None else None, text)
    tty = told.form == "table" and sys.stdout.isatty()
    shown = version_text(report, trial, log.versions, log.folder, told.form, show=told.show, tty=tty)
    click.echo(shown, nl=False)
    sys.stdout.flush()


def _edited(told: Watched, seen: bytes) -> tuple[Rubric, bytes]:
    """The next version that can be read; a mistake in the file is told, and waited out."""
    click.echo(f"waiting for {told.path} to be saved (Ctrl-C ends)", err=True)
    while True:
        seen = next_save(told.path, seen)
        try:
            return load_rubric(str(told.path)), seen
        except ConfigError as error:
            click.echo(f"{error}", err=True)


def next_save(path: Path, seen: bytes) -> bytes:
    """Wait until the file says something else. Editors replace files: one that is not there is waited for."""
    while True:
        try:
            now = path.read_bytes()
        except OSError:
            now = seen
        if now != seen:
            return now
        time.sleep(_POLL)
