"""From generated token ids to text: special tokens are left out, but for those of which a reasoning markup is made.

Many tokenizers have `<think>` and `</think>` as special tokens. Left out with the others, a thought can no longer be
told from the answer, and a block that the template opened seems never to be closed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.markup import tag_tokens


class Detokenizer:
    """Decodes with one tokenizer. `keeps_tags` says whether some of its special tokens are tags."""

    def __init__(self, tokenizer: Any, markup: str = "") -> None:
        """`markup`: tags beside the table's (`harness.markup.parse_markup`)."""
        self._tokenizer = tokenizer
        special = {number: token.content for number, token in tokenizer.added_tokens_decoder.items() if token.special}
        special |= dict(zip(tokenizer.all_special_ids, tokenizer.all_special_tokens, strict=True))
        control = {tokenizer.eos_token_id, tokenizer.bos_token_id, tokenizer.pad_token_id, tokenizer.unk_token_id}
        tags = tag_tokens((token for number, token in special.items() if number not in control), markup)
        self._left_out = frozenset(
            number for number, token in special.items() if token not in tags or number in control
        )
        self.keeps_tags = len(self._left_out) < len(special)

    def text(self, tokens: Sequence[int]) -> str:
        """The text of generated tokens."""
        kept = [token for token in tokens if token not in self._left_out] if self.keeps_tags else tokens
        found: str = self._tokenizer.decode(
            kept, skip_special_tokens=not self.keeps_tags, clean_up_tokenization_spaces=False
        )
        return found
