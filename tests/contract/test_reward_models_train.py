"""Models inside a training and out of one: a judge that marks completions, and a judge that was trained to mark."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from backends.config import Runtime, TrainConfig
from backends.rewards.scorers import REPLIES
from backends.train import train
from harness.cli.main import cli
from harness.errors import BudgetReached, ConfigError
from harness.models.reply_cache import Cache
from tests.tiny_model import write_model

pytestmark = pytest.mark.slow
RUBRIC = '''
version = "1"
kind = "pairwise"
reply = "line"
max_tokens = 24
summary = "which is better"
source = "none"
template = """
Of
{question}
the one is
{answer_a}
the other
{answer_b}
{reply_format}
"""
[[choices]]
label = "1"
value = 1.0
meaning = "the one"
[[choices]]
label = "2"
value = 0.0
meaning = "the other"
'''


@pytest.fixture
def student(tmp_path: Path) -> Path:
    return write_model(tmp_path / "student", context=1024)


def judged(student: Path, **more: Any) -> TrainConfig:
    settings = {"batch_size": 8, "max_steps": 3, "learning_rate": 1e-3, "warmup": 0.0, "micro_batch": 4}
    return TrainConfig(
        method="grpo", student=f"hf:{student}", data="synth:levels=1,per_level=4", max_length=512, settings=settings,
        options={"weights": "judge=1+letters=1"}, rollout={"group": 4, "max_new": 8},
        reward={"judge.model": "mock:judge", "letters.right": "0.1"}, **more,
    )  # fmt: skip


def spent(results: Path) -> dict[str, int]:
    (card,) = results.glob("models/*/card.json")
    return dict(json.loads(card.read_text())["spent"])


def test_a_judge_marks_completions_within_its_budget_and_is_asked_once(student: Path, tmp_path: Path) -> None:
    whole, parts, results = judged(student), tmp_path / "parts", tmp_path / "whole"
    train(whole, results, Runtime(logging_steps=1))
    (file,) = results.glob(f"models/*/{REPLIES}")
    with Cache(file) as cache:
        asked = cache.count()
    assert 0 < asked <= 24 and spent(results)["judge_in"] > 100 * asked and spent(results)["judge_out"] > 0
    with pytest.raises(BudgetReached, match="raise --judge-budget and run the same command again"):
        train(whole, parts, Runtime(logging_steps=1, judge_budget=f"{spent(results)['judge_in'] // 2}tok"))
    train(whole, parts, Runtime(logging_steps=1))
    with Cache(next(parts.glob(f"models/*/{REPLIES}"))) as cache:
        assert cache.count() == asked, "nothing is asked twice"
    weights = [next(where.glob("models/*/model/model.safetensors")).read_bytes() for where in (results, parts)]
    assert weights[0] == weights[1]


def test_options_of_a_judge_that_nobody_asks_are_refused(student: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no reward model is named 'other'"):
        train(judged(student), tmp_path, Runtime(judge_options={"other:latency": "1"}))
    alone = TrainConfig(
        **{**vars(judged(student)), "options": {"weights": "letters=1"}, "reward": {"letters.right": "0.1"}}
    )
    with pytest.raises(ConfigError, match="no reward here asks one"):
        train(alone, tmp_path, Runtime(judge_budget="1ktok"))


def test_a_trained_judge_judges(student: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has learnt one thing, to prefer the first: what it says is read as in training."""
    monkeypatch.chdir(tmp_path)
    Path("short.toml").write_text(RUBRIC)

    def run(command: str) -> None:
        cli.main([*command.split(), "--quiet"], standalone_mode=False)

    cli.main(["data", "synth", "--levels", "1,2", "--per-level", "12", "-o", "pairs.jsonl"], standalone_mode=False)
    run("data verdicts pairs.jsonl --teacher mock:judge --rubric short.toml --orders both -o v.jsonl")
    rows = [{**json.loads(line), "response": "VERDICT: 1"} for line in Path("v.jsonl").read_text().splitlines()]
    Path("v.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    told = {"lora_rank": "none", "warmup": "0", "scheduler": "constant", "micro_batch": "4", "rollout.max_new": "16"}
    told |= {"sft.learning_rate": "1e-2", "sft.max_steps": "40", "sft.batch_size": "8"}
    told |= {"rl.learning_rate": "1e-6", "rl.max_steps": "1", "rl.batch_size": "8"}
    given = " ".join(f"--set {key}={value}" for key, value in (told | {"reward.verdict.rubric": "short.toml"}).items())
    run(f"train --method rjudge --student hf:{student} --data v.jsonl --max-length 1024 {given}")
    (card,) = Path("results/models").glob("*/card.json")
    for model in ("mock:gold", "mock:wrong"):
        run(f"run --suite synth_easy --model {model} --limit 3")
    gold, wrong = (next(Path("results/runs").glob(f"*{name}*")).name for name in ("mock-gold", "mock-wrong"))
    run(f"judge {gold} --against {wrong} --judge trained:{card.parent.name} --rubric short.toml --max-failures 1")
    (verdicts,) = Path("results/runs").glob("*/verdicts.jsonl")
    said = [json.loads(line) for line in verdicts.read_text().splitlines()]
    read = [row["verdict"] for row in said if row["verdict"] is not None]
    assert len(said) == 6 and len(read) >= 2 and {verdict["label"] for verdict in read} == {"1"}
