"""Where a transformers model comes from: options, local folders, GGUF files, LoRA adapters, the hub; and its identity.

Everything here runs before any weights are loaded, so that a wrong path or an unreachable hub costs a second, and a
retrained checkpoint at the same path is told from the old one.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from harness.errors import BrokenModel, ConfigError, ModelError, PrerequisiteError
from harness.files import parse_json
from harness.hashing import canonical_json, short_hash
from harness.markup import parse_markup
from harness.models.base import import_extra
from harness.options import parse_options
from harness.types import Json

Dtype = Literal["auto", "float32", "bfloat16", "float16"]

_CHUNK = 1 << 16
_SAMPLES = 64
_WHOLE = _CHUNK * _SAMPLES
"""Files up to this size (4 MiB) are hashed whole, larger ones by so many evenly spaced chunks."""
_SUFFIXES = {".safetensors", ".bin", ".gguf", ".json", ".jinja", ".model", ".txt"}
_NOT_THE_MODEL = {
    "trainer_state.json",
    "training_args.bin",
    "optimizer.bin",
    "scheduler.bin",
    "README.txt",
    "results.json",
}


@dataclass(frozen=True, slots=True)
class WeightsOptions:
    """What every engine that holds weights can be told."""

    dtype: Dtype = "auto"
    """auto: bfloat16 on a GPU and on a CPU with bfloat16 instructions, else float32."""
    adapter: str | None = None
    """A LoRA adapter (peft): folder or hub id, merged into the weights."""
    revision: str | None = None
    """Branch, tag or commit on the hub; recorded as the commit."""
    chat_template: str = "auto"
    """auto: the tokenizer's own if it has one; "off": messages joined by blank lines; else a Jinja file."""
    enable_thinking: bool | None = None
    """Handed to the chat template where set (Qwen3 and its like)."""
    think_markup: str = ""
    """Reasoning markup of this model that the table (docs/models.md) does not have: `<mull>…</mull>`."""

    def __post_init__(self) -> None:
        parse_markup(self.think_markup)


@dataclass(frozen=True, slots=True)
class HfOptions(WeightsOptions):
    """What the transformers engine can be told."""

    device: str = "auto"
    """auto: the first GPU, else the CPU; "cuda:1"; "map" spreads the layers over all GPUs (accelerate)."""
    batch_size: int | None = None
    """Most rows in a batch; 32 on a CPU and 128 on a GPU unless told."""
    batch_tokens: int | None = None
    """Most tokens in the cache, rows x (prompt + max_tokens); from the free memory unless told."""
    gguf_file: str | None = None
    """Name of a GGUF file in the folder or repository; its weights are dequantised."""
    max_length: int | None = None
    """Context in tokens, prompt included; the model's own unless told."""

    def __post_init__(self) -> None:
        WeightsOptions.__post_init__(self)  # super() knows no class that slots have replaced
        for name in ("batch_size", "batch_tokens", "max_length"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, not {value}")


def options_of_one(name: str, rest: str, options: Mapping[str, str], weights: str) -> HfOptions:
    """The options of an engine that is one model, whose `weights` "come from …".

    Raises `ConfigError` for `name:anything` and for options that name other weights, `MissingExtra` without torch and
    transformers.
    """
    if rest:
        raise ConfigError(f"{name} is one model and takes no name after it: {name}, not {name}:{rest}")
    parsed = parse_options(HfOptions, options, name)
    for option in ("gguf_file", "revision"):
        if getattr(parsed, option) is not None:
            raise ConfigError(f"{name} has no option {option!r}: its weights {weights}")
    for package in ("torch", "transformers"):
        import_extra(package, name, "hf")
    return parsed


@dataclass(frozen=True, slots=True)
class Source:
    """Weights that were found, or that the hub has."""

    location: str
    """Folder, or hub id."""
    revision: str | None = None
    """Commit on the hub; None for a folder."""
    gguf_file: str | None = None
    adapter: str | None = None
    """Folder or hub id of the LoRA adapter."""
    adapter_revision: str | None = None
    fingerprint: str | None = None
    """Of local weights, 16 hex digits."""
    adapter_fingerprint: str | None = None
    earlier_adapters: tuple[str, ...] = ()
    """Folders of LoRA adapters to merge before `adapter`, in order: what it was trained on top of."""
    called: Mapping[str, Json] = field(default_factory=dict)
    """What `Model.describe` says in place of paths of this machine ("trained:<id>"), and of where they came from."""

    def identity(self) -> dict[str, Json]:
        """What tells these weights from others, for `Model.describe`."""
        return {
            "model": self.location,
            "revision": self.revision,
            "gguf_file": self.gguf_file,
            "fingerprint": self.fingerprint,
            "adapter": self.adapter,
            "adapter_revision": self.adapter_revision,
            "adapter_fingerprint": self.adapter_fingerprint,
        }

    def mark(self) -> str:
        """Which weights these are wherever they lie: a fingerprint, or "commit:…" of the hub where that is all."""
        base = self.fingerprint or f"commit:{self.revision}"
        over = [fingerprint_of(Path(path)) for path in self.earlier_adapters]
        if self.adapter is not None:
            over.append(self.adapter_fingerprint or f"commit:{self.adapter_revision}")
        return (
            base if not over and self.gguf_file is None else short_hash(canonical_json([base, self.gguf_file, *over]))
        )

    @property
    def tokenizer_location(self) -> str:
        """Folder or hub id of the tokenizer: the adapter's folder where that brings one."""
        own = self.adapter is not None and (Path(self.adapter) / "tokenizer_config.json").is_file()
        return self.adapter if self.adapter is not None and own else self.location

    def asked(self, location: str | None = None) -> dict[str, Any]:
        """What the library's `from_pretrained` is asked for; code that comes with a checkpoint is never run."""
        if location is not None and location != self.location:
            return {"pretrained_model_name_or_path": location, "trust_remote_code": False}
        gguf = {"gguf_file": self.gguf_file} if self.gguf_file is not None else {}
        place = {"pretrained_model_name_or_path": self.location, "revision": self.revision}
        return {**place, "trust_remote_code": False, **gguf}


def find_source(
    rest: str, adapter: str | None = None, revision: str | None = None, gguf_file: str | None = None
) -> Source:
    """Locate "folder", "file.gguf", "adapter folder" or "owner/name".

    Raises `ConfigError` for an empty name, `PrerequisiteError` for a path that is no checkpoint, `ModelError` for a hub
    repository that does not exist or cannot be reached.
    """
    if not rest:
        raise ConfigError("hf: needs a folder or a hub id, for example hf:./checkpoint or hf:owner/name")
    path = Path(rest).expanduser()
    if path.is_file() and path.suffix == ".gguf":
        base = Source(str(path.parent), gguf_file=path.name, fingerprint=_hash_files([path], path.parent))
    elif path.is_dir():
        if is_adapter(path) and not (path / "config.json").is_file():
            if adapter is not None:
                raise ConfigError(f"{rest!r} is itself an adapter: name its base model, with adapter={rest}")
            return with_adapter(_base_of(path, revision), rest)
        base = _local(path, gguf_file)
    elif path.exists():
        raise PrerequisiteError(f"{rest!r} is a file, but not a .gguf file: name a checkpoint's folder")
    elif rest.startswith((".", "/", "~")) or "\\" in rest or rest.count("/") > 1:
        raise PrerequisiteError(
            f"there is no folder {rest!r}: check the path, or name a model on the hub as owner/name"
        )
    else:
        base = _remote(rest, revision, gguf_file)
    return with_adapter(base, adapter) if adapter is not None else base


def is_adapter(path: Path) -> bool:
    """True for the folder of a LoRA adapter."""
    return (path / "adapter_config.json").is_file()


def _base_of(adapter: Path, revision: str | None) -> Source:
    """The model that an adapter's own config names as its base."""
    try:
        config = parse_json((adapter / "adapter_config.json").read_bytes())
        base, pinned = config["base_model_name_or_path"], config.get("revision")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BrokenModel(f"{adapter}/adapter_config.json names no base model ({error!r})") from error
    if not isinstance(base, str) or not base:
        raise BrokenModel(f"{adapter}/adapter_config.json names no base model: use hf:BASE with adapter={adapter}")
    if Path(base).is_dir():
        return _local(Path(base), None)
    pinned = pinned if isinstance(pinned, str) and pinned else None
    return _remote(base, revision or pinned, None)


def _local(path: Path, gguf_file: str | None) -> Source:
    needed = gguf_file if gguf_file is not None else "config.json"
    if not (path / needed).is_file():
        raise BrokenModel(f"{str(path)!r} is not a checkpoint: it has no {needed}")
    files = [path / gguf_file] if gguf_file is not None else sorted(model_files(path))
    if gguf_file is None and not any(file.suffix in (".safetensors", ".bin") for file in files):
        raise BrokenModel(f"{str(path)!r} has a config.json but no weights (.safetensors or .bin)")
    if gguf_file is None and is_adapter(path):
        # transformers would load the adapter's base in place of the weights that are here.
        raise BrokenModel(
            f"{str(path)!r} holds a whole model and a LoRA adapter: move adapter_config.json and adapter_model.* "
            "away if it is merged, config.json and the other weights if it is not"
        )
    return Source(str(path), gguf_file=gguf_file, fingerprint=_hash_files(files, path))


def with_adapter(base: Source, adapter: str) -> Source:
    """Put a LoRA adapter, a folder or a hub id, on top of a model; one that is there already is merged before it.

    Raises `MissingExtra` without peft, `PrerequisiteError` for a folder that is no adapter, `ModelError` for the hub.
    """
    import_extra("peft", "a LoRA adapter", "hf")
    path = Path(adapter).expanduser()
    revision = fingerprint = None
    if path.is_dir():
        if not is_adapter(path):
            raise BrokenModel(f"{adapter!r} is not a LoRA adapter: it has no adapter_config.json")
        adapter, fingerprint = str(path), fingerprint_of(path)
    elif path.exists() or adapter.startswith((".", "/", "~")):
        raise PrerequisiteError(f"there is no adapter folder {adapter!r}")
    else:
        revision = hub_commit(adapter, None, "adapter_config.json")
    return replace(
        base,
        adapter=adapter,
        adapter_revision=revision,
        adapter_fingerprint=fingerprint,
        earlier_adapters=(*base.earlier_adapters, *([base.adapter] if base.adapter is not None else [])),
    )


def _remote(repo: str, revision: str | None, gguf_file: str | None) -> Source:
    return Source(repo, revision=hub_commit(repo, revision, gguf_file or "config.json"), gguf_file=gguf_file)


def hub_commit(repo: str, revision: str | None, file: str) -> str:
    """The commit that a hub repository is at, found by fetching one of its files; the local hub cache answers offline.

    Raises `ModelError` saying which of repository, revision, file or network is the trouble.
    """
    hub = import_extra("huggingface_hub", "a model from the hub", "hf")
    errors = import_extra("huggingface_hub.errors", "a model from the hub", "hf")  # not there by itself
    try:
        path = hub.hf_hub_download(repo, file, revision=revision)
    except errors.GatedRepoError as error:
        raise ModelError(f"{repo!r} is gated: accept its terms on the hub and set HF_TOKEN") from error
    except errors.RepositoryNotFoundError as error:
        raise ModelError(
            f"there is no folder {repo!r}, and no such model on the hub (or it is private: set HF_TOKEN)"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise ModelError(f"{repo!r} has no revision {revision!r} on the hub") from error
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled) as error:
        raise ModelError(
            f"there is no folder {repo!r}, it is not in the local hub cache, and the hub cannot be reached: "
            "check the name, the network and HF_HUB_OFFLINE"
        ) from error
    except errors.EntryNotFoundError as error:
        raise ModelError(
            f"{repo!r} on the hub has no {file}: not a transformers checkpoint (GGUF: gguf_file=NAME)"
        ) from error
    except errors.HFValidationError as error:
        raise ModelError(f"there is no folder {repo!r}, and it is no valid hub id: {error}") from error
    except (errors.HfHubHTTPError, OSError) as error:
        raise ModelError(f"the hub does not answer for {repo!r}: {type(error).__name__}: {error}") from error
    return Path(path).parents[file.count("/")].name


def fingerprint_of(folder: Path) -> str:
    """16 hex digits over the files of a checkpoint or adapter that can change an answer."""
    return _hash_files(sorted(model_files(folder)), folder)


def model_files(folder: Path) -> Iterator[Path]:
    """Files of a checkpoint's folder that can change an answer; sub-folders (earlier checkpoints) are left out."""
    for file in folder.iterdir():
        if file.is_file() and file.suffix in _SUFFIXES and file.name not in _NOT_THE_MODEL:
            yield file


def _hash_files(files: list[Path], folder: Path) -> str:
    """Hash over names, sizes and contents; of large files, 64 evenly spaced chunks, which any training changes."""
    digest = hashlib.sha256()
    for file in files:
        size = file.stat().st_size
        digest.update(f"{file.relative_to(folder)}\x1f{size}\x1e".encode())
        with file.open("rb") as stream:
            if size <= _WHOLE:
                digest.update(stream.read())
                continue
            for sample in range(_SAMPLES):
                stream.seek((size - _CHUNK) * sample // (_SAMPLES - 1))
                digest.update(stream.read(_CHUNK))
    return digest.hexdigest()[:16]


def resolve_dtype(dtype: Dtype, on_gpu: bool) -> str:
    """The number format that "auto" stands for on this machine."""
    if dtype != "auto":
        return dtype
    return "bfloat16" if on_gpu or _cpu_has_bfloat16() else "float32"


def _cpu_has_bfloat16() -> bool:
    """Whether the CPU multiplies bfloat16 natively; without, it is slower than float32."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8").split()
    except OSError:
        return os.uname().machine == "arm64"
    return "avx512_bf16" in flags or "amx_bf16" in flags
