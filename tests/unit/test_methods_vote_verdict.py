"""ssr, rjudge and curio_rl: which records each stage reads, by what rewards, and what they refuse."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import transformers
from rollout_groups import group, record

from backends.base import Objective, Stage, Step, TrainMethod, load_method
from backends.methods._on_policy import OnPolicyObjective
from backends.methods._terms import KlTerm, PolicyTerm
from backends.methods.curio_rl import CurioRlOptions
from backends.methods.curiosft import CurioObjective
from backends.methods.rjudge import RjudgeOptions
from backends.methods.sft import LikelihoodObjective
from backends.methods.ssr import SsrOptions
from backends.records.segments import Encoder
from backends.rewards.scorers import Scorers, open_scorers
from backends.rewards.total import Totals, parse_weights
from harness.errors import ConfigError, DataError
from harness.options import parse_options
from tests.tiny_model import write_tokenizer


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    folder = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(folder)
    return Encoder(transformers.AutoTokenizer.from_pretrained(folder), 512)


@pytest.fixture(scope="module")
def scorers() -> Iterator[Scorers]:
    with open_scorers(None, Path("results")) as opened:
        yield opened


def stages(name: str, **options: str) -> tuple[Stage, ...]:
    method = load_method(name)
    assert isinstance(method, TrainMethod)
    found: tuple[Stage, ...] = method.stages(parse_options(method.options, options, name))
    assert sum(stage.share for stage in found) == pytest.approx(1)
    return found


def weights(stage: Stage) -> dict[str, float]:
    assert stage.rolling is not None
    return parse_weights(stage.rolling.weights)


def read(stage: Stage, encoder: Encoder, *records: object) -> list[str]:
    return [example.id for example in stage.examples(encoder, records).examples]  # type: ignore[arg-type]


OPEN, KNOWN, OTHER = record(None, id="open"), record("42", id="known"), record("7", id="other")


def test_ssr_votes_on_what_has_no_gold_and_then_learns_from_labels(encoder: Encoder) -> None:
    vote, labels = stages("ssr", vote_share="0.25")
    assert (vote.name, weights(vote), labels.name, weights(labels)) == ("vote", {"vote": 1}, "labels", {"accuracy": 1})
    assert vote.share == 0.25 and vote.rolling is not None and vote.rolling.settings["group"] == 16
    assert read(vote, encoder, OPEN, KNOWN, OTHER) == ["open"] and read(labels, encoder, OPEN, KNOWN) == ["known"]
    assert read(vote, encoder, KNOWN, OTHER) == ["known", "other"], "gold that is not looked at"
    with pytest.raises(DataError, match="none of 1 records has a 'gold'"):
        read(labels, encoder, OPEN)
    with pytest.raises(ConfigError, match="vote_share must be above 0 and below 1, not 1"):
        parse_options(SsrOptions, {"vote_share": "1"}, "ssr")


def test_a_planted_wrong_majority_is_learnt_only_within_the_bounds(scorers: Scorers) -> None:
    (vote, _) = stages("ssr")
    assert vote.rolling is not None
    totals = Totals(vote.rolling.weights, {})
    seen = {}
    for wrong in range(17):  # of 16 completions so many agree on 13; the right answer is 42, and the rest differ
        texts = ["13"] * wrong + ["42"] * ((16 - wrong) // 4)
        texts += [str(100 + number) for number in range(16 - len(texts))]
        given = group(texts, OPEN)
        given = replace(given, marks=totals.mark(given, scorers))
        credits = vote.rolling.credit([given], Step(0, 1))[0]
        seen[wrong] = [credit.numbers["advantage"] for credit in credits if credit.keep]
    assert [wrong for wrong, kept in seen.items() if len(kept) == 16] == list(range(5, 15)), "shares .31 to .88"
    assert all(kept == [] for wrong, kept in seen.items() if wrong not in range(5, 15))
    assert seen[8][0] > 0 > seen[8][-1]


def test_rjudge_imitates_right_verdicts_and_practises_on_all(encoder: Encoder) -> None:
    sft, rl = stages("rjudge")
    right = record("1", None, id="right", response="VERDICT: 1")
    wrong = record("2", None, id="wrong")
    assert (sft.name, rl.name, weights(rl)) == ("sft", "rl", {"verdict": 1})
    assert read(sft, encoder, right, wrong) == ["right"] and read(rl, encoder, right, wrong) == ["right", "wrong"]
    assert sft.settings["lora_rank"] == rl.settings["lora_rank"] == 32
    first, second = sft.objective(), rl.objective()
    assert isinstance(first, LikelihoodObjective) and isinstance(second, OnPolicyObjective)
    assert [type(term) for term in second.terms] == [PolicyTerm, KlTerm]
    (alone,) = stages("rjudge", sft_stage="false", kl_coef="0")
    assert alone.name == "rl" and [type(term) for term in _terms(alone.objective())] == [PolicyTerm]
    with pytest.raises(DataError, match="none of 1 records has a 'response': make them with `harness data verdicts`"):
        read(sft, encoder, wrong)
    with pytest.raises(ConfigError, match="sft_share has no effect here"):
        parse_options(RjudgeOptions, {"sft_stage": "false", "sft_share": "0.3"}, "rjudge")


def _terms(objective: Objective) -> tuple[object, ...]:
    assert isinstance(objective, OnPolicyObjective)
    return objective.terms


def test_curio_rl_is_curiosft_and_then_grpo(encoder: Encoder) -> None:
    first, second = stages("curio_rl", lam="0.5", sft_share="0.75")
    objective = first.objective()
    assert isinstance(objective, CurioObjective) and objective.options.lam == 0.5 and first.share == 0.75
    assert weights(second) == {"accuracy": 1} and second.settings["learning_rate"] == 1e-6
    (grpo,) = stages("grpo")
    assert second.rolling is not None and grpo.rolling is not None
    assert second.rolling.settings == grpo.rolling.settings and _terms(second.objective()) == _terms(grpo.objective())
    with pytest.raises(ConfigError, match="tau_low"):
        parse_options(CurioRlOptions, {"tau_low": "9"}, "curio_rl")
