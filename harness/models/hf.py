"""`hf:<path or hub id>`: transformers models on this machine's GPU or CPU.

    harness run --suite synth --model hf:./checkpoint
    harness run --suite gsm8k --model hf:owner/name --model-arg dtype=float32

Layers of this engine: `hf_source` finds the weights and names them, `hf_load` loads them, `hf_prompt` renders messages,
`hf_decode` is the decode loop over `hf_cache`, `hf_sampling` chooses tokens. This file puts them behind the `Model`
protocol: the loop runs in a worker thread, and completions come back as their rows finish. Code that comes with a
checkpoint is never run (`trust_remote_code` stays off). The checkpoint's own generation defaults (repetition penalty,
top-k and the like) are not applied: sampling is exactly what the run's spec says. A request's JSON schema is not
enforced here: what reads the reply must cope. `top_logprobs` are of the first token generated, which for a model that
thinks is the first of its thoughts.
"""

from __future__ import annotations

import asyncio
import platform
import threading
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib import metadata
from typing import TYPE_CHECKING

from harness.errors import ConfigError, PrerequisiteError
from harness.hashing import short_hash
from harness.models.base import SYSTEM_FOLDED, AnswersOne, Stopped, import_extra, markup_identity
from harness.models.hf_prompt import read_template
from harness.models.hf_source import HfOptions, Source, find_source, resolve_dtype
from harness.options import parse_options
from harness.types import Completion, Json, Request

if TYPE_CHECKING:
    from harness.models.hf_decode import Decoded
    from harness.models.hf_load import Loaded

_Answer = tuple[Request, Completion]


def build(rest: str, options: Mapping[str, str]) -> HfModel:
    """The engine's entry; finds the model and checks its options, loads nothing.

    Raises `ConfigError`, `MissingExtra`, `PrerequisiteError` (no such checkpoint) or `ModelError` (hub).
    """
    parsed = parse_options(HfOptions, options, "hf")
    import_extra("torch", "the hf engine", "hf")
    import_extra("transformers", "the hf engine", "hf")
    return HfModel(f"hf:{rest}", find_source(rest, parsed), parsed)


@dataclass
class HfModel(AnswersOne):
    """A transformers model; weights are loaded at the first `generate`."""

    name: str
    source: Source
    options: HfOptions = field(default_factory=HfOptions)
    location: str | None = None
    """What `describe` calls the weights' place, where the real one is a cache."""

    def __post_init__(self) -> None:
        import torch

        device = self.options.device
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        if device != "map":
            try:
                kind = torch.device(device).type
            except RuntimeError as error:
                raise ConfigError(
                    f"option 'device' of hf must be auto, map, cpu, cuda or cuda:N, not {device!r}"
                ) from error
            if kind == "cuda" and not torch.cuda.is_available():
                raise PrerequisiteError(f"device={device} was asked for, but torch finds no GPU here: use device=cpu")
        self.device = device
        self.dtype = resolve_dtype(self.options.dtype, on_gpu=device != "cpu")
        self._template = read_template(self.options.chat_template, "hf")
        self._loaded: Loaded | None = None
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="hf")

    def describe(self) -> Mapping[str, Json]:
        """Engine, place, commit or fingerprint, dtype and template: what decides the answers."""
        options = self.options
        location = {} if self.location is None else {"model": self.location}
        return {
            "engine": "hf",
            **self.source.identity(),
            **location,
            "dtype": self.dtype,
            "chat_template": short_hash(self._template) if self._template is not None else options.chat_template,
            "enable_thinking": options.enable_thinking,
            "max_length": options.max_length,
            **markup_identity(options.think_markup),
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

    async def generate(self, requests: Sequence[Request]) -> AsyncGenerator[_Answer, None]:
        """Yield each request with its completion as its row finishes, the longest expected first.

        Raises `ModelError` if the weights do not load, `Stopped` when cancelled, after every row that had finished.
        Closing the iterator stops the decode loop within one token.
        """
        if not requests:
            return
        loop = asyncio.get_running_loop()
        answers: asyncio.Queue[_Answer | BaseException] = asyncio.Queue()
        cancelled = threading.Event()

        def emit(item: _Answer | BaseException) -> None:
            loop.call_soon_threadsafe(answers.put_nowait, item)

        def work() -> None:
            try:
                self._answer(requests, lambda request, completion: emit((request, completion)), cancelled.is_set)
            except BaseException as error:  # handed to the consumer, who raises it
                emit(error)

        running = loop.run_in_executor(self._worker, work)
        try:
            for _ in range(len(requests)):
                item = await answers.get()
                if isinstance(item, BaseException):
                    raise item
                yield item
        except asyncio.CancelledError:
            cancelled.set()
            await asyncio.wait([running])
            await asyncio.sleep(0)  # what the thread handed over last is in the queue now
            while not answers.empty():
                item = answers.get_nowait()
                if not isinstance(item, BaseException):
                    yield item
            raise Stopped(self._loaded.decoder.unfinished if self._loaded is not None else 0) from None
        finally:
            cancelled.set()
            await asyncio.wait([running])

    async def close(self) -> None:
        """Drop the weights and end the worker thread."""
        self._loaded = None
        self._worker.shutdown(wait=True)
        if self.device != "cpu":
            import torch

            torch.cuda.empty_cache()

    def load(self) -> Loaded:
        """Load weights and tokenizer if they are not loaded yet; raises `ModelError`."""
        if self._loaded is None:
            from harness.models.hf_load import load_checkpoint

            self._loaded = load_checkpoint(self.source, self.options, self.device, self.dtype, self._template)
        return self._loaded

    def _answer(
        self, requests: Sequence[Request], emit: Callable[[Request, Completion], None], cancelled: Callable[[], bool]
    ) -> None:
        """Render, decode, emit; runs in the worker thread."""
        from harness.models.hf_decode import Job

        loaded = self.load()
        jobs = []
        opened: dict[int, bool] = {}
        for key, request in enumerate(requests):
            if cancelled():
                return
            prompt = loaded.prompts.render(request.messages)
            new = prompt.room(request.max_tokens, loaded.context)
            if isinstance(new, str):
                emit(request, Completion(text="", finish="error", tokens_in=len(prompt.tokens) or None, error=new))
                continue
            opened[key] = prompt.opened_think
            sampling = (request.temperature, request.top_p, request.seed, request.stop, request.top_logprobs)
            jobs.append(Job(key, prompt.tokens, new, *sampling))

        def finish(decoded: Decoded) -> None:
            request = requests[decoded.job.key]
            emit(request, self._completion(decoded, opened[decoded.job.key]))

        loaded.decoder.run(jobs, finish, cancelled)

    def _completion(self, decoded: Decoded, opened_think: bool) -> Completion:
        tokens_in = len(decoded.job.prompt)
        if decoded.error is not None:
            return Completion(text="", finish="error", tokens_in=tokens_in, error=decoded.error)
        return Completion(
            text=decoded.text,
            finish=decoded.finish,
            opened_think=opened_think,
            markup=self.options.think_markup,
            tokens_in=tokens_in,
            tokens_out=decoded.tokens_out,
            seconds=decoded.seconds,
            logprob=decoded.logprob,
            alternatives=decoded.alternatives,
        )
