"""Specialised KD as a method: the four formats as decoded, exemplars, stored distributions carried over, values."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from objective_steps import assert_invariant, record, think

from backends.methods import sft
from backends.methods.specialized_kd import METHOD, SpecializedKdOptions, token_texts
from backends.records.segments import Encoder
from backends.records.teacher_top import IDS, LOGPS
from harness.errors import ConfigError, DataError
from harness.options import parse_options

RECORDS = [record(n, response=think(f"{n} + 1 = {n + 1}.", f"{n + 1}")) for n in range(3)]


def stage(**options):
    return METHOD.stages(SpecializedKdOptions(**options))[0]


def test_each_record_in_four_formats(student):
    encoder = Encoder(student.tokenizer, 512)
    data = stage(exemplars=1).examples(encoder, RECORDS)
    names = ["zero_shot_cot", "zero_shot_answer", "in_context_cot", "in_context_answer"]
    assert [example.id for example in data.examples[:4]] == [f"r0/{name}" for name in names]
    assert len(data.examples) == 12
    cue = "\n\nGive the answer only."
    shown = [encoder.runs(example.sequences[0]) for example in data.examples[:4]]
    chain, answer = ("think", "<think>\n0 + 1 = 1.\n"), ("answer", "</think>\n1<|end|>")
    assert shown == [
        [("prompt", "u:q0?\na:"), chain, answer],
        [("prompt", f"u:q0?{cue}\na:"), ("answer", "1<|end|>")],
        [("prompt", f"u:q1?\n\n{RECORDS[1].response}\n\nq0?\na:"), chain, answer],
        [("prompt", f"u:q1?{cue}\n\n2\n\nq0?{cue}\na:"), ("answer", "1<|end|>")],
    ]


def test_exemplars_are_other_records(student):
    encoder = Encoder(student.tokenizer, 512)
    data = stage(formats=("in_context_answer",)).examples(encoder, RECORDS)
    prompts = [encoder.runs(example.sequences[0])[0][1] for example in data.examples]
    assert [[n for n in range(3) if f"q{n}?" in prompt] for prompt in prompts] == [[0, 1, 2]] * 3
    assert all(
        prompt.count("?") == 3 and prompt.endswith(f"q{n}?\n\nGive the answer only.\na:")
        for n, prompt in enumerate(prompts)
    )
    with pytest.raises(DataError, match="at least 2"):
        stage().examples(encoder, RECORDS[:1])
    assert len(stage(formats=("zero_shot_cot",)).examples(encoder, RECORDS[:1]).examples) == 1


def test_formats_that_cannot_be_used_are_counted(student):
    data = stage(exemplars=1).examples(Encoder(student.tokenizer, 60), RECORDS)
    assert data.left_out == {
        "too_long": tuple(f"r{n}/{name}" for n in range(3) for name in ("in_context_cot", "in_context_answer"))
    }


def test_match_sample_is_sft_on_the_mixture(student):
    examples = student.examples(stage(formats=("zero_shot_cot",)).examples, RECORDS)
    taken = student.step(stage(formats=("zero_shot_cot",)).objective(), examples)
    right = student.step(sft.LikelihoodObjective(), student.examples(sft.METHOD.stages(None)[0].examples, RECORDS))
    assert taken.loss == pytest.approx(right.loss)
    mixture = student.examples(stage().examples, RECORDS)
    assert student.step(stage().objective(), mixture).loss == pytest.approx(
        -torch.cat(student.logps(mixture, 0)).mean().item()
    )


def teacher_top(text, tops):
    """A teacher that reads single characters, with given alternatives at some of them."""
    return {
        "teacher_top": [
            {"token": char, "top": tops.get(place, {char: -0.5, "z": -1.0})} for place, char in enumerate(text)
        ]
    }


def test_match_distribution_by_hand(student):
    options = {"formats": ("zero_shot_cot", "zero_shot_answer"), "loss": "match_distribution"}
    text = RECORDS[0].response
    tops = {3: {"unheard of": -0.1}}  # no token of the student
    one = dataclasses.replace(RECORDS[0], meta=teacher_top(text, tops))
    examples = student.examples(stage(**options).examples, [one])
    taken = student.step(stage(**options).objective(), examples)
    values = []
    share = [math.exp(-0.5) / (math.exp(-0.5) + math.exp(-1.0))]
    share += [1 - share[0]]
    z = student.tokenizer("z")["input_ids"][0]
    for number, example in enumerate(examples):
        ids = torch.tensor(example.sequences[0].ids_T, dtype=torch.int64)
        places = torch.tensor(example.sequences[0].supervised_T[1:]).nonzero()[:, 0]
        logps = student.model(input_ids=ids[None]).logits[0, :-1].log_softmax(-1)
        for at, place in enumerate(places.tolist()):
            own = ids[place + 1]
            if number == 0 and at < len(text) and at != 3:
                values.append(sum(p * (math.log(p) - logps[place, t]) for p, t in zip(share, (own, z), strict=True)))
            else:
                values.append(-logps[place, own])
    loss = torch.stack(values).mean()
    assert taken.loss == pytest.approx(loss.item(), rel=1e-5)
    assert taken.log["matched"] == pytest.approx((len(text) - 1) / len(values))
    for key, grad in student.gradients(loss).items():
        torch.testing.assert_close(taken.grads[key], grad, rtol=1e-4, atol=1e-6)
    assert set(examples[1].sequences[0].extras) == {LOGPS, IDS}


def test_micro_batches_add_up_and_padding_does_nothing(student):
    records = [dataclasses.replace(one, meta=teacher_top(one.response, {})) for one in RECORDS]
    chosen = stage(loss="match_distribution", exemplars=1)
    examples = student.examples(chosen.examples, records)[::3]
    assert_invariant(student, chosen.objective, examples)
    assert_invariant(student, stage().objective, student.examples(stage().examples, RECORDS)[::3])


@pytest.mark.parametrize(
    ("meta", "message"),
    [
        ({}, "record 'r0' has no stored teacher distributions"),
        ({"teacher_top": [{"token": "a"}]}, r"teacher_top\[0\] needs 'token' and 'top'"),
        ({"teacher_top": [{"token": "<", "top": {"<": 0.5}}]}, "record 'r0': teacher token 0 has values"),
    ],
)
def test_stored_tokens_that_are_none(student, meta, message):
    chosen = stage(loss="match_distribution", formats=("zero_shot_cot",))
    with pytest.raises(DataError, match=message):
        student.examples(chosen.examples, [dataclasses.replace(RECORDS[0], meta=meta)])


def test_texts_of_tokens(student):
    texts = token_texts(student.tokenizer)
    assert len(texts) == len(student.tokenizer) == len(set(texts))
    assert texts[student.tokenizer("a b")["input_ids"][1]] == " "
    assert texts[student.tokenizer("é")["input_ids"][0]].startswith("<")  # half a character


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"formats": "zero_shot_cot,other"}, "not other"),
        ({"formats": ""}, "not none"),
        ({"exemplars": "0"}, "at least 1"),
        ({"loss": "match"}, "one of match_sample"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ConfigError, match=message):
        parse_options(SpecializedKdOptions, options, "specialized_kd")
