"""A scripted judge whose skill hangs on the prompt: what an edit of a rubric does to it is known."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from harness.types import Completion, Json, Request
from judges.lab.labelled_pair import LabelledPair
from tests.scripted_judge import ErrorModel, ScriptedJudge


@dataclass(frozen=True)
class PromptedModel:
    """Answers by the error model of the first word that the prompt holds; without one by `plain`.

    `drift`: every prompt draws its own luck, so that an edit without effect still changes some verdicts.
    """

    pairs: Sequence[LabelledPair]
    plain: ErrorModel
    words: Mapping[str, ErrorModel] = field(default_factory=dict)
    drift: bool = False
    name: str = "prompted:judge"
    asked: list[str] = field(default_factory=list)
    _judges: dict[str, ScriptedJudge] = field(default_factory=dict)

    def describe(self) -> Mapping[str, Json]:
        return {"engine": "prompted"}

    def environment(self) -> Mapping[str, Json]:
        return {"price_in": 1.0, "price_out": 2.0}

    async def answer(self, request: Request) -> Completion:
        self.asked.append(request.id)
        system = request.messages[0].content
        errors = next((errors for word, errors in self.words.items() if word in system), self.plain)
        seed = request.seed
        if self.drift:
            seed += int(hashlib.sha256(system.encode()).hexdigest()[:6], 16)
        messages = [{"role": m.role, "content": m.content} for m in request.messages]
        key = repr(errors)
        if key not in self._judges:
            self._judges[key] = ScriptedJudge(self.pairs, errors)
        text = self._judges[key].reply(messages, seed)
        return Completion(text=text, finish="stop", tokens_in=100, tokens_out=20)

    async def close(self) -> None:
        """Nothing to release."""
