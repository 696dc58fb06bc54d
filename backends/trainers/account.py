"""Counts what one training spends, on each process, until the processes add it up after a step."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from harness.spent import KINDS, Spent

_READ, _PASS = 6.0, 2.0
"""Floating-point operations of a parameter for each token: with gradient, and without."""


class Account:
    """One process's account."""

    def __init__(self, student: Any) -> None:
        self.total = Spent()
        """Over all processes, up to the last finished step."""
        self._student = student
        self._size = parameters(student)
        self._new = dict.fromkeys(KINDS, 0.0)
        self._passes: list[tuple[str, int, Tensor]] = []

    def read(self, tokens: Tensor) -> None:
        """The student is trained on so many tokens."""
        self._new["read"] += int(tokens)
        self._new["flops"] += _READ * self._size * int(tokens)

    def passed(self, model: Any, tokens: Tensor) -> None:
        """A model read so many tokens without gradient; they are counted later, so that no device is waited for."""
        own = model is self._student
        self._passes.append(("prefilled" if own else "teacher", self._size if own else parameters(model), tokens))

    def add(
        self,
        generated: int = 0,
        prefilled: int = 0,
        judge_in: int = 0,
        judge_out: int = 0,
        teacher: int = 0,
        of: Any = None,
    ) -> None:
        """The student wrote, and read prompts before; judges were asked; a `teacher` read.

        `of`: that teacher's model, or its number of parameters.
        """
        for name, tokens in (("generated", generated), ("prefilled", prefilled)):
            self._new[name] += tokens
            self._new["flops"] += _PASS * self._size * tokens
        if of is not None:
            size = of if isinstance(of, int | float) else parameters(of)
            self._new["teacher"] += teacher
            self._new["flops"] += _PASS * size * teacher
        self._new["judge_in"] += judge_in
        self._new["judge_out"] += judge_out

    def take(self) -> Tensor:
        """What is new on this process, in the order of `KINDS`; it is not told again."""
        for name, size, tokens in self._passes:
            self._new[name] += int(tokens)
            self._new["flops"] += _PASS * size * int(tokens)
        found = torch.tensor([self._new[name] for name in KINDS], dtype=torch.float64)
        self.forget()
        return found

    def forget(self) -> None:
        """Leave out what is new: a checkpoint has counted it already."""
        self._new, self._passes = dict.fromkeys(KINDS, 0.0), []

    def put(self, summed: list[float]) -> None:
        """Add what all processes took."""
        told = dict(zip(KINDS, summed, strict=True))
        self.total += Spent(**{name: value if name == "flops" else round(value) for name, value in told.items()})  # type: ignore[arg-type]


def parameters(model: Any) -> int:
    """Of a model, whole also where it is sharded, or packed into 4 bits."""
    return sum(
        int(getattr(weight, "ds_numel", weight.numel())) * (2 if type(weight).__name__ == "Params4bit" else 1)
        for weight in model.parameters()
    )
