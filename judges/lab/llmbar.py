"""LLMBar (Zeng et al., arXiv 2310.07641): pairs in which exactly one answer follows the instruction.

419 items: Natural (100) and four adversarial subsets in which the wrong answer looks the better one: Neighbor (134),
GPTInst (92), GPTOut (47), Manual (46). Beside them the repository has three processed sets with human labels
(MT-Bench 200, LLMEval2 200, FairEval 66) and a case study (315). Read from `llmbar.jsonl`, or from the `dataset.json`
files of a clone of princeton-nlp/LLMBar; the set on the hub is a loading script, which is never run.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path

from harness.datasets import MissingData, clean_text, data_folder, load_rows
from harness.datasets.local import read_list
from harness.errors import DataError
from harness.types import DataRef, Json
from judges.lab.labelled_pair import Label, LabelledPair

SOURCE = "LLMBar, arXiv 2310.07641"
FILE = "llmbar.jsonl"

_FOLDERS = {
    "Natural": "LLMBar/Natural",
    "Adversarial-Neighbor": "LLMBar/Adversarial/Neighbor",
    "Adversarial-GPTInst": "LLMBar/Adversarial/GPTInst",
    "Adversarial-GPTOut": "LLMBar/Adversarial/GPTOut",
    "Adversarial-Manual": "LLMBar/Adversarial/Manual",
    "Processed-MT-Bench": "Processed/MT-Bench",
    "Processed-LLMEval2": "Processed/LLMEval^2",
    "Processed-FairEval": "Processed/FairEval",
    "CaseStudy-Base_9": "CaseStudy/Base_9",
    "CaseStudy-Base_10": "CaseStudy/Base_10",
    "CaseStudy-Constraint": "CaseStudy/Constraint",
    "CaseStudy-Negation": "CaseStudy/Negation",
    "CaseStudy-Normal": "CaseStudy/Normal",
}
"""Subset -> folder of its `dataset.json` below `Dataset/` of the official repository."""


def is_core(subset: str) -> bool:
    """True for the five subsets that are LLMBar proper."""
    return subset == "Natural" or subset.startswith("Adversarial-")


def load(data_dir: Path | None) -> tuple[list[LabelledPair], str]:
    """All 1,200 pairs, side sets included, and the source.

    Raises `MissingData` if neither form is in the folder, `DataError` if the rows are not the published ones.
    """
    rows = load_rows(_reference(data_dir), data_dir)
    return [_pair(row) for row in rows], SOURCE


def _reference(data_dir: Path | None) -> DataRef:
    ref = DataRef(files=(FILE,), rows=1200, sha256=_SHA256, from_local=_row)
    folder = data_folder(data_dir)
    if folder is None:
        raise MissingData(
            "LLMBar is read from a folder: clone princeton-nlp/LLMBar and name its folder with --data-dir "
            "(the set on the hub is a loading script, which is never run)"
        )
    if (folder / FILE).is_file():
        return ref
    for root in (folder, folder / "Dataset", folder / "LLMBar" / "Dataset"):
        if (root / _FOLDERS["Natural"] / "dataset.json").is_file():
            return dataclasses.replace(ref, generate=functools.partial(_official, root))
    raise MissingData(
        f"neither {FILE} nor Dataset/LLMBar/Natural/dataset.json is in {folder}: clone princeton-nlp/LLMBar and name "
        "its folder with --data-dir"
    )


def _official(root: Path) -> list[Mapping[str, Json]]:
    """The rows of a clone, with the ids that `llmbar.jsonl` gives them: subset and position."""
    rows: list[Mapping[str, Json]] = []
    for subset, folder in _FOLDERS.items():
        path = root / folder / "dataset.json"
        if not path.is_file():
            raise MissingData(f"{path} is missing: the clone of princeton-nlp/LLMBar is not complete")
        for number, raw in enumerate(read_list(path)):
            try:
                rows.append(_row({**raw.fields, "id": f"{subset}-{number}", "subset": subset}))
            except (KeyError, TypeError, ValueError) as error:
                raise DataError(f"{raw.where} is not what LLMBar publishes ({error})") from error
    return rows


def _row(raw: Mapping[str, Json]) -> Mapping[str, Json]:
    label = raw["label"]
    if label not in (1, 2):
        raise ValueError(f"label must be 1 or 2, not {label!r}")
    texts = {name: clean_text(raw[key]) for name, key in (("question", "input"), ("a", "output_1"), ("b", "output_2"))}
    return {"id": raw["id"], "subset": raw["subset"], **texts, "label": "a" if label == 1 else "b"}


def _pair(row: Mapping[str, Json]) -> LabelledPair:
    label: Label = "a" if row["label"] == "a" else "b"
    question, a, b = (str(row[name]) for name in ("question", "a", "b"))
    return LabelledPair(str(row["id"]), (question,), (a,), (b,), label, subset=str(row["subset"]))


_SHA256 = "9e998ffa10883704ea1bfec758373ae4a9504284f22832f56c8d57f6d0d69540"
