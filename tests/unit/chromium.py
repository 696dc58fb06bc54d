"""A headless Chromium for tests of pages, spoken to over its own debugging protocol: no driver, no package."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp

BINARY = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
_FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-port=0")
_PATIENCE = 60.0


class Page:
    """One tab; what it asked of the network and what its console said are kept."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, loop: asyncio.AbstractEventLoop) -> None:
        self._socket, self._loop, self._number = socket, loop, 0
        self.requests: list[str] = []
        self.errors: list[str] = []

    async def close(self) -> None:
        """End the connection."""
        await self._socket.close()

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of the protocol and its result."""
        return self._loop.run_until_complete(asyncio.wait_for(self._call(method, parameters), _PATIENCE))

    async def _call(self, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
        self._number += 1
        await self._socket.send_json({"id": self._number, "method": method, "params": parameters})
        while True:
            said = json.loads((await self._socket.receive()).data)
            if said.get("id") == self._number:
                assert "error" not in said, said["error"]
                return dict(said["result"])
            self._note(said.get("method"), said.get("params", {}))

    def _note(self, method: str | None, facts: dict[str, Any]) -> None:
        if method == "Network.requestWillBeSent":
            self.requests.append(facts["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            self.errors.append(str(facts["exceptionDetails"]))
        elif method == "Log.entryAdded":
            self.errors.append(facts["entry"]["text"])

    def run(self, script: str) -> Any:
        """The value of an expression in the page, awaited if it is a promise."""
        done = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in done, done
        return done["result"].get("value")

    def wait(self, condition: str) -> None:
        """Until an expression is true."""
        end = time.monotonic() + _PATIENCE
        while not self.run(condition):
            assert time.monotonic() < end, f"never came true: {condition}"
            time.sleep(0.02)

    def open(self, path: Path, fragment: str = "") -> None:
        """A file from disk, as a person opens it, until its script has drawn it."""
        self.call("Page.navigate", url="about:blank")
        self.call("Page.navigate", url=path.resolve().as_uri() + fragment)
        self.wait("document.documentElement?.dataset.ready === 'yes'")

    def press(self, *keys: str) -> None:
        """Keys, one after the other."""
        for key in keys:
            text = {"text": key} if len(key) == 1 else {}
            self.call("Input.dispatchKeyEvent", type="keyDown", key=key, **text)
            self.call("Input.dispatchKeyEvent", type="keyUp", key=key)

    def screenshot(self, path: Path) -> None:
        """What is in sight, as PNG."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))


@contextmanager
def browser(folder: Path, size: str = "1400,1000") -> Iterator[Page]:
    """A browser with one tab, its profile in this folder; ended with the block."""
    assert BINARY is not None
    command = [BINARY, *_FLAGS, f"--window-size={size}", f"--user-data-dir={folder}", "about:blank"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ})
    loop = asyncio.new_event_loop()
    session = None
    try:
        port = folder / "DevToolsActivePort"
        end = time.monotonic() + _PATIENCE
        while not port.exists() or len(port.read_text().splitlines()) < 2:
            assert time.monotonic() < end and process.poll() is None, "the browser does not start"
            time.sleep(0.05)
        session, page = loop.run_until_complete(_attach(port.read_text().splitlines()[0], loop))
        for domain in ("Page", "Runtime", "Network", "Log"):
            page.call(f"{domain}.enable")
        yield page
    finally:
        if session is not None:
            loop.run_until_complete(page.close())
            loop.run_until_complete(session.close())
        loop.close()
        process.terminate()
        process.wait(timeout=_PATIENCE)


async def _attach(port: str, loop: asyncio.AbstractEventLoop) -> tuple[aiohttp.ClientSession, Page]:
    session = aiohttp.ClientSession()
    async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
        tabs = await answer.json(content_type=None)
    address = next(tab["webSocketDebuggerUrl"] for tab in tabs if tab["type"] == "page")
    return session, Page(await session.ws_connect(address, max_msg_size=0), loop)
