"""Loading a transformers checkpoint: weights, tokenizer, adapter; and how large a batch the memory allows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers

from harness.errors import BrokenModel, HarnessError, ModelError
from harness.models.hf_attention import use_grouped_attention
from harness.models.hf_cache import SlotCache
from harness.models.hf_decode import Decoder
from harness.models.hf_prompt import PromptRenderer
from harness.models.hf_saving import savable
from harness.models.hf_source import HfOptions, Source
from harness.models.hf_weights import check_finite, check_fit, check_vocabulary, load_weights

_CPU_ROWS = 32
_GPU_ROWS = 128


def load_checkpoint(source: Source, options: HfOptions, device: str, dtype: str, template: str | None) -> Decoder:
    """Load what `find_source` found; raises `ModelError` with the library's reason."""
    with _loading(source):
        tokenizer = _read_tokenizer(source)
        model = load_weights(source, "map" if device == "map" else "cpu", getattr(torch, dtype))
        check_vocabulary(source, model.get_input_embeddings().weight.shape[0], tokenizer)
        model = _prepared(model, device)
        check_finite(source, model)
    text_config = model.config.get_text_config()
    own = getattr(text_config, "max_position_embeddings", None)
    context = min(own, options.max_length) if own and options.max_length else options.max_length or own
    rows = options.batch_size or default_rows(model.device.type)
    columns = options.batch_tokens or columns_in_memory(text_config, model)
    plain = options.chat_template == "off"
    known = model.get_input_embeddings().weight.shape[0]
    prompts = PromptRenderer(tokenizer, template, plain, options.enable_thinking, options.think_markup, known)
    return Decoder(model, prompts, end_tokens(model, tokenizer), rows, columns, context)


def load_for_training(source: Source, dtype: torch.dtype | str) -> tuple[Any, Any]:
    """(model, tokenizer) of a source on the CPU, adapters merged, as the library has them; raises `ModelError`."""
    with _loading(source):
        model, tokenizer = load_weights(source, "cpu", dtype), _read_tokenizer(source)
        check_vocabulary(source, model.get_input_embeddings().weight.shape[0], tokenizer)
        for parameter in model.parameters():  # merging an adapter leaves its base frozen
            if parameter.is_floating_point():
                parameter.requires_grad_(True)
        model.generation_config, _ = savable(model.generation_config)  # else it could not be saved again
        return model, tokenizer


def check_loads(source: Source) -> None:
    """Raises the `ModelError` that loading would end in, by names and shapes alone; needs no memory for the weights."""
    with _loading(source):
        check_fit(source, _read_tokenizer(source))


@contextmanager
def _loading(source: Source) -> Iterator[None]:
    """Turn whatever the libraries raise for files that they cannot read into a `ModelError`.

    Their readers raise types of their own, and tokenizers a bare Exception. What a local folder raises is the fault of
    its files; of the hub it can be the network.
    """
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    try:
        yield
    except (HarnessError, MemoryError):
        raise
    except Exception as error:
        first = str(error).strip().partition("\n")[0]
        ours = Path(source.location).is_dir() and not isinstance(error, ImportError)
        kind = BrokenModel if ours else ModelError
        over = f" with the adapter {source.adapter!r}" if source.adapter is not None else ""
        raise kind(f"{source.location!r}{over} does not load: {type(error).__name__}: {first}") from error


def load_tokenizer(source: Source) -> Any:
    """The tokenizer alone, for looking at data before any weights are loaded; raises `ModelError`."""
    with _loading(source):
        return _read_tokenizer(source)


def load_config(source: Source) -> Any:
    """The model's config alone, as transformers has it; raises `ModelError`."""
    with _loading(source):
        return transformers.AutoConfig.from_pretrained(**source.asked())


def _read_tokenizer(source: Source) -> Any:
    return transformers.AutoTokenizer.from_pretrained(**source.asked(source.tokenizer_location))


def _prepared(model: Any, device: str) -> Any:
    """A model ready to generate."""
    model.eval()
    text_config = model.config.get_text_config()
    if getattr(text_config, "output_router_logits", False):  # as some trainers save it: nobody reads them here
        text_config.output_router_logits = False
    if SlotCache.fits(model.config):
        use_grouped_attention(model)
    return model if device == "map" else model.to(device)


def default_rows(device: str) -> int:
    """How many completions are decoded at a time on a kind of device where nobody says."""
    return _CPU_ROWS if device == "cpu" else _GPU_ROWS


def load_ends(source: Source, tokenizer: Any) -> frozenset[int]:
    """`end_tokens` without the weights; raises `ModelError`."""
    with _loading(source):
        try:
            config = transformers.GenerationConfig.from_pretrained(source.location, revision=source.revision)
        except OSError:  # no such file: as transformers does it
            config = transformers.GenerationConfig.from_model_config(load_config(source))
        return _ends(config, tokenizer)


def end_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    """Every token that ends a reply: the generation config's list and the tokenizer's own."""
    return _ends(model.generation_config, tokenizer)


def _ends(config: Any, tokenizer: Any) -> frozenset[int]:
    ends: set[int] = set()
    for value in (config.eos_token_id, tokenizer.eos_token_id):
        if isinstance(value, int):
            ends.add(value)
        elif value is not None:
            ends.update(value)
    return frozenset(ends)


def columns_in_memory(config: Any, model: Any) -> int:
    """How many tokens' keys and values fit: 80 % of the GPU's free memory, or a quarter of the machine's."""
    if model.device.type == "cuda":
        budget = int(0.8 * sum(torch.cuda.mem_get_info(i)[0] for i in _devices(model)))
    else:
        budget = _available_memory() // 4
    return max(1, budget // (cached_numbers(config) * int(model.dtype.itemsize)))


def cached_numbers(config: Any) -> int:
    """Keys and values of one token."""
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return 2 * int(config.num_hidden_layers) * int(heads) * int(size)


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
