"""What `lighteval:<task>` says where lighteval is not installed, and data that nobody published a pin for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

import pytest

from harness.datasets import content_hash, load_rows, pinned
from harness.errors import DataError, MissingExtra
from harness.suites import load_suite
from harness.types import DataRef, Json


def test_without_lighteval_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", absent)
    with pytest.raises(MissingExtra, match="lighteval"):
        load_suite("lighteval:math_500")


def _keep(raw: Mapping[str, Json]) -> Mapping[str, Json] | None:
    return {"id": raw["id"], "text": raw["text"]} if raw["text"] else None


def test_unpinned_data_is_pinned_to_what_is_there(tmp_path: Path) -> None:
    ref = DataRef(files=("rows.jsonl",), rows=0, sha256="", from_local=_keep)
    path = tmp_path / "rows.jsonl"
    rows = [{"id": "a", "text": "one"}, {"id": "b", "text": ""}, {"id": "c", "text": "three"}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    taken = pinned(ref, tmp_path)
    assert taken.rows == 2  # a row that is left out is not counted
    assert taken.sha256 == content_hash(load_rows(ref, tmp_path))
    path.unlink()
    assert len(load_rows(taken, tmp_path)) == 2  # kept: what was pinned is what is used
    path.write_text('{"id": "b", "text": ""}\n', encoding="utf-8")
    with pytest.raises(DataError, match="no rows"):
        pinned(ref, tmp_path)


def test_data_with_a_pin_keeps_it(tmp_path: Path) -> None:
    ref = DataRef(files=("rows.jsonl",), rows=1, sha256="0" * 64, from_local=_keep)
    assert pinned(ref, tmp_path) is ref
