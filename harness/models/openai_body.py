"""Reading the body of a server's reply within bounds: whatever it holds, packed or not, it costs so much and no more.

Bodies are unpacked here in small steps, so that the time-out of a request is heard between them, and counted unpacked:
3 MB of gzip can be 9 GB of text. The hook `bound` puts this under the `openai` client, for errors as for replies.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import httpx2

from harness.models.openai_reply import Failure
from harness.redact import one_line

ACCEPTED = "gzip, deflate"
"""What a server may pack its replies with."""
ERROR_BYTES = 64 * 1024
"""What is read of an error's body; its message is in there, or nowhere."""
_STEP = 1 << 20
_DIGITS = 16
_PLAIN = ("", "identity")


def bound(max_bytes: int) -> Callable[[httpx2.Response], Awaitable[None]]:
    """A response hook for the HTTP client: a reply of more than `max_bytes` raises `Failure`, an error is cut."""

    async def hook(response: httpx2.Response) -> None:
        headers, failed = response.headers, not response.is_success
        coding = headers.get("content-encoding", "").strip().lower()
        limit = ERROR_BYTES if failed else max_bytes
        length = headers.get("content-length", "")
        # The transport reads no more than a length that was announced: the usual reply costs nothing here.
        known = length.isdigit() and len(length) < _DIGITS and "transfer-encoding" not in headers
        if coding in _PLAIN and known and int(length) <= limit:
            return
        stream = response.stream
        assert isinstance(stream, httpx2.AsyncByteStream)
        headers.pop("content-encoding", None)  # unpacked here, not by the client
        response.stream = BoundedStream(stream, coding, limit, cut=failed)

    return hook


class BoundedStream(httpx2.AsyncByteStream):
    """The unpacked bytes of a body."""

    def __init__(self, inner: httpx2.AsyncByteStream, coding: str, limit: int, *, cut: bool) -> None:
        """At `limit` bytes the body is cut, or (`cut` False) a failure of its request."""
        self._inner, self._coding, self._limit, self._cut = inner, coding, limit, cut

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Raises `Failure` for a body that is too large or cannot be unpacked; an error's body ends there."""
        left = self._limit
        try:
            unpack = None if self._coding in _PLAIN else _unpacker(self._coding)
            async for chunk in self._inner:
                for piece in unpack(chunk) if unpack is not None else (chunk,):
                    if len(piece) > left:
                        yield piece[:left]
                        raise _too_large(self._limit)
                    left -= len(piece)
                    yield piece
                    if len(piece) == _STEP:
                        await asyncio.sleep(0)  # a time-out is heard here
        except Failure:
            if not self._cut:
                raise

    async def aclose(self) -> None:
        """Release the connection."""
        await self._inner.aclose()


def _too_large(limit: int) -> Failure:
    return Failure(
        "rejected",
        f"the reply is larger than {limit / 1e6:g} MB unpacked: no answer of a model is; if it must be read, raise "
        "max_reply_mb",
        blames_endpoint=False,
    )


def _unpacker(coding: str) -> Callable[[bytes], Iterator[bytes]]:
    """A function from packed chunks to unpacked pieces of at most `_STEP` bytes; raises `Failure` (see below)."""
    if coding not in ("gzip", "x-gzip", "deflate"):
        raise Failure("transient", f"the reply is packed with {one_line(coding, 40)!r}, which was not asked for")
    unpacking: zlib._Decompress | None = None

    def unpack(chunk: bytes) -> Iterator[bytes]:
        """Raises `Failure` if the chunk is not what its header says."""
        nonlocal unpacking
        try:
            while chunk:
                if unpacking is None or unpacking.eof:  # several members in a row are one body
                    unpacking = zlib.decompressobj(_window(coding, chunk))
                piece = unpacking.decompress(chunk, _STEP)
                chunk = unpacking.unconsumed_tail
                while piece:
                    yield piece
                    piece = unpacking.decompress(chunk, _STEP) if chunk or len(piece) == _STEP else b""
                    chunk = unpacking.unconsumed_tail
                chunk = chunk or unpacking.unused_data
        except zlib.error as error:
            raise Failure("transient", f"the reply's packing is broken ({one_line(error, 80)})") from None

    return unpack


def _window(coding: str, first: bytes) -> int:
    """The `wbits` of zlib: of "deflate", servers send both the wrapped and the bare kind."""
    if coding != "deflate":
        return 16 + zlib.MAX_WBITS
    return zlib.MAX_WBITS if first[0] & 0x0F == 8 else -zlib.MAX_WBITS
