"""Edit alignment: golden scripts, the tie-break against a plain table, invariants, speed and memory."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.losses.edit import EditOp, edit_distance, key_tokens, levenshtein_ops, unmatched
from harness.errors import DataError

few = st.lists(st.integers(0, 3), max_size=14)


def ids(text):
    return [ord(letter) for letter in text]


def plain_ops(a, b):
    """Independent reference: the whole table in Python, backtrace delete, insert, diagonal."""
    table = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i in range(len(a) + 1):
        for j in range(len(b) + 1):
            if i == 0 or j == 0:
                table[i][j] = i + j
            else:
                diagonal = table[i - 1][j - 1] + (a[i - 1] != b[j - 1])
                table[i][j] = min(diagonal, table[i - 1][j] + 1, table[i][j - 1] + 1)
    ops, i, j = [], len(a), len(b)
    while i or j:
        if i and table[i][j] == table[i - 1][j] + 1:
            i -= 1
            ops.append(("delete", i, j))
        elif j and table[i][j] == table[i][j - 1] + 1:
            j -= 1
            ops.append(("insert", i, j))
        else:
            i, j = i - 1, j - 1
            ops.append(("match" if a[i] == b[j] else "replace", i, j))
    return table[len(a)][len(b)], ops[::-1]


def apply_ops(ops, source, target):
    """What the script makes of the source, and whether it reads both from left to right without a gap."""
    made, i, j = [], 0, 0
    for op, at, to in ops:
        assert (at, to) == (i, j)
        if op == "match":
            assert source[at] == target[to]
        if op == "replace":
            assert source[at] != target[to]
        if op != "delete":
            made.append(target[to])
        i, j = i + (op != "insert"), j + (op != "delete")
    assert (i, j) == (len(source), len(target))
    return made


GOLDEN = [
    ("", "", []),
    ("", "ab", [("insert", 0, 0), ("insert", 0, 1)]),
    ("ab", "", [("delete", 0, 0), ("delete", 1, 0)]),
    ("a", "b", [("replace", 0, 0)]),
    ("abc", "abc", [("match", 0, 0), ("match", 1, 1), ("match", 2, 2)]),
    # Two equal tokens against one: the later one is deleted, though matching it would cost the same.
    ("aa", "a", [("match", 0, 0), ("delete", 1, 1)]),
    ("xbb", "xb", [("match", 0, 0), ("match", 1, 1), ("delete", 2, 2)]),
    ("a", "aa", [("match", 0, 0), ("insert", 1, 1)]),
    # Two replacements cost as much as delete and insert: the delete comes first in the backtrace, so last here.
    ("ab", "ba", [("insert", 0, 0), ("match", 0, 1), ("delete", 1, 2)]),
    ("4*7=28", "4*7=26", [*[("match", i, i) for i in range(5)], ("replace", 5, 5)]),
]


@pytest.mark.parametrize(("source", "target", "ops"), GOLDEN)
def test_golden_scripts(source, target, ops):
    assert levenshtein_ops(ids(source), ids(target)) == [EditOp(*op) for op in ops]


@pytest.mark.parametrize(
    ("source", "target", "distance"),
    [("kitten", "sitting", 3), ("intention", "execution", 5), ("", "abc", 3), ("flaw", "lawn", 2), ("same", "same", 0)],
)
def test_known_distances(source, target, distance):
    assert edit_distance(ids(source), ids(target)) == distance


@given(few, few)
def test_same_script_as_the_whole_table(a, b):
    distance, ops = plain_ops(a, b)
    assert levenshtein_ops(a, b) == ops
    assert edit_distance(a, b) == distance


@given(few, few)
def test_script_turns_source_into_target_with_distance_many_moves(a, b):
    ops = levenshtein_ops(a, b)
    assert apply_ops(ops, a, b) == b
    distance = edit_distance(a, b)
    assert sum(op.op != "match" for op in ops) == distance
    assert abs(len(a) - len(b)) <= distance <= max(len(a), len(b))
    assert edit_distance(b, a) == distance
    assert (distance == 0) == (a == b)


@given(few, few, few)
def test_triangle_inequality(a, b, c):
    assert edit_distance(a, c) <= edit_distance(a, b) + edit_distance(b, c)


@given(few, few, few)
def test_common_prefix_is_matched_and_changes_nothing_after_it(prefix, a, b):
    ops = levenshtein_ops(prefix + a, prefix + b)
    assert [op for op, _, _ in ops[: len(prefix)]] == ["match"] * len(prefix)
    assert [op for op, _, _ in ops[len(prefix) :]] == [op for op, _, _ in levenshtein_ops(a, b)]


@given(few, few)
def test_unmatched_tokens_are_those_deleted_or_replaced(a, b):
    ops = [op for op, _, _ in levenshtein_ops(a, b)]
    assert unmatched(a, b).sum() == ops.count("replace") + ops.count("delete")
    assert len(b) - ops.count("match") == ops.count("replace") + ops.count("insert")


@given(few.filter(len), few.filter(len), st.permutations(range(4)))
def test_keys_depend_on_equality_of_ids_only(a, b, names):
    keys, renamed = key_tokens(a, b), key_tokens([names[x] for x in a], [names[x] for x in b])
    assert keys[0].tolist() == renamed[0].tolist()
    assert keys[1].tolist() == renamed[1].tolist()


@given(few.filter(len), few.filter(len))
def test_swapping_the_pair_swaps_the_keys(a, b):
    keys, swapped = key_tokens(a, b), key_tokens(b, a)
    assert keys[0].tolist() == swapped[1].tolist()
    assert keys[1].tolist() == swapped[0].tolist()


def test_key_tokens_by_hand():
    right = ["20", "+", "4", "*", "7", "=", "48", "so", "48", "-", "8", "=", "40"]
    wrong = ["20", "+", "4", "*", "7", "=", "46", "so", "46", "-", "8", "=", "38"]
    names = {word: index for index, word in enumerate(dict.fromkeys(right + wrong))}
    keys = key_tokens([names[w] for w in right], [names[w] for w in wrong])
    assert [w for w, key in zip(right, keys[0], strict=True) if key] == ["48", "48", "40"]
    assert [w for w, key in zip(wrong, keys[1], strict=True) if key] == ["46", "46", "38"]
    assert sum(map(len, keys)) == 26


def test_identical_responses_have_no_key_token():
    keys = key_tokens([5, 6, 7], [5, 6, 7])
    assert not keys[0].any()
    assert not keys[1].any()


def test_disjoint_responses_are_key_throughout():
    keys = key_tokens([1, 2, 3], [4, 5, 6])
    assert keys[0].all()
    assert keys[1].all()


def test_arrays_of_any_integer_type_are_accepted():
    a, b = np.array([1, 2, 3], dtype=np.uint16), np.array([1, 3], dtype=np.int64)
    assert levenshtein_ops(a, b) == levenshtein_ops([1, 2, 3], [1, 3])


@pytest.mark.parametrize("bad", [["a", "b"], [1.5, 2.0], [[1, 2], [3, 4]], [True, False]])
def test_what_is_no_row_of_ids_is_refused(bad):
    with pytest.raises(DataError, match="token ids in one dimension"):
        levenshtein_ops(bad, [1, 2])


@pytest.mark.parametrize(("chosen", "rejected", "which"), [([], [1], "right"), ([1], [], "wrong")])
def test_empty_response_of_a_pair_is_refused(chosen, rejected, which):
    with pytest.raises(DataError, match=f"the {which} response of the pair has no tokens"):
        key_tokens(chosen, rejected)


@pytest.mark.parametrize("length", [1, 2, 3, 15, 16, 17, 40, 99])
def test_every_length_around_a_checkpoint(length):
    rng = np.random.default_rng(length)
    a, b = rng.integers(0, 4, length).tolist(), rng.integers(0, 4, length + 3).tolist()
    assert levenshtein_ops(a, b) == plain_ops(a, b)[1]
    assert levenshtein_ops(b, a) == plain_ops(b, a)[1]


def test_chains_of_2000_tokens_take_little_memory():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 500, 2000), rng.integers(0, 500, 2100)
    keys = key_tokens(a, b)  # about 0.2 s alone on one core
    assert keys[0].sum() > 1000
    tracemalloc.start()
    levenshtein_ops(a, b)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4e6  # the whole table would take 16.8 MB
