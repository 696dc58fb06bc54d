"""The examples of a stage whose responses the student writes: prompts alone, as ids."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from backends.records.record import TrainRecord
from backends.records.segments import CODE, Encoded, Encoder, Example, Tokenised, Unusable, encode_or_count


def prompts(encoder: Encoder, records: Iterable[TrainRecord]) -> Tokenised:
    """One example of each record's prompt, in which nothing is learnt; one that leaves no room is left out, counted."""

    def encode(record: TrainRecord) -> tuple[Example, ...]:
        tokens = encoder.prompt(record).tokens
        if len(tokens) + 1 > encoder.max_length:
            raise Unusable("too_long")
        return (Example(record.id, (prompt_only(tokens),)),)

    return encode_or_count(encode, records)


def prompt_only(tokens: Iterable[int]) -> Encoded:
    """A prompt as a sequence in which no token is learnt."""
    ids_T = np.array([*tokens], np.int32)
    return Encoded(ids_T, np.full(len(ids_T), CODE["prompt"], np.int8))
