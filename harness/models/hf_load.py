"""Loading a transformers checkpoint: weights, tokenizer, adapter; and how large a batch the memory allows."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import SafetensorError

from harness.errors import ModelError
from harness.models.hf_attention import use_grouped_attention
from harness.models.hf_cache import SlotCache
from harness.models.hf_decode import Decoder
from harness.models.hf_prompt import PromptRenderer
from harness.models.hf_saving import savable
from harness.models.hf_source import HfOptions, Source

_UNLOADABLE = (
    OSError, ValueError, ImportError, KeyError, RuntimeError, AssertionError, SafetensorError, pickle.UnpicklingError
)  # fmt: skip
"""What the libraries raise for a checkpoint that is torn, of another kind, or for a newer release of theirs."""
_CPU_ROWS = 32
_GPU_ROWS = 128


@dataclass(frozen=True)
class Loaded:
    """A model that is ready to answer."""

    decoder: Decoder
    prompts: PromptRenderer
    context: int | None
    """Most tokens of prompt and reply together; None if the model has no limit."""


def load_checkpoint(source: Source, options: HfOptions, device: str, dtype: str, template: str | None) -> Loaded:
    """Load what `find_source` found; raises `ModelError` with the library's reason."""
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    try:
        tokenizer = _read_tokenizer(source)
        model = _prepared(_load_weights(source, device, getattr(torch, dtype)), device)
    except _UNLOADABLE as error:
        raise _unloadable(source, error) from error
    text_config = model.config.get_text_config()
    own = getattr(text_config, "max_position_embeddings", None)
    context = min(own, options.max_length) if own and options.max_length else options.max_length or own
    rows = options.batch_size or (_CPU_ROWS if model.device.type == "cpu" else _GPU_ROWS)
    columns = options.batch_tokens or _columns_in_memory(text_config, model)
    decoder = Decoder(model, tokenizer, _end_tokens(model, tokenizer), rows, columns, options.think_markup)
    plain = options.chat_template == "off"
    prompts = PromptRenderer(tokenizer, template, plain, options.enable_thinking, options.think_markup)
    return Loaded(decoder, prompts, context)


def load_for_training(source: Source, dtype: torch.dtype | str) -> tuple[Any, Any]:
    """(model, tokenizer) of a source on the CPU, adapters merged, as the library has them; raises `ModelError`."""
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    try:
        model = _load_weights(source, "cpu", dtype)
        for parameter in model.parameters():  # merging an adapter leaves its base frozen
            if parameter.is_floating_point():
                parameter.requires_grad_(True)
        model.generation_config, _ = savable(model.generation_config)  # else it could not be saved again
        return model, _read_tokenizer(source)
    except _UNLOADABLE as error:
        raise _unloadable(source, error) from error


def _unloadable(source: Source, error: Exception) -> ModelError:
    first = str(error).strip().partition("\n")[0]
    return ModelError(f"{source.location!r} does not load: {type(error).__name__}: {first}")


def load_tokenizer(source: Source) -> Any:
    """The tokenizer alone, for looking at data before any weights are loaded; raises `ModelError`."""
    try:
        return _read_tokenizer(source)
    except _UNLOADABLE as error:
        raise _unloadable(source, error) from error


def load_config(source: Source) -> Any:
    """The model's config alone, as transformers has it; raises `ModelError`."""
    more = {"gguf_file": source.gguf_file} if source.gguf_file is not None else {}
    try:
        return transformers.AutoConfig.from_pretrained(
            source.location, revision=source.revision, trust_remote_code=False, **more
        )
    except _UNLOADABLE as error:
        raise _unloadable(source, error) from error


def _read_tokenizer(source: Source) -> Any:
    location, revision = source.tokenizer_location
    more = {"gguf_file": source.gguf_file} if source.gguf_file is not None and location == source.location else {}
    return transformers.AutoTokenizer.from_pretrained(location, revision=revision, trust_remote_code=False, **more)


def _load_weights(source: Source, device: str, dtype: torch.dtype | str) -> Any:
    more: dict[str, Any] = {"device_map": "auto"} if device == "map" else {}
    if source.gguf_file is not None:
        more["gguf_file"] = source.gguf_file
        more["quantization_config"] = transformers.GgufConfig(dequantize=True)
    model, report = transformers.AutoModelForCausalLM.from_pretrained(
        source.location,
        revision=source.revision,
        dtype=dtype,
        trust_remote_code=False,
        output_loading_info=True,
        **more,
    )
    missing = sorted(report["missing_keys"])
    if missing:
        # The library only warns and fills them with noise, and the noise would be scored.
        raise ValueError(f"{len(missing)} weights are missing from the checkpoint, the first is {missing[0]!r}")
    for adapter in source.earlier_adapters:
        model = _merge_adapter(model, adapter, None)
    if source.adapter is not None:
        model = _merge_adapter(model, source.adapter, source.adapter_revision)
    return model


def _prepared(model: Any, device: str) -> Any:
    """A model ready to generate."""
    model.eval()
    text_config = model.config.get_text_config()
    if getattr(text_config, "output_router_logits", False):  # as some trainers save it: nobody reads them here
        text_config.output_router_logits = False
    if SlotCache.fits(model.config):
        use_grouped_attention(model)
    return model if device == "map" else model.to(device)


def _merge_adapter(model: Any, adapter: str, revision: str | None) -> Any:
    import peft

    return peft.PeftModel.from_pretrained(model, adapter, revision=revision).merge_and_unload()


def _end_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    """Every token that ends a reply: the generation config's list and the tokenizer's own."""
    ends: set[int] = set()
    for value in (model.generation_config.eos_token_id, tokenizer.eos_token_id):
        if isinstance(value, int):
            ends.add(value)
        elif value is not None:
            ends.update(value)
    return frozenset(ends)


def _columns_in_memory(config: Any, model: Any) -> int:
    """How many tokens' keys and values fit: 80 % of the GPU's free memory, or a quarter of the machine's."""
    if model.device.type == "cuda":
        budget = int(0.8 * sum(torch.cuda.mem_get_info(i)[0] for i in _devices(model)))
    else:
        budget = _available_memory() // 4
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    per_token = 2 * int(config.num_hidden_layers) * int(heads) * int(size) * int(model.dtype.itemsize)
    return max(1, budget // per_token)


def _devices(model: Any) -> list[int]:
    return sorted({parameter.device.index for parameter in model.parameters() if parameter.device.type == "cuda"})


def _available_memory() -> int:
    """Bytes the machine can still give; 4 GiB where the system does not say."""
    try:
        for line in Path("/proc/meminfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 4 << 30
