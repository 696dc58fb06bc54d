r"""Training records from the embedded world: right chains, wrong twins, structures, candidates, all of known truth.

Every method can so be trained offline in minutes, and what a method claims to find (the wrong step of a twin, the
structure of a chain) can be checked. The prompt is the one of the suites `synth` and `synth_easy`, whose test questions
are in no train split: a computation's digest decides its split, whatever the seed (docs/synth.md).

    train = synth_records(seed=0, per_level=500, levels=(1, 2), style="plain")
    structured = synth_records(seed=0, per_level=500, style="long")
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from typing import Literal, cast

from backends.records.puzzles import puzzle_records
from backends.records.record import Candidate, ChainStep, TrainRecord, render_response
from harness.errors import DataError
from harness.synth import (
    ERROR_KINDS,
    INSTRUCTION,
    LEVELS,
    Chain,
    ErrorKind,
    Family,
    Level,
    Split,
    Style,
    SynthProblem,
    build,
    correct_chains,
    generate,
    render,
    wrong_chain,
)
from harness.synth.authors import Author, author_of, told_by
from harness.synth.puzzles import PUZZLE_KINDS
from harness.types import Json, Message

RecordFamily = Literal["sums", "arithmetic", "word", "knights", "countdown"]
"""What records are about; "sums" are the families of `harness.synth`, half of each."""
RecordStyle = Literal["short", "plain", "long", "terse", "verbose", "both"]
"""A chain's style, or the teacher who writes: one of the two, or each about half of the problems."""
Form = Literal["think", "plain"]
_TRIES = 24
"""Wrong chains looked at per candidate until their answers differ."""


def synth_records(
    seed: int,
    per_level: int,
    levels: Sequence[Level] = LEVELS,
    *,
    split: Split = "train",
    style: RecordStyle = "plain",
    form: Form = "think",
    positives: int = 0,
    candidates: int = 0,
    family: RecordFamily = "sums",
    errors: Sequence[ErrorKind] = ERROR_KINDS,
    negatives: int = 0,
) -> list[TrainRecord]:
    """`per_level` records of each level, levels alternating, so that any prefix is a balanced sample.

    The response is the right chain in that style. "short" and "plain" chains come with a wrong twin as `rejected`: the
    same steps with one labelled mistake and what follows from it; `meta["error_span"]` and `meta["right_span"]` are the
    characters [start, end) of the wrong step in `rejected` and of its right counterpart in `response`. "long" chains
    come with a `structure`, one stage per sub-problem, and no twin: there is none that lines up. "terse" and "verbose"
    are two teachers (`harness.synth.authors`), "both" one of them for each problem: `meta["teacher"]` says who wrote;
    one of the `positives` is the other's (`meta["positive_teachers"]`). `form` is where the chain stands: in a think
    block, or in front of the answer. `positives` asks for that many other right responses (as many as the problem's
    graph allows); `candidates` for that many responses that share the chain and end in different answers, the right one
    first with reward 1, the others with reward 0. `family` is what the problems are: both of the sums' families, one of
    them, or logic puzzles, which have neither structures nor candidates. `errors` are the kinds of mistake that twins
    may have; `negatives` asks for that many further wrong chains of them, one mistake each, whose kinds are in
    `meta["negative_kinds"]`.

    Raises `DataError` for counts that make no sense and for a split that has too few problems, `UnknownName` for a
    level or split that does not exist.
    """
    if per_level < 1 or not levels or min(positives, candidates, negatives) < 0 or candidates == 1:
        raise DataError(
            f"{per_level} records of each of {len(levels)} levels, {positives} positives and {candidates} candidates "
            "make no data set: at least 1 record and 1 level, and 0, 2 or more candidates"
        )
    if family in PUZZLE_KINDS:
        if candidates or negatives or tuple(errors) != ERROR_KINDS:
            raise DataError(
                f"the records of {family} have one twin and its own mistakes: no candidates, errors, negatives"
            )
        if style == "terse" or style == "verbose" or style == "both":
            raise DataError(f"the records of {family} have no {style} teacher: say style=short, plain or long")
        return puzzle_records(family, seed, per_level, levels, split=split, style=style, form=form, positives=positives)
    only = None if family == "sums" else cast(Family, family)
    streams = [generate(seed, level, per_level, split, only) for level in dict.fromkeys(levels)]
    problems = [problem for row in zip(*streams, strict=True) for problem in row]
    writers = [author_of(problem) if style == "both" else style for problem in problems]
    told = list(zip(problems, writers, strict=True))
    made = [_record(problem, writer, form, positives, candidates, errors) for problem, writer in told]
    if not negatives:
        return made
    both = zip(made, told, strict=True)
    return [_with_negatives(record, problem, writer, form, errors, negatives) for record, (problem, writer) in both]


def _right(problem: SynthProblem, writer: Style | Author) -> Chain:
    """The right chain in that style, or in that teacher's words."""
    if writer == "terse" or writer == "verbose":
        return told_by(build(problem, "plain"), problem, writer)
    return build(problem, writer)


def _wrong(problem: SynthProblem, variant: int, writer: Style | Author, errors: Sequence[ErrorKind]) -> Chain:
    """A wrong one."""
    if writer == "terse" or writer == "verbose":
        return told_by(wrong_chain(problem, variant, "plain", errors), problem, writer)
    return wrong_chain(problem, variant, writer, errors)


def _record(
    problem: SynthProblem,
    writer: Style | Author,
    form: Form,
    positives: int,
    candidates: int,
    errors: Sequence[ErrorKind],
) -> TrainRecord:
    right = _right(problem, writer)
    response = render(right, form, boxed=False)
    meta: dict[str, Json] = {
        "dataset": "synth",
        "level": problem.level,
        "family": problem.family,
        "template": problem.template,
        "split": problem.split,
        "style": writer,
    }
    others = _others(problem, response, form, positives)
    if writer == "terse" or writer == "verbose":
        other: Author = "terse" if writer == "verbose" else "verbose"
        others = (render(_right(problem, other), form, boxed=False),)[:positives]
        meta |= {"teacher": writer, "positive_teachers": [other] * len(others)}
    rejected: str | None = None
    if writer != "long":
        wrong = _wrong(problem, 0, writer, errors)
        rejected = render(wrong, form, boxed=False)
        meta |= _error(right, wrong, form)
    return TrainRecord(
        id=problem.id,
        prompt=(Message("user", f"{problem.question}\n\n{INSTRUCTION}"),),
        task="math",
        think=render(right, "steps"),
        answer=_says(problem.answer),
        gold=str(problem.answer),
        response=response,
        rejected=rejected,
        positives=others,
        candidates=_candidates(problem, right, form, candidates),
        structure=_structure(problem, right) if writer == "long" else (),
        meta=meta,
    )


def _with_negatives(
    record: TrainRecord,
    problem: SynthProblem,
    writer: Style | Author,
    form: Form,
    errors: Sequence[ErrorKind],
    count: int,
) -> TrainRecord:
    """The record with further wrong chains than its `rejected`, as many as the problem has."""
    if writer == "long":
        raise DataError("wrong chains are short or plain: leave negatives out, or style=long")
    found: dict[str, str | None] = {}
    for variant in range(1, _TRIES * count):
        if len(found) == count:
            break
        wrong = _wrong(problem, variant, writer, errors)
        text = render(wrong, form, boxed=False)
        if text != record.rejected:
            found.setdefault(text, wrong.error_kind)
    return replace(record, negatives=tuple(found), meta={**record.meta, "negative_kinds": list(found.values())})


def _says(answer: int) -> str:
    return f"The answer is {answer}."


def _error(right: Chain, wrong: Chain, form: Form) -> dict[str, Json]:
    """Where the mistake is: which step, of which kind, and its characters in both twins."""
    if wrong.error_step is None:
        raise AssertionError("a wrong chain without a wrong step")  # pragma: no cover
    counterpart = next(i for i, step in enumerate(right.steps) if step.sub == wrong.steps[wrong.error_step].sub)
    return {
        "error_step": wrong.error_step,
        "error_kind": wrong.error_kind,
        "error_span": _span(wrong, wrong.error_step, form),
        "right_span": _span(right, counterpart, form),
    }


def _span(chain: Chain, index: int, form: Form) -> list[int]:
    """The characters [start, end) of a step in the rendered chain, whose steps are joined by one blank."""
    start = len("<think>\n") if form == "think" else 0
    start += sum(len(step.text) + 1 for step in chain.steps[:index])
    return [start, start + len(chain.steps[index].text)]


def _others(problem: SynthProblem, response: str, form: Form, count: int) -> tuple[str, ...]:
    """Other right responses: other styles first, then other orders of the steps."""
    texts = [render(chain, form, boxed=False) for chain in correct_chains(problem, count + 3)] if count else []
    return tuple(text for text in texts if text != response)[:count]


def _candidates(problem: SynthProblem, right: Chain, form: Form, count: int) -> tuple[Candidate, ...]:
    """Answers to one chain, as CoTD-PO samples them: the right one and those that mistakes would lead to."""
    if count == 0:
        return ()
    answers = {problem.answer: None}
    for variant in range(_TRIES * count):
        if len(answers) == count:
            break
        answers.setdefault(wrong_chain(problem, variant).answer)
    further = problem.answer
    while len(answers) < count:  # a small problem has few mistakes
        further += 1
        answers.setdefault(further)
    steps = render(right, "steps")
    return tuple(
        Candidate(
            text=render_response(steps, _says(answer)) if form == "think" else f"{steps}\n{_says(answer)}",
            reward=float(answer == problem.answer),
            correct=answer == problem.answer,
            source="synth",
        )
        for answer in answers
    )


def _structure(problem: SynthProblem, chain: Chain) -> tuple[ChainStep, ...]:
    """A long chain's stages: the sub-question is the meta-reasoning, the equations (and the check) the solution."""
    stages = []
    for sub_id, group in groupby(chain.steps, key=lambda step: step.sub):
        question = problem.sub(sub_id).question
        text = " ".join(step.text for step in group)
        if not text.startswith(question):
            raise AssertionError(f"{problem.id}: {sub_id} does not begin with its question")  # pragma: no cover
        stages.append(ChainStep(question, text[len(question) :].strip()))
    return tuple(stages)
