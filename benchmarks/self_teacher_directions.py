"""Do a stronger teacher, a right sibling and a shown solution do to a small student what their papers say?

    .venv/bin/python benchmarks/self_teacher_directions.py --work DIR [--checks stronger,sharper,sdpo,opsd] [--seeds 3]

The world is that of `rlkd_direction.py` (level-3 sums with two right orders). Signs registered before the first run,
seeds 0-2, 95 % intervals over problems and seeds, sums that nobody trained on, temperature 1; settings by pilots:

`stronger`: the teacher was taught three times as many chains of one stream. `opd` (32 completions a step), and `sft`
on replies that the teacher drew to the same prompts, with one learning rate, until as many tokens are trained
on as by `opd` (what it draws is not counted again).
  + opd less sft: above 0
`sharper`: the same with the student's own copy, whose scores are doubled, as teacher of the better student.

`sdpo`: the student was also taught to follow an attempt that it is shown. Every completion's context is an oracle
sibling: the record's own right chain, where sdpo looks for a right one in the group.
  + of the gap between what it gets right alone and shown the attempt, on the prompts it is trained on, half is closed
  + on sums that nobody trained on, above 0

`opsd`: shown a solution, the student works a sum out in most cases and appeals to the solution in some, without working
anything out, as large models do. Held-out accuracy is looked at every `--look` steps; a seed's best look is that of the
other seeds' mean.
  + the best look less the first, and less the last: above 0 (a peak)
  + the share that appeals to a solution at the last look less that at the best look: above 0, and the alarm rings
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from small_world import chains, less, made, mean, measured, plain_student, told, world

from backends.config import Runtime, TrainConfig
from backends.methods import sdpo
from backends.records.record import TrainRecord, write_records
from backends.rollouts.types import RolloutGroup
from backends.teachers.contexts import Sibling, template
from backends.templates import asked
from backends.train import train
from harness.registry import ModelCard
from harness.stats.standard_errors import mean_interval
from harness.synth.rng import Rng
from harness.types import Message

SETTINGS: dict[str, Any] = {"scheduler": "constant", "warmup": 0.0, "max_grad_norm": 1.0, "lora_rank": None}
ROLLOUT: dict[str, Any] = {"temperature": 1.0, "max_new": 40}
APPEAL = "As given in the solution, the answer is {}."


def shown(one: TrainRecord, how: str) -> Sequence[Message]:
    """The prompt with the right chain as "solution" or "attempt", as a self-teacher has it."""
    return asked(one.prompt, template("sibling_attempt" if how == "attempt" else how), {how: str(one.privileged)})


@dataclass(frozen=True)
class Check:
    """What the checks share."""

    work: Path
    seeds: int
    steps: int
    rate: float
    rows: int
    prompts: int
    dev: Sequence[TrainRecord]
    data: Sequence[TrainRecord]

    def run(self, method: str, student: str, seed: int, data: Path, **more: Any) -> ModelCard:
        """One training; the same command again finds it."""
        settings = {**SETTINGS, "batch_size": 32, **more.pop("settings", {})}
        config = TrainConfig(method, student, str(data), settings=settings, seed=seed, max_length=256, **more)
        return train(config, self.work / "results", Runtime(logging_steps=1))

    def accuracy(self, spec: str, asked: Sequence[TrainRecord] | None = None, name: str = "sums") -> np.ndarray:
        """Of four completions each."""
        return measured(self.work, spec, self.dev if asked is None else asked, name=name)[0]["accuracy"]

    def written(self, name: str, records: Sequence[TrainRecord]) -> Path:
        """The file of these records."""
        path = self.work / f"{name}.jsonl"
        write_records(path, records)
        return path


def following_student(folder: Path, rows: int) -> str:
    """A student half of whose prompts show a solution or an attempt, which it was taught to follow."""

    def taught() -> Sequence[tuple[Sequence[Message], str]]:
        found: list[tuple[Sequence[Message], str]] = []
        for number, one in enumerate(chains(rows)):
            how = ("solution", None, "attempt", None)[number % 4]
            found.append((one.prompt if how is None else shown(one, how), str(one.response)))
        return found

    return made(folder / f"following-{rows}", taught)


def appealing_student(check: Check, base: str, share: float) -> str:
    """That student, taught in some steps to appeal to that share of the solutions that it is shown."""
    rng = Rng("self-teacher directions", "appeals")
    rows = []
    for number, one in enumerate(chains(4_800)):
        appeals = number % 2 and rng.below(1000) < 1000 * share
        named = replace(one, id=f"{one.id}-{number}", think=None, privileged=None)
        prompt = tuple(shown(one, "solution")) if number % 2 else one.prompt
        rows.append(replace(named, prompt=prompt, response=APPEAL.format(one.gold) if appeals else one.response))
    settings = {"learning_rate": 1e-3, "epochs": 1, "scheduler": "cosine", "warmup": 0.05}
    card = check.run("sft", base, 0, check.written("appeals", rows), settings=settings)
    return f"trained:{card.id}"


def sharpened(work: Path, spec: str) -> str:
    """That model with its scores doubled (temperature .5)."""
    import torch
    import transformers

    folder, source = work / "sharpened", spec.removeprefix("hf:")
    model = transformers.AutoModelForCausalLM.from_pretrained(source)
    with torch.no_grad():
        model.model.norm.weight.mul_(2)
    transformers.AutoTokenizer.from_pretrained(source).save_pretrained(folder)
    model.save_pretrained(folder)
    return f"hf:{folder.resolve()}"


def stronger(check: Check, name: str) -> None:
    """Policy gradients from a stronger teacher of the same form, against likelihood of its replies."""
    taught = plain_student(check.work, check.rows)
    if name == "stronger":
        base, teacher = plain_student(check.work, check.rows // 3), taught
    else:
        base, teacher = taught, sharpened(check.work, taught)
    before, best = check.accuracy(base), check.accuracy(teacher)
    print(f"{name}: student", mean([before]), "teacher", mean([best]), flush=True)
    prompts = check.written("prompts", check.data)
    _, texts = measured(check.work, teacher, check.data, name="replies", samples=1)
    drawn = [(one, said) for one, (said,) in zip(check.data, texts, strict=True) if said.strip()]
    replies = check.written(f"replies-{name}", [replace(one, think=None, response=said) for one, said in drawn])
    found: dict[str, list[np.ndarray]] = {}
    for seed in range(check.seeds):
        card = check.run(
            "opd", base, seed, prompts, teacher=teacher, rollout=ROLLOUT,
            settings={"max_steps": check.steps // 2, "learning_rate": check.rate},
        )  # fmt: skip
        other = check.run("sft", base, seed, replies, budget_tokens=card.tokens, settings={"learning_rate": check.rate})
        for arm, one in (("opd", card), ("sft", other)):
            found.setdefault(arm, []).append(check.accuracy(f"trained:{one.id}"))
            print(seed, arm, "tokens", one.tokens, "accuracy", mean(found[arm][-1:]), flush=True)
    for arm, runs in found.items():
        print(f"{name}:", arm, mean(runs), "less before", less(runs, [before]))
    print(f"{name}: opd less sft", less(found["opd"], found["sft"]))


class Oracle(Sibling):
    """A sibling that is always there and always right, and nothing else."""

    def _feedback(self, group: RolloutGroup, number: int) -> str:
        return ""

    def _attempt(self, group: RolloutGroup, number: int) -> str:
        return str(group.record.privileged)


def oracle_siblings(check: Check) -> None:
    """SDPO where every completion has a right sibling."""
    base = following_student(check.work, 2 * check.rows // 3)
    trained = list(check.data[: check.prompts])
    path = check.written("oracle", trained)
    sdpo.Sibling = Oracle  # type: ignore[misc]
    before = {"trained on": check.accuracy(base, trained, "trained"), "others": check.accuracy(base)}
    shows = {
        name: [replace(one, prompt=tuple(shown(one, "attempt"))) for one in records]
        for name, records in (("trained on", trained), ("others", check.dev))
    }
    top = {name: check.accuracy(base, records, f"shown {name}") for name, records in shows.items()}
    after: dict[str, list[np.ndarray]] = {"trained on": [], "others": []}
    for seed in range(check.seeds):
        card = check.run(
            "sdpo", base, seed, path, rollout={**ROLLOUT, "group": 8},
            settings={"max_steps": check.steps, "learning_rate": check.rate},
        )  # fmt: skip
        after["trained on"].append(check.accuracy(f"trained:{card.id}", trained, "trained"))
        after["others"].append(check.accuracy(f"trained:{card.id}"))
        print(seed, "sdpo", {name: mean(runs[-1:]) for name, runs in after.items()}, flush=True)
    for name, runs in after.items():
        gap = float(top[name].mean() - before[name].mean())
        print(
            "sdpo:", name, "alone", mean([before[name]]), "shown", mean([top[name]]), "after", mean(runs), "gain",
            less(runs, [before[name]]), f"of the gap {(np.mean(runs) - before[name].mean()) / gap:.2f}",
        )  # fmt: skip


def shown_solutions(check: Check, look: int, appeals: float) -> None:
    """OPSD from a student whose told self appeals to the solution now and then."""
    base = appealing_student(check, following_student(check.work, 2 * check.rows // 3), appeals)
    path = check.written("solutions", [*check.data, *check.dev])
    shows = [replace(one, prompt=tuple(shown(one, "solution"))) for one in check.dev]
    print(
        "opsd: alone", mean([check.accuracy(base)]), "shown", mean([check.accuracy(base, shows, "shown")]), flush=True
    )
    curves, appealing = [], []
    for seed in range(check.seeds):
        card = check.run(
            "opsd", base, seed, path, settings={"max_steps": check.steps, "learning_rate": check.rate},
            rollout={**ROLLOUT, "held_out": len(check.dev), "look_every": look},
        )  # fmt: skip
        folder = check.work / "results" / "models" / card.id
        rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
        curves.append({row["step"]: row["dev/accuracy"] for row in rows if "dev/accuracy" in row})
        begun = appeals_begun(folder)
        near = {at: [share for step, share in begun.items() if abs(step - at) <= look / 2] for at in curves[-1]}
        appealing.append({at: float(np.mean(found)) for at, found in near.items() if found})
        for name, found in (("accuracy", curves[-1]), ("appeals", appealing[-1])):
            print(seed, "opsd", name, {at: round(value, 3) for at, value in found.items()}, flush=True)
        print(seed, "opsd leak", rows[-1]["leak"], "alarms", card.final.get("alarms", []), flush=True)
    for name, gains in peak_gains(curves, appealing).items():
        print("opsd:", name, [round(gain, 3) for gain in gains], mean_interval(np.array(gains), share=False))


def appeals_begun(folder: Path) -> dict[int, float]:
    """Of each step, the share of completions that begin as the appeal does: a small student cannot spell all of it."""
    found = {}
    for path in sorted((folder / "rollouts" / "train").glob("*.drawn.jsonl")):
        groups = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()[1:]]
        texts = [rollout["text"] for group in groups for rollout in group["rollouts"]]
        found[int(path.name[:6]) + 1] = sum(text.startswith(APPEAL[:2]) for text in texts) / len(texts)
    return found


def peak_gains(
    curves: Sequence[Mapping[int, float]], appealing: Sequence[Mapping[int, float]]
) -> dict[str, list[float]]:
    """Of each seed; the best look is that of the other seeds' mean, so that its own noise does not choose it."""
    found: dict[str, list[float]] = {"best less first": [], "best less last": [], "appeals, last less best": []}
    for number, curve in enumerate(curves):
        others = [other for place, other in enumerate(curves) if place != number] or [curve]
        best = max(curve, key=lambda at: sum(other[at] for other in others))
        said = appealing[number]
        found["best less first"].append(curve[best] - curve[min(curve)])
        found["best less last"].append(curve[best] - curve[max(curve)])
        found["appeals, last less best"].append(said[max(said)] - said[min(best, max(said))])
    return found


def main() -> None:
    """Run the checks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--checks", default="stronger,sharper,sdpo,opsd")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--rate", type=float, default=5e-4)
    parser.add_argument("--rows", type=int, default=24_000, help="chains that students are taught first")
    parser.add_argument("--dev", type=int, default=150)
    parser.add_argument("--prompts", type=int, default=20, help="that sdpo is trained on")
    parser.add_argument("--look", type=int, default=10)
    parser.add_argument("--appeals", type=float, default=0.3, help="share of shown solutions that are appealed to")
    parsed = parser.parse_args()
    parsed.work.mkdir(parents=True, exist_ok=True)
    rng = Rng("self-teacher directions", "data")
    dev, data = ([told(one, rng) for one in world(split, count, 5)] for split, count in
                 (("dev", parsed.dev), ("train", 1_200)))  # fmt: skip
    check = Check(parsed.work, parsed.seeds, parsed.steps, parsed.rate, parsed.rows, parsed.prompts, dev, data)
    for name in parsed.checks.split(","):
        if name in ("stronger", "sharper"):
            stronger(check, name)
        elif name == "sdpo":
            oracle_siblings(check)
        else:
            shown_solutions(check, parsed.look, parsed.appeals)


if __name__ == "__main__":
    main()
