"""`paths` and `mixed`: planted paths and shares of a script are recovered, and what is dropped is counted."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import Any

import pytest
from data_fakes import ASKED, CUT, FAILED, RIGHT, WRONG, nonzero, record, says

from backends.makers.asking import Query
from backends.makers.hinted import MixedTraces, PathTraces
from backends.records.record import TrainRecord
from backends.records.scripts import SCRIPTS, script_share
from harness.errors import DataError

PATHS = [[["Ada", "mother", "Bea Row"], ["Bea Row", "born in", "Cork"]], [["Ada", "lives in", "Dover"]]]


def asking(name: str = "a", paths: Any = PATHS) -> TrainRecord:
    return record(name, meta={"grader": "integer", "paths": paths})


def test_paths_are_shown_to_the_teacher_and_not_to_the_student() -> None:
    seen: list[Query] = []
    made = PathTraces([asking()], "t").run(says(lambda _: RIGHT, seen))
    said = seen[0].problem.messages[-1].content
    assert "Ada -> mother -> Bea Row; Bea Row -> born in -> Cork\nAda -> lives in -> Dover" in said
    (one,) = made.records
    assert (one.id, one.prompt, one.response, one.meta["path_share"]) == ("a#0", ASKED, RIGHT, 0.0)
    assert one.meta["verified"] is True and one.meta["problem"] == "a"


def test_chains_that_walk_a_planted_path_are_told_from_those_that_do_not() -> None:
    """A graph of a generator; a chain names none, some or all entities of one path, in any case, amid other words."""
    draw, shares = random.Random(9), {}
    records = []
    for n in range(300):
        nodes = draw.sample([f"{a} {b}" for a in ("Old", "New", "Far") for b in ("Ham", "Ton", "Wick", "Ford")], 4)
        path = [[one, "next to", other] for one, other in pairwise(nodes)]
        named = draw.randint(0, 4)
        chain = ". ".join(f"It is by {draw.choice([one, one.upper()])}, so on" for one in nodes[:named])
        shares[f"r{n}"] = (named / 4, f"<think>\nWell. {chain}.\n</think>\nThe answer is 20.")
        records.append(asking(f"r{n}", [path]))
    made = PathTraces(records, "t", least=0.75).run(says(lambda query: shares[query.problem.id][1]))
    assert {str(one.meta["problem"]): one.meta["path_share"] for one in made.records} == {
        name: share for name, (share, _) in shares.items() if share >= 0.75
    }
    assert made.counts["off_path"] == 300 - len(made.records)


def test_what_is_lost_is_counted() -> None:
    said: dict[str, Any] = {"a": RIGHT, "b": WRONG, "c": FAILED, "d": CUT, "e": "The answer is 20.", "f": ""}
    made = PathTraces([asking(name) for name in said], "t", n=2).run(says(lambda query: said[query.problem.id]))
    lost = {"teacher_error": 2, "cut": 2, "empty": 2, "wrong": 2, "no_chain": 2, "duplicate": 1}
    assert nonzero(made.counts) == {"given": 6, "asked": 12, **lost, "kept": 1}


@pytest.mark.parametrize(
    "paths", [None, [], "Ada", [[]], [[["Ada", "mother"]]], [[["Ada", "mother", ""]]], [[["a", 1, "b"]]]]
)
def test_records_without_paths_are_refused(paths: Any) -> None:
    with pytest.raises(DataError, match=r"record 'a': 'meta.paths' must be a list of paths"):
        PathTraces([asking(paths=paths)], "t")


LETTERS = {
    "hangul": "가나다", "han": "水火木", "kana": "あいウ", "cyrillic": "абв", "greek": "αβγ",
    "arabic": "ابت", "hebrew": "אבג", "devanagari": "कखग", "thai": "กขค",
}  # fmt: skip


def test_a_planted_share_of_a_script_is_recovered() -> None:
    draw = random.Random(4)
    assert set(LETTERS) == set(SCRIPTS)
    for script, letters in LETTERS.items():
        for _ in range(40):
            own, latin = draw.randint(0, 20), draw.randint(1, 20)
            text = [draw.choice(letters) for _ in range(own)] + [draw.choice("abcXé") for _ in range(latin)]
            text += list("12 .,-\n")
            draw.shuffle(text)
            assert script_share("".join(text), script) == own / (own + latin)
            others = [one for one in SCRIPTS if one != script]
            assert all((script_share("".join(text), one) or 0) == 0 for one in others)
    assert script_share("1 + 2", "han") is None


def chain_of(share: float, answer: str = "20", rest: str = "") -> str:
    """A chain of 400 letters of which this share is Hangul."""
    own = round(400 * share)
    draw = random.Random(own)
    latin = "".join(draw.choice("abcdefgh") + ("" if n % 5 else " ") for n in range(400 - own))
    return f"<think>\n{'가나다라 ' * (own // 4)}{'가' * (own % 4)} {latin}{rest}\n</think>\n{answer}"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (chain_of(0.05), "kept"),
        (chain_of(0.2), "kept"),
        (chain_of(0.0475), "share_below"),
        (chain_of(0.2025), "share_above"),
        (chain_of(0.1, "The answer is $\\boxed{20}$."), "kept"),
        (chain_of(0.1, "답은 20"), "kept"),
        (chain_of(0.1, "It must be 20"), "answer_script"),
        (chain_of(0.1, rest="<think> again"), "blocks"),
        (chain_of(0.1, rest=" so it is as it is" * 200), "repetitive"),
        (chain_of(0.1, "21"), "wrong"),
    ],
)
def test_mixed_keeps_by_the_share_of_the_script(text: str, why: str) -> None:
    made = MixedTraces([record()], "t").run(says(lambda _: text))
    assert nonzero(made.counts) == {"given": 1, "asked": 1, why: 1}
    if why == "kept":
        assert 0.05 <= float(str(made.records[0].meta["script_share"])) <= 0.2


def test_bounds_that_hold_nothing_are_refused() -> None:
    with pytest.raises(DataError, match=r"--least 0.3 is above --most 0.2"):
        MixedTraces([record()], "t", least=0.3)
    with pytest.raises(DataError, match="no 'gold'"):
        MixedTraces([record(gold=None)], "t")
