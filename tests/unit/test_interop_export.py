"""Export: what we write is what the other format's reader gets back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from stored_runs import make_run

from harness.cli.exporting import command
from harness.errors import UnknownName
from harness.interop.exporting import export_run
from harness.interop.importing import import_path
from harness.run.folder import RunFolder


@pytest.mark.parametrize("tool", ["lm-eval", "lighteval"])
def test_round_trip_keeps_value_error_and_protocol(tmp_path: Path, tool: str) -> None:
    directory = make_run(tmp_path / "results", "hf:./my model", [1.0, 0.0, 0.5, 1.0], n=2)
    export_run(RunFolder(directory), tool, tmp_path / "out", texts=False)
    (imported,), refused = import_path(tmp_path / "out", tmp_path / "again")
    assert not refused
    back, ours = imported.result, RunFolder(directory).result
    assert back.imported_from == tool
    assert back.model == ours.model
    assert back.estimates[back.headline].value == ours.estimates["avg@n"].value
    assert back.sampling["max_tokens"] == 2048
    if tool == "lm-eval":
        assert [item.mean for item in back.items.values()] == [1.0, 0.0, 0.5, 1.0]
    else:
        assert back.items == {}
        assert back.estimates[back.headline].se == ours.estimates["avg@n"].se


def test_lm_eval_samples_have_its_fields(tmp_path: Path) -> None:
    directory = make_run(tmp_path / "results", "mock:a", [1.0, None, 0.0])
    results, samples = export_run(RunFolder(directory), "lm-eval", tmp_path / "out", texts=False)
    rows = [json.loads(line) for line in samples.read_text(encoding="utf-8").splitlines()]
    assert [row["doc"]["id"] for row in rows] == ["p000", "p002"]  # what was never scored is no sample of value 0
    wanted = {"doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter", "metrics", "avg@n"}
    assert wanted <= set(rows[0])
    raw = json.loads(results.read_text(encoding="utf-8"))
    assert raw["n-samples"]["toy"] == {"original": 3, "effective": 2}
    assert raw["configs"]["toy"]["metadata"]["made_by"].startswith("distillation-harness ")


def test_texts_go_along_except_of_confidential_suites(tmp_path: Path) -> None:
    record = {
        "v": 1,
        "problem_id": "p000",
        "attempt": 0,
        "seed": 1,
        "prompt_hash": "x",
        "text": "secret",
        "finish": "stop",
    }
    for suite, present in (("toy", True), ("gpqa", False)):
        directory = make_run(tmp_path / "results", "mock:a", [1.0], suite=suite)
        (directory / "records.jsonl").write_text(json.dumps(record) + "\n", encoding="utf-8")
        _, samples = export_run(RunFolder(directory), "lm-eval", tmp_path / suite)
        assert ("secret" in samples.read_text(encoding="utf-8")) is present


def test_command_prints_files_and_refuses_unknown_tools(tmp_path: Path) -> None:
    make_run(tmp_path, "mock:a", [1.0], run_id="toy-a")
    arguments = ["toy", "--results-dir", str(tmp_path), "--out", str(tmp_path / "out"), "--to"]
    done = CliRunner().invoke(command, [*arguments, "lighteval"], standalone_mode=False)
    assert Path(done.stdout.strip()).is_file()
    with pytest.raises(UnknownName, match=r"Did you mean 'lighteval'"):
        CliRunner().invoke(command, [*arguments, "lightevl"], standalone_mode=False, catch_exceptions=False)
