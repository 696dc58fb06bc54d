"""The real labelled sets, where the data is at hand."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest

from harness.errors import DataError
from judges.lab.llmbar import _FOLDERS
from judges.lab.sets import load_set


def test_llmbar_is_419_pairs_in_five_subsets(shared_data: Path) -> None:
    pairs = load_set("llmbar", shared_data).pairs
    assert Counter(pair.subset for pair in pairs) == {
        "Natural": 100,
        "Adversarial-Neighbor": 134,
        "Adversarial-GPTInst": 92,
        "Adversarial-GPTOut": 47,
        "Adversarial-Manual": 46,
    }
    assert Counter(pair.label for pair in pairs).keys() == {"a", "b"}


@pytest.mark.parametrize(
    ("subset", "count"),
    [
        ("all", 1200),
        ("Natural", 100),
        ("adversarial", 319),
        ("Processed", 466),
        ("Processed-MT-Bench", 200),
        ("Processed-LLMEval2", 200),
        ("Processed-FairEval", 66),
        ("CaseStudy", 315),
    ],
)
def test_the_side_sets_come_by_name(shared_data: Path, subset: str, count: int) -> None:
    assert len(load_set("llmbar", shared_data, subset=subset).pairs) == count


def test_a_clone_of_the_official_repository_gives_the_same_pairs(shared_data: Path, tmp_path: Path) -> None:
    rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for line in (shared_data / "llmbar.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        rows[row["subset"]].append({key: row[key] for key in ("input", "output_1", "output_2", "label")})
    for subset, folder in _FOLDERS.items():
        target = tmp_path / "Dataset" / folder
        target.mkdir(parents=True)
        (target / "dataset.json").write_text(json.dumps(rows[subset]), encoding="utf-8")
    assert load_set("llmbar", tmp_path, subset="all") == load_set("llmbar", shared_data, subset="all")
    (tmp_path / "Dataset" / _FOLDERS["CaseStudy-Normal"] / "dataset.json").unlink()
    with pytest.raises(DataError, match="clone of princeton-nlp/LLMBar is not complete"):
        load_set("llmbar", tmp_path)


def test_an_edited_llmbar_is_refused(shared_data: Path, tmp_path: Path) -> None:
    text = (shared_data / "llmbar.jsonl").read_text(encoding="utf-8")
    (tmp_path / "llmbar.jsonl").write_text(text.replace('"label": 1}', '"label": 2}', 1), encoding="utf-8")
    with pytest.raises(DataError, match="content hash"):
        load_set("llmbar", tmp_path)
