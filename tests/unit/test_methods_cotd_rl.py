"""CoTD-PO on answers of the moment: its step is that of cotd_po on the same answers, and prompts end in the thought."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, Literal

import numpy as np
import pytest
import torch
from objective_steps import Student, record

from backends.base import Step, load_method
from backends.methods.cotd_po import CotdPoObjective, CotdPoOptions, examples
from backends.methods.cotd_rl import CotdRlOptions, credit, rationale
from backends.records.record import Candidate, TrainRecord
from backends.records.segments import CODE, Encoder, Example
from backends.records.spans import together
from backends.rollouts.cutting import example_of, fates_of
from backends.rollouts.prompts import prompts
from backends.rollouts.settings import RolloutSettings
from backends.rollouts.source import RolloutSource
from backends.rollouts.types import Rollout, RolloutGroup, RolloutMark
from harness.errors import ConfigError, DataError
from harness.options import parse_options

STEP = Step(0, 1)


def thought(number: int, chain: str, *scored: tuple[str, float], **more: Any) -> TrainRecord:
    bare = record(number, think=chain, response=None, answer="so", **more)
    found = tuple(Candidate(together(bare, text), reward=reward) for text, reward in scored)
    return replace(bare, candidates=found)


RECORDS = [
    thought(0, "2 + 3 = 5", ("It is 5.", 1.0), ("5", 0.5), ("no idea, maybe 6", -2.0)),
    thought(1, "well", ("yes", 0.0), ("no", 3.0), ("perhaps", 1.0)),
]


def source(student: Student, records: list[TrainRecord]) -> RolloutSource:
    (stage,) = load_method("cotd_rl").stages(CotdRlOptions())  # type: ignore[union-attr]
    assert stage.rolling is not None
    return RolloutSource(
        stage="train", rolling=stage.rolling, settings=RolloutSettings(group=3, max_new=8), prompts=2,
        records=tuple(records), encoder=Encoder(student.tokenizer, 512), seed=0, accumulation=1,
    )  # fmt: skip


def drawn(student: Student, stored: Example, record: TrainRecord) -> RolloutGroup:
    """The candidates as if the student had drawn them behind its prompt."""
    made_from = source(student, [record])
    prompt_T = np.array(made_from.wanted(0)[0].prompt.tokens, np.int32)
    rollouts = []
    for slot, sequence in enumerate(stored.sequences):
        answer_T = sequence.segments_T == CODE["answer"]
        assert sequence.ids_T[~answer_T].tolist() == prompt_T.tolist()  # the very tokens that cotd_po trains on
        (logps,) = student.logps([stored], slot)
        logps_T = logps[torch.tensor(answer_T[sequence.supervised_T])].detach().numpy().astype(np.float32)
        rollouts.append(Rollout(record.id, 0, slot, 0, prompt_T, sequence.ids_T[answer_T], logps_T, "", "stop", 0))
    marks = tuple(RolloutMark(reward) for reward in stored.rewards)
    return made_from.measured(RolloutGroup(record, tuple(rollouts), marks))


def trained(
    groups: list[RolloutGroup], options: CotdRlOptions, truncated: Literal["keep", "mask"] = "keep"
) -> list[Example]:
    rows = zip(groups, credit(options, groups, STEP), strict=True)
    found = [
        example_of(rollout, one, fate, 0)
        for group, credits in rows
        for rollout, one, fate in zip(group.rollouts, credits, fates_of(group, credits, truncated), strict=True)
    ]
    return [one for one in found if one is not None]


@pytest.mark.parametrize(
    "told", [{}, {"score_norm": "mean", "lam": 0.1}, {"lam": 20.0, "alpha": 0.3}, {"reward_norm": "raw"}]
)
def test_its_gradient_is_that_of_cotd_po(student: Student, told: dict[str, Any]) -> None:
    stored = student.examples(examples, RECORDS)
    groups = [drawn(student, one, record) for one, record in zip(stored, RECORDS, strict=True)]
    (stage,) = load_method("cotd_rl").stages(CotdRlOptions(**told))  # type: ignore[union-attr]
    ours = student.step(stage.objective(), trained(groups, CotdRlOptions(**told)), (2, 4))  # cut through a prompt
    theirs = student.step(CotdPoObjective(CotdPoOptions(**told)), stored)
    torch.testing.assert_close(ours.grads, theirs.grads, rtol=1e-4, atol=1e-6)
    assert ours.log["rationale_nll"] == pytest.approx(theirs.log["rationale_nll"], rel=1e-6)


def test_an_answer_that_is_cut_off_and_masked_weighs_nothing_and_the_others_as_much_as_before(student: Student) -> None:
    stored = student.examples(examples, RECORDS)
    groups = [drawn(student, one, record) for one, record in zip(stored, RECORDS, strict=True)]
    first, cut, last = groups[0].rollouts
    groups[0] = replace(groups[0], rollouts=(first, replace(cut, finish="length"), last))
    masking = [replace(one, masks_cut=True) for one in groups]
    objective = load_method("cotd_rl").stages(CotdRlOptions())[0].objective  # type: ignore[union-attr]
    kept, masked = trained(groups, CotdRlOptions()), trained(masking, CotdRlOptions(), "mask")
    whole, without = (student.step(objective(), one).grads for one in (kept, masked))
    alone = student.step(objective(), [kept[1]]).grads  # a mean over one answer, where it was one of six
    for name, gradient in without.items():
        torch.testing.assert_close(gradient, whole[name] - alone[name] / 6, rtol=1e-4, atol=1e-6)
    assert source(student, RECORDS).measured(groups[1]).masks_cut is False


def test_an_answer_without_a_value_is_left_out_and_another_brings_the_rationale(student: Student) -> None:
    stored = student.examples(examples, RECORDS[:1])[0]
    group = drawn(student, stored, RECORDS[0])
    found = credit(CotdRlOptions(), [replace(group, marks=(RolloutMark(None), *group.marks[1:]))], STEP)[0]
    assert [one.keep for one in found] == [False, True, True]
    assert [one.learnt for one in found] == [0, group.begun, 0] and group.begun > len("2 + 3 = 5")
    assert sum(
        one.numbers["advantage"] / len(r.tokens_T) for one, r in zip(found[1:], group.rollouts[1:], strict=True)
    ) == (pytest.approx(0.0, abs=1e-9))
    none = replace(group, marks=(RolloutMark(None),) * 3)
    assert not any(one.keep for one in credit(CotdRlOptions(), [none], STEP)[0])


def test_prompts_end_in_the_thought_and_its_cue(student: Student) -> None:
    encoder = Encoder(student.tokenizer, 512)
    found = prompts(encoder, RECORDS, begun=rationale)
    assert [
        encoder.tokenizer.decode(one.sequences[0].ids_T).endswith(rationale(of))
        for one, of in zip(found.examples, RECORDS, strict=True)
    ] == [True, True]
    assert rationale(RECORDS[0]) == "<think>\n2 + 3 = 5\n</think>"
    opens = Encoder(student.tokenizer, 512, template="{{ messages[0].content }}<think>\n")
    prompt = opens.begun(RECORDS[0], rationale(RECORDS[0]))
    text = opens.tokenizer.decode(prompt.tokens)
    assert text.endswith("<think>\n2 + 3 = 5\n</think>") and text.count("<think>") == 1 and not prompt.opened_think
    paper = record(3, think="so", response=None, answer=None)
    assert rationale(paper).startswith("My thought: so") and rationale(paper).endswith("My answer:")
    never = thought(4, "a <think> b")
    left = prompts(encoder, [*RECORDS, never], begun=partial(lambda one: one.think))
    assert left.left_out == {"unclosed_think": (never.id,)}
    with pytest.raises(DataError, match="longer than max_length"):
        prompts(Encoder(student.tokenizer, 20), RECORDS, begun=rationale)


@pytest.mark.parametrize("option", ["lam", "alpha"])
def test_options_out_of_range_are_refused(option: str) -> None:
    with pytest.raises(ConfigError, match=option):
        parse_options(CotdRlOptions, {option: "-1"}, "cotd_rl")
