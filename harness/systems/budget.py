"""`budget:<N>:<model>`: think for at most N tokens, then answer: accuracy against the budget of thought (E-SCALE, s1).

    harness run --suite synth --model budget:32:tiny --model budget:64:tiny --model budget:128:tiny

A reply that ends by itself within N tokens is the answer. One that does not is cut there; its thought is closed, where
it has a think block that is open, the marker is put behind it, and the model goes on from there for the answer. A reply
that was past its thought when it was cut goes on as it was. What was forced is part of the text. Runs that differ in N
alone are told as a curve under the board. Takes an engine that goes on in the middle of a reply (hf, vllm, trained).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from harness.errors import ConfigError
from harness.markup import TABLE
from harness.reasoning import open_block, reply_tags
from harness.systems.base import MAIN, Asking, System, assemble, calls_of
from harness.types import Completion, Message


@dataclass(frozen=True)
class BudgetOptions:
    """How an answer is forced."""

    answer: int = 64
    """Most tokens of a forced answer; they are not counted against the budget."""
    marker: str = "The answer is"
    """What the answer begins with."""

    def __post_init__(self) -> None:
        if self.answer < 1:
            raise ValueError(f"answer must be at least 1 token, not {self.answer}")
        if not self.marker.strip():
            raise ValueError("marker must be some words that an answer begins with")


def build(rest: str, options: Mapping[str, str]) -> Budgeted:
    """The engine's entry; asks nothing.

    Raises `ConfigError`, also for an engine that only gives whole replies, and what making the model raises.
    """
    parts = assemble("budget", rest, options, BudgetOptions, number=("tokens", 256, 1))
    if not parts.models[MAIN].continues:
        raise ConfigError(
            f"budget goes on in the middle of a reply, which {parts.models[MAIN].name} cannot: it takes hf, vllm or "
            "trained (a server's own budget of thought is set with extra_body)"
        )
    return Budgeted(parts)


class Budgeted(System[BudgetOptions]):
    """See the module's docstring."""

    engine = "budget"
    counted = "tokens"

    def most(self) -> int:
        """The thought, and the answer."""
        return 2 * calls_of(self.models[MAIN])

    async def compose(self, asking: Asking) -> Completion:
        """Let it think, and force the answer where it has none by then."""
        thought = await asking.ask(MAIN, max_tokens=min(self.number, asking.request.max_tokens))
        if thought.finish != "length":
            return thought
        opened, forced = forced_end(thought, self.options.marker)
        asking.facts["forced"] = forced
        begun = Message("assistant", opened + thought.text + forced)
        messages = (*asking.request.messages, begun)
        answer = await asking.ask(MAIN, 1, messages=messages, max_tokens=self.options.answer)
        # The one text that the model has written in two parts; a likelihood of both together is none.
        return replace(thought, text=thought.text + forced + answer.text, finish=answer.finish, logprob=None)


def forced_end(thought: Completion, marker: str) -> tuple[str, str]:
    """What stands before a thought that was cut, for the model to go on, and what is put behind it; "" past a thought.

    The first is the opening tag that the prompt had written, which is no part of the reply.
    """
    tags = reply_tags(thought.text, thought.opened_think, thought.markup)
    opened = f"{TABLE[0].opens[0]}\n" if thought.opened_think else ""
    if tags and not tags[-1].opens:
        return opened, ""
    closing = open_block(thought.text, thought.markup) or (TABLE[0].closes[0] if thought.opened_think else "")
    return opened, f"\n{closing}\n\n{marker}" if closing else f"\n\n{marker}"
