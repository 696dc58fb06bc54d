"""Metrics: pure functions from the graded attempts of one run to an `Estimate`.

A metric is `(graded, k) -> Estimate`, listed in `harness.catalog` under a name in which a literal `k` stands for the
number: `pass@8` is the entry `pass@k` called with 8. A literal `x` behind a colon stands for a part: `em:coherence` is
what the entry `em:x`, a function from the part's name to a metric, makes of "coherence". To add one, write the function
and its line in the catalog.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import cast

from harness import catalog
from harness.errors import UnknownName, UsageError
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


def estimate(name: str, graded: Sequence[Graded]) -> Estimate:
    """Compute the metric of that name ("pass@8", "avg@n", "format:boxed") over all graded attempts of a run.

    Raises `UnknownName`, `UsageError` if a problem has fewer than k attempts, `DataError` if nothing can be averaged
    (`NotMeasured` if the data hold nothing of what the metric measures).
    """
    entry, k = parse_metric(name)
    parted = _parted(name)
    metric = _of_part(*parted) if parted is not None else cast(Metric, catalog.load("metric", entry))
    return metric(graded, k)
