"""CoTD-PO as a method: one rationale and K answers, the loss by hand, missing answers, what is left out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from objective_steps import Student, assert_invariant, assert_same_step, record, think
from torch import Tensor

from backends.makers.cotd import Candidates
from backends.methods.cotd_po import CotdPoObjective, CotdPoOptions, examples
from backends.records.record import Candidate, TrainRecord
from backends.records.segments import CODE, Encoder, Example
from backends.records.spans import together
from backends.records.synth import synth_records
from harness.errors import ConfigError, DataError
from harness.options import parse_options


def answers(number: int, chain: str, *scored: tuple[str, float]) -> TrainRecord:
    return record(number, candidates=tuple(Candidate(think(chain, text), reward=reward) for text, reward in scored))


RECORDS = [
    answers(0, "2 + 3 = 5", ("It is 5.", 1.0), ("5", 0.5), ("no idea, maybe 6", -2.0)),
    answers(1, "well", ("yes", 0.0), ("no", 3.0)),
    answers(2, "one way", ("the only answer", 0.7)),
]


@pytest.fixture(scope="module")
def prompts(student: Student) -> tuple[Example, ...]:
    return student.examples(examples, RECORDS)


def objective(**options: Any) -> CotdPoObjective:
    return CotdPoObjective(CotdPoOptions(**options))


def parts(student: Student, example: Example) -> tuple[Tensor, list[Tensor]]:
    """By hand: log-probabilities of the rationale's tokens and of each answer's."""
    chain, found = torch.zeros(0), []
    for slot, sequence in enumerate(example.sequences):
        (logps,) = student.logps([example], slot)
        segments = torch.tensor(sequence.segments_T[sequence.supervised_T])
        chain = logps[segments == CODE["think"]]
        found.append(logps[segments == CODE["answer"]])
    return chain, found


def by_hand(student: Student, prompts: Sequence[Example], options: CotdPoOptions) -> Tensor:
    losses = []
    for example in prompts:
        chain, found = parts(student, example)
        rewards = torch.tensor(example.rewards, dtype=torch.float64)
        positions = max(len(sequence.ids_T) for sequence in example.sequences) - 1
        score = torch.stack(
            [logps.mean() if options.score_norm == "mean" else logps.sum() / positions for logps in found]
        )
        mean = torch.stack([logps.mean() for logps in found])
        if options.reward_norm == "minmax5":
            scaled = 5 * (rewards - rewards.min()) / (rewards.max() - rewards.min() + 1e-3)
        else:
            scaled = rewards
        term = -(scaled.softmax(-1) * (options.lam * score).log_softmax(-1)).sum()
        if options.arm == "pairwise":
            best, worst = int(rewards.argmax()), int(rewards.argmin())
            margin = options.beta * (mean[best] - mean[worst]) - options.gamma
            term = -torch.nn.functional.logsigmoid(margin) - mean[best]
        losses.append(-chain.mean() + options.alpha * term)
    return torch.stack(losses).mean()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"score_norm": "mean", "lam": 0.1},
        {"lam": 20.0},
        {"reward_norm": "raw", "alpha": 0.3},
        {"arm": "pairwise", "beta": 1.5, "gamma": 0.5, "alpha": 0.7},
    ],
    ids=str,
)
def test_the_step_is_the_formula_in_value_and_gradient(
    student: Student, prompts: Sequence[Example], options: dict[str, Any]
) -> None:
    step = student.step(objective(**options), prompts)
    loss = by_hand(student, prompts, CotdPoOptions(**options))
    # rewards are in float32: six digits
    assert step.loss == pytest.approx(loss.item(), rel=1e-6)
    torch.testing.assert_close(step.grads, student.gradients(loss), rtol=1e-5, atol=1e-7)


def test_the_default_is_what_the_authors_code_computes(student: Student, prompts: Sequence[Example]) -> None:
    """-0.5 times the mean cross-entropy of the answer's labels over all positions of rows padded to one length."""
    losses = []
    for example in prompts:
        length = max(len(sequence.ids_T) for sequence in example.sequences)
        scores = []
        for sequence in example.sequences:
            labels = torch.full((length,), -100)
            labels[: len(sequence.ids_T)] = torch.tensor(
                np.where(sequence.segments_T == CODE["answer"], sequence.ids_T, -100)
            )
            ids = torch.zeros(length, dtype=torch.int64)
            ids[: len(sequence.ids_T)] = torch.tensor(sequence.ids_T)
            logits = student.model(input_ids=ids[None]).logits[0, :-1].detach()
            entropy = torch.nn.functional.cross_entropy(logits, labels[1:], ignore_index=-100, reduction="none")
            scores.append(-0.5 * entropy.mean())
        rewards = torch.tensor(example.rewards, dtype=torch.float64)
        scaled = (rewards - rewards.min()) / (rewards.max() - rewards.min() + 0.001) * 5
        losses.append(-(scaled.softmax(-1) * torch.stack(scores).log_softmax(-1)).sum())
    step = student.step(objective(), prompts, sizes=(2, 1))
    assert step.log["apa"] == pytest.approx(torch.stack(losses).mean().item(), rel=1e-6)


FORMS = {
    "think": think("the answer is 3, no", "4"),
    "markers": "My thought: the answer is 3, no\nMy answer: 4",
    "bold markers": "**My thought:** well \\boxed{3}\n**My answer:** 4",
    "other tags": "[THINK]the answer is 3[/THINK]\n4",
}
CUES = {"think": "</think>", "markers": "My answer:", "bold markers": "My answer:**", "other tags": "[/THINK]"}


@pytest.mark.parametrize("form", FORMS)
def test_the_cue_is_trained_with_the_rationale(student: Student, form: str) -> None:
    encoder = Encoder(student.tokenizer, 512)
    (example,) = examples(encoder, [record(0, candidates=(Candidate(FORMS[form], reward=1.0),))]).examples
    _, (part, chain), (last, answer) = encoder.runs(example.sequences[0])
    assert (part, last) == ("think", "answer") and chain.endswith(CUES[form])
    assert answer.lstrip() == "4<|end|>"


@pytest.mark.parametrize("response", [None, think("a", "b")], ids=["markers", "think"])
def test_the_rationale_is_all_that_the_sampler_writes_before_the_answer(student: Student, response: str | None) -> None:
    asked = record(0, think="2 + 2 = 4, the answer is 4", response=response)
    sampler = Candidates([asked], "s", reward="builtins:len", k=2)
    given = sampler.first()[0].problem.messages[-1].content
    encoder = Encoder(student.tokenizer, 512)
    (example,) = examples(
        encoder, [record(0, candidates=(Candidate(together(asked, "It is 4."), reward=1.0),))]
    ).examples
    chain = [text for part, text in encoder.runs(example.sequences[0]) if part == "think"]
    assert chain == [given]


@pytest.mark.parametrize("options", [{}, {"arm": "pairwise"}], ids=str)
def test_micro_batches_and_padding_change_nothing(
    student: Student, prompts: Sequence[Example], options: dict[str, Any]
) -> None:
    assert_invariant(student, lambda: objective(**options), prompts)


def test_alpha_0_is_sft_on_the_rationales_by_sequence_mean(student: Student, prompts: Sequence[Example]) -> None:
    step = student.step(objective(alpha=0.0), prompts)
    loss = -torch.stack([parts(student, example)[0].mean() for example in prompts]).mean()
    assert step.loss == pytest.approx(loss.item())
    torch.testing.assert_close(step.grads, student.gradients(loss), rtol=1e-6, atol=1e-10)
    assert step.log["rationale_nll"] == pytest.approx(loss.item())


def test_a_single_answer_has_nothing_to_be_compared_with(student: Student, prompts: Sequence[Example]) -> None:
    step = student.step(objective(), prompts[2:])
    assert step.log["apa"] == 0.0 and step.log["entropy"] == 0.0
    assert step.loss == pytest.approx(step.log["rationale_nll"])
    assert_same_step(step, student.step(objective(alpha=0.0), prompts[2:]))


def test_the_order_of_the_answers_does_not_matter(student: Student) -> None:
    (entry,) = RECORDS[:1]
    turned = record(0, candidates=entry.candidates[::-1])
    steps = [student.step(objective(), student.examples(examples, [each])) for each in (entry, turned)]
    assert_same_step(steps[0], steps[1], atol=1e-6)


def test_the_logs_are_of_the_students_choice(student: Student, prompts: Sequence[Example]) -> None:
    entropy, reward, nll = 0.0, 0.0, 0.0
    for example in prompts:
        chain, found = parts(student, example)
        positions = max(len(sequence.ids_T) for sequence in example.sequences) - 1
        chosen = (0.5 * torch.stack([logps.sum() / positions for logps in found])).softmax(-1)
        entropy -= (chosen * chosen.log()).sum().item() / 3
        reward += (chosen * torch.tensor(example.rewards)).sum().item() / 3
        nll -= chain.mean().item() / 3
    log = student.step(objective(), prompts, sizes=(1, 2)).log
    assert log["entropy"] == pytest.approx(entropy) and log["reward"] == pytest.approx(reward, rel=1e-6)
    assert log["rationale_nll"] == pytest.approx(nll)


def test_equal_rewards_and_the_logs(student: Student) -> None:
    same = student.examples(examples, [answers(0, "c", ("a", 1.0), ("a", 1.0))])
    step = student.step(objective(), same)
    log2 = torch.log(torch.tensor(2.0)).item()
    assert step.log["apa"] == pytest.approx(log2) and step.log["entropy"] == pytest.approx(log2)
    assert step.log["reward"] == pytest.approx(1.0)
    alone = student.step(objective(alpha=0.0), same)
    torch.testing.assert_close(step.grads, alone.grads, rtol=1e-6, atol=1e-10)


def test_candidates_of_other_chains_are_left_out_and_counted(student: Student) -> None:
    other = record(7, candidates=(Candidate(think("a", "b"), reward=1.0), Candidate(think("c", "b"), reward=0.0)))
    plain = record(8, candidates=(Candidate("no chain", reward=1.0),))
    data = examples(Encoder(student.tokenizer, 512), [*RECORDS, other, plain])
    assert [example.id for example in data.examples] == ["r0", "r1", "r2"]
    assert data.left_out == {"no_split": ("r8",), "other_chain": ("r7",)}
    with pytest.raises(DataError, match="do not follow one and the same chain, the first 'r7'"):
        examples(Encoder(student.tokenizer, 512), [other])


def test_candidates_without_a_reward_are_refused(student: Student) -> None:
    bare = record(0, candidates=(Candidate(think("a", "b")),))
    with pytest.raises(DataError, match="candidate 0 has no reward"):
        examples(Encoder(student.tokenizer, 512), [bare])


@pytest.mark.parametrize("form", ["think", "plain"])
def test_the_candidates_of_the_embedded_world_share_their_chain(student: Student, form: Any) -> None:
    records = synth_records(0, 20, (1, 2), form=form, candidates=4)
    data = examples(Encoder(student.tokenizer, 2048), records)
    assert len(data.examples) == 40 and not data.left_out


@pytest.mark.parametrize(("option", "value"), [("alpha", "-1"), ("lam", "0"), ("arm", "list"), ("score_norm", "max")])
def test_bad_options_are_refused(option: str, value: str) -> None:
    with pytest.raises(ConfigError, match=option):
        parse_options(CotdPoOptions, {option: value}, "cotd_po")
