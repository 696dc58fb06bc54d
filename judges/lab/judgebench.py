"""JudgeBench (Tan et al., arXiv 2410.12784): pairs in which one answer is verifiably right and the other wrong.

350 pairs answered by GPT-4o and 270 by Claude 3.5 Sonnet; both answers of a pair are by the same model, so there is
no self-preference to measure. Subsets: "gpt", "claude" (the hub's splits). Read from the hub, or from the official
JSONL files in a data directory, under their own names or as judgebench_gpt.jsonl and judgebench_claude.jsonl.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from harness.datasets import PART, MissingData, clean_text, data_folder, load_rows
from harness.types import DataRef, HubRef, Json
from judges.lab.labelled_pair import Label, LabelledPair

SOURCE = "JudgeBench, arXiv 2410.12784"
_REVISION = "main"
"""Its only commit is known by an abbreviation, which the hub does not resolve; the report holds the content hash."""
_FILES = {
    "gpt": ("judgebench_gpt.jsonl", "dataset=judgebench,response_model=gpt-4o-2024-05-13.jsonl"),
    "claude": ("judgebench_claude.jsonl", "dataset=judgebench,response_model=claude-3-5-sonnet-20240620.jsonl"),
}


def load(data_dir: Path | None) -> tuple[list[LabelledPair], str]:
    """All pairs that are there (either half may be missing from a folder), and the source."""
    rows = load_rows(_reference(data_dir), data_dir)
    return [_pair(row) for row in rows], SOURCE


def _reference(data_dir: Path | None) -> DataRef:
    files = tuple(name for names in _FILES.values() for name in names)
    folder = data_folder(data_dir)
    if folder is not None:
        files = tuple(name for name in files if (folder / name).is_file())
        if not files:
            raise MissingData(
                f"no JudgeBench file in {folder}: put {' or '.join(n[0] for n in _FILES.values())} there "
                "(data/*.jsonl of ScalerLab/JudgeBench), or leave --data-dir and HARNESS_DATA_DIR unset for the hub"
            )
    hub = tuple(HubRef("ScalerLab/JudgeBench", None, split, _REVISION) for split in _FILES)
    # Nobody publishes a pin, and a folder may hold one half: the report carries the content hash instead.
    return DataRef(files=files, rows=0, sha256="", from_local=_row, hub=hub, from_hub=_row)


def _row(raw: Mapping[str, Json]) -> Mapping[str, Json]:
    labels = {"A>B": "a", "B>A": "b"}
    label = str(raw["label"])
    if label not in labels:
        raise ValueError(f"label must be A>B or B>A, not {label!r}")
    model = clean_text(raw["response_model"])
    part = str(raw[PART])
    return {
        "id": clean_text(raw["pair_id"]),
        "subset": next((name for name in _FILES if name in (part or model)), part),
        "source": clean_text(raw["source"]),
        "original_id": str(raw["original_id"]),
        "question": clean_text(raw["question"]),
        "a": clean_text(raw["response_A"]),
        "b": clean_text(raw["response_B"]),
        "model": model,
        "label": labels[label],
    }


def _pair(row: Mapping[str, Json]) -> LabelledPair:
    label: Label = "a" if row["label"] == "a" else "b"
    question, a, b, model = (str(row[name]) for name in ("question", "a", "b", "model"))
    return LabelledPair(
        id=str(row["id"]),
        turns=(question,),
        a=(a,),
        b=(b,),
        label=label,
        subset=f"{row['subset']}:{_topic(str(row['source']))}",
        model_a=model,
        model_b=model,
        cluster=f"{row['source']}/{row['original_id']}",
    )


def _topic(source: str) -> str:
    """The four topics that the paper reports: knowledge, reasoning, math, coding."""
    if source.startswith("mmlu-pro"):
        return "knowledge"
    for topic, names in _TOPICS.items():
        if source.startswith(names):
            return topic
    return source


_TOPICS = {"reasoning": ("livebench-reasoning",), "math": ("livebench-math",), "coding": ("livecodebench",)}
