"""Do methods with a policy gradient, a teacher or a vote go where their papers say? Registered before it was run.

    .venv/bin/python benchmarks/on_policy_directions.py --work DIR [--seeds 0,1,2] [--only grpo,kdrl] [--samples 8]

One command trains every arm of `ARMS` on `tiny`, measures it on held-out problems and prints one line for each of
`claims`: what was registered, what was seen, whether it is so. The same command again goes on where it was stopped, and
prints at once what is there. About 3 CPU minutes for 60 steps, half a minute for a measurement, an hour in all
(OMP_NUM_THREADS=1).

Measured: 200 problems of levels 1 and 2 of the split "dev", which no training saw, the same before and after, 8 samples
each at temperature 1; accuracy and pass@4 (unbiased), paired by problem and seed (`harness.stats.seeds`). The teacher
is the student with its scores doubled (temperature .5): of the student's own form, so that the exact KL can be reached.
For distillation it is the exact reverse KL of a drawn token, on what the student writes for those problems, before and
after. (The numbers of single training steps, 64 completions of 8 prompts, scatter by a third.)
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from backends.config import Runtime, TrainConfig
from backends.records.inputs import problem_of
from backends.records.record import TrainRecord, write_records
from backends.records.synth import synth_records
from backends.rewards.accuracy import grade_all
from backends.rewards.scorers import open_scorers
from backends.rollouts.stored import stored_completions
from backends.train import train
from harness.metrics.passk import unbiased
from harness.models import load_model
from harness.models.base import bounded
from harness.models.tiny import tiny_student
from harness.registry import ModelCard
from harness.stats.seeds import Cells, Seeded, seeded_difference, seeded_mean
from harness.types import Completion, Request

SETTINGS: Mapping[str, Any] = {"batch_size": 64, "lora_rank": None, "warmup": 0.0, "max_grad_norm": 1.0}
POLICY: Mapping[str, Any] = {**SETTINGS, "learning_rate": 1.5e-4, "scheduler": "linear", "max_steps": 60}
"""Of what learns from rewards. Their gradients are mostly noise, of which a rate that falls to 0 leaves less."""
DISTIL: Mapping[str, Any] = {**SETTINGS, "learning_rate": 1e-4, "scheduler": "constant", "max_steps": 20}
TRAIN = "synth:levels=1+2,per_level=500"
MAX_NEW = 96
BEFORE = "before"


@dataclass(frozen=True)
class Arm:
    """One way to train."""

    method: str
    settings: Mapping[str, Any]
    options: Mapping[str, str] = field(default_factory=dict)
    teacher: bool = False
    rollout: Mapping[str, Any] = field(default_factory=dict)
    reward: Mapping[str, str] = field(default_factory=dict)
    data: str = TRAIN
    seeds: int = 3
    """The first so many of those that are asked for."""


ARMS: Mapping[str, Arm] = {
    "grpo": Arm("grpo", POLICY),
    "kdrl": Arm("kdrl", POLICY, {"b": "0.05", "fall": "0"}, teacher=True),
    "trrd": Arm("trrd", POLICY, teacher=True),
    "opd": Arm("opd", DISTIL, teacher=True),
    "gkd": Arm("gkd", DISTIL, {"lam": "1", "beta": "1"}, teacher=True),
    "lightning_opd": Arm(
        "lightning_opd",
        {**DISTIL, "weight_decay": 0.0, "beta2": 0.999},
        teacher=True,
        rollout={"temperature": 1.0},
        data="synth:levels=1+2,per_level=64",
    ),
    "format": Arm(
        "grpo",
        {**SETTINGS, "learning_rate": 3e-4, "scheduler": "constant", "max_steps": 40},
        {"weights": "format=1+accuracy=0"},
        reward={"format.form": "think"},
        seeds=1,
    ),
    "vote": Arm(
        "ssr",
        {**SETTINGS, "learning_rate": 3e-4, "scheduler": "constant", "vote.max_steps": 12, "labels.max_steps": 1},
        {"first": "vote=1+accuracy=0"},
        data="hard",
        seeds=1,
    ),
}
HARD = 16
"""Problems whose majority is wrong: of the training split, where `tiny` is right in at most one of 8 samples."""


class Bench:
    """What is trained and measured, kept in a folder."""

    def __init__(self, work: Path, seeds: Sequence[int], problems: int, samples: int) -> None:
        self.work, self.seeds, self.samples = work, seeds, samples
        self.dev = synth_records(7, problems // 2, (1, 2), split="dev")

    def cards(self, name: str) -> list[ModelCard]:
        """The arm's models, one a seed, trained if they are not there."""
        return [self._train(name, seed) for seed in self.seeds[: ARMS[name].seeds]]

    def right(self, name: str) -> list[np.ndarray]:
        """Right answers of each model, problems x samples."""
        if name == BEFORE:
            return [self._measured("tiny", self.dev)]
        return [self._measured(f"trained:{card.id}", self.dev) for card in self.cards(name)]

    def series(self, name: str, number: str) -> list[list[float]]:
        """A number of metrics.jsonl over the steps, of each model."""
        rows = [self._lines(card) for card in self.cards(name)]
        return [[row[number] for row in one if number in row] for one in rows]

    def folder(self, card: ModelCard) -> Path:
        """The model's."""
        return self.work / "models" / card.id

    def divergences(self, name: str) -> list[float]:
        """From the teacher: of `tiny`, then of each model."""
        path = self.work / f"divergence-{name}.json"
        wanted = [str(tiny_student()), *(str(self.folder(card) / "model") for card in self.cards(name))]
        known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        known |= {one: divergence(Path(one), self._teacher(), self.dev) for one in wanted if one not in known}
        path.write_text(json.dumps(known), encoding="utf-8")
        return [known[one] for one in wanted]

    def _lines(self, card: ModelCard) -> list[dict[str, Any]]:
        text = (self.folder(card) / "metrics.jsonl").read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines()]

    def _train(self, name: str, seed: int) -> ModelCard:
        arm = ARMS[name]
        config = TrainConfig(
            method=arm.method,
            student="tiny",
            teacher=f"hf:{self._teacher()}" if arm.teacher else None,
            data=str(self._hard()) if arm.data == "hard" else arm.data,
            options=arm.options,
            settings=arm.settings,
            rollout={"max_new": MAX_NEW, **arm.rollout},
            reward=arm.reward,
            seed=seed,
        )
        return train(config, self.work, Runtime(logging_steps=1, save_steps=20, keep_rollouts="text"))

    def _teacher(self) -> Path:
        """`tiny` with its scores doubled, saved once."""
        folder = self.work / "teacher"
        if not folder.exists():
            sharpened(folder)
        return folder

    def _hard(self) -> Path:
        """Records of problems that the student gets wrong, so that what most of a group say is wrong."""
        path = self.work / "hard.jsonl"
        if not path.exists():
            records = synth_records(11, 120, (2,), split="train")
            rates = self._measured("tiny", records).mean(1)
            write_records(path, [one for one, rate in zip(records, rates, strict=True) if rate <= 1 / 8][:HARD])
        return path

    def _measured(self, spec: str, records: Sequence[TrainRecord]) -> np.ndarray:
        path = self.work / f"{spec.replace(':', '-')}-{records[0].id}-{len(records)}x{self.samples}.json"
        if not path.exists():
            path.write_text(json.dumps(asyncio.run(self._answers(spec, records))), encoding="utf-8")
        return np.array(json.loads(path.read_text(encoding="utf-8")))

    async def _answers(self, spec: str, records: Sequence[TrainRecord]) -> list[list[float]]:
        """Whether each sample of each problem is right, by evaluation's grader."""
        model = load_model(spec, {}, self.work)
        found: dict[tuple[int, int], Completion] = {}

        async def one(place: tuple[int, int]) -> None:
            number, sample = place
            seed = 1_000_003 * number + sample
            request = Request(f"{number}/{sample}", records[number].prompt, 1.0, 1.0, MAX_NEW, (), seed)
            found[place] = await model.answer(request)

        try:
            await bounded([(n, s) for n in range(len(records)) for s in range(self.samples)], one)
        finally:
            await model.close()
        with open_scorers(None, self.work) as scorers:
            return [
                [
                    float(score.value or 0)
                    for score in grade_all(
                        problem_of(record), [found[number, sample] for sample in range(self.samples)], scorers.pool
                    )
                ]
                for number, record in enumerate(records)
            ]


def divergence(student: Path, teacher: Path, records: Sequence[TrainRecord]) -> float:
    """KL(student || teacher) of a token that the student draws, exact, mean over its tokens."""
    import torch
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(student, padding_side="left")
    own, other = (transformers.AutoModelForCausalLM.from_pretrained(one).eval() for one in (student, teacher))
    turns = [[{"role": "user", "content": record.prompt[-1].content}] for record in records]
    read = tokenizer.apply_chat_template(
        turns, add_generation_prompt=True, padding=True, return_tensors="pt", return_dict=True
    )
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        ids = own.generate(**read, do_sample=True, temperature=1.0, top_k=0, top_p=1.0, max_new_tokens=MAX_NEW)
        start = read["input_ids"].shape[1]
        end = (ids[:, start:] == own.config.eos_token_id).cumsum(1)
        counted = (end == 0) | ((end == 1) & (ids[:, start:] == own.config.eos_token_id))
        mask = torch.cat([read["attention_mask"], counted.long()], 1)
        total = 0.0
        for rows in range(0, len(ids), 25):
            part = slice(rows, rows + 25)
            ours, theirs = (
                model(input_ids=ids[part], attention_mask=mask[part]).logits[:, start - 1 : -1].log_softmax(-1)
                for model in (own, other)
            )
            total += float((ours.exp() * (ours - theirs)).sum(-1)[counted[part]].sum())
    return total / int(counted.sum())


def sharpened(folder: Path) -> Path:
    """`tiny` with its scores doubled, saved."""
    import torch
    import transformers

    source = tiny_student()
    model = transformers.AutoModelForCausalLM.from_pretrained(source)
    with torch.no_grad():
        model.model.norm.weight.mul_(2)
    model.save_pretrained(folder)
    transformers.AutoTokenizer.from_pretrained(source).save_pretrained(folder)
    return folder


# --- what is compared -------------------------------------------------------------------------------------------------


def accuracy(right: Sequence[np.ndarray], *, fixed: bool = False) -> Cells:
    """Problems x seeds."""
    noise = [one.var(1, ddof=1) / one.shape[1] for one in right]
    return Cells(np.stack([one.mean(1) for one in right], 1), np.stack(noise, 1), fixed=fixed)


def passed(right: Sequence[np.ndarray], *, fixed: bool = False) -> Cells:
    """pass@4, problems x seeds."""
    found = [unbiased(np.full(len(one), one.shape[1]), one.sum(1), 4) for one in right]
    return Cells(np.stack(found, 1), fixed=fixed)


def gain(bench: Bench, name: str, reference: str, of: Callable[..., Cells] = accuracy) -> Seeded:
    """An arm less another, paired."""
    return seeded_difference(of(bench.right(name)), of(bench.right(reference), fixed=reference == BEFORE))


def points(found: Seeded) -> str:
    """A difference in points with its interval."""
    return f"{100 * found.value:+.1f} [{100 * found.low:+.1f}, {100 * found.high:+.1f}]"


Seen = tuple[str, bool]
"""(what was seen, whether it is as registered)."""


def learns(bench: Bench) -> Seen:
    """GRPO's gain."""
    found = gain(bench, "grpo", BEFORE)
    base, after = (seeded_mean(accuracy(bench.right(name))).value for name in (BEFORE, "grpo"))
    return f"{100 * base:.1f} to {100 * after:.1f}: {points(found)}", found.value >= 0.05 and found.low > 0


def keeps_breadth(bench: Bench) -> Seen:
    """GRPO's pass@4."""
    found = gain(bench, "grpo", BEFORE, passed)
    return points(found), abs(found.value) <= 0.03 or found.value > 0


def no_worse(name: str) -> Callable[[Bench], Seen]:
    """Than GRPO, by more than a point."""

    def seen(bench: Bench) -> Seen:
        found = gain(bench, name, "grpo")
        return points(found), found.value >= -0.01

    return seen


def falls(name: str, by: float) -> Callable[[Bench], Seen]:
    """The divergence from the teacher, in every seed."""

    def seen(bench: Bench) -> Seen:
        before, *after = bench.divergences(name)
        told = ", ".join(f"{one:.3f} ({100 * (one / before - 1):+.0f} %)" for one in after)
        return f"{before:.3f} to {told}", max(after) <= (1 - by) * before

    return seen


def as_good_for_less(bench: Bench) -> Seen:
    """Lightning OPD beside OPD of as many steps."""
    found = gain(bench, "lightning_opd", "opd")
    read = [sum(card.spent.teacher for card in bench.cards(name) if card.spent) for name in ("lightning_opd", "opd")]
    rises = gain(bench, "opd", BEFORE)
    seen = f"{points(found)}; teacher's tokens {read[0]:,} of {read[1]:,}; opd less before {points(rises)}"
    return seen, found.value >= -0.02 and read[0] <= 0.11 * read[1]


def alarms(bench: Bench) -> Seen:
    """Whether accuracy fell while form was paid, and whether it was told."""
    (card,) = bench.cards("format")
    (right,), (form,) = (bench.series("format", name) for name in ("accuracy", "reward"))
    told = [str(alarm) for alarm in card.final.get("alarms", ())]  # type: ignore[union-attr]
    quarter = len(right) // 4
    seen = "; ".join(
        f"{name} {np.mean(one[:quarter]):.2f} to {np.mean(one[-quarter:]):.2f}"
        for name, one in (("accuracy", right), ("form", form))
    )
    return f"{seen}; alarms {told or 'none'}", any("hacking" in alarm for alarm in told)


def keeps_to_votes(bench: Bench) -> Seen:
    """Shares of the majorities that were trained on, where they are wrong."""
    (card,) = bench.cards("vote")
    groups: dict[tuple[int, str], list[Any]] = {}
    for one in stored_completions(bench.folder(card)):
        if one.stage == "vote":
            groups.setdefault((one.generation, one.record), []).append(one)
    trained = [[one.mark.parts["vote"] for one in group] for group in groups.values() if group[0].reward() is not None]
    shares = [float(np.mean([part for part in group if part is not None])) for group in trained]
    wrong = np.mean([not any(one.is_("right") for one in group) for group in groups.values()])
    seen = (
        f"{len(trained)} of {len(groups)} groups trained on, shares {min(shares):.2f} to {max(shares):.2f}; "
        f"{100 * wrong:.0f} % of the groups wholly wrong"
    )
    return seen, min(shares) >= 0.3 and max(shares) <= 0.9


def claims() -> Iterator[tuple[str, str, Callable[[Bench], Seen]]]:
    """(arm, what is registered, what looks)."""
    yield "grpo", "accuracy +5 points or more, interval above 0", learns
    yield "grpo", "pass@4 not lower by more than 3 points", keeps_breadth
    yield "kdrl", "less grpo: -1 point or more", no_worse("kdrl")
    yield "trrd", "less grpo: -1 point or more", no_worse("trrd")
    yield "opd", "reverse KL -30 % in 20 steps, every seed", falls("opd", 0.3)
    yield "gkd", "reverse KL -45 % in 20 steps, every seed", falls("gkd", 0.45)
    yield "lightning_opd", "within 2 points of opd, a tenth of the teacher's tokens", as_good_for_less
    yield "format", "form alone is paid: hacking alarm within 40 steps", alarms
    yield "vote", "a wrong majority: only shares within [.3, .9] are trained on", keeps_to_votes


def main() -> None:
    """Train, measure, one line a claim."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--only", help="arms, joined by commas")
    parser.add_argument("--problems", type=int, default=200)
    parser.add_argument("--samples", type=int, default=8)
    parsed = parser.parse_args()
    wanted = set(parsed.only.split(",")) if parsed.only else {arm for arm, _, _ in claims()}
    if unknown := sorted(wanted - {arm for arm, _, _ in claims()}):
        sys.exit(f"no claim is about {unknown[0]!r}: {', '.join(dict.fromkeys(arm for arm, _, _ in claims()))}")
    parsed.work.mkdir(parents=True, exist_ok=True)
    bench = Bench(parsed.work, [int(seed) for seed in parsed.seeds.split(",")], parsed.problems, parsed.samples)
    print("| arm | registered | seen | so? |\n|---|---|---|---|")
    for arm, registered, look in claims():
        if arm in wanted:
            seen, so = look(bench)
            print(f"| {arm} | {registered} | {seen} | {'yes' if so else 'no'} |", flush=True)


if __name__ == "__main__":
    main()
