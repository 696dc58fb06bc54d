"""What would decide an inconclusive gate, in words and as commands to paste.

More samples where they help, else more problems where the suite has them, else the margin that these problems can show.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence

from harness.gate.decide import GateVerdict
from harness.gate.needs import Need
from harness.gate.values import Side
from harness.plain import clean, plural
from harness.redact import mask_fields


def need_lines(verdict: GateVerdict) -> list[str]:
    """What would decide, and the commands; empty for a verdict that is decided by its interval."""
    lines: list[str] = []
    for need in verdict.needs:
        sign = -1.0 if verdict.candidate.lower_is_better else 1.0
        truth = (
            f"if the true difference is {verdict.amount(sign * need.effect)}"
            if need.effect
            else "if there is no difference"
        )
        lines.append(f"  to decide with {verdict.rule.power:.0%} power, {truth}: {_ways(need, verdict)}")
    return [*lines, *(f"    {line}" for line in _commands(verdict))]


def _ways(need: Need, verdict: GateVerdict) -> str:
    n = min(verdict.baseline.n, verdict.candidate.n)
    problems = (
        f"{plural(need.problems, 'problem')} with {plural(n, 'sample')} each" if need.problems is not None else ""
    )
    if need.n is not None:
        more = f"{plural(need.n, 'sample')} of each problem"
        return f"{more}, or {problems}" if problems else more
    floor = verdict.amount(need.floor, sign=False)
    why = (
        f"no number of samples of these {verdict.n_problems} is enough, they show no less than {floor} from the margin"
    )
    if need.greedy and verdict.baseline.sampling.get("temperature") == 0:
        why = "at temperature 0 more samples would be copies"
    elif need.greedy:
        why = "what more samples would do is not known for this metric"
    if problems:
        return f"{problems} ({why})"
    size = f"the suite has no more than {need.available} problems"
    return f"not with this suite: {why}, and {size if need.available is not None else 'no number of problems is'}"


def _commands(verdict: GateVerdict) -> list[str]:
    """Commands that lead to a decision; the cheapest way that there is."""
    n = min((need.n for need in verdict.needs if need.n is not None), default=None)
    more = min((need.problems for need in verdict.needs if need.problems is not None), default=None)
    sides = {"baseline": verdict.baseline, "candidate": verdict.candidate}
    if n is not None:
        made = [command(side, n, verdict.options.get(role, {}), verdict.folders) for role, side in sides.items()]
        runs = [word for role, side in sides.items() for word in (f"--{role}", side.run_id)]
        again = f"; write {verdict.baseline.file} again by --save-baseline" if verdict.baseline.file else ""
        note = f"(only the missing samples are made{_unknown(verdict, '--model-arg')}{again})"
        return [*dict.fromkeys(made), gate_command(verdict, runs), note]
    known = verdict.needs[0].available if verdict.needs else None
    if more is not None and known is not None:
        words = [word for role, side in sides.items() for word in (f"--{role}", side.model)]
        words += ["--suite", f"{verdict.candidate.suite}:{min(verdict.baseline.n, verdict.candidate.n)}"]
        words += _sampling(verdict.candidate, more)
        for role in sides:
            words += _options(verdict.options.get(role, {}), f"--{role}-arg")
        note = _unknown(verdict, "--baseline-arg, --candidate-arg").removeprefix("; ")
        return [gate_command(verdict, words), *([f"({note})"] if note else [])]
    scale, unit = verdict.unit
    shows = [need.shows for need in verdict.needs if need.effect == 0.0]
    if not shows or (unit == "pp" and shows[0] >= 1.0):
        return []
    margin = f"{math.ceil(10.0 * scale * shows[0]) / 10.0:g}{unit}"
    names = [word for role, side in sides.items() for word in (f"--{role}", side.file or side.run_id)]
    return [gate_command(verdict, names, margin), "(the smallest margin that these problems can be expected to show)"]


def gate_command(verdict: GateVerdict, words: Sequence[str], margin: str | None = None) -> str:
    """The gate that decides as this one did, on other sides or with another margin; in full."""
    rule = verdict.rule
    margin = margin or rule.margin
    found = ["harness", "gate", *words, *(("--margin", margin) if margin is not None else ())]
    found += ["--test", rule.test] if rule.test != "noninferior" else []
    found += ["--metric", verdict.candidate.metric] if verdict.candidate.metric != "avg@n" else []
    found += ["--alpha", f"{rule.alpha:g}"] if rule.alpha != 0.05 else []
    return _line([*found, *verdict.folders])


def command(side: Side, n: int, options: Mapping[str, str], folders: Sequence[str]) -> str:
    """The command that adds samples to a side."""
    words = ["harness", "run", "--suite", side.suite, "--model", side.model, "--n", str(n), *_sampling(side)]
    return _line([*words, *_options(options, "--model-arg"), *folders])


def _options(options: Mapping[str, str], option: str) -> list[str]:
    """The engine's options of a side that was named as a model; secrets are masked."""
    given = mask_fields(dict(options))
    assert isinstance(given, dict)
    return [word for key, value in given.items() for word in (option, f"{key}={value}")]


def _unknown(verdict: GateVerdict, option: str) -> str:
    """What a reader has to add: options of an engine that a stored run may have had."""
    roles = [role for role in ("baseline", "candidate") if role not in verdict.options]
    return f"; if the engine of the stored {' and '.join(roles)} had options, add them: {option}" if roles else ""


def _sampling(side: Side, limit: int | None = None) -> list[str]:
    """Options that draw as a side was drawn; on its problems, or on the first `limit`."""
    limit = limit if limit is not None else side.limit
    words = ["--seed", str(side.seed), *(["--limit", str(limit)] if limit is not None else [])]
    for key in ("temperature", "top_p", "max_tokens"):
        value = side.sampling.get(key)
        if isinstance(value, int | float):
            words += [f"--{key.replace('_', '-')}", f"{value:g}" if isinstance(value, float) else str(value)]
    return words


def _line(words: Sequence[str]) -> str:
    return " ".join(shlex.quote(clean(word, 2000)) for word in words)
