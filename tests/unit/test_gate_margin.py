"""What a margin may look like, and what a misspelt one is answered with."""

from __future__ import annotations

import pytest

from harness.errors import UsageError
from harness.gate.pairs import Margin, parse_margin


@pytest.mark.parametrize("text", ["1pp", "1 pp", "1%", "0.01", "1 points", "1.0PP", "1e-2", ".01"])
def test_one_point_has_many_spellings(text: str) -> None:
    assert parse_margin(text, "avg@n", share=True) == Margin(pytest.approx(0.01))


@pytest.mark.parametrize(
    ("text", "margin"),
    [("20tok", Margin(20.0)), ("20", Margin(20.0)), ("20 tokens", Margin(20.0)), ("5%", Margin(0.05, relative=True))],
)
def test_counts_take_tokens_or_a_share_of_the_baseline(text: str, margin: Margin) -> None:
    assert parse_margin(text, "tokens_out", share=False) == margin


def test_the_default_follows_metric_and_test() -> None:
    assert parse_margin(None, "avg@n", share=True) == Margin(0.01)
    assert parse_margin(None, "tokens_out", share=False) == Margin(0.05, relative=True)
    assert parse_margin(None, "avg@n", share=True, superior=True) == Margin(0.0)
    assert parse_margin("0", "avg@n", share=True, superior=True) == Margin(0.0)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("-1pp", "cannot be negative"),
        ("1ppt", "Did you mean 1pp?"),
        ("1pt", "Did you mean 1pp?"),
        ("2percent", "Did you mean 2%?"),
        ("20tok", "is a share"),
        ("5", "write 3pp, 3% or 0.03"),
        ("200pp", "100 points"),
        ("0", "--test superior"),
        ("pp", "not a number"),
        ("nan", "not a number"),
        ("inf", "not a number"),
        ("", "not a number"),
    ],
)
def test_a_wrong_share_margin_says_what_to_write(text: str, hint: str) -> None:
    with pytest.raises(UsageError, match=r"margin|difference") as error:
        parse_margin(text, "avg@n", share=True)
    assert hint in str(error.value)


@pytest.mark.parametrize(
    ("text", "hint"), [("1pp", "is no share"), ("20 toks", "Did you mean 20tok"), ("1e999", "not finite")]
)
def test_a_wrong_count_margin_says_what_to_write(text: str, hint: str) -> None:
    with pytest.raises(UsageError) as error:
        parse_margin(text, "tokens_out", share=False)
    assert hint in str(error.value)
