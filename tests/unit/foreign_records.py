"""The same questions and answers in the shapes and file formats that other tools keep them in.

rows = SHAPES["sharegpt"](examples(4))
write_file(tmp_path / "d.parquet", rows)
"""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Row = dict[str, Any]
BOM = "\ufeff"


@dataclass(frozen=True)
class Pair:
    """What every shape says in its own way."""

    question: str
    response: str
    rejected: str
    number: int


WORDS = [
    "Add",
    "take, away",
    'the "sum"',
    "naïve",
    "数学",
    "a\nnew line",
    "x; y",
    "tab\there",
    "[1, 2]",
    "{curly}",
    "\\frac{1}{2}",
]


def examples(number: int = 4, seed: int = 0) -> list[Pair]:
    """Texts with everything that a format could trip over."""
    rng = random.Random(seed)

    def text(kind: str, index: int) -> str:
        return f"{kind} {index}: " + " ".join(rng.choices(WORDS, k=3)) + "."

    return [Pair(text("Question", i), text("Answer", i), text("Wrong", i), i) for i in range(number)]


def chat(
    pair: Pair, role: str = "role", content: str = "content", user: str = "user", model: str = "assistant"
) -> list[Row]:
    return [{role: user, content: pair.question}, {role: model, content: pair.response}]


def shape(make: Callable[[Pair], Row]) -> Callable[[Sequence[Pair]], list[Row]]:
    return lambda pairs: [make(pair) for pair in pairs]


SHAPES: dict[str, Callable[[Sequence[Pair]], list[Row]]] = {
    "messages": shape(lambda p: {"messages": chat(p)}),
    "messages with ids": shape(lambda p: {"id": p.number, "messages": chat(p), "source": "web"}),
    "messages with a column of the prompt": shape(
        lambda p: {"prompt": p.question, "prompt_id": f"p{p.number}", "messages": chat(p)}
    ),
    "conversations": shape(
        lambda p: {"id": f"c_{p.number}", "conversations": chat(p, "from", "value", "human", "gpt")}
    ),
    "conversations with roles": shape(lambda p: {"conversations": chat(p)}),
    "prompt and completion": shape(lambda p: {"prompt": p.question, "completion": p.response}),
    "prompt and completion as turns": shape(lambda p: {"prompt": chat(p)[:1], "completion": chat(p)[1:]}),
    "prompt and response": shape(lambda p: {"prompt": p.question, "response": p.response}),
    "instruction and output": shape(lambda p: {"instruction": p.question, "input": "", "output": p.response}),
    "problem and solution": shape(lambda p: {"problem": p.question, "solution": p.response}),
    "problem, solution and answer": shape(
        lambda p: {"problem": p.question, "solution": p.response, "answer": str(p.number), "level": "Level 1"}
    ),
    "question and answer": shape(lambda p: {"question": p.question, "answer": p.response}),
    "query and response": shape(lambda p: {"query": p.question, "response": p.response}),
    "numeric ids": shape(lambda p: {"id": p.number, "question": p.question, "answer": p.response}),
    "our own": shape(
        lambda p: {"id": f"r{p.number}", "prompt": [{"role": "user", "content": p.question}], "response": p.response}
    ),
    "our own with numeric ids": shape(
        lambda p: {"id": p.number, "prompt": [{"role": "user", "content": p.question}], "response": p.response}
    ),
    "our own without ids": shape(
        lambda p: {"prompt": [{"role": "user", "content": p.question}], "response": p.response}
    ),
}
"""Shape -> rows that say the same."""

PAIRED: dict[str, Callable[[Sequence[Pair]], list[Row]]] = {
    "texts": shape(lambda p: {"prompt": p.question, "chosen": p.response, "rejected": p.rejected}),
    "question and texts": shape(lambda p: {"question": p.question, "chosen": p.response, "rejected": p.rejected}),
    "conversations": shape(
        lambda p: {"chosen": chat(p), "rejected": [chat(p)[0], {"role": "assistant", "content": p.rejected}]}
    ),
    "conversations and the prompt": shape(
        lambda p: {
            "prompt": p.question,
            "chosen": chat(p),
            "rejected": [chat(p)[0], {"role": "assistant", "content": p.rejected}],
            "score_chosen": 8.5,
        }
    ),
    "turns after a prompt": shape(
        lambda p: {
            "prompt": chat(p)[:1],
            "chosen": chat(p)[1:],
            "rejected": [{"role": "assistant", "content": p.rejected}],
        }
    ),
}
"""The same with a rejected response."""


def write_file(path: Path, rows: Sequence[Row], *, bom: bool = False, crlf: bool = False) -> Path:
    """Rows in the format that the path's ending names; tables keep lists as lists (parquet) or as JSON (csv)."""
    if path.suffix == ".parquet":
        import pyarrow
        from pyarrow import parquet

        parquet.write_table(pyarrow.Table.from_pylist(list(rows)), path)
        return path
    start, end = BOM if bom else "", "\r\n" if crlf else "\n"
    if path.suffix in (".csv", ".tsv"):
        with path.open("w", encoding="utf-8", newline="") as stream:
            stream.write(start)
            writer = csv.writer(stream, delimiter="\t" if path.suffix == ".tsv" else ",", lineterminator=end)
            writer.writerow(rows[0])
            for row in rows:
                writer.writerow([value if isinstance(value, str) else json.dumps(value) for value in row.values()])
        return path
    if path.suffix == ".json":
        text = json.dumps(list(rows), indent=1)
    else:
        text = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n"
    path.write_bytes((start + text.replace("\n", end)).encode("utf-8"))
    return path


UNREAD: dict[str, tuple[Row, str]] = {
    "other names": ({"q": "a question", "a": "an answer"}, "Rename the columns"),
    "a text": ({"text": "### Human: a\n### Assistant: b"}, "Rename the columns"),
    "rows inside": ({"data": [{"prompt": "a", "completion": "b"}]}, "The rows are under 'data'"),
    "no columns": ({}, "found: nothing"),
    "a role of its own": ({"messages": [{"role": "tool", "content": "x"}]}, "the role 'tool' is none of"),
    "an empty conversation": ({"messages": []}, "'messages' is empty"),
    "a conversation of texts": ({"messages": ["a", "b"]}, "must be an object"),
    "an image": ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]}, "must be text"),
    "a number for a question": ({"question": 3, "answer": "3"}, "column 'question' must be text"),
    "a list for a response": ({"question": "a", "response": ["b"]}, "column 'response' must be text"),
    "different prompts": (
        {
            "chosen": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}],
            "rejected": [{"role": "user", "content": "c"}, {"role": "assistant", "content": "d"}],
        },
        "answer different conversations",
    ),
    "a pair without a prompt": ({"chosen": "a", "rejected": "b"}, "no 'prompt' to 'chosen'"),
}
"""A row that is not read -> what is said of it."""
