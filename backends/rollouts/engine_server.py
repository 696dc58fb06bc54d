"""Drawing with vLLM servers that run already, on this machine or on others: tokens in, tokens out, over HTTP.

Weights go through a folder that both sides see; a worker extension of the server loads them (`vllm_worker`). A server
that fails gets them again before it is asked again, for it may be another process by then, with the weights that it
started with; one that fails twice is left out of the draw, and the others take over what it had. Which server draws a
completion does not matter: equal weights, prompts and seeds give equal completions.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backends.rollouts.engine import Emit, Wanted
from backends.rollouts.engine_hf import refuse_sharded, student_of
from backends.rollouts.server_talk import ServerSampling, ServerSettings, start_command
from backends.rollouts.student_weights import shared_folder, write_weights
from harness.errors import ConfigError, ModelError, TrainingStopped
from harness.models.hf_load import end_tokens
from harness.models.hf_prompt import PromptRenderer
from harness.models.openai_reply import Failure
from harness.models.openai_servers import Server, Servers, addresses_of, gather, is_here

if TYPE_CHECKING:
    from backends.base import Training
    from backends.rollouts.settings import RolloutSettings

AT_ONCE = 256
"""Completions that one server draws at a time: none waits there, so that a deadline is about drawing."""


@dataclass(frozen=True)
class Patience:
    """Seconds. With a second try the longest wait stays within the hour that processes wait for each other."""

    ask: float = 60.0
    load: float = 900.0
    draw: float = 1500.0
    """Of one completion."""
    pause: float = 0.25
    """Between two tries to drop what was computed with the weights before."""


class ServerEngine:
    """vLLM servers beside the training."""

    def __init__(
        self,
        settings: RolloutSettings,
        context: int,
        dtype: str,
        shared: Path,
        share: tuple[int, int] = (0, 1),
        patience: Patience | None = None,
    ) -> None:
        """Connects to nothing. `context`: most tokens of prompt and completion; `settings` must have `max_new`.

        `shared`: a folder that all servers see, where one is on another machine; `share`: which process of how many
        this is, each of which has servers of its own. Raises `ConfigError` and `MissingExtra`.
        """
        refuse_sharded()
        assert settings.max_new is not None
        rank, processes = share
        addresses = addresses_of(settings.servers, "rollout.engine=server")
        if len(addresses) < processes:
            raise ConfigError(
                f"each of {processes} training processes needs servers of its own to load its weights into, and "
                f"rollout.engine names {len(addresses)}: name {processes} or more"
            )
        self._addresses = addresses[rank::processes]
        self._settings, self._max_new = settings, settings.max_new
        self._context, self._dtype, self._patience = context, dtype, patience or Patience()
        self._shared, self._near = shared, all(map(is_here, self._addresses))
        self._place: Path | None = None
        self._weights: Path | None = None
        self._syncs = 0
        self._prompts: PromptRenderer | None = None
        self._sampling: ServerSampling | None = None
        self._served: dict[str, str] = {}
        """What each server calls its model."""

    def sync(self, policy: Training, version: int) -> None:
        """Write the weights down and have every server load them.

        Raises `ConfigError` for servers that are set up otherwise than the student needs, `ModelError` where none
        answers at first, `TrainingStopped` where none does any more.
        """
        model = student_of(policy)
        first = self._place is None
        if self._place is None:
            self._place = shared_folder(policy.model, self._shared, self._near)
        self._prompts = PromptRenderer(policy.tokenizer, None, False, None)
        before, self._weights = self._weights, self._place / str(self._syncs)
        write_weights(policy.model, self._weights)
        self._syncs += 1
        if first:
            asyncio.run(self._meet(model, sorted(end_tokens(model, policy.tokenizer))))
        asyncio.run(self._load_all())
        if before is not None:
            shutil.rmtree(before, ignore_errors=True)

    def draw(self, wanted: Sequence[Wanted], emit: Emit) -> None:
        """See `Engine`. Raises `TrainingStopped` where no server is left."""
        try:
            asyncio.run(self._draw(wanted, emit))
        except _Amiss as amiss:
            raise amiss.error from None

    def close(self) -> None:
        """Remove the weights; the servers stay, with those that they have."""
        if self._place is not None:
            shutil.rmtree(self._place.parent, ignore_errors=True)
        self._place = self._weights = None

    # --- settings and weights -----------------------------------------------------------------------------------------

    async def _meet(self, model: Any, ends: list[int]) -> None:
        """Find out whether the servers are as the student needs them."""
        async with Servers(self._addresses) as servers:
            said = await gather([self._tell(server) for server in servers.all])
        asked = ServerSettings.of_student(model, self._dtype, self._context)
        for server, told in zip(servers.all, said, strict=True):
            if isinstance(told, Failure):
                raise ModelError(
                    f"the server at {server.label} cannot draw for a training: {told.message}. Start it with: "
                    f"{start_command(asked)}"
                )
            if wrong := told.differences(asked):
                raise ConfigError(
                    f"the server at {server.label} is set up otherwise than this training needs: {'; '.join(wrong)}. "
                    f"Start it with: {start_command(asked, told.cpu)}"
                )
            self._served[server.label] = told.served
        self._sampling = ServerSampling(self._settings.temperature, self._max_new, tuple(ends), asked.vocabulary)

    async def _tell(self, server: Server) -> ServerSettings | Failure:
        try:
            reply = await server.post("ROOT/collective_rpc", {"method": "harness_tell"}, self._patience.ask)
            return ServerSettings.of(reply)
        except Failure as failure:
            return failure

    async def _load_all(self) -> None:
        async with Servers(self._addresses) as servers:
            failed = [one for one in await gather([self._loaded(server) for server in servers.all]) if one]
        if len(failed) == len(servers.all):
            raise self._stopped(failed)
        for line in failed:
            print(f"warning: {line}; the other servers draw", file=sys.stderr)

    async def _loaded(self, server: Server) -> str | None:
        try:
            await self._load(server)
        except Failure as failure:
            return f"{server.label}: {failure.message}"
        return None

    async def _load(self, server: Server) -> None:
        """Have a server take the weights of the moment. Raises `Failure`."""
        patience, folder = self._patience, str(self._weights)
        body: dict[str, Any] = {"method": "harness_take", "args": [folder], "timeout": patience.load}
        reply = await server.post("ROOT/collective_rpc", body, patience.load)
        for worker in ServerSettings.results(reply):
            if worker.get("folder") != folder:
                raise Failure("transient", f"it does not take the weights: {worker.get('error') or 'it says nothing'}")
        for _ in range(40):  # blocks of requests that were given up are held for a moment
            reply = await server.post("ROOT/reset_prefix_cache", {}, patience.ask)
            if reply.get("success") is True:
                return
            await asyncio.sleep(patience.pause)
        raise Failure("transient", "it keeps keys and values of the weights before")

    async def _has_weights(self, server: Server) -> bool:
        """Whether it has those of the moment; not where it has started again. Raises `Failure`."""
        told = await self._tell(server)
        if isinstance(told, Failure):
            raise told
        if told.folder is not None and told.folder != str(self._weights):
            raise TrainingStopped(
                f"another training loads its weights into the server at {server.label}: give each one servers of its "
                "own and run the same command again, which goes on from the last checkpoint"
            )
        return told.folder is not None

    def _stopped(self, why: Sequence[str]) -> TrainingStopped:
        return TrainingStopped(
            f"no server draws any more ({'; '.join(why)}): what was drawn before is kept; start them and run the same "
            "command again to go on"
        )

    # --- drawing ------------------------------------------------------------------------------------------------------

    async def _draw(self, wanted: Sequence[Wanted], emit: Emit) -> None:
        sampling, prompts = self._sampling, self._prompts
        assert sampling is not None and prompts is not None
        async with Servers(self._addresses) as servers:
            draws = [_Draws(server, self) for server in servers.all]
            left = deque(enumerate(wanted))

            async def one(server: Server) -> None:
                number, what = left.popleft()
                try:
                    body = sampling.body(what, self._served[server.label])
                    reply = await server.post("/completions", body, self._patience.draw)
                    drawn = sampling.drawn(reply, what, prompts.text)
                except BaseException:
                    left.appendleft((number, what))
                    raise
                try:
                    emit(number, drawn)
                except BaseException as error:  # Ctrl-C too: a loop would tell of it in its own way
                    raise _Amiss(error) from None

            await gather([each.ready() for each in draws])
            while left:
                alive = [each for each in draws if each.why is None]
                if not alive:
                    raise self._stopped([f"{each.server.label}: {each.why}" for each in draws])
                # One of each server in turn: the first completions are spread, and who is done takes the next.
                await gather([each.work(left, one) for _ in range(AT_ONCE) for each in alive])
            await gather([each.still_ready() for each in draws if each.why is None])


class _Amiss(Exception):
    """Whoever takes the completions raised `error`."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error


class _Draws:
    """One server in one draw."""

    def __init__(self, server: Server, engine: ServerEngine) -> None:
        self.server, self._engine = server, engine
        self.why: str | None = None
        """Why it is asked no more."""
        self._failures = 0
        self._mending = asyncio.Lock()

    async def ready(self) -> None:
        """It has the weights, or gets them once more, or is left out."""
        with suppress(Failure):
            if await self._engine._has_weights(self.server):
                return
        await self._again("it has lost the weights")

    async def still_ready(self) -> None:
        """Raises `TrainingStopped` where it has other weights than it was given: what it drew is not the student's."""
        try:
            same = await self._engine._has_weights(self.server)
        except Failure:
            return  # it has gone since: whoever draws next sees to it
        if not same:
            raise self._engine._stopped([f"{self.server.label} has started again in the midst of a draw"])

    async def work(self, left: deque[Any], one: Callable[[Server], Coroutine[Any, Any, None]]) -> None:
        """Draw one after another until nothing is left."""
        while left and self.why is None:
            failures = self._failures
            try:
                await one(self.server)
            except Failure as failure:
                async with self._mending:
                    if failures == self._failures:  # of several that failed together the first sees to it
                        await self._again(failure.message)

    async def _again(self, why: str) -> None:
        self._failures += 1
        if self._failures > 1:
            self.why = why
            return
        try:
            await self._engine._load(self.server)
        except Failure as failure:
            self.why = f"{why}, then {failure.message}"
