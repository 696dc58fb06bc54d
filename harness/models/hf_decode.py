"""The decode loop: continuous batching over slots, on one device, one thread.

A batch of S slots is kept full: a row that finishes gives its slot to the next prompt, so that one long completion
does not idle the rest. Each row draws from its own `random.Random(seed)`, one number per step, so what it samples
depends on its own logits and seed (see `hf_sampling`), not on its neighbours or on when it was admitted. Identical
prompts (n samples of a problem) are prefilled once for all that are admitted together: neighbours among what waits.

Models with sliding windows or state spaces keep the library's own cache: the same loop, refilled only when it is empty.
"""

from __future__ import annotations

import bisect
import inspect
import itertools
import math
import operator
import random
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache

from harness.models.hf_cache import SlotCache, left_padded
from harness.models.hf_prompt import PromptRenderer
from harness.models.hf_row import Row
from harness.models.hf_sampling import choose
from harness.models.under_way import UnderWay, last_tokens
from harness.types import Completion, Finish

_PREFILL_TOKENS = 16_384
"""Most prompt tokens (padding included) in one forward pass: bounds the activations' memory."""


_RANK = operator.attrgetter("rank")


class NoRoom(Exception):
    """Raised by work that did not fit into memory beside the batch, and may do so without."""


@dataclass(slots=True)
class _Batch:
    """The slots: what the next forward pass needs."""

    cache: Any
    """`SlotCache` or the library's own; the latter has no common type that the loop could name."""
    mask_SL: Tensor
    token_S: Tensor
    position_S: Tensor
    rows: list[Row | None]
    origin: int = 0
    """Absolute column of the mask's first column: grows as old columns are dropped, falls as longer prompts come."""

    @property
    def busy(self) -> list[int]:
        return [slot for slot, row in enumerate(self.rows) if row is not None]

    @property
    def free(self) -> list[int]:
        return [slot for slot, row in enumerate(self.rows) if row is None]


class Decoder:
    """A loaded model on one device and the rows that it decodes; used by one thread."""

    def __init__(
        self,
        model: Any,
        prompts: PromptRenderer,
        end_tokens: frozenset[int],
        max_rows: int,
        max_columns: int,
        context: int | None,
        slot_layers: int | None = None,
    ) -> None:
        """`model`: of transformers; `max_columns` bounds slots x (prompt + new tokens).

        `context`: most tokens of prompt and reply together; None if the model has no limit. `slot_layers`: of the
        cache, where the model is several in one; None: as its config says.
        """
        self.model, self.prompts, self.end_tokens, self.context = model, prompts, end_tokens, context
        self.max_rows, self._max_columns = max_rows, max_columns
        self.device: torch.device = model.get_input_embeddings().weight.device
        self._slot_layers = SlotCache.fits(model.config) if slot_layers is None else slot_layers
        self._keeps_last = "logits_to_keep" in inspect.signature(model.forward).parameters
        self._numbers = itertools.count()
        self._waiting: list[Row] = []
        """By rank, the highest last."""
        self._running: list[Row] = []
        """Taken from `_waiting` and not settled."""

    def last(self, positions: int) -> dict[str, int]:
        """The argument of a forward pass that makes logits of the last positions only, where the model takes it."""
        return {"logits_to_keep": positions} if self._keeps_last else {}

    def add(self, row: Row) -> None:
        """Queue a row, its prompt rendered if it has none; one that cannot be answered is settled.

        One that is given up is passed over.

        Raises `ModelError` for a chat template that does not end.
        """
        if row.reply.done():
            return
        row.number = next(self._numbers)
        if not row.prompt.tokens:
            row.prompt = self.prompts.render(row.request.messages)
        room = row.prompt.room(row.request.max_tokens, self.context)
        if isinstance(room, str):
            self._settle(row, room)
        else:
            row.max_new = room
            bisect.insort(self._waiting, row, key=_RANK)

    def run(self, arrived: deque[Callable[[Decoder], None]]) -> None:
        """Decode until no row is left. What has arrived is called before each token, and may `add` rows.

        A row whose caller gave up frees its slot before the next token. Out of GPU memory: halves the batch and
        decodes what was in it again, to the same samples; what had no room beside it is called in between.
        """
        self._running = []
        self._call(arrived)
        while self._waiting:
            try:
                with torch.inference_mode():
                    self._run(arrived)
                continue
            except torch.OutOfMemoryError:
                decoding = True
            except NoRoom:
                decoding = False
            # Not in the clauses above: while an error is handled, the frames that it passed keep the batch alive.
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
            again, self._running = self._running, []
            if decoding and len(again) == 1:
                self._settle(again[0], "out of memory even alone: use a smaller max_tokens or dtype")
                continue
            self.max_rows = max(1, len(again) // 2)
            self._waiting = sorted([*self._waiting, *again], key=_RANK)
            self._call(arrived)

    def under_way(self) -> list[UnderWay]:
        """The rows that are being decoded; may be called from another thread."""
        now = time.perf_counter()
        return [
            UnderWay(row.request.id, now - row.started, len(row.tokens), row.max_new, last_tokens(row.tokens))
            for row in list(self._running)
            if row.started
        ]

    @property
    def busy(self) -> bool:
        """True while a batch takes memory."""
        return bool(self._running)

    def _call(self, arrived: deque[Callable[[Decoder], None]]) -> None:
        while arrived:
            work = arrived.popleft()
            try:
                work(self)
            except NoRoom:
                arrived.appendleft(work)
                raise

    def _run(self, arrived: deque[Callable[[Decoder], None]]) -> None:
        """Work until nothing waits and no slot is in use."""
        batch: _Batch | None = None
        while True:
            if batch is not None:
                self._release(batch)
            while group := self._take():
                batch = self._admit(group, batch)
            if batch is None or not batch.busy:
                return
            if not self._waiting:
                batch = self._shrink(batch)
            self._step(batch)
            self._call(arrived)

    def _release(self, batch: _Batch) -> None:
        """Free the slots of rows whose callers have given up."""
        for slot, row in enumerate(batch.rows):
            if row is not None and row.reply.done():
                batch.rows[slot] = None
                self._running.remove(row)

    def _take(self) -> list[Row]:
        """The next rows: as many as there is room for, within the token limit of one prefill."""
        group: list[Row] = []
        prompts: set[tuple[int, ...]] = set()
        while self._waiting and (self._slot_layers or not self._running):
            row = self._waiting[-1]
            if row.reply.done():
                self._waiting.pop()
                continue
            taken = [*self._running, *group]
            slots = max(1, min(self.max_rows, self._max_columns // max(one.columns for one in (*taken, row))))
            # Refilling one slot at a time would make a forward pass for each; an eighth at a time costs little idling.
            least = max(1, slots // 8) if self._running and not group else 1
            prompts.add(row.prompt.tokens)
            if slots - len(taken) < least or (group and len(prompts) * max(map(len, prompts)) > _PREFILL_TOKENS):
                break
            group.append(self._waiting.pop())
        self._running += group
        return group

    def _admit(self, rows: list[Row], batch: _Batch | None) -> _Batch | None:
        """Prefill a group, choose its first tokens and put it into free slots."""
        prompts = list(dict.fromkeys(row.prompt.tokens for row in rows))
        ids, mask_PL, positions = left_padded(prompts, self.device)
        started = time.perf_counter()
        for row in rows:
            row.rng, row.started = random.Random(row.request.seed), started
            row.first_column = ids.shape[1] - len(row.prompt.tokens)
            row.tokens, row.logprob, row.drawn_logprobs, row.alternatives = [], 0.0, [], None
        cache = SlotCache(self._slot_layers) if self._slot_layers else DynamicCache(config=self.model.config)
        out = self.model(
            input_ids=ids,
            attention_mask=mask_PL,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            **self.last(1),
        )
        source = torch.tensor([prompts.index(row.prompt.tokens) for row in rows], device=self.device)
        token_G = self._choose(out.logits[:, -1][source], rows)
        alive = [g for g, row in enumerate(rows) if not self._finish(row)]
        if not alive:
            return batch
        pick = torch.tensor(alive, device=self.device)
        source = source[pick]
        lengths = torch.tensor([len(prompt) for prompt in prompts], device=self.device)
        new = _Batch(cache, mask_PL[source], token_G[pick], lengths[source], [rows[g] for g in alive])
        if self._slot_layers:
            cache.keep(source)
        else:
            cache.reorder_cache(source)
        return new if batch is None or not batch.busy else self._merge(batch, new)

    def _merge(self, batch: _Batch, new: _Batch) -> _Batch:
        """Put new rows into free slots; more slots are made by repeating one, whose rows are overwritten at once."""
        missing = len(new.rows) - len(batch.free)
        if missing > 0:
            grown = torch.tensor([*range(len(batch.rows)), *[0] * missing], device=self.device)
            batch = self._select(batch, grown)
            batch.rows[-missing:] = [None] * missing
        slots = batch.free[: len(new.rows)]
        index = torch.tensor(slots, device=self.device)
        batch.cache.place(index, new.cache)
        extra = new.mask_SL.shape[1] - batch.mask_SL.shape[1]
        if extra > 0:
            batch.mask_SL = torch.nn.functional.pad(batch.mask_SL, (extra, 0))
            batch.origin -= extra
        batch.mask_SL[index] = torch.nn.functional.pad(new.mask_SL, (max(0, -extra), 0))
        batch.token_S[index], batch.position_S[index] = new.token_S, new.position_S
        end = batch.origin + batch.mask_SL.shape[1]
        for slot, row in zip(slots, new.rows, strict=True):
            assert row is not None
            row.first_column = end - len(row.prompt.tokens)
            batch.rows[slot] = row
        return batch

    def _select(self, batch: _Batch, slots: Tensor) -> _Batch:
        batch.cache.keep(slots)
        rows = [batch.rows[slot] for slot in slots.tolist()]
        return _Batch(
            batch.cache, batch.mask_SL[slots], batch.token_S[slots], batch.position_S[slots], rows, batch.origin
        )

    def _shrink(self, batch: _Batch) -> _Batch:
        """Nothing left to refill with: drop idle slots once they are a quarter of the batch."""
        busy = batch.busy
        if not self._slot_layers or len(busy) > 0.75 * len(batch.rows):
            return batch
        return self._select(batch, torch.tensor(busy, device=self.device))

    def _step(self, batch: _Batch) -> None:
        """One token for every slot. Idle slots go along: their rows are finite garbage that nobody reads."""
        busy = batch.busy
        unused = min(row.first_column for row in batch.rows if row is not None) - batch.origin
        if self._slot_layers and unused >= 64:
            # Columns that only finished rows reached back to; idle slots keep at least the newest column.
            batch.cache.drop_left(unused)
            batch.mask_SL, batch.origin = batch.mask_SL[:, unused:], batch.origin + unused
        batch.mask_SL = torch.nn.functional.pad(batch.mask_SL, (0, 1), value=1)
        out = self.model(
            input_ids=batch.token_S[:, None],
            attention_mask=batch.mask_SL,
            position_ids=batch.position_S[:, None],
            past_key_values=batch.cache,
            use_cache=True,
        )
        rows = [row for row in batch.rows if row is not None]
        index = torch.tensor(busy, device=self.device)
        logits = out.logits[:, -1]
        token_R = self._choose(logits if len(busy) == len(batch.rows) else logits[index], rows)
        batch.token_S[index] = token_R
        batch.position_S[index] += 1
        for slot, row in zip(busy, rows, strict=True):
            if self._finish(row):
                batch.rows[slot] = None

    def _choose(self, logits_RV: Tensor, rows: Sequence[Row]) -> Tensor:
        """Choose and note one token for each row."""
        for place, row in enumerate(rows):
            if row.request.top_logprobs > 0 and not row.tokens:
                row.alternatives = self._alternatives(logits_RV[place], row.request.top_logprobs)
        choice = choose(
            logits_RV,
            [row.request.temperature for row in rows],
            [row.request.top_p for row in rows],
            [row.rng.random() for row in rows],
        )
        for row, token, logprob, drawn in zip(rows, *choice, strict=True):
            row.tokens.append(token)
            row.logprob += logprob
            row.drawn_logprobs.append(drawn)
        return torch.tensor(choice.token_B, device=self.device)

    def _alternatives(self, logits_V: Tensor, count: int) -> dict[str, float]:
        """The likeliest tokens under the model itself: before temperature and nucleus."""
        logits_V = logits_V.float()
        top = logits_V.topk(min(count, logits_V.shape[0]))
        logprobs = (top.values - logits_V.logsumexp(-1)).tolist()
        found: dict[str, float] = {}
        decode = self.prompts.tokenizer.decode
        for token, logprob in zip(top.indices.tolist(), logprobs, strict=True):
            text = decode([token], skip_special_tokens=False, clean_up_tokenization_spaces=False)
            if logprob > -math.inf:
                # Parts of characters all read as U+FFFD: what reads alike is added up.
                found[text] = math.log(math.exp(found[text]) + math.exp(logprob)) if text in found else logprob
        return found

    def _finish(self, row: Row) -> bool:
        """Settle a row that is done; says whether it was."""
        text, reason = self._verdict(row)
        if reason is not None:
            done = Completion(
                text,
                reason,
                opened_think=row.prompt.opened_think,
                markup=self.prompts.markup,
                tokens_in=len(row.prompt.tokens),
                tokens_out=len(row.tokens),
                seconds=time.perf_counter() - row.started,
                logprob=row.logprob,
                alternatives=row.alternatives,
            )
            self._running.remove(row)
            self._settle(row, done)
        return reason is not None

    def _settle(self, row: Row, done: Completion | str) -> None:
        """Hand over what came out of a row, or why nothing can, unless its caller gave up."""
        if isinstance(done, str):
            done = Completion("", "error", tokens_in=len(row.prompt.tokens) or None, error=done)
        if row.reply.set_running_or_notify_cancel():
            row.reply.set_result(done)

    def _verdict(self, row: Row) -> tuple[str, Finish | None]:
        stops = row.request.stop
        if stops:
            # A token is at least one byte, a character at most four: the stop text lies within this tail.
            reach = 4 * max(map(len, stops)) + 4
            tail = self.prompts.text(row.tokens[-reach:])
            if any(stop in tail for stop in stops):
                text = self.prompts.text(row.tokens)
                cuts = [place for stop in stops if (place := text.find(stop)) >= 0]
                if cuts:
                    return text[: min(cuts)], "stop"
        if row.tokens[-1] in self.end_tokens:
            return self.prompts.text(row.tokens[:-1]), "stop"
        if len(row.tokens) >= row.max_new:
            return self.prompts.text(row.tokens), "length"
        return "", None
