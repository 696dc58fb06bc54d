"""The running log of the versions of one judge prompt on one set by one judge: what each was, and what it was worth.

`<results>/judge_lab/<name>-<hash>/` has a line of `versions.jsonl` for each version that was tried, and its text
as `<hash>.toml`: an edit that turns out worse is never lost, nor is the one before it.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.clock import utc_now
from harness.errors import ConfigError, StoreError
from harness.files import append_text, iter_lines, parse_json, truncate, write_atomically
from harness.hashing import canonical_json, short_hash
from harness.types import Estimate, Json
from judges.lab.arm import JudgeArm
from judges.lab.measure import ArmReport
from judges.lab.sets import PairSet
from judges.lab.trial import Trial
from judges.prompts.rubric import load_rubric
from judges.types import Rubric

FOLDER = "judge_lab"
_LOG = "versions.jsonl"
_MEASURES = ("accuracy", "flips", "first", "longer_excess", "lists_excess", "own_excess")


@dataclass(frozen=True)
class Version:
    """One line of the log."""

    at: str
    rubric: str
    """`Rubric.id`."""
    pairs: int
    """How many it was asked about: fewer than the set has where it was given up early."""
    values: Mapping[str, Json]
    """Agreement, flips and biases: {"value", "low", "high"} each."""
    asked: int
    """Judgments that were not known yet."""
    tokens: float | None
    """What its judgments take, kept ones included."""
    cost: float | None
    against: str | None = None
    """`Rubric.id` of the version before; None for the first."""
    difference: Mapping[str, Json] | None = None
    """`Look` of the paired difference to it."""

    @property
    def content_hash(self) -> str:
        """The hash in the rubric's id."""
        return self.rubric.rpartition("#")[2]


class VersionLog:
    """The log on disk; `versions` are those of earlier sessions and of this one."""

    def __init__(self, results_dir: Path, name: str, arm: JudgeArm, pairs: PairSet, seed: int) -> None:
        """`arm` is any version of the prompt: what counts of it is the judge, and how it is asked."""
        how = {name: value for name, value in arm.judging.identity().items() if name != "rubric"}
        told = {"judge": dict(arm.judge.describe()), "how": how, "set": pairs.content, "seed": seed}
        self.folder = results_dir / FOLDER / f"{name}-{short_hash(canonical_json(told), 8)}"
        self._about: dict[str, Json] = {"judge": arm.judge.name, "set": pairs.name, "content": pairs.content}
        self.versions = self._read()

    def add(self, report: ArmReport, trial: Trial, against: str | None, text: str) -> Version:
        """Append a version that was just tried, and keep its text. Raises `StoreError` if it cannot be written."""
        read = report.replies
        version = Version(
            at=utc_now(),
            rubric=report.arm.rubric.id,
            pairs=len(trial.new),
            values={name: _numbers(report.values[name]) for name in _MEASURES if name in report.values},
            asked=read.requested,
            tokens=None if read.tokens_per_1000 is None else read.tokens_per_1000 * read.judgments / 1000,
            cost=None if read.cost_per_1000 is None else read.cost_per_1000 * read.judgments / 1000,
            against=against,
            difference=dataclasses.asdict(trial.looked) if trial.looked is not None else None,
        )
        line = json.dumps({**dataclasses.asdict(version), **self._about}, ensure_ascii=False, allow_nan=False)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_atomically(self.text_of(version), text)
            append_text(self.folder / _LOG, line + "\n")
        except OSError as error:
            raise StoreError(f"{self.folder}: the log of versions cannot be written: {error}") from error
        self.versions.append(version)
        return version

    def text_of(self, version: Version) -> Path:
        """Where the text of a version is kept."""
        return self.folder / f"{version.content_hash}.toml"

    def last(self, name: str) -> Rubric | None:
        """The last version as a rubric called `name`; None without one, or where its text asks something else by now.

        That is so after a change of how prompts are rendered: another question, which is not compared with.
        """
        if not self.versions:
            return None
        try:
            kept = load_rubric(str(self.text_of(self.versions[-1])))
        except ConfigError:
            return None
        return dataclasses.replace(kept, name=name) if kept.content_hash == self.versions[-1].content_hash else None

    @property
    def comparisons(self) -> int:
        """How many differences were looked at: each spends a share of the 5 %."""
        return sum(version.difference is not None for version in self.versions)

    def _read(self) -> list[Version]:
        path = self.folder / _LOG
        found: list[Version] = []
        try:
            for number, line in enumerate(iter_lines(path) if path.exists() else (), 1):
                if line.endswith(b"\n"):
                    found.append(_version(line, f"{path}:{number}"))
                else:  # an interrupted write: the next line must not continue it
                    truncate(path, path.stat().st_size - len(line))
        except (OSError, ValueError) as error:
            raise StoreError(f"{path} cannot be read: {error}") from error
        return found


def _version(line: bytes, where: str) -> Version:
    names = [field.name for field in dataclasses.fields(Version)]
    try:
        raw = parse_json(line)
        version = Version(**{name: raw[name] for name in names})
        good = isinstance(version.rubric, str) and isinstance(version.pairs, int) and isinstance(version.asked, int)
        good = good and isinstance(version.values, Mapping) and "/" not in version.content_hash
        good = good and isinstance(version.difference, Mapping | None)
    except (ValueError, KeyError, TypeError):
        good = False
    if not good:
        raise StoreError(f"{where} is no version of a judge prompt: delete the line, or the file to begin a new log")
    return version


def _numbers(value: Estimate | float) -> Json:
    if isinstance(value, Estimate):
        return {"value": value.value, "low": value.low, "high": value.high}
    return {"value": value}
