"""What bare math-verify says to the same replies: `verify(parse(gold), parse(reply))`, as a plain script would call it.

In processes of its own, with the library's own timeouts; a reply on which it gives up counts as wrong, which is what
its users see.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
from collections.abc import Sequence
from functools import cache
from typing import Any

_CHUNK = 64


def verdicts(pairs: Sequence[tuple[str, str]]) -> list[bool]:
    """(gold, reply) -> whether bare math-verify calls the reply right, in order."""
    workers = max(1, len(os.sched_getaffinity(0)))
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        return list(pool.imap(_verdict, pairs, chunksize=_CHUNK))


@cache
def _gold(text: str) -> list[Any]:
    from math_verify import parse

    logging.disable(logging.CRITICAL)
    found: list[Any] = parse(f"$\\boxed{{{text}}}$")
    return found


def _verdict(pair: tuple[str, str]) -> bool:
    from math_verify import parse, verify

    gold, reply = pair
    return bool(verify(_gold(gold), parse(reply)))
