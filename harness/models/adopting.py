"""Bring a checkpoint that was trained elsewhere into the registry: look at it hard once, so that nothing has to later.

What is copied are the files that can change an answer, and nothing else of the folder: no optimiser state, no earlier
checkpoints. Code that comes with a checkpoint is neither copied nor run.
"""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

from harness import __version__
from harness.clock import utc_now
from harness.errors import BrokenModel, ConfigError, PrerequisiteError, UsageError
from harness.hashing import canonical_json, short_hash
from harness.models import hf_source, trained
from harness.models.base import import_extra
from harness.redact import contains_secret
from harness.registry import CARD, MODEL, Kind, ModelCard, adding, check_id, make_id, write_card
from harness.types import Json

_INDEX_BYTES = 64 << 20


def adopt(
    results_dir: Path,
    path: Path,
    base: str,
    name: str | None = None,
    *,
    method: str = "imported",
    data: str | None = None,
    teacher: str | None = None,
    link: bool = False,
) -> ModelCard:
    """Check a checkpoint's folder, copy it (or link to it), write its card.

    `base` (the spec of the model that it was trained from), `method`, `data` and `teacher` are what the user says of
    it; no file of it can be trusted to know.

    Raises `BrokenModel` for a folder that is no whole checkpoint, could not be loaded, or whose weights are not finite,
    `PrerequisiteError` for one that is not there, `UsageError` or `StoreError` from the registry, `MissingExtra`
    without torch or transformers. Nothing is left behind in any case.
    """
    _check_said(base=base, method=method, data=data, teacher=teacher)
    path = path.expanduser().resolve()
    kind = check_checkpoint(path)
    source = None
    if kind == "adapter":
        source = trained.find_base(base, results_dir)
        _check_loads(hf_source.with_adapter(source, str(path)))
    else:
        _check_loads(hf_source.find_source(str(path)))
    mark = hf_source.fingerprint_of(path)
    facts: dict[str, Json] = {"imported": mark}
    name = check_id(name) if name is not None else make_id(base, method, facts)
    with adding(results_dir, name) as folder:
        _put(path, folder / MODEL, mark, link)
        card = ModelCard(
            id=name,
            method=method,
            base=base,
            teacher=teacher,
            config={},
            config_hash=short_hash(canonical_json(facts)),
            data=data,
            data_hash=None,
            seed=None,
            records=None,
            tokens=None,
            steps=None,
            seconds=None,
            device=None,
            commit=None,
            created=utc_now(),
            kind=kind,
            stopped="imported",
            final={},
            versions={"harness": __version__},
            fingerprint=mark,
            base_fingerprint=source.mark() if source is not None else None,
        )
        write_card(folder, card)
    return card


def _check_said(**told: str | None) -> None:
    for name, said in told.items():
        if said is not None and (not said.strip() or len(said) > 1000 or contains_secret(said)):
            raise ConfigError(f"{name} is {'empty' if not said.strip() else 'too long, or looks like a secret'}")


def _put(path: Path, to: Path, mark: str, link: bool) -> None:
    """Copy a checkpoint whose fingerprint is `mark`, or link to it."""
    if link:
        to.symlink_to(path, target_is_directory=True)
        return
    to.mkdir()
    for file in hf_source.model_files(path):
        shutil.copy2(file, to / file.name)
    if hf_source.fingerprint_of(to) != mark:
        raise PrerequisiteError(f"{str(path)!r} changed while it was copied: wait until it is written")


def check_checkpoint(path: Path) -> Kind:
    """What a folder holds, once everything that an evaluation needs of it was found whole; see `adopt`."""
    if not path.is_dir():
        raise PrerequisiteError(f"there is no folder {str(path)!r}: name a checkpoint's folder")
    if (path / CARD).is_file():
        raise UsageError(f"{str(path)!r} is a registered model's folder: name the {MODEL} folder in it")
    if hf_source.is_adapter(path) and not (path / "config.json").is_file():
        trained.adapter_rank(path)
        weights = [file for file in hf_source.model_files(path) if file.stem == "adapter_model"]
        if not weights:
            raise BrokenModel(f"{str(path)!r} has an adapter_config.json but no adapter_model.safetensors")
        kind: Kind = "adapter"
    else:
        hf_source.find_source(str(path))
        weights = [file for file in hf_source.model_files(path) if file.suffix in (".safetensors", ".bin")]
        _check_shards(path)
        _check_config(path)
        kind = "full"
    for file in sorted(weights):
        _check_finite(file)
    return kind


def _check_loads(source: hf_source.Source) -> None:
    """The engine's own check, of names and shapes: what it could not load is no model."""
    for package in ("torch", "transformers"):
        import_extra(package, "a checkpoint from elsewhere", "hf")
    from harness.models import hf_load

    hf_load.check_loads(source)


def _check_shards(path: Path) -> None:
    """Every file that an index of shards names must be there."""
    for index in path.glob("*.index.json"):
        try:
            with index.open("rb") as stream:
                shards = set(json.loads(stream.read(_INDEX_BYTES))["weight_map"].values())
            missing = sorted(str(shard) for shard in shards if not (path / Path(shard).name).is_file())
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise BrokenModel(f"{index} is no index of shards ({error!r})") from error
        if missing:
            raise BrokenModel(f"{str(path)!r} lacks {len(missing)} of its shards, the first is {missing[0]!r}")


def _check_config(path: Path) -> None:
    """Config and tokenizer must be of a kind that the library knows without running code of theirs."""
    transformers = import_extra("transformers", "a checkpoint from elsewhere", "hf")
    for what, reader in (("config", transformers.AutoConfig), ("tokenizer", transformers.AutoTokenizer)):
        try:
            reader.from_pretrained(str(path), trust_remote_code=False, local_files_only=True)
        except Exception as error:  # foreign files: the library's readers raise whatever comes
            first = str(error).strip().partition("\n")[0]
            raise BrokenModel(f"the {what} of {str(path)!r} does not load: {type(error).__name__}: {first}") from error


def _check_finite(file: Path) -> None:
    """Read the weights one tensor at a time; a training that diverged, or a copy that was cut, must not be ranked."""
    torch = import_extra("torch", "a checkpoint from elsewhere", "hf")
    safetensors = import_extra("safetensors", "a checkpoint from elsewhere", "hf")

    def check(name: str, tensor: Any) -> None:
        if not tensor.is_floating_point():
            return
        whole = tensor.float() if tensor.itemsize == 1 else tensor  # eight-bit floats know no isfinite
        if not bool(torch.isfinite(whole).all()):
            raise BrokenModel(f"{file}: {name!r} holds NaN or infinity: the training diverged, there is no model")

    try:
        if file.suffix == ".safetensors":
            with safetensors.safe_open(str(file), framework="pt") as tensors:
                for name in tensors.keys():  # noqa: SIM118  it is no mapping
                    check(name, tensors.get_tensor(name))
        else:
            loaded = torch.load(file, map_location="cpu", weights_only=True)
            for name, tensor in loaded.items():
                check(str(name), tensor)
    except (OSError, ValueError, RuntimeError, AttributeError, EOFError, pickle.UnpicklingError) as error:
        raise BrokenModel(f"{file} cannot be read as weights: {type(error).__name__}: {error}") from error
    except safetensors.SafetensorError as error:
        raise BrokenModel(f"{file} is torn or no safetensors file: {error}") from error
