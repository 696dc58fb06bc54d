"""Edit alignment of two token sequences, and which tokens of a dual pair are its key reasoning steps.

Unit-cost Levenshtein with a fixed tie-break, so that the same pair always has the same key tokens (EDIT,
arXiv 2405.19737). Among optimal moves the backtrace, which runs from the ends, takes delete before insert before
match/replace, as the authors' precomputation does.

Cost: time n*m, one numpy pass per row; memory m*sqrt(n): every sqrt(n)-th row is kept, and the backtrace recomputes
the rows between two of them when it gets there. Two chains of 2,000 tokens take well under a second and 1 MB.

    from backends.losses.edit import key_tokens
    chosen_T, rejected_T = key_tokens(chosen_ids, rejected_ids)      # response tokens only
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from harness.errors import DataError

Move = Literal["match", "replace", "delete", "insert"]
Row: TypeAlias = npt.NDArray[np.int32]
Tokens: TypeAlias = Sequence[int] | npt.NDArray[np.integer]


class EditOp(NamedTuple):
    """One step of turning the source into the target."""

    op: Move
    source: int
    """Index in the source of the token that is matched, replaced or deleted; for "insert", where it goes in."""
    target: int
    """Index in the target of the token that is matched, put in place or inserted; for "delete", the next one's."""


def edit_distance(source: Tokens, target: Tokens) -> int:
    """Least number of deletions, insertions and replacements.

    A column of the table is two whole numbers, a bit for each place where it rises and where it falls (Myers 1999, J.
    ACM 46(3); Hyyrö 2003): six to eighteen times as fast as the rows, for those who compare many texts.
    """
    a, b = _ids(source, "source").tolist(), _ids(target, "target").tolist()
    if not a:
        return len(b)
    places: dict[int, int] = {}
    for at, token in enumerate(a):
        places[token] = places.get(token, 0) | 1 << at
    mask, last = (1 << len(a)) - 1, 1 << len(a) - 1
    rises, falls, distance = mask, 0, len(a)
    for token in b:
        same = places.get(token, 0)
        across = (((same & rises) + rises) ^ rises) | same
        up, down = falls | (mask & ~(across | rises)), rises & across
        distance += bool(up & last) - bool(down & last)
        up, down = (up << 1 | 1) & mask, down << 1 & mask
        level = same | falls
        rises, falls = down | (mask & ~(level | up)), up & level
    return distance


def levenshtein_ops(source: Tokens, target: Tokens) -> list[EditOp]:
    """The optimal edit script from left to right, ties broken as the module says.

    `source` and `target` are one-dimensional sequences of token ids, either of which may be empty. The number of
    moves that are no match is the edit distance. Raises `DataError` for anything but whole numbers in one dimension.
    """
    a, b = _ids(source, "source"), _ids(target, "target")
    # A common prefix is always matched under this tie-break, so its cells need no table. A common suffix is not:
    # deleting the last of two equal tokens comes before matching it.
    prefix = _common_prefix(a, b)
    ops = [EditOp("match", index, index) for index in range(prefix)]
    ops += (EditOp(op, i + prefix, j + prefix) for op, i, j in reversed(list(_backtrace(a[prefix:], b[prefix:]))))
    return ops


def unmatched(source: Tokens, target: Tokens) -> npt.NDArray[np.bool_]:
    """Flags of the source's tokens that aligning it with the target deletes or replaces."""
    flags = np.zeros(len(source), dtype=np.bool_)
    for op, index, _ in levenshtein_ops(source, target):
        if op in ("delete", "replace"):
            flags[index] = True
    return flags


def key_tokens(chosen: Tokens, rejected: Tokens) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """A flag for each token of the right and of the wrong response of a dual pair: aligning leaves it unmatched.

    Each response is aligned as the source against the other as the target.

    Two alignments, not one, because the tie-break is not symmetric; this is the authors' way. Give response tokens
    only: no prompt, no padding. Raises `DataError` for a response without tokens.
    """
    for name, response in (("right", chosen), ("wrong", rejected)):
        if len(response) == 0:
            raise DataError(f"the {name} response of the pair has no tokens; drop the pair or check its columns")
    return unmatched(chosen, rejected), unmatched(rejected, chosen)


def _ids(tokens: Tokens, name: str) -> npt.NDArray[np.int64]:
    """As an array; an empty list has no integer type of its own, so length goes first."""
    array = np.asarray(tokens)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise DataError(
            f"the {name} must be token ids in one dimension, not {array.dtype} of shape {array.shape}: "
            "give one response at a time"
        )
    return array.astype(np.int64)


def _common_prefix(a: npt.NDArray[np.int64], b: npt.NDArray[np.int64]) -> int:
    shorter = min(len(a), len(b))
    differ = np.flatnonzero(a[:shorter] != b[:shorter])
    return int(differ[0]) if len(differ) else shorter


def _first_row(b: npt.NDArray[np.int64]) -> Row:
    """Distances of the empty source to every prefix of the target."""
    return np.arange(len(b) + 1, dtype=np.int32)


def _rows(row: Row, a: npt.NDArray[np.int64], b: npt.NDArray[np.int64], start: int) -> Iterator[Row]:
    """Row `start` of the distance table, which is `row`, and the next ones, for the source tokens `a` from there on.

    An insertion depends on its left neighbour, which looks sequential: cell j is the least of (candidate k) + (j - k)
    over k <= j, and that is a running minimum of (candidate k) - k.
    """
    columns = np.arange(len(b) + 1, dtype=np.int32)
    yield row
    for index, token in enumerate(a, start=start + 1):
        candidate = np.empty_like(row)
        candidate[0] = index
        np.minimum(row[:-1] + (b != token), row[1:] + 1, out=candidate[1:], casting="same_kind")
        row = np.minimum.accumulate(candidate - columns) + columns
        yield row


def _backtrace(a: npt.NDArray[np.int64], b: npt.NDArray[np.int64]) -> Iterator[EditOp]:
    """Moves from the ends to the beginnings."""
    stride = max(1, math.isqrt(len(a)))
    kept = [row for index, row in enumerate(_rows(_first_row(b), a, b, 0)) if index % stride == 0]
    i, j = len(a), len(b)
    block: list[Row] = []
    base = i  # no block yet: nothing above row i is at hand
    while i > 0:
        if i <= base:
            base = (i - 1) // stride * stride
            block = list(_rows(kept[base // stride], a[base:i], b, base))
        here, above = block[i - base], block[i - 1 - base]
        if here[j] == above[j] + 1:
            i -= 1
            yield EditOp("delete", i, j)
        elif j > 0 and here[j] == here[j - 1] + 1:
            j -= 1
            yield EditOp("insert", i, j)
        else:
            i, j = i - 1, j - 1
            yield EditOp("match" if a[i] == b[j] else "replace", i, j)
    for column in range(j - 1, -1, -1):
        yield EditOp("insert", 0, column)
