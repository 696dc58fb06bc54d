"""The model registry: one folder for each trained model, one card that says where it came from.

    results/models/<id>/card.json       base, method, config, data, seed, tokens: what `ModelCard` holds; written last
    results/models/<id>/model/          the checkpoint: a transformers folder, or a LoRA adapter (peft)
    results/models/<id>/metrics.jsonl   what training logged
    results/models/<id>/checkpoints/    what an interrupted training resumes from

A folder without a card is a training that has not finished. Cards are plain files that people copy and edit, so that
reading one checks every field; ids come from users, so that none can name a place outside the registry.
`harness models` shows the registry, `--model trained:<id>` evaluates from it. Standard library only: the trainer, the
engines and the command line all import this.
"""

from __future__ import annotations

import json
import math
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from harness.errors import StoreError, UnknownName, UsageError
from harness.files import delete, open_lock, parse_json, read_bytes, write_atomically
from harness.hashing import canonical_json, short_hash
from harness.redact import redact
from harness.spent import Spent, read_spent
from harness.threshold import LabelThreshold, read_threshold
from harness.types import Json

SCHEMA = 1
SCHEME = "trained:"
"""Prefix of a model spec that names a card."""
CARD, MODEL, MODELS = "card.json", "model", "models"
Kind = Literal["full", "adapter"]

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,119}")
_MAX_BYTES = 1 << 20
_MAX_PARENTS = 100
_HALF = ".half-"
"""Prefix of a folder that is being added or removed; whoever holds the lock may delete what another left."""


@dataclass(frozen=True, slots=True)
class ModelCard:
    """Where a model came from: enough to train it again, and to show it beside others."""

    id: str
    """"<student>-<method>-<8 hex digits>" (`make_id`): also the folder's name."""
    method: str
    """Training method ("sft", "krsl"), or "imported"."""
    base: str
    """Model spec that the student started from: "tiny", "smollm2", "hf:…", "trained:<id>"."""
    teacher: str | None
    """Model spec of the teacher whose traces or logits were used."""
    config: Mapping[str, Json]
    """Training config as resolved: every default written out."""
    config_hash: str
    data: str | None
    """The training data as the user named it."""
    data_hash: str | None
    """sha256 over the training records."""
    seed: int | None
    records: int | None
    """Training records used."""
    tokens: int | None
    """Tokens that the student read in training, padding excluded."""
    steps: int | None
    """Optimiser steps."""
    seconds: float | None
    """Wall time of training, all resumed parts together."""
    device: str | None
    commit: str | None
    """Git commit of this project, "+dirty" after it if files were changed."""
    created: str
    """UTC, ISO 8601."""
    kind: Kind
    """"full": all weights are in the folder; "adapter": a LoRA adapter over `base`."""
    stopped: str
    """"finished", "token budget", "time budget" or "imported"."""
    final: Mapping[str, Json]
    """Last logged numbers, e.g. {"loss": 0.4}, and under "alarms" those that were told."""
    versions: Mapping[str, str]
    """Versions of torch, transformers, trl, peft and this project."""
    fingerprint: str | None
    """Of the files in `model/` (`harness.models.trained.fingerprint`): tells whether they are still those trained."""
    base_fingerprint: str | None = None
    """Of the weights of `base` as they were trained from, "commit:…" for a model on the hub; None on older cards and
    for what was merged. An adapter is never put over others."""
    spent: Spent | None = None
    """Tokens of each kind and flops; None on older cards and for what was merged or imported."""
    calibration: LabelThreshold | None = None
    """What decides between two labels of its answers (`harness models calibrate`); None is not written."""

    @property
    def parents(self) -> tuple[str, ...]:
        """Specs of the models that its weights come from: its base, or the models that were merged."""
        told = self.config.get("parents")
        specs = tuple(str(spec) for spec in told) if isinstance(told, Sequence) and not isinstance(told, str) else ()
        return specs or (self.base,)


class Cards(NamedTuple):
    """Cards that could be read, and one line for each thing that could not."""

    cards: list[ModelCard]
    problems: list[str]


def models_dir(results_dir: str | Path) -> Path:
    """Folder that holds one folder for each model."""
    return Path(results_dir) / MODELS


def make_id(base: str, method: str, facts: Mapping[str, Json]) -> str:
    """Id of a new model: readable slugs of base and method, then 8 hex digits over `facts` (config, data hash, seed).

    The same facts give the same id, so that the same command finds the training that it interrupted.
    """
    student = base.removeprefix(SCHEME).rstrip("/").rpartition("/")[2] or base
    slugs = [re.sub(r"[^A-Za-z0-9._+]+|\.{2,}", "-", part).strip("-._+")[:40] for part in (student, method)]
    key = canonical_json({"base": base, "method": method, **facts})
    return "-".join([*filter(None, slugs), short_hash(key, 8)])


def check_id(name: str) -> str:
    """The id itself; raises `UsageError` for one that could name a place outside the registry or a hidden folder."""
    if _ID.fullmatch(name) is None or ".." in name:
        raise UsageError(
            f"{name!r} is no model id: letters, digits and . _ + - only, at most 120 (`harness models list`)"
        )
    return name


def write_card(folder: Path, card: ModelCard) -> Path:
    """Write card.json into a model's folder, atomically; numbers that are not finite become null.

    Raises `UsageError` for an id that is not the folder's name or not allowed, `StoreError` for a card that could not
    be read again.
    """
    if check_id(card.id) != folder.name:
        raise UsageError(f"the card {card.id!r} belongs in a folder of that name, not in {str(folder)!r}")
    told = {name: value for name, value in asdict(card).items() if name != "calibration" or value is not None}
    text = redact(json.dumps(_finite({"schema": SCHEMA, **told}), ensure_ascii=False, indent=1)) + "\n"
    path = folder / CARD
    _parse(text, path)
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(path, text)
    return path


def read_card(folder: Path) -> ModelCard:
    """Read card.json; raises `StoreError` saying what is wrong with it and what to do."""
    path = folder / CARD
    try:
        raw = read_bytes(path, _MAX_BYTES)
    except FileNotFoundError:
        if not folder.is_dir():
            raise StoreError(f"there is no model folder {str(folder)!r} (`harness models list`)") from None
        raise StoreError(
            f"{str(folder)!r} has no {CARD}: its training has not finished (run the same command again), or it is a "
            "checkpoint from elsewhere (`harness models add`)"
        ) from None
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}") from error
    return _parse(raw.decode("utf-8-sig", "replace"), path)


def _own_card(folder: Path) -> ModelCard:
    """The card of a folder of the registry, whose name it must have."""
    card = read_card(folder)
    if card.id != folder.name:
        raise StoreError(f"{folder / CARD} is of model {card.id!r}: rename the folder back")
    return card


def list_cards(results_dir: str | Path) -> Cards:
    """Every card of a results folder in order of creation; broken and unfinished ones are told, not raised."""
    found: list[ModelCard] = []
    problems: list[str] = []
    for folder in _folders(results_dir):
        try:
            found.append(_own_card(folder))
        except StoreError as error:
            problems.append(str(error))
    return Cards(sorted(found, key=lambda card: (card.created, card.id)), problems)


def find_card(results_dir: str | Path, name: str) -> tuple[Path, ModelCard]:
    """Folder and card that `name` means: an id, or the beginning of one and only one; "trained:" before it is allowed.

    Raises `UnknownName` with a suggestion, `UsageError` listing the candidates if several match, `StoreError` for a
    broken card.
    """
    name = check_id(name.removeprefix(SCHEME))
    ids = [folder.name for folder in _folders(results_dir)]
    matches = [name] if name in ids else [known for known in ids if known.startswith(name)]
    if not matches:
        if not ids:
            raise UsageError(
                f"there is no model {name!r}: {models_dir(results_dir)} holds none (`harness models add` imports one)"
            )
        raise UnknownName("trained model", name, ids)
    if len(matches) > 1:
        shown = ", ".join(matches[:8]) + (f" and {len(matches) - 8} more" if len(matches) > 8 else "")
        raise UsageError(f"{name!r} is the beginning of {len(matches)} models: {shown}. Write more of it")
    folder = models_dir(results_dir) / matches[0]
    return folder, _own_card(folder)


def lineage(results_dir: str | Path, card: ModelCard) -> Cards:
    """The models that a model was made from, every one after its own parents, itself last.

    Follows `parents` as long as they name cards; one that is gone, or a circle, is told and ends its line.
    """
    line: list[ModelCard] = []
    problems: list[str] = []

    def visit(card: ModelCard, below: tuple[str, ...]) -> None:
        below = (*below, card.id)
        for spec in card.parents:
            if not spec.startswith(SCHEME):
                continue
            try:
                _, parent = find_card(results_dir, spec)
            except (UsageError, StoreError) as error:
                problems.append(f"the base of {card.id!r} is not to be found: {error}")
                continue
            if parent.id in below or len(below) > _MAX_PARENTS:
                problems.append(f"the base of {card.id!r} leads back to {parent.id!r}: one of these cards is wrong")
            elif parent.id not in {known.id for known in line}:
                visit(parent, below)
        line.append(card)

    visit(card, ())
    return Cards(line, problems)


def children(cards: Sequence[ModelCard], name: str) -> list[ModelCard]:
    """Cards of which this model is a parent, whether by its id, the beginning of it or its folder."""

    def means_it(spec: str) -> bool:
        parent = spec.rstrip("/").rpartition("/")[2].removeprefix(SCHEME)
        return spec.startswith(SCHEME) and parent != "" and name.startswith(parent)

    return [card for card in cards if any(map(means_it, card.parents))]


@contextmanager
def adding(results_dir: str | Path, name: str) -> Iterator[Path]:
    """A hidden folder to fill; it becomes model `name` at the end of the block, or is gone if the block fails.

    Killed halfway it stays hidden, and the next one to add or remove deletes it. Raises `UsageError` if the model
    exists, `StoreError` if another process is adding or removing.
    """
    check_id(name)
    with _locked(results_dir) as folder:
        if os.path.lexists(folder / name):
            raise UsageError(f"there is a model {name!r} already: choose another --name, or `harness models rm {name}`")
        half = folder / f"{_HALF}{os.getpid()}" / name
        half.mkdir(parents=True)
        try:
            yield half
            half.rename(folder / name)
        finally:
            shutil.rmtree(half.parent, ignore_errors=True)


def remove(results_dir: str | Path, name: str) -> None:
    """Delete a model's folder: it is out of the registry at once, killed halfway or not. Linked weights stay.

    Raises `UsageError` for no such model, `StoreError` if another process is adding or removing.
    """
    check_id(name)
    with _locked(results_dir) as folder:
        half = folder / f"{_HALF}{os.getpid()}"
        half.mkdir()
        try:
            (folder / name).rename(half / name)
        except FileNotFoundError:
            raise UsageError(f"there is no model {name!r} (`harness models list`)") from None
        finally:
            delete(half)


@contextmanager
def _locked(results_dir: str | Path) -> Iterator[Path]:
    folder = models_dir(results_dir)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = open_lock(folder / ".lock")
    except BlockingIOError:
        raise StoreError(f"another process is changing {folder}: wait for it or stop it") from None
    except OSError as error:
        raise StoreError(f"cannot write to {folder} ({error.strerror}): name another --results-dir") from error
    with lock:
        for left in folder.glob(f"{_HALF}*"):
            delete(left)
        yield folder


def _folders(results_dir: str | Path) -> list[Path]:
    """Every model's folder in order of name; hidden folders and stray files are none."""
    folder = models_dir(results_dir)
    try:
        return sorted(path for path in folder.iterdir() if _ID.fullmatch(path.name) and path.is_dir())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StoreError(f"cannot list the models in {folder}: {error.strerror}") from error


def _finite(value: Json) -> Json:
    """NaN and infinities as null, at any depth: JSON has neither, and a loss can be either."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_finite(item) for item in value]
    return value


_TEXTS = ("id", "method", "base", "config_hash", "created", "kind", "stopped")
_MAYBE_TEXTS = ("teacher", "data", "data_hash", "device", "commit", "fingerprint", "base_fingerprint")
_LATER = {"base_fingerprint", "spent", "calibration"}
"""Fields that cards of earlier versions lack."""
_MAYBE_COUNTS = ("records", "tokens", "steps")
_TABLES = ("config", "final", "versions")


def _parse(text: str, path: Path) -> ModelCard:
    """A card from its JSON text; raises `StoreError` naming the file and the first thing that is wrong."""
    try:
        raw = parse_json(text, constants=False)
    except ValueError as error:
        raise StoreError(f"{path} is damaged ({error}): restore it, or remove the folder and train again") from error
    problem = _problem(raw)
    if problem:
        raise StoreError(f"{path} is no model card ({problem}): restore it, or remove the folder and train again")
    told = {field.name: raw[field.name] for field in fields(ModelCard) if field.name in raw}
    spent = None if raw.get("spent") is None else read_spent(raw["spent"])
    calibration = None if raw.get("calibration") is None else read_threshold(raw["calibration"])
    return ModelCard(**told | {"spent": spent, "calibration": calibration})


def _problem(raw: Any) -> str:
    """What is wrong with a card's JSON, or an empty text."""
    if not isinstance(raw, dict):
        return "it is not an object"
    if raw.get("schema") != SCHEMA:
        return f"schema {raw.get('schema')!r}, this version reads {SCHEMA}"
    wanted = {"schema", *(field.name for field in fields(ModelCard))}
    if missing := sorted(wanted - set(raw) - _LATER):
        return f"it lacks {missing[0]!r}"
    if unknown := sorted(set(raw) - wanted):
        return f"unknown field {unknown[0]!r}"
    for name in (*_TEXTS, *_MAYBE_TEXTS):
        if not isinstance(raw.get(name), str) and not (name in _MAYBE_TEXTS and raw.get(name) is None):
            return f"{name} is not a text"
    for name in _MAYBE_COUNTS:
        if raw[name] is not None and (type(raw[name]) is not int or raw[name] < 0):
            return f"{name} is not a count"
    if raw["seed"] is not None and type(raw["seed"]) is not int:
        return "seed is not a whole number"
    if raw["seconds"] is not None and (type(raw["seconds"]) not in (int, float) or not 0 <= raw["seconds"] < math.inf):
        return "seconds is not a duration"
    for name in _TABLES:
        if not isinstance(raw[name], dict):
            return f"{name} is not a table"
    if not all(isinstance(version, str) for version in raw["versions"].values()):
        return "a version is not a text"
    for name, read in (("spent", read_spent), ("calibration", read_threshold)):
        if raw.get(name) is not None:
            try:
                read(raw[name])
            except ValueError as error:
                return str(error)
    if raw["kind"] not in get_args(Kind):
        return f"kind is {raw['kind']!r}, not full or adapter"
    return "" if _ID.fullmatch(raw["id"]) and ".." not in raw["id"] else f"{raw['id']!r} is no model id"
