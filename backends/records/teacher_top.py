"""A teacher's likeliest next tokens, stored in a record: distillation of distributions without the teacher's weights.

Two forms, both in a record's `meta`, both for its response:

    "teacher_topk": {"ids": [[17, 4], …], "logprobs": [[-0.1, -2.5], …]}

for a teacher with the student's tokenizer: one row for each response token and one for the end of sequence, each with
its likeliest token ids and their log-probabilities in nats at temperature 1, the likeliest first; and

    "teacher_top": [{"token": " is", "top": {" is": -0.1, " was": -2.5}}, …]

for any teacher: its own tokens of the response as text, in order, each with the likeliest tokens at that place.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backends.records.record import TrainRecord
from backends.records.segments import Encoded, Example
from harness.errors import DataError
from harness.types import Json

LOGPS, IDS = "teacher_logps", "teacher_ids"
"""Extras of a sequence: float32 (T, K), -inf in unused slots, and int64 (T, K), for the token at its own place."""


def with_topk(example: Example, record: TrainRecord) -> Example:
    """The example with the teacher's stored top-k of "teacher_topk" at its response tokens.

    Raises `DataError` for a record without it, or of which it does not fit the response's tokens.
    """
    (sequence,) = example.sequences
    rows = _rows(record)
    places = np.flatnonzero(sequence.supervised_T)
    if len(rows) != len(places):
        raise DataError(
            f"record {record.id!r}: teacher_topk has {len(rows)} rows, but the response has {len(places)} tokens, end "
            "of sequence included: it must be of this tokenizer and this response"
        )
    width = max(len(ids) for ids, _ in rows)
    logps = np.full((len(places), width), -math.inf, np.float32)
    ids = np.zeros((len(places), width), np.int64)
    for place, (row_ids, row_logps) in enumerate(rows):
        ids[place, : len(row_ids)] = row_ids
        logps[place, : len(row_logps)] = row_logps
    return replace(example, sequences=(at_tokens(sequence, logps, ids),))


def at_tokens(sequence: Encoded, logps_NK: NDArray[Any], ids_NK: NDArray[Any]) -> Encoded:
    """The sequence with a distribution at each of its N learnt tokens; elsewhere all slots are unused."""
    places = np.flatnonzero(sequence.supervised_T)
    logps_TK = np.full((len(sequence.ids_T), logps_NK.shape[1]), -math.inf, np.float32)
    ids_TK = np.zeros(logps_TK.shape, np.int64)
    logps_TK[places], ids_TK[places] = logps_NK, ids_NK
    return replace(sequence, extras={**sequence.extras, LOGPS: logps_TK, IDS: ids_TK})


def same_width(examples: Sequence[Example]) -> tuple[Example, ...]:
    """The examples with as many slots as the widest of them has, so that they fit into one batch."""
    width = max(sequence.extras[LOGPS].shape[1] for example in examples for sequence in example.sequences)
    return tuple(
        replace(example, sequences=tuple(_widened(sequence, width) for sequence in example.sequences))
        for example in examples
    )


def _widened(sequence: Encoded, width: int) -> Encoded:
    logps, ids = sequence.extras[LOGPS], sequence.extras[IDS]
    more = ((0, 0), (0, width - logps.shape[1]))
    wide = {LOGPS: np.pad(logps, more, constant_values=-math.inf), IDS: np.pad(ids, more)}
    return replace(sequence, extras={**sequence.extras, **wide})


def _rows(record: TrainRecord) -> list[tuple[list[int], list[float]]]:
    stored = record.meta.get("teacher_topk")
    if not isinstance(stored, dict) or set(stored) != {"ids", "logprobs"}:
        raise DataError(
            f"record {record.id!r} has no stored teacher distributions: its meta needs 'teacher_topk' with 'ids' and "
            "'logprobs'"
        )
    ids, logps = stored["ids"], stored["logprobs"]
    if not isinstance(ids, list) or not isinstance(logps, list) or len(ids) != len(logps) or not ids:
        raise DataError(f"record {record.id!r}: teacher_topk needs as many rows of 'ids' as of 'logprobs'")
    return [_row(record.id, number, *pair) for number, pair in enumerate(zip(ids, logps, strict=True))]


def _row(record_id: str, number: int, ids: Json, logps: Json) -> tuple[list[int], list[float]]:
    where = f"record {record_id!r}: teacher_topk row {number}"
    if not isinstance(ids, list) or not isinstance(logps, list) or len(ids) != len(logps) or not ids:
        raise DataError(f"{where} needs as many ids as log-probabilities, at least one")
    numbers = all(isinstance(i, int) and not isinstance(i, bool) and i >= 0 for i in ids)
    if not numbers or len({str(i) for i in ids}) < len(ids):
        raise DataError(f"{where}: ids must be token numbers, each once")
    if not all(_is_number(x) and x <= 0 for x in logps):
        raise DataError(f"{where}: log-probabilities must be numbers of at most 0")
    total = sum(math.exp(float(x)) for x in logps)
    if total > 1.001:
        raise DataError(f"{where}: the probabilities sum to {total:.3f}, more than 1")
    order = sorted(range(len(ids)), key=lambda k: -logps[k])  # the first slot is always used, and top_k cuts the last
    return [ids[k] for k in order], [float(logps[k]) for k in order]


def stored_top(record: TrainRecord) -> list[tuple[str, dict[str, float]]]:
    """(token, its likeliest alternatives) of "teacher_top". Raises `DataError` if it is missing or malformed."""
    stored = record.meta.get("teacher_top")
    if not isinstance(stored, list) or not stored:
        raise DataError(f"record {record.id!r} has no stored teacher distributions: its meta needs 'teacher_top'")
    found = []
    for number, item in enumerate(stored):
        token, top = (item.get("token"), item.get("top")) if isinstance(item, dict) else (None, None)
        if not isinstance(token, str) or not isinstance(top, dict) or not all(_is_number(x) for x in top.values()):
            raise DataError(
                f"record {record.id!r}: teacher_top[{number}] needs 'token' and 'top', log-probabilities by token"
            )
        found.append((token, {text: float(x) for text, x in top.items()}))
    return found


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
