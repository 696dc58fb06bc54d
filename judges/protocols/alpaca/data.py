"""What the length-controlled win rate needs beyond annotations: difficulties, and annotations of gamed baselines.

The authors publish both on the hub only (`df_gamed.csv`, `instruction_difficulty.csv` of tatsu-lab/alpaca_eval). They
are read from the data folder (`--data-dir`, HARNESS_DATA_DIR) under these names, or as JSON lines that were
reconstructed from published fits; without a folder, from the hub. Results say which it was. The gamed file repeats the
difficulties, so it is enough; difficulties alone give the formula without gamed rows.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path

import numpy as np

from harness.datasets import data_folder
from harness.datasets.local import read_file
from harness.errors import DataError, PrerequisiteError
from harness.types import Json
from judges.protocols.alpaca.glm import GlmData, Rows

SIZE = 805
"""Instructions of AlpacaEval."""
BASELINE = "gpt4_1106_preview"
"""The opponent of AlpacaEval 2."""
HUB = "tatsu-lab/alpaca_eval"
REVISION = "2edc6fad8be6b14ea7230aabfd08188da6b8b814"
GAMED_CSV, DIFFICULTY_CSV = "df_gamed.csv", "instruction_difficulty.csv"
GAMED_JSONL, DIFFICULTY_JSONL = "alpaca_eval_df_gamed_reconstructed.jsonl", "alpaca_eval_instruction_difficulty.jsonl"

RECONSTRUCTED = "RECONSTRUCTED from published fits"
"""What the provenance says of numbers that are not the authors' own file."""

Row = tuple[Mapping[str, Json], str]
"""A row and where it stands."""


def load_glm_data(data_dir: Path | None) -> GlmData | None:
    """Difficulties and gamed annotations; None where there are none, so that only the minimal formula is left.

    Raises `DataError` for a file that is there and wrong, or a data folder that does not exist.
    """
    folder = data_folder(data_dir)
    return _from_hub() if folder is None else _from_folder(folder)


@cache
def _from_hub() -> GlmData | None:
    from harness.datasets.hub import fetch_file  # only here: it imports the hub's client

    try:
        path = fetch_file(HUB, GAMED_CSV, REVISION)
    except PrerequisiteError:
        return None
    return _with_gamed(_csv(path), "preference", f"{GAMED_CSV} of the hub data set {HUB} at {REVISION[:8]}", None)


@cache
def _from_folder(folder: Path) -> GlmData | None:
    for name, column in ((GAMED_CSV, "preference"), (GAMED_JSONL, "preference_pseudo")):
        if (folder / name).is_file():
            rows = _csv(folder / name) if name.endswith(".csv") else _jsonl(folder, name)
            note = f", {RECONSTRUCTED} (not the authors' file)" if name == GAMED_JSONL else ""
            return _with_gamed(rows, column, name + note, _difficulty(folder))
    difficulty = _difficulty(folder)
    if difficulty is None:
        return None
    return GlmData(difficulty[0], None, f"{difficulty[1]}; no gamed annotations")


def _with_gamed(rows: Iterator[Row], column: str, source: str, difficulty: tuple[np.ndarray, str] | None) -> GlmData:
    """The gamed rows, with the difficulties that they repeat or, where it exists, those of the file of its own."""
    keys = ("std_delta_len", "instruction_difficulty", column)
    indices, values = [], []
    for row, where in rows:
        indices.append(_index(row.get("index"), where))
        values.append([_number(row.get(key), key, where) for key in keys])
        if not 0.0 <= values[-1][2] <= 1.0:
            raise DataError(f"{where}: {column} should be in [0, 1], is {values[-1][2]}")
    if sorted(indices) != sorted([*range(SIZE), *range(SIZE)]):
        raise DataError(f"{source}: expected two rows for each of {SIZE} instructions, found {len(indices)} rows")
    delta, hard, preference = np.array(values).T
    index = np.array(indices, dtype=np.intp)
    own = np.empty(SIZE)
    own[index] = hard
    if difficulty is not None:
        if float(np.abs(difficulty[0] - own).max()) > 1e-6:
            raise DataError(f"{source} and {difficulty[1]} disagree about instruction_difficulty: mixed versions")
        source = f"{source}; {difficulty[1]}"
    return GlmData(own, Rows(preference, delta, index, hard), source)


def _difficulty(folder: Path) -> tuple[np.ndarray, str] | None:
    if (folder / DIFFICULTY_CSV).is_file():
        rows, name, note = _csv(folder / DIFFICULTY_CSV), DIFFICULTY_CSV, ""
    elif (folder / DIFFICULTY_JSONL).is_file():
        rows, name, note = _jsonl(folder, DIFFICULTY_JSONL), DIFFICULTY_JSONL, f", {RECONSTRUCTED}"
    else:
        return None
    found: dict[int, float] = {}
    for row, where in rows:
        index = _index(row.get("index", row.get("")), where)  # the authors' file leaves the index column unnamed
        if index in found:
            raise DataError(f"{where}: instruction {index} twice")
        found[index] = _number(row.get("instruction_difficulty"), "instruction_difficulty", where)
    if len(found) != SIZE:
        raise DataError(f"{folder / name}: {len(found)} difficulties, expected {SIZE}")
    return np.array([found[index] for index in range(SIZE)]), name + note


def _jsonl(folder: Path, name: str) -> Iterator[Row]:
    for raw in read_file(folder, name, None):
        yield raw.fields, raw.where


def _csv(path: Path) -> Iterator[Row]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            for number, row in enumerate(csv.DictReader(stream, strict=True), start=2):
                if None in row or None in row.values():
                    raise DataError(f"{path}:{number}: another number of columns than the header")
                yield row, f"{path}:{number}"
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read: {error}") from error


def _convert(value: Json, kind: Callable[[str | float], float], what: str, where: str) -> float:
    try:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ValueError
        number = kind(value)
    except ValueError:
        raise DataError(f"{where}: {what} should be a number, is {value!r}") from None
    if not math.isfinite(number):
        raise DataError(f"{where}: {what} is {number}")
    return number


def _number(value: Json, what: str, where: str) -> float:
    return _convert(value, float, what, where)


def _index(value: Json, where: str) -> int:
    number = _convert(value, float, "index", where)
    if number != int(number) or not 0 <= number < SIZE:
        raise DataError(f"{where}: index should be a whole number from 0 to {SIZE - 1}, is {value!r}")
    return int(number)
