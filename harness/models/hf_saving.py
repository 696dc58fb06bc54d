"""Whether a model can be written again once it was trained: tried before anything is spent.

The library reads a generation_config.json that contradicts itself (a temperature beside `do_sample: false`) with a
warning and refuses to write it, which is noticed when a training is over. What contradicts is dropped here: it changes
no weights, and evaluation never reads it. A config or tokenizer that cannot be written is an error of the plan.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import transformers

from harness.errors import ModelError
from harness.models.hf_source import Source

_FIRST = (
    "eos_token_id", "bos_token_id", "pad_token_id", "do_sample", "num_beams", "use_cache", "return_dict_in_generate"
)  # fmt: skip
"""What the others depend on: kept where one of two must go."""


def savable(config: Any) -> tuple[Any, list[str]]:
    """(generation config that the library will write, "name=value" of what had to be dropped for that)."""
    if _valid(config):
        return config, []
    given = {name: value for name, value in config.to_diff_dict().items() if value is not None}
    kept: dict[str, Any] = {}
    dropped = []
    for name in sorted(given, key=lambda name: (name not in _FIRST, name)):
        if name == "transformers_version":
            continue
        if _valid_values({**kept, name: given[name]}):
            kept[name] = given[name]
        else:
            dropped.append(f"{name}={given[name]}")
    return transformers.GenerationConfig(**kept), dropped


def _valid(config: Any) -> bool:
    try:
        config.validate(strict=True)
    except (ValueError, TypeError):
        return False
    return True


def _valid_values(values: dict[str, Any]) -> bool:
    try:
        return _valid(transformers.GenerationConfig(**values))
    except (ValueError, TypeError):
        return False


def rehearse_saving(source: Source, tokenizer: Any, *, whole: bool) -> list[str]:
    """Write all but the weights of a model to a folder that is thrown away; returns what is to be said of it.

    `whole`: config and generation config will be written too, as they are not with an adapter. Raises `ModelError`
    saying what cannot be written, or read.
    """
    transformers.utils.logging.set_verbosity_error()
    notes: list[str] = []
    what = "tokenizer"
    try:
        with tempfile.TemporaryDirectory() as folder:
            tokenizer.save_pretrained(folder)
            if not whole:
                return notes
            what = "config"
            config = transformers.AutoConfig.from_pretrained(**source.asked())
            config.save_pretrained(folder)
            what = "generation config"
            generation, dropped = savable(_generation_config(source))
            generation.save_pretrained(folder)
    except Exception as error:  # foreign code and files: whatever it raises now, it would raise after the training
        first = str(error).strip().partition("\n")[0]
        raise ModelError(
            f"a model trained from {source.location!r} could not be saved: its {what} cannot be read and written "
            f"({type(error).__name__}: {first}): correct the base's files"
        ) from error
    if dropped:
        notes.append(
            f"the base's generation_config.json contradicts itself and could not be saved: {', '.join(dropped)} is "
            "left out of the trained model's"
        )
    return notes


def _generation_config(source: Source) -> Any:
    """What the base brings; the library's defaults where it has no such file."""
    if source.gguf_file is not None:
        return transformers.GenerationConfig()
    try:
        return transformers.GenerationConfig.from_pretrained(source.location, revision=source.revision)
    except OSError:
        if (Path(source.location) / "generation_config.json").exists():
            raise  # it is there, and no JSON
        return transformers.GenerationConfig()
