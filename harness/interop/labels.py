"""A teacher's replies as labels: from a stored run of `text_quality:<file>` to a file that such a suite can read.

    harness run --suite text_quality:titles.jsonl --model openai:teacher
    harness export RUN --to labels --out labelled
    harness run --suite text_quality:labelled/<teacher>.jsonl --model hf:student

Each row has the text, the teacher's 18 values and, as `reference`, its chain of thought: the think block, else the
steps in its reply. Of several samples of a text the first usable one counts; a text without one is left out.
"""

from __future__ import annotations

import json
from pathlib import Path

from harness.answers import json_object
from harness.config import RunConfig
from harness.errors import DataError, StoreError, UsageError
from harness.files import write_output
from harness.grading.labels import all_valid, read_labels
from harness.interop.common import safe_name
from harness.reasoning import with_answer
from harness.run.folder import RunFolder
from harness.run.replan import stored_job
from harness.suites.text_quality import PREFIX
from harness.types import Completion, Json

LABELS = "labels"


def export_labels(folder: RunFolder, out: Path, config: RunConfig) -> tuple[Path, int]:
    """Write one labelled file below `out`; returns it and the number of texts that are left out.

    Raises `UsageError` for a run of another suite, `DataError` if no reply is usable, `StoreError` for a run that does
    not fit its texts any more.
    """
    suite = folder.spec.suite
    if not suite.startswith(f"{PREFIX}:"):
        raise UsageError(f"{folder.name} is a run of {suite}: labels come from runs of {PREFIX}:<file>")
    job = stored_job(folder, config)
    rows: dict[str, dict[str, Json]] = {}
    texts = {problem.id: str(problem.meta["text"]) for problem in job.problems}
    for (problem_id, _), record in sorted(folder.latest.items()):
        if record.prompt_hash != job.prompt_hashes.get(problem_id):
            raise StoreError(f"{folder}: the reply to {problem_id!r} was made from another prompt: run it again")
        if problem_id not in rows and (found := _row(record.completion)) is not None:
            rows[problem_id] = {"id": problem_id, "text": texts[problem_id], **found}
    if not rows:
        raise DataError(f"{folder}: no reply gives all 18 indicators a value of their sets: there is nothing to export")
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{safe_name(job.spec.model)}.jsonl"
    write_output(path, "".join(json.dumps(rows[key], ensure_ascii=False) + "\n" for key in texts if key in rows))
    return path, len(texts) - len(rows)


def _row(completion: Completion) -> dict[str, Json] | None:
    """Labels and chain of thought of a usable reply, None for any other."""
    completion = with_answer(completion)
    answer = completion.answer_text
    if completion.finish != "stop" or answer is None:
        return None
    labels = read_labels(answer)
    if labels is None or not all_valid(labels):
        return None
    chain = completion.reasoning or _steps(json_object(answer).get("process"))
    return {"labels": dict(labels), **({"reference": chain} if chain else {})}


def _steps(process: Json) -> str:
    """The steps of a reply as lines; empty where it has none of that form."""
    if not isinstance(process, list):
        return ""
    return "\n".join(step.strip() for step in process if isinstance(step, str) and step.strip())
