"""The student and the teacher as transformers models: the same specs, found in the same places, as in evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from backends.config import Settings
from harness.errors import StoreError
from harness.models import trained
from harness.models.hf_source import Source
from harness.registry import ModelCard, find_card


def find_weights(spec: str, results_dir: Path) -> Source:
    """Where the weights of "tiny", "smollm2", "hf:<path or hub id>", "trained:<id>" are; loads nothing.

    Raises `ConfigError` for a spec whose weights are out of reach (a server's), and what the engine raises.
    """
    return trained.find_base(spec, results_dir)


def finished(folder: Path) -> ModelCard:
    """The card of a model that is made already. Raises `StoreError` and `PrerequisiteError` if it is not whole."""
    _, card = find_card(folder.parents[1], folder.name)
    trained.find_weights(folder, card)
    if card.fingerprint not in (None, trained.fingerprint(folder)):
        raise StoreError(
            f"the files of {card.id!r} are not those that its card tells of: restore them, or `harness models rm "
            f"{card.id}` and run the same command again"
        )
    return card


def canonical(spec: str, results_dir: Path) -> str:
    """The spec as a card should keep it: a model of the registry by its whole id, a folder by its absolute path."""
    scheme, _, rest = spec.partition(":")
    if scheme == "trained":
        return f"trained:{trained.find_model(rest, str(results_dir))[1].id}"
    if scheme == "hf" and Path(rest).expanduser().is_dir():
        return f"hf:{Path(rest).expanduser().resolve()}"
    return spec


def load_tokenizer(source: Source) -> Any:
    """The tokenizer alone. Raises `ModelError`."""
    from harness.models import hf_load

    return hf_load.load_tokenizer(source)


def lora_config(settings: Settings) -> Any:
    """Peft's config of the adapter that a stage trains."""
    import peft

    targets = settings.lora_targets
    return peft.LoraConfig(
        task_type="CAUSAL_LM",
        r=settings.lora_rank,
        lora_alpha=settings.lora_alpha or 2 * (settings.lora_rank or 0),
        lora_dropout=settings.lora_dropout,
        target_modules=targets if targets == "all-linear" else targets.split("+"),
    )


def check_vocabulary(source: Source, config: Any, tokenizer: Any) -> None:
    """Raises `BrokenModel` where the tokenizer knows tokens that the model, as its config tells, cannot read."""
    from harness.models import hf_weights

    rows = getattr(config.get_text_config(), "vocab_size", None)
    if rows is not None and source.adapter is None:  # an adapter may bring embeddings of its own: told at load
        hf_weights.check_vocabulary(source, rows, tokenizer)
