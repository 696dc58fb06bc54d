"""From messages to token ids, by the chat template or else joined by blank lines; and from generated ids to text.

Of the special tokens that a model generates, those stay in the text of which a reasoning markup is made, and the others
are left out. Many tokenizers have `<think>` and `</think>` as such: without them a thought can no longer be told from
the answer, and a block that the template opened seems never to be closed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, cast

from harness.errors import ConfigError, DataError
from harness.markup import opening_at_end, tag_tokens
from harness.models.base import NO_ROOM, fold_system
from harness.models.hf_template import TemplateRefusal, loses_system, render
from harness.models.scoring import check_continuation
from harness.reasoning import open_block
from harness.types import Message


@dataclass(frozen=True, slots=True)
class Prompt:
    """A rendered prompt; `error` says why there is none."""

    tokens: tuple[int, ...] = ()
    closing: str = ""
    """The closing tag of the think block in which the prompt ends; "" if it ends in none."""
    error: str | None = None

    @property
    def opened_think(self) -> bool:
        """True if the prompt ends inside a think block."""
        return bool(self.closing)

    def room(self, max_tokens: int, context: int | None) -> int | str:
        """How many tokens may follow: at most `max_tokens`, and no more than the context has left; or why none may.

        A prompt is never cut to make room: the reply would be to another question.
        """
        if self.error is not None:
            return self.error
        left = max_tokens if context is None else context - len(self.tokens)
        if left < 1:
            return (
                f"the prompt does not {NO_ROOM}: it has {len(self.tokens)} tokens, the model's context only {context}"
            )
        return min(max_tokens, left)


TODAY = datetime(2024, 7, 26)
"""What a chat template that asks for the date is told (the day that Llama 3's own names where there is no clock): with
the real one the same command would ask, and train on, another prompt tomorrow."""


_KEPT = 1024
"""Most prompts that a renderer remembers."""


class PromptRenderer:
    """Renders messages with one tokenizer; remembers what it rendered, as n samples share one prompt."""

    def __init__(
        self,
        tokenizer: Any,
        template: str | None,
        plain: bool,
        enable_thinking: bool | None,
        markup: str = "",
        rows: int | None = None,
    ) -> None:
        """`template` replaces the tokenizer's own; `plain` ignores both; `markup` are tags beside the table's.

        `rows`: how many tokens the model has embeddings for, where that is known.
        """
        self.markup, self._rows = markup, rows
        self.tokenizer = tokenizer
        self._template = None if plain else template or tokenizer.chat_template
        self._variables: dict[str, Any] = {} if enable_thinking is None else {"enable_thinking": enable_thinking}
        self._variables["strftime_now"] = TODAY.strftime
        self._known: dict[tuple[Message, ...], Prompt] = {}
        self.folded_system = False
        """Whether the template had no place for a system turn, so that its text went to the first user turn."""

    def render(self, messages: tuple[Message, ...]) -> Prompt:
        """The prompt; a template that refuses these messages gives a prompt with an error.

        One that refuses a system turn, or drops it, gets its text at the head of the first user turn. Raises
        `ModelError` for a template that does not end.
        """
        prompt = self._known.get(messages)
        if prompt is None:
            if len(self._known) >= _KEPT:  # over a large data set it would be a leak
                self._known.clear()
            prompt = self._known[messages] = self._render(messages)
        return prompt

    def continued(
        self, messages: Sequence[Message], continuation: str | Sequence[int], context: int | None
    ) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Ids of the prompt, and of a continuation of it that is to be scored.

        A text is tokenised on its own and appended, without the tokens that begin a text: these are the ids that
        training makes of a response (`backends.records.segments`). Raises `DataError` for a prompt that cannot be
        rendered, a continuation without tokens or with one that the model does not have, and for both together if they
        are longer than `context`.
        """
        prompt = self.render(tuple(messages))
        if prompt.error is not None:
            raise DataError(prompt.error)
        if isinstance(continuation, str):
            continuation = cast("list[int]", self.tokenizer(continuation, add_special_tokens=False)["input_ids"])
        check_continuation(continuation, len(prompt.tokens), context, self._rows)
        return prompt.tokens, tuple(continuation)

    def starts(self, continuation: str | Sequence[int]) -> tuple[int, ...] | None:
        """The first character of each token that `continued` makes of a text; None for ids and slow tokenizers."""
        if not isinstance(continuation, str) or not getattr(self.tokenizer, "is_fast", False):
            return None
        found = self.tokenizer(continuation, add_special_tokens=False, return_offsets_mapping=True)
        return tuple(start for start, _ in found["offset_mapping"])

    @cached_property
    def left_out(self) -> frozenset[int] | None:
        """Special tokens that are left out of text; None if all are."""
        tokenizer = self.tokenizer
        special = {number: token.content for number, token in tokenizer.added_tokens_decoder.items() if token.special}
        special |= dict(zip(tokenizer.all_special_ids, tokenizer.all_special_tokens, strict=True))
        control = {tokenizer.eos_token_id, tokenizer.bos_token_id, tokenizer.pad_token_id, tokenizer.unk_token_id}
        tags = tag_tokens((token for number, token in special.items() if number not in control), self.markup)
        left_out = frozenset(number for number, token in special.items() if token not in tags or number in control)
        return left_out if len(left_out) < len(special) else None

    def text(self, tokens: Sequence[int]) -> str:
        """The text of generated tokens."""
        left_out = self.left_out
        kept = tokens if left_out is None else [token for token in tokens if token not in left_out]
        text: str = self.tokenizer.decode(
            kept, skip_special_tokens=left_out is None, clean_up_tokenization_spaces=False
        )
        return text

    def _render(self, messages: tuple[Message, ...]) -> Prompt:
        if self._template is None:
            # A base model: its tokenizer adds what starts a text (BOS), and nothing tells the turns apart.
            text = "\n\n".join(message.content for message in messages)
            return self._tokenize(messages, text, special=True)
        try:
            text = self._text(messages)
            if loses_system(messages, text):
                raise TemplateRefusal("it leaves the system turn out")
        except TemplateRefusal as refusal:
            folded = fold_system(messages)
            try:
                if folded == messages:
                    raise refusal
                text = self._text(folded)
            except TemplateRefusal as error:
                return Prompt(error=f"the chat template refuses these messages: {error}")
            self.folded_system = True
        return self._tokenize(messages, text, special=False)

    def _text(self, messages: tuple[Message, ...]) -> str:
        continued = messages[-1].role == "assistant"
        assert self._template is not None
        return render(
            self.tokenizer,
            messages,
            self._template,
            add_generation_prompt=not continued,
            continue_final_message=continued,
            **self._variables,
        )

    def _tokenize(self, messages: tuple[Message, ...], text: str, special: bool) -> Prompt:
        tokens = tuple(self.tokenizer(text, add_special_tokens=special)["input_ids"])
        if not tokens:
            return Prompt(error="the prompt is empty: it has no tokens")
        if self._rows is not None and max(tokens) >= self._rows:  # a placeholder of another medium, as text
            name = self.tokenizer.decode([max(tokens)])
            return Prompt(error=f"the prompt holds the token {name!r}, which the model has no embedding for")
        return Prompt(tokens, opening_at_end(text, self.markup) or self._still_open(messages))

    def _still_open(self, messages: tuple[Message, ...]) -> str:
        """The closing tag of the block that a reply which is to be continued has begun."""
        last = messages[-1]
        return open_block(last.content, self.markup) if last.role == "assistant" else ""


def read_template(option: str, engine: str) -> str | None:
    """The text of the chat template file that an option names; None for "auto" and "off"; raises `ConfigError`."""
    if option in ("auto", "off"):
        return None
    try:
        with open(option, encoding="utf-8-sig") as stream:
            return stream.read()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"option 'chat_template' of {engine} must be auto, off or a readable file: {error}"
        ) from error
