"""Teachers of another vocabulary: what they read, what is aligned, values by hand, what identical models give."""

from __future__ import annotations

import dataclasses

import pytest
import tokenizers
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st
from objective_steps import RECORDS, Student, assert_invariant, record, think
from tiny_model import CHAT

from backends.losses.alignment import by_bytes
from backends.losses.cross_tokenizer import sorted_l1
from backends.methods.cross_tokenizer import GLD, GOLD, ULD, GldOptions, GoldOptions, UldOptions
from backends.methods.kd import METHOD as KD
from backends.methods.kd import KdOptions
from backends.records.segments import Encoder
from backends.records.token_bytes import matching, token_bytes
from backends.teachers.foreign import _rows
from harness.errors import ConfigError, DataError
from harness.options import parse_options

MERGES = ("Ġ +", "Ġ =", "Ġ 1", "Ġ 3", "t h", "i n", "in k", "th ink", "n o", "c h", "a i", "ai n", "Ã ©")
OFFLINE = [
    (ULD, {}),
    (ULD, {"alignment": "bytes"}),
    (GLD, {}),
    (GOLD, {"lam": 0.0}),
    (GOLD, {"lam": 0.0, "matched": 0.2}),
]


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    return Student(tmp_path_factory.mktemp("teacher"), seed=1, merges=MERGES, end="</s>")


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """Another model with the student's tokenizer."""
    return Student(tmp_path_factory.mktemp("plain"), seed=2)


def made(student, teacher, method, records=RECORDS, **options):
    stage = method.stages(method.options(**options))[0]
    examples = student.examples(stage.examples, records)

    def objective():
        found = stage.objective()
        load = lambda spec: (teacher.model, teacher.tokenizer)  # noqa: E731
        found.setup(dataclasses.replace(student.training(examples), teacher="hf:t", load=load))
        return found

    return objective, examples


def test_uld_by_hand(student, teacher):
    objective, examples = made(student, teacher, ULD, RECORDS[:1], alignment="bytes")
    taken = student.step(objective(), examples)
    text = RECORDS[0].response
    bytes_of = [one.encode() for one in "u:q0?\na:" + text]
    ours = token_bytes(student.tokenizer)
    ids = examples[0].sequences[0].ids_T.tolist()
    assert [ours[number] for number in ids[:-1]] == bytes_of
    asked = teacher.tokenizer("u:q0?\na:", add_special_tokens=False)["input_ids"]
    said = teacher.tokenizer(text, add_special_tokens=False)["input_ids"]
    theirs = [token_bytes(teacher.tokenizer)[number] for number in said]
    assert b"think" in theirs and b" +" in theirs
    student_logits = student.model(input_ids=torch.tensor([ids])).logits[0]
    teacher_logits = teacher.model(input_ids=torch.tensor([[*asked, *said, 256]])).logits[0].detach()
    start, loss = 8, 0.0
    groups = [*by_bytes(bytes_of[start:], theirs), ((len(text), len(text) + 1), (len(said), len(said) + 1))]
    for (a, b), (c, d) in groups:
        p, q = student_logits[start + b - 2].log_softmax(-1), teacher_logits[len(asked) + d - 2].log_softmax(-1)
        for place in range(a, b - 1):
            p = p + student_logits[start + place - 1].log_softmax(-1)[ids[start + place]]
        for place in range(c, d - 1):
            q = q + teacher_logits[len(asked) + place - 1].log_softmax(-1)[said[place]]
        loss = loss + sorted_l1(p[None], q[None])[0]
    loss = loss / len(groups)
    nll = -torch.cat(student.logps(examples, 0)).mean()
    assert taken.log == pytest.approx({"nll": nll.item(), "distance": loss.item(), "unread": 0.0})
    assert taken.loss == pytest.approx((nll + 1.5 * loss).item())
    for name, grad in student.gradients(nll + 1.5 * loss).items():
        torch.testing.assert_close(taken.grads[name], grad, rtol=1e-5, atol=1e-6)  # Llama's norms are in float32
    assert all(weight.grad is None for weight in teacher.model.parameters())


@pytest.mark.parametrize(("method", "options"), OFFLINE)
def test_micro_batches_add_up(student, teacher, method, options):
    assert_invariant(student, *made(student, teacher, method, **options))


@pytest.mark.parametrize(("method", "options"), OFFLINE)
def test_a_teacher_that_is_the_student_gives_0(student, method, options):
    objective, examples = made(student, student, method, **options)
    taken = student.step(objective(), examples)
    assert taken.log["distance"] == 0.0 and taken.log.get("graph", 0.0) == 0.0
    if method is GOLD:
        assert all(float(grad.abs().max()) < 1e-10 for grad in taken.grads.values())


def test_with_one_tokenizer_gold_is_gkd(student, plain):
    objective, examples = made(student, plain, GOLD, lam=0.0, beta=0.2, temperature=2.0)
    taken = student.step(objective(), examples)
    stage = KD.stages(KdOptions("jsd", beta=0.2, temperature=2.0))[0]
    other = stage.objective()
    load = lambda spec: (plain.model, plain.tokenizer)  # noqa: E731
    other.setup(dataclasses.replace(student.training(examples), teacher="hf:t", load=load))
    right = student.step(other, examples)
    assert taken.loss == pytest.approx(right.loss)
    for name, grad in right.grads.items():
        torch.testing.assert_close(taken.grads[name], grad, rtol=1e-6, atol=1e-9)


def test_what_it_cannot_read_is_counted(student, teacher):
    odd = [*RECORDS, record(3, response=think("He wrote </s> there.", "3"))]
    objective, examples = made(student, teacher, ULD, odd)
    assert len(examples) == 4  # in the student's tokens it is plain text
    taken = student.step(objective(), examples)
    assert taken.log["unread"] == pytest.approx(1 / 4)
    assert_invariant(student, objective, examples)
    alone, examples = made(student, teacher, ULD, odd[3:])
    with pytest.raises(DataError, match="'hf:t' can read no response; the first is one with a control token"):
        alone()
    short = record(4, response="x" * 400, prompt=RECORDS[0].prompt)
    teacher.model.config.max_position_embeddings = 300
    try:
        with pytest.raises(DataError, match="longer than the teacher's context of 300 tokens"):
            made(student, teacher, ULD, [short])[0]()
    finally:
        teacher.model.config.max_position_embeddings = 512


OPENS = "<|start|>{% for m in messages %}{{ m.content }}{% endfor %}<think>\n"


@pytest.mark.parametrize(("ours", "theirs"), [(CHAT, OPENS), (OPENS, CHAT), (OPENS, OPENS)])
def test_each_side_has_its_own_template(tmp_path, ours, theirs):
    """A think block that one side's prompt opens, and a start token on one side, move nothing."""
    one = Student(tmp_path / "student", template=ours)
    other = Student(tmp_path / "teacher", seed=1, merges=MERGES, template=theirs)
    objective, examples = made(one, other, ULD, RECORDS[:2], alignment="bytes")
    found, batch = objective()._teacher, one.batch(examples)
    read = [found._read(*row) for row in _rows(batch)]
    for example, its in zip(examples, read, strict=True):
        sequence = example.sequences[0]
        said = sequence.ids_T[sequence.supervised_T].tolist()
        told = its.sequence.ids_T[its.sequence.supervised_T].tolist()
        assert other.tokenizer.decode(its.sequence.ids_T[:1]) == ("<|start|>" if theirs == OPENS else "u")
        whole = other.tokenizer.decode(its.sequence.ids_T.tolist())
        assert whole.count("<think>") == 1 and whole.endswith(".<|end|>") == example.id.endswith("1")
        texts = [
            [tokenizer.decode(ids[a:b]) for a, b in spans]
            for tokenizer, ids, spans in zip(
                (one.tokenizer, other.tokenizer), (said, told), zip(*its.groups, strict=True), strict=True
            )
        ]
        assert texts[0] == texts[1]
        assert "".join(texts[0]).endswith("</think>\n3<|end|>" if example.id == "r0" else "</think>\nSo 3.<|end|>")


def test_an_answer_is_not_read_as_a_thought(tmp_path, student):
    other = Student(tmp_path, seed=1, merges=MERGES, template=OPENS)
    with pytest.raises(DataError, match="is one with a think block that is never closed"):
        made(student, other, ULD, [record(9, response="plain")])[0]()


def test_unfit_teachers(student, teacher):
    for method, options in ((ULD, {}), (GOLD, {"lam": 0.0})):
        stage = method.stages(method.options(**options))[0]
        examples = student.examples(stage.examples, RECORDS)
        with pytest.raises(ConfigError, match="needs a teacher's weights"):
            stage.objective().setup(student.training(examples))
    words = tokenizers.Tokenizer(tokenizers.models.WordPiece({"[UNK]": 0, "let": 1, "##s": 2}, unk_token="[UNK]"))
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=words, unk_token="[UNK]", eos_token="[UNK]")
    with pytest.raises(ConfigError, match="do not add up to the text"):
        token_bytes(fast)
    with pytest.raises(ConfigError, match="top_k is 5000, and the student has"):
        made(student, teacher, GLD, top_k=5000)[0]()


@pytest.mark.parametrize(
    ("options", "given"),
    [(UldOptions, "weight=-1"), (GldOptions, "top_k=1"), (GoldOptions, "matched=2"), (GoldOptions, "alignment=words")],
)
def test_options(options, given):
    name, _, value = given.partition("=")
    with pytest.raises(ConfigError):
        parse_options(options, {name: value}, "m")


# --- bytes of tokens -------------------------------------------------------------------------------------------------


def pieces():
    """A tokenizer with "▁" for blanks and bytes for what has no piece, as sentencepiece's are."""
    letters = [f"<0x{byte:02X}>" for byte in range(256)] + ["<unk>", "</s>", *"▁abcdefghijklmnopqrstuvwxyz"]
    merges = [("▁", "a"), ("t", "h")]
    vocabulary = {token: number for number, token in enumerate([*letters, *map("".join, merges)])}
    model = tokenizers.models.BPE(vocab=vocabulary, merges=merges, byte_fallback=True, unk_token="<unk>")
    made = tokenizers.Tokenizer(model)
    made.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    return transformers.PreTrainedTokenizerFast(tokenizer_object=made, eos_token="</s>", unk_token="<unk>")


PIECES = pieces()
BYTES = token_bytes(PIECES)


@given(st.text(st.characters(codec="utf-8", exclude_characters="▁"), min_size=1))
def test_bytes_add_up_to_the_text(text):
    ids = PIECES(text, add_special_tokens=False)["input_ids"]
    assert b"".join(BYTES[number] for number in ids).endswith(text.encode())


def test_tokens_of_both(student, teacher):
    ours, theirs = matching(student.tokenizer, teacher.tokenizer)
    assert ours == list(range(259)) and theirs == ours  # the ends too, although they are called otherwise
    ours, theirs = matching(teacher.tokenizer, PIECES)
    mine, its = token_bytes(teacher.tokenizer), token_bytes(PIECES)
    assert all(mine[a] == its[b] for a, b in zip(ours, theirs, strict=True) if a != 256)
    assert (256, 257) in zip(ours, theirs, strict=True)
    assert len(set(theirs)) == len(theirs)
    again = matching(PIECES, PIECES)
    assert again[0] == again[1] == list(range(len(PIECES)))  # bytes that two tokens stand for are no trouble


def test_what_a_student_wrote_may_stop_anywhere(student, teacher):
    found = made(student, teacher, GOLD, lam=0.0)[0]()._teacher
    encoder = Encoder(student.tokenizer, 512)
    prompt = encoder.prompt(RECORDS[0]).tokens
    text = list("<think>\nnaïve".encode())
    letters = {data: number for number, data in reversed(list(enumerate(token_bytes(student.tokenizer))))}
    ids = tuple(letters[bytes([byte])] for byte in text)
    assert found._read(prompt, ids).groups[-1][0] == (len(ids) - 1, len(ids))  # an open block, no end of sequence
    half = found._read(prompt, ids[: text.index(0xC3) + 1])
    assert isinstance(half, str) and "bytes" in half  # in the middle of a character
