"""Difficulty-aware shortening (LiteCoT, arXiv 2505.19716): rewrite each response to the length its problem deserves.

Two questions per record: how hard is the problem (1 to 3), then the rewrite to that level's budget of tokens. A rewrite
is accepted if the grader finds it right and it has less than `MOST` of the original's tokens; otherwise the original
stays, marked `shortened: false` with the reason, or the record is left out. The paper's prompts are not public, and it
does not say what becomes of a rejected rewrite: keeping the original keeps the hard problems in the data.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar, Literal

from backends.makers.asking import Ask, Query
from backends.makers.base import Made, Maker, has_chain, in_form_of, lost, option, plain, reply_of, tally
from backends.records.inputs import noted, require_checkable
from backends.records.record import TrainRecord, response_text
from backends.records.spans import parts_of
from backends.records.verify import grade_texts
from harness.errors import DataError, UsageError
from harness.types import Json

MOST = 0.9
"""A rewrite must have fewer than this share of the original's tokens."""

_LEVEL = re.compile(r"(?<![\d.,])[123](?![\d.,]*\d)")
_PIECE = re.compile(r"\w{1,6}|[^\w\s]")
_ORDER = (
    *("given", "easy", "medium", "hard", "shortened", "difficulty_unreadable", "teacher_error", "cut", "empty"),
    *("answer_wrong", "no_answer", "no_chain", "not_shorter", "kept_original", "left_out", "tokens_before"),
    "tokens_after",
)


def count_pieces(text: str) -> int:
    """A tokenizer's count without a tokenizer: pieces of words of up to six letters, signs one by one."""
    return len(_PIECE.findall(text))


def read_level(reply: str) -> int | None:
    """The one difficulty from 1 to 3 that a reply names; None if there is none, or more than one."""
    found = set(_LEVEL.findall(reply))
    return int(found.pop()) if len(found) == 1 else None


@dataclass(frozen=True, kw_only=True)
class Shorten(Maker):
    """Rewrite every response to the length that its problem's difficulty deserves (LiteCoT).

    A rewrite is accepted if it is right and has less than 0.9 of the original's tokens.

    \b
    harness data shorten traces.jsonl --teacher openai:my-teacher -o short.jsonl
    """  # noqa: D301  # a real backspace: it tells click to keep these lines

    tokens: str = option("1:300,2:700,3:1500", shown="LEVEL:N,…")
    """Tokens asked for at each difficulty."""
    otherwise: Literal["keep", "drop"] = "keep"
    """What becomes of a record without an accepted rewrite: the original, marked, or nothing."""
    tokenizer: str | None = option(None, shown="ENGINE:NAME")
    """Count tokens as this model. [default: pieces of words]"""
    grader: str | None = option(None, shown="NAME")
    """What checks answers, in place of the records' own."""

    name = "shorten"
    template_fields: ClassVar = {"dap_judge": ("question",), "dap_rewrite": ("question", "reasoning", "budget")}

    def check(self) -> None:
        """Every record needs a response, `gold` and a grader."""
        require_checkable(self.records, "shorten")
        bad = [record.id for record in self.records if not (response_text(record) or "").strip()]
        if bad:
            raise DataError(f"shorten rewrites responses, and {len(bad)} records have none, the first {bad[0]!r}")
        if set(self.budgets) != {1, 2, 3} or min(self.budgets.values()) < 1:
            raise DataError(f"budgets {self.budgets!r}: tokens for the difficulties 1, 2 and 3, at least 1 each")
        self.count("")  # a tokenizer that is not there is told before anything is spent

    @cached_property
    def budgets(self) -> dict[int, int]:
        """Difficulty -> tokens asked for."""
        found: dict[int, int] = {}
        for part in self.tokens.split(","):
            match = re.fullmatch(r"\s*([0-9]{1,2}):([0-9]{1,7})\s*", part)
            if match is None:
                raise UsageError(
                    f"--tokens {self.tokens!r}: {part!r} is not of the form level:tokens, as in 1:300,2:700,3:1500"
                )
            found[int(match[1])] = int(match[2])
        return found

    @cached_property
    def count(self) -> Callable[[str], int]:
        """How many tokens a text has."""
        if self.tokenizer is None:
            return count_pieces
        from backends.load import find_weights, load_tokenizer

        tokenizer = load_tokenizer(find_weights(self.tokenizer, self.results_dir))
        return lambda text: len(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])

    def first(self) -> Sequence[Query]:
        """How hard each problem is."""
        draw = replace(self.draw, temperature=0.0)
        return [self.query(record, "dap_judge", part="judge", draw=draw) for record in self.records]

    def run(self, ask: Ask) -> Made:
        """Judge, rewrite, check."""
        counts = Counter(given=len(self.records))
        levels: dict[str, int] = {}
        reasons: dict[str, str] = {}
        for record, completion in zip(self.records, ask(self.first()), strict=True):
            reply = reply_of(completion)
            level = read_level(reply) if reply is not None else None
            if level is not None:
                levels[record.id] = level
                counts[("easy", "medium", "hard")[level - 1]] += 1
            else:
                reasons[record.id] = "difficulty_unreadable" if reply is not None else lost(completion)
        rewritten = self._rewrite(ask, levels, reasons)
        drop = self.otherwise == "drop"
        counts.update(reasons.values())
        records = []
        for record in self.records:
            old = response_text(record) or ""
            text = rewritten.get(record.id, old)
            if record.id in rewritten:
                counts["shortened"] += 1
                made = self._shortened(record, text, levels[record.id])
            else:
                counts["left_out" if drop else "kept_original"] += 1
                made = noted(record, shortened=False, not_shortened=reasons[record.id])
            if record.id in rewritten or not drop:
                records.append(made)
                counts.update(tokens_before=self.count(old), tokens_after=self.count(text))
        facts: dict[str, Json] = {"tokens": self.tokens, "counted_by": self.tokenizer or "pieces"}
        return Made(tuple(records), tally(counts, _ORDER), facts=facts)

    def _rewrite(self, ask: Ask, levels: Mapping[str, int], reasons: dict[str, str]) -> dict[str, str]:
        """Record id -> the rewrite that passed; why the others did not goes into `reasons`."""
        open_records = [record for record in self.records if record.id in levels]
        queries = [self._query(record, levels[record.id]) for record in open_records]
        texts: list[tuple[TrainRecord, str]] = []
        for record, completion in zip(open_records, ask(queries) if queries else [], strict=True):
            text = reply_of(completion)
            if text is None:
                reasons[record.id] = lost(completion)
            else:
                texts.append((record, in_form_of(response_text(record) or "", text)))
        passed: dict[str, str] = {}
        verdicts = grade_texts(texts)
        for (record, text), verdict in zip(texts, verdicts, strict=True):
            old = response_text(record) or ""
            if verdict != "right":
                reasons[record.id] = "answer_wrong" if verdict == "wrong" else "no_answer"
            elif has_chain(old) and not has_chain(text):
                reasons[record.id] = "no_chain"
            elif self.count(text) >= MOST * self.count(old):
                reasons[record.id] = "not_shorter"
            else:
                passed[record.id] = text
        return passed

    def _query(self, record: TrainRecord, level: int) -> Query:
        old, budget = plain(response_text(record) or ""), str(self.budgets[level])
        return self.query(record, "dap_rewrite", part="rewrite", values={"reasoning": old, "budget": budget})

    def _shortened(self, record: TrainRecord, text: str, level: int) -> TrainRecord:
        """The stages and the wrong twin were those of the old chain: they go, and so do their places in the meta."""
        think, answer = parts_of(text)
        meta = {key: value for key, value in record.meta.items() if key not in ("error_span", "right_span")}
        made = replace(record, response=text, think=think, answer=answer, rejected=None, structure=(), meta=meta)
        return noted(
            made,
            shortened=True,
            difficulty=level,
            shortened_by=self.model,
            template=self.templates["dap_rewrite"].id,
            judged_with=self.templates["dap_judge"].id,
            tokens_before=self.count(response_text(record) or ""),
            tokens_after=self.count(text),
            verified=True,
        )
