"""Do methods go where their papers say, on two cores? Registered in `directions_registered.py` before it was run.

    .venv/bin/python benchmarks/directions.py --work DIR                 # trains, measures, prints; about two hours
    .venv/bin/python benchmarks/directions.py --work DIR --only sft,kd   # claims about these arms alone
    .venv/bin/python benchmarks/directions.py --work DIR --json          # for machines
    .venv/bin/python benchmarks/directions.py --list                     # what is registered

The same command again goes on where it was stopped, and prints at once what is there. Each arm is trained with 3 seeds
by `harness train` and measured by `harness run` on 300 problems of levels 1 and 2 of the split "dev", 2 samples each at
temperature 0.7, paired by problem and seed. A claim is *reproduced* where the difference lies on the predicted side of
its margin with p < 0.1 (two-sided: a 90 % interval leaves the margin out), *not reproduced* where it lies on the other
side so, and else it *cannot be told*; beside it stands about what would have been found 8 times in 10.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from directions_registered import ARMS, CLAIMS, ELSEWHERE, FIRST, PROVENANCE, SHARED, Arm, Claim, Measure

from backends.load import find_weights
from backends.records.record import TrainRecord, write_records
from backends.records.synth import synth_records
from harness.cli.main import entry
from harness.run.folder import RunFolder
from harness.stats.distributions import t_quantile
from harness.stats.seeds import Cells, seeded_difference

SAMPLES = 2
PROBLEMS = 300
ONE_SIDED_90, POWER_80 = 1.645, 0.842
FIXED = ("untrained", "start", "teacher")
"""One model each: their column is no draw of a seed."""
OUTSIDE = ("synth_long", "synth_distract", "synth_choice")
"""Suites that no arm was trained for, shown beside."""


class World:
    """What is trained and measured, kept in a folder."""

    def __init__(self, work: Path, seeds: Sequence[int]) -> None:
        self.work, self.seeds = work, seeds
        self.dev = synth_records(7, PROBLEMS // 2, (1, 2), split="dev")
        work.mkdir(parents=True, exist_ok=True)
        write_records(work / "dev.jsonl", self.dev)

    @cache  # noqa: B019  # one world a process
    def models(self, name: str) -> tuple[str, ...]:
        """Specs of an arm's models, one a seed; trained if they are not there."""
        if name == "untrained":
            return ("tiny",)
        if name == "start":
            return (self._train(Arm("sft", settings=FIRST), 7),)
        if name == "teacher":
            return (self._train(Arm("sft", settings=FIRST, budget="240ktok"), 7, "tiny12m"),)
        return tuple(self._train(ARMS[name], seed) for seed in self.seeds)

    def _train(self, arm: Arm, seed: int, student: str | None = None) -> str:
        if student is None:
            student = "tiny" if arm.student == "tiny" else self.models("start")[0]
        words = ["--method", arm.method, "--student", student, "--data", arm.data, "--budget", arm.budget]
        words += ["--precision", "bf16"]
        words += [word for pair in (SHARED | dict(arm.settings)).items() for word in ("--set", "=".join(pair))]
        words += ["--teacher", self.models("teacher")[0]] if arm.teacher else []
        words += ["--seed", str(seed), "--json", "--quiet"]
        return f"trained:{json.loads(self._harness('train', *words))['id']}"

    def _harness(self, *words: str) -> str:
        """A command of this project, in this process; what it printed."""
        said, sys.argv = io.StringIO(), ["harness", *words, "--results-dir", str(self.work)]
        try:
            with contextlib.redirect_stdout(said):
                entry()
        except SystemExit as end:
            if end.code:
                raise
        return said.getvalue()

    def places(self, run: RunFolder, base: str, teacher: str) -> list[dict[str, Any]]:
        """By position in the answer: the rows of `harness analyze provenance`'s second table."""
        told = ("--base", base, "--teacher", teacher, "--samples", str(SAMPLES), "--json")
        return list(json.loads(self._harness("analyze", "provenance", run.name, *told))["tables"][0]["rows"])

    def run(self, model: str, suite: str = "") -> RunFolder:
        """The run of a model on the dev problems, or greedily on a suite."""
        how = ["--suite", suite or f"questions:integer:{self.work / 'dev.jsonl'}:{SAMPLES}", "--max-tokens", "160"]
        how += ["--json", "--quiet", *([] if suite else ["--temperature", "0.7"])]
        (name,) = {row["run_id"] for row in json.loads(self._harness("run", *how, "--model", model))["rows"]}
        return RunFolder.of(self.work, name)

    @cache  # noqa: B019
    def column(self, model: str, measure: Measure) -> np.ndarray:
        """One number a problem."""
        if measure in ("nll", "rejected_nll", "entropy"):
            return np.array([row[measure] for row in self._read(model)])
        run = self.run(model)
        if measure == "agreement":
            return self._agreement(run)
        found: dict[str, list[float]] = {record.id: [] for record in self.dev}
        for one in run.graded:
            value = {"accuracy": one.score.value, "format": one.formats["think"], "tokens": one.tokens_out}[measure]
            if value is None:
                sys.exit(f"{model}: an answer to {one.problem_id} has no {measure} ({one.score.why}): run it again")
            found[one.problem_id].append(float(value))
        return np.array([np.mean(values) for values in found.values()])

    def _agreement(self, run: RunFolder) -> np.ndarray:
        """Share of pairs of an answer of the run and one of the teacher's that are equal."""
        answers: list[dict[str, list[str | None]]] = []
        for one in (run, self.run(self.models("teacher")[0])):
            told: dict[str, list[str | None]] = {record.id: [] for record in self.dev}
            for graded in one.graded:
                told[graded.problem_id].append(graded.score.answer)
            answers.append(told)
        own, theirs = answers
        return np.array([np.mean([a == b is not None for a in own[name] for b in theirs[name]]) for name in own])

    def _read(self, model: str) -> list[dict[str, float]]:
        """What a model makes of the right chain of each problem and of its wrong twin, kept."""
        path = self.work / f"read-{model.replace(':', '-')}.json"
        if not path.exists():
            path.write_text(json.dumps(read_chains(Path(find_weights(model, self.work).location), self.dev)))
        return list(json.loads(path.read_text()))


def read_chains(folder: Path, records: Sequence[TrainRecord]) -> list[dict[str, float]]:
    """Nats per token of both responses and mean entropy along the right one, of each record."""
    import torch
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()

    def scored(record: TrainRecord, response: str) -> tuple[float, float]:
        turn = [{"role": one.role, "content": one.content} for one in record.prompt]
        prompt = tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
        before = tokenizer(prompt, add_special_tokens=False)["input_ids"]
        ids = [*before, *tokenizer(response, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
        with torch.no_grad():
            logps = model(torch.tensor([ids])).logits[0, len(before) - 1 : -1].log_softmax(-1)
        own = logps.gather(1, torch.tensor(ids[len(before) :])[:, None])
        return -float(own.mean()), -float((logps.exp() * logps).sum(-1).mean())

    found = []
    for record in records:
        (nll, entropy), (other, _) = scored(record, record.response or ""), scored(record, record.rejected or "")
        found.append({"nll": nll, "entropy": entropy, "rejected_nll": other})
    return found


def cells(world: World, name: str, claim: Claim) -> Cells:
    """Problems x seeds of one side of a claim."""
    values = np.stack([world.column(model, claim.measure) for model in world.models(name)], 1)
    return Cells(np.log(values) if claim.ratio else values, fixed=name in FIXED)


def look(world: World, claim: Claim) -> dict[str, Any]:
    """A claim with what was seen."""
    one, other = cells(world, claim.arm, claim), cells(world, claim.than, claim)
    share = claim.measure in ("accuracy", "format", "agreement")
    found = seeded_difference(one, other, share=share)
    # Against a margin: the same test of the difference to it.
    moved = Cells(one.values_PS - claim.margin, fixed=one.fixed)
    gap = seeded_difference(moved, other, share=False)
    side = gap.value if claim.sign == "above" else -gap.value
    verdict = "cannot tell"
    if gap.p is not None and gap.p < 0.1:
        verdict = "reproduced" if side > 0 else "not reproduced"
    # From the interval, whose quantiles are those of so few seeds.
    detectable = (found.high - found.low) / 2 * (ONE_SIDED_90 + POWER_80) / 1.960
    means = {side: float(np.mean(part.values_PS)) for side, part in (("value", one), ("reference", other))}
    return {
        **asdict(claim),
        **means,
        "difference": found.value,
        "low": found.low,
        "high": found.high,
        "p": gap.p,
        "detectable": detectable,
        "verdict": verdict,
    }


def line(row: Mapping[str, Any]) -> str:
    """A row of the table, in points for shares."""
    share = row["measure"] in ("accuracy", "format", "agreement")
    told = (lambda x: f"{100 * x:+.1f}") if share else (lambda x: f"{x:+.3f}")
    than = {"above": ">", "below": "<"}[row["sign"]]
    registered = f"{row['measure']}{' (log)' if row['ratio'] else ''} {row['arm']} - {row['than']} {than} "
    registered += told(row["margin"]) if row["margin"] else "0"
    seen = f"{told(row['difference'])} [{told(row['low'])}, {told(row['high'])}], p {row['p']:.3f}"
    power = told(row["detectable"]).lstrip("+")
    return f"| {row['plan']} | {registered} | {seen} | {row['verdict']} | {power} |"


def provenance(world: World) -> str:
    """R19 as a row: what the teacher's share loses from the first half of an answer to the second."""
    students, base, teacher = (world.models(name) for name in PROVENANCE)
    falls = []
    for model in students:
        rows = world.places(world.run(model), base[0], teacher[0])
        halves = [[row for row in rows if (row["tenth"] <= 5) is side] for side in (True, False)]
        first, second = (
            np.average([row["teacher"]["value"] for row in half], weights=[row["sentences"] for row in half])
            for half in halves
        )
        falls.append(float(first - second))
    mean, se = float(np.mean(falls)), float(np.std(falls, ddof=1) / len(falls) ** 0.5)
    half = {level: t_quantile(len(falls) - 1, level) * se for level in (0.90, 0.95)}
    verdict = "cannot tell" if abs(mean) <= half[0.90] else "reproduced" if mean > 0 else "not reproduced"
    seen = f"{100 * mean:+.1f} [{100 * (mean - half[0.95]):+.1f}, {100 * (mean + half[0.95]):+.1f}]"
    return f"| R19 | teacher's share, first half - second > 0 | {seen} | {verdict} | |"


def outside(world: World) -> str:
    """Greedy accuracy out of distribution, the mean over seeds."""
    names = ("untrained", "sft", "kd", "teacher")
    rows = ["| model | " + " | ".join(OUTSIDE) + " |", "|---" * (len(OUTSIDE) + 1) + "|"]
    for name in names:
        scores = [
            np.mean([world.run(model, suite).result.estimates["avg@n"].value for model in world.models(name)])
            for suite in OUTSIDE
        ]
        rows.append(f"| {name} | " + " | ".join(f"{100 * score:.1f}" for score in scores) + " |")
    return "\n".join(rows)


def main() -> None:
    """Train, measure, one line a claim."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--only", help="arms, joined by commas")
    parser.add_argument("--list", action="store_true", help="print what is registered")
    parser.add_argument("--json", action="store_true")
    parsed = parser.parse_args()
    wanted = set(parsed.only.split(",")) if parsed.only else {claim.arm for claim in CLAIMS}
    if unknown := sorted(wanted - {claim.arm for claim in CLAIMS}):
        sys.exit(f"no claim is about {unknown[0]!r}: {', '.join(dict.fromkeys(claim.arm for claim in CLAIMS))}")
    claims = [claim for claim in CLAIMS if claim.arm in wanted]
    if parsed.list:
        print(
            "\n".join(f"{one.plan}: {one.measure} of {one.arm} {one.sign} {one.than} {one.margin:+g}" for one in claims)
        )
        print(ELSEWHERE)
        return
    if parsed.work is None:
        sys.exit("--work DIR: where models and runs are kept")
    world = World(parsed.work.resolve(), [int(seed) for seed in parsed.seeds.split(",")])
    if not parsed.json:
        print("| plan | registered | seen, 95 % | verdict | detectable |\n|---|---|---|---|---|")
    rows = []
    for claim in claims:
        rows.append(look(world, claim))
        if not parsed.json:
            print(line(rows[-1]), flush=True)
    if parsed.json:
        print(json.dumps({"rows": rows}, indent=1))
    elif parsed.only is None:
        print(provenance(world))
        print("\n" + outside(world))


if __name__ == "__main__":
    main()
