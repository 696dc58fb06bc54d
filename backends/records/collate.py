"""Examples to padded tensors: the batch that every trainer here gets.

Rows come slot by slot: with pairs the B chosen responses first, then the B rejected ones in the same order, so that a
loss splits the batch in halves. Labels are not shifted (position t holds token t, as transformers models expect) and
are masked by segment, never by id: with a padding token that is also the end of sequence, the end is still learnt.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from backends.records.segments import CODE, IGNORED, Encoded, Example
from harness.errors import DataError

if TYPE_CHECKING:
    pass


def collate(examples: Sequence[Example], pad_id: int) -> dict[str, Any]:
    """The batch of R rows (examples x slots) and T positions, as CPU tensors, padded on the right to the longest.

    - "input_ids" (R, T) int64 and "attention_mask" (R, T) int64, 1 on tokens, 0 on padding;
    - "labels" (R, T) int64: the ids where supervised, else -100;
    - "segments" (R, T) int64: codes of `backends.records.segments.SEGMENTS`;
    - "example" (R,), "slot" (R,) and "index" (R,) int64: which example of the batch a row is of, which of its
      sequences it is, and the example's number in the data set;
    - "rewards" (R,) float32, only where the examples have rewards;
    - the sequences' `extras` under their own names, (R, T, …), 0 in the padding;
    - "numbers": those of the examples by name, (R,) float32, 0 where an example has none of that name, and "aside": a
      batch like this one of the sequences aside, in the same rows; each only where the examples have any.

    Raises `DataError` for an empty batch, and for one in which only some examples have rewards or sequences aside, or
    not one for each sequence.
    """
    import torch

    rows = _rows(examples)
    longest = max(len(sequence.ids_T) for _, _, sequence in rows)
    ids_RT = np.full((len(rows), longest), pad_id, np.int64)
    mask_RT = np.zeros((len(rows), longest), np.int64)
    labels_RT = np.full((len(rows), longest), IGNORED, np.int64)
    segments_RT = np.full((len(rows), longest), CODE["pad"], np.int64)
    for row, (_, _, sequence) in enumerate(rows):
        size = len(sequence.ids_T)
        ids_RT[row, :size] = sequence.ids_T
        mask_RT[row, :size] = 1
        labels_RT[row, :size] = sequence.labels_T
        segments_RT[row, :size] = sequence.segments_T
    arrays: dict[str, np.ndarray[Any, Any]] = {
        "input_ids": ids_RT,
        "attention_mask": mask_RT,
        "labels": labels_RT,
        "segments": segments_RT,
        "example": np.array([example for example, _, _ in rows], np.int64),
        "slot": np.array([slot for _, slot, _ in rows], np.int64),
        "index": np.array([examples[example].index for example, _, _ in rows], np.int64),
    }
    if any(example.rewards for example in examples):
        arrays["rewards"] = _rewards(examples, rows)
    collated: dict[str, Any] = {
        name: torch.from_numpy(array) for name, array in (arrays | _extras(rows, longest)).items()
    }
    names = sorted({name for example in examples for name in example.numbers})
    if names:
        of = [examples[example].numbers for example, _, _ in rows]
        collated["numbers"] = {name: torch.tensor([numbers.get(name, 0.0) for numbers in of]) for name in names}
    if any(example.aside for example in examples):
        collated["aside"] = collate([_aside(example) for example in examples], pad_id)
    return collated


def _aside(example: Example) -> Example:
    learnt = [int(sequence.supervised_T.sum()) for sequence in example.sequences]
    if learnt != [int(sequence.supervised_T.sum()) for sequence in example.aside]:
        raise DataError(f"record {example.id!r}: the sequences aside do not have the tokens that are learnt")
    return Example(example.id, example.aside, index=example.index)


def padding(tokenizer: Any) -> int:
    """What fills a batch: the padding token, else the end of sequence (masks never go by this id)."""
    pad: int | None = tokenizer.pad_token_id
    return int(tokenizer.eos_token_id) if pad is None else pad


def _extras(rows: Sequence[tuple[int, int, Encoded]], longest: int) -> dict[str, np.ndarray[Any, Any]]:
    found: dict[str, np.ndarray[Any, Any]] = {}
    for row, (_, _, sequence) in enumerate(rows):
        for name, values in sequence.extras.items():
            if name not in found:
                found[name] = np.zeros((len(rows), longest, *values.shape[1:]), values.dtype)
            found[name][row, : len(values)] = values
    return found


def _rows(examples: Sequence[Example]) -> list[tuple[int, int, Encoded]]:
    """(index of the example, slot, sequence), slot by slot."""
    slots = max((len(example.sequences) for example in examples), default=0)
    rows = [
        (index, slot, example.sequences[slot])
        for slot in range(slots)
        for index, example in enumerate(examples)
        if slot < len(example.sequences)
    ]
    if not rows:
        raise DataError("an empty batch cannot be collated")
    return rows


def _rewards(
    examples: Sequence[Example], rows: Sequence[tuple[int, int, Encoded]]
) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    for example in examples:
        if len(example.rewards) != len(example.sequences):
            raise DataError(
                f"record {example.id!r} has {len(example.rewards)} rewards for {len(example.sequences)} sequences"
            )
    return np.array([examples[example].rewards[slot] for example, slot, _ in rows], np.float32)
