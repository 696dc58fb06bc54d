"""One whole reinforcement loop, from top to bottom, on the pieces that `harness train --method grpo` is made of.

    python docs/examples/reinforce.py --student tiny --steps 40

The student draws a group of completions for each of a few questions, a reward marks them, each is compared with the
others of its group, and what was better than the group becomes likelier. That is all of GRPO (arXiv 2402.03300). What
`harness train` adds is not here: resuming to the same bytes, several processes, mixed precision, budgets, journals,
alarms, a model card.

Shapes: R completions of a batch, T positions.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from backends.base import Training
from backends.load import find_weights
from backends.losses.credit import advantages
from backends.losses.nll import token_logps
from backends.losses.policy import log_ratio_of, over_step, surrogate
from backends.losses.positions import HeadLogits
from backends.records.collate import collate, padding
from backends.records.record import TrainRecord
from backends.records.segments import CODE, Encoded, Encoder, Example
from backends.records.synth import synth_records
from backends.rewards.scorers import Scorers, open_scorers
from backends.rewards.total import Totals
from backends.rollouts.engine import Drawn, Wanted
from backends.rollouts.engine_hf import HfEngine
from backends.rollouts.order import completion_seed, prompts_of
from backends.rollouts.settings import RolloutSettings
from backends.rollouts.types import Rollout, RolloutGroup
from backends.trainers.batch import as_batch
from backends.trainers.head import add_objective_head, score
from harness.models.hf_load import load_for_training

STAGE = "train"


def draw(
    engine: HfEngine, encoder: Encoder, records: Sequence[TrainRecord], step: int, prompts: int, seed: int, group: int
) -> list[RolloutGroup]:
    """A group of completions for each prompt whose turn it is.

    Which prompts and which seeds are pure functions of (seed, step): drawn again, they are the same.
    """
    visits = prompts_of(seed, step, prompts, len(records))
    chosen = [(records[visit.record], visit.visit) for visit in visits]
    seeds = [
        completion_seed(seed, STAGE, record.id, visit, sample) for record, visit in chosen for sample in range(group)
    ]
    rendered = [encoder.prompt(record) for record, _ in chosen]
    found: dict[int, Drawn] = {}
    wanted = [Wanted(rendered[number // group], one) for number, one in enumerate(seeds)]
    engine.draw(wanted, lambda number, drawn: found.update({number: drawn}))  # in whatever order they end
    return [
        RolloutGroup(
            record,
            tuple(
                Rollout(
                    record=record.id,
                    visit=visit,
                    sample=sample,
                    seed=seeds[place * group + sample],
                    prompt_T=np.array(rendered[place].tokens, np.int32),
                    tokens_T=found[place * group + sample].tokens_T,
                    logps_T=found[place * group + sample].logps_T,
                    text=found[place * group + sample].text,
                    finish=found[place * group + sample].finish,
                    version=step,
                    opened_think=rendered[place].opened_think,
                )
                for sample in range(group)
            ),
        )
        for place, (record, visit) in enumerate(chosen)
    ]


def mark(groups: Sequence[RolloutGroup], totals: Totals, scorers: Scorers) -> list[RolloutGroup]:
    """What each completion is worth. None is a scorer's failure and stays out of everything: it is never 0."""
    return [replace(group, marks=totals.mark(group, scorers)) for group in groups]


def examples_of(groups: Sequence[RolloutGroup]) -> list[Example]:
    """The completions that say something, each with its distance from the mean of its group.

    A token is learnt where its segment is an answer's: never in the prompt. What is learnt are the drawn tokens
    themselves; text that is encoded again may be cut into other tokens.
    """
    rewards = [
        torch.tensor([math.nan if one.value is None else one.value for one in group.marks], dtype=torch.float64)
        for group in groups
    ]
    found: list[Example] = []
    for group, values in zip(groups, advantages(rewards), strict=True):
        for rollout, advantage in zip(group.rollouts, values.tolist(), strict=True):
            if math.isnan(advantage) or advantage == 0.0:
                continue  # no value, or a group of equals: nothing to learn
            ids_T = np.concatenate([rollout.prompt_T, rollout.tokens_T])
            codes = [CODE["prompt"]] * len(rollout.prompt_T) + [CODE["answer"]] * len(rollout.tokens_T)
            sequence = Encoded(ids_T, np.array(codes, np.int8))
            found.append(Example(rollout.record, (sequence,), numbers={"advantage": advantage}))
    return found


def update(model: Any, optimizer: torch.optim.Optimizer, examples: Sequence[Example], rows: int, pad: int) -> float:
    """One optimiser step over all examples, so many rows at a time; returns the loss.

    Shares are divided by counts of the whole step, so that cutting it into passes changes nothing. Drawn with these
    very weights, the completions' old log-probabilities are the student's own: the ratio is 1, its gradient is not.
    """
    tokens = sum(int(one.sequences[0].supervised_T.sum()) for one in examples)
    loss = 0.0
    for start in range(0, len(examples), rows):
        batch = as_batch(collate(examples[start : start + rows], pad))
        mask_RT, advantage_R = batch.mask_RT, batch.numbers["advantage"]

        def objective(
            logits: HeadLogits, batch: Any = batch, mask_RT: Tensor = mask_RT, a_R: Tensor = advantage_R
        ) -> Any:
            logps_RT = token_logps(logits, batch.labels_RT)
            found = surrogate(logps_RT, log_ratio_of(logps_RT, None, mask_RT), a_R, mask_RT)
            return over_step(found.loss_RT, mask_RT, norm="token", tokens=tokens)

        share = score(model, batch, objective)
        share.backward()
        loss += float(share.detach())
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()
    return loss


def policy_of(model: Any, tokenizer: Any) -> Training:
    """What an engine asks of a training: here only the model, its tokenizer and the precision to draw in."""

    def unused(*args: Any, **more: Any) -> Any:
        raise NotImplementedError("this loop has no extra passes")

    return Training(
        model=model,
        tokenizer=tokenizer,
        forward=unused,
        batches=unused,
        device=model.device,
        teacher=None,
        load=unused,
        examples=0,
        autocast=nullcontext,
    )


def reinforce(args: argparse.Namespace) -> list[float]:
    """The loop; returns the mean reward of each step."""
    torch.manual_seed(args.seed)
    results = Path(args.results_dir)
    model, tokenizer = load_for_training(find_weights(args.student, results), torch.float32)
    add_objective_head(model)  # so that a loss is computed inside the forward pass, scores a few positions at a time
    encoder = Encoder(tokenizer, args.max_length)
    records = list(synth_records(args.seed, args.per_level, (1, 2)))
    totals = Totals(args.weights, {})
    totals.check(records)
    settings = RolloutSettings(group=args.group, max_new=args.max_new)
    engine = HfEngine(settings)
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.learning_rate, weight_decay=0.0)
    rewards: list[float] = []
    with open_scorers(None, results, models=totals.models) as scorers:
        for step in range(args.steps):
            model.eval()
            engine.sync(policy_of(model, tokenizer), step)
            groups = mark(draw(engine, encoder, records, step, args.prompts, args.seed, args.group), totals, scorers)
            examples = examples_of(groups)
            model.train()
            loss = update(model, optimizer, examples, args.rows, padding(tokenizer)) if examples else 0.0
            values = [one.value for group in groups for one in group.marks if one.value is not None]
            rewards.append(sum(values) / len(values))
            drawn = [rollout for group in groups for rollout in group.rollouts]
            length = sum(len(rollout.tokens_T) for rollout in drawn) / len(drawn)
            print(
                f"step {step + 1}: reward {rewards[-1]:.3f}, loss {loss:+.4f}, {length:.0f} tokens a completion, "
                f"{len(examples)} of {len(drawn)} say something"
            )
    engine.close()
    return rewards


def parser() -> argparse.ArgumentParser:
    """The options."""
    found = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    found.add_argument("--student", default="tiny", help="tiny, smollm2, hf:PATH, trained:ID")
    found.add_argument("--weights", default="accuracy=1", help="rewards: accuracy=1+format=0.5")
    found.add_argument("--steps", type=int, default=40)
    found.add_argument("--prompts", type=int, default=8, help="prompts of a step")
    found.add_argument("--group", type=int, default=8, help="completions of a prompt")
    found.add_argument("--rows", type=int, default=16, help="completions of a forward pass")
    found.add_argument("--max-new", type=int, default=96)
    found.add_argument("--max-length", type=int, default=512)
    found.add_argument("--per-level", type=int, default=200, help="questions of each level")
    found.add_argument("--learning-rate", type=float, default=5e-5)
    found.add_argument("--seed", type=int, default=0)
    found.add_argument("--results-dir", default="results", help="where trained:ID is looked up")
    return found


if __name__ == "__main__":
    reinforce(parser().parse_args())
