"""KRSL as a method: key flags of the examples, the loss by hand, reductions, the guard, known wrong steps."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import pytest
import torch
from objective_steps import Student, assert_invariant, record

from backends.base import Step, TrainMethod, load_method
from backends.losses.edit import key_tokens
from backends.methods.krsl import KEY, KeyStepObjective, KrslOptions, examples
from backends.records.segments import Encoder, Example
from backends.records.synth import synth_records
from harness.errors import ConfigError, TrainingStopped
from harness.options import parse_options

RECORDS = [
    record(0, response="3 + 4 = 7, the answer is 7", rejected="3 + 4 = 8, the answer is 8"),
    record(1, response="take two, so 2", rejected="give one and one, so 11"),
    record(2, response="yes", rejected="no"),
]


@pytest.fixture(scope="module")
def pairs(student: Student) -> tuple[Example, ...]:
    return student.examples(examples, RECORDS)


def objective(**options: Any) -> KeyStepObjective:
    return KeyStepObjective(KrslOptions(**options))


def keys(example: Example) -> list[np.ndarray[Any, Any]]:
    return [sequence.extras[KEY] for sequence in example.sequences]


def test_flags_are_those_of_the_response_tokens_alone(student: Student, pairs: Sequence[Example]) -> None:
    for example in pairs:
        right, wrong = example.sequences
        found = key_tokens(right.ids_T[right.supervised_T], wrong.ids_T[wrong.supervised_T])
        for sequence, expected in zip((right, wrong), found, strict=True):
            flags = sequence.extras[KEY]
            assert flags.dtype == np.bool_ and flags.shape == sequence.ids_T.shape
            assert flags[sequence.supervised_T].tolist() == expected.tolist()
            assert not flags[~sequence.supervised_T].any()
    right, wrong = pairs[0].sequences
    assert student.tokenizer.decode(right.ids_T[right.extras[KEY]].tolist()) == "77"
    assert student.tokenizer.decode(wrong.ids_T[wrong.extras[KEY]].tolist()) == "88"


def by_hand(student: Student, pairs: Sequence[Example], alpha: float, beta: float) -> torch.Tensor:
    total = torch.zeros((), dtype=torch.float64)
    for example, right, wrong in zip(pairs, student.logps(pairs, 0), student.logps(pairs, 1), strict=True):
        flags = [torch.tensor(s.extras[KEY][s.supervised_T]) for s in example.sequences]
        total = total - alpha * right[flags[0]].sum() / len(right) + beta * wrong[flags[1]].sum() / len(wrong)
    return total / len(pairs)


@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 0.025), (0.5, 0.5), (0.0, 1.0)])
def test_the_step_is_the_formula_in_value_and_gradient(
    student: Student, pairs: Sequence[Example], alpha: float, beta: float
) -> None:
    step = student.step(objective(alpha=alpha, beta=beta), pairs)
    loss = by_hand(student, pairs, alpha, beta)
    assert step.loss == pytest.approx(loss.item())
    torch.testing.assert_close(step.grads, student.gradients(loss), rtol=1e-6, atol=1e-10)


def test_what_is_logged(student: Student, pairs: Sequence[Example]) -> None:
    step = student.step(objective(), pairs, sizes=(1, 2))
    flags = [flag for example in pairs for flag in keys(example)]
    responses = sum(int(s.supervised_T.sum()) for example in pairs for s in example.sequences)
    assert step.log["key_share"] == pytest.approx(sum(int(f.sum()) for f in flags) / responses)
    wrong = [
        logps[torch.tensor(e.sequences[1].extras[KEY][e.sequences[1].supervised_T])]
        for e, logps in zip(pairs, student.logps(pairs, 1), strict=True)
    ]
    assert step.log["rejected_key_nll"] == pytest.approx(-torch.cat(wrong).mean().item())
    assert step.log["chosen_loss"] + step.log["rejected_loss"] == pytest.approx(step.loss)
    assert step.log["rejected_loss"] < 0 < step.log["chosen_loss"]


def test_micro_batches_and_padding_change_nothing(student: Student, pairs: Sequence[Example]) -> None:
    assert_invariant(student, objective, pairs)
    assert_invariant(student, lambda: objective(drop_above=7.0), pairs)


def test_identical_twins_teach_nothing(student: Student) -> None:
    (pair,) = student.examples(examples, [record(0, response="same", rejected="emas")])
    right = dataclasses.replace(pair.sequences[0], extras={KEY: np.zeros(len(pair.sequences[0].ids_T), np.bool_)})
    step = student.step(objective(), (dataclasses.replace(pair, sequences=(right, right)),))
    assert step.loss == 0.0 and step.log["key_share"] == 0.0 and step.log["rejected_key_nll"] == 0.0
    assert all(not grad.any() for grad in step.grads.values())


def test_with_every_right_token_a_key_it_is_sft_by_sequence_mean(student: Student) -> None:
    # No byte of the right response is in the wrong one; the end of sequence is, and is made a key by hand.
    records = [record(0, response="abc", rejected="xyzw"), record(1, response="de", rejected="q")]
    disjoint = student.examples(examples, records)
    for example in disjoint:
        right = example.sequences[0]
        assert right.extras[KEY][right.supervised_T].tolist()[:-1] == [True] * (int(right.supervised_T.sum()) - 1)
        right.extras[KEY][-1] = True
    step = student.step(objective(alpha=1.0, beta=0.0), disjoint)
    loss = -torch.stack([logps.mean() for logps in student.logps(disjoint, 0)]).mean()
    assert step.loss == pytest.approx(loss.item())
    torch.testing.assert_close(step.grads, student.gradients(loss), rtol=1e-6, atol=1e-10)


def test_tokens_above_the_limit_are_dropped_on_the_wrong_side_only(student: Student, pairs: Sequence[Example]) -> None:
    everything = student.step(objective(drop_above=1e-9), pairs)
    assert everything.loss == pytest.approx(by_hand(student, pairs, 1.0, 0.0).item())
    assert everything.log["rejected_loss"] == 0.0
    assert student.step(objective(drop_above=1e9), pairs).loss == pytest.approx(
        by_hand(student, pairs, 1.0, 0.025).item()
    )


def test_training_stops_where_the_wrong_steps_are_unlearned() -> None:
    logged = {"rejected_key_nll": 20.5}
    with pytest.raises(TrainingStopped, match=r"20\.5 nats at step 8.*drop_above at 20"):
        objective(drop_above=None).after_step(logged, Step(7, 10))
    objective(drop_above=None).after_step({"rejected_key_nll": 19.5}, Step(7, 10))
    objective().after_step(logged, Step(7, 10))


@pytest.mark.parametrize("option", ["alpha", "beta"])
def test_negative_weights_are_refused(option: str) -> None:
    with pytest.raises(ConfigError, match="beta is subtracted"):
        parse_options(KrslOptions, {option: "-0.025"}, "krsl")


@pytest.mark.parametrize("style", ["plain", "short"])
def test_the_known_wrong_step_is_among_the_keys(student: Student, style: Any) -> None:
    records = synth_records(0, 100, (1, 2), style=style)
    method = cast(TrainMethod, load_method("krsl"))
    stage = method.stages(KrslOptions())[1]
    found, shares = 0, []
    for entry, example in zip(records, stage.examples(Encoder(student.tokenizer, 2048), records).examples, strict=True):
        assert entry.rejected is not None
        wrong = example.sequences[1]
        (first, last), key = cast(list[int], entry.meta["error_span"]), wrong.extras[KEY][wrong.supervised_T]
        assert entry.rejected.isascii() and len(key) == len(entry.rejected) + 1  # one token a character, and the end
        found += bool(key[first:last].any())
        shares.append(np.concatenate(keys(example)).sum() / sum(s.supervised_T.sum() for s in example.sequences))
    assert found >= 0.95 * len(records)
    assert 0.0 < np.mean(shares) < 0.15
