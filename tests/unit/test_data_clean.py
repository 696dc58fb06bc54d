"""`clean`: planted garbage and duplicates are found, all of them and nothing else; near-duplicates are exact."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import combinations

import pytest
from data_fakes import nonzero, record

from backends.makers.clean import Clean
from backends.records.contamination import words
from backends.records.record import TrainRecord
from backends.records.similar import grams, near_duplicates, repeated
from harness.errors import DataError

_WORDS = [
    a + b for a in ("ba", "ke", "lo", "mi", "su", "ta", "ro") for b in ("na", "r", "sten", "lig", "po", "vek", "dum")
]


def sound(draw: random.Random, length: int = 40) -> str:
    return " ".join(draw.choice(_WORDS) + draw.choice(["", "", "", ",", "."]) for _ in range(length))


def garbage(draw: random.Random, kind: str) -> str:
    text = sound(draw)
    return {
        "unclosed": f"<think>{text}",
        "too_short": draw.choice(["Yes.", "no no", "42"]),
        "long_words": " ".join("".join(draw.choice("abcdef0123456789") for _ in range(60)) for _ in range(5)),
        "few_letters": " ".join(draw.choice(["{}", "||--||", "a", "<>;;", "b =", "$$$$"]) for _ in range(60)),
        "broken": text[:20] + draw.choice(["\ufffd", "\x00", "\x1b"]) + text[20:],
        "repetitive": " ".join([" ".join(text.split()[:6])] * 12),
        "same_lines": "\n".join([draw.choice(_WORDS) for _ in range(2)] * 9 + [sound(draw, 60)]),
    }[kind]


KINDS = ("unclosed", "too_short", "long_words", "few_letters", "broken", "repetitive", "same_lines")


def planted(seed: int, each: int) -> tuple[list[TrainRecord], dict[str, str]]:
    """Sound records, garbage of every kind, copies (other case and punctuation) and edits of one word in forty."""
    draw = random.Random(seed)
    good = [record(f"good{n}", response=sound(draw)) for n in range(4 * each)]
    found = {f"{kind}{n}": kind for kind in KINDS for n in range(each)}
    bad = [record(name, response=garbage(draw, kind)) for name, kind in found.items()]
    for n in range(each):
        original = good[draw.randrange(len(good))].response or ""
        copy = original.upper().replace(" ", draw.choice(["  ", "\n", ", "]))
        parts = (good[n].response or "").split()
        parts[draw.choice([0, 1, len(parts) - 1])] = "changed"
        bad += [record(f"duplicate{n}", response=copy), record(f"near{n}", response=" ".join(parts))]
        found |= {f"duplicate{n}": "duplicate", f"near{n}": "near_duplicate"}
    draw.shuffle(bad)
    return [*good, *bad], found


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_what_was_planted_is_found_and_nothing_else(seed: int) -> None:
    records, bad = planted(seed, 10)
    made = Clean(records, near=0.7).run(lambda _: [])
    assert [one.id for one in made.records] == [one.id for one in records if one.id not in bad]
    expected = {kind: 10 for kind in (*KINDS, "duplicate", "near_duplicate")}
    assert nonzero(made.counts) == {"given": len(records), **expected, "kept": 40}


def test_a_response_becomes_chain_and_answer_and_its_question_counts() -> None:
    one = record("a", response="<think>\nTwo and three are five.\n</think>\nThe answer is 20.")
    other = replace(
        one, id="b", prompt=(replace(one.prompt[0], content="How much is it for seven other people, then?"),)
    )
    bare = record("c", response="Nothing to tell apart here.")
    made = Clean([one, other, bare], chain=True).run(lambda _: [])
    assert [(r.id, r.think, r.answer) for r in made.records] == [
        (name, "Two and three are five.", "The answer is 20.") for name in ("a", "b")
    ]
    assert nonzero(made.counts) == {"given": 3, "no_chain": 1, "kept": 2}
    with pytest.raises(DataError, match="response"):
        Clean([record()])


def test_near_duplicates_are_those_of_comparing_all_pairs() -> None:
    draw = random.Random(7)
    for least in (0.3, 0.5, 0.8, 1.0):
        texts = [grams([draw.choice("abcde") for _ in range(draw.randint(0, 12))], 2) for _ in range(60)]
        expected: dict[int, int] = {}
        for place, text in enumerate(texts):
            for other in range(place):
                union = len(text | texts[other])
                if other not in expected and union and len(text & texts[other]) / union >= least - 1e-9:
                    expected[place] = other
                    break
        assert near_duplicates(texts, least) == expected
    assert repeated(words("a b c d a b c d")) == pytest.approx(0.2) and repeated([]) == 0.0
    assert all(one != two for one, two in combinations(grams(list("abcdef"), 5), 2))
