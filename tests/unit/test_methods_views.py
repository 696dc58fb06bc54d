"""CasCoD, MT-CoT, MT-Re, MT-Ra, step-by-step, SCOTT: what each view reads and learns, values by hand, reductions."""

from __future__ import annotations

import pytest
import torch
from objective_steps import Student, assert_invariant, record, think

from backends.methods import sft
from backends.methods._views import ViewOptions
from backends.methods.two_views import CASCOD, MT_COT, MT_RA, MT_RE, SCOTT, STEP_BY_STEP
from backends.records.segments import Encoder
from backends.records.synth import synth_records
from harness.errors import ConfigError, DataError
from harness.options import parse_options

RECORDS = [
    record(0, response=think("1 + 2 = 3.", "3"), rejected=think("1 + 2 = 4.", "4")),
    record(1, response=think("2 * 2 = 4. 4 - 1 = 3.", "So 3."), rejected=think("2 * 2 = 5.", "5")),
    record(2, response=think("7.", "7"), rejected=think("8. No, 9.", "9")),
]
METHODS = {method.name: method for method in (CASCOD, MT_COT, MT_RE, MT_RA, STEP_BY_STEP, SCOTT)}


def stage(name, **options):
    return METHODS[name].stages(ViewOptions(**options))[0]


def shown(student, name, one, **options):
    """The decoded runs of each view of one record."""
    encoder = Encoder(student.tokenizer, 512)
    (example,) = stage(name).examples(encoder, [one]).examples
    return [encoder.runs(sequence) for sequence in example.sequences]


def test_views_of_a_synth_record(student):
    (one,) = synth_records(0, 1, (1,))
    question = one.prompt[0].content
    chain, answer = one.think, one.answer
    start, end = f"<think>\n{chain}\n", f"</think>\n{answer}<|end|>"
    plain = ("prompt", f"u:{question}\na:")
    assert shown(student, "cascod", one) == [
        [plain, ("think", start)],
        [("prompt", plain[1] + start), ("answer", end)],
    ]
    assert shown(student, "mt_cot", one) == [
        [("prompt", f"u:{question}\n\n[Answer Prediction]:\na:"), ("answer", f"{answer}<|end|>")],
        [plain, ("think", start), ("answer", end)],
    ]
    assert shown(student, "step_by_step", one) == [
        [plain, ("answer", f"{answer}<|end|>")],
        [("prompt", f"u:explain: {question}\na:"), ("think", f"{chain}<|end|>")],
    ]
    explain = ("prompt", f"u:{question}\n\n[Explanation Generation]:\na:")
    label = [plain, ("answer", f"{answer}<|end|>")]
    assert shown(student, "mt_re", one) == [label, [explain, ("think", f"{chain}<|end|>")]]
    (_, (asked, *told)) = shown(student, "mt_ra", one)
    assert asked == explain and "".join(text for _, text in told) == f"{answer}\n\nExplanation: {chain}<|end|>"
    wrong_start, tag, wrong_end = one.rejected.partition("</think>")
    assert shown(student, "scott", one) == [
        [plain, ("think", start), ("answer", end)],
        [("prompt", f"u:[Counterfactual] {question}\na:{wrong_start}"), ("answer", f"{tag}{wrong_end}<|end|>")],
    ]


def test_stages_of_a_chain_belong_to_it(student):
    (one,) = synth_records(0, 1, (2,), style="long")
    chain, answer = shown(student, "cascod", one)
    names = [name for name, _ in chain]
    assert names[0] == "prompt" and set(names[1:]) == {"meta", "solve"}
    assert [name for name, _ in answer] == ["prompt", "answer"]
    assert answer[0][1] == "".join(text for _, text in chain)
    label, explained = shown(student, "step_by_step", one)
    assert label[1][1] == f"{one.answer}<|end|>"
    assert explained[1] == ("think", f"{one.think}<|end|>")


def test_a_template_that_opens_the_chain_gets_it_closed(tmp_path):
    student = Student(tmp_path)
    student.tokenizer.chat_template = "{% for m in messages %}{{ m.content }}{% endfor %}<think>\n"
    encoder = Encoder(student.tokenizer, 512)
    (one,) = stage("step_by_step").examples(encoder, RECORDS[:1]).examples
    assert encoder.runs(one.sequences[0]) == [("prompt", "q0?<think>"), ("answer", "</think>\n3<|end|>")]
    assert encoder.runs(one.sequences[1]) == [
        ("prompt", "explain: q0?<think>"),
        ("think", "1 + 2 = 3.\n</think><|end|>"),
    ]


@pytest.mark.parametrize(
    ("text", "chain", "answer"),
    [
        ("It is 3 + 4.\nThe answer is 7.", "It is 3 + 4.", "The answer is 7."),
        ('{"process": ["a", "b"], "answer": "7"}', '["a", "b"]', '{"answer": "7"}'),
        ("My thought: add. My answer: 7", "add.", "7"),
    ],
)
def test_other_formats(student, text, chain, answer):
    runs = shown(student, "step_by_step", record(0, response=text))
    assert [view[1][1] for view in runs] == [f"{answer}<|end|>", f"{chain}<|end|>"]


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("alpha", [None, 0.25])
def test_by_hand(student, name, alpha):
    chosen = stage(name, alpha=alpha)
    examples = student.examples(chosen.examples, RECORDS)
    means = [-torch.cat(student.logps(examples, slot)).mean() for slot in (0, 1)]
    own = (0.1 if name == "cascod" else 0.5) if alpha is None else alpha
    shares = (own, 1 - own) if name not in ("cascod", "scott") else (1 - own, own)
    loss = shares[0] * means[0] + shares[1] * means[1]
    taken = student.step(chosen.objective(), examples)
    assert taken.loss == pytest.approx(loss.item(), rel=1e-6)
    assert sorted(taken.log.values()) == pytest.approx(sorted(mean.item() for mean in means))
    assert all(key.startswith("nll_") for key in taken.log)
    for key, grad in student.gradients(loss).items():
        torch.testing.assert_close(taken.grads[key], grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", METHODS)
def test_micro_batches_add_up_and_padding_does_nothing(student, name):
    examples = student.examples(stage(name).examples, RECORDS)
    assert_invariant(student, stage(name).objective, examples)


def same_as_sft(student, chosen, examples, plain):
    taken = student.step(chosen.objective(), examples)
    right = student.step(sft.LikelihoodObjective(), plain)
    assert taken.loss == pytest.approx(right.loss, rel=1e-6)
    for key, grad in right.grads.items():
        torch.testing.assert_close(taken.grads[key], grad, rtol=1e-4, atol=1e-6)


def test_scott_without_counterfactuals_is_sft(student):
    chosen = stage("scott")
    plain = [record(number, response=one.response) for number, one in enumerate(RECORDS)]
    examples = student.examples(chosen.examples, plain)
    assert [len(example.sequences) for example in examples] == [1, 1, 1]
    same_as_sft(student, chosen, examples, student.examples(sft.METHOD.stages(None)[0].examples, plain))
    mixed = student.examples(chosen.examples, [plain[0], RECORDS[1], plain[2]])
    assert [len(example.sequences) for example in mixed] == [1, 2, 1]
    assert_invariant(student, chosen.objective, mixed)


def test_mt_cot_at_0_is_sft_and_step_by_step_at_1_is_label_training(student):
    explained = student.examples(stage("mt_cot").examples, RECORDS)
    same_as_sft(
        student, stage("mt_cot", alpha=0.0), explained, student.examples(sft.METHOD.stages(None)[0].examples, RECORDS)
    )
    labels = [record(number, response=text) for number, text in enumerate(("3", "So 3.", "7"))]
    same_as_sft(
        student,
        stage("step_by_step", alpha=1.0),
        student.examples(stage("step_by_step").examples, RECORDS),
        student.examples(sft.METHOD.stages(None)[0].examples, labels),
    )


def test_cascod_in_proportion_to_its_lengths_is_sft(student):
    examples = student.examples(stage("cascod").examples, RECORDS)
    chain, answer = (sum(int(e.sequences[slot].supervised_T.sum()) for e in examples) for slot in (0, 1))
    plain = student.examples(sft.METHOD.stages(None)[0].examples, RECORDS)
    same_as_sft(student, stage("cascod", alpha=answer / (chain + answer)), examples, plain)


def test_what_cannot_be_split_is_left_out_and_counted(student):
    encoder = Encoder(student.tokenizer, 512)
    bad = record(5, response="no chain")
    for name in METHODS:
        data = stage(name).examples(encoder, [*RECORDS, bad])
        assert data.left_out == {"no_split": ("r5",)}
        with pytest.raises(DataError, match="left out 1 record without a chain"):
            stage(name).examples(encoder, [bad])
    wrong = record(6, response=RECORDS[0].response, rejected="no chain")
    assert stage("scott").examples(encoder, [*RECORDS, wrong]).left_out == {"no_split": ("r6",)}


def test_bad_alpha():
    with pytest.raises(ConfigError, match="alpha must be from 0 to 1"):
        parse_options(ViewOptions, {"alpha": "2"}, "scott")
