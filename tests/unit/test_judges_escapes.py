"""Backslashes in a judge's JSON: LaTeX that nobody escaped is LaTeX, and what JSON escaped stays as it was."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from judge_rubrics import RATING, completion

from judges.replies.escapes import NAMES, WORDS, mended
from judges.replies.parse import parse_reply

# Written down apart from the list in the code, by what mathematical answers hold.
_COMMANDS = """
alpha angle approx arcsin bar begin beta Big bigcup binom bmod boldsymbol boxed bullet cap cdot circ cos cup dfrac
displaystyle div dots Delta ell end equiv exists fbox flat forall frac ge geq hat in infty int iff lambda langle
left lfloor lim ln log mathbb mathrm mid mu nabla ne neg neq newline nexists ni nmid not notin nsubseteq nu omega
operatorname overline perp phi pi pm prod propto qquad quad rangle rbrace rceil Re rfloor rho right rightarrow rm
root rvert setminus sigma sim sin sqrt sum subset tag tan tanh tau tbinom text textbf textit tfrac therefore theta
tilde times to top triangle underbrace underline uparrow upsilon varepsilon vec xi zeta
"""
COMMANDS = _COMMANDS.split()
FRAMES = (
    "the value \\{} x is off",
    "$\\{} x$",
    "(\\{}_2)",
    "\\{}",
    "it is $a=b.\\{}$",
    "{{\\{}}}",
    "20 = \\{}{{3}}\ndone",
)
_PROSE = """
and end even every eight else error exact no not now next none nine number name need new near nor rest right root
read really r reason result true then this that the take term test turn tab ten total two ball big because b be both
bound fine for from first final f four false under use up i e u o a an is it He However Therefore
"""
PROSE = _PROSE.split()
ENDS = (".", ":", ";", "!", "?", "。", "$x=1$.", "done:")


def reason_of(body: str) -> str:
    """The reason of a reply in which it stands as `body` between its quotation marks."""
    return parse_reply(RATING, completion(f'{{"reason": "{body}", "rating": 7}}'), judged_text="").reason


def unescaped(text: str) -> str:
    """As a judge writes it that escapes line breaks and quotation marks and forgets what LaTeX needs."""
    return text.replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")


def escaped(text: str) -> str:
    return json.dumps(text)[1:-1]


@pytest.mark.parametrize("frame", FRAMES)
def test_a_command_is_a_command_however_it_is_escaped(frame: str) -> None:
    for command in COMMANDS:
        text = frame.format(command)
        assert reason_of(unescaped(text)) == text
        assert reason_of(escaped(text)) == text


@pytest.mark.parametrize("space", ["\n", "\t", "\n\n", "\n\t"])
def test_white_space_before_a_word_stays_white_space(space: str) -> None:
    for end in ENDS:
        for word in PROSE:
            text = f"The first step holds{end}{space}{word} is next"
            assert reason_of(escaped(text)) == text


def test_a_judge_that_escapes_its_commands_means_its_line_breaks() -> None:
    for word in (name[1:] for name in WORDS if name[0] == "n"):
        text = f"with \\sqrt 2 by step 3\n{word} is next"
        assert reason_of(escaped(text)) == text


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=60))
def test_what_json_escaped_is_read_as_it_was(text: str) -> None:
    """Everything but what the rule takes for LaTeX on purpose: control characters before letters."""
    assert reason_of(escaped(text)) == text


@given(st.integers())
def test_formulas_and_prose_mixed(seed: int) -> None:
    rng = random.Random(seed)
    parts = [
        rng.choice([f"\\{rng.choice(COMMANDS)}{{{rng.randrange(9)}}}", rng.choice(PROSE), "\\(x\\)", "50\\%", "$a_1$"])
        for _ in range(8)
    ]
    text = " ".join(parts)
    assert reason_of(unescaped(text)) == text
    assert reason_of(escaped(text)) == text


def test_the_names_are_commands_that_json_would_read_as_white_space() -> None:
    assert {name[0] for name in NAMES} == {"n", "r", "t"}
    assert WORDS < NAMES


@pytest.mark.timeout(60)
@pytest.mark.parametrize("head", ['"', '{"rating": 5, "reason": "', ""])
@pytest.mark.parametrize("unit", ['\\"x', '\\"', '"\\', "\\\\", '\\frac"', "\\"])
def test_strings_that_nothing_closes_cost_linear_time(head: str, unit: str) -> None:
    text = head + unit * 100_000
    assert mended(text).replace("\\", "") == text.replace("\\", "")
