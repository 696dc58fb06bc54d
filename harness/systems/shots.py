"""`fewshot:<k>:<model>` and `cot:<model>`: the controls that train nothing (Brown et al. 2020; Kojima et al. 2022).

    harness run --suite gsm8k --model fewshot:4:openai:qwen --model-arg items=train.jsonl
    harness run --suite gsm8k --model cot:openai:qwen

`fewshot` shows k solved items as earlier turns, the same ones to every problem (drawn by `seed`), or the nearest
(`pick=bm25`, `pick=dense`). Items are training records; one that asks what is asked is never shown. `cot` puts a line
after the question that asks for reasoning. Both are one request.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from backends.options import refuse_unused
from backends.records.contamination import words
from backends.records.inputs import read_all
from backends.records.record import TrainRecord, data_hash, has, response_text
from harness.errors import DataError
from harness.systems.base import MAIN, Asking, Assembly, System, assemble, calls_of
from harness.systems.retrieval import Library
from harness.types import Completion, Json, Message


def solved_items(files: Collection[str]) -> list[TrainRecord]:
    """Records with a response; raises `DataError` for a record without one, and what reading them raises."""
    items = read_all(files)
    bad = [item.id for item in items if not has(item, "response")]
    if bad:
        raise DataError(
            f"{', '.join(files)}: {len(bad)} items are not solved, the first {bad[0]!r}: they need 'response'"
        )
    return items


def with_shots(messages: tuple[Message, ...], items: list[TrainRecord]) -> tuple[Message, ...]:
    """The messages with solved items as earlier turns, behind the system's own, the first item last."""
    system = sum(message.role == "system" for message in messages[:1])
    turns = [
        turn
        for item in reversed(items)
        for turn in (Message("user", item.prompt[-1].content), Message("assistant", response_text(item) or ""))
    ]
    return (*messages[:system], *turns, *messages[system:])


@dataclass(frozen=True, kw_only=True)
class FewShotOptions:
    """What is shown."""

    items: str
    """File of solved training records, or synth:…"""
    pick: Literal["fixed", "bm25", "dense"] = "fixed"
    """The same items for every problem, or the nearest by words (bm25) or by meaning (dense)."""
    seed: int = 0
    """Draws the fixed items."""
    embedder: str = ""
    """By meaning: folder or hub id of the embedder; empty is the bundled one."""

    def __post_init__(self) -> None:
        if not self.items:
            raise ValueError("items must name a file of solved training records")
        refuse_unused(self, self.pick == "fixed", "pick=fixed", "seed")
        refuse_unused(self, self.pick == "dense", "pick=dense", "embedder")


def build_few_shot(rest: str, options: Mapping[str, str]) -> FewShot:
    """The engine's entry; reads the items. Raises `ConfigError`, `DataError`, and what making the model raises."""
    return FewShot(assemble("fewshot", rest, options, FewShotOptions, number=("items", 4, 1)))


class FewShot(System[FewShotOptions]):
    """See the module's docstring."""

    engine = "fewshot"
    counted = "shots"

    def __init__(self, parts: Assembly[FewShotOptions]) -> None:
        super().__init__(parts)
        told = parts.options
        self._items = solved_items((told.items,))
        questions = [item.prompt[-1].content for item in self._items]
        if len(self._items) <= self.number:
            raise DataError(
                f"{told.items} has {len(self._items)} items, and {self.number} are shown beside one that "
                "may be what is asked: add items, or show fewer"
            )
        self._asked = [words(question) for question in questions]
        self._order = random.Random(told.seed).sample(range(len(questions)), len(questions))
        self._library = Library(questions, told.pick, told.embedder, told.items) if told.pick != "fixed" else None

    def most(self) -> int:
        """As many as the model."""
        return calls_of(self.models[MAIN])

    def settings(self) -> dict[str, Json]:
        """The items by their content, and how they are picked."""
        how: dict[str, Json] = {"seed": self.options.seed} if self._library is None else self._library.identity()
        return {"items": data_hash(self._items), "pick": self.options.pick, **how}

    async def compose(self, asking: Asking) -> Completion:
        """Pick, show, ask."""
        places = await self._pick(asking.request.messages[-1].content)
        shown = [self._items[place] for place in places]
        asking.facts["items"] = [item.id for item in shown]
        return await asking.ask(MAIN, messages=with_shots(asking.request.messages, shown))

    async def _pick(self, question: str) -> list[int]:
        if self._library is not None:
            return await self._library.nearest(question, self.number)
        asked = words(question)
        return [place for place in self._order if self._asked[place] != asked][: self.number]


@dataclass(frozen=True)
class ThinkingOptions:
    """How reasoning is asked for."""

    trigger: str = "Let's think step by step."
    """What is put after the question (Kojima et al. 2022, table 4, has others)."""

    def __post_init__(self) -> None:
        if not self.trigger.strip():
            raise ValueError("trigger must say something")


def build_thinking(rest: str, options: Mapping[str, str]) -> Thinking:
    """The engine's entry; asks nothing. Raises `ConfigError`, and what making the model raises."""
    return Thinking(assemble("cot", rest, options, ThinkingOptions))


class Thinking(System[ThinkingOptions]):
    """See the module's docstring."""

    engine = "cot"

    def most(self) -> int:
        """As many as the model."""
        return calls_of(self.models[MAIN])

    async def compose(self, asking: Asking) -> Completion:
        """Ask, with a line more."""
        *earlier, last = asking.request.messages
        told = replace(last, content=f"{last.content}\n\n{self.options.trigger}")
        return await asking.ask(MAIN, messages=(*earlier, told))
