"""Metrics: pure functions from the graded attempts of one run to an `Estimate`.

A `Metric` is a function `(graded, k) -> Estimate` with its unit and direction, listed in `harness.catalog` under a name
in which a literal `k` stands for the number: `pass@8` is the entry `pass@k` called with 8. A literal `x` behind a colon
stands for a part: `em:coherence` is what the entry `em:x`, a function from the part's name to a metric, makes of
"coherence". To add one, write the metric and its line in the catalog. Whatever ranks, gates or prints a number asks
`described`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import cast

from harness import catalog
from harness.errors import HarnessError, UnknownName, UsageError
from harness.types import Estimate, Graded, Metric

_NUMBERED = re.compile(r"(?P<stem>.+@)(?P<k>0|[1-9][0-9]{0,5})\Z", re.ASCII)
_PARTED = re.compile(r"(?P<stem>[^:]+:)(?P<part>.+)\Z", re.DOTALL)


def parse_metric(name: str) -> tuple[str, int | None]:
    """Catalog name and k of a metric as the user writes it: "pass@8" -> ("pass@k", 8), "avg@n" -> ("avg@n", None).

    Raises `UnknownName` for a name that is not listed, or a part that there is not; `UsageError` for one whose k is
    missing or zero.
    """
    known = catalog.entries("metric")
    match = _NUMBERED.match(name)
    if match is not None and f"{match['stem']}k" in known:
        k = int(match["k"])
        if k < 1:
            raise UsageError(f"metric {name!r}: k must be at least 1")
        return f"{match['stem']}k", k
    if (parted := _parted(name)) is not None:
        _of_part(*parted)  # an unknown part is told here, before anything is spent
        return parted[0], None
    if name not in known:
        raise UnknownName("metric", name, known)
    if name.endswith("@k"):
        raise UsageError(f"metric {name!r} needs a number for k: write {name[:-1] + '8'!r}")
    return name, None


def _parted(name: str) -> tuple[str, str] | None:
    """Catalog name and part of a metric with a part: "em:coherence" -> ("em:x", "coherence"); None for others."""
    match = _PARTED.match(name)
    if match is None or f"{match['stem']}x" not in catalog.entries("metric"):
        return None
    return f"{match['stem']}x", match["part"]


def _of_part(entry: str, part: str) -> Metric:
    return cast(Callable[[str], Metric], catalog.load("metric", entry))(part)


def find_metric(name: str) -> tuple[Metric, int | None]:
    """The metric of a name as the user writes it, and its k. Raises as `parse_metric`."""
    entry, k = parse_metric(name)
    parted = _parted(name)
    return (_of_part(*parted) if parted is not None else cast(Metric, catalog.load("metric", entry))), k


def is_listed(name: str) -> bool:
    """True if this name of a stored number is a metric here, so that its unit and direction are known."""
    return described(name).function is not _stored


def described(name: str) -> Metric:
    """Unit and direction of a stored number; never raises.

    A judge's or another tool's ("acc,none") that is no metric here counts as a share that is better when higher, unless
    it is known to be otherwise. What the other tool itself says: `harness.run.directions`.
    """
    name = name.partition(",")[0]
    with suppress(HarnessError):
        return find_metric(name)[0]
    if name in _LOWER:
        return Metric(name, _stored, _LOWER[name], lower_is_better=True)
    return Metric(name, _stored, _OF_JUDGES.get(name.partition(":")[0], "share"))


def knows_direction(name: str) -> bool:
    """True if the name of a stored number says which way it is better."""
    name = name.partition(",")[0]
    return is_listed(name) or name in _LOWER or not _HIGHER.isdisjoint(_WORD.findall(name.lower()))


_OF_JUDGES = {"rating": ""}
"""Unit of what judges report on a scale of its own, by topic or turn ("rating:math") included."""
_LOWER = {
    **dict.fromkeys(("perplexity", "word_perplexity", "byte_perplexity", "token_perplexity", "ppl"), ""),
    **dict.fromkeys(("bits_per_byte", "bits_per_char", "bpb", "nll", "loss", "mae", "mse", "rmse", "ter"), ""),
    **dict.fromkeys(("brier_score", "wer", "cer", "ece"), "share"),
    "edit_distance": "",
}
"""Other tools' metrics that are better when lower, and their units."""
_HIGHER = frozenset((
    "acc", "accuracy", "auc", "auroc", "avg", "bertscore", "bleu", "bleurt", "chrf", "em", "exact", "f1",
    "maj", "match", "mc", "mcc", "mrr", "pass", "pem", "precision", "qem", "recall", "rouge",
))  # fmt: skip
"""Words in the names of those that are better when higher."""
_WORD = re.compile(r"f1|[a-z]+")


def _stored(graded: Sequence[Graded], k: int | None) -> Estimate:
    raise UsageError("this number is stored by a judge or another tool: it cannot be computed from graded attempts")


def estimate(name: str, graded: Sequence[Graded]) -> Estimate:
    """Compute the metric of that name ("pass@8", "avg@n", "format:boxed") over all graded attempts of a run.

    Raises `UnknownName`, `UsageError` if a problem has fewer than k attempts, `DataError` if nothing can be averaged
    (`NotMeasured` if the data hold nothing of what the metric measures).
    """
    metric, k = find_metric(name)
    return metric.function(graded, k)
