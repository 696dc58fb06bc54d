"""Token reduction of one stored run against another: of the chain of thought, as the paper has it, and of all tokens.

A chain is what stands in the think block, or the whole reply where there is none. Both are counted by one tokenizer:
the one that is named, else the runs' own if they share it. Runs of two tokenizers are refused: "20 % fewer tokens"
would then say as much about the tokenizers as about the models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from harness.errors import DataError, HarnessError, UsageError
from harness.metrics.length import TokenReduction, token_reduction
from harness.models.base import named_markup
from harness.reasoning import with_answer
from harness.run.folder import RunFolder
from harness.run.tokenizers import Tokenizer, mark_of, named, of_run
from harness.types import Completion, Graded

_UNASKED = 30_000_000
"""Characters that are counted without being asked for: some seconds."""


@dataclass(frozen=True)
class Reduction:
    """How many fewer tokens the second run generates than the reference, or why that is not known."""

    replies: TokenReduction | str
    """Of all tokens."""
    chains: TokenReduction | str
    tokenizer: str = ""
    """What counted the chains; with a named tokenizer also the replies."""


def reduction(reference: RunFolder, other: RunFolder, tokenizer: str | None) -> Reduction:
    """Token reduction of `other` on the problems that both have; what cannot be counted is said, not raised.

    Raises `UsageError` and `ModelError` for a tokenizer that was named and cannot be had.
    """
    asked = named(tokenizer, other.results_dir) if tokenizer is not None else None
    try:
        counter = asked if asked is not None else _shared(reference, other)
        rows = _common(reference, other)
    except HarnessError as error:  # no scores, two tokenizers: the comparison itself does not need them
        return Reduction(str(error), str(error))
    chains: TokenReduction | str
    try:
        if counter is None:
            raise DataError("the runs' tokenizer does not lie here: name it, --tokenizer NAME")
        texts = [_texts(side, None if asked is not None else _UNASKED) for side in (reference, other)]
        chains = _rates(_recounted(rows, texts, counter, whole=False))
        if asked is not None:
            rows = _recounted(rows, texts, counter, whole=True)
    except HarnessError as error:
        chains = str(error)
    name = counter.name if counter is not None else ""
    if asked is not None and isinstance(chains, str):  # what is stored may be counts of two others
        return Reduction(chains, chains, name)
    try:
        return Reduction(_rates(rows), chains, name)
    except HarnessError as error:
        return Reduction(str(error), chains, name)


_Rows = tuple[Sequence[Graded], Sequence[Graded]]
"""Of the reference and of the other run."""
_Texts = Mapping[tuple[str, int], tuple[str, str]]
"""Chain and whole reply of every attempt."""


def _rates(rows: _Rows) -> TokenReduction:
    return token_reduction(rows[1], rows[0])


def _shared(reference: RunFolder, other: RunFolder) -> Tokenizer | None:
    """The tokenizer of both runs, None if it is one and does not lie here; `UsageError` if there are two."""
    sides = [(side.result, of_run(side.result, side.results_dir)) for side in (reference, other)]
    marks = {mark_of(result, tokenizer) for result, tokenizer in sides}
    if len(marks) > 1:
        raise UsageError(
            "their tokens were counted by two tokenizers, or by ones that are not known: "
            "count both with one, --tokenizer NAME"
        )
    return sides[1][1]


def _common(reference: RunFolder, other: RunFolder) -> _Rows:
    left, right = reference.graded, other.graded
    common = {row.problem_id for row in left} & {row.problem_id for row in right}
    return [row for row in left if row.problem_id in common], [row for row in right if row.problem_id in common]


def _texts(side: RunFolder, most: int | None) -> _Texts:
    """The stored texts; raises `StoreError` for a damaged file, `DataError` for more characters than `most`."""
    markup = named_markup(side.result.model_identity)
    found: dict[tuple[str, int], tuple[str, str]] = {}
    size = 0
    for record in side.records:
        if record.completion.finish == "error":
            continue
        chain, whole = _chain(replace(record.completion, markup=markup))
        size += len(chain)
        if most is not None and size > most:
            raise DataError(
                f"chains of more than {most / 1e6:.0f} million characters are counted with --tokenizer only"
            )
        found[record.problem_id, record.attempt] = chain, whole
    return found


def _chain(completion: Completion) -> tuple[str, str]:
    """The thought, or the whole reply where there is none; and all that was generated."""
    thought, whole = with_answer(completion).reasoning, completion.text
    if completion.reasoning is not None:  # a server separated it from the text
        whole = f"{completion.reasoning}\n{whole}"
    return (thought if thought is not None else whole), whole


def _recounted(rows: _Rows, texts: Sequence[_Texts], counter: Tokenizer, *, whole: bool) -> _Rows:
    """The rows with their tokens counted anew; those without a text have no count."""
    found = []
    for side, stored in zip(rows, texts, strict=True):
        keys = [(row.problem_id, row.attempt) for row in side]
        known = [key for key in keys if key in stored]
        counts = dict(zip(known, counter.count([stored[key][whole] for key in known]), strict=True))
        found.append([replace(row, tokens_out=counts.get(key)) for row, key in zip(side, keys, strict=True)])
    return found[0], found[1]
