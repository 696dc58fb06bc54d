"""Made records as a student's tokenizer sees them: statistics in tokens, and what the methods take of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from data_fakes import RIGHT, record, says

from backends.load import find_weights, load_tokenizer
from backends.makers.asking import Query
from backends.makers.base import plain
from backends.makers.cotd import Candidates, Rationales
from backends.makers.dual import Dual
from backends.makers.shorten import Shorten
from backends.makers.stats import stats
from backends.records.segments import Encoder, tokenise
from backends.records.synth import synth_records
from harness.errors import DataError, PrerequisiteError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.tiny_model import write_model

    path = tmp_path_factory.mktemp("tokenizer")
    write_model(path)
    return path


def test_the_high_percentile_of_few_texts_is_not_below_their_median() -> None:
    spread = stats([record("a", response="one"), record("b", response="one two three four")])["words"]["response"]
    assert (spread["median"], spread["p95"], spread["longest"]) == (4, 4, 4)


def test_statistics_in_tokens(folder: Path) -> None:
    records = synth_records(0, 3, (1, 2), positives=1, candidates=2)
    tokenizer = load_tokenizer(find_weights(f"hf:{folder}", folder))
    found = stats(records, tokenizer, 4096)
    assert set(found["tokens"]) == set(found["words"]) == {"response", "rejected", "positives", "candidates"}
    longest = max(
        len(Encoder(tokenizer, 4096).encode(Encoder(tokenizer, 4096).prompt(r), r.response or "").ids_T)
        for r in records
    )
    assert found["tokens"]["response"]["longest"] == longest and not found["unusable"]
    short = stats(records, tokenizer, longest - 1)
    assert short["unusable"]["response: too_long"] >= 1
    assert stats(records[:1], tokenizer, 2)["unusable"] == {
        f"{name}: all": 1 for name in ("response", "rejected", "positives", "candidates")
    }
    with pytest.raises(DataError, match="no records"):
        stats([])


def test_lengths_of_rewrites_by_a_tokenizer(folder: Path) -> None:
    long = RIGHT.replace("2 + 3", "Let me think about it for a while. 2 + 3")
    shorten = Shorten([record(response=long)], "t", tokenizer=f"hf:{folder}", results_dir=folder)
    assert shorten.count("abc é") == 6  # bytes
    made = shorten.run(says(lambda query: "1" if query.maker == "shorten:judge" else plain(RIGHT)))
    assert (made.counts["tokens_before"], made.counts["tokens_after"]) == (len(long), len(RIGHT))
    with pytest.raises(PrerequisiteError, match="no folder"):
        Shorten([record(response=long)], "t", tokenizer=f"hf:{folder}/none", results_dir=folder)


def test_made_pairs_and_candidates_are_taken_by_the_encoder(folder: Path) -> None:
    encoder = Encoder(load_tokenizer(find_weights(f"hf:{folder}", folder)), 4096)
    records = [record(name, response=RIGHT) for name in ("a", "b")]

    def reply(query: Query) -> str:
        if query.maker == "dual:corrupt":
            return "2 + 3 = 6. 6 * 4 = 24. The answer is 24."
        return "Add, then multiply." if query.maker == "rationales" else f"It is {20 + query.attempt}."

    pairs = Dual(records, "t").run(says(reply)).records
    data = tokenise(encoder, pairs, ("response", "rejected"), need_split=True)
    assert len(data.examples) == 2 and not data.left_out
    thoughts = Rationales(records, "t").run(says(reply)).records
    made = Candidates(thoughts, "s", k=3).run(says(reply)).records
    data = tokenise(encoder, made, ("candidates",), need_split=True)
    assert [example.rewards for example in data.examples] == [(1.0, 0.0, 0.0)] * 2
    for example in data.examples:  # the thought is one and the same up to the answer
        chains = {tuple(one.ids_T[: one.count("prompt", "think")].tolist()) for one in example.sequences}
        assert len(chains) == 1
