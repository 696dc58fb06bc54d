"""A threshold on a label: chosen under a class ratio, kept by the card, applied where the model is evaluated."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st
from registry_cards import make_card
from tiny_model import write_model

from harness.cli.models import command
from harness.errors import DataError, HarnessError, ModelError, StoreError
from harness.models import load_model
from harness.models.calibrated import CalibratedModel, label_chance
from harness.registry import read_card, write_card
from harness.threshold import LabelThreshold, choose_threshold, read_threshold
from harness.types import Completion, Message, Request, TokenScores

KEPT = LabelThreshold("YES", "NO", 0.8, 0.1, 0.5, 0.4, 20, 2)
ASKED = (Message("user", "Is it safe?"),)


class Letters:
    """A model of characters: what it answers, and how likely YES is to it."""

    name, continues = "letters", False

    def __init__(self, text: str, chance: float, finish: Any = "stop") -> None:
        self.text, self.chance, self.finish, self.scored = text, chance, finish, list[str]()

    def describe(self) -> dict[str, Any]:
        return {"engine": "letters"}

    def environment(self) -> dict[str, Any]:
        return {}

    async def answer(self, request: Request) -> Completion:
        return Completion(self.text, self.finish, tokens_in=10, logprob=-1.0)

    async def score(self, prompt: Sequence[Message], continuation: Any, top: int = 0) -> TokenScores:
        self.scored.append(continuation)
        if self.chance < 0:
            raise ModelError("letters cannot score")
        said = "YES" if continuation.endswith("YES") else "NO"
        first = self.chance if said == "YES" else 1 - self.chance
        before = len(continuation) - len(said)
        logps = [-9.0] * before + [math.log(first)] + [0.0] * (len(said) - 1)
        return TokenScores(tuple(map(ord, continuation)), tuple(logps), read=5)

    async def close(self) -> None:
        pass


def said(text: str, chance: float, threshold: float = 0.8, finish: Any = "stop") -> Completion:
    model = CalibratedModel(Letters(text, chance, finish), dataclasses.replace(KEPT, threshold=threshold))
    return asyncio.run(model.answer(Request("r", ASKED, 0.0, 1.0, 9, (), 0)))


# --- the threshold ---------------------------------------------------------------------------------------------------


def test_the_best_threshold_by_hand() -> None:
    chances, labels = [0.9, 0.8, 0.6, 0.55, 0.2], [True, True, False, False, False]
    threshold, best, before = choose_threshold(chances, labels)
    assert (threshold, best) == (pytest.approx(0.7), 1.0)
    assert before == pytest.approx(2 * 2 / (4 + 2))
    rare = choose_threshold(chances, labels, 0.1)
    assert rare[0] == pytest.approx(0.7) and rare[2] < before  # rarer positives: false alarms count more
    assert choose_threshold([0.9, 0.1], [True, False])[0] == 0.5  # nothing is better: it stays where it was


def test_where_every_answer_is_best_positive_the_threshold_is_below_all() -> None:
    threshold, best, before = choose_threshold([0.1, 0.2, 0.3], [True, False, True])
    assert threshold == pytest.approx(0.05) and (best, before) == (pytest.approx(2 * 2 / (3 + 2)), 0.0)


def test_the_ratio_moves_it() -> None:
    chances, labels = [0.9, 0.7, 0.6, 0.8, 0.4, 0.3], [True, True, True, False, False, False]
    assert choose_threshold(chances, labels, 0.9)[0] < choose_threshold(chances, labels, 0.01)[0]


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=2), st.floats(0.01, 0.99))
def test_it_is_never_worse_than_a_half(items: list[tuple[float, bool]], ratio: float) -> None:
    chances, labels = [p for p, _ in items], [one for _, one in items]
    if not 0 < sum(labels) < len(labels):
        with pytest.raises(DataError, match="both labels"):
            choose_threshold(chances, labels, ratio)
        return
    threshold, best, before = choose_threshold(chances, labels, ratio)
    assert 0 <= threshold <= 1 and 0 <= before <= best <= 1


def test_what_has_no_threshold() -> None:
    with pytest.raises(DataError, match="1 of 1 answers"):
        choose_threshold([0.5], [True])
    with pytest.raises(DataError, match="between 0 and 1, not 1"):
        choose_threshold([0.5, 0.1], [True, False], 1.0)


# --- the model -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "chance", "after"),
    [
        ("Line 3 is unsafe. YES", 0.7, "Line 3 is unsafe. NO"),
        ("Line 3 is unsafe. YES", 0.9, "Line 3 is unsafe. YES"),
        ("<think>\nYES?\n</think>\n<output>\nNO\n</output>", 0.95, "<think>\nYES?\n</think>\n<output>\nYES\n</output>"),
        ("NO, since NONE is there.", 0.85, "YES, since NONE is there."),  # a label within a word is none
        ("YESTERDAY", 0.1, "YESTERDAY"),
        ("perhaps", 0.9, "perhaps"),
        ("<think>\nYES\n</think>\nperhaps", 0.1, "<think>\nYES\n</think>\nperhaps"),  # a thought decides nothing
    ],
)
def test_the_threshold_decides(text: str, chance: float, after: str) -> None:
    found = said(text, chance)
    assert (found.text, found.finish) == (after, "stop")
    assert found.tokens_in == (10 if found.logprob is not None else 20)


def test_tokens_that_an_engine_does_not_count_are_not_none() -> None:
    class Silent(Letters):
        async def score(self, prompt: Sequence[Message], continuation: Any, top: int = 0) -> TokenScores:
            return dataclasses.replace(await super().score(prompt, continuation, top), read=None)

    found = asyncio.run(CalibratedModel(Silent("YES", 0.9), KEPT).answer(Request("r", ASKED, 0.0, 1.0, 9, (), 0)))
    assert (found.text, found.tokens_in) == ("YES", None)


def test_what_failed_or_was_cut_stays_and_a_failure_is_an_error() -> None:
    assert said("YES", 0.1, finish="length").text == "YES"
    failed = said("YES", -1.0)
    assert (failed.finish, failed.error, failed.text) == ("error", "calibration: letters cannot score", "")


def test_tokens_that_both_labels_share_say_nothing() -> None:
    model = Letters("so YES", 0.3)
    found = asyncio.run(label_chance(model, ASKED, Completion("so YES", "stop"), "YES", "NO"))
    assert found is not None and found.chance == pytest.approx(0.3) and model.scored == ["so YES", "so NO"]


# --- the card --------------------------------------------------------------------------------------------------------


def test_the_card_keeps_it_and_cards_without_are_as_they_were(tmp_path: Path) -> None:
    folder = tmp_path / "tiny-sft-00000000"
    plain = write_card(folder, make_card()).read_text()
    assert "calibration" not in plain
    write_card(folder, make_card(calibration=KEPT))
    assert read_card(folder).calibration == KEPT
    row = json.loads((folder / "card.json").read_text())
    for name, odd in (("threshold", 2.0), ("threshold", "x"), ("positive", "NO"), ("records", -1), ("ratio", True)):
        changed = {**row, "calibration": {**row["calibration"], name: odd}}
        (folder / "card.json").write_text(json.dumps(changed))
        with pytest.raises(StoreError, match="calibration"):
            read_card(folder)
    with pytest.raises(ValueError, match="calibration needs"):
        read_threshold({"threshold": 0.5})


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    home = folder / "models" / "tiny-sft-00000000"
    write_model(home / "model", context=256)
    write_card(home, make_card(base="hf:somewhere"))
    return folder


def records(path: Path, golds: Sequence[str]) -> Path:
    rows = [{"id": str(n), "prompt": f"Is {n} safe?", "gold": gold} for n, gold in enumerate(golds)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def calibrate(results: Path, *more: str) -> Result:
    told = ["calibrate", "tiny-sft-0", "--results-dir", str(results), *more]
    return CliRunner().invoke(command, told, standalone_mode=False)


def test_calibrate_and_evaluate(results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from harness.models.hf import HfModel

    asked: list[str] = []

    async def answer(self: HfModel, request: Request) -> Completion:  # a random model says neither label
        asked.append(request.messages[0].content)
        return Completion("So " + ("YES" if "2" in request.messages[0].content else "NO"), "stop")

    monkeypatch.setattr(HfModel, "answer", answer)
    data = records(tmp_path / "data.jsonl", ["YES", "NO", "YES", "NO"])
    done = calibrate(results, "--data", str(data), "--ratio", "0.2", "--model-arg", "dtype=float32")
    assert done.exception is None and "YES from P = " in done.stdout
    again = calibrate(results, "--data", str(data), "--ratio", "0.2", "--model-arg", "dtype=float32")
    assert again.stdout == done.stdout and len(asked) == 4  # what was answered is kept
    card = read_card(results / "models" / "tiny-sft-00000000")
    assert card.calibration is not None and card.calibration.ratio == 0.2 and card.calibration.records == 4
    named = load_model("trained:tiny-sft-00000000", {}, results)
    assert isinstance(named, CalibratedModel) and named.describe()["calibration"]["positive"] == "YES"  # type: ignore[index,call-overload]
    plain = load_model("trained:tiny-sft-00000000", {"calibrated": "false"}, results)
    assert isinstance(plain, HfModel) and "calibration" not in plain.describe()
    assert calibrate(results, "--off").exception is None
    assert read_card(results / "models" / "tiny-sft-00000000").calibration is None


@pytest.mark.parametrize(
    ("golds", "more", "words"),
    [
        (["YES", "maybe"], [], "record '1': its gold is 'maybe', neither 'YES' nor 'NO'"),
        (["YES", "NO"], ["--negative", "YES"], "two different labels"),
        (None, [], "needs --data FILE"),
    ],
)
def test_bad_input_is_one_line(
    results: Path, tmp_path: Path, golds: list[str] | None, more: list[str], words: str
) -> None:
    data = [] if golds is None else ["--data", str(records(tmp_path / "data.jsonl", golds))]
    error = calibrate(results, *data, *more).exception
    assert isinstance(error, HarnessError) and error.exit_code == 2
    assert words in str(error) and len(str(error).splitlines()) == 1
