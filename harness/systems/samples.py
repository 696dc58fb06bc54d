"""How a system draws several samples of a model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from harness.errors import ConfigError
from harness.types import Request, Sampling


@dataclass(frozen=True)
class SampleOptions:
    """What is said of samples; a system's options inherit it."""

    temperature: float | None = None
    """Of the samples; None is the run's."""
    top_p: float | None = None
    """Of the samples; None is the run's."""

    def __post_init__(self) -> None:
        if self.temperature is not None and not 0 < self.temperature <= 10:
            raise ValueError(f"temperature must be above 0, not {self.temperature:g}: else all samples are one answer")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must be above 0 and at most 1, not {self.top_p:g}")

    def of(self, sampling: Sampling, name: str, count: int) -> Sampling:
        """How samples are drawn where the system is asked like this; raises `ConfigError` for equal ones."""
        return replace(sampling, **self._drawn(sampling.temperature, sampling.top_p, name, count))

    def drawn(self, request: Request, name: str, count: int) -> dict[str, Any]:
        """The same for one request: the fields that change."""
        return self._drawn(request.temperature, request.top_p, name, count)

    def _drawn(self, temperature: float, top_p: float, name: str, count: int) -> dict[str, Any]:
        temperature = self.temperature if self.temperature is not None else temperature
        if temperature == 0 and count > 1:
            raise ConfigError(
                f"{name}: {count} samples at temperature 0 are {count} copies of one answer; say --model-arg "
                "temperature=0.7 (of a judge --judge-arg, of a teacher --teacher-arg), of the samples alone, or "
                "--temperature 0.7"
            )
        return {"temperature": temperature, "top_p": self.top_p if self.top_p is not None else top_p}
