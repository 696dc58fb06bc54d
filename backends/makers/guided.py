"""Of several responses to a question, the one that holds most of the teacher (arXiv 2512.20908).

A sentence is the teacher's where it finds it likelier than the student does by more than beta, in the geometric mean of
the tokens' probabilities, each model with its own tokenizer (`harness.provenance`); the student's where it is the other
way round; else common. The paper keeps the response with the largest number of the teacher's sentences, and DASD's
sampling by divergence prefers the same. The other rules are its controls: their share, the fewest, the response that
the student itself finds likeliest (GRAPE), the longest one, and any.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import ClassVar, Literal, get_args

from backends.makers.asking import Ask, Asker, Query
from backends.makers.base import Made, Maker, option, tally
from backends.makers.groups import Sample, by_question
from backends.makers.scorer import ScoringModel, scores_of, scoring
from backends.records.inputs import noted
from backends.records.record import TrainRecord
from harness.models import load_model
from harness.models.replies import Asked
from harness.provenance import BETA, sentence_probabilities, sentence_starts
from harness.types import Json, Model, TokenScores

Rule = Literal["most", "share", "fewest", "student", "longest", "random"]
RULES: tuple[Rule, ...] = get_args(Rule)
_ORDER = (
    *("given", "no_response", "repeated", "questions", "candidates", "teacher_missing", "student_missing"),
    *("no_candidate", "alone", "passed_over", "kept"),
)


@dataclass(frozen=True, slots=True)
class Sentences:
    """Of a response: whose its sentences are, and how likely the student finds all of it."""

    teacher: int
    student: int
    common: int
    likelihood: float
    """Mean log-probability of a token under the student."""

    @property
    def share(self) -> float:
        """The teacher's sentences, of all that could be told."""
        return self.teacher / max(1, self.teacher + self.student + self.common)


@dataclass(frozen=True, kw_only=True)
class Guided(Maker):
    """Of several responses to each question, keep the one with most sentences that are the teacher's.

    RECORDS of the same prompt are responses to one question, as `harness data traces --n 8` makes them; positives count
    as well. Both models must give log-probabilities of a text. The student is the one before any training. Only one
    response of each question is kept; counts of its sentences stand in the meta. With --controls what the other rules
    would keep stands in <out>.<rule>.jsonl, of the same questions and by the same scores.

    \b
    harness data guided traces.jsonl --teacher hf:./teacher --student hf:./student -o chosen.jsonl
    """  # noqa: D301  # a real backspace: it tells click to keep these lines

    student: str = field(metadata={"shown": "ENGINE:NAME"})
    """Model that will learn from what is kept."""
    student_options: Mapping[str, str] = field(default_factory=dict)
    rule: Rule = "most"
    """Number of the teacher's sentences, their share, the fewest; the student's likeliest (GRAPE), longest, random."""
    controls: bool = False
    """Write what each other rule would keep as well."""
    beta: float = option(BETA, least=0, most=1)
    """Difference of probabilities from which on a sentence is one model's."""

    name: ClassVar[str] = "guided"
    sets: ClassVar[tuple[str, ...]] = RULES
    nothing: ClassVar[str] = "no response could be scored by both models"

    def check(self) -> None:
        """The student must be able to score."""
        _ = self._student

    @cached_property
    def _student(self) -> ScoringModel:
        return ScoringModel(load_model(self.student, self.student_options, self.results_dir), "student")

    def over(self, model: Model) -> Model:
        """The teacher only scores."""
        return ScoringModel(model, "teacher")

    @cached_property
    def _questions(self) -> tuple[list[list[Sample]], Counter[str]]:
        counts = Counter(given=len(self.records))
        return by_question(self.records, counts), counts

    def first(self) -> Sequence[Query]:
        """Every response, to the teacher; the student is asked for the same."""
        return [scoring(self.name, one.record, one.text) for samples in self._questions[0] for one in samples]

    def run(self, ask: Ask) -> Made:
        """Score by both, count sentences, choose."""
        questions, counts = self._questions
        counts = counts + Counter(questions=len(questions))
        queries = self.first()
        of_teacher = scores_of(ask(queries))
        of_student, asked = self._by_student(queries)
        counts["candidates"] = len(queries)
        counts["teacher_missing"], counts["student_missing"] = of_teacher.count(None), of_student.count(None)
        scores = iter(zip(of_teacher, of_student, strict=True))
        known: list[list[tuple[Sample, Sentences]]] = []
        for samples in questions:
            found = [
                (sample, whose(sample.text, teacher, student, self.beta))
                for sample, (teacher, student) in zip(samples, scores, strict=False)
                if teacher is not None and student is not None
            ]
            if found:
                known.append(found)
        counts["no_candidate"] = len(questions) - len(known)
        counts["alone"] = sum(len(found) == 1 for found in known)
        counts["passed_over"] = sum(len(found) - 1 for found in known)
        counts["kept"] = len(known)
        facts: dict[str, Json] = {"rule": self.rule, "beta": self.beta}
        facts["student"] = {"identity": dict(self._student.describe()), "asked": asdict(asked)}
        rules = [rule for rule in RULES if rule != self.rule] if self.controls else []
        others: dict[str, tuple[TrainRecord, ...]] = {rule: self._chosen(rule, known) for rule in rules}
        return Made(self._chosen(self.rule, known), tally(counts, _ORDER), others, facts)

    def _chosen(self, rule: Rule, known: Sequence[Sequence[tuple[Sample, Sentences]]]) -> tuple[TrainRecord, ...]:
        """One response of each question; of equal ones the earlier."""
        draw = random.Random(self.draw.seed)
        best = [
            draw.choice(found) if rule == "random" else max(found, key=lambda one: _worth(rule, *one))
            for found in known
        ]
        return tuple(self._noted(*one, len(found)) for one, found in zip(best, known, strict=True))

    def _by_student(self, queries: Sequence[Query]) -> tuple[list[TokenScores | None], Asked]:
        with Asker(self._student, self.cache(), budget=self.budget, role="student") as ask:
            return scores_of(ask(queries)), ask.done

    def _noted(self, sample: Sample, found: Sentences, candidates: int) -> TrainRecord:
        numbers = {f"{name}_sentences": getattr(found, name) for name in ("teacher", "student", "common")}
        return noted(sample.alone(), **numbers, candidates=candidates, guided_by=self.model)


def _worth(rule: Rule, sample: Sample, found: Sentences) -> float:
    if rule == "student":
        return found.likelihood
    if rule == "longest":
        return len(sample.text.split())
    return found.share if rule == "share" else found.teacher * (-1 if rule == "fewest" else 1)


def whose(text: str, teacher: TokenScores, student: TokenScores, beta: float) -> Sentences:
    """The sentences of a text by whose they are; those in which a model has no token are left out."""
    starts = sentence_starts(text)
    differences = sentence_probabilities(teacher, starts) - sentence_probabilities(student, starts)
    known = [value for value in differences.tolist() if not math.isnan(value)]
    of_teacher, of_student = sum(value > beta for value in known), sum(-value > beta for value in known)
    likelihood = math.fsum(student.logprobs) / len(student.logprobs)
    return Sentences(of_teacher, of_student, len(known) - of_teacher - of_student, likelihood)
