"""vLLM servers of one's own, spoken to without the `Model` interface: what training draws with, and what teaches it.

    async with Servers(addresses_of("http://a:8000,http://b:8000", "rollout.engine")) as servers:
        told = await servers.all[0].post("ROOT/collective_rpc", {"method": "harness_tell"}, 60.0)

A reply that is not understood is a `Failure`, as everywhere in this engine.
"""

from __future__ import annotations

import asyncio
import importlib.util
import ipaddress
import os
from collections.abc import Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from harness.errors import ConfigError, MissingExtra
from harness.models.openai_reply import Failure
from harness.models.openai_score import post, read_object
from harness.redact import register_secret
from harness.types import Json

if TYPE_CHECKING:
    from harness.models.openai_client import Address, Endpoint

T = TypeVar("T")
KEY = "OPENAI_API_KEY"
_CONNECTIONS = 512
_REPLY_BYTES = 256_000_000


def addresses_of(text: str, what: str) -> tuple[Address, ...]:
    """Those of `http://host:8000,http://other:8000`. Raises `ConfigError` and `MissingExtra`; connects to nothing.

    `what` is named in errors.
    """
    for module in ("openai", "aiohttp"):
        if importlib.util.find_spec(module) is None:
            raise MissingExtra(what, "openai")
    from harness.models.openai_client import parse_address

    found = []
    for url in text.split(","):
        try:
            address = parse_address(url)
        except ValueError as error:
            raise ConfigError(f"{what}: {str(error).replace('base_url', 'the address of a server')}") from None
        if address.userinfo is not None or address.query:
            raise ConfigError(f"{what}: an address is http://host:port; put the key into {KEY}")
        found.append(address if address.url.endswith("/v1") else parse_address(f"{address.url}/v1"))
    if len({address.url for address in found}) < len(found):
        raise ConfigError(f"{what} names a server twice")
    return tuple(found)


def is_here(address: Address) -> bool:
    """Whether it is a server of this machine."""
    try:
        return ipaddress.ip_address(address.host).is_loopback
    except ValueError:
        return address.host == "localhost"


class Server:
    """One server, as long as it is well."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self.label = endpoint.label

    async def post(self, path: str, body: Mapping[str, Json], timeout: float) -> Mapping[str, Any]:
        """The reply; a path begins with ROOT where it is beside the API and not in it. Raises `Failure`."""
        return read_object(await post(self._endpoint, path, body, timeout))

    async def models(self) -> list[Mapping[str, Any]]:
        """What it has, as it lists it; nothing if it does not say."""
        return await self._endpoint.listed()

    async def close(self) -> None:
        """Close the connections."""
        await self._endpoint.close()


class Servers:
    """Connections to some servers; they belong to one event loop."""

    def __init__(self, addresses: Sequence[Address]) -> None:
        from harness.models.openai_client import Endpoint

        key = os.environ.get(KEY, "").strip() or "not-needed"
        register_secret(key)
        self.all = [Server(Endpoint(address, key, _CONNECTIONS, _REPLY_BYTES)) for address in addresses]

    async def __aenter__(self) -> Servers:
        return self

    async def __aexit__(self, *_: object) -> None:
        for server in self.all:
            await server.close()


async def gather(work: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """What all of these give; the first error ends the others."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        return list(await asyncio.gather(*tasks))
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


def choice_of(reply: Mapping[str, Any]) -> Mapping[str, Any]:
    """The only choice of a completion. Raises `Failure`."""
    choices = reply.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(choice, dict):
        raise broken("the reply has no choices")
    return choice


def broken(message: str) -> Failure:
    """A reply that is not understood."""
    return Failure("transient", message)
