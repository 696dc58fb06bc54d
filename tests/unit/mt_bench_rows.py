"""MT-Bench rows and prompts in our own words, for tests without the benchmark's data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.types import Completion
from judges.protocols.mt_bench.prompts import _FIELDS
from judges.types import Judgment, Order, Task, Verdict

REFERENCES = ("four", "eight")


def prompt_rows() -> list[dict[str, str]]:
    """All eight prompts, each just a list of its fields."""
    return [
        {
            "name": name,
            "type": "pairwise" if name.startswith("pair") else "single",
            "system_prompt": f"Judge by {name}.",
            "prompt_template": "\n".join(f"{field}: {{{field}}}" for field in sorted(fields)),
        }
        for name, fields in _FIELDS.items()
    ]


def write_lines(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def task(
    question: int = 111, turn: int = 1, answers: tuple[str, ...] = ("4", "8"), guided: bool = True, **changes: Any
) -> Task:
    """One turn of a question, guided by references unless told."""
    facts: dict[str, Any] = {
        "problem_id": f"{question}/{turn}",
        "attempt": 0,
        "turns": ("2 + 2?", "Twice that?")[:turn],
        "answers": answers[:turn],
        "reference": REFERENCES[turn - 1] if guided else None,
        "cluster": str(question),
        "meta": {"category": "math" if guided else "writing", "references": list(REFERENCES) if guided else []},
    }
    return Task(**(facts | changes))


def judgment(of: Task, value: float | None, order: Order = "single", why: str = "no rating") -> Judgment:
    verdict = None if value is None else Verdict(value, f"{value}")
    why = why if verdict is None else ""
    return Judgment(of.problem_id, of.attempt, "judge", "prompt", order, 0, verdict, "said", why)


def said(text: str) -> Completion:
    return Completion(text, "stop", answer_text=text)


def single(model: Any = "m", question: Any = 81, turn: Any = 1, **fields: Any) -> dict[str, Any]:
    """A row of <judge>_single.jsonl."""
    row: dict[str, Any] = {"model": model, "question_id": question, "turn": turn, "judge": ["gpt-4", "single-v1"]}
    return {key: value for key, value in (row | {"score": 7} | fields).items() if value is not ...}


def pair(first: str = "a", second: str = "b", games: tuple[str, str] = ("tie", "tie"), **fields: Any) -> dict[str, Any]:
    """A row of <judge>_pair.jsonl."""
    row: Mapping[str, Any] = {"question_id": 81, "turn": 1, "model_1": first, "model_2": second}
    return {**row, "g1_winner": games[0], "g2_winner": games[1], "judge": ["gpt-4", "pair-v2"], **fields}
