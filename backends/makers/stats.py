"""What is in a file of records: fields, how the responses split, lengths, what cannot be trained on, the data hash."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from backends.records.record import FIELDS, TrainRecord, data_hash, has, response_text
from backends.records.segments import Encoder, Field, tokenise
from backends.records.spans import never_closes, split_response
from harness.errors import DataError

_SEQUENCES: tuple[Field, ...] = ("response", "rejected", "positives", "negatives", "candidates")


def stats(records: Sequence[TrainRecord], tokenizer: Any = None, max_length: int = 1 << 20) -> dict[str, Any]:
    """The summary; `tokenizer` is a fast one of transformers, `max_length` what responses are held against.

    fields: those that records have; splits: by the rule of `backends.records.spans`, "none" or "unclosed" where none
    applies; words and tokens (of prompt and response together): median, 95th percentile and longest of each sequence
    field; unusable: why a response cannot be trained on. Numbers are counts of records.
    """
    if not records:
        raise DataError("there are no records")
    splits: Counter[str] = Counter()
    without = 0
    for record in records:
        text = response_text(record)
        if text is None:
            continue
        split = split_response(text)
        splits[split.rule if split is not None else "unclosed" if never_closes(text) else "none"] += 1
        without += split is not None and not text[split.think_start : split.think_end].strip()
    lengths = {
        name: [len(text.split()) for record in records for text in texts_of(record, name)] for name in _SEQUENCES
    }
    tokens, unusable = _tokens(records, tokenizer, max_length) if tokenizer is not None else ({}, {})
    return {
        "records": len(records),
        "data_hash": data_hash(records),
        "fields": {name: count for name in FIELDS if (count := sum(has(record, name) for record in records))},
        "splits": dict(splits.most_common()),
        "without_chain": without,
        "words": {name: _spread(found) for name, found in lengths.items() if found},
        "meta": _meta(records),
        "tokens": tokens,
        "unusable": unusable,
    }


def texts_of(record: TrainRecord, name: Field) -> list[str]:
    """The sequences of one field."""
    if name == "candidates":
        return [candidate.text for candidate in record.candidates]
    if name in ("positives", "negatives"):
        return list(record.positives if name == "positives" else record.negatives)
    text = response_text(record) if name == "response" else record.rejected
    return [text] if text is not None else []


def _spread(values: Sequence[int]) -> dict[str, float]:
    ranked = sorted(values)
    p95 = ranked[math.ceil(0.95 * len(ranked)) - 1]  # nearest rank: of few values never below the median
    return {"median": ranked[len(ranked) // 2], "p95": p95, "longest": ranked[-1]}


def _meta(records: Sequence[TrainRecord]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for name in ("dataset", "split", "teacher", "verified", "pair", "difficulty"):
        values = Counter(str(record.meta[name]) for record in records if name in record.meta)
        if values:
            found[name] = dict(values.most_common(10))
    return found


def _tokens(
    records: Sequence[TrainRecord], tokenizer: Any, max_length: int
) -> tuple[dict[str, dict[str, float]], dict[str, int]]:
    encoder = Encoder(tokenizer, max_length)
    tokens: dict[str, dict[str, float]] = {}
    unusable: Counter[str] = Counter()
    for name in _SEQUENCES:
        having = [record for record in records if texts_of(record, name)]
        if name == "candidates":
            having = [r for r in having if all(candidate.reward is not None for candidate in r.candidates)]
        if not having:
            continue
        try:
            data = tokenise(encoder, having, (name,))
        except DataError as error:
            if "no record can be trained on" not in str(error):
                raise
            unusable[f"{name}: all"] += len(having)
            continue
        tokens[name] = _spread([len(one.ids_T) for example in data.examples for one in example.sequences])
        for reason, ids in data.left_out.items():
            unusable[f"{name}: {reason}"] += len(ids)
    return tokens, dict(unusable)
