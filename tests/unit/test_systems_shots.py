"""`fewshot:` and `cot:`, and `harness bench --controls`: what is shown, never the question itself, and rows by name."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from system_fakes import answered, boxed, command, request

from harness.models import load_model
from harness.systems.base import Assembly
from harness.systems.shots import FewShot, FewShotOptions, Thinking, ThinkingOptions
from harness.types import Message
from tests.scripted_model import ScriptedModel

WORDS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]


def items_file(folder: Path, count: int = 10) -> str:
    path = folder / "items.jsonl"
    rows = [
        {"id": f"i{n}", "prompt": [{"role": "user", "content": f"What is {word}?"}], "response": f"{word} it is"}
        for n, word in enumerate(WORDS[:count])
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def shown(tmp_path: Path, question: str, **options: Any) -> list[str]:
    """What the model is asked."""
    script = ScriptedModel(lambda _: boxed(7))
    system = FewShot(Assembly(3, FewShotOptions(items=items_file(tmp_path), **options), {"model": script}, None))
    asked = (Message("system", "be brief"), Message("user", question))
    found = asyncio.run(answered(system, request(messages=asked)))
    assert found.text == boxed(7) and found.composed is not None and len(found.composed.replies) == 1
    return [message.content for message in script.asked[0].messages]


def test_the_same_items_are_shown_to_every_question_and_the_question_itself_never(tmp_path: Path) -> None:
    first, second = shown(tmp_path, "What is pi?"), shown(tmp_path, "And who are you?")
    assert first[0] == "be brief" and first[-1] == "What is pi?" and len(first) == 8
    assert first[1:-1] == second[1:-1]
    assert all(reply == f"{asked[8:-1]} it is" for asked, reply in zip(first[1:-1:2], first[2:-1:2], strict=True))
    other = shown(tmp_path, first[1].upper())  # one of the items, written otherwise
    assert first[1] not in other[1:-1] and len(other) == 8
    assert shown(tmp_path, "What is pi?", seed=1)[1:-1] != first[1:-1]


def test_the_nearest_are_shown_where_that_is_said(tmp_path: Path) -> None:
    assert shown(tmp_path, "is seven or nine more?", pick="bm25")[-3] in ("What is seven?", "What is nine?")


def test_what_asks_for_reasoning_stands_behind_the_question() -> None:
    script = ScriptedModel(lambda _: boxed(7))
    system = Thinking(Assembly(0, ThinkingOptions(), {"model": script}, None))
    asyncio.run(answered(system, request(messages=(Message("user", "1 + 6?"),))))
    assert [message.content for message in script.asked[0].messages] == ["1 + 6?\n\nLet's think step by step."]


@pytest.mark.parametrize(
    ("spec", "options", "said"),
    [
        ("fewshot:3:mock:gold", {}, "needs the option 'items'"),
        ("fewshot:3:mock:gold", {"items": "none.jsonl"}, "is no file"),
        ("fewshot:10:mock:gold", {"items": "ITEMS"}, "has 10 items, and 10 are shown"),
        ("fewshot:0:mock:gold", {"items": "ITEMS"}, "at least 1 items"),
        ("fewshot:3:mock:gold", {"items": "ITEMS", "pick": "bm25", "seed": "3"}, "seed has no effect here"),
        ("fewshot:3:mock:gold", {"items": "ITEMS", "pick": "luck"}, "must be one of"),
        ("cot:mock:gold", {"trigger": " "}, "trigger must say something"),
        ("cot:", {}, "cot needs a model"),
    ],
)
def test_what_cannot_be_shown_is_one_line(spec: str, options: dict[str, str], said: str, tmp_path: Path) -> None:
    items = items_file(tmp_path)
    with pytest.raises(Exception, match=said) as error:
        load_model(spec, {key: items if value == "ITEMS" else value for key, value in options.items()})
    assert error.value.exit_code == 2 and "\n" not in str(error.value)  # type: ignore[attr-defined]


def test_the_controls_of_a_bench_are_rows_with_the_options_of_the_student(tmp_path: Path) -> None:
    bench = ["bench", "--preset", "demo", "--methods", "sft", "--seeds", "1", "--limit", "5", "--results-dir", tmp_path]
    made = command(*bench, "--controls", "--dry-run", "--model-arg", "tiny:batch_size=4")
    assert made.exit_code == 0, made.stderr
    assert all(name in made.stdout for name in ("fewshot:4:tiny", "cot:tiny", "vote:5:tiny"))
    refused = command(*bench, "--controls", "--dry-run", "--model-arg", "batch_size=4")
    assert refused.exit_code == 2 and "--model-arg tiny:batch_size=" in refused.stderr
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text(json.dumps({"id": "a", "prompt": "1 + 1?", "gold": "2"}) + "\n")
    told = command(*bench[:3], "--methods", "rft", *bench[5:], "--data", prompts, "--controls", "--dry-run")
    assert "few-shot gets no row" in told.stderr
