"""The examples of a stage whose responses the student writes: prompts alone, as ids; and responses that are given."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from backends.records.record import TrainRecord
from backends.records.segments import (
    CODE,
    Encoded,
    Encoder,
    Example,
    Tokenised,
    Unusable,
    encode_or_count,
    example_of,
    tokenise,
)
from backends.rollouts.types import Rollout


def prompts(
    encoder: Encoder, records: Iterable[TrainRecord], begun: Callable[[TrainRecord], str] | None = None
) -> Tokenised:
    """One example of each record's prompt, in which nothing is learnt; one that leaves no room is left out, counted.

    `begun`: what its completions begin with (`Rolling.begun`).
    """

    def encode(record: TrainRecord) -> tuple[Example, ...]:
        tokens = (encoder.prompt(record) if begun is None else encoder.begun(record, begun(record))).tokens
        if len(tokens) + 1 > encoder.max_length:
            raise Unusable("too_long")
        return (Example(record.id, (prompt_only(tokens),)),)

    return encode_or_count(encode, records)


def prompt_only(tokens: Iterable[int]) -> Encoded:
    """A prompt as a sequence in which no token is learnt."""
    ids_T = np.array([*tokens], np.int32)
    return Encoded(ids_T, np.full(len(ids_T), CODE["prompt"], np.int8))


def answered_prompts(encoder: Encoder, records: Sequence[TrainRecord]) -> Tokenised:
    """The prompts of the records whose response can be trained on: some of them will stand in for completions."""
    usable = tokenise(encoder, records)
    kept = {example.id for example in usable.examples}
    found = prompts(encoder, [record for record in records if record.id in kept])
    return Tokenised(found.examples, usable.left_out)


def given(encoder: Encoder, record: TrainRecord, visit: int, sample: int, seed: int, version: int) -> Rollout:
    """The record's response where a completion would stand; nobody drew it, and its log-probabilities say so: NaN."""
    (sequence,) = example_of(encoder, record).sequences
    learnt_T = sequence.supervised_T
    tokens_T = sequence.ids_T[learnt_T]
    return Rollout(
        record=record.id,
        visit=visit,
        sample=sample,
        seed=seed,
        prompt_T=sequence.ids_T[~learnt_T],
        tokens_T=tokens_T,
        logps_T=np.full(len(tokens_T), np.nan, np.float32),
        text=encoder.tokenizer.decode(tokens_T[:-1].tolist()),
        finish="stop",
        version=version,
        opened_think=encoder.prompt(record).opened_think,
    )
