"""Golden rows and properties of judges.replies.parse: what a reply says, or why it says nothing."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from judge_rubrics import LABEL, PAIRWISE, POINTS, RATING, RUBRICS, TOKEN, completion, rating_reply

from harness.types import Completion
from judges.replies import jsonfind
from judges.replies.evidence import invented
from judges.replies.labels import match_label
from judges.replies.parse import parse_reply
from judges.types import Malformed, Rubric, Verdict

GOLDEN = json.loads((Path(__file__).parent.parent / "golden" / "judge_replies.json").read_text(encoding="utf-8"))


def built(text: str | dict[str, Any]) -> str:
    """Long hostile replies are written as what is repeated."""
    if isinstance(text, str):
        return text
    return f"{text.get('before', '')}{text['repeat'] * text['times']}{text.get('after', '')}"


def read(row: dict[str, Any]) -> Verdict:
    given = row.get("alternatives")
    alternatives = None if given is None else {token: float(logprob) for token, logprob in given.items()}
    return parse_reply(
        RUBRICS[row["rubric"]], completion(built(row["text"]), alternatives), judged_text=row.get("judged", "")
    )


@pytest.mark.parametrize("row", [row for row in GOLDEN if "label" in row], ids=lambda row: row["name"])
def test_readable_replies(row: dict[str, Any]) -> None:
    verdict = read(row)
    assert (verdict.label, verdict.notes) == (row["label"], tuple(row["notes"]))
    assert verdict.value == pytest.approx(row["value"], abs=1e-12)
    assert verdict.soft == row.get("soft", False)
    assert verdict.reason == row.get("reason", verdict.reason)


@pytest.mark.parametrize("row", [row for row in GOLDEN if "why" in row], ids=lambda row: row["name"])
def test_unreadable_replies_say_why(row: dict[str, Any]) -> None:
    with pytest.raises(Malformed) as raised:
        read(row)
    assert row["why"] in str(raised.value)
    assert len(str(raised.value)) < 400


def test_the_table_covers_every_kind_both_ways() -> None:
    assert {(row["rubric"], "why" in row) for row in GOLDEN} >= {
        (kind, bad) for kind in ("points", "rating", "pairwise", "label", "token") for bad in (True, False)
    }


def test_a_points_verdict_has_everything() -> None:
    reply = {
        "dimensions": {
            "facts": {"reason": "r2", "evidence": ["x = 3"], "level": 2, "label": "minor_errors"},
            "logic": {"reason": "r1", "evidence": ["  "], "level": 3},
        },
        "overall": "so so",
    }
    verdict = parse_reply(POINTS, completion(json.dumps(reply)), judged_text="x = 3")
    assert [(m.dimension, m.level, m.points, m.reason, m.label, m.evidence) for m in verdict.marks] == [
        ("logic", 3, 36.0, "r1", None, ()),
        ("facts", 2, 16.0, "r2", "minor_errors", ("x = 3",)),
    ]
    assert (verdict.value, verdict.reason, verdict.notes) == (0.52, "so so", ())


def test_weighted_choices_carry_their_votes() -> None:
    reply = completion('{"reason": "r", "verdict": "B>>A"}')
    verdict = parse_reply(PAIRWISE, reply, judged_text="")
    assert (verdict.value, verdict.weight, verdict.reason) == (0.0, 3.0, "r")


def test_texts_of_a_verdict_can_be_stored() -> None:
    verdict = parse_reply(RATING, completion('{"reason": "a\\ud800b", "rating": 4}'), judged_text="")
    assert verdict.reason.encode("utf-8").decode("utf-8") == "a\ufffdb"
    with pytest.raises(Malformed) as raised:
        parse_reply(RATING, completion('{"reason": "", "rating": "\\ud800"}'), judged_text="")
    assert str(raised.value).encode("utf-8")


def test_a_failed_request_is_no_verdict() -> None:
    with pytest.raises(Malformed):
        parse_reply(RATING, Completion("", "error", error="timeout"), judged_text="")


@pytest.mark.parametrize(
    ("quotes", "count"),
    [
        (["the  cat\nsat"], 0),
        (["The cat sat"], 1),
        (["“the cat”"], 0),
        (["[R1] the cat", "[R1] the dog"], 1),
        (["the … mat", "mat … the"], 1),
        (["…", ""], 1),
        (["the cat sat on the mat. And more"], 1),
        (["猫坐", "貓坐"], 1),
    ],
)
def test_invented_quotes(quotes: list[str], count: int) -> None:
    assert invented(quotes, "the cat sat on the mat. 猫 坐") == count


@pytest.mark.parametrize(
    ("labels", "said", "expected"),
    [
        (("yes", "no"), "YES", "yes"),
        (("m", "M"), "M", "M"),
        (("Yes", "yes"), "YES", None),
        (("minor_errors", "correct"), "minor errors", None),
        (("strong positive", "neutral"), "Strong  Positive", "strong positive"),
        (("A>B",), "A>B.", None),
    ],
)
def test_labels(labels: tuple[str, ...], said: str, expected: str | None) -> None:
    assert match_label(labels, said) == expected


# --- properties -------------------------------------------------------------------------------------------------------

# No braces, no reasoning markup and no code fence: what is left is prose.
PROSE = st.text(st.characters(exclude_characters="{}<[◁:`", exclude_categories=["Cs"]), max_size=200)
TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=40)


@given(before=PROSE, after=PROSE, rating=st.integers(1, 10), reason=TEXTS, indent=st.sampled_from([None, 1, 4]))
def test_prose_without_braces_changes_nothing(
    before: str, after: str, rating: int, reason: str, indent: int | None
) -> None:
    reply = json.dumps({"reason": reason, "rating": rating}, indent=indent, ensure_ascii=False)
    verdict = parse_reply(RATING, completion(before + reply + after), judged_text="")
    assert (verdict.label, verdict.reason) == (str(rating), reason)


@given(levels=st.tuples(st.integers(1, 5), st.integers(1, 5)), label=st.sampled_from(POINTS.dimensions[1].labels))
def test_points_are_ours(levels: tuple[int, int], label: str) -> None:
    entries = {
        "logic": {"reason": "r", "level": levels[0]},
        "facts": {"reason": "r", "level": levels[1], "label": label},
    }
    verdict = parse_reply(POINTS, completion(json.dumps({"dimensions": entries, "overall": ""})), judged_text="")
    assert verdict.value == pytest.approx((12 * levels[0] + 8 * levels[1]) / 100)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["dimensions", "logic", "facts", "level", "label", "reason", "rating", "verdict", "evidence"]
            )
            | st.text(max_size=4),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)
PIECES = st.sampled_from([*'{}[]",:\\3AB \n\u2028\ud800'] * 2) | st.sampled_from(
    ['{"rating": ', '{"verdict": "A>B"', '"reason": "x"', '{"dimensions": {', '"level": 3', "NaN", "1e999", "</think>"]
)
HOSTILE = JSON.map(json.dumps) | st.text() | st.lists(PIECES, max_size=30).map("".join)


@given(rubric=st.sampled_from([POINTS, RATING, PAIRWISE, LABEL, TOKEN]), text=HOSTILE, judged=HOSTILE)
def test_nothing_but_malformed_is_raised(rubric: Rubric, text: str, judged: str) -> None:
    try:
        verdict = parse_reply(rubric, completion(text), judged_text=judged)
    except Malformed as error:
        assert str(error)
    else:
        assert 0.0 <= verdict.value <= 1.0


@given(st.dictionaries(st.sampled_from(["A", " A", "a", "B", "b", "The", ""]), st.floats(), max_size=7))
def test_any_logprobs_give_a_value_in_range(alternatives: dict[str, float]) -> None:
    assert 0.0 <= parse_reply(TOKEN, completion("A", alternatives), judged_text="").value <= 1.0


class Counting:
    """Counts how many characters the two passes over an object look at."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.looked_at = 0
        closing, decode = jsonfind._closing, jsonfind._DECODER.raw_decode

        def counted_closing(text: str, start: int) -> int | None:
            try:
                end = closing(text, start)
            except Malformed:
                end = None
                raise
            finally:
                self.looked_at += (end or len(text)) - start
            return end

        def counted_decode(source: str) -> Any:
            self.looked_at += len(source)
            return decode(source)

        monkeypatch.setattr(jsonfind, "_closing", counted_closing)
        monkeypatch.setattr(jsonfind._DECODER, "raw_decode", counted_decode)


BOMBS = r"""
{"a": |{"a": x}|{"a": 1}|{"a": "|{"|{|[|{"a":[|{"\|{"a": {"rating": 1}}|{"a": {"b": x}|{"rating": 1} |{"a": [x]}
"""


@pytest.mark.parametrize("piece", [*BOMBS.strip("\n").split("|"), '{"a": ' * 12 + "x" + "}" * 12, rating_reply(3)])
def test_every_character_is_looked_at_a_bounded_number_of_times(piece: str, monkeypatch: pytest.MonkeyPatch) -> None:
    counting = Counting(monkeypatch)
    text = piece * (20_000 // len(piece))
    with contextlib.suppress(Malformed):
        jsonfind.find_objects(text, "rating")
    assert counting.looked_at <= 3 * len(text)
    counting.looked_at = 0
    jsonfind.valid_objects(text)
    assert counting.looked_at <= 36 * len(text)
