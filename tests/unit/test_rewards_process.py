"""The reward `process`: ends that are asked about, what becomes of them, and whose fault it is."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import transformers

from backends.methods.prm import examples, label_ids
from backends.records.segments import Encoder
from backends.rewards.process import MOST, Process
from backends.rewards.scorers import REPLIES, Scorers, open_scorers
from backends.rewards.total import Totals
from harness.types import Completion, Request
from tests.tiny_model import write_model
from tests.unit.rollout_groups import group, record, unused_scorers

TEXT = "<think>\n1 + 1 = 2. 2 + 2 = 5.\n</think>\n5"


def says(p: float) -> Completion:
    return Completion("", "stop", alternatives={"yes": math.log(p), "no": math.log(1 - p)})


def asking(reply: Callable[[str], Completion]) -> tuple[Scorers, list[Request]]:
    seen: list[Request] = []

    def likelihoods(spec: str, requests: Sequence[Request], words: tuple[str, ...]) -> list[Completion]:
        assert spec == "trained:x" and words == ("yes", "no")
        seen.extend(requests)
        return [reply(request.messages[0].content) for request in requests]

    return replace(unused_scorers(), likelihoods=likelihoods), seen


def planted(prompt: str) -> Completion:
    """0.9 at the first step, 0.2 at the wrong one, 0.1 of the whole."""
    return says(0.1 if "with its answer" in prompt else 0.2 if "2 + 2 = 5" in prompt else 0.9)


@pytest.mark.parametrize(
    ("aggregate", "trajectory", "value"),
    [("mean", 0.0, 0.55), ("min", 0.0, 0.2), ("last", 0.0, 0.2), ("mean", 0.5, 0.325), ("min", 1.0, 0.1)],
)
def test_steps_and_the_whole(aggregate: str, trajectory: float, value: float) -> None:
    scorers, seen = asking(planted)
    (part,) = Process(prm="trained:x", aggregate=aggregate, trajectory=trajectory).score(group([TEXT]), scorers)  # type: ignore[arg-type]
    assert part.value == pytest.approx(value) and not part.why
    assert len(seen) == {0.0: 2, 0.5: 3, 1.0: 1}[trajectory]
    assert len({one.id for one in seen}) == len(seen)
    if trajectory == 0.5:
        assert part.more == pytest.approx({"worst": 0.2, "trajectory": 0.1})


def test_each_completion_gets_its_own_and_an_empty_path_is_worth_nothing() -> None:
    scorers, seen = asking(planted)
    found = Process(prm="trained:x", trajectory=0.0).score(group([TEXT, "", "1 + 1 = 2."]), scorers)
    assert [part.value for part in found] == pytest.approx([0.55, 0.0, 0.9])
    assert len(seen) == 3


def test_log_odds_are_a_reward_models_own_scale_and_an_empty_path_is_the_least_of_its_group() -> None:
    """Bradley-Terry says differences alone: behind p, rewards of 8 and 11 would be one."""

    def twos(prompt: str) -> Completion:
        return Completion("", "stop", alternatives={"yes": -1.0, "no": -1.0 - prompt.count("2")})

    scorers, _ = asking(twos)
    texts, whole = ["2 2.", "", "2 2 2 2."], Process(prm="trained:x", trajectory=1.0, scale="log_odds")
    assert [part.value for part in whole.score(group(texts), scorers)] == pytest.approx([2.0, 2.0, 4.0])
    assert whole.score(group(["", ""]), scorers)[0].value == 0.0
    sure = Process(prm="trained:x", trajectory=1.0).score(group(["2 " * 40, "2 " * 80]), scorers)
    assert sure[0].value == sure[1].value == 1.0


def test_the_scorers_fault_is_no_value() -> None:
    failed = Completion("", "error", error="prompt and continuation do not fit the context")
    scorers, _ = asking(lambda prompt: failed if "2 + 2" in prompt else says(0.9))
    one, other = Process(prm="trained:x").score(group([TEXT, "1 + 1 = 2."]), scorers)
    assert one.value is None and "failed: prompt and continuation do not fit" in one.why
    assert other.value == pytest.approx(0.9)


def test_a_model_that_cannot_score_or_has_no_room_gives_no_value_and_says_why(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "short", context=128)
    with open_scorers(None, tmp_path) as scorers:
        for spec, words in (("mock:gold", "cannot score a given text"), (f"hf:{folder}", "context")):
            (part,) = Process(prm=spec).score(group([TEXT]), scorers)
            assert part.value is None and words in part.why
        assert scorers.spent.failed == scorers.spent.requests == 6


def test_of_a_very_long_path_some_ends_are_asked_the_last_one_too() -> None:
    scorers, seen = asking(lambda prompt: says(0.5))
    text = "\n\n".join(f"step {number}" for number in range(1000))
    Process(prm="trained:x", trajectory=0.0).score(group([text]), scorers)
    assert len(seen) == MOST and "step 999" in seen[-1].messages[0].content


def test_it_is_found_by_its_name_with_its_options() -> None:
    scorers, _ = asking(planted)
    totals = Totals("process=2", {"process.prm": "trained:x", "process.aggregate": "min", "process.trajectory": "0"})
    (mark,) = totals.mark(group([TEXT]), scorers)
    assert mark.value == pytest.approx(0.4) and mark.parts["process.worst"] == pytest.approx(0.2)


def test_a_model_is_asked_exactly_what_it_was_trained_on_and_once(tmp_path: Path) -> None:
    """p(good) of an engine is the softmax over the two label tokens at the very position that training looks at."""
    folder = write_model(tmp_path / "prm", context=1024)
    spec, made = f"hf:{folder}", record(response=TEXT, meta={"step_labels": [1, 0], "outcome": False})
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    rows = examples(Encoder(tokenizer, 1024), [made]).examples
    good, bad = label_ids(tokenizer)
    expected = []
    for row in rows:
        with torch.no_grad():
            scores = model(torch.tensor([row.sequences[0].ids_T[:-1].tolist()])).logits[0, -1]
        expected.append(float(scores[[good, bad]].softmax(-1)[0]))
    with open_scorers(tmp_path / REPLIES, tmp_path, models=[spec], arguments={"dtype": "float32"}) as scorers:
        (part,) = Process(prm=spec).score(group([TEXT], made), scorers)
        assert part.value == pytest.approx(((expected[0] + expected[1]) / 2 + expected[2]) / 2, rel=1e-4)
        assert scorers.spent.requests == 3
    with open_scorers(tmp_path / REPLIES, tmp_path, models=[spec], arguments={"dtype": "float32"}) as scorers:
        Process(prm=spec, aggregate="min").score(group([TEXT, TEXT], made), scorers)
        assert scorers.spent.requests == 0, "not after a kill either"


@pytest.mark.parametrize("options", [{}, {"prm": "x", "trajectory": 2.0}])
def test_options_that_make_no_sense(options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"prm must say|from 0 to 1"):
        Process(**options)  # type: ignore[arg-type]
