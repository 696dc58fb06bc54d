"""What a run *is*: the spec, its identity, and the seeds that follow from it.

Everything that can change an answer is in the spec, and the directory's name is a hash over it: the same spec always
finds the same directory and resumes there. `n` is left out of the identity on purpose, so that raising it from 16 to
64 continues the run instead of starting another.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

from harness.hashing import canonical_json, short_hash
from harness.types import Json, Message, Problem, Request, Sampling

SCHEMA = 1


def request_seed(root: int, problem_id: str, attempt: int) -> int:
    """Seed of one request, 0 <= seed < 2**31: depends on nothing but its arguments, so any sample can be remade."""
    digest = hashlib.sha256(f"{root}\x1f{problem_id}\x1f{attempt}".encode()).digest()
    return int.from_bytes(digest[:4], "big") & 0x7FFFFFFF


def prompt_hash(messages: tuple[Message, ...]) -> str:
    """Identity of a rendered prompt, 16 hex digits."""
    return short_hash(canonical_json([[m.role, m.content] for m in messages]), 16)


@dataclass(frozen=True)
class RunSpec:
    """One suite, one model, one way of sampling."""

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
        """As stored in spec.json: the identity plus the preset's name."""
        return {**self.identity(), "protocol": self.protocol}


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
