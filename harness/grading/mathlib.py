r"""The one place that calls math-verify (0.9 and 0.5.2): texts in, a yes or no out. Runs in a worker process.

The library's own timeouts are off, because it turns a timeout into "wrong"; the pool kills a worker that takes too
long, and the answer counts as unscored. The call order is `verify(gold, target)`: it is not symmetric.
Model text is parsed by a LaTeX grammar; no name in it is ever looked up.
"""

from __future__ import annotations

import inspect
import logging
import re
import threading
from collections.abc import Callable
from functools import cache
from importlib import metadata
from typing import Any

from harness.grading.latex import NUMBER_WORDS, canonical

NAME = re.compile(
    r"\s*(?:\\(?:Delta|delta|mathrm|text|vec|bar|hat)\s?)?(?:\\?[A-Za-z]+|\{[A-Za-z]+\})(?:_(?:\{[^{}]*\}|\w))?"
    r"(?:\s?\(\s?(?:\\?[A-Za-z]+)(?:\s?,\s?\\?[A-Za-z]+)*\s?\))?\s*"
)
RELATION = re.compile(r"(?<![<>!\\:])=(?!=)|\\approx(?![a-zA-Z])|\\in(?![a-zA-Z])|≈")
_BASE = re.compile(r"[0-9A-F]+_\{?(\w+)\}?")


def other_base(gold: str, answer: str) -> bool:
    """Whether both name a base and the bases differ, or only the answer names one."""
    if "_" not in answer:
        return False
    named = _BASE.fullmatch(canonical(answer))
    if named is None:
        return False
    wanted = _BASE.fullmatch(canonical(gold))
    if wanted is None:
        return re.fullmatch(r"[0-9A-F]+", canonical(gold)) is not None
    return NUMBER_WORDS.get(named[1], named[1]) != NUMBER_WORDS.get(wanted[1], wanted[1])


_NO_ALARM = 86_400
"""Seconds that switch off the alarm of versions that accept no None."""


@cache
def library_version() -> str:
    """The installed version of math-verify."""
    return metadata.version("math-verify")


@cache
def _library() -> tuple[Callable[..., list[Any]], Callable[..., bool], Any, bool]:
    """(parse, verify, extraction config, whether None switches timeouts off); the objects are untyped upstream."""
    from math_verify import LatexExtractionConfig, parse, verify

    logging.getLogger("math_verify").setLevel(logging.ERROR)
    return parse, verify, LatexExtractionConfig(), "float_rounding" in inspect.signature(verify).parameters


def parse_answer(answer: str) -> list[Any]:
    r"""What math-verify reads in a bare LaTeX answer, taken as a whole.

    Only the outermost formula is tried: when it does not parse, the library would otherwise go on to a fraction or
    number somewhere inside it, and call two different formulas equal because both contain a 2.
    """
    parse, _, config, modern = _library()
    if not modern and threading.current_thread() is not threading.main_thread():
        raise RuntimeError("math-verify before 0.6 works only in a main thread: grade through a GradingPool")
    found: list[Any] = parse(
        f"$\\boxed{{{answer}}}$",
        extraction_config=[config],
        extraction_mode="first_match",
        parsing_timeout=None if modern else _NO_ALARM,
    )
    return found


def verify_parsed(gold: list[Any], target: list[Any], *, precision: int = 6) -> bool:
    """Whether any reading of the target equals any reading of the gold; floats are rounded to `precision` places."""
    _, verify, _, modern = _library()
    if modern:
        return bool(verify(gold, target, float_rounding=precision, timeout_seconds=None))
    return bool(verify(gold, target, precision=precision, timeout_seconds=_NO_ALARM))
