"""Every markup of the table has its segments in training data, and its closing tag after a template that opens it."""

# imports come after the check that they can be made

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs the extra hf")
pytest.importorskip("transformers", reason="needs the extra hf")

from test_train_segments import OPENS, RECORD, tokenizer
from tiny_model import END

from backends.methods._views import answer_only, chain_only
from backends.records.preflight import preflight
from backends.records.segments import Encoder, tokenise
from backends.records.spans import begun
from harness.errors import DataError
from harness.markup import TABLE, Markup

__all__ = ["tokenizer"]  # a fixture


@pytest.mark.parametrize(
    "row", [row for row in TABLE if not row.prose and not row.tokens], ids=lambda row: row.opens[0]
)
def test_every_markup_has_its_segments_and_a_template_that_opens_one_gets_its_own_closing_tag(
    row: Markup, tokenizer: Any
) -> None:
    own = replace(RECORD, response=f"{row.opens[0]}add\n{row.closes[0]}4{''.join(row.ends[:1])}")
    answer = f"{row.closes[0]}4{''.join(row.ends[:1])}"
    (example,) = tokenise(Encoder(tokenizer, 200), [own], need_split=True).examples
    assert Encoder(tokenizer, 200).runs(example.sequences[0])[1:] == [
        ("think", f"{row.opens[0]}add\n"),
        ("answer", answer + END),
    ]
    for broken in (f"{row.opens[0]}add", f"{row.opens[0]}a{row.closes[0]}b{row.opens[0]}c"):
        with pytest.raises(DataError, match="never closed"):
            tokenise(Encoder(tokenizer, 200), [replace(RECORD, response=broken)])
    template = OPENS.replace("<think>", row.opens[0])
    encoder = Encoder(tokenizer, 200, template=template)
    for record in (RECORD, replace(RECORD, response="add\n</think>\n4")):
        (example,) = tokenise(encoder, [record]).examples
        assert encoder.runs(example.sequences[0])[1:] == [("think", "add\n"), ("answer", f"{row.closes[0]}\n4{END}")]
        assert encoder.runs(chain_only(encoder, record))[-1][1] == f"add\n{row.closes[0]}{END}"
        assert encoder.runs(answer_only(encoder, record))[-1][1] == f"{row.closes[0]}\n4{END}"


TAGGED = [row for row in TABLE if not row.prose]
PAIRS = [pair for row in TAGGED for pair in zip(row.opens, row.closes, strict=False) if not row.tokens]


@pytest.mark.parametrize(("opening", "closing"), PAIRS)
def test_a_closing_tag_that_nothing_opened_gets_its_opening_one(tokenizer: Any, opening: str, closing: str) -> None:
    """As R1 writes it, whose template opens the block, for a student whose template does not."""
    text = f"add them{closing}4"
    encoder = Encoder(tokenizer, 400)
    rows = [replace(RECORD, id=name, response=text) for name in ("a", "b")]
    data = tokenise(encoder, [*rows, replace(RECORD, id="c", response=f"{opening}add{closing}4")])
    for example in data.examples[:2]:
        (whole,) = (run for name, run in encoder.runs(example.sequences[0]) if name == "think")
        assert whole == f"{opening}\nadd them"
        assert example.sequences[0].completed
    assert not data.examples[2].sequences[0].completed
    told = [line for line in preflight(encoder, data) if "nothing opened" in line]
    assert told == [
        "2 records with a closing think tag that nothing opened: the opening tag was put in front, the first 'a'"
    ]


@pytest.mark.parametrize(
    "text", [tag + "4" for row in TAGGED for tag in row.closes[len(row.opens) :]] + ["4", "My answer: 4", "a </b> 4"]
)
def test_what_can_begin_an_answer_lacks_nothing(text: str) -> None:
    assert begun(text) == text


def test_a_thought_of_the_analysis_channel_lacks_its_own_tag() -> None:
    assert begun("add<|end|><|start|>assistant<|channel|>final<|message|>4") == (
        "<|channel|>analysis<|message|>\nadd<|end|><|start|>assistant<|channel|>final<|message|>4"
    )


@pytest.mark.parametrize("text", ["<think>a</think>b</think>c", "a</think>b</think>c", "[THINK]a[/THINK]b[/THINK]c"])
def test_a_closing_tag_behind_the_end_of_a_block_is_left_out_and_counted(tokenizer: Any, text: str) -> None:
    data = tokenise(Encoder(tokenizer, 400), [RECORD, replace(RECORD, id="r2", response=text)])
    assert data.left_out == {"stray_think": ("r2",)}


def test_unknown_markup_in_training_data_is_said_once(tokenizer: Any) -> None:
    encoder = Encoder(tokenizer, 400)
    texts = ["<mull>add</mull>4", "<mull>no</mull>5", "<think>add</think>4", "4"]
    data = tokenise(encoder, [replace(RECORD, id=text, response=text) for text in texts])
    tokenise(encoder, [replace(RECORD, response=texts[0])])  # again, for another stage
    (told,) = [line for line in preflight(encoder, data) if "markup" in line]
    assert told.startswith("2 replies seem to hold a thought in unknown markup, <mull>…</mull>: it is trained as part")
