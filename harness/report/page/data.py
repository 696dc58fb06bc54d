"""The numbers that a page carries, as one versioned record: what its script reads, and `read_data` from a file."""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from harness.errors import DataError
from harness.plain import visible_json
from harness.redact import redact
from harness.report.table import finite

FORMAT = 1
"""Raised whenever the script of an older page could not read the data."""
MARKS = {"no_answer": "n", "refused": "n", "truncated": "c", "unscored": "u", "error": "e"}
"""Letter of a sample that is neither right (r), wrong (w) nor partly right (p)."""
_MAX_INFLATED = 1 << 30
_BLOCK = '<script type="application/octet-stream" id="{}">'


@dataclass(frozen=True)
class PageRun:
    """One run on a board; lists stand in the order of the board's problems."""

    run_id: str
    model: str
    value: float
    low: float
    high: float
    rank: int | None
    letters: str
    n: int
    counts: Mapping[str, int]
    means: tuple[float | None, ...]
    ns: tuple[int, ...]
    marks: tuple[str, ...]
    """Of every sample a letter: r right, w wrong, p in between, and `MARKS`; empty where no samples are stored."""
    tokens: tuple[float | None, ...]
    """Mean tokens of an answer."""
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class PageTest:
    """The paired test of two runs, by their places on the board: `a` minus `b`."""

    a: int
    b: int
    diff: float
    low: float
    high: float
    p: float
    p_holm: float
    test: str
    wins: int
    losses: int
    ties: int
    detectable: float | None
    """Smallest true difference that this comparison finds in 4 of 5 cases; None where that is not known."""


@dataclass(frozen=True)
class PageBoard:
    """Comparable runs of one suite, best first."""

    title: str
    suite: str
    metric: str
    scale: float
    unit: str
    lower_is_better: bool
    problems: tuple[str, ...]
    tags: tuple[str, ...]
    """Level, subject and the like of each problem, where the suite's data are at hand."""
    runs: tuple[PageRun, ...]
    tests: tuple[PageTest, ...]
    baseline: int | None = None
    """Place of the run that the others are held against; None if nobody named one."""


@dataclass(frozen=True)
class PageData:
    """Everything but texts."""

    title: str
    boards: tuple[PageBoard, ...]
    left_out: tuple[str, ...]
    """What is not in the file, a sentence each."""
    format: int = FORMAT


def packed(data: PageData) -> bytes:
    """The numbers as they stand in the file: JSON without secrets, gzip, the same bytes for the same data."""
    return gzip.compress(as_json(finite(asdict(data))), compresslevel=9, mtime=0)


def as_json(value: Any) -> bytes:
    """One line of ASCII JSON without secrets, in which nothing is invisible."""
    return visible_json(redact(json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False))).encode()


def block(name: str, content: bytes) -> str:
    """A data block of the page: its script reads it by name, the browser runs nothing of it."""
    return f"{_BLOCK.format(name)}{base64.b64encode(content).decode()}</script>"


def read_data(page: str) -> dict[str, Any]:
    """The numbers of a page, as JSON; raises `DataError` for a text that is no page of ours."""
    found = re.search(re.escape(_BLOCK.format("data")) + "([A-Za-z0-9+/=]*)</script>", page)
    if found is None:
        raise DataError("this is no page of `harness report`: it has no data")
    try:
        raw = json.loads(gzip.decompress(base64.b64decode(found[1], validate=True))[:_MAX_INFLATED])
    except (ValueError, OSError, EOFError) as error:
        raise DataError(f"the data of this page are damaged ({error})") from error
    if not isinstance(raw, dict) or raw.get("format") != FORMAT:
        raise DataError(f"the data of this page have another format than {FORMAT}: write it again")
    return raw
