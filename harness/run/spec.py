"""What a run *is*: the spec, its identity, and the seeds that follow from it.

Everything that can change an answer is in the spec, and the directory's name is a hash over it: the same spec always
finds the same directory and resumes there. `n` is left out of the identity on purpose, so that raising it from 16 to
64 continues the run instead of starting another.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from harness.files import is_number
from harness.hashing import canonical_json, short_hash
from harness.types import Json, Message, Problem, Request, Sampling

SCHEMA = 1
_SAMPLING = ("temperature", "top_p", "max_tokens", "stop", "seed")
_JUDGED = ("judged_from", "judging", "judges", "aggregate", "against", "baseline_sha256", "samples")


def request_seed(root: int, problem_id: str, attempt: int) -> int:
    """Seed of one request, 0 <= seed < 2**31: depends on nothing but its arguments, so any sample can be remade."""
    digest = hashlib.sha256(f"{root}\x1f{problem_id}\x1f{attempt}".encode()).digest()
    return int.from_bytes(digest[:4], "big") & 0x7FFFFFFF


def prompt_hash(messages: tuple[Message, ...]) -> str:
    """Identity of a rendered prompt, 16 hex digits."""
    return short_hash(canonical_json([[m.role, m.content] for m in messages]), 16)


@dataclass(frozen=True)
class RunSpec:
    """One suite, one model, one way of sampling: what spec.json holds, also of runs that were imported or judged."""

    suite: str
    suite_version: str
    data_sha256: str
    model: str
    """As the user wrote it."""
    model_identity: Mapping[str, Json]
    """`Model.describe()`: what makes its answers its own."""
    sampling: Sampling
    limit: int | None
    """Only that many problems; None is all."""
    protocol: str | None = None
    schema: int = SCHEMA
    imported_from: str | None = None
    """Another tool whose run it is."""
    recorded: Mapping[str, Json] = field(default_factory=dict)
    """Of an imported run: temperature, top_p, max_tokens, stop and seed as far as the tool recorded them."""
    judged: Mapping[str, Json] = field(default_factory=dict)
    """Of a judged run: judged_from, judging, judges, aggregate, against, baseline_sha256 and samples."""
    command: str = field(default="", compare=False)
    """Of a run of ours that was asked for in a shell: how, the last time; no part of what it is."""

    @property
    def judged_from(self) -> str | None:
        """Of a judged run: the id of the run whose answers were judged."""
        return cast("str | None", self.judged.get("judged_from"))

    @property
    def judging(self) -> Mapping[str, Json]:
        """Of a judged run: what identifies the way of judging."""
        return cast("Mapping[str, Json]", self.judged.get("judging", {}))

    @property
    def against(self) -> str | None:
        """Of a judged run: another run's id, or "baseline": whose answers they were held against."""
        return cast("str | None", self.judged.get("against"))

    def identity(self) -> dict[str, Json]:
        """The part of the spec that the run id hashes: all of it but `n` and the preset's name."""
        sampling = self.sampling
        return {
            "schema": self.schema,
            "suite": self.suite,
            "suite_version": self.suite_version,
            "data_sha256": self.data_sha256,
            "model": self.model,
            "model_identity": dict(self.model_identity),
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_tokens": sampling.max_tokens,
            "stop": list(sampling.stop),
            "seed": sampling.seed,
            "limit": self.limit,
        }

    @property
    def run_id(self) -> str:
        """Readable slug plus 10 hex digits over `identity()`: safe as a folder name on every system."""
        limit = f"-{self.limit}p" if self.limit is not None else ""
        slug = re.sub(r"[^A-Za-z0-9._+-]+", "-", f"{self.suite}{limit}-{self.model}").strip("-.")[:80]
        return f"{slug}-{short_hash(canonical_json(self.identity()), 10)}"

    def to_json(self) -> dict[str, Json]:
        """As stored in spec.json: the identity, the preset's name, and whose run it is or what judged it."""
        tool: dict[str, Json] = {} if self.imported_from is None else {"imported_from": self.imported_from}
        asked = {"schema": self.schema, **tool, **self.identity(), **self.recorded, "protocol": self.protocol}
        return {**asked, **self.judged, **({"command": self.command} if self.command else {})}


def spec_from_json(raw: Mapping[str, Any]) -> RunSpec:
    """Inverse of `RunSpec.to_json`; `n` is 1. Raises ValueError saying what is wrong with a file that is not one."""
    tool = raw.get("imported_from")
    if problem := _problem(raw) or ("" if tool is not None else _sampling_problem(raw)):
        raise ValueError(problem)
    limit = raw.get("limit")
    return RunSpec(
        suite=raw["suite"],
        suite_version=raw["suite_version"],
        data_sha256=raw["data_sha256"],
        model=raw["model"],
        model_identity=raw["model_identity"],
        # What another tool recorded is no sampling of ours: it may have recorded nothing.
        sampling=Sampling() if tool is not None else _sampling(raw),
        limit=limit if tool is None or (type(limit) is int and limit > 0) else None,
        protocol=raw.get("protocol"),
        schema=raw.get("schema", SCHEMA),
        imported_from=tool,
        recorded={name: raw.get(name) for name in _SAMPLING} if tool is not None else {},
        judged={name: raw.get(name) for name in _JUDGED} if "judged_from" in raw else {},
        command=raw.get("command") or "",
    )


def _sampling(raw: Mapping[str, Any]) -> Sampling:
    return Sampling(**{name: raw[name] for name in _SAMPLING if name != "stop"}, stop=tuple(raw["stop"]))


def _problem(raw: Mapping[str, Any]) -> str:
    """What is wrong, or an empty text."""
    for name in ("suite", "suite_version", "data_sha256", "model"):
        if not isinstance(raw.get(name), str):
            return f"{name} is not a text"
    for name in ("protocol", "imported_from", "against", "command"):
        if not isinstance(raw.get(name), str | None):
            return f"{name} is not a text"
    if not isinstance(raw.get("model_identity"), Mapping):
        return "model_identity is not a table"
    if "judged_from" in raw and not (isinstance(raw["judged_from"], str) and isinstance(raw.get("judging"), Mapping)):
        return "judged_from or judging is missing or of the wrong type"
    return ""


def _sampling_problem(raw: Mapping[str, Any]) -> str:
    """What keeps a run of ours from being planned again, or an empty text."""
    for name in ("temperature", "top_p"):
        if not is_number(raw.get(name)):
            return f"{name} is not a number"
    for name in ("max_tokens", "seed"):
        if type(raw.get(name)) is not int:
            return f"{name} is not a whole number"
    if not {"limit", "protocol"} <= set(raw):
        return "it has no limit or no protocol"
    if not (raw["limit"] is None or type(raw["limit"]) is int):
        return "limit is not a whole number"
    stop = raw.get("stop")
    return "" if isinstance(stop, list) and all(isinstance(one, str) for one in stop) else "stop is not a list of texts"


def make_request(problem: Problem, attempt: int, sampling: Sampling, suite: str = "") -> Request:
    """The request for one attempt at one problem, at the problem's own temperature where it has one.

    `suite` keeps problems of one id apart that are asked at once.
    """
    return Request(
        id=f"{suite}/{problem.id}/{attempt}",
        messages=problem.messages,
        temperature=problem.temperature if problem.temperature is not None else sampling.temperature,
        top_p=sampling.top_p,
        max_tokens=sampling.max_tokens,
        stop=sampling.stop,
        seed=request_seed(sampling.seed, problem.id, attempt),
        attempt=attempt,
        problem=problem,
    )
