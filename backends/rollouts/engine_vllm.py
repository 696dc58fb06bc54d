"""Drawing with vLLM: a process of its own, which gets the student's weights as a checkpoint before each generation.

Weights go through a folder, in memory where there is room; the process loads them in place and drops what it has
computed with those before (`vllm_child`, `vllm_worker`). If the process dies, another one starts with the same weights
and draws everything again, of which only what is missing is handed on: completions are those of an engine that lived.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from backends.rollouts.engine import Drawn, Emit, Wanted
from backends.rollouts.engine_hf import refuse_sharded, student_of
from backends.rollouts.student_weights import weights_folder, write_weights
from harness.errors import ModelError, TrainingStopped
from harness.models.hf_load import end_tokens
from harness.models.hf_prompt import PromptRenderer
from harness.redact import one_line

if TYPE_CHECKING:
    from backends.base import Training
    from backends.rollouts.settings import RolloutSettings

COMMAND = (sys.executable, "-P", "-c", "from backends.rollouts.vllm_child import main; main()")
_PATIENCE = 20.0
"""Seconds in which the process may end by itself."""
SILENCE = {"start": 3600.0, "weights": 1800.0, "draw": 900.0}
"""Seconds without a word after which it is taken for hung: a start may compile, a draw tells that it goes on."""


class _EngineDied(Exception):
    """The process is gone or hung; says what it said last."""


class VllmEngine:
    """vLLM beside the training."""

    def __init__(
        self,
        settings: RolloutSettings,
        context: int,
        dtype: str,
        command: Sequence[str] = COMMAND,
        silence: Mapping[str, float] = SILENCE,
    ) -> None:
        """Starts nothing. `settings` must have `max_new`; `context`: most tokens of prompt and completion.

        `silence`: see `SILENCE`. Raises `ConfigError` under FSDP and ZeRO-3.
        """
        refuse_sharded()
        assert settings.max_new is not None
        self._settings, self._max_new = settings, settings.max_new
        self._context, self._dtype, self._command, self._silence = context, dtype, tuple(command), silence
        self._child: _Child | None = None
        self._place: Path | None = None
        self._weights: Path | None = None
        self._syncs = 0
        self._started: dict[str, Any] = {}
        self._prompts: PromptRenderer | None = None

    def sync(self, policy: Training, version: int) -> None:
        """Write the weights down and have them loaded. Raises `ConfigError`, `ModelError` and `TrainingStopped`."""
        if self._place is None:
            self._place = weights_folder(policy.model)
        before, self._weights = self._weights, self._place / str(self._syncs)
        write_weights(policy.model, self._weights)
        model = student_of(policy)
        self._prompts = PromptRenderer(policy.tokenizer, None, False, None)
        self._started = {
            "context": self._context,
            "dtype": self._dtype,
            "max_new": self._max_new,
            "temperature": self._settings.temperature,
            "gpu_share": self._settings.gpu_share,
            "ends": sorted(end_tokens(model, policy.tokenizer)),
        }
        if self._child is not None:
            self._ask("weights", str(self._weights), lambda reply: None)
        self._syncs += 1
        if before is not None:
            shutil.rmtree(before, ignore_errors=True)

    def draw(self, wanted: Sequence[Wanted], emit: Emit) -> None:
        """See `Engine`. Raises `ModelError` where vLLM does not start, `TrainingStopped` where it dies twice."""
        prompts = self._prompts
        assert prompts is not None
        drawn: set[int] = set()

        def take(reply: dict[str, Any]) -> None:
            number, tokens, finish = reply["number"], reply["tokens"], reply["finish"]
            if number in drawn:  # by the process before
                return
            drawn.add(number)
            text = prompts.text(tokens[:-1] if finish == "stop" else tokens)
            emit(number, Drawn(np.array(tokens, np.int32), np.array(reply["logps"], np.float32), text, finish))

        self._ask("draw", [[list(one.prompt.tokens), one.seed] for one in wanted], take)

    def close(self) -> None:
        """End the process and remove the weights."""
        self._end()
        if self._place is not None:
            shutil.rmtree(self._place, ignore_errors=True)
        self._place = self._weights = None

    def _ask(self, what: str, told: Any, take: Callable[[dict[str, Any]], None]) -> None:
        """Have something done by the process, by another one if it dies."""
        died = ""
        try:
            for _ in range(2):
                try:
                    if self._child is None:
                        self._start()
                        if what == "weights":
                            return  # it has started with them
                    assert self._child is not None
                    for reply in self._child.ask(what, told):
                        take(reply)
                    return
                except _EngineDied as error:
                    died = str(error)
                    self._end()
        except BaseException:  # it may be in the midst of an answer
            self._end()
            raise
        raise TrainingStopped(
            f"vLLM's process died twice in one generation ({died}; its own messages are above): what was drawn before "
            "is kept; run the same command again to go on, or draw with rollout.engine=hf"
        )

    def _start(self) -> None:
        assert self._weights is not None
        self._child = child = _Child(self._command, self._silence)
        try:
            for _ in child.ask("start", {"folder": str(self._weights), **self._started}):
                pass
        except _EngineDied as error:
            raise ModelError(f"vLLM does not start with the student: {error}; its own messages are above") from None

    def _end(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.end()


class _Child:
    """The process, and the line of talk with it. Nothing is waited for without a limit."""

    def __init__(self, command: Sequence[str], silence: Mapping[str, float]) -> None:
        # In a session of its own: Ctrl-C is for the training, which saves and ends the process then.
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
        assert self._process.stdin is not None and self._process.stdout is not None
        self._in, self._out, self._silence, self._read = self._process.stdin, self._process.stdout, silence, b""
        for pipe in (self._in, self._out):
            os.set_blocking(pipe.fileno(), False)

    def ask(self, what: str, told: Any) -> Iterator[dict[str, Any]]:
        """The replies to one request. Raises `_EngineDied`, also where nothing is heard for too long."""
        with suppress(BrokenPipeError):  # it is gone: why, is in what it said last
            self._tell(json.dumps({what: told}).encode() + b"\n", self._silence[what])
        while line := self._line(self._silence[what]):
            try:
                reply = json.loads(line)
            except ValueError:
                reply = {"error": "it ended within a line"}
            if "error" in reply:
                raise _EngineDied(one_line(reply["error"], 400))
            if reply.get("done"):
                return
            if "alive" not in reply:
                yield reply
        raise _EngineDied(f"exit status {self._process.wait()}")

    def _tell(self, message: bytes, patience: float) -> None:
        while message:
            if not _ready(self._in, select.POLLOUT, patience):
                raise _EngineDied(f"it takes nothing for {patience:g} s")
            message = message[os.write(self._in.fileno(), message) :]

    def _line(self, patience: float) -> bytes:
        """The next line; nothing at the end."""
        while b"\n" not in self._read:
            if not _ready(self._out, select.POLLIN, patience):
                raise _EngineDied(f"it says nothing for {patience:g} s")
            if not (more := os.read(self._out.fileno(), 1 << 16)):
                return self._read
            self._read += more
        line, _, self._read = self._read.partition(b"\n")
        return line

    def end(self) -> None:
        """End it and whatever it has started."""
        with suppress(OSError):  # it was gone, with a line unread
            self._in.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_PATIENCE)
        with suppress(ProcessLookupError):  # nobody is left
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._out.close()


def _ready(pipe: IO[bytes], event: int, patience: float) -> bool:
    poll = select.poll()
    poll.register(pipe, event)
    return bool(poll.poll(1000 * patience))
