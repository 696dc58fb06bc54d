"""What a GPU is for, measured once: engines, training steps and the demo, in at most ten minutes on one device.

    make gpu                                              # on a machine with a GPU; writes gpu.json
    python -m benchmarks.gpu --device cpu --tiny          # the same parts with a toy model: that they still run

Models are made from configs with random weights and the packaged tokenizer; nothing is downloaded. Each part is a
process of its own with a time-out of its own: one that fails or takes too long is reported, and the others go on. The
exit code is 1 if a part failed or timed out.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from benchmarks.gpu.parts import PARTS
from benchmarks.gpu.running import Number, Outcome, Place, run_part, warm

LIMIT = 600
"""Seconds for everything on a GPU; the toy on a CPU may share it with others, and only has to end."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--tiny", action="store_true", help="a toy model and a few steps: does every part still run?")
    parser.add_argument("--parts", help="some of them: " + ",".join(part.name for part in PARTS))
    parser.add_argument("--vllm-python", default=sys.executable, help="an interpreter whose environment has vLLM")
    parser.add_argument("--json", default="gpu.json", help="file for the numbers")
    parsed = parser.parse_args()
    chosen = [part for part in PARTS if not parsed.parts or part.name in {"models", *parsed.parts.split(",")}]
    outcomes: dict[str, Outcome] = {}
    slower = 1 if parsed.device == "cuda" else 3
    ends = time.monotonic() + slower * LIMIT
    with tempfile.TemporaryDirectory() as folder:
        place = Place(Path(folder), parsed.device, parsed.tiny, parsed.vllm_python)
        context = warm(parsed.device)
        for part in chosen:
            print(f"  {part.name} ...", file=sys.stderr, flush=True)
            outcomes[part.name] = run_part(context, part, place, min(slower * part.seconds, ends - time.monotonic()))
    print(table(outcomes))
    report = {
        "schema": 1,
        "device": outcomes["models"].numbers.get("device", parsed.device),
        "platform": platform.platform(),
        "tiny": parsed.tiny,
        "parts": {name: asdict(outcome) for name, outcome in outcomes.items()},
    }
    Path(parsed.json).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    sys.exit(any(outcome.status in ("failed", "timed out") for outcome in outcomes.values()))


def table(outcomes: Mapping[str, Outcome]) -> str:
    """A line for each number; beside it that of what it is held against: the raw library, TRL on the same sequences."""
    lines = [f"{'part':<20}{'status':<10}{'s':>4}  {'number':<24}{'ours':>12}{'theirs':>12}{'ratio':>8}"]
    for name, outcome in outcomes.items():
        base = outcomes.get(outcome.against or "")
        theirs = outcome.numbers if base is None else base.numbers
        start = f"{name:<20}{outcome.status:<10}{outcome.seconds:>4.0f}  "
        for key, value in outcome.numbers.items():
            if not key.startswith("raw "):
                lines.append(start + f"{key:<24}" + beside(value, theirs.get(key if base else f"raw {key}")))
                start = " " * len(start)
        if outcome.why:
            lines.append(start + outcome.why)
    return "\n".join(lines)


def beside(ours: Number, theirs: Number | None) -> str:
    """A number, that of the other, and how they compare."""
    if not isinstance(ours, float):
        return str(ours)
    compared = isinstance(theirs, float) and theirs > 0
    return f"{ours:>12.4g}" + (f"{theirs:>12.4g}{ours / theirs:>8.3f}" if compared else "")  # type: ignore[operator]


if __name__ == "__main__":
    main()
