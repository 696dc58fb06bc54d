"""Every text that is read may begin with UTF-8's byte order mark, as files from Windows and spreadsheets do."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from backends.recipe import load_recipe
from backends.records.inputs import read_prompts
from backends.records.source import read_records
from harness.config import resolve
from harness.datasets.local import read_file
from harness.files import parse_json, read_json
from harness.models.hf_prompt import read_template
from harness.report.published import load_references
from judges.prompts.rubric import load_rubric

ROOT = Path(__file__).resolve().parents[2]
READS = re.compile(r"""(?:read_text|open)\([^)\n]*encoding="utf-8"[^)\n]*\)|\.decode\("utf-8"\)|\bread_text\(\)""")
WRITES_OR_NO_FILE = re.compile(r"""open\([^)]*"[wax]b?"|\.encode\(|"/proc/|ast\.parse""")
RECORD = {"id": "a", "prompt": [{"role": "user", "content": "2 + 2?"}], "response": "4", "gold": "4"}


def test_no_reader_takes_the_mark_for_text() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for package in ("harness", "judges", "backends", "rubrics")
        for path in sorted((ROOT / package).rglob("*.py"))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if READS.search(line) and not WRITES_OR_NO_FILE.search(line)
    ]
    assert found == []


def packaged(folder: str, ending: str) -> str:
    return min((ROOT / folder).rglob(f"*{ending}")).read_text(encoding="utf-8")


CASES: dict[str, tuple[str, str, Callable[[Path], Any]]] = {
    "settings": ("run.toml", 'suite = ["synth"]\nmodel = ["mock:gold"]\n', lambda path: resolve(path, (), {}, {})),
    "rubric": ("r.toml", packaged("rubrics", "rating_10.toml"), lambda path: load_rubric(str(path))),
    "recipe": (
        "r.toml",
        packaged("backends/recipes", "emo.toml"),
        lambda path: load_recipe(f"{path}:qwen-1.5b-math").values,
    ),
    "chat template": ("t.jinja", "{{ messages[0].content }}", lambda path: read_template(str(path), "hf")),
    "published rows": ("p.csv", packaged("results/published", ".csv"), lambda path: load_references(path.parent)),
    "JSON lines": (
        "d.jsonl",
        json.dumps(RECORD) + "\n",
        lambda path: [r.fields for r in read_file(path.parent, "d.jsonl", None)],
    ),
    "records": ("d.jsonl", json.dumps(RECORD) + "\n", read_records),
    "prompts": ("d.jsonl", json.dumps(RECORD) + "\n", read_prompts),
    "a stored JSON file": ("d.json", "[1]", read_json),
    "a stored JSON line": ("d.json", "[1]", lambda path: parse_json(path.read_bytes())),
}


@pytest.mark.parametrize("name", CASES)
def test_with_and_without_the_mark_it_is_the_same(name: str, tmp_path: Path) -> None:
    file, text, read = CASES[name]
    path = tmp_path / file
    path.write_text(text, encoding="utf-8")
    plain = read(path)
    path.write_text(text, encoding="utf-8-sig")
    assert read(path) == plain
