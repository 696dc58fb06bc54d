"""Paths of reasoning cut into steps, by a rule or by asking a structure reward model."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from backends.structure.equations import equation_steps
from backends.structure.paths import steps_prompt
from backends.structure.steps import PathStep, read_steps
from harness.types import Completion, Json, Request

RULE = "rule:equations"
SECOND_TRY = 0.2
"""Temperature at which a path is cut once more whose first list cannot be read."""
MAX_TOKENS = 10_000

Asking = Callable[[str, Sequence[Request]], list[Completion]]
"""The replies of a model to requests (`backends.rewards.scorers.Scorers.ask`)."""


@dataclass(frozen=True, slots=True)
class CutPath:
    """One path as steps."""

    steps: tuple[PathStep, ...]
    why: str = ""
    """Why there are none, where that is not the path's fault."""


def cut_paths(spec: str, paths: Sequence[tuple[str, str]], ask: Asking, max_tokens: int = MAX_TOKENS) -> list[CutPath]:
    """The steps of each (question, path). `spec`: the rule, or a model, asked at temperature 0 and once more at 0.2."""
    if spec == RULE:
        return [CutPath(equation_steps(path)) for _, path in paths]
    found: dict[int, CutPath] = {}
    for attempt, temperature in enumerate((0.0, SECOND_TRY)):
        open_ = [place for place in range(len(paths)) if place not in found]
        requests = [_request(*paths[place], attempt, temperature, max_tokens) for place in open_]
        for place, completion in zip(open_, ask(spec, requests) if requests else (), strict=True):
            steps = read_steps(completion.text)
            if completion.finish == "error":
                found[place] = CutPath((), f"the structure reward model failed: {completion.error}"[:300])
            elif steps:
                found[place] = CutPath(steps)
            elif attempt:
                found[place] = CutPath((), "the structure reward model gave no readable step, twice")
    return [found[place] for place in range(len(paths))]


class StepTexts:
    """The steps of responses as texts, for measures that compare them: why and what each asks and settles."""

    def __init__(self, spec: str, questions: Mapping[str, str], ask: Asking) -> None:
        """`questions`: what each response answers; one that is missing has none."""
        self._spec, self._questions, self._ask = spec, questions, ask

    def __call__(self, texts: Sequence[str]) -> list[list[str]]:
        """The steps of each text; none where nothing can be read."""
        cut = cut_paths(self._spec, [(self._questions.get(text, ""), text) for text in texts], self._ask)
        return [[_as_text(step) for step in one.steps] for one in cut]

    def identity(self) -> Mapping[str, Json]:
        """Who cuts."""
        return {"steps": self._spec}


def _as_text(step: PathStep) -> str:
    parts = dict.fromkeys((step.step, step.question, step.result))  # a rule gives the first two alike
    return "\n".join(parts)


def _request(question: str, path: str, attempt: int, temperature: float, max_tokens: int) -> Request:
    messages = steps_prompt(question, path)
    digest = hashlib.sha256(f"{attempt}\x1f{messages[0].content}".encode("utf-8", "replace")).digest()
    seed = int.from_bytes(digest[:4], "big") & 0x7FFFFFFF
    return Request(digest.hex(), messages, temperature, 1.0, max_tokens, (), seed, attempt=attempt)
