"""What systems share: their spec, the requests to their models, what is kept of these, and one answer made of them.

    vote:5:openai:qwen                     engine : number : spec of the model, which may be a system itself
    --model-arg temperature=0.7            an option of the system
    --model-arg model.base_url=http://…    an option of its model; of a model named by an option: teacher.base_url=…

The number may be left out. What follows is a spec as everywhere: no engine's name is a number, so nothing is ambiguous.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from harness.errors import ConfigError
from harness.hashing import canonical_json
from harness.models import load_model
from harness.models.base import NotBegun, gives_logprob, named_markup, refuse_unfit
from harness.models.reply_cache import Cache, request_key
from harness.models.scoring import CannotScore
from harness.models.under_way import UnderWay, under_way
from harness.options import parse_options
from harness.redact import contains_secret
from harness.types import Completion, Composed, Json, Model, Request, Sampling

MAIN = "model"
"""Role of the model that the spec names."""
REPLIES = "part-cache.sqlite"
"""What a results folder calls the file of replies of systems' models."""
MOST_NESTED = 4
"""How deep systems may stand in systems: well below what is read back of a record."""
O = TypeVar("O")  # noqa: E741
T = TypeVar("T")


@dataclass(frozen=True)
class Assembly(Generic[O]):
    """A system as its spec and options describe it."""

    number: int
    options: O
    models: Mapping[str, Model]
    """Role -> model; `MAIN` first."""
    results_dir: Path | None
    """Where replies are kept; None: nowhere."""


def assemble(
    engine: str,
    rest: str,
    options: Mapping[str, str],
    kind: type[O],
    *,
    number: tuple[str, int, int] | None = None,
    others: Sequence[str] = (),
) -> Assembly[O]:
    """Read a spec's rest and options, and make the models.

    `kind`: dataclass of the system's own options. `number`: what the spec's number counts, its default, its least.
    `others`: options that name further models; one that is empty names none.
    Raises `ConfigError`, and what making a model raises.
    """
    head, spec = _number_of(engine, rest, number) if number is not None else (0, rest)
    if not spec:
        shown = f"{engine}:{number[1]}" if number is not None else engine
        raise ConfigError(f"{engine} needs a model: {shown}:openai:qwen, or another spec after {engine}:")
    own = {key: value for key, value in options.items() if "." not in key and key != "results_dir"}
    told = parse_options(kind, own, engine)
    if any(contains_secret(one) for one in (spec, *(str(getattr(told, role)) for role in others))):
        raise ConfigError(f"a part of {engine} looks like a secret: names are stored, keys belong in the environment")
    specs = {MAIN: spec} | {role: getattr(told, role) for role in others if getattr(told, role)}
    passed: dict[str, dict[str, str]] = {role: {} for role in specs}
    for key, value in options.items():
        role, dot, option = key.partition(".")
        if dot and role not in specs:
            raise ConfigError(f"{engine} has no part {role!r}, for which {key}=… is; its parts: {', '.join(specs)}")
        if dot:
            passed[role][option] = value
    found = options.get("results_dir")
    results_dir = Path(found) if found is not None else None
    models = {role: load_model(one, passed[role], results_dir) for role, one in specs.items()}
    if _depth(models.values()) > MOST_NESTED:
        raise ConfigError(f"{engine}:{rest}: at most {MOST_NESTED} systems may stand one in another")
    return Assembly(head, told, models, results_dir)


def _number_of(engine: str, rest: str, number: tuple[str, int, int]) -> tuple[int, str]:
    """The number and the spec behind it."""
    what, usual, least = number
    head, _, spec = rest.partition(":")
    if not (head.isascii() and head.isdigit() and len(head) < 10):
        return usual, rest
    if int(head) < least:
        raise ConfigError(f"{engine}:{head}: at least {least} {what}, or nothing is different from {spec} alone")
    return int(head), spec


def _depth(models: Iterable[Model]) -> int:
    """Levels of systems, with one over these models."""
    return 1 + max(_depth(model.models.values()) if isinstance(model, System) else 0 for model in models)


class PartFailed(Exception):
    """A model of the system gave no usable reply, and so there is no answer."""


class System(CannotScore, Generic[O]):
    """A model made of models: a subclass says in `compose` what is asked and which reply is the answer."""

    continues = False
    engine: ClassVar[str]
    counted: ClassVar[str] = ""
    """What the number of the spec counts, as its identity calls it; empty for a system without one."""
    roles: ClassVar[tuple[str, ...]] = ()
    """Options that name models."""
    unplanned: ClassVar[str] = ""
    """What its models read that no plan can count beforehand, as a dry run says it."""

    def __init__(self, parts: Assembly[O]) -> None:
        self.number, self.options, self.models = parts.number, parts.options, parts.models
        self._numbered: dict[str, Json] = {self.counted: parts.number} if self.counted else {}
        self.name = ":".join([self.engine, *map(str, self._numbered.values()), parts.models[MAIN].name])
        self._level = _depth(parts.models.values())
        self._results_dir = parts.results_dir
        self._file: Cache | None = None
        self._identities = {role: model.describe() for role, model in self.models.items()}
        self._keys = {role: canonical_json(identity) for role, identity in self._identities.items()}

    @property
    def gives_logprob(self) -> bool:  # type: ignore[override]
        """Its answer is a reply of one of its models."""
        return gives_logprob(self.models[MAIN])

    @abstractmethod
    async def compose(self, asking: Asking) -> Completion:
        """Ask what is to be asked and give the reply that is the answer; `asking.facts` keeps what it decided by."""

    @abstractmethod
    def most(self) -> int:
        """Most requests to models for one answer; `calls_of` a model that is a system itself."""

    def check(self, graders: Collection[str], sampling: Sampling) -> None:
        """Refuse what could not be answered in the end, before anything is asked; raises `ConfigError`.

        `graders`: of the problems; `sampling`: how the system is asked.
        """
        for model in self.models.values():
            refuse_unfit(model, graders, sampling)

    def settings(self) -> dict[str, Json]:
        """The options that change answers, as the identity holds them."""
        return {name: value for name, value in asdict(self.options).items() if name not in self.roles}  # type: ignore[call-overload]

    def describe(self) -> Mapping[str, Json]:
        """The system's own settings, and what identifies each of its models."""
        return {"engine": self.engine, **self._numbered, **self.settings(), "parts": self._identities}

    def environment(self) -> Mapping[str, Json]:
        """Name, versions and prices of each of its models, by role."""
        return {"parts": {role: {**model.environment(), "name": model.name} for role, model in self.models.items()}}

    async def answer(self, request: Request) -> Completion:
        """See `harness.types.Model`; tokens and seconds are those of all that was asked for it together."""
        asking, started = Asking(self.models, self._reply, request, self._level), time.monotonic()
        try:
            chosen = await self.compose(asking)
        except PartFailed as failed:
            chosen = Completion("", "error", error=str(failed))
        except asyncio.CancelledError:
            if asking.begun:
                raise
            raise NotBegun from None
        return asking.settle(chosen, time.monotonic() - started)

    def under_way(self) -> list[UnderWay]:
        """Of all its models; what follows from a reply is not known, so neither is the most."""
        return [replace(one, most=None) for model in self.models.values() for one in under_way(model)]

    async def close(self) -> None:
        """Close all models, and the file of replies."""
        closing = [model.close() for model in self.models.values()]
        found = await asyncio.gather(*closing, return_exceptions=True)
        if self._file is not None:
            self._file.close()
            self._file = None
        raise_first(found)

    async def _reply(self, role: str, request: Request) -> Completion:
        """From the file of replies or from the model; a failed one is not kept. A system keeps those of its models."""
        model = self.models[role]
        if self._results_dir is None or isinstance(model, System):
            return await model.answer(request)
        if self._file is None:  # in the loop's thread, to which sqlite's connection belongs
            self._file = Cache(self._results_dir / REPLIES, what="file of the replies of systems' models")
        key = request_key(self._keys[role], request)
        if (found := self._file.get(key)) is not None:
            return replace(found, markup=named_markup(self._identities[role]))
        completion = await model.answer(request)
        return completion if completion.finish == "error" else self._file.put(key, model.name, completion)


class Asking:
    """What one answer of a system asks of its models, and what came of it."""

    def __init__(
        self,
        models: Mapping[str, Model],
        reply: Callable[[str, Request], Awaitable[Completion]],
        request: Request,
        level: int,
    ) -> None:
        """`level`: of the system over systems, so that none of them draws what another drew."""
        self.request = request
        self.facts: dict[str, Json] = {}
        self.begun = False
        """True once a request was under way."""
        self._models, self._reply, self._level = models, reply, level
        self._replies: list[tuple[str, Completion | None]] = []

    async def ask(self, role: str, number: int = 0, **changes: Any) -> Completion:
        """The reply of a model to the request, with `changes` of its fields; `number` tells samples apart.

        The first sample of the main model has the request's own seed: a system that asks nothing else is that model.
        Raises `PartFailed` where it failed.
        """
        place = len(self._replies)
        self._replies.append((role, None))
        own = self.request
        seed = own.seed if (role, number) == (MAIN, 0) else part_seed(own.seed, self._level, role, number)
        request = replace(own, **{"id": f"{own.id}\x1f{role}{number}", "seed": seed, **changes})
        try:
            reply = await self._reply(role, request)
        except NotBegun:
            raise
        except BaseException:
            self.begun = True
            raise
        self.begun = True
        self._replies[place] = (role, reply)
        if reply.finish == "error":
            raise PartFailed(f"{role} ({self._models[role].name}, request {number + 1}) failed: {reply.error}")
        return reply

    async def draw(self, role: str, count: int, **changes: Any) -> list[Completion]:
        """So many samples of a model at once; raises `PartFailed` once all are there, if one failed."""
        return await together([self.ask(role, number, **changes) for number in range(count)])

    def settle(self, chosen: Completion, seconds: float) -> Completion:
        """The chosen reply as the system's answer, with all replies behind it."""
        replies = tuple((role, reply) for role, reply in self._replies if reply is not None)
        return replace(
            chosen,
            tokens_in=_total([(reply, reply.tokens_in) for _, reply in replies]),
            tokens_out=_total([(reply, reply.tokens_out) for _, reply in replies]),
            seconds=seconds,
            alternatives=None,
            composed=Composed(replies, self.facts),
        )


def _total(counts: Sequence[tuple[Completion, int | None]]) -> int | None:
    """The sum; None where an engine does not count, of a request that did not fail."""
    if any(count is None and reply.finish != "error" for reply, count in counts):
        return None
    return sum(count or 0 for _, count in counts)


async def together(asked: Sequence[Awaitable[T]]) -> list[T]:
    """All results, once the last is there; then the first error is raised, one that is no `PartFailed` before those."""
    found = await asyncio.gather(*asked, return_exceptions=True)
    raise_first([one for one in found if not isinstance(one, PartFailed)])
    raise_first(found)
    return [one for one in found if not isinstance(one, BaseException)]


def raise_first(found: Sequence[object]) -> None:
    """Raise the first that is an error."""
    for one in found:
        if isinstance(one, BaseException):
            raise one


def part_seed(seed: int, level: int, role: str, number: int) -> int:
    """Seed of a request to a system's model: depends on nothing but its arguments."""
    digest = hashlib.sha256(f"{seed}\x1f{level}\x1f{role}\x1f{number}".encode()).digest()
    return int.from_bytes(digest[:4], "big") & 0x7FFFFFFF


def calls_of(model: Model) -> int:
    """Most requests that one answer of a model takes."""
    return model.most() if isinstance(model, System) else 1


def unplanned_of(model: Model) -> list[str]:
    """What a plan of this model leaves out, a line for each system in it that has such."""
    if not isinstance(model, System):
        return []
    own = [f"{model.name}: not counted: {model.unplanned}"] if model.unplanned else []
    return own + [line for part in model.models.values() for line in unplanned_of(part)]
