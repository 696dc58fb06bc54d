"""Data of CoTD-PO: the teacher thinks, the student answers K times given that thought, a reward ranks the answers.

`Rationales` stores the teacher's thought as `think` and gives the prompt the ending that student and trainer use.
`Candidates` samples K answers of a student, each at its own temperature drawn uniformly from a range, and rewards them.
An engine that can go on in the middle of a reply continues after the thought; a chat endpoint cannot, and is shown it
in its prompt: the candidate's text is the same, the distribution it was drawn from is not. The form is the paper's, "My
thought: … My answer: …"; only records whose response has a think block keep that form, which is then what is asked.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar

from backends.makers.asking import Ask, Query
from backends.makers.base import Made, Maker, lost, option, reply_of, tally
from backends.makers.rewards import Reward, grader_reward, judge_reward, model_reward, own_reward
from backends.records.inputs import noted, problem_of
from backends.records.record import Candidate, TrainRecord
from backends.records.spans import together
from backends.templates import Template
from harness.errors import DataError, UsageError
from harness.models import load_model
from harness.types import Json, Message, Sampling

_THOUGHT = re.compile(r"\A\W*my thought\W*?:\**\s*", re.IGNORECASE)
_ANSWER = re.compile(r"\bmy answer\W*?:\**\s*", re.IGNORECASE)


class Rationales(Maker):
    """Store a teacher's thought about every prompt, without an answer: the first half of the data of cotd_po.

    \b
    harness data rationales prompts.jsonl --teacher openai:my-teacher -o thoughts.jsonl
    """  # noqa: D301  # a real backspace: it tells click to keep these lines

    name = "rationales"
    template_fields: ClassVar = {"cotd_rationale": ("question",), "cotd_student": ("question",)}

    def first(self) -> Sequence[Query]:
        """Everything: it asks once."""
        return [self.query(record, "cotd_rationale") for record in self.records]

    def run(self, ask: Ask) -> Made:
        """Ask and store; an earlier response, answer and structure belong to another thought and go."""
        counts = Counter(given=len(self.records))
        asked, student = self.templates["cotd_rationale"], self.templates["cotd_student"]
        made = []
        for record, completion in zip(self.records, ask(self.first()), strict=True):
            text = reply_of(completion)
            thought = _THOUGHT.sub("", text).strip() if text is not None else ""
            if not thought:
                counts[lost(completion)] += 1
                continue
            if _ANSWER.search(thought):
                counts["answers"] += 1
                continue
            *before, last = record.prompt
            prompt = (*before, Message("user", student.fill({"question": last.content})))
            bare = replace(
                record, prompt=prompt, think=thought, answer=None, response=None, structure=(), rejected=None
            )
            made.append(noted(bare, thought_by=self.model, template=asked.id, student_template=student.id))
        counts["kept"] = len(made)
        return Made(tuple(made), tally(counts, ("given", "kept", "answers", "teacher_error", "cut", "empty")))


@dataclass(frozen=True, kw_only=True)
class Candidates(Maker):
    """Sample K answers of a student to each teacher's thought and reward them: the second half of data for cotd_po.

    RECORDS have `think` (`harness data rationales`). Engines in this process go on after the thought; a chat endpoint
    is shown it in the prompt. A reward function takes (record, answer) pairs and gives a number, or None, for each.
    Default: top-p 0.95.

    \b
    harness data candidates thoughts.jsonl --student hf:./student --k 8 -o candidates.jsonl
    harness data candidates thoughts.jsonl --student hf:./student --reward judge --judge openai:gpt-4.1 \\
        --rubric rating_10 -o candidates.jsonl
    harness data candidates thoughts.jsonl --student hf:./student --reward model --judge trained:my-rm \\
        -o candidates.jsonl
    """  # noqa: D301  # a real backspace: it tells click to keep these lines

    draw: Sampling = field(default=Sampling(top_p=0.95))
    k: int = option(8, least=2, most=4096)
    """Answers of each prompt."""
    temperatures: tuple[float, float] = option((0.6, 1.2), least=0, most=10, shown="LOW HIGH")
    """Each answer's temperature is drawn uniformly from this range."""
    reward: str = option("grader", shown="grader|judge|model|MODULE:FUNCTION")
    """Who rewards: the records' grader, --judge with --rubric, --judge as a reward model (`rm`), or a function of your
    own."""
    grader: str | None = option(None, shown="NAME")
    """What checks answers, in place of the records' own."""
    judge: tuple[str, ...] = ()
    judge_options: Mapping[str, str] = field(default_factory=dict)
    rubric: str | None = None

    name = "candidates"
    role = "student"
    template_fields: ClassVar = {"cotd_answer": ("question", "thought")}

    @classmethod
    def read(cls, files: Sequence[str], given: Mapping[str, Any]) -> tuple[list[TrainRecord], dict[str, Json]]:
        """Records with `think`, as `Rationales` makes them."""
        if given["temperature"] is not None:
            raise UsageError("candidates draw a temperature for each answer: say --temperatures LOW HIGH")
        return super().read(files, given)

    def check(self) -> None:
        """Every record needs `think`, and what rewards must be at hand."""
        low, high = self.temperatures
        if low > high:
            raise UsageError(f"--temperatures {low:g} {high:g}: the lower one comes first")
        if self.reward not in ("judge", "model") and (self.judge or self.judge_options):
            raise UsageError("--judge rewards only with --reward judge or --reward model")
        if self.reward != "judge" and self.rubric is not None:
            raise UsageError("--rubric rewards only with --reward judge")
        assert callable(self.rewards)
        bad = [record.id for record in self.records if not (record.think or "").strip()]
        if bad:
            raise DataError(
                f"candidates answer a teacher's thought, and {len(bad)} records have no 'think', the first {bad[0]!r}: "
                "make them with `harness data rationales` first"
            )

    @cached_property
    def rewards(self) -> Reward:
        """What rewards the answers."""
        if self.reward == "grader":
            return grader_reward(self.records)
        if self.reward not in ("judge", "model"):
            return own_reward(self.reward)
        if len(self.judge) != 1 or (self.reward == "judge" and self.rubric is None):
            raise UsageError(
                "--reward judge needs one --judge and one --rubric that looks at one answer, e.g. rating_10"
                if self.reward == "judge"
                else "--reward model needs one --judge: a model that `harness train --method rm` trained"
            )
        judge = load_model(self.judge[0], self.judge_options, self.results_dir)
        if self.rubric is None:
            return model_reward(judge, self.cache, self.budget)
        return judge_reward(judge, self.rubric, self.cache, self.budget)

    @cached_property
    def templates(self) -> Mapping[str, Template]:
        """None where the engine goes on after the thought."""
        return {} if self.continues else super().templates

    def first(self) -> Sequence[Query]:
        """Everything: it asks once."""
        return [self._query(record, attempt) for record in self.records for attempt in range(self.k)]

    def _query(self, record: TrainRecord, attempt: int) -> Query:
        chosen = random.Random(f"{self.draw.seed}\x1f{record.id}\x1f{attempt}").uniform(*self.temperatures)
        draw = replace(self.draw, temperature=round(chosen, 4))
        if not self.continues:
            return self.query(
                record, "cotd_answer", attempt, draw=draw, values={"thought": (record.think or "").strip()}
            )
        messages = (*record.prompt, Message("assistant", together(record, "").rstrip()))
        return Query(self.name, "", problem_of(record, messages), attempt, draw)

    def run(self, ask: Ask) -> Made:
        """Ask, reward; an answer that a record has twice is one candidate."""
        queries = self.first()
        counts = Counter(given=len(self.records), asked=len(queries))
        answers: dict[str, dict[str, None]] = {record.id: {} for record in self.records}
        for one, completion in zip(queries, ask(queries), strict=True):
            text = reply_of(completion)
            answer = _ANSWER.split(text)[-1].strip() if text is not None else ""
            if not answer:
                counts[lost(completion)] += 1
            elif answer in answers[one.problem.id]:
                counts["duplicates"] += 1
            else:
                answers[one.problem.id][answer] = None
        pairs = [(record, answer) for record in self.records for answer in answers[record.id]]
        rewards = list(self.rewards(pairs))
        if len(rewards) != len(pairs):
            raise DataError(f"the reward gave {len(rewards)} numbers for {len(pairs)} answers")
        rewarded: dict[str, list[Candidate]] = {record.id: [] for record in self.records}
        for (record, answer), reward in zip(pairs, rewards, strict=True):
            if reward is None or not abs(reward) < float("inf"):
                counts["unrewarded"] += 1
                continue
            rewarded[record.id].append(Candidate(together(record, answer), float(reward), source=self.model))
        made = []
        for record in self.records:
            found = tuple(rewarded[record.id])
            counts["too_few"] += len(found) < 2
            counts["all_equal"] += len(found) >= 2 and len({candidate.reward for candidate in found}) == 1
            if len(found) >= 2:
                made.append(noted(replace(record, candidates=found), student=self.model, continued=self.continues))
        counts.update(kept=len(made), candidates=sum(len(record.candidates) for record in made))
        order = ("given", "asked", "kept", "candidates", "duplicates", "unrewarded", "too_few", "all_equal")
        facts: dict[str, Json] = {"reward": self.reward, "judge": list(self.judge), "rubric": self.rubric}
        return Made(tuple(made), tally(counts, (*order, "teacher_error", "cut", "empty")), facts=facts)
