"""GPQA Diamond: 198 graduate-level science questions with four options, written to resist a web search.

The authors ask that no question be published in plain text. The file is therefore their kind of password-protected
zip, which is read in memory only, and no test or report of this project prints a question.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.datasets import INDEX, clean_text
from harness.suites._published import published
from harness.suites._render import choice_problem, text, texts
from harness.types import DataRef, HubRef, Json, Problem, Sampling, Suite


def _row(index: str, question: Json, right: Json, wrong: Sequence[Json]) -> dict[str, Json]:
    """The right option and the wrong ones in alphabetical order, so that no source's own order matters."""
    return {
        "id": f"gpqa-diamond-{int(index)}",
        "question": clean_text(question),
        "right": clean_text(right),
        "wrong": sorted(clean_text(option) for option in wrong),
    }


def _local(raw: Mapping[str, Json]) -> dict[str, Json]:
    options = texts(raw, "choices")
    correct = "ABCD".index(clean_text(raw["answer"]))
    index = clean_text(raw["id"]).rpartition("_")[2]
    return _row(index, raw["question"], options[correct], options[:correct] + options[correct + 1 :])


def _hub(raw: Mapping[str, Json]) -> dict[str, Json]:
    wrong = [raw[f"Incorrect Answer {number}"] for number in (1, 2, 3)]
    return _row(str(raw[INDEX]), raw["Question"], raw["Correct Answer"], wrong)


def _render(row: Mapping[str, Json], seed: int) -> Problem:
    right = text(row, "right")
    wrong = texts(row, "wrong")
    # The right option takes its alphabetical place: the order shown then depends on the options, not on which is right.
    options = sorted([right, *wrong])
    return choice_problem(row, seed, options=options, correct=options.index(right))


GPQA = Suite(
    name="gpqa",
    version="1",
    summary="GPQA Diamond: graduate-level biology, physics and chemistry, four options",
    data=DataRef(
        files=("gpqa_diamond.zip",),
        rows=198,
        sha256="7b3643c67efc3b21396f8c2a3effad98b3d9f415656a2a2df1d568c9d664c470",
        from_local=_local,
        hub=(HubRef("Idavidrein/gpqa", "gpqa_diamond", "train", "633f5ee89ab8ad4522a9f850766b73f62147ffdd"),),
        from_hub=_hub,
        password="deserted-untie-orchid",  # published by the authors beside their zip: a fence for crawlers, no secret
    ),
    render=_render,
    grader="choice",
    sampling=Sampling(n=8, temperature=0.6, top_p=0.95, max_tokens=32768),
    metrics=("avg@n", "pass@4", "pass@8", "maj@8"),
    formats=("think",),
    licence="CC BY 4.0; the authors ask not to publish examples in plain text",
    paper="Rein et al. 2023, arXiv 2311.12022",
    reference_scores=published("gpqa"),
)
