"""Rationales that a right answer makes likelier than a wrong one does, and the reverse (SCOTT, arXiv 2305.01879).

The teacher is told an answer and explains it; what it writes is decoded against the same model that was told another
one (`backends.makers.decoding`), so that it speaks for this answer and not for any. A record's `response` is the
rationale of the right answer, its `rejected` that of a wrong one: the factual and the counterfactual rationale of
method `scott`. Which wrong answer: `backends.makers.opposites`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import ClassVar, Literal

from backends.makers.asking import Ask, Query
from backends.makers.base import Made, Maker, as_pair, has_chain, option, replies, tally
from backends.makers.decoding import ContrastiveDecoder, vocabulary_of
from backends.makers.dual import without_hints
from backends.makers.opposites import wrong_answers
from backends.records.inputs import noted, problem_of, require_checkable
from backends.records.record import TrainRecord
from backends.records.verify import grade_texts
from backends.templates import asked
from harness.errors import UsageError
from harness.models.hf_source import Source, find_source
from harness.models.scoring import require_scores
from harness.types import Completion, Json, Model, Sampling

Side = Literal["factual", "counterfactual"]
SIDES: tuple[Side, ...] = ("factual", "counterfactual")
_WHY = ("teacher_error", "cut", "empty", "only_hints", "other_answer", "no_chain")
_ORDER = ("given", "no_wrong_answer", *(f"{side}_{why}" for side in SIDES for why in _WHY), "half", "kept")


@dataclass(frozen=True, kw_only=True)
class Contrastive(Maker):
    """Decode rationales for a right and for a wrong answer, each against the other: records for scott.

    RECORDS have `gold` and a grader. The teacher must give log-probabilities of a text (hf, vllm, trained, tiny; openai
    with a vLLM server and --tokenizer). It decodes greedily, a token at a time, which reads both prompts for each.

    \b
    harness data contrastive questions.jsonl --teacher hf:./teacher -o rationales.jsonl
    """  # noqa: D301  # a real backspace: it tells click to keep these lines

    draw: Sampling = field(default=Sampling(temperature=0.0))
    weight: float = option(0.5, least=0, most=10)
    """Of the log-probability under the other answer, taken off; 0 is the teacher's own greedy text."""
    against: Literal["wrong", "empty"] = "wrong"
    """What the other prompt tells: the opposite answer, or none."""
    top: int = option(20, least=1, most=1000)
    """Likeliest tokens among which each one is chosen."""
    longest: int = option(128, least=1)
    """Tokens of a rationale at most; one that does not end is left out."""
    tokenizer: str = option("", shown="NAME")
    """Folder or hub id of a server's tokenizer; weights at hand bring their own."""
    grader: str | None = option(None, shown="NAME")
    """What checks answers, in place of the records' own."""

    name = "contrastive"
    template_fields: ClassVar = {"contrastive": ("question", "told")}

    def check(self) -> None:
        """Every record needs `gold` and a grader; nothing is drawn."""
        require_checkable(self.records, "contrastive")
        if self.draw.temperature != 0:
            raise UsageError("contrastive decodes greedily: leave --temperature out")

    def over(self, model: Model) -> Model:
        """The teacher, decoded from two prompts."""
        source: Source | None = find_source(self.tokenizer) if self.tokenizer else getattr(model, "source", None)
        require_scores(model, "teacher")
        if source is None:
            raise UsageError(f"the tokens of {model.name} are on its server: say which tokenizer it has, --tokenizer")
        return ContrastiveDecoder(model, partial(vocabulary_of, source), self.weight, self.top)

    @cached_property
    def _wrong(self) -> dict[str, str]:
        """Record -> its wrong answer; one without any is left out."""
        return wrong_answers(self.records)

    def _told(self, record: TrainRecord, side: Side) -> str:
        return str(record.gold).strip() if side == "factual" else self._wrong[record.id]

    def _query(self, record: TrainRecord, side: Side) -> Query:
        """Both prompts, one behind the other."""
        template = self.templates["contrastive"]
        other = self._told(record, "counterfactual" if side == "factual" else "factual")
        answers = (self._told(record, side), "" if self.against == "empty" else other)
        told = [f"The answer is: {one}" if one else "The answer is not known." for one in answers]
        messages = [turn for one in told for turn in asked(record.prompt, template, {"told": one})]
        draw = replace(self.draw, max_tokens=min(self.draw.max_tokens, self.longest))
        return Query(f"{self.name}:{side}", template.id, problem_of(record, tuple(messages)), 0, draw)

    def first(self) -> Sequence[Query]:
        """Everything: it asks once."""
        return [self._query(one, side) for side in SIDES for one in self.records if one.id in self._wrong]

    def run(self, ask: Ask) -> Made:
        """Decode, check, pair."""
        owners = [one for one in self.records if one.id in self._wrong]
        counts = Counter(given=len(self.records), no_wrong_answer=len(self.records) - len(owners))
        completions = ask(self.first()) if owners else []
        found = {
            side: self._texts(owners, completions[place : place + len(owners)], side, counts)
            for side, place in zip(SIDES, (0, len(owners)), strict=True)
        }
        made = [
            self._pair(record, found["factual"][record.id], found["counterfactual"][record.id])
            for record in owners
            if record.id in found["factual"] and record.id in found["counterfactual"]
        ]
        counts["half"] = len(found["factual"].keys() ^ found["counterfactual"].keys())
        counts["kept"] = len(made)
        facts: dict[str, Json] = {"weight": self.weight, "against": self.against, "top": self.top}
        return Made(tuple(made), tally(counts, _ORDER), facts=facts)

    def _texts(
        self, owners: Sequence[TrainRecord], completions: Sequence[Completion], side: Side, counts: Counter[str]
    ) -> dict[str, str]:
        """Record -> its rationale with the answer that it speaks for behind it."""
        told: list[tuple[TrainRecord, str]] = []
        for record, text in replies(owners, completions, counts, f"{side}_"):
            if said := without_hints(text):
                told.append((record, ended(said, self._told(record, side))))
            else:
                counts[f"{side}_only_hints"] += 1
        as_told = grade_texts([(replace(one, gold=self._told(one, side)), text) for one, text in told])
        really = grade_texts(told)
        wanted = "right" if side == "factual" else "wrong"
        made: dict[str, str] = {}
        for (record, text), by_told, by_gold in zip(told, as_told, really, strict=True):
            if by_told != "right" or by_gold != wanted:
                counts[f"{side}_other_answer"] += 1
            elif not has_chain(text):
                counts[f"{side}_no_chain"] += 1
            else:
                made[record.id] = text
        return made

    def _pair(self, record: TrainRecord, right: str, wrong: str) -> TrainRecord:
        pair = as_pair(record, right, wrong)
        by: dict[str, Json] = {"teacher": self.model, "template": self.templates["contrastive"].id, "verified": True}
        return noted(pair, **by, contrast_weight=self.weight, counterfactual_answer=self._wrong[record.id])


def ended(text: str, told: str) -> str:
    """A rationale with its answer behind it, where it does not say one itself."""
    return text if has_chain(text) else f"{text} Therefore, the answer is {told}."
