"""Batches: shapes, padding, masks by segment and never by id, and the order of the rows of pairs and groups."""

# ruff: noqa: E402  # imports come after the check that they can be made

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="needs the extra hf")

from backends.records.collate import collate
from backends.records.segments import CODE, IGNORED, Encoded, Example
from backends.trainers.batch import as_batch
from harness.errors import DataError

P, T, A, PAD = CODE["prompt"], CODE["think"], CODE["answer"], CODE["pad"]
EOS = 9


def encoded(prompt: int, think: int, answer: int, first: int = 10) -> Encoded:
    """Ids count up from `first`; the last one of the answer is the end of sequence."""
    size = prompt + think + answer
    ids = np.arange(first, first + size, dtype=np.int32)
    ids[-1] = EOS
    return Encoded(ids, np.array([P] * prompt + [T] * think + [A] * answer, np.int8))


def test_a_batch_by_hand() -> None:
    batch = collate([Example("a", (encoded(2, 1, 2),)), Example("b", (encoded(1, 0, 2, 20),), index=7)], EOS)
    assert {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in batch.items()} == {
        "input_ids": ((2, 5), torch.int64),
        "attention_mask": ((2, 5), torch.int64),
        "labels": ((2, 5), torch.int64),
        "segments": ((2, 5), torch.int64),
        "example": ((2,), torch.int64),
        "slot": ((2,), torch.int64),
        "index": ((2,), torch.int64),
    }
    assert batch["index"].tolist() == [0, 7]
    assert batch["input_ids"].tolist() == [[10, 11, 12, 13, EOS], [20, 21, EOS, EOS, EOS]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]
    # padding and end of sequence are the same token here: the end is learnt, the padding is not
    assert batch["labels"].tolist() == [[IGNORED, IGNORED, 12, 13, EOS], [IGNORED, 21, EOS, IGNORED, IGNORED]]
    assert batch["segments"].tolist() == [[P, P, T, A, A], [P, A, A, PAD, PAD]]


def test_pairs_come_as_two_halves_in_the_same_order() -> None:
    pairs = [Example(name, (encoded(1, 1, 1, at), encoded(1, 1, 2, at + 5))) for name, at in (("a", 10), ("b", 30))]
    batch = collate(pairs, 0)
    assert batch["input_ids"][:, 0].tolist() == [10, 30, 15, 35]
    assert batch["example"].tolist() == [0, 1, 0, 1] and batch["slot"].tolist() == [0, 0, 1, 1]
    assert "rewards" not in batch


def test_ragged_groups_keep_their_rewards() -> None:
    groups = [
        Example("a", tuple(encoded(1, 0, 1, at) for at in (10, 20, 30)), (1.0, 0.5, -1.0)),
        Example("b", (encoded(1, 0, 2, 40), encoded(1, 0, 1, 50)), (0.25, 0.75)),
    ]
    batch = collate(groups, 0)
    assert batch["example"].tolist() == [0, 1, 0, 1, 0]
    assert batch["slot"].tolist() == [0, 0, 1, 1, 2]
    assert batch["rewards"].tolist() == [1.0, 0.25, 0.5, 0.75, -1.0]
    assert batch["input_ids"][:, 0].tolist() == [10, 40, 20, 50, 30]


def test_what_is_no_batch_is_refused() -> None:
    for empty in ([], [Example("a", ())]):
        with pytest.raises(DataError, match="empty batch"):
            collate(empty, 0)
    with pytest.raises(DataError, match="'b' has 0 rewards for 1 sequences"):
        collate([Example("a", (encoded(1, 0, 1),), (1.0,)), Example("b", (encoded(1, 0, 1),))], 0)
    with pytest.raises(DataError, match="'a' has 2 rewards for 1 sequences"):
        collate([Example("a", (encoded(1, 0, 1),), (1.0, 2.0))], 0)


sizes = st.tuples(st.integers(1, 5), st.integers(0, 5), st.integers(1, 5))


@given(st.lists(sizes, min_size=1, max_size=6), st.integers(0, 12))
def test_a_row_does_not_depend_on_its_batch(shapes: list[tuple[int, int, int]], pad_id: int) -> None:
    examples = [Example(str(i), (encoded(*shape),)) for i, shape in enumerate(shapes)]
    together = collate(examples, pad_id)
    for row, example in enumerate(examples):
        alone = collate([example], pad_id)
        size = alone["input_ids"].shape[1]
        for name in ("input_ids", "attention_mask", "labels", "segments"):
            assert torch.equal(together[name][row, :size], alone[name][0])
        rest = slice(size, None)
        assert (together["input_ids"][row, rest] == pad_id).all() and (together["segments"][row, rest] == PAD).all()
        assert (together["labels"][row, rest] == IGNORED).all()
        assert together["attention_mask"][row, rest].sum() == 0
    supervised = together["labels"] != IGNORED
    assert torch.equal(together["labels"][supervised], together["input_ids"][supervised])
    assert torch.equal(supervised, torch.isin(together["segments"], torch.tensor([T, A])))


def test_numbers_and_the_batch_aside() -> None:
    longer = encoded(4, 0, 2)
    drawn = Example("a", (encoded(1, 0, 2),), numbers={"advantage": 0.5}, aside=(longer,))
    other = Example("b", (encoded(2, 0, 1),), numbers={"dead": 1.0}, aside=(encoded(2, 0, 1),))
    batch = as_batch(collate([drawn, other], 0))
    assert batch.numbers["advantage"].tolist() == [0.5, 0.0] and batch.numbers["dead"].tolist() == [0.0, 1.0]
    assert batch.aside is not None and batch.aside.labels_RT.shape == (2, 6)
    # the same tokens are learnt in both, in the same order: values move by the masks alone
    assert batch.labels_RT[batch.mask_RT].tolist()[1] == EOS == batch.aside.labels_RT[batch.aside.mask_RT].tolist()[1]
    assert batch.mask_RT.sum(1).tolist() == batch.aside.mask_RT.sum(1).tolist() == [2, 1]
    with pytest.raises(DataError, match="'a'"):
        collate([Example("a", (encoded(1, 0, 2),), aside=(encoded(1, 0, 1),))], 0)


def test_a_plain_batch_has_neither() -> None:
    batch = as_batch(collate([Example("a", (encoded(1, 0, 2),))], 0))
    assert batch.numbers == {} and batch.aside is None
