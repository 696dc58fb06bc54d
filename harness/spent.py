"""What a training spends: tokens of each kind, and what they cost together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from harness.files import is_number

Counted = Literal["student", "all"]
"""Which tokens a budget counts: those that the student reads and writes, or also a teacher's and the judges'."""


@dataclass(frozen=True, slots=True)
class Spent:
    """Tokens without padding, over all processes and all resumed parts; what is made again after a kill counts once."""

    read: int = 0
    """Tokens that the student was trained on: passes with gradient."""
    generated: int = 0
    """Tokens that the student wrote."""
    prefilled: int = 0
    """Tokens that the student read without gradient: prompts before it wrote, passes of its own as a reference."""
    teacher: int = 0
    """Tokens that other models read: teachers, references with weights of their own."""
    judge_in: int = 0
    judge_out: int = 0
    """Tokens that judges and reward models read and wrote."""
    flops: float = 0.0
    """6 N read + 2 N (generated + prefilled) + 2 N_T teacher, N and N_T the parameters of student and teacher: the
    usual estimate, which leaves out what attention adds for long sequences, and judges, whose size is not known."""

    def __add__(self, other: Spent) -> Spent:
        """Both together."""
        return Spent(**{name: value + getattr(other, name) for name, value in asdict(self).items()})

    def counted(self, what: Counted) -> int:
        """Tokens that a budget counts."""
        student = self.read + self.generated
        return student if what == "student" else student + self.teacher + self.judge_in + self.judge_out


KINDS: tuple[str, ...] = tuple(field.name for field in fields(Spent))


def read_spent(raw: Any) -> Spent:
    """What `dataclasses.asdict` made of one, out of a file; raises `ValueError` saying what is wrong."""
    if not isinstance(raw, Mapping) or sorted(raw) != sorted(KINDS):
        raise ValueError(f"spent has not the fields {', '.join(KINDS)}")
    for name in KINDS:
        if not is_number(raw[name]) or raw[name] < 0 or (name != "flops" and type(raw[name]) is not int):
            raise ValueError(f"spent.{name} is not a count")
    return Spent(**raw)
