"""`harness data` on real benchmark files: train prompts in a suite's words, and test questions among them found."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from backends.records.source import read_records
from harness.cli.main import cli


def rows(path: Path, count: int) -> list[dict[str, Any]]:
    if not path.is_file():
        pytest.skip(f"{path.name} is not there")
    with path.open(encoding="utf-8") as stream:
        return [json.loads(line) for line in islice(stream, count)]


def test_test_questions_among_train_prompts_are_found(
    tmp_path: Path, shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    train, test = rows(shared_data / "gsm8k_train_2k.jsonl", 300), rows(shared_data / "gsm8k_test.jsonl", 5)
    lines = [{"id": row["id"], "question": row["question"], "answer": row["answer"]} for row in (*train, *test)]
    Path("p.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    traces = ["traces", "--teacher", "mock:gold", "--prompts", "p.jsonl", "--suite", "gsm8k", "--quiet"]
    cli.main(["data", *traces, "-o", "t.jsonl"], standalone_mode=False)
    assert len(read_records(Path("t.jsonl"))) == 305  # every gold of the train file is right by the suite's grader
    look = ["decontaminate", "t.jsonl", "--suite", "gsm8k,math500", "--data-dir", str(shared_data)]
    cli.main(["data", *look, "-o", "c.jsonl"], standalone_mode=False)
    found = json.loads(Path("c.jsonl.report.json").read_text())
    assert {f"{row['id']}#0" for row in test} <= {hit["record"] for hit in found["hits"]}
    assert found["hits_by_suite"] == {"gsm8k": 6}  # and one train problem that a test problem retells
    assert len(read_records(Path("c.jsonl"))) == 299
