"""The journal: a generation comes back as it was written, wholly or not at all, and never under other weights."""

import contextlib
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.rollouts.arrays import pack, unpack
from backends.rollouts.journal import Journal
from backends.rollouts.student_weights import fingerprint
from backends.rollouts.types import Rollout, RolloutGroup
from harness.errors import StoreError
from tests.drawn_groups import group, marked, rollout, same

TOLD: list[str] = []


def journal(folder: Path, hash_: str = "s", rank: int = 0, processes: int = 1) -> Journal:
    TOLD.clear()
    return Journal(folder, "train", hash_, rank, processes, TOLD.append)


def written(folder: Path, groups: list[RolloutGroup], **told: int) -> Journal:
    made = journal(folder, **told)
    made.write_drawn(5, 10, "w", groups)
    extras = {"old_logps": [one.logps_T for each in groups for one in each.rollouts]}
    made.write_marked(5, "w", [marked(each, teacher=True) for each in groups], extras, (7, len(groups)))
    return made


hostile = st.text(st.characters(codec=None), max_size=30) | st.sampled_from(
    ["", "\ud800", "a\r\nb\x00\x1b[2J", "\u202e\u2028", '{"x": NaN}', "\U0001f600", "'" * 9, "\\u0000", "::error::"]
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(hostile, min_size=1, max_size=4), min_size=1, max_size=3), st.integers(0, 2**31 - 1))
def test_what_was_written_comes_back_to_the_byte(tmp_path_factory, texts: list[list[str]], seed: int):
    groups = [
        replace(
            group(f"r{at}", tuple(of), finish="length" if at else "stop"),
            rollouts=tuple(rollout(f"r{at}", n, text, seed=seed, opened_think=n == 1) for n, text in enumerate(of)),
        )
        for at, of in enumerate(texts)
    ]
    made = written(tmp_path_factory.mktemp("j"), groups)
    drawn, whole = made.drawn(5, "w"), made.marked(5, "w")
    assert drawn is not None and whole is not None
    assert all(map(same, drawn, groups))
    assert all(map(same, whole.groups, [marked(each, teacher=True) for each in groups]))
    flat = [one.logps_T for each in groups for one in each.rollouts]
    assert [array.tobytes() for array in whole.extras["old_logps"] if array is not None] == [a.tobytes() for a in flat]


def test_records_come_back_with_all_they_have(tmp_path):
    record = replace(
        group().record, response="", answer="x", negatives=("a", ""), meta={"gold": [1, {"a": None}], "level": 2.5}
    )
    one = replace(group(), record=record)
    written(tmp_path, [one])
    (back,) = journal(tmp_path).drawn(5, "w") or []
    assert back.record == record and back.record.response == ""


def test_no_marks_no_teacher_no_completions(tmp_path):
    made = journal(tmp_path)
    empty = RolloutGroup(group().record, (rollout("a", 0, ""),))
    made.write_drawn(0, 0, "w", [empty])
    made.write_marked(0, "w", [empty])
    whole = made.marked(0, "w")
    assert whole is not None and same(whole.groups[0], empty) and whole.extras == {}
    assert made.drawn(1, "w") is None and made.marked(1, "w") is None


def test_arrays_read_back_may_be_written_to(tmp_path):
    (back,) = written(tmp_path, [group()]).drawn(5, "w") or []
    back.rollouts[0].tokens_T[0] = 7  # torch warns of others


@pytest.mark.parametrize(
    ("hash_", "weights", "why"), [("other", "w", "settings"), ("s", "other", "weights"), ("x", "y", "settings and")]
)
def test_other_weights_or_settings_are_moved_aside_and_told(tmp_path, hash_: str, weights: str, why: str):
    written(tmp_path, [group()])
    made = journal(tmp_path, hash_)
    assert made.drawn(5, weights) is None
    (line,) = TOLD
    assert why in line and "000005.0of1.drawn.jsonl" in line
    assert made.marked(5, weights) is None  # its marks too
    assert len(list((made.place / "aside").iterdir())) == 4 and len(TOLD) == 2
    made.write_drawn(5, 10, weights, [group("b")])
    assert (made.drawn(5, weights) or [])[0].record.id == "b"


def test_marks_of_other_completions_are_not_replayed(tmp_path):
    made = written(tmp_path, [group()])
    made.write_drawn(5, 10, "w", [group(texts=("xy", "z"))])  # drawn again, by an engine that repeats nothing
    assert made.marked(5, "w") is None and "other completions" in TOLD[0]
    assert made.drawn(5, "w") is not None


@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 1), (2, 3), (3, 2)])
def test_another_number_of_processes_reads_the_shares_of_all(tmp_path, before: int, after: int):
    groups = [group(f"r{at}", ("a" * (at + 1), "b")) for at in range(6)]
    for rank in range(before):
        written(tmp_path, groups[rank::before], rank=rank, processes=before)
    for rank in range(after):
        made = journal(tmp_path, rank=rank, processes=after)
        drawn, whole = made.drawn(5, "w"), made.marked(5, "w")
        mine = groups[rank::after]
        assert drawn is not None and all(map(same, drawn, mine)) and len(drawn) == len(mine)
        assert whole is not None and all(map(same, whole.groups, [marked(each, teacher=True) for each in mine]))
        lengths = [0 if array is None else len(array) for array in whole.extras["old_logps"]]
        assert lengths == [len(one.tokens_T) for each in mine for one in each.rollouts]
        assert made.marked(5, "w") is not None  # its own file by now


def test_what_judges_took_comes_back_and_is_shared_out_once(tmp_path):
    groups = [group(f"r{at}") for at in range(6)]
    assert written(tmp_path / "one", groups).marked(5, "w").judged == (7, 6)
    for rank in range(3):
        written(tmp_path / "more", groups[rank::3], rank=rank, processes=3)
    taken = [journal(tmp_path / "more", rank=rank, processes=2).marked(5, "w").judged for rank in range(2)]
    assert [sum(one) for one in zip(*taken, strict=True)] == [3 * 7, 6]


def test_what_was_given_up_comes_back_and_is_shared_out_once(tmp_path):
    for rank in range(3):
        journal(tmp_path, rank=rank, processes=3).write_drawn(5, 10, "w", [group(f"r{rank}")], (4 + rank, 9))
    taken = []
    for rank in range(2):
        made = journal(tmp_path, rank=rank, processes=2)
        assert made.drawn(5, "w") is not None
        taken.append(made.given_up(5))
    assert [sum(one) for one in zip(*taken, strict=True)] == [4 + 5 + 6, 27]
    assert "given_up" not in written(tmp_path / "none", [group()])._path(5, "drawn", 0, 1).read_text()


def test_a_share_that_is_missing_makes_nothing_whole(tmp_path):
    groups = [group(f"r{at}") for at in range(4)]
    written(tmp_path, groups[0::2], rank=0, processes=2)
    assert journal(tmp_path).drawn(5, "w") is None
    own = journal(tmp_path, rank=0, processes=2).drawn(5, "w")
    assert own is not None and len(own) == 2  # the same process needs its own alone


@pytest.mark.parametrize("keep", ["all", "text", "none"])
def test_prune(tmp_path, keep):
    made = written(tmp_path, [group()])
    made.write_drawn(6, 11, "v", [group()])
    made.prune(6, keep)
    left = sorted(path.name for path in made.place.iterdir())
    old = {
        "all": ["drawn.jsonl", "drawn.npz", "marked.jsonl", "marked.npz"],
        "text": ["drawn.jsonl", "marked.jsonl"],
        "none": [],
    }[keep]
    assert left == [f"000005.0of1.{name}" for name in old] + ["000006.0of1.drawn.jsonl", "000006.0of1.drawn.npz"]
    assert made.drawn(6, "v") is not None
    assert (made.drawn(5, "w") is None) == (keep != "all")


@pytest.mark.parametrize("part", ["drawn", "marked"])
@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: "",
        lambda text: text[: len(text) // 2],
        lambda text: text.replace('"schema": 1', '"schema": 2'),
        lambda text: text.replace('"groups": 1', '"groups": 2'),
        lambda text: text.partition("\n")[0] + "\n[]\n",
        lambda text: text.partition("\n")[0] + "\n" + "[" * 100_000 + "\n",
        lambda text: text.partition("\n")[0] + '\n{"record": "zz", "completions": 1, "marks": [1], "rollouts": 3}\n',
        lambda text: text.replace('"value": 0.0', '"value": "0"').replace('"sample": 1', '"sample": true'),
        lambda text: text.replace('"correct": false', '"correct": 0').replace('"stop"', '"ended"'),
        lambda text: text.replace('"version": 10', '"version": 10, "given_up": [1, "2"]').replace("[7, 1]", "[7, -1]"),
        lambda text: text.replace('"judged": [7, 1]', '"judged": [7]').replace('"groups": 1', '"groups": "1"'),
    ],
)
def test_damaged_text_is_one_clear_error(tmp_path, part: str, spoil):
    made = written(tmp_path, [group()])
    path = made.place / f"000005.0of1.{part}.jsonl"
    path.write_text(spoil(path.read_text()))
    with pytest.raises(StoreError, match=rf"{part}.jsonl is damaged \(.*\): delete it and run the same command again"):
        made.marked(5, "w")


@pytest.mark.parametrize("spoil", [lambda data: b"", lambda data: data[:-9], lambda data: data[:60] + b"x" + data[61:]])
def test_damaged_arrays_are_one_clear_error(tmp_path, spoil):
    made = written(tmp_path, [group()])
    path = made.place / "000005.0of1.drawn.npz"
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(StoreError, match=r"drawn\.npz is damaged"):
        made.drawn(5, "w")


def test_a_link_is_not_followed(tmp_path):
    made = written(tmp_path, [group()])
    path = made.place / "000005.0of1.drawn.npz"
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match="symbolic link"):
        made.drawn(5, "w")


def test_a_folder_that_is_a_link_is_not_written_to(tmp_path):
    (tmp_path / "rollouts").symlink_to(tmp_path)
    with pytest.raises(StoreError, match="cannot be written"):
        journal(tmp_path).write_drawn(0, 0, "w", [group()])


# --- arrays ----------------------------------------------------------------------------------------------------------


def test_arrays_round_trip_and_numpy_reads_them_too(tmp_path):
    arrays = {
        "a": [np.arange(4, dtype=np.float32), None, np.zeros(0, np.float32)],
        "b": [np.arange(6, dtype=np.int32).reshape(3, 2), np.zeros((0, 5), np.int32)],
        "c": [],
        "d": [None],
    }
    data = pack(arrays)
    back = unpack(data)
    assert list(back) == list(arrays)
    for name, items in arrays.items():
        for one, other in zip(items, back[name], strict=True):
            assert (one is None) == (other is None)
            assert one is None or (one.shape == other.shape and one.dtype == other.dtype and (one == other).all())
    (tmp_path / "x.npz").write_bytes(data)
    with np.load(tmp_path / "x.npz", allow_pickle=False) as loaded:
        assert loaded["a"].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "bad",
    [
        {"a": [np.array(["x"])]},
        {"a": [np.array([{}], object)]},
        {"a": [np.zeros(2, np.float16)]},
        {"a": [np.zeros(())]},
        {"a": [np.zeros(1, np.int32), np.zeros(1, np.float32)]},
    ],
)
def test_other_types_are_not_kept(bad):
    with pytest.raises(ValueError):
        pack(bad)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_bytes_make_reading_do_more_than_refuse(data):
    whole = bytearray(pack({"a": [np.arange(40, dtype=np.int32)], "b": [np.ones((3, 4), np.float32), None]}))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(ValueError):
        unpack(bytes(whole[: data.draw(st.integers(0, len(whole)))]))


# --- killed ----------------------------------------------------------------------------------------------------------

KILLED = """
import os, signal, sys
from pathlib import Path
import harness.files as files
from tests.unit.test_rollouts_journal import journal, marked, group
rename = os.replace

def dying(at, before):
    seen = [0]
    def replace(source, target):
        seen[0] += 1
        if seen[0] == at and before: os.kill(os.getpid(), signal.SIGKILL)
        rename(source, target)
        if seen[0] == at: os.kill(os.getpid(), signal.SIGKILL)
    return replace

for at in range(1, 5):
    for before in (True, False):
        child = os.fork()
        if not child:
            files.os.replace = dying(at, before)
            made = journal(Path(sys.argv[1]) / f"{at}{before}")
            made.write_drawn(5, 10, "w", [group()])
            made.write_marked(5, "w", [marked(group())])
            os._exit(0)
        assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
"""


def test_killed_between_the_parts_each_is_there_whole_or_not_at_all(tmp_path):
    """A real SIGKILL before and after each of the four renames: two files of each part."""
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for at in range(1, 5):
        for before in (True, False):
            made = journal(tmp_path / f"{at}{before}")
            renamed = at - 1 if before else at
            drawn, whole = made.drawn(5, "w"), made.marked(5, "w")
            assert (drawn is not None, whole is not None) == (renamed >= 2, renamed >= 4)
            assert drawn is None or same(drawn[0], group())
            assert whole is None or same(whole.groups[0], marked(group()))
            assert TOLD == []
            written(tmp_path / f"{at}{before}", [group("b")])  # goes on, over whatever was left
            back = journal(tmp_path / f"{at}{before}").marked(5, "w")
            assert back is not None and back.groups[0].record.id == "b"


# --- weights ---------------------------------------------------------------------------------------------------------


def test_fingerprint_tells_weights_apart():
    torch = pytest.importorskip("torch")
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 2).to(torch.bfloat16))
    first = fingerprint(model)
    assert first == fingerprint(model) and len(first) == 64
    with torch.no_grad():
        weight = model[0].weight
        before = float(weight[0, 0])
        weight[0, 0] = float(np.nextafter(np.float32(before), np.float32(9)))  # one bit
    assert fingerprint(model) != first
    with torch.no_grad():
        weight[0, 0] = before
    assert fingerprint(model) == first
    model.float()
    assert fingerprint(model) != first


def test_rows_are_readable_lines(tmp_path):
    made = written(tmp_path, [group(texts=("a\nb", "c"))])
    lines = (made.place / "000005.0of1.drawn.jsonl").read_text().splitlines()
    header, row = map(json.loads, lines)
    assert header["generation"] == 5 and header["version"] == 10 and header["fingerprint"] == "w"
    assert [one["text"] for one in row["rollouts"]] == ["a\nb", "c"]
    assert isinstance(group().rollouts[0], Rollout)
