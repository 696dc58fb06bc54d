"""Golden rows and properties of harness.reasoning, over every markup of the table."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from harness import formats
from harness.grading import score_completion
from harness.markup import PROSE, TABLE, Markup, opening_at_end, parse_markup, tag_tokens, unknown_markup
from harness.reasoning import Unread, split_reasoning, with_answer
from harness.types import Completion, Message, Problem, Score

GOLDEN = json.loads((Path(__file__).parent.parent / "golden" / "answers.json").read_text(encoding="utf-8"))
USER = "<mull>…</mull>"
TAGGED = [row for row in TABLE if not row.prose]
ROWS = [pytest.param(row, "", id=row.opens[0]) for row in TAGGED] + [
    pytest.param(parse_markup(USER)[0], USER, id="named by the user")
]
PROBLEM = Problem("p", (Message("user", "?"),), "4", "number")


@pytest.mark.parametrize("row", GOLDEN["split"], ids=lambda row: row["text"][:30])
def test_split(row: dict[str, str | None]) -> None:
    found = split_reasoning(row["text"], opened_think=bool(row.get("opened")), reasoning=row.get("given"))
    assert found == (row["reasoning"] if not row.get("empty_block") else "", row["answer"])


@pytest.mark.parametrize("row", GOLDEN["split"], ids=lambda row: row["text"][:30])
def test_splitting_twice_changes_nothing(row: dict[str, str | None]) -> None:
    once = with_answer(
        Completion(row["text"], "stop", reasoning=row.get("given"), opened_think=bool(row.get("opened")))
    )
    again = with_answer(once)
    assert again.answer_text == once.answer_text
    assert once.answer_text == row["answer"]


def test_server_separated_reasoning_that_was_cut_has_no_answer() -> None:
    cut = with_answer(Completion("", "length", reasoning="thinking"))
    assert cut.answer_text is None
    done = with_answer(Completion("5", "length", reasoning="thinking"))
    assert done.answer_text == "5"


def test_failed_completion_is_left_alone() -> None:
    failed = Completion("", "error", error="refused")
    assert with_answer(failed) is failed


def replies(row: Markup, thought: str, answer: str) -> list[tuple[str, bool]]:
    """Whole replies in a markup, each with whether the prompt opened the block; every spelling of its tags."""
    found = []
    for number, opening in enumerate(row.opens):
        paired = len(row.opens) == len(row.closes)
        for closing in (row.closes[number],) if paired else row.closes:
            for end in ("", *row.ends):
                for gap in ("", "\n", "\n\n"):
                    body = f"{gap}{thought}{gap}{closing}{gap}{answer}{end}"
                    found += [
                        (opening + body, False),
                        (f"\n {opening}{body}", False),
                        (body, True),
                        (opening + body, True),
                    ]
                    found.append((body, False))  # a server whose template opened the block, and that does not say so
    if len(row.closes) > len(row.opens) == 1:
        found.append((f"{row.opens[0]}\n{thought}\n{row.closes[0]}\n\n{row.closes[1]}\n{answer}\n{row.ends[0]}", False))
    return found


def graded(text: str, finish: str, opened: bool, markup: str) -> Score:
    done = Completion(text, finish, opened_think=opened, markup=markup)  # type: ignore[arg-type]
    found = score_completion(PROBLEM, done)
    assert isinstance(found, Score)
    return found


@pytest.mark.parametrize(("row", "markup"), ROWS)
def test_every_markup_is_split_graded_and_checked_alike(row: Markup, markup: str) -> None:
    for text, opened in replies(row, r"maybe \boxed{5}. The answer is 5, I think", "It is 4."):
        done = with_answer(Completion(text, "stop", opened_think=opened, markup=markup))
        assert done.answer_text == "It is 4." and done.reasoning is not None, text
        assert done.reasoning.startswith("maybe") and done.reasoning.endswith("I think"), text
        assert with_answer(done).answer_text == done.answer_text
        assert graded(text, "stop", opened, markup).value == 1.0
        twice = opened and text.lstrip().startswith(row.opens)
        assert formats.think(done) == ((opened or text.lstrip().startswith(row.opens)) and not twice), text
        for broken in ("", "   "):
            assert not formats.think(with_answer(Completion(row.opens[0] + broken, "stop", markup=markup)))


@pytest.mark.parametrize(("row", "markup"), ROWS)
def test_a_thought_that_never_ends_is_no_answer_and_cut_only_where_the_limit_cut_it(row: Markup, markup: str) -> None:
    thought = r"\boxed{4}. The answer is 4. let me check"
    for text, opened in ((row.opens[0] + thought, False), (thought, True), (f"{row.opens[-1]}{thought}", True)):
        assert split_reasoning(text, opened_think=opened, markup=markup) == (thought, None)
        assert graded(text, "length", opened, markup).status == "truncated"
        assert graded(text, "stop", opened, markup).status == "no_answer"


@pytest.mark.parametrize(("row", "markup"), ROWS)
def test_tags_of_another_markup_are_text(row: Markup, markup: str) -> None:
    others = [tag for other in TAGGED if other is not row for tag in (other.opens[0], other.closes[0])]
    for tag in others:
        text = f"{row.opens[0]}some write {tag} here{row.closes[0]}4, and {tag} is a tag"
        assert split_reasoning(text, markup=markup) == (f"some write {tag} here", f"4, and {tag} is a tag")
        cut = f"{row.opens[0]}some write {tag} here"
        assert split_reasoning(cut, markup=markup) == (f"some write {tag} here", None)


@pytest.mark.parametrize(("row", "markup"), ROWS)
def test_the_end_of_a_prompt_says_which_block_it_opened(row: Markup, markup: str) -> None:
    for number, opening in enumerate(row.opens):
        closing = row.closes[number if len(row.opens) == len(row.closes) else 0]
        for end in ("", "\n", "\n\n"):
            assert opening_at_end(f"<|im_start|>assistant\n{opening}{end}", markup) == closing
        assert opening_at_end(f"{opening} said{closing}\n", markup) == opening_at_end(f"{opening} said", markup) == ""


@pytest.mark.parametrize(
    "text",
    [
        "My thought is that it is 4.",
        "My thought: I would take 4.",
        "My answer: 4",
        "In short, my thought: it is 5. My answer: 4",
        "Use <reasoning> for the steps and close it with </reasoning>. 4",
        "The element <thought> holds a thought. 4",
        "The tag ends in think>, [think] is a heading, and <|channel|> alone is nothing. 4",
        "",
    ],
)
def test_ordinary_prose_is_an_answer(text: str) -> None:
    assert split_reasoning(text) == (None, text)


@pytest.mark.parametrize("seed", [1, 2])
def test_my_thought_and_my_answer(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(50):
        thought = rng.choice(["2 and 2", "It says: 'My answer: 5', no.", "one\n\ntwo", "the answer is 5"])
        answer = rng.choice(["4", "It is 4.", "The answer is 4.", "\\boxed{4}"])
        bold, gap = rng.choice(["", "**"]), rng.choice([" ", "\n"])
        cues = [f"{bold}{cue}{bold}{gap}" for cue in (PROSE.opens[0], PROSE.closes[0])]
        text = f"{rng.choice(['', chr(10)])}{cues[0]}{thought}\n{cues[1]}{answer}"
        assert split_reasoning(text) == (thought, answer)
        assert graded(text, "stop", False, "").value == 1.0
        assert formats.think(with_answer(Completion(text, "stop")))
    assert split_reasoning("My thought: 2 and 2. My answer: 4") == ("2 and 2.", "4")
    cut = with_answer(Completion("My thought: the answer is 4", "length"))
    assert (cut.reasoning, cut.answer_text) == ("the answer is 4", None)


def notes_of(*completions: Completion) -> list[str]:
    unread = Unread()
    for completion in completions:
        unread.add(completion)
    return unread.notes()


def test_unknown_markup_is_said_once() -> None:
    texts = ["<mull>5</mull>4", "<mull>6</mull>4", "<muse>5</muse>4", "4", "<think>5</think>4"]
    (note,) = notes_of(*(with_answer(Completion(text, "stop")) for text in texts))
    assert note.startswith("2 replies seem") and "1 other form" in note and "think_markup='<mull>…</mull>'" in note


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("<mull>5</mull>4", "<mull>…</mull>"),
        ("\n<scratch_pad>\n5\n</scratch_pad>\n\n4", "<scratch_pad>…</scratch_pad>"),
        ("[PONDER]5[/PONDER] 4", "[PONDER]…[/PONDER]"),
        ("<|begin_of_plan|>5<|end_of_plan|>4", "<|begin_of_plan|>…<|end_of_plan|>"),
        ("◁muse▷5◁/muse▷4", "◁muse▷…◁/muse▷"),
        ("so it is 5</my_thoughts>4", "<my_thoughts>…</my_thoughts>"),
        ("analysisIt is 5.assistantfinalIt is 4.", "analysis…assistantfinal"),
        ("<answer>4</answer> is it", None),
        ("<p>4</p><p>and more</p>", None),
        ("<mull>5</mull>", None),
        ("4 < 5 and 5 > 4", None),
        ("[A] is it", None),
        ("The analysis is done.", None),
        ("", None),
    ],
)
def test_unknown_markup_is_named_and_never_split(text: str, named: str | None) -> None:
    done = with_answer(Completion(text, "stop"))
    assert (done.reasoning, done.answer_text) == (None, text.strip())
    assert unknown_markup(text) == named
    assert len(notes_of(done)) == (named is not None) and all(named in note for note in notes_of(done) if named)
    if named is not None and named.startswith("<m"):
        assert notes_of(with_answer(Completion(text, "stop", markup=named))) == []


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("<mull>", "an opening and a closing"),
        ("…</mull>", "an opening"),
        ("<a>…<a>", "differ"),
        ("x" * 70 + "…y", "64"),
    ],
)
def test_a_markup_that_cannot_be_is_refused(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_markup(text)


def test_several_markups_can_be_named() -> None:
    assert [row.opens[0] for row in parse_markup("<a>...</a>, [B]…[/B],")] == ["<a>", "[B]"]
    assert parse_markup("") == ()


def test_tag_tokens_are_those_of_tags() -> None:
    chat = ["<s>", "</s>", "<|im_start|>", "<|im_end|>", "<|end|>", "<|start|>", "<pad>", "<|message|>"]
    assert tag_tokens(chat) == frozenset()
    for row in TAGGED:
        tokens = row.tokens or (*row.opens, *row.closes, *row.ends)
        others = [token for token in chat if token not in tokens]
        assert tag_tokens([*others, *tokens]) == set(tokens)
    assert tag_tokens(["<THINK>", "[think]", "<mull>"], USER) == {"<THINK>", "<mull>"}


UNITS = [tag for row in TABLE for tag in (row.opens[0], row.closes[0], *row.ends)] + ["<|", "[", "◁", "<", "analysis"]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("unit", UNITS)
def test_megabytes_of_tags_are_read(unit: str) -> None:
    """Quadratic behaviour would take hours at this size; the timeout is the assertion."""
    text = unit * (200_000 // len(unit))
    for whole in (text, "My thought:" + text, "<mull>" + text):
        done = with_answer(Completion(whole, "stop"))
        notes_of(done)
        formats.think(done)
