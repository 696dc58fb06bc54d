"""What vLLM's workers can do beside their own: take other weights, the tied output layer included."""

from __future__ import annotations

from typing import Any


class Weights:
    """A worker extension; vLLM makes it a base of its worker."""

    model_runner: Any

    def take_weights(self, folder: str) -> None:
        """Load a checkpoint in place.

        vLLM's own reload processes a weight with the layer that loaded it. An output layer that is tied to the
        embeddings loads nothing itself, and what was made of it (on a CPU a packed copy) would stay the old one,
        without a word: it is processed once more.
        """
        from vllm.model_executor.layers.vocab_parallel_embedding import ParallelLMHead

        self.model_runner.reload_weights(weights_path=folder)
        for layer in self.model_runner.get_model().modules():
            if isinstance(layer, ParallelLMHead):
                layer.quant_method.process_weights_after_loading(layer)
