"""AlpacaEval's own files, read and written: model_outputs.json, annotations.json and leaderboard.csv.

Outputs and annotations are matched to the 805 instructions by their exact text. A file in another order is put in order
(difficulty goes by position, so the order decides the score); anything else that does not fit is refused with the rows
named: unknown, changed, repeated and, in outputs, missing instructions. Annotations may lack rows, as published ones
do; the score then says so. Compact JSON lines (model, index, preference, len_1, len_2) are read as well.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.datasets.local import read_bounded
from harness.errors import DataError
from harness.files import write_output
from harness.hashing import short_hash
from harness.types import Json
from judges.protocols.alpaca.data import BASELINE
from judges.protocols.alpaca.score import AlpacaScore, Annotation, LeaderboardRow
from judges.protocols.stored_rows import Answer, some
from judges.types import Judged, Task

COLUMNS = (
    "win_rate",
    "standard_error",
    "n_wins",
    "n_wins_base",
    "n_draws",
    "n_total",
    "discrete_win_rate",
    "mode",
    "avg_length",
    "length_controlled_winrate",
    "lc_standard_error",
)
"""Of a leaderboard, after the unnamed first column with the model's name."""
MODES = ("community", "verified", "minimal", "dev")


def read_outputs(path: Path, instructions: Sequence[str]) -> list[Answer]:
    """A model_outputs.json, or compact JSON lines (index, model, output): one output for each instruction, in order.

    `metadata` has the data set and the instruction.

    Raises `DataError` for a file that is no such list, and for outputs that do not align, with the rows named.
    """
    rows = _rows(path)
    compact = "instruction" not in rows[0][0] and "index" in rows[0][0]
    texts = [
        _instruction(row, where, instructions) if compact else _text(row, "instruction", where) for row, where in rows
    ]
    places = align(texts, instructions, str(path), complete=True)
    found = {}
    for (row, where), place in zip(rows, places, strict=True):
        output, generator = _text(row, "output", where), _text(row, "model" if compact else "generator", where)
        about: dict[str, Json] = {"dataset": str(row.get("dataset", "")), "instruction": instructions[place]}
        found[place] = Answer(str(place), generator, (output,), about)
    generators = sorted({one.model for one in found.values()})
    if len(generators) > 1:
        raise DataError(f"{path}: outputs of {len(generators)} generators in one file: {', '.join(generators[:5])}")
    return [found[place] for place in range(len(instructions))]


def write_outputs(path: Path, tasks: Sequence[Task], model: str) -> None:
    """A model_outputs.json that the official tool reads."""
    rows: list[Mapping[str, Json]] = []
    for task in tasks:
        asked = {"dataset": str(task.meta.get("dataset", "")), "instruction": task.turns[-1]}
        rows.append({**asked, "output": task.answers[-1], "generator": model})
    _write_json(path, rows)


def read_annotations(path: Path, instructions: Sequence[str] | None) -> list[Annotation]:
    """An annotations.json (one model), or compact JSON lines (any number of models).

    `instructions` are the 805 texts; without them an annotations.json is taken to be in their order, unchecked.
    Raises `DataError` for a file that is neither, for preferences outside [1, 2] (0 is a draw, null is unscored), and
    for instructions that do not align, with the rows named.
    """
    rows = _rows(path)
    if "output_1" not in rows[0][0] and "len_1" in rows[0][0]:
        return [_compact(row, where) for row, where in rows]
    texts = [_text(row, "instruction", where) for row, where in rows]
    places: Sequence[int] = range(len(rows))
    if instructions is not None:
        places = align(texts, instructions, str(path), complete=False)
    return [_official(row, where, place) for (row, where), place in zip(rows, places, strict=True)]


def annotation_rows(
    tasks: Sequence[Task], judged: Sequence[Judged], *, model: str, annotator: str
) -> list[dict[str, Json]]:
    """Our judgments as rows of an annotations.json: preferences for the model from 1 to 2, null where unscored.

    Raises `DataError` for a task without an opponent.
    """
    rows: list[dict[str, Json]] = []
    for task, one in zip(tasks, judged, strict=True):
        if task.opponent is None:
            raise DataError(f"problem {task.problem_id!r} has no opponent, so there is no preference to write")
        rows.append(
            {
                "dataset": task.meta.get("dataset", ""),
                "instruction": task.turns[-1],
                "output_1": task.opponent[-1],
                "generator_1": BASELINE,
                "output_2": task.answers[-1],
                "generator_2": model,
                "annotator": annotator,
                "preference": None if one.value is None else 1.0 + one.value,
                "price_per_example": None,
                "time_per_example": None,
                "raw_completion": None,
            }
        )
    return rows


def write_annotations(path: Path, rows: Sequence[Mapping[str, Json]]) -> None:
    """An annotations.json."""
    _write_json(path, rows)


def read_leaderboard(path: Path) -> list[LeaderboardRow]:
    """A leaderboard.csv. Raises `DataError`, with the line, for missing columns and for values in the wrong one."""
    text = _read(path)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next(reader, None)
        if header is None:
            raise DataError(f"{path}: the file is empty")
        absent = [name for name in COLUMNS[:6] if name not in header]
        if absent:
            raise DataError(f"{path}: no column {', '.join(absent)}; this is no AlpacaEval leaderboard")
        rows = []
        for cells in reader:
            where = f"{path}:{reader.line_num}"
            if not cells:
                continue
            if len(cells) != len(header):
                raise DataError(f"{where}: {len(cells)} values under {len(header)} columns")
            rows.append(_leaderboard_row(dict(zip(header[1:], cells[1:], strict=True)), cells[0], where))
    except csv.Error as error:
        raise DataError(f"{path}:{reader.line_num}: not CSV ({error})") from error
    return rows


def write_leaderboard(path: Path, scores: Iterable[AlpacaScore], mode: str = "community") -> None:
    """A leaderboard.csv with the official columns. Standard errors are the published ones, without the fit's."""
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["", *COLUMNS])
    for one in scores:
        counts = (one.n_wins, one.n_wins_base, one.n_draws, one.n_total)
        tail = ["" if value is None else repr(value) for value in (one.lc, one.lc_se)]
        head = (one.model, repr(one.win_rate), repr(one.standard_error), *counts, repr(one.discrete_win_rate))
        writer.writerow([*head, mode, int(one.avg_length), *tail])
    write_output(path, stream.getvalue())


def align(texts: Sequence[str], instructions: Sequence[str], source: str, *, complete: bool) -> list[int]:
    """The place of each text among the instructions; the order of `texts` does not matter.

    Raises `DataError` that names the first rows (and how many there are) that are unknown, differ in white space only,
    stand twice, or, if `complete`, are missing.
    """
    known = {instruction: place for place, instruction in enumerate(instructions)}
    loose = {_squeezed(instruction): place for instruction, place in known.items()}
    problems: list[str] = []
    strangers: list[str] = []
    places: list[int] = []
    rows: dict[int, list[int]] = {}
    for row, text in enumerate(texts):
        place = known.get(text)
        if place is not None:
            places.append(place)
            rows.setdefault(place, []).append(row)
        elif _squeezed(text) in loose:
            strangers.append(f"row {row} differs from instruction {loose[_squeezed(text)]} in white space")
        else:
            strangers.append(f"row {row} ({text[:40]!r})")
    if strangers:
        problems.append(_named(strangers, "no instruction of AlpacaEval"))
    twice = [f"instruction {place} (rows {', '.join(map(str, at))})" for place, at in rows.items() if len(at) > 1]
    if twice:
        problems.append(_named(twice, "more than once"))
    missing = [f"instruction {place}" for place in range(len(instructions)) if place not in rows]
    if missing and complete:
        problems.append(_named(missing, "missing"))
    if problems:
        raise DataError(
            f"{source} does not align with the {len(instructions)} instructions: {'; '.join(problems)}. "
            "Generate from the instructions as they are, one output for each"
        )
    return places


def _named(found: Sequence[str], what: str) -> str:
    return f"{len(found)} {what}: {some(found, 3)}"


def _squeezed(text: str) -> str:
    return " ".join(text.split())


def _compact(row: Mapping[str, Json], where: str) -> Annotation:
    return Annotation(
        model=_text(row, "model", where),
        index=_whole(row, "index", where),
        preference=_preference(row, where),
        len_1=_whole(row, "len_1", where),
        len_2=_whole(row, "len_2", where),
    )


def _official(row: Mapping[str, Json], where: str, place: int) -> Annotation:
    first, second = _text(row, "output_1", where), _text(row, "output_2", where)
    return Annotation(
        model=_text(row, "generator_2", where),
        index=place,
        preference=_preference(row, where),
        len_1=len(first),
        len_2=len(second),
        output=short_hash(second),
        baseline=_text(row, "generator_1", where),
    )


def _preference(row: Mapping[str, Json], where: str) -> float | None:
    if "preference" not in row:
        raise DataError(f"{where}: no field 'preference'")
    value = row["preference"]
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not (value == 0 or 1.0 <= value <= 2.0):
        raise DataError(f"{where}: a preference is 0 (draw), from 1 to 2, or null; this is {value!r}")
    return 1.5 if value == 0 else float(value)


def _instruction(row: Mapping[str, Json], where: str, instructions: Sequence[str]) -> str:
    index = _whole(row, "index", where)
    if index >= len(instructions):
        raise DataError(f"{where}: there is no instruction {index}, they are 0 to {len(instructions) - 1}")
    return instructions[index]


def _whole(row: Mapping[str, Json], key: str, where: str) -> int:
    value = row.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**53:
        raise DataError(f"{where}: {key!r} should be a whole number from 0, is {value!r}")
    return value


def _text(row: Mapping[str, Json], key: str, where: str) -> str:
    value = row.get(key)
    if not isinstance(value, str):
        raise DataError(f"{where}: {key!r} should be text, is {type(value).__name__ if key in row else 'absent'}")
    return value


def _leaderboard_row(cells: Mapping[str, str], model: str, where: str) -> LeaderboardRow:
    def number(name: str, low: float = 0.0, high: float = 100.0) -> float:
        text = cells.get(name, "")
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise DataError(f"{where}: {name} is {text!r}, not a number from {low:g} to {high:g}: are columns shifted?")
        return value

    def count(name: str) -> int:
        value = number(name, high=1e9)
        if value != int(value):
            raise DataError(f"{where}: {name} is {cells[name]!r}, not a whole number: are columns shifted?")
        return int(value)

    wins, losses, draws, total = (count(name) for name in ("n_wins", "n_wins_base", "n_draws", "n_total"))
    if wins + losses + draws != total:
        raise DataError(f"{where}: {wins} wins, {losses} losses and {draws} draws are not {total}: columns shifted?")
    mode = cells.get("mode", "")
    if mode not in ("", *MODES):
        raise DataError(f"{where}: mode is {mode!r}, not one of {', '.join(MODES)}: are columns shifted?")

    def optional(name: str, high: float = 100.0) -> float | None:
        return number(name, high=high) if cells.get(name) else None

    return LeaderboardRow(
        model=model,
        win_rate=number("win_rate"),
        standard_error=number("standard_error"),
        n_wins=wins,
        n_wins_base=losses,
        n_draws=draws,
        n_total=total,
        discrete_win_rate=optional("discrete_win_rate"),
        mode=mode,
        avg_length=optional("avg_length", 1e9),
        lc=optional("length_controlled_winrate"),
        lc_se=optional("lc_standard_error"),
    )


def _rows(path: Path) -> list[tuple[Mapping[str, Json], str]]:
    """The objects of a JSON list or of JSON lines, and where each stands; at least one."""
    text = _read(path)
    if text.lstrip()[:1] == "[":
        found = [(value, f"{path}, entry {number}") for number, value in enumerate(_json(text, str(path)))]
    else:
        lines = [(line, f"{path}:{number}") for number, line in enumerate(text.split("\n"), 1) if line.strip()]
        found = [(_json(line, where), where) for line, where in lines]
    if not found:
        raise DataError(f"{path}: there is nothing in it")
    for value, where in found:
        if not isinstance(value, dict):
            raise DataError(f"{where}: expected a JSON object, found {type(value).__name__}")
    return found


def _json(text: str, where: str) -> Any:
    def constant(name: str) -> float:
        if name != "NaN":  # NaN is how some tools write an annotation that failed
            raise ValueError(f"{name} is not JSON")
        return math.nan

    try:
        return json.loads(text, parse_constant=constant)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: not valid JSON ({error})") from error


def _read(path: Path) -> str:
    data = read_bounded(path)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 ({error.reason} at byte {error.start})") from error


def _write_json(path: Path, rows: Sequence[Mapping[str, Json]]) -> None:
    write_output(path, json.dumps(rows, ensure_ascii=False, indent=2, allow_nan=False) + "\n")
