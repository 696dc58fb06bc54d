"""The loop on LLMBar with a scripted judge: a known improvement is found, an edit without effect is called noise."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from harness.cli import judge_watch
from harness.cli.judge_watch import Watched, watch
from judges.lab.arm import JudgeArm
from judges.lab.sets import load_set
from judges.lab.versions import VersionLog
from judges.prompts.rubric import load_rubric
from tests.prompted_judge import PromptedModel
from tests.scripted_judge import ErrorModel


def test_the_loop_on_llmbar(shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = load_set("llmbar", shared_data, limit=200, seed=0)
    weak, better = ErrorModel(skill=1.0, length=0.5, shared=0.6), ErrorModel(skill=3.0, shared=0.6)
    model = PromptedModel(pairs.pairs, weak, {"Verify": better}, drift=True)
    text = (Path(__file__).parents[2] / "rubrics" / "pairwise_5.toml").read_text(encoding="utf-8")
    edits = [text.replace("How to work\n", f"How to work\n- {words}\n", 1) for words in ("Be kind.", "Verify it.")]
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")

    def next_save(saved: Path, seen: bytes) -> bytes:
        if not edits:
            raise KeyboardInterrupt
        saved.write_text(edits.pop(0), encoding="utf-8")
        return saved.read_bytes()

    monkeypatch.setattr(judge_watch, "next_save", next_save)
    told = Watched(path, partial(JudgeArm.of, model), None, pairs, tmp_path, None, (), 0, 3, "table", True)
    watch(told)
    log = VersionLog(tmp_path, "mine", told.arm_of(load_rubric(str(path))), pairs, 0)
    assert [version.difference and version.difference["decision"] for version in log.versions] == [
        None,
        "noise",
        "better",
    ]
