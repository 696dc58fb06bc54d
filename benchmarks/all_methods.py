"""Does every method that trains beat the untrained student? In the embedded world, three seeds, paired, equal tokens.

    .venv/bin/python benchmarks/all_methods.py --results-dir DIR                    # about 40 minutes on two cores
    .venv/bin/python benchmarks/all_methods.py --results-dir DIR --only main        # one of the three comparisons

- main: twenty methods on the student `tiny`, 240,000 tokens each, against the untrained student.
- after_sft: preference methods where their papers begin, on a student that SFT has trained, against that student.
- verbose: SFT and ThinkAnswer on a student with short chains, taught by long ones, against SFT.

The settings were chosen on problems of the dev split with another seed; the suite's problems are of the test split.
`docs/LOG.md` has what was measured.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys

METHODS = (
    *("sft", "emo", "thinkanswer", "krsl", "mixce", "tailr", "cascod", "mt_cot", "step_by_step", "scott", "mcc_kd"),
    *("specialized_kd", "kd", "zephyr", "redi", "orpo", "dpo", "simpo", "cotd_po", "curiosft"),
)
WORLD = "synth:levels=1+2,per_level=1000"
DATA = f"{WORLD},positives=1,candidates=2"
SHARED = {
    "batch_size": "16",
    "micro_batch": "16",
    "lora_rank": "none",
    "scheduler": "cosine",
    "warmup": "0.03",
    "weight_decay": "0",
}
SMALL_BATCH = {"learning_rate": "5e-4", "batch_size": "8", "micro_batch": "8"}
OWN = {
    "thinkanswer": {"cot_ce_weight": "0.1"},
    "krsl": {"sft_share": "0.8", "key_steps.learning_rate": "2.5e-5"},
    "zephyr": {"sft_share": "0.8", "dpo.learning_rate": "2.5e-5"},
    "redi": {"sft_share": "0.8", "redi.learning_rate": "2.5e-5"},
    "dpo": {"learning_rate": "2.5e-5", "beta": "0.5"},
    "simpo": {"learning_rate": "1e-5"},
    "mcc_kd": SMALL_BATCH,
    "specialized_kd": {"exemplars": "1"},
    "cotd_po": {"arm": "pairwise", **SMALL_BATCH},
}
"""Where a method needs other settings than SFT at this size: second stages and pure preferences a smaller step."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results-dir", required=True)
    parser.add_argument("--only", choices=("main", "after_sft", "verbose"))
    parser.add_argument("--seeds", default="3")
    parsed = parser.parse_args()
    told = ["--results-dir", parsed.results_dir, "--precision", "bf16"]
    sft = train_teacher(told)
    told += ["--suite", "synth", "--max-tokens", "160", "--seeds", parsed.seeds]
    preferences = {name: OWN[name] for name in ("dpo", "simpo")} | {"cotd_po": {"learning_rate": "5e-5"}}
    whole = ["--student", "tiny", "--teacher", sft, "--data", DATA, "--budget", "240ktok", "--reference", "student"]
    after = ["--student", sft, "--model", "tiny", "--data", DATA, "--budget", "120ktok", "--reference", "student"]
    long = ["--student", sft, "--data", f"{WORLD},style=long,seed=1", "--budget", "120ktok"]
    commands = {
        "main": ["--methods", ",".join(METHODS), *whole, *settings({"learning_rate": "1e-3"}, OWN)],
        "after_sft": ["--methods", ",".join(preferences), *after, *settings({}, preferences)],
        "verbose": ["--methods", "sft,thinkanswer", *long, *settings({"learning_rate": "1e-4"}, {})],
    }
    for name, words in commands.items():
        if parsed.only in (None, name):
            print(f"== {name}", flush=True)
            harness("bench", *words, *told, "--report", f"{parsed.results_dir}/{name}.html")


def train_teacher(told: list[str]) -> str:
    """The teacher of `kd`, which is also the student of the later comparisons: SFT with a seed of its own."""
    where = ["--student", "tiny", "--data", f"{WORLD},positives=2,candidates=4", "--budget", "240ktok", "--seed", "7"]
    words = ["train", "--method", "sft", *where, *settings({"learning_rate": "1e-3"}, {}), *told, "--json"]
    return f"trained:{json.loads(harness(*words, capture=True))['id']}"


def settings(shared: dict[str, str], own: dict[str, dict[str, str]]) -> list[str]:
    """As `--set`."""
    pairs = SHARED | shared | {f"{name}.{key}": value for name, keys in own.items() for key, value in keys.items()}
    return [word for key, value in pairs.items() for word in ("--set", f"{key}={value}")]


def harness(*words: str, capture: bool = False) -> str:
    """Run a command of this project and return what it printed, if that is captured; exit with its code if it fails."""
    done = subprocess.run(
        [sys.executable, "-m", "harness", *words], stdout=subprocess.PIPE if capture else None, text=True, check=False
    )
    if done.returncode:
        sys.exit(done.returncode)
    return done.stdout or ""


if __name__ == "__main__":
    main()
