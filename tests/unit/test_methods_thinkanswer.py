"""ThinkAnswer as a method: the value by hand, alpha within and between steps, the centre, reductions, checkpoints."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from objective_steps import Student, assert_invariant, record, think

from backends.base import Step
from backends.losses.embeddings import mean_embedding
from backends.losses.positions import HeadLogits
from backends.methods import sft
from backends.methods.thinkanswer import METHOD, ThinkAnswerOptions
from backends.records.segments import CODE, Encoder
from backends.records.synth import synth_records
from harness.errors import ConfigError
from harness.options import parse_options

(STAGE,) = METHOD.stages(ThinkAnswerOptions())

RECORDS = [
    record(0, response=think("1 + 2 = 3.", "3")),
    record(1, response=think("2 * 2 = 4. 4 - 1 = 3.", "So 3.")),
    record(2, response="First this. The answer is 5."),
]


@pytest.fixture
def examples(student):
    return student.examples(STAGE.examples, RECORDS)


def made(student, examples, **options):
    objective = METHOD.stages(ThinkAnswerOptions(**options))[0].objective()
    objective.setup(student.training(examples))
    return objective


def by_hand(student, examples, center=True, soft_pos=False):
    """(L_MIM, answer's mean NLL, chain's mean NLL) of each example, from whole logits."""
    table = student.model.get_input_embeddings().weight.detach()
    middle = mean_embedding(table) if center else 0.0
    found = []
    for example in examples:
        sequence = example.sequences[0]
        ids = torch.tensor(sequence.ids_T, dtype=torch.int64)
        logps = student.model(input_ids=ids[None]).logits[0, :-1].log_softmax(-1)
        nll = -logps.gather(1, ids[1:, None])[:, 0]
        codes = torch.tensor(sequence.segments_T[1:])
        answer = codes == CODE["answer"]
        chain = ~answer & (codes != CODE["prompt"])
        student_means, means = logps[chain].exp() @ table, table[ids[1:][chain]]
        if not soft_pos:
            student_means, means = student_means.mean(0, keepdim=True), means.mean(0, keepdim=True)
        cosine = torch.nn.functional.cosine_similarity(student_means - middle, means - middle, dim=-1).mean()
        found.append(((1 - cosine) / 2, nll[answer].mean(), nll[chain].mean()))
    return [torch.stack(parts) for parts in zip(*found, strict=True)]


@pytest.mark.parametrize("soft_pos", [False, True])
@pytest.mark.parametrize("center", [False, True])
def test_by_hand(student, examples, center, soft_pos):
    mim, answer, chain = by_hand(student, examples, center, soft_pos)
    objective = made(
        student, examples, alpha_schedule="constant", alpha=0.3, center=center, cot_ce_weight=0.1,
        mim_mode="soft_pos" if soft_pos else "soft_mean",
    )  # fmt: skip
    taken = student.step(objective, examples)
    loss = (0.3 * mim + 0.7 * answer + 0.1 * chain).mean()
    assert taken.loss == pytest.approx(loss.item())
    assert taken.log == pytest.approx(
        {"mim": mim.mean().item(), "answer_ce": answer.mean().item(), "think_ce": chain.mean().item(), "alpha": 0.3}
    )
    for name, grad in student.gradients(loss).items():
        torch.testing.assert_close(taken.grads[name], grad, rtol=1e-6, atol=1e-9)


def test_the_stages_of_a_chain_are_its_chain(student):
    examples = student.examples(
        METHOD.stages(ThinkAnswerOptions())[0].examples, synth_records(0, 2, (1,), style="long")
    )
    assert {CODE["meta"], CODE["solve"]} < set(examples[0].sequences[0].segments_T.tolist())
    taken = student.step(made(student, examples), examples)
    mim, answer, chain = by_hand(student, examples)
    expected = {"mim": mim.mean().item(), "answer_ce": answer.mean().item(), "think_ce": chain.mean().item()}
    assert taken.log == pytest.approx({**expected, "alpha": 0.5})


def test_no_similarity_and_one_response_is_sft_on_its_answer(student, examples):
    one = examples[1:2]
    taken = student.step(made(student, one, alpha_schedule="constant", alpha=0.0), one)
    sequence = one[0].sequences[0]
    segments = sequence.segments_T.copy()
    segments[segments == CODE["think"]] = CODE["prompt"]
    masked = dataclasses.replace(one[0], sequences=(dataclasses.replace(sequence, segments_T=segments),))
    right = student.step(sft.LikelihoodObjective(), [masked])
    assert taken.loss == pytest.approx(right.loss)
    for name, grad in right.grads.items():
        torch.testing.assert_close(taken.grads[name], grad, rtol=1e-6, atol=1e-10)


def test_alpha_is_fixed_within_a_step_and_balanced_between_steps(student, examples):
    objective = made(student, examples, ema=0.5, alpha_min=0.0, alpha_max=1.0)
    first = student.step(objective, examples, sizes=(1, 2))
    assert first.log["alpha"] == pytest.approx(0.5)
    c, m = first.log["answer_ce"], first.log["mim"]
    second = student.step(objective, examples, sizes=(2, 1))
    assert second.log["alpha"] == pytest.approx(c / (c + m))
    assert second.log["alpha"] * m == pytest.approx((1 - second.log["alpha"]) * c)
    other = made(student, examples, ema=0.5, alpha_min=0.0, alpha_max=1.0)
    other.load_state_dict(objective.state_dict())
    assert student.step(other, examples).log["alpha"] == student.step(objective, examples).log["alpha"]
    assert STAGE.objective().state_dict() == {}


def test_alpha_is_clamped(student, examples):
    objective = made(student, examples, alpha_max=0.6)
    student.step(objective, examples)
    assert student.step(objective, examples).log["alpha"] == pytest.approx(0.6)


def test_alpha_along_a_line(student, examples):
    objective = made(student, examples, alpha_schedule="linear", alpha_start=0.8, alpha_end=0.2)
    assert [objective.alpha(Step(number, 5)) for number in range(5)] == pytest.approx([0.8, 0.65, 0.5, 0.35, 0.2])


def test_the_center_is_that_of_the_step_while_embeddings_learn(tmp_path, examples):
    student = Student(tmp_path)
    table = student.model.get_input_embeddings().weight
    learning = made(student, examples)
    table.requires_grad_(False)
    frozen = made(student, examples)
    table.requires_grad_(True)
    before = mean_embedding(table)
    assert torch.equal(learning._center_of(table, Step(0, 2)), before)
    with torch.no_grad():
        table += 1.0
    assert torch.equal(learning._center_of(table, Step(0, 2)), before)
    assert torch.equal(learning._center_of(table, Step(1, 2)), mean_embedding(table))
    table.requires_grad_(False)
    first = frozen._center_of(table, Step(0, 2))
    with torch.no_grad():
        table -= 1.0
    assert frozen._center_of(table, Step(1, 2)) is first


@pytest.mark.parametrize(
    "options", [{}, {"mim_mode": "soft_pos"}, {"center": False}, {"alpha_schedule": "linear", "cot_ce_weight": 0.2}]
)
def test_micro_batches_add_up_and_padding_does_nothing(student, examples, options):
    assert_invariant(student, lambda: made(student, examples, **options), examples)


def test_drawn_tokens_run_and_are_drawn_anew(student, examples):
    objective = made(student, examples, mim_mode="sample_st", alpha_schedule="constant")
    torch.manual_seed(0)
    losses = {student.step(objective, examples).loss for _ in range(3)}
    assert len(losses) == 3
    torch.manual_seed(0)
    assert student.step(objective, examples).loss in losses


def test_tied_embeddings_are_the_head(tmp_path, examples):
    student = Student(tmp_path)
    student.model.get_output_embeddings().weight = student.model.get_input_embeddings().weight
    objective = made(student, examples, alpha_schedule="constant", alpha=1.0)
    assert objective._tied
    assert student.step(objective, examples).loss == pytest.approx(by_hand(student, examples)[0].mean().item())


def test_a_layer_whose_weight_is_replaced(tmp_path, examples):
    student = Student(tmp_path)
    objective = made(student, examples, alpha_schedule="constant", alpha=1.0)
    layer = student.model.get_input_embeddings()
    layer.weight = torch.nn.Parameter(-2 * layer.weight.detach().flip(0))  # as sharding does
    assert student.step(objective, examples).loss == pytest.approx(by_hand(student, examples)[0].mean().item())
    whole = layer.weight.detach()

    class Sharded(torch.nn.Parameter):
        def full_tensor(self):
            return whole

    layer.weight = Sharded(torch.zeros(3, 2, dtype=torch.float64))
    (batch,) = student.batches(examples)
    scores = HeadLogits(torch.zeros(*batch.labels_RT.shape, 16, dtype=torch.float64), whole)
    assert objective._embeddings(scores) is whole
    layer.weight = torch.nn.Parameter(torch.empty(0))
    with pytest.raises(ConfigError, match="ZeRO-3"):
        objective._embeddings(scores)


def test_segments_of_synth_records_and_responses_without_a_chain(student):
    records = synth_records(0, 1, (1,))
    data = METHOD.stages(ThinkAnswerOptions())[0].examples(
        Encoder(student.tokenizer, 512), [*records, record(9, response="no chain at all")]
    )
    assert data.left_out == {"no_split": ("r9",)}
    runs = Encoder(student.tokenizer, 512).runs(data.examples[0].sequences[0])
    assert [name for name, _ in runs] == ["prompt", "think", "answer"]
    think_text, answer_text = runs[1][1], runs[2][1]
    assert think_text + answer_text == f"{records[0].response}<|end|>"
    assert answer_text.startswith("</think>")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": "1.2"}, "alpha must be from 0 to 1"),
        ({"alpha_min": "0.7"}, "alpha_min"),
        ({"ema": "1"}, "below 1"),
        ({"cot_ce_weight": "-1"}, "0 or more"),
        ({"mim_mode": "hard"}, "one of soft_mean"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ConfigError, match=message):
        parse_options(ThinkAnswerOptions, options, "thinkanswer")
