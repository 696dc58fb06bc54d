"""The repository's own methods against their stored baselines: has a change made one of them worse?

    .venv/bin/python benchmarks/own_methods.py --results-dir DIR [--methods sft,krsl]    # exit 0: all pass
    .venv/bin/python benchmarks/own_methods.py --results-dir DIR --save                  # make the baselines anew

Each method trains the tiny student for a short while on the embedded world, with one seed; the model is gated against
`results/published/gate/<method>.json` on the suite `synth`. On the machine that made a baseline the weights come out
the same; the margin is for processors whose kernels round differently. A baseline is made anew when a change is meant
to change what a method learns, and the new accuracy goes into docs/LOG.md.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import sys
from pathlib import Path

from harness.cli.main import entry

METHODS = ("sft", "emo", "thinkanswer", "krsl")
BASELINES = Path(__file__).resolve().parents[1] / "results" / "published" / "gate"
DATA = "synth:levels=1+2,per_level=400"
SETTINGS = (
    "learning_rate=1e-3",
    "batch_size=16",
    "micro_batch=16",
    "lora_rank=none",
    "scheduler=cosine",
    "weight_decay=0",
)
OWN = {"thinkanswer": ("cot_ce_weight=0.1",), "krsl": ("sft_share=0.8", "key_steps.learning_rate=2.5e-5")}
BUDGET = "60ktok"
MARGIN = "5pp"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results-dir", required=True)
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--save", action="store_true")
    parsed = parser.parse_args()
    worst = 0
    for method in parsed.methods.split(","):
        model = train(method, parsed.results_dir)
        worst = max(worst, gate(method, model, parsed.results_dir, parsed.save))
    sys.exit(worst)


def train(method: str, results: str) -> str:
    """Train one method; the spec of its model."""
    told = [word for setting in (*SETTINGS, *OWN.get(method, ())) for word in ("--set", setting)]
    command = ["train", "--method", method, "--student", "tiny", "--data", DATA, "--budget", BUDGET, *told]
    code, said = harness(*command, "--results-dir", results, "--json", "--quiet")
    if code:
        sys.exit(code)
    return f"trained:{json.loads(said)['id']}"


def gate(method: str, model: str, results: str, save: bool) -> int:
    """The exit code of the gate, or of saving a baseline."""
    baseline = str(BASELINES / f"{method}.json")
    what = ["--save-baseline", baseline] if save else ["--baseline", baseline, "--margin", MARGIN]
    code, said = harness("gate", "--candidate", model, "--suite", "synth", *what, "--results-dir", results, "--quiet")
    print(f"== {method}\n{said}", flush=True)
    return code


def harness(*words: str) -> tuple[int, str]:
    """Run a command of this project in this process, which has torch and its like at hand: exit code and stdout."""
    said = io.StringIO()
    sys.argv = ["harness", *words]
    try:
        with contextlib.redirect_stdout(said):
            entry()
    except SystemExit as end:
        return int(end.code or 0), said.getvalue()
    raise AssertionError("a command ends by an exit code")


if __name__ == "__main__":
    main()
