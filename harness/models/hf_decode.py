"""The decode loop: continuous batching over slots, on one device, one thread.

A batch of S slots is kept full: a row that finishes gives its slot to the next prompt, so that one long completion
does not idle the rest. Each row draws from its own `random.Random(seed)`, one number per step, so what it samples
depends on its own logits and seed (see `hf_sampling`), not on its neighbours or on when it was admitted. Identical
prompts (n samples of a problem) are prefilled once.

Models with sliding windows or state spaces keep the library's own cache: the same loop, refilled only when it is empty.
"""

from __future__ import annotations

import inspect
import math
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache

from harness.models.hf_cache import SlotCache, left_padded
from harness.models.hf_sampling import choose
from harness.models.hf_text import Detokenizer
from harness.types import Finish

_PREFILL_TOKENS = 16_384
"""Most prompt tokens (padding included) in one forward pass: bounds the activations' memory."""


@dataclass(frozen=True, slots=True)
class Job:
    """One completion to decode."""

    key: int
    """The caller's own number for it."""
    prompt: tuple[int, ...]
    max_new: int
    """At least 1."""
    temperature: float
    top_p: float
    seed: int
    stop: tuple[str, ...] = ()
    top_logprobs: int = 0
    """How many alternatives of the first token to report."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """What came out of one job; `error` is set instead of the rest if it can never fit in memory."""

    job: Job
    text: str = ""
    finish: Finish = "error"
    tokens_out: int = 0
    """Generated tokens, the end token and those of a stop sequence included."""
    logprob: float = 0.0
    seconds: float = 0.0
    error: str | None = None
    alternatives: Mapping[str, float] | None = None
    """Token text -> log-probability (nats) of the first token's likeliest alternatives, where the job asked."""


@dataclass(slots=True)
class _Row:
    """A slot in use."""

    job: Job
    rng: random.Random
    started: float
    first_column: int
    """Leftmost column it attends to, in absolute columns (see `_Batch.origin`)."""
    tokens: list[int] = field(default_factory=list)
    logprob: float = 0.0
    alternatives: Mapping[str, float] | None = None


@dataclass(slots=True)
class _Batch:
    """The slots: what the next forward pass needs."""

    cache: Any
    """`SlotCache` or the library's own; the latter has no common type that the loop could name."""
    mask_SL: Tensor
    token_S: Tensor
    position_S: Tensor
    rows: list[_Row | None]
    origin: int = 0
    """Absolute column of the mask's first column: grows as old columns are dropped, falls as longer prompts come."""

    @property
    def busy(self) -> list[int]:
        return [slot for slot, row in enumerate(self.rows) if row is not None]

    @property
    def free(self) -> list[int]:
        return [slot for slot, row in enumerate(self.rows) if row is None]


class Decoder:
    """Decodes jobs with one model on one device."""

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        end_tokens: frozenset[int],
        max_rows: int,
        max_columns: int,
        markup: str = "",
    ) -> None:
        """`model`, `tokenizer`: transformers objects; `max_columns` bounds slots x (prompt + new tokens).

        `markup`: reasoning markup beside the table's.
        """
        self._text = Detokenizer(tokenizer, markup).text
        self._model, self._tokenizer, self._end_tokens = model, tokenizer, end_tokens
        self._device: torch.device = model.get_input_embeddings().weight.device
        self.max_rows, self._max_columns = max_rows, max_columns
        self._slot_layers = SlotCache.fits(model.config)
        accepted = inspect.signature(model.forward).parameters
        self.unfinished = 0
        """Rows that were being decoded when the last run was cancelled."""
        self._last_only = {"logits_to_keep": 1} if "logits_to_keep" in accepted else {}

    def run(self, jobs: Iterable[Job], emit: Callable[[Decoded], None], cancelled: Callable[[], bool]) -> None:
        """Decode every job, longest first; `emit` each as it finishes. Returns early once `cancelled()`.

        Out of GPU memory: halves the batch and decodes what was in it again, to the same samples.
        """
        # Neighbours in this order share prompts (prefilled once) and are of like length (little padding).
        self.unfinished = 0
        pending = sorted(jobs, key=lambda job: (job.max_new, len(job.prompt), job.prompt, -job.key))
        while pending and not cancelled():
            longest = max(len(job.prompt) + job.max_new for job in pending)
            slots = max(1, min(self.max_rows, self._max_columns // longest, len(pending)))
            running: list[Job] = []
            try:
                with torch.inference_mode():
                    self._run(slots, pending, running, emit, cancelled)
            except torch.OutOfMemoryError:
                if self._device.type == "cuda":
                    torch.cuda.empty_cache()
                if slots == 1:
                    emit(Decoded(running.pop(), error="out of memory even alone: use a smaller max_tokens or dtype"))
                self.max_rows = max(1, slots // 2)
                pending.extend(running)
            else:
                self.unfinished = len(running)

    def _run(
        self,
        slots: int,
        pending: list[Job],
        running: list[Job],
        emit: Callable[[Decoded], None],
        cancelled: Callable[[], bool],
    ) -> None:
        """Work until nothing is pending; `running` always holds the jobs taken from `pending` and not yet emitted."""

        def finish(decoded: Decoded) -> None:
            running.remove(decoded.job)
            emit(decoded)

        batch: _Batch | None = None
        while not cancelled():
            while pending and self._wants_more(batch, slots):
                group = self._take(pending, batch, slots)
                running.extend(group)
                batch = self._admit(group, batch, finish)
            if batch is None or not batch.busy:
                if not pending:
                    return
                batch = None
                continue
            if not pending:
                batch = self._shrink(batch)
            self._step(batch, finish)

    def _wants_more(self, batch: _Batch | None, slots: int) -> bool:
        if batch is None or not batch.busy:
            return True
        if not self._slot_layers:
            return False
        # Refilling one slot at a time would make a forward pass for each; an eighth at a time costs little idling.
        room = slots - len(batch.busy)
        return room >= max(1, slots // 8)

    def _take(self, pending: list[Job], batch: _Batch | None, slots: int) -> list[Job]:
        """The next jobs: as many as there is room for, within the token limit of one prefill."""
        room = slots - (len(batch.busy) if batch is not None else 0)
        group: list[Job] = []
        prompts: set[tuple[int, ...]] = set()
        while pending and len(group) < room:
            prompts.add(pending[-1].prompt)
            if group and len(prompts) * max(map(len, prompts)) > _PREFILL_TOKENS:
                break
            group.append(pending.pop())
        return group

    def _admit(self, group: list[Job], batch: _Batch | None, finish: Callable[[Decoded], None]) -> _Batch | None:
        """Prefill a group, choose its first tokens and put it into free slots."""
        started = time.perf_counter()
        prompts = list(dict.fromkeys(job.prompt for job in group))
        ids, mask_PL, positions = left_padded(prompts, self._device)
        cache = SlotCache(self._slot_layers) if self._slot_layers else DynamicCache(config=self._model.config)
        out = self._model(
            input_ids=ids,
            attention_mask=mask_PL,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            **self._last_only,
        )
        width = ids.shape[1]
        rows = [_Row(job, random.Random(job.seed), started, width - len(job.prompt)) for job in group]
        source = torch.tensor([prompts.index(job.prompt) for job in group], device=self._device)
        token_G = self._choose(out.logits[:, -1][source], rows)
        alive = [g for g, row in enumerate(rows) if not self._settle(row, finish)]
        if not alive:
            return batch
        pick = torch.tensor(alive, device=self._device)
        source = source[pick]
        lengths = torch.tensor([len(prompt) for prompt in prompts], device=self._device)
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
            grown = torch.tensor([*range(len(batch.rows)), *[0] * missing], device=self._device)
            batch = self._select(batch, grown)
            batch.rows[-missing:] = [None] * missing
        slots = batch.free[: len(new.rows)]
        index = torch.tensor(slots, device=self._device)
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
            row.first_column = end - len(row.job.prompt)
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
        return self._select(batch, torch.tensor(busy, device=self._device))

    def _step(self, batch: _Batch, finish: Callable[[Decoded], None]) -> None:
        """One token for every slot. Idle slots go along: their rows are finite garbage that nobody reads."""
        busy = batch.busy
        unused = min(row.first_column for row in batch.rows if row is not None) - batch.origin
        if self._slot_layers and unused >= 64:
            # Columns that only finished rows reached back to; idle slots keep at least the newest column.
            batch.cache.drop_left(unused)
            batch.mask_SL, batch.origin = batch.mask_SL[:, unused:], batch.origin + unused
        batch.mask_SL = torch.nn.functional.pad(batch.mask_SL, (0, 1), value=1)
        out = self._model(
            input_ids=batch.token_S[:, None],
            attention_mask=batch.mask_SL,
            position_ids=batch.position_S[:, None],
            past_key_values=batch.cache,
            use_cache=True,
        )
        rows = [batch.rows[slot] for slot in busy]
        index = torch.tensor(busy, device=self._device)
        logits = out.logits[:, -1]
        token_R = self._choose(logits if len(busy) == len(batch.rows) else logits[index], rows)
        batch.token_S[index] = token_R
        batch.position_S[index] += 1
        for slot, row in zip(busy, rows, strict=True):
            if row is not None and self._settle(row, finish):
                batch.rows[slot] = None

    def _choose(self, logits_RV: Tensor, rows: Sequence[_Row | None]) -> Tensor:
        """Choose and note one token for each row."""
        used = [row for row in rows if row is not None]
        for place, row in enumerate(used):
            if row.job.top_logprobs > 0 and not row.tokens:
                row.alternatives = self._alternatives(logits_RV[place], row.job.top_logprobs)
        choice = choose(
            logits_RV,
            [row.job.temperature for row in used],
            [row.job.top_p for row in used],
            [row.rng.random() for row in used],
        )
        for row, token, logprob in zip(used, choice.token_B, choice.logprob_B, strict=True):
            row.tokens.append(token)
            row.logprob += logprob
        return torch.tensor(choice.token_B, device=self._device)

    def _alternatives(self, logits_V: Tensor, count: int) -> dict[str, float]:
        """The likeliest tokens under the model itself: before temperature and nucleus."""
        logits_V = logits_V.float()
        top = logits_V.topk(min(count, logits_V.shape[0]))
        logprobs = (top.values - logits_V.logsumexp(-1)).tolist()
        found: dict[str, float] = {}
        for token, logprob in zip(top.indices.tolist(), logprobs, strict=True):
            text = self._tokenizer.decode([token], skip_special_tokens=False, clean_up_tokenization_spaces=False)
            if logprob > -math.inf:
                # Parts of characters all read as U+FFFD: what reads alike is added up.
                found[text] = math.log(math.exp(found[text]) + math.exp(logprob)) if text in found else logprob
        return found

    def _settle(self, row: _Row, finish: Callable[[Decoded], None]) -> bool:
        """Emit a row that is done; says whether it was."""
        text, reason = self._verdict(row)
        if reason is None:
            return False
        seconds = time.perf_counter() - row.started
        finish(Decoded(row.job, text, reason, len(row.tokens), row.logprob, seconds, None, row.alternatives))
        return True

    def _verdict(self, row: _Row) -> tuple[str, Finish | None]:
        ended = row.tokens[-1] in self._end_tokens
        if row.job.stop:
            # A token is at least one byte, a character at most four: the stop text lies within this tail.
            reach = 4 * max(map(len, row.job.stop)) + 4
            tail = self._text(row.tokens[-reach:])
            if any(stop in tail for stop in row.job.stop):
                text = self._text(row.tokens)
                cuts = [place for stop in row.job.stop if (place := text.find(stop)) >= 0]
                if cuts:
                    return text[: min(cuts)], "stop"
        if ended:
            return self._text(row.tokens[:-1]), "stop"
        if len(row.tokens) >= row.job.max_new:
            return self._text(row.tokens), "length"
        return "", None
