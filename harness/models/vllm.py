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
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from harness.errors import ModelError
from harness.hashing import short_hash
from harness.markup import parse_markup
from harness.models.base import SYSTEM_FOLDED, AnswersOne, answer_concurrently, import_extra, markup_identity
from harness.models.hf_prompt import PromptRenderer, read_template
from harness.models.hf_source import HfOptions, Source, find_source
from harness.models.hf_text import Detokenizer
from harness.options import parse_options
from harness.redact import one_line
from harness.types import Completion, Finish, Json, Request

_ADAPTER_ID = 1
_PASSED_ON = (
    *("dtype", "max_model_len", "gpu_memory_utilization", "tensor_parallel_size", "max_num_seqs"),
    "max_num_batched_tokens",
    *("quantization", "kv_cache_dtype", "enable_prefix_caching", "enforce_eager", "max_lora_rank"),
)
"""Options that are vLLM's own engine arguments."""


@dataclass(frozen=True, slots=True)
class VllmOptions:
    """What the vLLM engine can be told; what has no description here is vLLM's own engine argument of that name."""

    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """auto: what the checkpoint was saved in."""
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
    adapter: str | None = None
    """A LoRA adapter: folder or hub id, applied by vLLM."""
    max_lora_rank: int | None = None
    revision: str | None = None
    """Branch, tag or commit on the hub; recorded as the commit."""
    chat_template: str = "auto"
    """As in the `hf` engine."""
    enable_thinking: bool | None = None
    """As in the `hf` engine."""
    think_markup: str = ""
    """As in the `hf` engine."""
    logprobs: bool = False
    """Record each completion's log-probability; costs some speed."""
    concurrency: int = 1024
    """Requests handed to the engine at once; what it does not run yet waits in its queue."""

    def __post_init__(self) -> None:
        parse_markup(self.think_markup)
        if self.concurrency < 1:
            raise ValueError(f"concurrency must be at least 1, not {self.concurrency}")

    def engine_arguments(self) -> dict[str, object]:
        """Those set, under vLLM's names."""
        return {name: value for name in _PASSED_ON if (value := getattr(self, name)) is not None}


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
    source = find_source(location, HfOptions(adapter=parsed.adapter, revision=parsed.revision))
    return VllmModel(f"vllm:{rest}", source, parsed)


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


@dataclass
class VllmModel(AnswersOne):
    """A model in vLLM; the engine starts at the first `generate`."""

    name: str
    source: Source
    options: VllmOptions = field(default_factory=VllmOptions)

    def __post_init__(self) -> None:
        self._template = read_template(self.options.chat_template, "vllm")
        self._engine: Any = None  # AsyncLLM; the package is imported late
        self._loop: asyncio.AbstractEventLoop | None = None
        self._prompts: PromptRenderer | None = None
        self._detokenizer: Detokenizer | None = None
        self._names = itertools.count()

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

    async def generate(self, requests: Sequence[Request]) -> AsyncGenerator[tuple[Request, Completion], None]:
        """Yield each request with its completion as it finishes.

        Raises `ModelError` if the engine does not start or dies.
        """
        if not requests:
            return
        await self._start()
        async with aclosing(answer_concurrently(requests, self._answer, self.options.concurrency)) as answers:
            async for pair in answers:
                yield pair

    async def close(self) -> None:
        """Stop the engine's process."""
        if self._engine is not None:
            engine, self._engine = self._engine, None
            # Not in a thread: the loop must not run between the engine's end and that of the task that listens to it.
            engine.shutdown()
            await asyncio.sleep(0)  # lets that task see that it is cancelled
            del engine
            gc.collect()  # its destructor fails if it first runs when the process ends

    async def _start(self) -> None:
        loop = asyncio.get_running_loop()
        if self._engine is not None and self._loop is not loop:
            await self.close()  # the engine's output task belongs to a loop that has ended
        if self._engine is None:
            # In a thread: it takes from half a minute to many, and Ctrl-C must be heard.
            await asyncio.to_thread(self._load)
            self._loop = loop

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

            location, revision = self.source.tokenizer_location
            tokenizer = transformers.AutoTokenizer.from_pretrained(location, revision=revision, trust_remote_code=False)
            arguments = AsyncEngineArgs(
                model=self.source.location,
                revision=self.source.revision,
                tokenizer_revision=self.source.revision,
                trust_remote_code=False,
                enable_lora=self.source.adapter is not None,
                disable_log_stats=True,
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
        self._detokenizer = Detokenizer(tokenizer, markup)

    async def _answer(self, request: Request) -> Completion:
        from vllm.v1.engine.exceptions import EngineDeadError

        assert self._prompts is not None and self._engine is not None
        prompt = self._prompts.render(request.messages)
        new = prompt.room(request.max_tokens, int(self._engine.model_config.max_model_len))
        tokens_in = len(prompt.tokens) or None
        if isinstance(new, str):
            return Completion(text="", finish="error", tokens_in=tokens_in, error=new)
        started = time.perf_counter()
        final = None
        try:
            outputs = self._engine.generate(
                {"prompt_token_ids": list(prompt.tokens)},
                self._sampling(request, new),
                f"{request.id}/{next(self._names)}",
                lora_request=self._adapter(),
            )
            async for output in outputs:
                final = output
        except EngineDeadError as error:
            raise ModelError(f"vLLM's engine died: {error}; its own messages are above") from error
        except ValueError as error:
            return Completion(text="", finish="error", tokens_in=tokens_in, error=str(error).replace("\n", " "))
        seconds = time.perf_counter() - started
        done = _completion(final, tokens_in, seconds, with_top=request.top_logprobs > 0)
        if final is None or done.finish == "error":
            return done
        text = self._with_tags(final.outputs[0], request.stop)
        return replace(done, text=text, opened_think=prompt.opened_think, markup=self.options.think_markup)

    def _with_tags(self, output: Any, stop: Sequence[str]) -> str:
        """The text of an output, the special tokens in it that are reasoning tags kept."""
        assert self._detokenizer is not None
        if not self._detokenizer.keeps_tags:
            return str(output.text)
        ended = output.finish_reason == "stop" and not isinstance(output.stop_reason, str)
        text = self._detokenizer.text(output.token_ids[:-1] if ended else output.token_ids)
        cuts = [place for sequence in stop if (place := text.find(sequence)) >= 0]
        return text[: min(cuts)] if cuts else text

    def _sampling(self, request: Request, max_tokens: int) -> object:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        logprobs = request.top_logprobs if request.top_logprobs > 0 else 0 if self.options.logprobs else None
        return SamplingParams(
            temperature=request.temperature,
            top_p=request.top_p,
            max_tokens=max_tokens,
            stop=list(request.stop) or None,
            seed=request.seed,
            logprobs=logprobs,
            skip_special_tokens=self._detokenizer is None or not self._detokenizer.keeps_tags,
            structured_outputs=_constraint(request.schema),
            output_kind=RequestOutputKind.FINAL_ONLY,
        )

    def _adapter(self) -> object:
        if self.source.adapter is None:
            return None
        from vllm.lora.request import LoRARequest

        return LoRARequest("adapter", _ADAPTER_ID, self.source.adapter)


def _constraint(schema: Mapping[str, Json] | None) -> object:
    if schema is None:
        return None
    from vllm.sampling_params import StructuredOutputsParams

    return StructuredOutputsParams(json=dict(schema))


def _completion(final: Any, tokens_in: int | None, seconds: float, *, with_top: bool) -> Completion:
    """A finished output of vLLM's as a completion; an aborted one is an error, never a short answer."""
    output = final.outputs[0] if final is not None and final.outputs else None
    if output is None or output.finish_reason not in ("stop", "length"):
        reason = output.finish_reason if output is not None else "no output"
        return Completion(text="", finish="error", tokens_in=tokens_in, error=f"vLLM ended the request: {reason}")
    finish: Finish = "stop" if output.finish_reason == "stop" else "length"
    return Completion(
        text=output.text,
        finish=finish,
        tokens_in=tokens_in,
        tokens_out=len(output.token_ids),
        seconds=seconds,
        logprob=output.cumulative_logprob,
        alternatives=_alternatives(output.logprobs) if with_top else None,
    )


def _alternatives(logprobs: Any) -> dict[str, float] | None:
    """Of the first token: vLLM gives for each position a table of token id -> (log-probability, text, rank)."""
    if not logprobs:
        return None
    found: dict[str, float] = {}
    for entry in sorted(logprobs[0].values(), key=lambda entry: -entry.logprob):
        found.setdefault(entry.decoded_token or "", entry.logprob)
    return found
