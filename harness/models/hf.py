"""`hf:<path or hub id>`: transformers models on this machine's GPU or CPU.

    harness run --suite synth --model hf:./checkpoint
    harness run --suite gsm8k --model hf:owner/name --model-arg dtype=float32

Layers of this engine: `hf_source` finds the weights and names them, `hf_load` loads them, `hf_prompt` renders messages,
`hf_decode` is the decode loop over `hf_cache`, `hf_sampling` chooses tokens, `hf_score` scores text. This file puts
them behind the `Model` protocol: one worker thread decodes, takes what callers ask between two tokens, and hands each
its completion as its row finishes. Code that comes with a checkpoint is never run (`trust_remote_code` stays off). The
checkpoint's own generation defaults (repetition penalty, top-k and the like) are not applied: sampling is exactly what
the run's spec says. A request's JSON schema is not enforced here: what reads the reply must cope. `top_logprobs` are of
the first token generated, which for a model that thinks is the first of its thoughts.
"""

from __future__ import annotations

import asyncio
import platform
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from importlib import metadata
from typing import TYPE_CHECKING, Any, TypeVar

from harness.errors import ConfigError, PrerequisiteError
from harness.hashing import short_hash
from harness.models.base import SYSTEM_FOLDED, NotBegun, Slots, import_extra, markup_identity
from harness.models.hf_prompt import read_template
from harness.models.hf_row import Row
from harness.models.hf_source import HfOptions, Source, find_source, resolve_dtype
from harness.models.under_way import UnderWay
from harness.options import parse_options
from harness.types import Completion, Json, Message, Request, TokenScores

if TYPE_CHECKING:
    from harness.models.hf_decode import Decoder

T = TypeVar("T")


def build(rest: str, options: Mapping[str, str]) -> HfModel:
    """The engine's entry; finds the model and checks its options, loads nothing.

    Raises `ConfigError`, `MissingExtra`, `PrerequisiteError` (no such checkpoint) or `ModelError` (hub).
    """
    parsed = parse_options(HfOptions, options, "hf")
    import_extra("torch", "the hf engine", "hf")
    import_extra("transformers", "the hf engine", "hf")
    return HfModel(f"hf:{rest}", find_source(rest, parsed.adapter, parsed.revision, parsed.gguf_file), parsed)


def _find_device(device: str) -> str:
    """What "auto" stands for; raises `ConfigError` for what is no device, `PrerequisiteError` for one not there."""
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device != "map":
        try:
            kind = torch.device(device).type
        except RuntimeError as error:
            raise ConfigError(
                f"option 'device' of hf must be auto, map, cpu, cuda or cuda:N, not {device!r}"
            ) from error
        if kind == "cuda" and not torch.cuda.is_available():
            raise PrerequisiteError(f"device={device} was asked for, but torch finds no GPU here: use device=cpu")
    return device


class HfModel:
    """A transformers model; weights are loaded at the first request.

    One thread decodes. Callers hand it work through a queue and await its replies; see `_between_tokens`.
    """

    continues = True

    def __init__(self, name: str, source: Source, options: HfOptions | None = None) -> None:
        """Checks that the device is there; raises `ConfigError` or `PrerequisiteError`."""
        self.name, self.source, self.options = name, source, options if options is not None else HfOptions()
        self.device = _find_device(self.options.device)
        self.dtype = resolve_dtype(self.options.dtype, on_gpu=self.device != "cpu")
        self._template = read_template(self.options.chat_template, "hf")
        self._loaded: Decoder | None = None
        self._worker = _thread()
        self._arrived: deque[Callable[[Decoder], None]] = deque()
        self._slots = Slots(sys.maxsize)  # the decoder has room for as many as it likes
        self._open: set[Future[Any]] = set()

    def describe(self) -> Mapping[str, Json]:
        """Engine, place, commit or fingerprint, dtype and template: what decides the answers."""
        options = self.options
        return {
            "engine": "hf",
            **self.source.identity(),
            "dtype": self.dtype,
            "chat_template": short_hash(self._template) if self._template is not None else options.chat_template,
            "enable_thinking": options.enable_thinking,
            "max_length": options.max_length,
            **markup_identity(options.think_markup),
            **self.source.called,
        }

    def environment(self) -> Mapping[str, Json]:
        """Library versions and device."""
        import torch

        on_gpu = self.device != "cpu"
        return {
            "torch": torch.__version__,
            "transformers": metadata.version("transformers"),
            "device": torch.cuda.get_device_name() if on_gpu else f"cpu {platform.machine()}",
            "threads": torch.get_num_threads(),
            "batch_size": self.options.batch_size,
            "batch_tokens": self.options.batch_tokens,
            **({"system_role": SYSTEM_FOLDED} if self._loaded and self._loaded.prompts.folded_system else {}),
        }

    async def answer(self, request: Request) -> Completion:
        """The completion, once its row has finished.

        Raises `ModelError` for an id that is open, and for weights that do not load: then in every caller that waits.
        """
        return await self._slots.use(request, self._answer)

    async def _answer(self, request: Request) -> Completion:
        row = Row(request, Future())
        try:
            return await self._between_tokens(row.reply, lambda decoder: decoder.add(row))
        except asyncio.CancelledError:
            if not row.started:
                raise NotBegun from None
            raise

    async def score(self, prompt: Sequence[Message], continuation: str | Sequence[int], top: int = 0) -> TokenScores:
        """Teacher forcing: one forward pass over prompt and continuation; see `harness.models.hf_score`."""
        from harness.models.hf_decode import NoRoom
        from harness.models.hf_score import score

        scores: Future[TokenScores] = Future()

        def work(decoder: Decoder) -> None:
            if scores.done():
                return
            found: TokenScores | BaseException
            try:
                found = score(decoder, tuple(prompt), continuation, top)
            except NoRoom:  # called again once the batch has gone
                raise
            except BaseException as error:  # of this caller alone, who raises it
                found = error
            if not scores.set_running_or_notify_cancel():
                return
            if isinstance(found, BaseException):
                scores.set_exception(found)
            else:
                scores.set_result(found)

        return await self._between_tokens(scores, work)

    def under_way(self) -> list[UnderWay]:
        """The rows in the batch; read beside the thread that decodes, which may be a token further."""
        return self._loaded.under_way() if self._loaded is not None else []

    async def close(self) -> None:
        """Give up what is open, drop the weights and end the worker thread; who asks again loads them anew."""
        self._arrived.clear()
        for reply in [*self._open]:
            reply.cancel()
        self._worker.shutdown(wait=True)
        self._worker = _thread()
        self._loaded = None
        if self.device != "cpu":
            import torch

            torch.cuda.empty_cache()

    def load(self) -> Decoder:
        """Load weights and tokenizer if they are not loaded yet; raises `ModelError`."""
        if self._loaded is None:
            from harness.models.hf_load import load_checkpoint

            self._loaded = load_checkpoint(self.source, self.options, self.device, self.dtype, self._template)
        return self._loaded

    async def _between_tokens(self, reply: Future[T], work: Callable[[Decoder], None]) -> T:
        """Hand work to the decoder's thread, which does it before its next token, and await the reply."""
        self._open.add(reply)
        self._arrived.append(work)
        # In the loop's next turn, so that callers who ask at once are in one batch.
        asyncio.get_running_loop().call_soon(self._wake)
        try:
            return await asyncio.wrap_future(reply)
        finally:
            self._open.discard(reply)

    def _wake(self) -> None:
        if self._arrived:
            self._worker.submit(self._work)

    def _work(self) -> None:
        """Decode until nothing is left; runs in the worker thread. What arrives meanwhile is taken by the same run."""
        if not self._arrived:
            return
        try:
            self.load().run(self._arrived)
        except BaseException as error:  # whatever it is, no caller waits for ever: all of them raise it
            self._arrived.clear()
            for reply in [*self._open]:
                if not reply.done() and reply.set_running_or_notify_cancel():
                    reply.set_exception(error)


def _thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="hf")
