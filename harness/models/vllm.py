"""`vllm:<path or hub id>`: the vLLM engine in this process, fed continuously.

    harness run --suite math500 --model vllm:owner/name --model-arg max_model_len=34816
    harness run --suite gsm8k --model vllm:smollm2        # the embedded model

Requests are handed over as they are, up to `concurrency` at once, so that vLLM's own scheduler always has work; each
completion comes back the moment it is finished. Prompts are rendered by the same code as in the `hf` engine, and
sampling is exactly what the spec says: the checkpoint's own generation defaults do not apply. A request's JSON schema
holds the reply from its first token on, so that a model that thinks first cannot do so under one. `top_logprobs` are
of the first token generated; vLLM allows at most 20 unless told otherwise.

vLLM runs its engine in a child process that is spawned, so a script that uses this must guard its main part with
`if __name__ == "__main__":` (the `harness` command does). On a CPU set VLLM_CPU_KVCACHE_SPACE to the GiB that the
cache may take.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from importlib import metadata
from pathlib import Path
from typing import Any

from harness.errors import DataError, ModelError
from harness.hashing import short_hash
from harness.models.base import SYSTEM_FOLDED, Slots, import_extra, markup_identity
from harness.models.hf_prompt import PromptRenderer, read_template
from harness.models.hf_source import Dtype, Source, WeightsOptions, find_source
from harness.models.scoring import from_tables
from harness.models.under_way import UnderWay, last_tokens
from harness.options import parse_options
from harness.redact import one_line
from harness.types import Completion, Json, Message, Request, TokenScores

_ADAPTER_ID = 1
_OURS = ("adapter", "revision", "chat_template", "enable_thinking", "think_markup", "logprobs", "concurrency")
"""Options that are none of vLLM's own engine arguments."""


@dataclass(frozen=True, slots=True)
class VllmOptions(WeightsOptions):
    """What the vLLM engine can be told; what has no description here is vLLM's own engine argument of that name."""

    dtype: Dtype = "auto"
    """auto: what the checkpoint was saved in."""
    adapter: str | None = None
    """A LoRA adapter: folder or hub id, applied by vLLM."""
    max_model_len: int | None = None
    """Context in tokens, prompt included."""
    gpu_memory_utilization: float | None = None
    tensor_parallel_size: int | None = None
    max_num_seqs: int | None = None
    max_num_batched_tokens: int | None = None
    """Most tokens of one step, prompts included. On a CPU at least `max_model_len`: there no prompt is split."""
    quantization: str | None = None
    kv_cache_dtype: str | None = None
    enable_prefix_caching: bool | None = None
    enforce_eager: bool | None = None
    """Skip compilation and graph capture: starts sooner, runs slower."""
    max_lora_rank: int | None = None
    logprobs: bool = False
    """Record each completion's log-probability; costs some speed."""
    concurrency: int = 1024
    """Requests handed to the engine at once; of the others the longest expected goes next."""

    def __post_init__(self) -> None:
        WeightsOptions.__post_init__(self)  # super() knows no class that slots have replaced
        if self.concurrency < 1:
            raise ValueError(f"concurrency must be at least 1, not {self.concurrency}")

    def engine_arguments(self) -> dict[str, object]:
        """Those set, under vLLM's names."""
        values = {option.name: getattr(self, option.name) for option in fields(self) if option.name not in _OURS}
        return {name: value for name, value in values.items() if value is not None}


def build(rest: str, options: Mapping[str, str]) -> VllmModel:
    """The engine's entry; finds the model and checks the options, starts nothing.

    Raises `ConfigError`, `MissingExtra`, `PrerequisiteError` (no such checkpoint) or `ModelError` (hub).
    """
    parsed = parse_options(VllmOptions, options, "vllm")
    require()
    location = rest
    if rest == "smollm2" and not Path(rest).exists():
        from harness.models.smollm2 import converted, find_gguf

        location = str(converted(find_gguf()))
    return VllmModel(f"vllm:{rest}", find_source(location, parsed.adapter, parsed.revision), parsed)


def require() -> None:
    """Raise `MissingExtra` if vLLM is not installed."""
    if find_version() is None:
        import_extra("vllm", "the vllm engine", "vllm")


def find_version() -> str | None:
    """Version of the installed vLLM, under whichever name it was built; None if there is none."""
    for name in ("vllm", "vllm-cpu"):
        try:
            return f"{name} {metadata.version(name)}"
        except metadata.PackageNotFoundError:
            continue
    return None


class VllmModel:
    """A model in vLLM; the engine starts at the first request, and again in another event loop."""

    continues = True

    def __init__(self, name: str, source: Source, options: VllmOptions | None = None) -> None:
        """Reads the chat template; starts nothing. Raises `ConfigError`."""
        self.name, self.source, self.options = name, source, options if options is not None else VllmOptions()
        self._template = read_template(self.options.chat_template, "vllm")
        self._slots = Slots(self.options.concurrency)
        self._engine: Any = None  # AsyncLLM; the package is imported late
        self._start: asyncio.Task[None] | None = None
        self._closed = False
        self._prompts: PromptRenderer | None = None
        self._names = itertools.count()
        self._asked: dict[str, str] = {}
        """The engine's name of a request -> its id."""

    def describe(self) -> Mapping[str, Json]:
        """Engine, place, commit or fingerprint, number formats and template: what decides the answers."""
        options = self.options
        return {
            "engine": "vllm",
            **self.source.identity(),
            "dtype": options.dtype,
            "quantization": options.quantization,
            "kv_cache_dtype": options.kv_cache_dtype,
            "max_model_len": options.max_model_len,
            "chat_template": short_hash(self._template) if self._template is not None else options.chat_template,
            "enable_thinking": options.enable_thinking,
            **markup_identity(options.think_markup),
            **self.source.called,
        }

    def environment(self) -> Mapping[str, Json]:
        """Library versions and what changes only the speed."""
        return {
            "vllm": find_version(),
            "torch": metadata.version("torch"),
            "transformers": metadata.version("transformers"),
            "tensor_parallel_size": self.options.tensor_parallel_size,
            "enforce_eager": self.options.enforce_eager,
            **({"system_role": SYSTEM_FOLDED} if self._prompts and self._prompts.folded_system else {}),
        }

    async def answer(self, request: Request) -> Completion:
        """The completion; at most `concurrency` are in the engine at once.

        Raises `ModelError` if the engine does not start or dies, and for an id that is being answered.
        """
        return await self._slots.use(request, self._answer)

    async def score(self, prompt: Sequence[Message], continuation: str | Sequence[int], top: int = 0) -> TokenScores:
        """Prompt log-probabilities of prompt and continuation together, of which the continuation's are kept.

        Raises `DataError` for what cannot be scored, `ModelError` if the engine does not start or dies.
        """
        return await self._slots.hold(lambda: self._score(prompt, continuation, top))

    async def _score(self, prompt: Sequence[Message], continuation: str | Sequence[int], top: int) -> TokenScores:
        prompts, context = await self._started()
        # It has to have room for a token behind the continuation, though nobody wants it.
        tokens, ids = prompts.continued(prompt, continuation, context - 1)
        top = min(top, int(self._engine.model_config.get_vocab_size()))
        wanted = {"prompt_logprobs": max(top, 0), "max_tokens": 1, "temperature": 0.0, "detokenize": False}
        try:
            final = await self._run((*tokens, *ids), wanted, str(next(self._names)))
        except ValueError as error:
            raise DataError(one_line(error, 400)) from error
        tables = [{token: entry.logprob for token, entry in at.items()} for at in final.prompt_logprobs[len(tokens) :]]
        return replace(from_tables(ids, tables, top, len(tokens) + len(ids)), starts=prompts.starts(continuation))

    def under_way(self) -> list[UnderWay]:
        """The requests in the engine, with their tokens where this version of it keeps them where others did."""
        states = getattr(getattr(self._engine, "output_processor", None), "request_states", {})
        written: dict[str, list[int]] = {}
        for state in list(states.values()):
            tokens = getattr(getattr(state, "detokenizer", None), "output_token_ids", None)
            if isinstance(tokens, list):
                written[self._asked.get(getattr(state, "external_req_id", ""), "")] = tokens
        return [
            replace(one, tokens=len(written[one.id]), tail=last_tokens(written[one.id])) if one.id in written else one
            for one in self._slots.under_way()
        ]

    async def close(self) -> None:
        """Stop the engine's process, once it has started; callers that wait for that raise `ModelError`."""
        start, self._closed = self._start, True
        await _end(start)
        if self._start is start:  # else one that began meanwhile stops the engine itself
            await self._stop()

    async def _stop(self) -> None:
        if self._engine is not None:
            engine, self._engine = self._engine, None
            # Not in a thread: the loop must not run between the engine's end and that of the task that listens to it.
            engine.shutdown()
            await asyncio.sleep(0)  # lets that task see that it is cancelled
            del engine
            gc.collect()  # its destructor fails if it first runs when the process ends

    async def _started(self) -> tuple[PromptRenderer, int]:
        """What reads and writes text for the engine, and its context; starts it if it is not running in this loop."""
        loop, start = asyncio.get_running_loop(), self._start
        if start is None or start.get_loop() is not loop or self._closed:
            self._closed = False
            self._start = start = loop.create_task(self._begin(start))
        await asyncio.shield(start)  # others wait for it too
        if self._closed or self._start is not start:
            raise ModelError(f"{self.name} was closed while it started")
        assert self._prompts is not None
        return self._prompts, int(self._engine.model_config.max_model_len)

    async def _begin(self, before: asyncio.Task[None] | None) -> None:
        """Start an engine when the start before has come to its end: there is never more than one."""
        await _end(before)
        await self._stop()  # its output task belongs to a loop that has ended, or it was closed
        # In a thread: it takes from half a minute to many, and Ctrl-C must be heard.
        await asyncio.to_thread(self._load)

    def _load(self) -> None:
        """Set the engine and the renderer.

        The engine is in no local variable: imports that failed inside the library keep this frame alive in their
        tracebacks, and with it the engine, whose destructor then complains at the end of the process.
        """
        # stdout is data; the engine's workers read these too.
        os.environ.setdefault("VLLM_LOGGING_STREAM", "ext://sys.stderr")
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
        os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
        # A forked child of a process with threads can hang.
        os.environ.setdefault("VLLM_WORKER_MULTIPROC_METHOD", "spawn")
        try:
            import transformers
            from vllm.engine.arg_utils import AsyncEngineArgs
            from vllm.platforms import current_platform
            from vllm.v1.engine.async_llm import AsyncLLM

            asked = self.source.asked(self.source.tokenizer_location)
            tokenizer = transformers.AutoTokenizer.from_pretrained(**asked)
            arguments = AsyncEngineArgs(
                model=self.source.location,
                revision=self.source.revision,
                tokenizer_revision=self.source.revision,
                trust_remote_code=False,
                enable_lora=self.source.adapter is not None,
                disable_log_stats=True,
                max_logprobs=-1,  # as many as are asked for
                # On a CPU a seeded request whose prompt is prefilled in pieces ends the engine: its generator cannot
                # be set back after the pieces that draw nothing. A prompt that does not fit a step waits for the next.
                enable_chunked_prefill=False if current_platform.is_cpu() else None,
                **self.options.engine_arguments(),
            )
            self._engine = AsyncLLM.from_engine_args(arguments)
        except (OSError, ValueError, RuntimeError, ImportError, TypeError) as error:
            why = one_line(error, 400)  # its configuration says what is wrong on the second line or the third
            raise ModelError(
                f"vLLM does not start with {self.source.location!r}: {type(error).__name__}: {why}"
            ) from error
        plain = self.options.chat_template == "off"
        markup = self.options.think_markup
        self._prompts = PromptRenderer(tokenizer, self._template, plain, self.options.enable_thinking, markup)

    async def _answer(self, request: Request) -> Completion:
        prompts, context = await self._started()
        prompt = prompts.render(request.messages)
        new = prompt.room(request.max_tokens, context)
        tokens_in = len(prompt.tokens) or None
        if isinstance(new, str):
            return Completion(text="", finish="error", tokens_in=tokens_in, error=new)
        started = time.perf_counter()
        self._asked[name := str(next(self._names))] = request.id
        try:
            final = await self._run(prompt.tokens, self._sampling(request, new, prompts), name)
        except ValueError as error:
            return Completion(text="", finish="error", tokens_in=tokens_in, error=str(error).replace("\n", " "))
        finally:
            del self._asked[name]
        output = final.outputs[0] if final is not None and final.outputs else None
        if output is None or output.finish_reason not in ("stop", "length"):  # aborted: never a short answer
            reason = output.finish_reason if output is not None else "no output"
            return Completion(text="", finish="error", tokens_in=tokens_in, error=f"vLLM ended the request: {reason}")
        return Completion(
            text=_text(output, prompts, request.stop),
            finish="stop" if output.finish_reason == "stop" else "length",
            opened_think=prompt.opened_think,
            markup=self.options.think_markup,
            tokens_in=tokens_in,
            tokens_out=len(output.token_ids),
            seconds=time.perf_counter() - started,
            logprob=output.cumulative_logprob,
            alternatives=_alternatives(output.logprobs) if request.top_logprobs > 0 else None,
        )

    async def _run(self, tokens: Sequence[int], sampling: Mapping[str, Any], name: str) -> Any:
        """The last that the engine says of a prompt, `name` to it; None if it says nothing.

        Cancelled, the engine drops it.

        Raises `ModelError` if the engine dies, `ValueError` for what it does not take.
        """
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind
        from vllm.v1.engine.exceptions import EngineDeadError

        final = None
        try:
            async for output in self._engine.generate(
                {"prompt_token_ids": list(tokens)},
                SamplingParams(**sampling, output_kind=RequestOutputKind.FINAL_ONLY),
                name,
                lora_request=self._adapter(),
            ):
                final = output
        except EngineDeadError as error:
            raise ModelError(f"vLLM's engine died: {error}; its own messages are above") from error
        return final

    def _sampling(self, request: Request, max_tokens: int, prompts: PromptRenderer) -> dict[str, Any]:
        return {
            "temperature": request.temperature,
            "top_p": request.top_p,
            "max_tokens": max_tokens,
            "stop": list(request.stop) or None,
            "seed": request.seed,
            "logprobs": request.top_logprobs if request.top_logprobs > 0 else 0 if self.options.logprobs else None,
            "skip_special_tokens": prompts.left_out is None,
            "structured_outputs": _constraint(request.schema),
        }

    def _adapter(self) -> object:
        if self.source.adapter is None:
            return None
        from vllm.lora.request import LoRARequest

        return LoRARequest("adapter", _ADAPTER_ID, self.source.adapter)


async def _end(start: asyncio.Task[None] | None) -> None:
    """Wait until a start is over, however it ended: its thread cannot be stopped. One of another loop is over."""
    if start is not None and start.get_loop() is asyncio.get_running_loop():
        await asyncio.wait([start])


def _constraint(schema: Mapping[str, Json] | None) -> object:
    if schema is None:
        return None
    from vllm.sampling_params import StructuredOutputsParams

    return StructuredOutputsParams(json=dict(schema))


def _text(output: Any, prompts: PromptRenderer, stop: Sequence[str]) -> str:
    """The text of an output, the special tokens in it that are reasoning tags kept."""
    if prompts.left_out is None:
        return str(output.text)
    ended = output.finish_reason == "stop" and not isinstance(output.stop_reason, str)
    text = prompts.text(output.token_ids[:-1] if ended else output.token_ids)
    cuts = [place for sequence in stop if (place := text.find(sequence)) >= 0]
    return text[: min(cuts)] if cuts else text


def _alternatives(logprobs: Any) -> dict[str, float] | None:
    """Of the first token: vLLM gives for each position a table of token id -> (log-probability, text, rank)."""
    if not logprobs:
        return None
    found: dict[str, float] = {}
    for entry in sorted(logprobs[0].values(), key=lambda entry: -entry.logprob):
        found.setdefault(entry.decoded_token or "", entry.logprob)
    return found
