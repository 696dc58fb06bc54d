"""The process in which vLLM draws: lines of JSON in, lines of JSON out. `backends.rollouts.engine_vllm` starts it.

    {"start": {"folder": …, "context": …, "dtype": …, "max_new": …, "temperature": …, "ends": […], "gpu_share": …}}
        ->  {"done": true}
    {"weights": folder}
        ->  {"done": true}
    {"draw": [[prompt ids, seed], …]}
        ->  {"number": 0, "tokens": […], "logps": […], "finish": "stop"}, …, {"done": true}

While it draws, {"alive": true} now and then: one that says nothing at all is taken for hung. The engine runs within
this process, so that none is left when it ends; and it ends, whatever becomes of the training, when nothing can be read
any more. What fails is one line {"error": …}, and the end.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROWS = 256
"""Completions drawn at once."""
_PREFILLED = 8192
"""Tokens of prompts that are read in one step, at least."""
BEAT = 5.0
"""Seconds without a completion after which a draw says that it goes on."""


def main() -> None:
    """Answer until there is nothing to read. What libraries print goes to the log: replies have a pipe of their own."""
    out = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def reply(message: dict[str, Any]) -> None:
        out.write(json.dumps(message) + "\n")
        out.flush()

    folder: Path | None = None
    draws: VllmDraws | None = None
    try:
        for line in sys.stdin:
            ((what, told),) = json.loads(line).items()
            if what == "start":
                folder = Path(told["folder"]).parent
                draws = VllmDraws(**told)
            assert draws is not None
            if what == "weights":
                draws.take(told)
            elif what == "draw":
                for found in draws.draw(told):
                    reply(found)
            reply({"done": True})
    except BrokenPipeError:
        pass  # nobody listens
    except Exception as error:  # whatever it is, the training tells it; the libraries raise anything
        reply({"error": f"{type(error).__name__}: {error}"})
        raise
    if folder is not None:  # the training is gone, and one that was killed removes nothing
        shutil.rmtree(folder, ignore_errors=True)


class VllmDraws:
    """vLLM with one student's weights."""

    def __init__(
        self, folder: str, context: int, dtype: str, max_new: int, temperature: float, ends: list[int], gpu_share: float
    ) -> None:
        """Starts the engine with the weights of a folder; `ends` are the tokens that end a completion.

        `gpu_share`: of a GPU's memory; the student that is trained has the rest.
        """
        for name, value in (
            ("VLLM_LOGGING_STREAM", "ext://sys.stderr"),
            ("VLLM_LOGGING_LEVEL", "WARNING"),
            ("VLLM_NO_USAGE_STATS", "1"),
            ("VLLM_CPU_KVCACHE_SPACE", "1"),
        ):
            os.environ.setdefault(name, value)
        os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
        from vllm import EngineArgs, LLMEngine
        from vllm.platforms import current_platform

        cpu = current_platform.is_cpu()
        arguments = EngineArgs(
            model=folder,
            skip_tokenizer_init=True,  # tokens in, tokens out
            generation_config="vllm",  # nothing of the checkpoint's own
            dtype=dtype,
            max_model_len=context,
            max_num_seqs=ROWS,
            max_num_batched_tokens=max(context, _PREFILLED),
            # On a CPU a seeded request whose prompt is read in pieces ends the engine: one that does not fit waits.
            enable_chunked_prefill=False if cpu else None,
            enforce_eager=cpu,
            gpu_memory_utilization=gpu_share,
            logprobs_mode="processed_logprobs",  # at the sampling temperature
            worker_extension_cls="backends.rollouts.vllm_worker.Weights",
            disable_log_stats=True,
        )
        self._engine: Any = LLMEngine.from_engine_args(arguments)
        self._sampling = {"temperature": temperature, "max_tokens": max_new, "stop_token_ids": ends}
        self._asked = 0

    def take(self, folder: str) -> None:
        """Other weights; nothing that was computed with the ones before is used again."""
        self._engine.collective_rpc("take_weights", args=(folder,))
        if not self._engine.reset_prefix_cache():
            raise RuntimeError("vLLM keeps keys and values of the weights before")

    def draw(self, rows: list[tuple[list[int], int]]) -> Iterator[dict[str, Any]]:
        """Each completion as it finishes, and signs of life between them."""
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        numbers: dict[str, int] = {}
        for number, (tokens, seed) in enumerate(rows):
            sampling = SamplingParams(
                **self._sampling,
                seed=seed,
                logprobs=0,
                ignore_eos=True,  # the ends are told
                detokenize=False,
                output_kind=RequestOutputKind.FINAL_ONLY,
            )
            name = str(self._asked)
            self._engine.add_request(name, {"prompt_token_ids": tokens}, sampling)
            numbers[name] = number
            self._asked += 1
        said = time.monotonic()
        while self._engine.has_unfinished_requests():
            for output in self._engine.step():
                if output.finished:
                    yield _row(numbers[output.request_id], output.outputs[0])
                    said = time.monotonic()
            if time.monotonic() - said > BEAT:
                yield {"alive": True}
                said = time.monotonic()


def _row(number: int, output: Any) -> dict[str, Any]:
    if output.finish_reason not in ("stop", "length"):
        raise RuntimeError(f"vLLM ended a request: {output.finish_reason}")
    tokens = list(output.token_ids)
    logps = [at[token].logprob for token, at in zip(tokens, output.logprobs, strict=True)]
    return {"number": number, "tokens": tokens, "logps": logps, "finish": output.finish_reason}
