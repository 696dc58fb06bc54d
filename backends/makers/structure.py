"""Data of a structure reward model (RLKD, arXiv 2505.16142, 3.1.1): paths of reasoning, cut into steps and checked.

One model cuts the path of each record into steps, another replies PASS or "FAIL: reason". The reason goes back to the
first, with its own list, at most `regenerations` times; what still fails is left out and counted. A record that is kept
becomes one for `gsrm`: its prompt is the one that the trained model will be asked with, its response the list, in one
form (`backends.structure.steps`), its `structure` the list's pieces word for word.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import ClassVar, Literal

from backends.makers.asking import Ask, Asker, Query
from backends.makers.base import Made, Maker, option, replies, tally
from backends.records.inputs import noted, problem_of
from backends.records.record import TrainRecord
from backends.structure.paths import ask_template, path_of, question_of, steps_prompt
from backends.structure.steps import PathStep, read_steps, write_steps
from harness.errors import DataError, UsageError
from harness.models import load_model
from harness.types import Json, Message, Model, Sampling
from judges.prompts.fencing import fence

Domain = Literal["auto", "math", "science", "code", "puzzle"]
_OF_TASK: dict[str, Domain] = {"code": "code", "mcq": "science", "puzzle": "puzzle"}
NO_STEP = "it has no step with its three lines in the form that was asked for"
_VERDICT = re.compile(r"^[ \t>#*_\-]{0,12}(PASS|FAIL)\b[*_]{0,3}[ \t]{0,4}[:.\-]?(.*)$", re.IGNORECASE | re.MULTILINE)
MAX_REASON = 500
"""Characters of a reason that go back to the writer."""
_ORDER = (
    *("given", "asked", "kept", "steps", "regenerated", "refused", "no_step"),
    *("verifier_error", "verifier_cut", "verifier_empty", "verifier_unreadable", "teacher_error", "cut", "empty"),
)


def verdict_in(reply: str) -> str | None:
    """The reason for which a list is refused, "" if it passes, None if the reply says neither; its last word counts."""
    found = _VERDICT.findall(reply)
    if not found:
        return None
    word, reason = found[-1]
    return "" if word.upper() == "PASS" else reason.strip()[:MAX_REASON] or "no reason was given"


@dataclass(slots=True)
class _Case:
    """A record on its way."""

    record: TrainRecord
    turns: tuple[Message, ...]
    """What is asked next."""
    attempt: int = 0
    steps: tuple[PathStep, ...] = ()


@dataclass(frozen=True, kw_only=True)
class StepLists(Maker):
    """Cut paths of reasoning into steps, have them checked: the data of gsrm (RLKD).

    RECORDS have a chain of thought. A second model checks each list; why it refuses one goes back to the first.
    Defaults: temperature 0, at most 3 regenerations.

    \b
    harness data structure traces.jsonl --model openai:writer --verifier openai:checker -o steps.jsonl
    """  # noqa: D301  # a real backspace: it tells click to keep these lines

    verifier: str = field(metadata={"shown": "ENGINE:NAME"})
    """Model that checks the lists."""
    verifier_arg: tuple[str, ...] = option((), shown="KEY=VALUE")
    """Option of the verifier's engine; repeat it."""
    domain: Domain = "auto"
    """Subject of the example that the writer is shown. "auto": by the record's task, math where that says nothing."""
    regenerations: int = option(3, least=0, most=20)
    """Most times that a refused list is written again."""

    name = "structure"
    role = "model"
    template_fields: ClassVar = {
        "gsrm_decompose": ("question", "path", "variant"),
        "gsrm_verify": ("question", "path", "steps"),
        "gsrm_again": ("question", "reason"),
    }
    nothing = "no list of steps passed"

    def check(self) -> None:
        """Every record needs a path; the verifier must be at hand."""
        bad = [record.id for record in self.records if not path_of(record)]
        if bad:
            raise DataError(
                f"structure cuts a chain of thought into steps, and {len(bad)} of {len(self.records)} records have "
                f"neither 'think' nor a response, the first {bad[0]!r}: make them with `harness data traces` first"
            )
        variants = self.templates["gsrm_decompose"].variants
        if self._domains() - set(variants):
            missing = ", ".join(sorted(self._domains() - set(variants)))
            raise DataError(f"the template gsrm_decompose has no example in [variants] for {missing}")
        assert self._checker.name

    def _domains(self) -> set[str]:
        return {self._domain(record) for record in self.records}

    def _domain(self, record: TrainRecord) -> str:
        return self.domain if self.domain != "auto" else _OF_TASK.get(record.task, "math")

    @cached_property
    def _checker(self) -> Model:
        options: dict[str, str] = {}
        for pair in self.verifier_arg:
            key, equals, value = pair.partition("=")
            if not equals or not key or key in options:
                raise UsageError(f"--verifier-arg {pair!r}: KEY=VALUE, each key once")
            options[key] = value
        return load_model(self.verifier, options, self.results_dir)

    def first(self) -> Sequence[Query]:
        """The first list of every record."""
        return [self._write(case) for case in self._cases()]

    def _cases(self) -> list[_Case]:
        return [_Case(record, self._turn(record, "gsrm_decompose", self._shown(record))) for record in self.records]

    def _shown(self, record: TrainRecord) -> dict[str, str]:
        variant = self.templates["gsrm_decompose"].variants[self._domain(record)]
        return {"path": fence(path_of(record)), "variant": variant}

    def _turn(self, record: TrainRecord, template: str, values: Mapping[str, str]) -> tuple[Message, ...]:
        filled = self.templates[template].fill({"question": fence(question_of(record)), **values})
        return (Message("user", filled),)

    def _write(self, case: _Case) -> Query:
        problem = problem_of(case.record, case.turns)
        return Query(self.name, self.templates["gsrm_decompose"].id, problem, case.attempt, self.draw)

    def _check(self, case: _Case, attempt: int) -> Query:
        record = case.record
        shown = {"path": fence(path_of(record)), "steps": fence(write_steps(case.steps)[0])}
        problem = problem_of(record, self._turn(record, "gsrm_verify", shown))
        draw = Sampling(max_tokens=self.draw.max_tokens, seed=self.draw.seed)
        return Query(f"{self.name}:verify", self.templates["gsrm_verify"].id, problem, attempt, draw)

    def run(self, ask: Ask) -> Made:
        """Write, check, write again."""
        with Asker(self._checker, self.cache(), budget=self.budget, role="verifier") as verify:
            made = self.made(ask, verify)
            facts: dict[str, Json] = {
                "verifier": self._checker.name,
                "verifier_identity": dict(self._checker.describe()),
                "verifier_requests": verify.done.requests,
                "verifier_tokens_in": verify.done.tokens_in,
                "verifier_tokens_out": verify.done.tokens_out,
            }
        return replace(made, facts=facts)

    def made(self, ask: Ask, verify: Ask) -> Made:
        """The records of the lists that pass, in the order of the records."""
        counts = Counter(given=len(self.records))
        kept: dict[str, TrainRecord] = {}
        waiting = self._cases()
        while waiting:
            counts["asked"] += len(waiting)
            read: list[_Case] = []
            refused: list[tuple[_Case, str, str]] = []
            for case, text in replies(waiting, ask([self._write(case) for case in waiting]), counts):
                case.steps = read_steps(text)
                case.turns = (*case.turns[:1], Message("assistant", text))
                if case.steps:
                    read.append(case)
                else:
                    refused.append((case, NO_STEP, "no_step"))
            for case, reason in self._verified(read, verify, counts):
                if reason:
                    refused.append((case, reason, "refused"))
                else:
                    kept[case.record.id] = self._record(case)
                    counts["steps"] += len(case.steps)
            waiting = []
            for case, reason, name in refused:
                if case.attempt == self.regenerations:
                    counts[name] += 1
                    continue
                case.turns += self._turn(case.record, "gsrm_again", {"reason": reason})
                case.attempt += 1
                counts["regenerated"] += 1
                waiting.append(case)
        counts["kept"] = len(kept)
        ordered = tuple(kept[record.id] for record in self.records if record.id in kept)
        return Made(ordered, tally(counts, _ORDER))

    def _verified(self, cases: Sequence[_Case], verify: Ask, counts: Counter[str]) -> list[tuple[_Case, str]]:
        """Each list with the reason for which it is refused, "" if it passes; asked twice where no verdict is read."""
        found: list[tuple[_Case, str]] = []
        for again in (0, 1):
            queries = [self._check(case, 2 * case.attempt + again) for case in cases]
            unread: list[_Case] = []
            for case, text in replies(cases, verify(queries), counts, "verifier_"):
                reason = verdict_in(text)
                if reason is None:
                    unread.append(case)
                else:
                    found.append((case, reason))
            cases = unread
        counts["verifier_unreadable"] += len(cases)
        counts["verifier_error"] += counts.pop("verifier_teacher_error", 0)
        return found

    def _record(self, case: _Case) -> TrainRecord:
        record = case.record
        text, pieces = write_steps(case.steps)
        made = TrainRecord(
            id=record.id,
            prompt=steps_prompt(question_of(record), path_of(record)),
            task="structure",
            response=text,
            structure=pieces,
            meta={name: value for name, value in record.meta.items() if name not in ("grader", "choices")},
        )
        return noted(
            made,
            steps=len(case.steps),
            steps_by=self.model,
            verified_by=self._checker.name,
            regenerations=case.attempt,
            template=self.templates["gsrm_decompose"].id,
            prompt_template=ask_template().id,
        )
