"""A teacher that a vLLM server has: it reads what the student wrote, as token ids, and says how likely each token was.

Tokenizer and size are those of `--teacher`, whose weights stay where the server is (`--teacher-server`). A server tells
log-probabilities of single tokens at temperature 1 and no whole distributions: methods that compare those need the
weights here.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from backends.base import Served, TokenTeacher, Training
from backends.records.segments import PROBE
from backends.teachers.local import End, LocalTeacher, Tokens
from backends.trainers.batch import Batch
from harness.errors import ConfigError, ModelError, TrainingStopped
from harness.models.openai_reply import Failure
from harness.models.openai_score import COMPLETIONS, TOKENIZE, tables_of
from harness.models.openai_servers import Server, Servers, addresses_of, gather
from harness.redact import one_line
from harness.types import Json

AT_ONCE = 16
"""Texts that one server reads at a time: each needs the scores of its tokens over the whole vocabulary."""
TRIES = 3
SECONDS, ASK_SECONDS = 600.0, 60.0
"""For one text, and for what takes no model."""


def token_teacher(training: Training, method: str, *, end: End | None = None) -> TokenTeacher:
    """The teacher of single tokens: on servers, where they are told, else beside the student."""
    if training.served is None:
        return LocalTeacher(training, method, end=end)
    return ServerTeacher(training, method, training.served, end=end)


class ServerTeacher(Tokens):
    """The model of `--teacher`, on the servers of `--teacher-server`."""

    def __init__(self, training: Training, method: str, served: Served, *, end: End | None = None) -> None:
        """Ask the servers what they have.

        Raises `ConfigError` for other tokens, another model and another temperature than 1, `ModelError` where a server
        does not answer.
        """
        super().__init__(training, served.tokenizer(), method, end)
        self._training, self._served, self._method = training, served, method
        self._addresses = addresses_of(served.servers, "--teacher-server")
        if training.rollout is not None:
            self._refuse(training.rollout.temperature)
        self._names = asyncio.run(self._meet())
        """What each server calls the teacher."""

    def logps(self, batch: Batch, temperature: float) -> Tensor:
        """Its log-probabilities of the tokens that are learnt, (R, T); 0 elsewhere. Raises `TrainingStopped`."""
        self._refuse(temperature)
        here_RT = batch.inputs["attention_mask"].bool().cpu()
        texts = [ids[here].tolist() for ids, here in zip(batch.inputs["input_ids"].cpu(), here_RT, strict=True)]
        self._training.spend(teacher=sum(map(len, texts)), of=self._served.parameters)
        said = asyncio.run(self._read(texts))
        found_RT = torch.zeros(batch.labels_RT.shape, dtype=torch.float32)
        for row, (here_T, logps) in enumerate(zip(here_RT, said, strict=True)):
            places = here_T.nonzero()[:-1, 0]  # the last position predicts nothing
            found_RT[row, places] = torch.tensor(logps, dtype=torch.float32)
        return found_RT.to(batch.labels_RT.device).masked_fill(~batch.mask_RT, 0.0)

    def _refuse(self, temperature: float) -> None:
        if temperature != 1:
            raise ConfigError(
                f"{self._method} compares teacher and student at the temperature of the draw, {temperature:g}, and a "
                "server tells log-probabilities at 1 only: set rollout.temperature=1, or leave out --teacher-server"
            )

    async def _meet(self) -> dict[str, str]:
        async with Servers(self._addresses) as servers:
            return {server.label: await self._name(server) for server in servers.all}

    async def _name(self, server: Server) -> str:
        """What a server calls the teacher, once it is known to have it and to give log-probabilities."""
        listed = {str(item.get("root")): str(item["id"]) for item in await server.models()}
        root = next((root for root in listed if _same(root, self._served.location)), None)
        where = f"the server at {server.label}"
        if root is None:
            has = ", ".join(sorted(listed)) or "no model that it tells of"
            raise ConfigError(
                f"{where} has {one_line(has, 200)}, and the teacher is {self._served.location}: start it with "
                f"`vllm serve {self._served.location}`"
            )
        name = listed[root]
        own = self._training.tokenizer(PROBE, add_special_tokens=False)["input_ids"]
        try:
            body: dict[str, Json] = {"model": name, "prompt": PROBE, "add_special_tokens": False}
            told = await server.post(TOKENIZE, body, ASK_SECONDS)
            await self._tables(server, name, own[:2])
        except Failure as failure:
            raise ModelError(f"{where} cannot teach: {failure.message}. That takes a vLLM server") from None
        if told.get("tokens") != own:
            raise ConfigError(
                f"{self._method} compares token by token, and {where} makes other tokens of a text than the student"
            )
        return name

    async def _read(self, texts: Sequence[Sequence[int]]) -> list[list[float]]:
        """Of each text the log-probability of each token but the first."""
        async with Servers(self._addresses) as servers:
            room = [asyncio.Semaphore(AT_ONCE) for _ in servers.all]

            async def one(number: int, ids: Sequence[int]) -> list[float]:
                failure = Failure("transient", "not tried")
                for attempt in range(TRIES):
                    place = (number + attempt) % len(servers.all)
                    server = servers.all[place]
                    try:
                        async with room[place]:
                            tables = await self._tables(server, self._names[server.label], ids)
                        return [table[token] for token, table in zip(ids[1:], tables[1:], strict=True)]
                    except Failure as error:
                        failure = Failure(error.kind, f"{server.label}: {error.message}")
                    await asyncio.sleep(attempt)
                raise TrainingStopped(
                    f"no server reads for the teacher ({failure.message}): run the same command again to go on from "
                    "the last checkpoint"
                )

            return await gather([one(number, ids) for number, ids in enumerate(texts)])

    async def _tables(self, server: Server, name: str, ids: Sequence[int]) -> list[dict[int, float]]:
        asked: dict[str, Json] = {"max_tokens": 1, "temperature": 0.0, "prompt_logprobs": 0}
        reply = await server.post(COMPLETIONS, {"model": name, "prompt": list(ids), **asked}, SECONDS)
        tables = tables_of(reply)
        if len(tables) != len(ids) or any(token not in table for token, table in zip(ids[1:], tables[1:], strict=True)):
            raise Failure("transient", "the log-probabilities that came back are not of the text that was sent")
        return tables


_ANY_MODEL = re.compile(r"(model|models|weights|merged|final|best|last|output|checkpoint([-_]?\d+)?|main|snapshots)")
"""Names of folders that say nothing of what is in them: our registry calls all of its models `model`."""
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def _same(root: str, location: str) -> bool:
    """Whether a server's model is these weights, as far as their place tells: it may see them elsewhere."""
    here, there = Path(location), Path(root)
    if here.is_dir() and there.is_dir():
        return there.resolve() == here.resolve()
    if _HUB_ID.fullmatch(root) and _HUB_ID.fullmatch(location) and not here.is_dir():
        return root == location
    if here.name != there.name:
        return False
    return not _ANY_MODEL.fullmatch(here.name) or here.resolve().parent.name == there.parent.name
