"""The responses of stored runs that can be measured, put on equal terms.

Measures of repetition depend on how many responses are looked at. So runs that are compared are cut to the same
problems, the same number of attempts and, for each problem, the same number of usable responses: the smallest that any
of the runs has. A completion that failed, was cut by the token limit or is empty is left out and counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from harness.errors import DataError, StoreError, UsageError
from harness.metrics.diversity import Corpus
from harness.metrics.diversity_text import words
from harness.run.folder import SCORES, RunFolder
from harness.types import Graded
from judges.answers import answer_part
from judges.types import Part

_LENGTHS_DIFFER = 0.1  # relative difference of mean words from which a warning is due
_SAME = ("suite", "suite_version", "data_sha256")


@dataclass(frozen=True)
class Responses:
    """The stored responses of one run."""

    folder: RunFolder
    model: str
    """The model's name; the run's id where two of the runs are of one model."""
    suite: str
    attempts: int
    """Attempts per problem that entered."""
    texts: Mapping[str, tuple[str, ...]]
    """Problem id -> usable responses, in order of attempt."""
    left_out: Mapping[str, int]
    """Completions that are "failed", "truncated" or "empty"."""
    graded: tuple[Graded, ...] = ()
    """Graded attempts, where the run has been graded."""

    def corpus(self) -> Corpus:
        """The texts as measures take them."""
        clusters = {row.problem_id: row.cluster for row in self.graded if row.cluster}
        texts = tuple(text for found in self.texts.values() for text in found)
        return Corpus(texts, {problem: len(found) for problem, found in self.texts.items()}, clusters)


def read_responses(
    folder: RunFolder, part: Part = "answer", samples: int | None = None, *, keep_truncated: bool = False
) -> Responses:
    """The responses of one run: that part of at most `samples` attempts per problem.

    `keep_truncated` counts completions that were cut by the token limit as they are. Raises `StoreError` for a run
    without completions, `DataError` if none is usable.
    """
    spec = folder.spec
    if spec.judged_from is not None:
        raise StoreError(f"{folder} is what a judge said of run {spec.judged_from}: name that run instead")
    latest = {key: record.completion for key, record in folder.latest.items()}
    if not latest:
        raise StoreError(f"{folder} holds no completions, so there are no texts to measure")
    attempts = min(max(attempt for _, attempt in latest) + 1, samples or 1_000_000_000)
    texts: dict[str, list[str]] = {}
    left_out = Counter({"failed": 0, "truncated": 0, "empty": 0})
    for (problem, attempt), completion in sorted(latest.items()):
        if attempt >= attempts:
            continue
        if completion.finish == "error":
            left_out["failed"] += 1
        elif completion.finish == "length" and not keep_truncated:
            left_out["truncated"] += 1
        elif not (text := answer_part(completion, part).strip()):
            left_out["empty"] += 1
        else:
            texts.setdefault(problem, []).append(text)
    if not texts:
        counts = ", ".join(f"{number} {reason}" for reason, number in left_out.items() if number)
        raise DataError(
            f"{folder}: no completion is usable ({counts}); --keep-truncated counts cut ones, --part looks elsewhere"
        )
    graded = folder.graded if folder.has(SCORES) else []
    return Responses(
        folder=folder,
        model=spec.model,
        suite=spec.suite,
        attempts=attempts,
        texts={problem: tuple(found) for problem, found in sorted(texts.items())},
        left_out=dict(left_out),
        graded=tuple(row for row in graded if row.attempt < attempts),
    )


def on_equal_terms(
    folders: Sequence[RunFolder], part: Part = "answer", samples: int | None = None, *, keep_truncated: bool = False
) -> tuple[list[Responses], list[str]]:
    """The responses of all runs over the same problems, with equally many of each problem; and what that cost.

    Raises `UsageError` for runs of different suites or data, or without a common problem.
    """
    if len({folder.path.resolve() for folder in folders}) < len(folders):
        raise UsageError("a run is given twice: it is always as diverse as itself")
    first = folders[0]
    for folder in folders:
        if different := [name for name in _SAME if getattr(folder.spec, name) != getattr(first.spec, name)]:
            raise UsageError(
                f"{folder.name} and {first.name} differ in {', '.join(different)}: diversity is compared "
                "on the same prompts, so give runs of one suite"
            )
    read = partial(read_responses, part=part, keep_truncated=keep_truncated)
    runs = [read(folder, samples=samples) for folder in folders]
    names = Counter(run.model for run in runs)
    least = min(run.attempts for run in runs)
    notes = []
    if any(run.attempts != least for run in runs):
        notes.append(f"runs have different n: the first {least} samples of each are compared")
        runs = [read(folder, samples=least) for folder in folders]
    common = set(runs[0].texts).intersection(*(run.texts for run in runs))
    if not common:
        raise UsageError("the runs have no problem in common that each of them answered")
    if lost := len(set().union(*(run.texts for run in runs)) - common):
        what = "1 problem" if lost == 1 else f"{lost} problems"
        notes.append(f"{what} without a usable response in every run left out")
    sizes = {problem: min(len(run.texts[problem]) for run in runs) for problem in sorted(common)}
    equal = [
        replace(
            run,
            model=run.model if names[run.model] == 1 else run.folder.name,
            texts={problem: run.texts[problem][:size] for problem, size in sizes.items()},
            graded=tuple(row for row in run.graded if row.problem_id in common),
        )
        for run in runs
    ]
    return equal, notes


def length_notes(runs: Sequence[Responses]) -> list[str]:
    """Mean words of each run, and a warning where they differ: measures of repetition depend on length."""
    means = []
    for run in runs:
        texts = run.corpus().texts
        means.append(sum(len(words(text)) for text in texts) / len(texts))
    notes = [
        f"{run.model}: {mean:.0f} words in a response on average"
        + "".join(f", {number} {reason} left out" for reason, number in run.left_out.items() if number)
        for run, mean in zip(runs, means, strict=True)
    ]
    for run, mean in zip(runs[1:], means[1:], strict=True):
        if abs(mean - means[0]) > _LENGTHS_DIFFER * max(mean, means[0]):
            notes.append(
                f"warning: responses of {run.model} are {mean / max(means[0], 1e-9):.2f} times as long as those of "
                f"{runs[0].model}: distinct-n falls with length whatever the diversity; ead is corrected for it"
            )
    return notes
