"""Teacher traces: n completions of every prompt, those kept that the grader confirms (rejection sampling, SeqKD).

What cannot be checked (instruction data: no gold answer, or no grader) is kept whole and marked `verified: false` in
its meta. Prompts whose completions are all wrong or unusable come as the further set "unsolved": with `rejected` where
the teacher wrote something wrong, which is what `dual` rectifies.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from backends.makers.asking import Ask, Draw, Query
from backends.makers.base import Made, Maker, lost, option, reply_of, tally
from backends.makers.suite_prompts import TRAIN_LEVELS, in_suites_words, suite_prompts
from backends.records.inputs import grader_of, noted, problem_of, read_prompts
from backends.records.record import TrainRecord
from backends.records.rejection import Selected, parts_of, response_of, select_right
from harness.errors import UsageError
from harness.reasoning import with_answer
from harness.types import Completion, Json, Record

_ORDER = ("prompts", "completions", "right", "wrong", "no_answer", "truncated", "unscored", "teacher_error")
_NOT_CHECKED = "prompts that a benchmark asks as well must go first: `harness data decontaminate`"


@dataclass(frozen=True, kw_only=True)
class Traces(Maker):
    """Let a teacher answer training prompts N times and keep what the grader finds right (rejection sampling).

    Prompts whose answer nothing can check are kept as they come, marked unverified. Wrong completions become the
    negatives of right ones; problems never solved stand in <out>.unsolved.jsonl for `harness data dual`. Test problems
    of a suite are refused: a model trained on them can no longer be evaluated by it.

    \b
    harness data traces --teacher openai:my-teacher --suite synth_easy --n 4 -o traces.jsonl
    harness data traces --teacher openai:my-teacher --prompts gsm8k_train.jsonl --suite gsm8k -o traces.jsonl
    """  # noqa: D301  # a real backspace: it tells click to keep these lines

    suite: str | None = option(None, shown="NAME")
    """Train problems of synth or synth_easy; with --prompts, whose grader."""
    prompts: Path | None = None
    """JSON lines of training records, or of question and answer columns."""
    n: int = option(1, least=1, most=4096)
    """Completions of each prompt."""
    per_problem: int | None = option(None, least=1)
    """Most records of one prompt. [default: all]"""
    per_level: int = option(500, least=1)
    """Problems of synth."""
    grader: str | None = option(None, shown="NAME")
    """What checks the answers of --prompts (`harness list graders`)."""
    instruction: str = option("", shown="TEXT")
    """Put after every plain question of --prompts."""
    allow_test: bool = False
    """Let a suite's TEST problems become training data: almost never right."""
    data_dir: Path | None = None

    name = "traces"
    takes_files = False
    sets = ("unsolved",)

    @classmethod
    def usual(cls, given: Mapping[str, Any]) -> Draw:
        """Several completions of a prompt must differ."""
        return Draw(0.7 if given["n"] > 1 else 0.0)

    @classmethod
    def read(cls, files: Sequence[str], given: Mapping[str, Any]) -> tuple[list[TrainRecord], dict[str, Json]]:
        """The prompts, with golds and graders; whatever else they hold is replaced."""
        suite, prompts, grader, instruction = (given[name] for name in ("suite", "prompts", "grader", "instruction"))
        told = grader is not None or instruction
        if suite is None and prompts is None:
            raise UsageError("nothing to ask: say --suite synth (or synth_easy), or --prompts FILE")
        if prompts is None:
            if told:
                raise UsageError("--grader and --instruction are for --prompts: a suite brings its own")
            test = given["allow_test"] or suite not in TRAIN_LEVELS
            records = suite_prompts(suite, given["per_level"], given["seed"], given["allow_test"], given["data_dir"])
            return records, {"suite": suite, "split": "test" if test else "train"}
        if suite is not None and told:
            raise UsageError("--suite brings grader and instruction: leave --grader and --instruction out")
        records, repeated = read_prompts(prompts, instruction=instruction, grader=grader)
        if suite is not None:
            records = in_suites_words(records, suite)
        return records, {"prompts": str(prompts), "repeated_rows": repeated, "suite": suite, "split": None}

    def first(self) -> Sequence[Query]:
        """Everything: it asks once."""
        return [
            Query(self.name, "", problem_of(record), attempt, self.draw)
            for record in self.records
            for attempt in range(self.n)
        ]

    def run(self, ask: Ask) -> Made:
        """Ask and select."""
        queries = self.first()
        completions: dict[str, list[Completion]] = {}
        for one, completion in zip(queries, ask(queries), strict=True):
            completions.setdefault(one.problem.id, []).append(completion)
        sources = {record.id: record for record in self.records}
        checkable = [record for record in self.records if grader_of(record) is not None]
        selected = self._select(checkable, completions)
        kept = {record.id: record for record in selected.records}
        unchecked, counts = self._keep_all(completions)
        for name, count in selected.verdicts.items():
            counts["teacher_error" if name == "error" else name] += count
        counts.update(prompts=len(self.records), completions=len(queries), duplicates=selected.duplicates)
        counts.update(surplus=selected.surplus, kept=len(kept) + len(unchecked), unsolved=len(selected.unsolved))
        verified = [_of(record, sources[str(record.meta["problem"])], verified=True) for record in kept.values()]
        unsolved = [_of(record, sources[record.id]) for record in selected.failures]
        note = _NOT_CHECKED if self.prompts is not None else ""
        return Made((*verified, *unchecked), tally(counts, _ORDER), {"unsolved": tuple(unsolved)}, note=note)

    def _select(self, records: Sequence[TrainRecord], completions: Mapping[str, Sequence[Completion]]) -> Selected:
        return select_right(
            (
                Record(record.id, attempt, 0, "", completion)
                for record in records
                for attempt, completion in enumerate(completions[record.id])
            ),
            [problem_of(record) for record in records],
            dataset="",
            teacher=self.model,
            per_problem=self.per_problem,
        )

    def _keep_all(self, completions: Mapping[str, Sequence[Completion]]) -> tuple[list[TrainRecord], Counter[str]]:
        """Every different completion of what cannot be checked, and what became of the others."""
        found: list[TrainRecord] = []
        counts: Counter[str] = Counter()
        for record in self.records:
            if grader_of(record) is not None:
                continue
            texts: dict[str, int] = {}
            for attempt, completion in enumerate(completions[record.id]):
                text = response_of(with_answer(completion))
                if reply_of(completion) is None:  # failed, cut, or nothing after its thought
                    counts[lost(completion)] += 1
                elif text in texts:
                    counts["duplicates"] += 1
                elif len(texts) == self.per_problem:
                    counts["surplus"] += 1
                else:
                    counts["unverified"] += 1
                    texts[text] = attempt
            found += [self._unverified(record, attempt, text) for text, attempt in texts.items()]
        return found, counts

    def _unverified(self, source: TrainRecord, attempt: int, text: str) -> TrainRecord:
        think, answer = parts_of(text)
        made = TrainRecord(
            id=f"{source.id}#{attempt}",
            prompt=source.prompt,
            think=think,
            answer=answer,
            gold=source.gold,
            response=text,
            meta={"teacher": self.model, "problem": source.id, "attempt": attempt},
        )
        return _of(made, source, verified=False)


def _of(made: TrainRecord, source: TrainRecord, verified: bool | None = None) -> TrainRecord:
    """The record with what its prompt brought along; the data set stays that of the prompt."""
    own = {key: value for key, value in made.meta.items() if key != "dataset"}
    record = replace(made, task=source.task, meta={**source.meta, **own})
    return record if verified is None else noted(record, verified=verified)
