"""Completions made by hand, as the feed of on-policy methods makes them of what was drawn and credited."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from objective_steps import Student

from backends.base import Objective, Training
from backends.records.segments import CODE, Encoded, Example
from backends.rollouts.settings import RolloutSettings

LENGTHS = (5, 3, 6, 1)
PROMPT = 4
CREDIT: tuple[dict[str, float], ...] = (
    {"advantage": 0.9, "correct": 1.0, "dead": 0.0},
    {"advantage": -0.7, "correct": 0.0, "dead": 0.0},
    {"advantage": 0.0, "correct": 0.0, "dead": 1.0},
    {"advantage": -0.2, "correct": 0.0, "dead": 0.0},
)


def completion(index: int, length: int, numbers: Mapping[str, float], ended: bool = True, **extras: Any) -> Example:
    """Random tokens behind a random prompt; `extras` are values of the completion's tokens."""
    draw = np.random.default_rng(index)
    tokens = draw.integers(0, 256, PROMPT + length)
    if ended:
        tokens[-1] = 256
    segments = np.array([CODE["prompt"]] * PROMPT + [CODE["answer"]] * length, np.int8)
    padded = {
        name: np.concatenate([np.zeros(PROMPT, np.float32), np.asarray(value, np.float32)])
        for name, value in extras.items()
    }
    return Example(
        f"r{index}", (Encoded(tokens.astype(np.int32), segments, extras=padded),), index=index, numbers=numbers
    )


def completions(credit: Sequence[Mapping[str, float]] = CREDIT, ended: bool = True) -> tuple[Example, ...]:
    return tuple(
        completion(index, length, numbers, ended)
        for index, (length, numbers) in enumerate(zip(LENGTHS, credit, strict=True))
    )


def with_extra(examples: Sequence[Example], name: str, values: Sequence[torch.Tensor]) -> tuple[Example, ...]:
    """The completions with a value of each of their tokens."""
    found = []
    for example, value_T in zip(examples, values, strict=True):
        (sequence,) = example.sequences
        value = np.concatenate([np.zeros(PROMPT, np.float32), value_T.detach().float().numpy()])
        sequence = dataclasses.replace(sequence, extras={**sequence.extras, name: value})
        found.append(dataclasses.replace(example, sequences=(sequence,)))
    return tuple(found)


def set_up(
    objective: Objective, student: Student, examples: Sequence[Example], teacher: Student | None = None, **rollout: Any
) -> Objective:
    """The objective, as a training begins with it."""
    training: Training = dataclasses.replace(
        student.training(examples), rollout=RolloutSettings(**({"max_new": 8} | rollout))
    )
    if teacher is not None:
        pair = (teacher.model, teacher.tokenizer)
        training = dataclasses.replace(training, teacher="hf:t", load=lambda spec: pair)
    objective.setup(training)
    return objective
