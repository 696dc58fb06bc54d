"""DPO, Zephyr, SimPO, ORPO and REDI as methods: values and gradients by hand, invariants, where pairs come from."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, cast

import pytest
import torch
from objective_steps import Student, assert_invariant, record
from torch import Tensor
from torch.nn.functional import logsigmoid

from backends.base import Objective, TrainMethod, load_method
from backends.methods.preference import DpoObjective
from backends.records.record import Candidate, ChainStep
from backends.records.segments import Encoder, Example
from harness.errors import ConfigError, DataError
from harness.options import parse_options

PAIRS = ["dpo", "simpo", "orpo", "redi"]
RECORDS = [
    record(0, response="two and two is four", rejected="two and two is five!"),
    record(1, response="yes", rejected="no, never"),
    record(2, response="a longer answer, to the point", rejected="so"),
]


def made(name: str, **options: str) -> Any:
    """The last stage of a method."""
    method = cast(TrainMethod, load_method(name))
    return method.stages(parse_options(method.options, options, name))[-1]


def objective(student: Student, examples: tuple[Example, ...], name: str, **options: str) -> Objective:
    found: Objective = made(name, **options).objective()
    found.setup(student.training(examples))
    return found


def by_hand(name: str, right: Tensor, wrong: Tensor, reference: tuple[float, float]) -> Tensor:
    """The loss of one pair, from the papers' formulas at their defaults."""
    if name == "dpo":
        return -logsigmoid(0.01 * ((right.sum() - reference[0]) - (wrong.sum() - reference[1])))
    good, bad = right.mean(), wrong.mean()
    if name == "simpo":
        return -logsigmoid(2.0 * good - 2.0 * bad - 1.0)
    if name == "orpo":
        odds = [p / (1 - p) for p in (good.exp(), bad.exp())]
        return -good - 0.3 * logsigmoid(odds[0].log() - odds[1].log())
    return -good + 0.8 * bad


@pytest.mark.parametrize("name", PAIRS)
def test_the_step_is_the_papers_formula_in_value_and_gradient(student: Student, name: str) -> None:
    examples = student.examples(made(name).examples, RECORDS)
    trained = objective(student, examples, name)
    reference = [(a.sum().item(), b.sum().item()) for a, b in both(student, examples)]
    kept = {key: value.clone() for key, value in student.model.state_dict().items()}
    try:
        with torch.no_grad():  # the student moves away from the reference
            torch.manual_seed(1)
            for weight in student.model.parameters():
                weight += 0.05 * torch.randn_like(weight)
        step = student.step(trained, examples)
        sides = both(student, examples)
        losses = [by_hand(name, a, b, ref) for (a, b), ref in zip(sides, reference, strict=True)]
        loss = torch.stack(losses).mean()
        # the stored reference is in float32: sums of a hundred nats to six digits, times beta
        tolerance = {"rtol": 1e-5, "atol": 1e-7} if name == "dpo" else {"rtol": 1e-6, "atol": 1e-9}
        assert step.loss == pytest.approx(loss.item(), abs=tolerance["atol"])
        torch.testing.assert_close(step.grads, student.gradients(loss), **tolerance)
        assert step.log["chosen_logp"] == pytest.approx(sum(a.mean().item() for a, _ in sides) / 3)
        if name != "dpo":
            ahead = [a.mean() > b.mean() for a, b in sides]
            assert step.log["preferred"] == pytest.approx(sum(map(float, ahead)) / 3)
        assert step.log["rejected_logp"] == pytest.approx(sum(b.mean().item() for _, b in sides) / 3)
    finally:
        student.model.load_state_dict(kept)


def both(student: Student, examples: tuple[Example, ...]) -> list[tuple[Tensor, Tensor]]:
    return list(zip(student.logps(examples, 0), student.logps(examples, 1), strict=True))


@pytest.mark.parametrize("name", PAIRS)
def test_micro_batches_and_padding_change_nothing(student: Student, name: str) -> None:
    examples = student.examples(made(name).examples, RECORDS)
    assert_invariant(student, lambda: objective(student, examples, name), examples)


@pytest.mark.parametrize("name", PAIRS)
def test_an_identical_pair_has_no_preference(student: Student, name: str) -> None:
    (pair,) = student.examples(made(name).examples, [record(0, response="same", rejected="other")])
    examples = (dataclasses.replace(pair, sequences=(pair.sequences[0], pair.sequences[0])),)
    step = student.step(objective(student, examples, name), examples)
    (logps,) = student.logps(examples, 0)
    nll = -logps.mean().item()
    expected = {
        "dpo": math.log(2),
        "simpo": -math.log(1 / (1 + math.e)),
        "orpo": nll + 0.3 * math.log(2),
        "redi": (1 - 0.8) * nll,
    }
    assert step.loss == pytest.approx(expected[name], abs=1e-9)
    assert step.log["margin"] == pytest.approx(0.0, abs=1e-5) and step.log["preferred"] in (0.0, 1.0)
    if name in ("dpo", "simpo"):
        assert max(grad.abs().max().item() for grad in step.grads.values()) < 1e-12


def test_dpo_starts_at_log_2_and_the_reference_is_by_data_set_index(student: Student) -> None:
    examples = student.examples(made("dpo").examples, RECORDS)
    trained = cast(DpoObjective, objective(student, examples, "dpo", beta="0.5"))
    assert student.step(trained, examples).loss == pytest.approx(math.log(2), abs=1e-5)
    sums = [[a.sum().item(), b.sum().item()] for a, b in both(student, examples)]
    torch.testing.assert_close(trained.reference_N2.double(), torch.tensor(sums, dtype=torch.float64))
    # the last pair alone, as a later micro-batch: still its own reference
    batch = student.batch(examples[2:], start=2)
    assert batch.index_R.tolist() == [2, 2]
    assert student.step(trained, examples, sizes=(2, 1)).loss == pytest.approx(math.log(2), abs=1e-5)


def test_swapping_the_pair_turns_the_margin_round(student: Student) -> None:
    turned = [record(i, response=r.rejected, rejected=r.response) for i, r in enumerate(RECORDS)]
    logs = []
    for records in (RECORDS, turned):
        examples = student.examples(made("simpo").examples, records)
        logs.append(student.step(objective(student, examples, "simpo"), examples).log["margin"])
    assert logs[0] == pytest.approx(-logs[1]) and abs(logs[0]) > 1e-3


def test_options_reach_the_loss(student: Student) -> None:
    examples = student.examples(made("simpo").examples, RECORDS)
    margins = [1.5 * (a.mean() - b.mean()) for a, b in both(student, examples)]
    step = student.step(objective(student, examples, "simpo", beta="1.5", gamma="0.25"), examples)
    assert step.loss == pytest.approx(-logsigmoid(torch.stack(margins) - 0.25).mean().item())


@pytest.mark.parametrize(("name", "option"), [("redi", "alpha"), ("orpo", "beta")])
def test_without_its_second_term_it_is_sft_by_sequence_mean(student: Student, name: str, option: str) -> None:
    examples = student.examples(made(name).examples, RECORDS)
    step = student.step(objective(student, examples, name, **{option: "0"}), examples)
    loss = -torch.stack([logps.mean() for logps in student.logps(examples, 0)]).mean()
    assert step.loss == pytest.approx(loss.item())
    torch.testing.assert_close(step.grads, student.gradients(loss), rtol=1e-6, atol=1e-9)


# --- where pairs come from --------------------------------------------------------------------------------------------


def ranked(number: int, *rewards: float | None) -> Any:
    candidates = tuple(Candidate(f"answer {place}", reward=reward) for place, reward in enumerate(rewards))
    return record(number, candidates=candidates)


def texts(student: Student, examples: tuple[Example, ...]) -> list[list[str]]:
    return [
        [student.tokenizer.decode(s.ids_T[s.supervised_T][:-1].tolist()) for s in example.sequences]
        for example in examples
    ]


def test_pairs_of_candidates_best_against_worst(student: Student) -> None:
    stage = made("dpo", pairs="best_worst")
    assert stage.needs == ("candidates",)
    entry = dataclasses.replace(ranked(0, 0.5, 2.0, -1.0, 2.0, -1.0), structure=(ChainStep("of the", "response"),))
    examples = student.examples(stage.examples, [entry])
    assert texts(student, examples) == [["answer 1", "answer 2"]]


def test_pairs_of_candidates_best_against_a_random_worse_one(student: Student) -> None:
    stage = made("zephyr", pairs="best_other")
    found = texts(student, student.examples(stage.examples, [ranked(i, 1.0, 0.5, 0.0, 1.0) for i in range(24)]))
    assert {best for best, _ in found} == {"answer 0"}
    assert {other for _, other in found} == {"answer 1", "answer 2"}
    again = texts(student, student.examples(stage.examples, [ranked(i, 1.0, 0.5, 0.0, 1.0) for i in range(24)]))
    assert again == found


ON_PAIRS = [*PAIRS, "zephyr", "krsl"]


@pytest.mark.parametrize("name", ON_PAIRS)
@pytest.mark.parametrize("rejected", ["same", "same<|end|>", "same<|end|>\n"])
def test_equal_sides_are_no_pair_and_are_counted(student: Student, name: str, rejected: str) -> None:
    encoder, stage = Encoder(student.tokenizer, 512), made(name)
    equal = record(1, response="same", rejected=rejected)
    data = stage.examples(encoder, [RECORDS[0], equal])
    assert [example.id for example in data.examples] == ["r0"] and data.left_out == {"no_pair": ("r1",)}
    with pytest.raises(DataError, match="left out 1 record without a better and a worse side"):
        stage.examples(encoder, [equal])


@pytest.mark.parametrize("pairs", ["best_other", "best_worst"])
def test_candidates_of_one_text_are_no_pair_whatever_their_rewards(student: Student, pairs: str) -> None:
    twice = record(0, candidates=(Candidate("same", 1.0), Candidate("same", 0.0)))
    data = made("simpo", pairs=pairs).examples(Encoder(student.tokenizer, 512), [twice, ranked(1, 1.0, 0.0)])
    assert [example.id for example in data.examples] == ["r1"] and data.left_out == {"no_pair": ("r0",)}


def test_equal_candidates_are_no_pair_and_are_counted(student: Student) -> None:
    encoder = Encoder(student.tokenizer, 512)
    for pairs in ("best_other", "best_worst"):
        stage = made("simpo", pairs=pairs)
        data = stage.examples(encoder, [ranked(0, 1.0, 1.0), ranked(1, 1.0, 0.0)])
        assert [example.id for example in data.examples] == ["r1"] and data.left_out == {"no_pair": ("r0",)}
        with pytest.raises(DataError, match="no candidate has a higher reward"):
            stage.examples(encoder, [ranked(0, 1.0, 1.0)])


@pytest.mark.parametrize("rewards", [(1.0,), (1.0, None)])
def test_a_record_without_two_rewarded_candidates_is_refused(student: Student, rewards: tuple[float, ...]) -> None:
    with pytest.raises(DataError, match=r"'r0'.*two candidates"):
        student.examples(made("redi", pairs="best_worst").examples, [ranked(0, *rewards)])


@pytest.mark.parametrize("name", ["zephyr", "redi", "krsl"])
def test_sft_comes_first_and_takes_its_share(student: Student, name: str) -> None:
    method = cast(TrainMethod, load_method(name))
    both_stages = method.stages(parse_options(method.options, {"sft_share": "0.3"}, name))
    assert [stage.share for stage in both_stages] == [0.3, 0.7] and both_stages[0].name == "sft"
    (example,) = student.examples(both_stages[0].examples, RECORDS[:1])
    assert texts(student, (example,)) == [["two and two is four"]]
    (alone,) = method.stages(parse_options(method.options, {"sft_stage": "no"}, name))
    assert alone.share == 1.0 and alone.name == both_stages[1].name


def test_the_sft_stage_of_candidates_learns_the_best(student: Student) -> None:
    method = cast(TrainMethod, load_method("redi"))
    first, _ = method.stages(parse_options(method.options, {"pairs": "best_worst"}, "redi"))
    assert texts(student, student.examples(first.examples, [ranked(0, 0.0, 1.0)])) == [["answer 1"]]


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        ("dpo", "beta", "0"),
        ("zephyr", "beta", "-1"),
        ("zephyr", "sft_share", "1"),
        ("simpo", "gamma", "-0.1"),
        ("orpo", "beta", "-1"),
        ("redi", "alpha", "1.1"),
        ("redi", "sft_share", "0"),
        ("dpo", "pairs", "all"),
    ],
)
def test_bad_options_are_refused(name: str, option: str, value: str) -> None:
    with pytest.raises(ConfigError, match=option):
        made(name, **{option: value})
