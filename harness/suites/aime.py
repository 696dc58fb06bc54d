"""AIME 2024 and 2025: competition problems whose answers are whole numbers from 0 to 999.

The default of 16 samples is what 30 or 60 problems need at the least: one item is 1.7 to 3.3 points. Published scores
are per year, so they stand with `aime24` and `aime25`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from harness.datasets import INDEX, clean_text
from harness.suites._published import published
from harness.suites._render import BOXED_INTEGER, open_problem
from harness.types import DataRef, HubRef, Json, Problem, ReferenceScore, Sampling, Suite

_HUB_24 = HubRef("HuggingFaceH4/aime_2024", None, "train", "2fe88a2f1091d5048c0f36abc874fb997b3dd99a")
_HUB_25 = HubRef("math-ai/aime25", None, "test", "563bb8404243c5f09de6ec262f2db674fe5bce9b")
_URL = re.compile(r"(\d{4})_AIME_(I{1,2})_Problems/Problem_(\d{1,2})")


def _row(problem_id: str, raw: Mapping[str, Json]) -> dict[str, Json]:
    # int(): answers stand as 33, "33" or "033", depending on the source.
    return {"id": problem_id, "problem": clean_text(raw["problem"]), "answer": str(int(str(raw["answer"])))}


def _local(raw: Mapping[str, Json]) -> dict[str, Json]:
    return _row(clean_text(raw["id"]), raw)


def _hub(raw: Mapping[str, Json]) -> dict[str, Json]:
    """AIME 2024 names the exam in its `url`; AIME 2025 has none and holds I 1-15, then II 1-15."""
    if "url" not in raw:
        exam, number = divmod(int(str(raw[INDEX])), 15)
        return _row(f"2025-{('I', 'II')[exam]}-{number + 1}", raw)
    found = _URL.search(clean_text(raw["url"]))
    if found is None:
        raise ValueError(f"no exam in the url {raw['url']!r}")
    return _row("-".join(found.groups()), raw)


def _render(row: Mapping[str, Json], seed: int) -> Problem:
    return open_problem(row, grader="integer", instruction=BOXED_INTEGER)


def _suite(name: str, summary: str, data: DataRef, scores: tuple[ReferenceScore, ...] = ()) -> Suite:
    return Suite(
        name=name,
        version="1",
        summary=summary,
        data=data,
        render=_render,
        grader="integer",
        sampling=Sampling(n=16, temperature=0.6, top_p=0.95, max_tokens=32768),
        metrics=("avg@n", "pass@8", "pass@16", "pass@64", "maj@16", "maj@64", "format:boxed"),
        formats=("boxed", "think"),
        licence="problems copyright Mathematical Association of America; transcriptions MIT",
        paper="American Invitational Mathematics Examination, "
        "https://artofproblemsolving.com/wiki/index.php/AIME_Problems_and_Solutions",
        reference_scores=scores,
    )


AIME24 = _suite(
    "aime24",
    "AIME 2024 I and II: 30 competition problems, whole-number answers",
    DataRef(
        files=("aime24.jsonl",),
        rows=30,
        sha256="37320d523783180d1ed0e738cb415f6d968905ace6dfc3ecea650285d98668da",
        from_local=_local,
        hub=(_HUB_24,),
        from_hub=_hub,
    ),
    published("aime24"),
)
AIME25 = _suite(
    "aime25",
    "AIME 2025 I and II: 30 competition problems, whole-number answers",
    DataRef(
        files=("aime25.jsonl",),
        rows=30,
        sha256="fc64dd6adbcab89ed4f4cb62447d3c14bb737bec7d2e72ba9afa30d2fadf1a7c",
        from_local=_local,
        hub=(_HUB_25,),
        from_hub=_hub,
    ),
    published("aime25"),
)
AIME = _suite(
    "aime",
    "AIME 2024 and 2025: 60 competition problems, whole-number answers",
    DataRef(
        files=("aime24.jsonl", "aime25.jsonl"),
        rows=60,
        sha256="fdcbc50494371303d0ec33088a5cdccbb9e2d06937d891f95046e8a32b2ba85a",
        from_local=_local,
        hub=(_HUB_24, _HUB_25),
        from_hub=_hub,
    ),
)
