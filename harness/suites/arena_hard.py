"""Arena-Hard: hard prompts of real users, each answer judged against a fixed baseline's in two games.

v0.1 has 500 prompts and the baseline gpt-4-0314. v2 has 500 hard prompts against o3-mini-2025-01-31 and 250 prompts of
creative writing against gemini-2.0-flash-001. The official script cuts answers at 4,096 tokens, which cuts most
chains of thought: the limit here is 16,384, and `--max-tokens 4096` is the published setting.

The topics that the data calls "cluster" group prompts by subject, two per topic in v0.1; they are kept as a fact about
the prompt and not used as a statistical cluster: the prompts of a topic come from different conversations, and the
benchmark's scores are over prompts.

v0.1 is pinned to files made from the authors' repository. v2 is not verified: none of its files was at hand. Its
reader follows the official layout (`arena-hard-v2.0/question.jsonl`, `arena-hard-v2.0/model_answer/<baseline>.jsonl`:
the `data` folder of a copy of the official repository is a data folder), was tested on made-up files in that layout,
and pins what it finds when it is loaded. No hub was reached either: repository, commit and paths are those that several
public projects pin.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.datasets import clean_text
from harness.suites._render import text, user
from harness.types import DataRef, HubRef, Json, Problem, Sampling, Suite
from judges.protocols.arena.files import read_answer

V2_BASELINES: Mapping[str, str] = {
    "hard_prompt": "o3-mini-2025-01-31",
    "creative_writing": "gemini-2.0-flash-001",
}
"""Category of v2 -> model whose answers are the baseline."""
_V2 = "arena-hard-v2.0"
_V2_FILES = (f"{_V2}/question.jsonl", *(f"{_V2}/model_answer/{model}.jsonl" for model in V2_BASELINES.values()))
_SAMPLING = Sampling(n=1, temperature=0.0, max_tokens=16384)
_LICENCE = "Apache-2.0"
_PAPER = "Li et al. 2024, arXiv 2406.11939"


def _hub(*files: str) -> tuple[HubRef, ...]:
    """The authors' archive of files; several public projects pin this commit and these paths, it was not seen here."""
    commit = "15f3746e21432264ce9b453999bde4f3c946d2e6"
    return tuple(HubRef("lmarena-ai/arena-hard-auto", None, "", commit, f"data/{file}") for file in files)


def _question(raw: Mapping[str, Json]) -> dict[str, Json]:
    return {"id": clean_text(raw["uid"]), "prompt": _filled(raw["prompt"]), "topic": clean_text(raw["cluster"])}


def _answer(raw: Mapping[str, Json]) -> dict[str, Json]:
    answer = read_answer(raw)
    return {"id": clean_text(answer.question), "output": clean_text(answer.turns[-1])}


def _v2_question(raw: Mapping[str, Json]) -> dict[str, Json]:
    category = clean_text(raw["category"])
    if category not in V2_BASELINES:
        raise ValueError(f"category {category!r} is none of {', '.join(V2_BASELINES)}")
    subcategory = raw.get("subcategory")
    return {
        "id": clean_text(raw["uid"]),
        "prompt": _filled(raw["prompt"]),
        "category": category,
        "topic": clean_text(subcategory) if isinstance(subcategory, str) else "",
    }


def _v2_answer(raw: Mapping[str, Json]) -> dict[str, Json]:
    """A row of the question file, which has the category, or of an answer file, which has the text."""
    if "messages" not in raw:
        return _v2_question(raw)
    return {**_answer(raw), "model": clean_text(raw["model"])}


def _v2_baseline(rows: Sequence[Mapping[str, Json]]) -> list[dict[str, Json]]:
    """Of the answers to a prompt, the one by its category's baseline: either model may have answered all prompts."""
    wanted = {row["id"]: V2_BASELINES[text(row, "category")] for row in rows if "category" in row}
    return [
        {"id": row["id"], "output": row["output"]}
        for row in rows
        if "output" in row and wanted.get(row["id"]) == row["model"]
    ]


def _filled(value: Json) -> str:
    found = clean_text(value)
    if not found:
        raise ValueError("an empty prompt")
    return found


def _render(row: Mapping[str, Json], seed: int) -> Problem:
    meta: dict[str, Json] = {key: row[key] for key in ("category", "topic") if row.get(key)}
    return Problem(text(row, "id"), user(text(row, "prompt")), target="", grader="exact", meta=meta)


ARENA_HARD = Suite(
    name="arena_hard",
    version="1",
    summary="Arena-Hard v0.1: 500 hard prompts of real users, judged against gpt-4-0314",
    data=DataRef(
        files=("arena_hard_v01_questions.jsonl",),
        rows=500,
        sha256="16b5b7d4aad10a9bb3f8f50eb93d3e4515fa4bcd21f4d68e4f3b850fb8f3c76c",
        from_local=_question,
        hub=_hub("arena-hard-v0.1/question.jsonl"),
        from_hub=_question,
    ),
    render=_render,
    grader="exact",
    sampling=_SAMPLING,
    metrics=("avg@n",),
    licence=_LICENCE,
    paper=_PAPER,
    judging="arena_hard",
    baseline=DataRef(
        files=("arena_hard_v01_answers/gpt-4-0314.jsonl",),
        rows=500,
        sha256="fbddb1ac0163f5959ab588052c327d37c409fba3af977f78265f03cb3df8bcaf",
        from_local=_answer,
        hub=_hub("arena-hard-v0.1/model_answer/gpt-4-0314.jsonl"),
        from_hub=_answer,
    ),
)

ARENA_HARD_V2 = Suite(
    name="arena_hard_v2",
    version="1",
    summary="Arena-Hard v2: 500 hard prompts and 250 of creative writing, each judged against its category's baseline",
    data=DataRef(
        files=(f"{_V2}/question.jsonl",),
        rows=0,  # 750 as published; not verified here, so it is taken when the data is loaded
        sha256="",
        from_local=_v2_question,
        hub=_hub(f"{_V2}/question.jsonl"),
        from_hub=_v2_question,
    ),
    render=_render,
    grader="exact",
    sampling=_SAMPLING,
    metrics=("avg@n",),
    licence=_LICENCE,
    paper=_PAPER,
    judging="arena_hard_v2",
    baseline=DataRef(
        files=_V2_FILES,
        rows=0,
        sha256="",
        from_local=_v2_answer,
        hub=_hub(*_V2_FILES),
        from_hub=_v2_answer,
        combine=_v2_baseline,
    ),
)
