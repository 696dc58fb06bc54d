"""What vLLM's workers can do beside their own: take other weights, the tied output layer included, and tell of them."""

from __future__ import annotations

import os
from typing import Any

PROBED = 8
"""Columns of a layer that are looked at."""


class Weights:
    """A worker extension; vLLM makes it a base of its worker."""

    model_runner: Any
    harness_folder: str | None = None
    """Whose weights this worker has taken; None: those that it started with. One that starts again has forgotten."""

    def take_weights(self, folder: str) -> None:
        """Load a checkpoint in place. Raises `RuntimeError` where a layer is then not that of the checkpoint.

        vLLM's own reload processes a weight with the layer that loaded it. An output layer that is tied to the
        embeddings loads nothing itself, and what was made of it (on a CPU a packed copy) would stay the old one,
        without a word: it is processed once more.
        """
        from vllm.model_executor.layers.vocab_parallel_embedding import ParallelLMHead

        self.harness_folder = None
        model = self.model_runner.get_model()
        self.model_runner.reload_weights(weights_path=folder)
        for layer in model.modules():
            if isinstance(layer, ParallelLMHead):
                layer.quant_method.process_weights_after_loading(layer)
        if stale := stale_layers(model, folder):
            raise RuntimeError(f"{' and '.join(stale)} of vLLM did not take the weights of {folder}")
        self.harness_folder = folder

    def harness_take(self, folder: str) -> dict[str, str | None]:
        """`take_weights` for one who asks over HTTP, where an exception says nothing: what went wrong is told."""
        if not os.path.isdir(folder):
            return {"error": f"there is no folder {folder} on the server's machine"}
        try:
            self.take_weights(folder)
        except Exception as error:  # whatever it is, the training tells it; the library raises anything
            return {"error": f"{type(error).__name__}: {error}"}
        return {"folder": self.harness_folder}

    def harness_tell(self) -> dict[str, Any]:
        """How this worker's engine is set up, and whose weights it has."""
        from vllm.platforms import current_platform

        config: Any = self.model_runner.vllm_config
        model, schedule = config.model_config, config.scheduler_config
        return {
            "folder": self.harness_folder,
            "model": model.model,
            "served": model.served_model_name,
            "vocabulary": model.get_vocab_size(),
            "width": model.get_hidden_size(),
            "dtype": str(model.dtype).removeprefix("torch."),
            "context": model.max_model_len,
            "logprobs_mode": str(getattr(model.logprobs_mode, "value", model.logprobs_mode)),
            "generation_config": model.generation_config,
            "cpu": current_platform.is_cpu(),
            "in_pieces": bool(schedule.enable_chunked_prefill),
            "at_once": schedule.max_num_batched_tokens,
        }


def stale_layers(model: Any, folder: str) -> list[str]:
    """Which of the output layer and the first layer's last projection are not a checkpoint's, to the bit.

    A layer is asked for its output where one input is 1 and the others are 0: that is a column of its weights, exactly,
    in whatever form it keeps them. In bfloat16 the noise between two engines is as large as a stale layer's error is,
    so that log-probabilities alone do not show it. A layer without such a name is not looked at.
    """
    stored = _stored(folder)
    layers = (
        ("the output layer", _head(model), ("lm_head.weight", "embed_tokens.weight")),
        ("the first layer", _down(model), ("layers.0.mlp.down_proj.weight",)),
    )
    found = []
    for what, layer, ends in layers:
        name = next((name for end in ends for name in sorted(stored) if f".{name}".endswith(f".{end}")), None)
        if hasattr(layer, "quant_method") and name is not None and not _same(layer, _read(stored[name], name)):
            found.append(what)
    return found


def _stored(folder: str) -> dict[str, str]:
    """The file of each tensor of a checkpoint."""
    from safetensors import safe_open

    found: dict[str, str] = {}
    for file in sorted(os.listdir(folder)):
        if file.endswith(".safetensors"):
            path = os.path.join(folder, file)
            with safe_open(path, framework="pt") as opened:
                found |= dict.fromkeys(opened.keys(), path)
    return found


def _read(path: str, name: str) -> Any:
    from safetensors import safe_open

    with safe_open(path, framework="pt") as opened:
        return opened.get_tensor(name)


def _head(model: Any) -> Any:
    """The output layer, which may be the embeddings themselves."""
    return next((head for layer in model.modules() if (head := getattr(layer, "lm_head", None)) is not None), None)


def _down(model: Any) -> Any:
    ends = ".layers.0.mlp.down_proj"
    return next((layer for name, layer in model.named_modules() if f".{name}".endswith(ends)), None)


def _same(layer: Any, whole: Any) -> bool:
    """Whether columns of a layer are those of a weight; of several workers each has a part of it."""
    import torch

    dtype, device = layer.weight.dtype, layer.weight.device
    shards = getattr(layer, "shard_indices", None)
    if shards is not None:  # an output layer: this worker has some rows, and padding behind them
        whole = whole[shards.org_vocab_start_index : shards.org_vocab_end_index]
    else:  # a projection: this worker reads some of the inputs
        inputs = layer.input_size_per_partition
        whole = whole[:, layer.tp_rank * inputs : (layer.tp_rank + 1) * inputs]
    columns = torch.linspace(0, whole.shape[1] - 1, min(PROBED, whole.shape[1])).long().unique()
    probe = torch.zeros(len(columns), whole.shape[1], dtype=dtype, device=device)
    probe[torch.arange(len(columns)), columns] = 1
    with torch.no_grad():
        told = layer.quant_method.apply(layer, probe)[:, : whole.shape[0]].cpu()
    return bool(torch.equal(told, whole[:, columns].T.to(told.dtype)))
