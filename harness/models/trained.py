"""`trained:<id>`: a model of the registry, by transformers or by vLLM.

    harness run --suite synth --model trained:smollm2-sft-1a2b3c4d
    harness run --suite synth --model trained:smollm2-sft-1a --model-arg dtype=float32       # a beginning is enough
    harness run --suite synth --model trained:smollm2-sft-1a --model-arg engine=vllm
    harness run --suite synth --model trained:/elsewhere/results/models/smollm2-sft-1a2b3c4d

The card (`harness.registry`) says what the folder holds: all weights, or a LoRA adapter over a base, which is found in
the same way, down to the first model. Adapters over adapters are merged in that order. Every option of the engine
(`harness show hf`, `harness show vllm`) is passed on, but those that would name other weights. Answers are identified
by fingerprints of the weights, so that a folder whose weights have changed is another model, and the same weights in
another place are the same one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Literal

from harness.errors import BrokenModel, ConfigError, HarnessError, PrerequisiteError, StoreError
from harness.models import hf, hf_source, load_model, vllm
from harness.models.base import import_extra
from harness.models.calibrated import CalibratedModel
from harness.models.hf_source import Source
from harness.options import parse_options
from harness.registry import MODEL, SCHEME, ModelCard, find_card, read_card
from harness.types import Json

OTHER_WEIGHTS = ("adapter", "gguf_file", "revision")
"""Options that say which weights: of a model of the registry its card says it."""
_LORA_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""What vLLM takes as `max_lora_rank`."""
_COMMIT = "commit:"
_CONFIG_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class TrainedOptions:
    """What is said of a model of the registry; every other option is the engine's own."""

    engine: Literal["hf", "vllm"] = "hf"
    """What generates: transformers or vLLM."""
    results_dir: str = "results"
    """Folder that holds models/; a run looks in its own unless told."""
    calibrated: bool = True
    """Whether the threshold of its card, if it has one, decides between its two labels."""


def build(rest: str, options: Mapping[str, str]) -> hf.HfModel | vllm.VllmModel | CalibratedModel:
    """The engine's entry; finds card, weights and bases, and checks the options; loads nothing.

    Raises `UnknownName`, `UsageError` or `StoreError` for the card, `ConfigError` for an option, `MissingExtra` or
    `PrerequisiteError` for weights that are not there.
    """
    own = {field.name for field in fields(TrainedOptions)}
    parsed = parse_options(TrainedOptions, {key: value for key, value in options.items() if key in own}, "trained")
    passed = {key: value for key, value in options.items() if key not in own}
    for option in OTHER_WEIGHTS:
        if option in passed:
            raise ConfigError(f"trained has no option {option!r}: its weights are those that its card describes")
    folder, card = find_model(rest, parsed.results_dir)
    model = _plain(folder, card, parsed.engine, passed)
    return CalibratedModel(model, card.calibration) if card.calibration and parsed.calibrated else model


def _plain(
    folder: Path, card: ModelCard, chosen: Literal["hf", "vllm"], passed: Mapping[str, str]
) -> hf.HfModel | vllm.VllmModel:
    """The model without what its card says of its answers."""
    name, engine = SCHEME + card.id, f"trained (engine {chosen})"
    if chosen == "vllm":
        vllm_options = parse_options(vllm.VllmOptions, passed, engine)
        vllm.require()
        source = _described(find_weights(folder, card), card)
        return vllm.VllmModel(name, source, _for_vllm(source, vllm_options))
    hf_options = parse_options(hf_source.HfOptions, {**_as_untrained(folder, card), **passed}, engine)
    import_extra("torch", "a trained model", "hf")
    import_extra("transformers", "a trained model", "hf")
    return hf.HfModel(name, _described(find_weights(folder, card), card), hf_options)


def _as_untrained(folder: Path, card: ModelCard) -> dict[str, str]:
    """What the first student is evaluated with unless told, so that training alone is compared: tiny takes float32."""
    known: set[str] = set()
    while card.base.startswith(SCHEME) and card.id not in known:
        known.add(card.id)
        try:
            folder, card = find_model(card.base.removeprefix(SCHEME), folder.parent.parent)
        except HarnessError:  # full weights do without their bases, which may be gone
            return {}
    return {"dtype": "float32"} if card.base in ("tiny", "tiny12m") else {}


def _described(source: Source, card: ModelCard) -> Source:
    """Weights that are called by names in place of places; and where the model came from, as the card says."""
    called = dict(source.called)
    if source.adapter is not None:
        called["adapter"] = SCHEME + card.id
    if source.earlier_adapters:
        called["earlier_adapters"] = [hf_source.fingerprint_of(Path(path)) for path in source.earlier_adapters]
    return replace(source, called={**called, "trained": lineage_facts(card)})


def lineage_facts(card: ModelCard) -> dict[str, Json]:
    """What a run keeps of the card of the model that it evaluated."""
    names = ("id", "method", "base", "teacher", "config_hash", "data_hash", "seed", "records", "tokens", "stopped")
    return {name: getattr(card, name) for name in names} | {"base": " + ".join(card.parents)}


def find_model(name: str, results_dir: str | Path) -> tuple[Path, ModelCard]:
    """Folder and card of a model's name, or of a model's folder anywhere ("./…", "/…", "…/…").

    Raises what `find_card` and `read_card` raise, `ConfigError` for an empty name.
    """
    if not name:
        raise ConfigError(
            "trained: needs a model's id, for example trained:smollm2-sft-1a2b3c4d (`harness models list`)"
        )
    if "/" not in name and not name.startswith((".", "~")):
        return find_card(results_dir, name)
    folder = Path(os.path.abspath(Path(name).expanduser()))
    return folder, read_card(folder)


def fingerprint(folder: Path) -> str:
    """Identity of a model folder's weights, 16 hex digits: what `ModelCard.fingerprint` holds."""
    return hf_source.fingerprint_of(folder / MODEL)


def find_weights(folder: Path, card: ModelCard, above: tuple[str, ...] = ()) -> Source:
    """The weights of a card: its own folder, or its adapter over those of its base, which are found alike.

    A base "trained:<id>" is looked up beside the folder; `above` are the ids on the way here. Raises
    `PrerequisiteError` for weights that are not there, `StoreError` for a folder that is not what its card says or
    bases in a circle, and what finding the base raises.
    """
    checkpoint = folder / MODEL
    if not checkpoint.is_dir():
        raise PrerequisiteError(f"{str(folder)!r} has a card but no {MODEL}/: restore it, or train again")
    adapter = hf_source.is_adapter(checkpoint) and not (checkpoint / "config.json").is_file()
    if adapter != (card.kind == "adapter"):
        found = "a LoRA adapter" if adapter else "no LoRA adapter"
        raise StoreError(
            f"the card of {card.id!r} says {card.kind}, {str(checkpoint)!r} holds {found}: restore one of them"
        )
    if not adapter:
        source = hf_source.find_source(str(checkpoint))
        return replace(source, called={"model": SCHEME + card.id})
    if card.id in above:
        raise StoreError(f"the bases of {card.id!r} lead back to it: one of the cards is wrong")
    base = find_base(card.base, folder.parent.parent, (*above, card.id), _commit(card))
    found = base.mark()
    if card.base_fingerprint not in (None, found):
        raise StoreError(
            f"the base {card.base!r} of {card.id!r} is no longer the one that it was trained from ({found}, the card "
            f"says {card.base_fingerprint}): over other weights the adapter is another model. Restore the base, or "
            "train again"
        )
    return hf_source.with_adapter(base, str(checkpoint))


def _commit(card: ModelCard) -> str | None:
    """The commit of the hub that a base was at: what its branch has become since is another model."""
    mark = card.base_fingerprint or ""
    return mark.removeprefix(_COMMIT) if mark.startswith(_COMMIT) else None


def find_base(spec: str, results_dir: str | Path, above: tuple[str, ...] = (), commit: str | None = None) -> Source:
    """The weights that a student starts from, "trained:<id>" among them; `commit`: of a model on the hub.

    Raises `ConfigError` for a model that has no weights here ("openai:…"), and what its engine raises.
    """
    if spec.startswith(SCHEME):
        return find_weights(*find_model(spec.removeprefix(SCHEME), results_dir), above)
    if not spec.startswith(("mock:", "openai:", "vllm:")):
        model = load_model(spec, {} if commit is None else {"revision": commit})
        if isinstance(model, hf.HfModel):
            return model.source
    raise ConfigError(
        f"{spec!r} cannot be the base of a trained model: name a transformers model (hf:…, smollm2, tiny)"
    )


def _for_vllm(source: Source, options: vllm.VllmOptions) -> vllm.VllmOptions:
    """Make room for the adapter's rank; vLLM applies one adapter, not several."""
    if source.earlier_adapters:
        raise ConfigError(
            "vLLM applies one LoRA adapter, and this model has one over another: leave out engine=vllm, or merge them "
            "(peft's merge_and_unload) and add the result with `harness models add`"
        )
    if source.adapter is None or options.max_lora_rank is not None:
        return options
    rank = adapter_rank(Path(source.adapter))
    room = next((size for size in _LORA_RANKS if size >= rank), rank)
    return replace(options, max_lora_rank=room)


def adapter_rank(folder: Path) -> int:
    """Rank of a LoRA adapter; raises `PrerequisiteError` for a config that has none."""
    path = folder / "adapter_config.json"
    try:
        with path.open("rb") as stream:
            rank = json.loads(stream.read(_CONFIG_BYTES))["r"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise BrokenModel(f"{path} is no LoRA adapter's config ({error!r})") from error
    if type(rank) is not int or rank < 1:
        raise BrokenModel(f"{path}: the rank r is {rank!r}, not a positive number")
    return rank
