"""How far a student's reasoning goes the teacher's way: RLKD's structure reward (arXiv 2505.16142, Algorithm 1).

Both paths are cut into steps, by a structure reward model (`gsrm`) or, in worlds whose chains are arithmetic, by a
rule; then the student's i-th step is held against the teacher's i-th. Pairs that are equal after folding, and results
that the mathematical grader finds equal, match without anybody being asked. What is left goes to a judge in waves:
whether the next steps of all completions match, together with the questions and results of those before them.

A path that is empty, or in which a rule finds no step, is the policy's fault and worth 0. No readable list from the
model at the second try, a judge without a readable reply, a path that does not fit the model: no value.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Literal

from backends.rewards.base import Reward
from backends.rollouts.types import LEFT_OUT, Part, RolloutGroup
from backends.structure.cutting import MAX_TOKENS, RULE, CutPath, cut_paths
from backends.structure.matching import algorithm_one, matched_steps, to_ask
from backends.structure.paths import path_of, question_of, written_path
from backends.structure.steps import ASPECTS, Aspect, PathStep
from harness.errors import DataError
from harness.types import Score
from judges.pointwise import RubricJudging
from judges.prompts.rubric import load_rubric
from judges.types import Task

if TYPE_CHECKING:
    from backends.records.record import TrainRecord
    from backends.rewards.scorers import Scorers

EXACT = "exact"
SHUFFLED = 0.01
"""Share of completions of which the judge is also asked about a pair that cannot match."""
_ASKED_AT_ONCE = 1024


@dataclass(slots=True)
class _Walk:
    """One completion beside the teacher."""

    steps: tuple[PathStep, ...]
    closed: bool
    """Whether its thought ended."""
    verdicts: dict[tuple[int, Aspect], bool | None] = field(default_factory=dict)
    why: str = ""


_Pair = tuple[_Walk, int, Aspect, str, str]
"""A walk, a step and an aspect; the teacher's text, the student's."""


@dataclass(frozen=True)
class Structure(Reward):
    """How many of the teacher's steps the completion takes in the teacher's order, by Algorithm 1 of RLKD.

    A step counts 1, halved if its question differs and halved again if its result does; the first that is taken for
    another purpose ends it. The teacher's path is the record's `think`, else the chain of its `response`; one in which
    no step is found leaves its record out.
    """

    gsrm: str = ""
    """What cuts paths into steps: "rule:equations", or a model such as trained:<id> (needed)."""
    match: str = EXACT
    """What holds two steps against each other: "exact", or a judge such as openai:NAME."""
    normalise: Literal["none", "n_teacher"] = "none"
    """"n_teacher": as a share of the teacher's steps."""
    max_tokens: int = MAX_TOKENS
    """Most tokens of a list of steps."""
    shuffle_teacher: bool = False
    """Hold each completion against another record's teacher: a control, under which it must stay near 0."""

    name: ClassVar[str] = "structure"
    version: ClassVar[int] = 1
    low: ClassVar[float] = 0.0
    high: ClassVar[float] = math.inf

    def __post_init__(self) -> None:
        if not self.gsrm or (self.gsrm.startswith("rule:") and self.gsrm != RULE):
            raise ValueError(f"gsrm must say what cuts paths into steps: {RULE}, or a model (trained:<id>)")
        if not self.match:
            raise ValueError(f"match must be {EXACT} or a judge, as openai:NAME")
        if self.max_tokens < 1:
            raise ValueError(f"max_tokens must be at least 1, not {self.max_tokens}")

    def models(self) -> Sequence[str]:
        """The structure reward model and the judge."""
        return tuple(spec for spec in (self.gsrm, self.match) if spec not in (RULE, EXACT))

    def check(self, records: Sequence[TrainRecord]) -> None:
        """Every record has a teacher's path. Loads the rubrics, too."""
        bad = [record.id for record in records if not path_of(record)]
        if bad:
            raise DataError(
                f"the reward structure holds each completion against the teacher's path, and {len(bad)} of "
                f"{len(records)} records have neither 'think' nor a response, the first {bad[0]!r}: add it, or leave "
                "them out"
            )
        if self.shuffle_teacher and len(records) < 2:
            raise DataError("shuffle_teacher holds a completion against another record's teacher: there is only one")
        if self.match != EXACT:
            assert self._judgings

    # --- the teacher ------------------------------------------------------------------------------------------------

    def unmarkable(self, records: Sequence[TrainRecord], scorers: Scorers) -> Mapping[str, str]:
        """Records in whose teacher's path no step is found; all paths are cut here, each once."""
        cut = self._cut([(question_of(record), path_of(record)) for record in records], scorers)
        self._known.update({record.id: one.steps for record, one in zip(records, cut, strict=True) if one.steps})
        left_out = {
            record.id: f"no step is found in the teacher's path{': ' if one.why else ''}{one.why}"
            for record, one in zip(records, cut, strict=True)
            if not one.steps
        }
        if self.shuffle_teacher:
            order = sorted(self._known, key=lambda key: hashlib.sha256(key.encode("utf-8", "replace")).digest())
            self._other.update(zip(order, [*order[1:], *order[:1]], strict=True))
        return left_out

    @cached_property
    def _known(self) -> dict[str, tuple[PathStep, ...]]:
        """Record -> the steps of its teacher's path."""
        return {}

    @cached_property
    def _other(self) -> dict[str, str]:
        """Record -> whose teacher it is held against."""
        return {}

    def _teacher(self, record: TrainRecord, scorers: Scorers) -> tuple[PathStep, ...]:
        if record.id not in self._known:
            self.unmarkable([record], scorers)
        return self._known.get(self._other.get(record.id, record.id), ())

    # --- the completions --------------------------------------------------------------------------------------------

    def score(self, group: RolloutGroup, scorers: Scorers) -> Sequence[Part]:
        """Cut, hold against the teacher, count."""
        teacher = self._teacher(group.record, scorers)
        if not teacher:
            return [Part(None, LEFT_OUT + "no step is found in the teacher's path")] * len(group.rollouts)
        walks = self._walks(group, scorers)
        self._match(teacher, walks, scorers)
        parts = [self._part(len(teacher), walk) for walk in walks]
        for place, yes in self._held_against_others(group, walks, scorers).items():
            if parts[place].value is not None:
                parts[place] = replace(parts[place], more={**parts[place].more, "shuffled": yes})
        return parts

    def _walks(self, group: RolloutGroup, scorers: Scorers) -> list[_Walk]:
        found = [written_path(rollout.text, rollout.opened_think) for rollout in group.rollouts]
        question = question_of(group.record)
        asked = [place for place, (path, _) in enumerate(found) if path]
        cut = dict(zip(asked, self._cut([(question, found[place][0]) for place in asked], scorers), strict=True))
        nothing = CutPath(())
        return [
            _Walk(cut.get(place, nothing).steps, closed, why=cut.get(place, nothing).why)
            for place, (_, closed) in enumerate(found)
        ]

    def _held_against_others(self, group: RolloutGroup, walks: Sequence[_Walk], scorers: Scorers) -> dict[int, float]:
        """Whether the judge takes the first step of some completions for that of another record's teacher: it must not.

        One in a hundred is asked about, the same ones again.
        """
        others = [key for key in sorted(self._known) if key != group.record.id]
        if self.match == EXACT or not others:
            return {}
        found: dict[int, _Walk] = {}
        pairs: list[_Pair] = []
        for place, (walk, rollout) in enumerate(zip(walks, group.rollouts, strict=True)):
            draw = random.Random(f"{rollout.record}\x1f{rollout.visit}\x1f{rollout.sample}\x1f{rollout.text}")
            if walk.steps and draw.random() < SHUFFLED:
                found[place] = _Walk(walk.steps, walk.closed)
                pairs.append((found[place], 0, "step", self._known[draw.choice(others)][0].step, walk.steps[0].step))
        self._asked(self._settled(pairs, scorers), scorers)
        said = {place: walk.verdicts.get((0, "step")) for place, walk in found.items()}
        return {place: float(yes) for place, yes in said.items() if yes is not None}

    def _part(self, teacher: int, walk: _Walk) -> Part:
        value = None if walk.why else algorithm_one(teacher, len(walk.steps), walk.verdicts)
        if value is None:
            return Part(None, walk.why)
        same = matched_steps(teacher, len(walk.steps), walk.verdicts)
        more = {"match": value / teacher, "matched": same / teacher, "unclosed": float(not walk.closed)}
        return Part(value / teacher if self.normalise == "n_teacher" else value, more=more)

    def _cut(self, paths: Sequence[tuple[str, str]], scorers: Scorers) -> list[CutPath]:
        return cut_paths(self.gsrm, paths, scorers.ask, self.max_tokens)

    # --- matching ---------------------------------------------------------------------------------------------------

    def _match(self, teacher: Sequence[PathStep], walks: Sequence[_Walk], scorers: Scorers) -> None:
        """Fill in the verdicts that Algorithm 1 needs, wave by wave."""
        while pairs := self._wave(teacher, walks):
            unsettled = self._settled(pairs, scorers)
            if self.match == EXACT:
                for walk, number, aspect, _, _ in unsettled:
                    walk.verdicts[number, aspect] = False
                continue
            self._asked(unsettled, scorers)

    def _wave(self, teacher: Sequence[PathStep], walks: Sequence[_Walk]) -> list[_Pair]:
        return [
            (walk, number, aspect, getattr(teacher[number], aspect), getattr(walk.steps[number], aspect))
            for walk in walks
            if not walk.why
            for number, aspect in to_ask(len(teacher), len(walk.steps), walk.verdicts)
        ]

    def _settled(self, pairs: Sequence[_Pair], scorers: Scorers) -> list[_Pair]:
        """Give the verdicts that need nobody's judgment; what is left."""
        grading: list[tuple[_Pair, Future[Score]]] = []
        left: list[_Pair] = []
        for pair in pairs:
            walk, number, aspect, ours, theirs = pair
            if folded(ours) == folded(theirs):
                walk.verdicts[number, aspect] = True
            elif aspect == "result":
                grading.append((pair, scorers.pool.submit("math", ours, theirs)))
            else:
                left.append(pair)
        for pair, future in grading:
            walk, number, aspect, _, _ = pair
            score = future.result()
            if score.value == 1.0:
                walk.verdicts[number, aspect] = True
            elif self.match == EXACT and score.value is None:
                walk.verdicts[number, aspect] = None
                walk.why = f"results cannot be compared: {score.why or score.status}"
            else:
                left.append(pair)
        return left

    def _asked(self, pairs: Sequence[_Pair], scorers: Scorers) -> None:
        """Put pairs to the judge, all three questions at once."""

        def ask(aspect: Aspect) -> None:
            mine = [pair for pair in pairs if pair[2] == aspect]
            tasks = [Task("pair", place, ("",), (theirs,), (ours,)) for place, (*_, ours, theirs) in enumerate(mine)]
            judging = self._judgings[aspect]
            for start in range(0, len(mine), _ASKED_AT_ONCE):
                part = slice(start, start + _ASKED_AT_ONCE)
                judgments = scorers.judge(self.match, judging, tasks[part])
                for (walk, number, *_), task, said in zip(mine[part], tasks[part], judgments, strict=True):
                    judged = judging.fold(task, said)
                    walk.verdicts[number, aspect] = None if judged.value is None else judged.value == 1.0
                    if judged.value is None:
                        walk.why = f"the judge gave no verdict on a {aspect}: {judged.why}"[:300]

        with ThreadPoolExecutor(len(ASPECTS), "match") as threads:
            for done in [threads.submit(ask, aspect) for aspect in ASPECTS]:
                done.result()

    @cached_property
    def _judgings(self) -> Mapping[Aspect, RubricJudging]:
        return {aspect: RubricJudging(load_rubric(f"match_{aspect}")) for aspect in ASPECTS}


def folded(text: str) -> str:
    """A text without case, spacing, and the full stop at its end."""
    return " ".join(text.casefold().split()).rstrip(" .")
