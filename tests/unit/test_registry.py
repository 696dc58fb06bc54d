"""Model cards: what is written is what is read, nothing half is ever seen, and no file from outside is believed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from registry_cards import add_card, make_card

from harness.errors import StoreError, UnknownName, UsageError
from harness.registry import (
    CARD,
    adding,
    check_id,
    children,
    find_card,
    lineage,
    list_cards,
    make_id,
    models_dir,
    read_card,
    remove,
    write_card,
)


def damage(folder: Path, **changes: Any) -> None:
    raw = json.loads((folder / CARD).read_text())
    (folder / CARD).write_text(json.dumps(raw | changes))


def test_a_card_survives_the_disk(tmp_path: Path) -> None:
    card = make_card(config={"a": [1, 2.5, None, {"b": "ü"}]}, teacher="openai:gpt-x", fingerprint="f" * 16)
    path = write_card(tmp_path / card.id, card)
    assert path == tmp_path / card.id / CARD
    assert read_card(path.parent) == card
    assert [file.name for file in path.parent.iterdir()] == [CARD]


def test_a_card_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    folder = models_dir(tmp_path) / "old"
    folder.mkdir(parents=True)
    write_card(folder, make_card("old", base_fingerprint="f" * 16))
    path = folder / "card.json"
    told = json.loads(path.read_text(encoding="utf-8"))
    assert read_card(folder).base_fingerprint == told.pop("base_fingerprint") == "f" * 16
    path.write_text(json.dumps(told), encoding="utf-8")
    assert read_card(folder).base_fingerprint is None


def test_numbers_that_are_none_become_null(tmp_path: Path) -> None:
    card = make_card(final={"loss": float("nan"), "deep": [float("inf")]})
    write_card(tmp_path / card.id, card)
    assert read_card(tmp_path / card.id).final == {"loss": None, "deep": [None]}


def test_a_secret_is_not_kept(tmp_path: Path) -> None:
    card = make_card(config={"url": "https://user:pass1234@host/v1"})
    assert "pass1234" not in write_card(tmp_path / card.id, card).read_text()


def test_a_card_belongs_in_the_folder_of_its_name(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="belongs in a folder of that name"):
        write_card(tmp_path / "other", make_card())


def test_a_card_that_could_not_be_read_again_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="kind is 'half'"):
        write_card(tmp_path / "tiny-sft-00000000", make_card(kind="half"))
    assert not (tmp_path / "tiny-sft-00000000").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 2}, "schema 2, this version reads 1"),
        ({"surprise": 1}, "unknown field 'surprise'"),
        ({"tokens": -1}, "tokens is not a count"),
        ({"tokens": True}, "tokens is not a count"),
        ({"tokens": 1.5}, "tokens is not a count"),
        ({"seed": "0"}, "seed is not a whole number"),
        ({"seconds": "long"}, "seconds is not a duration"),
        ({"seconds": -1}, "seconds is not a duration"),
        ({"method": None}, "method is not a text"),
        ({"teacher": 3}, "teacher is not a text"),
        ({"config": []}, "config is not a table"),
        ({"versions": {"torch": 2}}, "a version is not a text"),
        ({"kind": "half"}, "kind is 'half'"),
        ({"id": "../../etc"}, "no model id"),
    ],
)
def test_a_wrong_field_is_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    folder = add_card(tmp_path)
    damage(folder, **change)
    with pytest.raises(StoreError, match=message):
        read_card(folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is damaged"),
        ("[]", "not an object"),
        ('{"schema": 1', "is damaged"),
        ('{"schema": NaN}', "NaN is no number"),
        ("[" * 100_000, "is damaged"),
        ("{}", "schema None"),
        ('{"schema": 1}', "it lacks 'base'"),
        (" " * (1 << 20) + "{}", "more than 1,048,576 bytes"),
        ("\xff\xfe", "is damaged"),
    ],
)
def test_damaged_files_are_refused(tmp_path: Path, text: str, message: str) -> None:
    folder = add_card(tmp_path)
    (folder / CARD).write_text(text, encoding="latin-1")
    with pytest.raises(StoreError, match=message):
        read_card(folder)


def test_what_is_not_there_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no model folder"):
        read_card(tmp_path / "absent")
    (tmp_path / "half").mkdir()
    with pytest.raises(StoreError, match=r"has not finished .*models add"):
        read_card(tmp_path / "half")


@pytest.mark.parametrize(
    "name", ["", "..", "../x", "a/b", "/etc", ".hidden", "-rf", "a..b", "a\x00", "a\n", "ä", "x" * 121, "a b", "~"]
)
def test_an_id_cannot_leave_the_registry(tmp_path: Path, name: str) -> None:
    add_card(tmp_path)
    for act in (check_id, lambda n: find_card(tmp_path, n), lambda n: remove(tmp_path, n)):
        with pytest.raises(UsageError, match="is no model id"):
            act(name)


@given(base=st.text(max_size=200), method=st.text(max_size=60), seed=st.integers())
def test_any_base_makes_an_id(base: str, method: str, seed: int) -> None:
    name = make_id(base, method, {"seed": seed})
    assert check_id(name) == name
    assert make_id(base, method, {"seed": seed}) == name != make_id(base, method, {"seed": seed + 1})


@pytest.mark.parametrize(
    ("base", "start"),
    [
        ("smollm2", "smollm2-sft-"),
        ("hf:./out/checkpoint/", "checkpoint-sft-"),
        ("hf:owner/Name-7B", "Name-7B-sft-"),
        ("hf:name", "hf-name-sft-"),
        ("hf:owner/name..v2", "name-v2-sft-"),
        ("trained:tiny-krsl-1a2b3c4d", "tiny-krsl-1a2b3c4d-sft-"),
    ],
)
def test_an_id_reads_well(base: str, start: str) -> None:
    assert make_id(base, "sft", {}).startswith(start)


def test_listing_tells_what_it_leaves_out(tmp_path: Path) -> None:
    assert list_cards(tmp_path) == ([], [])
    add_card(tmp_path, "b-sft-2", created="2026-01-01T00:00:00Z")
    add_card(tmp_path, "a-sft-1", created="2026-01-02T00:00:00Z")
    damage(add_card(tmp_path, "broken"), kind="half")
    add_card(tmp_path, "renamed").rename(models_dir(tmp_path) / "other")
    (models_dir(tmp_path) / "training").mkdir()
    (models_dir(tmp_path) / ".half-1").mkdir()
    (models_dir(tmp_path) / "file.txt").write_text("")
    cards, problems = list_cards(tmp_path)
    assert [card.id for card in cards] == ["b-sft-2", "a-sft-1"]
    assert len(problems) == 3
    assert [("broken" in p, "renamed" in p, "training" in p) for p in problems] == [
        (True, False, False),
        (False, True, False),
        (False, False, True),
    ]


def test_a_few_letters_are_enough(tmp_path: Path) -> None:
    add_card(tmp_path, "tiny-sft-1")
    add_card(tmp_path, "tiny-sft-12")
    add_card(tmp_path, "tiny-krsl-1")
    assert find_card(tmp_path, "tiny-k")[1].id == "tiny-krsl-1"
    assert find_card(tmp_path, "tiny-sft-1")[1].id == "tiny-sft-1"  # the whole id wins
    assert find_card(tmp_path, "trained:tiny-k")[0] == models_dir(tmp_path) / "tiny-krsl-1"
    with pytest.raises(UsageError, match="beginning of 2 models: tiny-sft-1, tiny-sft-12"):
        find_card(tmp_path, "tiny-s")
    with pytest.raises(UnknownName, match="Did you mean 'tiny-krsl-1'"):
        find_card(tmp_path, "tiny-krls-1")
    with pytest.raises(UsageError, match="holds none"):
        find_card(tmp_path / "empty", "tiny")


def test_a_card_in_a_renamed_folder_is_not_found(tmp_path: Path) -> None:
    add_card(tmp_path, "one").rename(models_dir(tmp_path) / "two")
    with pytest.raises(StoreError, match="rename the folder back"):
        find_card(tmp_path, "two")


def test_lineage_is_oldest_first(tmp_path: Path) -> None:
    add_card(tmp_path, "a", base="smollm2")
    add_card(tmp_path, "b", base="trained:a")
    add_card(tmp_path, "c", base="trained:b")
    found = lineage(tmp_path, read_card(models_dir(tmp_path) / "c"))
    assert [card.id for card in found.cards] == ["a", "b", "c"]
    assert found.problems == []
    assert [card.id for card in children(list_cards(tmp_path).cards, "a")] == ["b"]


def test_a_merged_model_has_several_parents(tmp_path: Path) -> None:
    add_card(tmp_path, "a", base="tiny")
    add_card(tmp_path, "b", base="trained:a")
    add_card(tmp_path, "c", base="trained:a")
    add_card(tmp_path, "m", base="both", config={"parents": ["trained:b", "trained:c", "hf:x", "trained:gone"]})
    found = lineage(tmp_path, read_card(models_dir(tmp_path) / "m"))
    assert [card.id for card in found.cards] == ["a", "b", "c", "m"]
    assert len(found.problems) == 1 and "'m' is not to be found" in found.problems[0]
    assert [card.id for card in children(list_cards(tmp_path).cards, "c")] == ["m"]


def test_lineage_tells_of_missing_parents_and_circles(tmp_path: Path) -> None:
    add_card(tmp_path, "b", base="trained:gone")
    add_card(tmp_path, "x", base="trained:y")
    add_card(tmp_path, "y", base="trained:x")
    found = lineage(tmp_path, make_card("c", base="trained:b"))
    assert [card.id for card in found.cards] == ["b", "c"]
    assert "base of 'b' is not to be found" in found.problems[0]
    found = lineage(tmp_path, read_card(models_dir(tmp_path) / "x"))
    assert [card.id for card in found.cards] == ["y", "x"]
    assert "leads back to 'x'" in found.problems[0]
    assert lineage(tmp_path, make_card("z", base="trained:../../etc/passwd")).problems


def test_adding_is_all_or_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="half"), adding(tmp_path, "new") as folder:
        (folder / "weights").write_text("half")
        raise ValueError("half")
    assert [path.name for path in models_dir(tmp_path).iterdir()] == [".lock"]
    with adding(tmp_path, "new") as folder:
        write_card(folder, make_card("new"))
        assert list_cards(tmp_path).cards == []
        with pytest.raises(StoreError, match="another process"):
            remove(tmp_path, "new")
    assert read_card(models_dir(tmp_path) / "new").id == "new"
    with pytest.raises(UsageError, match="a model 'new' already"), adding(tmp_path, "new"):
        raise AssertionError("must not get here")


def test_killed_while_adding_leaves_nothing_that_counts(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom harness.registry import adding\n"
        "with adding(sys.argv[1], 'new') as folder:\n"
        "    (folder / 'weights').write_text('half')\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert list_cards(tmp_path) == ([], [])
    with adding(tmp_path, "new") as folder:
        write_card(folder, make_card("new"))
    assert sorted(path.name for path in models_dir(tmp_path).iterdir()) == [".lock", "new"]


def test_removing_leaves_linked_weights(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "weights").write_text("mine")
    folder = add_card(tmp_path, "linked")
    (folder / "model").symlink_to(outside)
    os.symlink(outside, models_dir(tmp_path) / "whole")
    remove(tmp_path, "linked")
    remove(tmp_path, "whole")
    assert (outside / "weights").read_text() == "mine"
    assert [path.name for path in models_dir(tmp_path).iterdir()] == [".lock"]
    with pytest.raises(UsageError, match="there is no model 'linked'"):
        remove(tmp_path, "linked")
