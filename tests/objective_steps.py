"""One optimiser step of a method's objective without a trainer: a tiny float64 student, micro-batches, added-up shares.

student = Student(folder)
step = student.step(objective, examples, sizes=(2, 2))
step.loss, step.log, step.grads
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import transformers
from tiny_model import write_tokenizer
from torch import Tensor

from backends.base import ExampleMaker, Objective, Step, Training
from backends.records.collate import collate
from backends.records.record import TrainRecord
from backends.records.segments import Encoder, Example
from backends.trainers.batch import Batch, as_batch
from backends.trainers.head import add_objective_head, score
from harness.types import Message

PAD = 257


def record(number: int = 0, **fields: Any) -> TrainRecord:
    values = {"id": f"r{number}", "prompt": (Message("user", f"q{number}?"),)} | fields
    return TrainRecord(**values)


def think(chain: str, answer: str) -> str:
    return f"<think>\n{chain}\n</think>\n{answer}"


RECORDS = [
    record(0, response=think("1 + 2 = 3.", "3")),
    record(1, response=think("2 * 2 = 4. 4 - 1 = 3.", "So 3.")),
    record(2, response="no chain"),
]
"""Two responses with a chain and one without."""


@dataclass(frozen=True)
class Taken:
    """What an optimiser step came to."""

    loss: float
    log: dict[str, float]
    grads: dict[str, Tensor]


class Student:
    """A tiny random causal language model in float64 with a byte-level tokenizer."""

    def __init__(self, folder: Path, seed: int = 0, merges: Sequence[str] = (), **tokenizer: str) -> None:
        write_tokenizer(folder, merges=merges, **tokenizer)
        self.tokenizer = transformers.PreTrainedTokenizerFast.from_pretrained(folder)
        torch.manual_seed(seed)
        config = transformers.LlamaConfig(
            vocab_size=259 + len(merges), hidden_size=16, intermediate_size=32, num_hidden_layers=1,
            num_attention_heads=2, max_position_embeddings=512, initializer_range=0.4, eos_token_id=256,
            bos_token_id=258, pad_token_id=PAD,
        )  # fmt: skip
        self.model: Any = transformers.LlamaForCausalLM(config).double()
        add_objective_head(self.model)

    def examples(self, maker: ExampleMaker, records: Sequence[TrainRecord]) -> tuple[Example, ...]:
        return maker(Encoder(self.tokenizer, 512), records).examples

    def batch(self, examples: Sequence[Example], start: int = 0, pad_to: int = 0) -> Batch:
        """The examples as a micro-batch of a data set in which they begin at `start`; `pad_to`: at least so long."""
        numbered = [replace(example, index=start + number) for number, example in enumerate(examples)]
        collated = collate(numbered, PAD)
        missing = max(0, pad_to - collated["labels"].shape[1])
        fills = {"input_ids": PAD, "labels": -100, "segments": 5}
        for name, value in collated.items():
            if missing and isinstance(value, Tensor) and value.dim() > 1:
                filling = value.new_full((value.shape[0], missing, *value.shape[2:]), fills.get(name, 0))
                collated[name] = torch.cat([value, filling], dim=1)
        return as_batch(collated)

    def batches(self, examples: Sequence[Example], sizes: Sequence[int] = (), pad_to: int = 0) -> Iterator[Batch]:
        start = 0
        for size in sizes or (len(examples),):
            yield self.batch(examples[start : start + size], start, pad_to)
            start += size

    def training(self, examples: Sequence[Example]) -> Training:
        def forward(function: Callable[..., Any], batch: Batch, model: Any = None) -> Any:
            with torch.no_grad():
                return score(model or self.model, batch, function)

        def load(spec: str) -> tuple[Any, Any]:
            raise AssertionError(f"no model {spec} is at hand")

        return Training(
            model=self.model, tokenizer=self.tokenizer, forward=forward, device=torch.device("cpu"), teacher=None,
            batches=lambda: self.batches(examples, (1,) * len(examples)), load=load, examples=len(examples),
        )  # fmt: skip

    def step(
        self, objective: Objective, examples: Sequence[Example], sizes: Sequence[int] = (), pad_to: int = 0
    ) -> Taken:
        """Micro-batches of these sizes (all in one by default), counted, passed forward and back, and added up."""
        batches = list(self.batches(examples, sizes, pad_to))
        counts: dict[str, Tensor] = {}
        for batch in batches:
            for name, count in objective.counts(batch).items():
                counts[name] = counts[name] + count if name in counts else count
        step, total, log = Step(0, 1), 0.0, dict[str, float]()
        self.model.zero_grad()
        for batch in batches:
            prepared = objective.prepare(batch, step)
            found = score(
                self.model, batch, lambda logits, b=batch, p=prepared: objective.loss(b, logits, counts, step, p)
            )
            found.value.backward()
            total += found.value.item()
            for name, value in found.log.items():
                log[name] = log.get(name, 0.0) + float(value)
            for name, value in found.largest.items():
                log[name] = max(log.get(name, float(value)), float(value))
        grads = {name: weight.grad.clone() for name, weight in self.model.named_parameters()}
        objective.after_step(log, step)
        return Taken(total, log, grads)

    def logps(self, examples: Sequence[Example], slot: int) -> list[Tensor]:
        """By hand, from whole logits: each example's response log-probabilities, of one of its sequences."""
        found = []
        for example in examples:
            sequence = example.sequences[slot]
            ids = torch.tensor(sequence.ids_T, dtype=torch.int64)
            logits = self.model(input_ids=ids[None]).logits[0, :-1]
            logps = logits.log_softmax(-1)[torch.arange(len(ids) - 1), ids[1:]]
            found.append(logps[torch.tensor(sequence.supervised_T[1:])])
        return found

    def gradients(self, loss: Tensor) -> dict[str, Tensor]:
        """By autograd, of a loss made by hand."""
        names, weights = zip(*self.model.named_parameters(), strict=True)
        return dict(zip(names, torch.autograd.grad(loss, weights, allow_unused=True), strict=True))


def assert_same_step(first: Taken, second: Taken, atol: float = 1e-10) -> None:
    """Loss, logs and gradients agree to rounding. (Llama's norms are in float32: other row orders need 1e-6.)"""
    torch.testing.assert_close(first.loss, second.loss)
    torch.testing.assert_close(first.log, second.log)
    torch.testing.assert_close(first.grads, second.grads, rtol=1e-6, atol=atol)


def assert_invariant(
    student: Student, make: Callable[[], Objective], examples: Sequence[Example], atol: float = 1e-10
) -> None:
    """Micro-batches add up to one batch, and padding changes nothing. `make` gives an objective that is set up."""
    whole = student.step(make(), examples)
    assert all(bool(grad.isfinite().all()) for grad in whole.grads.values())
    rest = len(examples) - 1
    for sizes in ((1,) * len(examples), (1, rest)):
        assert_same_step(student.step(make(), examples, sizes), whole, atol)
    longest = max(len(sequence.ids_T) for example in examples for sequence in example.sequences)
    assert_same_step(student.step(make(), examples, pad_to=longest + 7), whole, atol)
