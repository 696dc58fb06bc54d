"""Teacher traces: n completions of every prompt, those kept that the grader confirms (rejection sampling, SeqKD).

What cannot be checked (instruction data: no gold answer, or no grader) is kept whole and marked `verified: false` in
its meta. Prompts whose completions are all wrong or unusable come as the further set "unsolved": with `rejected` where
the teacher wrote something wrong, which is what `dual` rectifies. A suite's train prompts, or plain questions in its
words, are what teachers may be asked without spoiling the test.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from backends.makers.asking import Ask, Query
from backends.makers.base import Made, Maker, has_chain, lost, option, reply_of, tally
from backends.records.inputs import grader_of, noted, problem_of, read_prompts
from backends.records.record import TrainRecord, render_response
from backends.records.spans import never_closes, parts_of, split_response
from backends.records.synth import RecordFamily, synth_records
from backends.records.verify import grade, verdict_of
from harness.answers import boxed_spans
from harness.errors import UsageError
from harness.reasoning import with_answer
from harness.sentences import math_segments, sentences
from harness.suites import load_problems, load_suite
from harness.synth import LEVELS, Level
from harness.types import Completion, Json, Sampling

TRAIN_LEVELS: dict[str, tuple[Level, ...]] = {
    "synth": LEVELS,
    "synth_easy": (1, 2),
    "synth_knights": LEVELS,
    "synth_countdown": (2, 3, 4, 5),
}
"""Suites that have a train split here, which no test question is in: levels of the embedded world."""
_FAMILIES: dict[str, RecordFamily] = {"synth_knights": "knights", "synth_countdown": "countdown"}
"""Of which family of records; sums otherwise."""


def suite_prompts(name: str, per_level: int, seed: int, allow_test: bool, data_dir: Path | None) -> list[TrainRecord]:
    """The train problems of a suite that has some; its test problems only where that is asked for.

    Raises `UsageError` for a suite without train problems here, what loading a suite raises otherwise.
    """
    suite = load_suite(name)
    if name in TRAIN_LEVELS and not allow_test:
        return [
            TrainRecord(
                id=record.id,
                prompt=record.prompt,
                task=record.task,
                gold=record.gold,
                meta={"dataset": name, "split": "train", "grader": suite.grader, "level": record.meta["level"]},
            )
            for record in synth_records(
                seed, per_level, TRAIN_LEVELS[name], split="train", family=_FAMILIES.get(name, "sums")
            )
        ]
    if not allow_test:
        raise UsageError(
            f"the problems of {name!r} are a TEST set, and training on them makes every later score on it worthless. "
            f"Give train prompts with --prompts FILE --suite {name} (its wording and grader), or take synth; "
            "--allow-test only for what will never be evaluated on it"
        )
    records = []
    for problem in load_problems(suite, data_dir, seed, None):
        meta: dict[str, Json] = {"dataset": suite.name, "split": "test", "grader": problem.grader}
        if problem.choices:
            meta["choices"] = list(problem.choices)
        records.append(TrainRecord(id=problem.id, prompt=problem.messages, gold=problem.target or None, meta=meta))
    return records


def in_suites_words(records: Sequence[TrainRecord], name: str) -> list[TrainRecord]:
    """Plain questions as the suite would put them, with its grader.

    Raises `UsageError` where a suite's problems are more than a question and an answer.
    """
    suite = load_suite(name)
    found = []
    for record in records:
        question, gold = record.prompt[-1].content, record.gold or ""
        asked: dict[str, Json] = {"id": record.id, "question": question, "problem": question}
        try:
            problem = suite.render({**asked, "answer": gold, "solution": gold}, 0)
        except (KeyError, TypeError, ValueError, IndexError):
            raise UsageError(
                f"a problem of {name!r} is more than a question and an answer: leave --suite out and say --grader "
                f"{suite.grader} and --instruction, or give whole training records"
            ) from None
        made = replace(record, prompt=problem.messages, gold=problem.target if record.gold else None)
        found.append(noted(made, grader=problem.grader, dataset=f"{name}-train"))
    return found


_ORDER = ("prompts", "completions", "right", "wrong", "no_answer", "truncated", "unscored", "teacher_error")
_NOT_CHECKED = "prompts that a benchmark asks as well must go first: `harness data decontaminate`"


@dataclass(frozen=True, kw_only=True)
class Traces(Maker):
    """Let a teacher answer training prompts N times and keep what the grader finds right (rejection sampling).

    Prompts whose answer nothing can check are kept as they come, marked unverified. Wrong completions become the
    negatives of right ones (<out>.pairs.jsonl has those with one, for dpo); problems never solved stand in
    <out>.unsolved.jsonl for `harness data dual`. Test problems of a suite are refused: a model trained on them can no
    longer be evaluated by it.

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
    until_right: bool = False
    """Ask a prompt again only while nothing right has come, --n times at most."""
    per_problem: int | None = option(None, least=1)
    """Most records of one prompt. [default: all]"""
    per_level: int = option(500, least=1)
    """Problems of synth."""
    target: Literal["cot", "answer"] = "cot"
    """What a student is to write: all of a completion, or its answer alone (a label)."""
    grader: str | None = option(None, shown="NAME")
    """What checks the answers of --prompts (`harness list graders`)."""
    instruction: str = option("", shown="TEXT")
    """Put after every plain question of --prompts."""
    allow_test: bool = False
    """Let a suite's TEST problems become training data: almost never right."""
    data_dir: Path | None = None

    name = "traces"
    takes_files = False
    sets = ("unsolved", "pairs")

    @classmethod
    def usual(cls, given: Mapping[str, Any]) -> Sampling:
        """Several completions of a prompt must differ."""
        return Sampling(temperature=0.7 if given["n"] > 1 else 0.0)

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

    def check(self) -> None:
        """Asking again needs a second try."""
        if self.until_right and self.n == 1:
            raise UsageError("--until-right asks again where nothing right has come: say how often at most, --n 8")

    def first(self) -> Sequence[Query]:
        """Everything, unless replies decide who is asked again."""
        return self._queries(self.records, range(1 if self.until_right else self.n))

    def _queries(self, records: Sequence[TrainRecord], attempts: range) -> list[Query]:
        return [
            Query(self.name, "", problem_of(record), attempt, self.draw) for record in records for attempt in attempts
        ]

    def _drawn(self, ask: Ask) -> dict[str, list[Completion]]:
        """Record -> its completions, by attempt."""
        drawn: dict[str, list[Completion]] = {record.id: [] for record in self.records}
        left = self.records
        rounds = [range(attempt, attempt + 1) for attempt in range(self.n)] if self.until_right else [range(self.n)]
        for attempts in rounds:
            queries = self._queries(left, attempts)
            for one, completion in zip(queries, ask(queries), strict=True):
                drawn[one.problem.id].append(completion)
            if self.until_right:
                left = self._unsettled(left, [drawn[record.id][-1] for record in left])
        return drawn

    def _unsettled(self, records: Sequence[TrainRecord], last: Sequence[Completion]) -> list[TrainRecord]:
        """Those whose last completion is not right; where nothing can tell, not whole."""
        answered = {record.id: [with_answer(one)] for record, one in zip(records, last, strict=True)}
        graded = self._graded(answered, records)
        return [
            record
            for record, one in zip(records, last, strict=True)
            if (graded[record.id] != ["right"] if record.id in graded else reply_of(one) is None)
        ]

    def run(self, ask: Ask) -> Made:
        """Ask, grade, and keep what is right, or what nothing can check."""
        drawn = self._drawn(ask)
        completions = sum(map(len, drawn.values()))
        counts = Counter(prompts=len(self.records), completions=completions, duplicates=0, surplus=0, unsolved=0)
        answered = {name: [with_answer(reply) for reply in replies] for name, replies in drawn.items()}
        graded = self._graded(answered, self.records)
        verified: list[TrainRecord] = []
        unverified: list[TrainRecord] = []
        unsolved: list[TrainRecord] = []
        for record in self.records:
            texts = [self._target(response_of(reply)) for reply in answered[record.id]]
            if record.id not in graded:
                whole = [reply_of(completion) is not None for completion in drawn[record.id]]
                counts.update(lost(one) for one, said in zip(drawn[record.id], whole, strict=True) if not said)
                chosen = self._chosen(texts, whole, counts)
                counts["unverified"] += len(chosen)
                unverified += [self._kept(record, attempt, text, verified=False) for attempt, text in chosen]
                continue
            verdicts = graded[record.id]
            counts.update("teacher_error" if verdict == "error" else verdict for verdict in verdicts)
            chosen = self._chosen(texts, [verdict == "right" for verdict in verdicts], counts)
            wrong = tuple(dict.fromkeys(t for t, one in zip(texts, verdicts, strict=True) if one == "wrong" and t))
            for index, (attempt, text) in enumerate(chosen):
                kept = self._kept(record, attempt, text, verified=True)
                rejected = wrong[index % len(wrong)] if wrong else None
                verified.append(replace(kept, rejected=rejected, negatives=wrong))
            counts["unsolved"] += not chosen
            if wrong and not chosen:
                meta = {**record.meta, **self._origin(record)}
                bare = TrainRecord(id=record.id, prompt=record.prompt, task=record.task, gold=record.gold, meta=meta)
                unsolved.append(replace(bare, rejected=wrong[0], negatives=wrong))
        counts["kept"] = len(verified) + len(unverified)
        sets = {"unsolved": tuple(unsolved), "pairs": tuple(one for one in verified if one.rejected)}
        note = _NOT_CHECKED if self.prompts is not None else ""
        return Made((*verified, *unverified), tally(counts, _ORDER), sets, note=note)

    def _graded(
        self, answered: Mapping[str, Sequence[Completion]], records: Sequence[TrainRecord]
    ) -> dict[str, list[str]]:
        """Record -> the verdict on each completion, of the records that have something to check them with.

        What failed or was cut is neither right nor wrong, whatever it scores.
        """
        checkable = [record for record in records if grader_of(record) is not None]
        scores = iter(grade([(problem_of(one), reply) for one in checkable for reply in answered[one.id]]))
        return {one.id: [verdict_of(next(scores)) for _ in answered[one.id]] for one in checkable}

    def _target(self, text: str) -> str:
        """What of a completion becomes the response; empty where its answer cannot be told from its chain."""
        return answer_alone(text) if self.target == "answer" else text

    def _chosen(self, texts: Sequence[str], good: Sequence[bool], counts: Counter[str]) -> list[tuple[int, str]]:
        """The good texts that differ, with their attempts, as many as are wanted."""
        found: dict[str, int] = {}
        for attempt, text in enumerate(texts):
            if good[attempt] and not text:
                counts["no_label"] += 1
            elif good[attempt]:
                counts["duplicates"] += text in found
                found.setdefault(text, attempt)
        counts["surplus"] += len(found) - len(list(found)[: self.per_problem])
        return [(attempt, text) for text, attempt in found.items()][: self.per_problem]

    def _origin(self, source: TrainRecord) -> dict[str, Json]:
        """Where a record comes from, and what it takes to grade another response to its problem."""
        origin: dict[str, Json] = {"teacher": self.model, "problem": source.id}
        if (grader := grader_of(source)) is not None:
            choices = problem_of(source).choices
            origin |= {"grader": grader, **({"choices": list(choices)} if choices else {})}
        return origin

    def _kept(self, source: TrainRecord, attempt: int, text: str, *, verified: bool) -> TrainRecord:
        think, answer = parts_of(text)
        return TrainRecord(
            id=f"{source.id}#{attempt}",
            prompt=source.prompt,
            task=source.task,
            think=think,
            answer=answer,
            gold=source.gold,
            response=text,
            meta={**source.meta, **self._origin(source), "attempt": attempt, "verified": verified},
        )


def answer_alone(text: str) -> str:
    """The answer of a response without whatever leads to it; empty for several sentences of which none is marked."""
    while has_chain(text):
        text = parts_of(text)[1]
    boxes = boxed_spans(text)
    text = text[boxes[-1][0] : boxes[-1][2] + 1] if boxes else text.strip()
    return text if len(sentences(text, math_segments(text))) == 1 else ""


def response_of(completion: Completion) -> str:
    """What a student is to write: the text as generated where it holds its own think block whole, else rendered anew.

    Rendered anew are thoughts that the server separated and those whose opening tag stood in the prompt. The completion
    has been through `harness.reasoning.with_answer`.
    """
    split = split_response(completion.text)
    whole = split is not None and split.rule == "think" and split.think_start > 0 and not never_closes(completion.text)
    if whole or completion.reasoning is None:
        return completion.text.strip()
    return render_response(completion.reasoning, completion.answer_text or "")
