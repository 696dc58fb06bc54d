"""What a reader of a result must know: said with the result wherever it is shown, not only when it was made.

`harness run`, `judge` and `import` store their warnings in result.json; leaderboard, compare, gate, bench and every
page show them through `warnings_of`. What follows from the counts is derived again, so that old results have it too.
"""

from __future__ import annotations

from collections.abc import Mapping

from harness.run.result import RunResult
from harness.types import Json

CUT = 0.02
"""Share of samples cut by the token limit above which it is said."""


def cut_share(counts: Mapping[str, int]) -> float | None:
    """Share of samples that the token limit cut before an answer; None where nothing was counted."""
    total = sum(counts.values())
    return counts.get("truncated", 0) / total if total else None


def cut_warning(share: float, max_tokens: Json) -> str:
    """The sentence for answers that were cut."""
    return (
        f"{share:.1%} of the samples were cut by the limit of {max_tokens} tokens: "
        "raise --max-tokens, or read the score as a lower bound"
    )


def count_warnings(counts: Mapping[str, int], max_tokens: Json) -> list[str]:
    """What the counts of a run's samples by status say."""
    found: list[str] = []
    share = cut_share(counts)
    if share is not None and share > CUT:
        found.append(cut_warning(share, max_tokens))
    unscored, errors = counts.get("unscored", 0), counts.get("error", 0)
    if unscored or errors:
        split = f"{unscored} unscored, {errors} errors"
        found.append(f"{unscored + errors} of {sum(counts.values())} samples have no score ({split})")
    return found


def warnings_of(result: RunResult) -> tuple[str, ...]:
    """Everything that is to be said beside a result, each thing once."""
    if result.judge is not None:  # its counts are of judgments
        return tuple(dict.fromkeys(result.warnings))
    counts = result.estimates[result.headline].counts
    return tuple(dict.fromkeys([*count_warnings(counts, result.sampling.get("max_tokens", "?")), *result.warnings]))
