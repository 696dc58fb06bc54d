"""`harness judge lab --watch`: a version against the last, few pairs at a time, a log, and rules that say noise."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from harness.cli import judge_watch
from harness.cli.judge_lab import command
from harness.cli.judge_watch import Watched, watch
from harness.errors import ConfigError, HarnessError, StoreError, TooManyFailures, UsageError
from harness.stats.sequential import ALPHA, confidence_sequence, look, share_of_alpha
from judges.lab.arm import JudgeArm
from judges.lab.sets import PairSet, batches
from judges.lab.versions import VersionLog
from judges.prompts.rubric import load_rubric
from tests.prompted_judge import PromptedModel
from tests.scripted_judge import ErrorModel, synthetic_pairs

TEXT = Path("rubrics/pairwise_5.toml").read_text(encoding="utf-8")
Edit = Callable[[str], str]


def edit(words: str) -> str:
    return TEXT.replace("How to work\n", f"How to work\n- {words}\n", 1)


# --- the rule ---


def test_a_sure_difference_is_found_and_none_is_noise() -> None:
    assert look(np.array([1.0] * 12), 100, 0.025).decision == "better"
    assert look(np.array([-1.0] * 12), 100, 0.025).decision == "worse"
    assert look(np.zeros(100), 10, 0.025).decision == "noise", "what is left cannot decide"
    assert look(np.array([1.0, -1.0] * 20), 1000, 0.025).decision == "open"
    assert look(np.array([1.0, -1.0] * 20), 0, 0.025).decision == "noise", "nothing is left"
    assert look(np.zeros(0), 50, 0.025).decision == "open" and confidence_sequence(np.zeros(0), 0.05) == (-1.0, 1.0)


def test_the_interval_narrows_and_is_the_decision() -> None:
    values = np.array([1.0, 0.0, 0.5, 0.0] * 30)
    widths = [np.diff(confidence_sequence(values[:n], 0.05))[0] for n in (8, 40, 120)]
    assert widths == sorted(widths, reverse=True)
    found = look(values, 0, 0.05)
    assert found.low > 0.0 and found.decision == "better" and found.low < found.mean < found.high
    assert confidence_sequence(-values, 0.05) == pytest.approx((-found.high, -found.low))


def test_all_comparisons_together_spend_five_percent() -> None:
    assert sum(share_of_alpha(k) for k in range(1, 10_000)) == pytest.approx(ALPHA, rel=1e-3)


def test_looking_after_every_unit_claims_no_more_than_alpha_says() -> None:
    rng, claimed = np.random.default_rng(4), 0
    for _ in range(60):
        values = rng.choice([1.0, 0.5, 0.0, -0.5, -1.0], 60, p=[0.1, 0.1, 0.6, 0.1, 0.1])
        claimed += any(look(values[:n], 60 - n, 0.05).decision in ("better", "worse") for n in range(5, 61, 5))
    assert claimed <= 8  # 3 expected at most; `benchmarks/sim_judging.py` has the whole


def test_pairs_of_one_question_are_asked_together_and_the_order_is_the_seeds() -> None:
    pairs = [p if i % 3 else dataclasses.replace(p, cluster=f"c{i // 9}") for i, p in enumerate(synthetic_pairs(60))]
    found = batches(pairs, 1, 7)
    assert sorted(p.id for batch in found for p in batch) == sorted(p.id for p in pairs)
    where = {p.cluster: {n for n, batch in enumerate(found) for q in batch if q.cluster == p.cluster} for p in pairs}
    assert all(len(numbers) == 1 for cluster, numbers in where.items() if cluster)
    assert found == batches(pairs[::-1], 1, 7) != batches(pairs, 2, 7)


# --- the loop ---


PAIRS = synthetic_pairs(140, seed=7)
WEAK, STRONG, BROKEN = ErrorModel(skill=0.5, shared=1.0), ErrorModel(skill=6.0, shared=1.0), ErrorModel(broken=1.0)


@pytest.fixture
def told(tmp_path: Path) -> Watched:
    path = tmp_path / "mine.toml"
    path.write_text(TEXT, encoding="utf-8")
    return watched(tmp_path, PromptedModel(PAIRS, WEAK, {"Verify": STRONG, "Guess": ErrorModel(skill=-6.0)}))


def watched(tmp_path: Path, model: PromptedModel) -> Watched:
    return Watched(
        path=tmp_path / "mine.toml",
        arm_of=partial(JudgeArm.of, model),
        start=None,
        pairs=PairSet("mine", tuple(PAIRS), "hash", "made up"),
        results_dir=tmp_path / "results",
        budget=None,
        own_names=(),
        seed=0,
        show=2,
        form="table",
        quiet=True,
    )


def saving(monkeypatch: pytest.MonkeyPatch, *texts: str) -> None:
    """Each wait is answered by the next save, the last one by Ctrl-C."""
    left = list(texts)

    def next_save(path: Path, seen: bytes) -> bytes:
        if not left:
            raise KeyboardInterrupt
        path.write_text(left.pop(0), encoding="utf-8")
        return path.read_bytes()

    monkeypatch.setattr(judge_watch, "next_save", next_save)


def log_of(told: Watched) -> VersionLog:
    rubric = load_rubric(str(told.path))
    return VersionLog(told.results_dir, rubric.name, told.arm_of(rubric), told.pairs, told.seed)


def decisions(told: Watched) -> list[object]:
    return [version.difference and version.difference["decision"] for version in log_of(told).versions]


def test_an_improvement_is_found_a_step_back_too_and_words_alone_are_noise(
    told: Watched, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    saving(
        monkeypatch, edit("Be kind."), edit("Verify it."), "version = ", edit("Verify it.") + "# why\n", edit("Guess.")
    )
    watch(told)
    out, err = capsys.readouterr()
    assert decisions(told) == [None, "noise", "better", "worse"]
    assert "is noise: +0.0 [" in out and "is better than" in out and "is worse than" in out
    assert "errs on" in out, "a first version shows where it errs"
    assert "mine.toml:" in err, "a mistake in the file is told, and waited out"
    assert "nothing to do" in err, "a comment is no version"
    assert "Versions" in out and "hold at every look" in out and max(map(len, out.splitlines())) <= 240


def test_what_is_noise_or_worse_is_given_up_early_and_nothing_is_asked_twice(
    told: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    saving(monkeypatch, edit("Be kind."), edit("Verify it."), edit("Guess."))
    watch(told)
    versions = log_of(told).versions
    assert versions[0].pairs == 140 == versions[2].pairs
    assert versions[1].pairs < 140 > versions[3].pairs
    model = told.arm_of(load_rubric(str(told.path))).judge
    assert isinstance(model, PromptedModel) and len(model.asked) == len(set(model.asked))
    assert [version.asked for version in versions] == [2 * version.pairs for version in versions]
    assert versions[0].cost == pytest.approx(280 * (100 * 1 + 20 * 2) / 1e6)


def test_another_session_goes_on_from_the_log_and_texts_are_kept(
    told: Watched, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    saving(monkeypatch, edit("Be kind."))
    watch(told)
    model = told.arm_of(load_rubric(str(told.path))).judge
    assert isinstance(model, PromptedModel)
    before = len(model.asked)
    saving(monkeypatch)
    watch(told)
    assert len(model.asked) == before and len(log_of(told).versions) == 2
    told.path.write_text(edit("Verify it."), encoding="utf-8")
    watch(told)
    log = log_of(told)
    assert decisions(told) == [None, "noise", "better"]
    assert log.versions[2].difference is not None
    assert log.versions[2].difference["alpha"] == share_of_alpha(2), "the first comparison has spent its share"
    assert log.text_of(log.versions[0]).read_text(encoding="utf-8") == TEXT
    assert log.versions[2].against == log.versions[1].rubric


def test_edits_without_effect_are_noise_though_they_change_verdicts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.toml").write_text(TEXT, encoding="utf-8")
    told = watched(tmp_path, PromptedModel(PAIRS, ErrorModel(skill=1.0, shared=0.3), drift=True))
    saving(monkeypatch, *(edit(f"Attempt {number}.") for number in range(4)))
    watch(told)
    assert decisions(told) == [None, *["noise"] * 4]
    means = [version.difference["mean"] for version in log_of(told).versions[1:] if version.difference]
    assert len(set(means)) > 1, "verdicts did change"


def test_the_first_version_may_be_held_against_a_rubric(told: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    told.path.write_text(edit("Verify it."), encoding="utf-8")
    saving(monkeypatch)
    watch(dataclasses.replace(told, start=load_rubric("pairwise_5")))
    assert decisions(told) == ["better"]
    assert str(log_of(told).versions[0].against).startswith("pairwise_5@1#")


def test_a_torn_line_is_forgotten_and_a_foreign_one_is_told(told: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    saving(monkeypatch)
    watch(told)
    path = log_of(told).folder / "versions.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:50])
    assert len(log_of(told).versions) == 1 and path.read_bytes() == whole
    for line in (b"{}\n", b"nothing\n", b'{"rubric": 3}\n', whole.replace(b'"pairs": 140', b'"pairs": "many"')):
        path.write_bytes(whole + line)
        with pytest.raises(StoreError, match=r"versions.jsonl:2 is no version"):
            log_of(told)


def test_a_judge_of_which_nothing_can_be_read_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.toml").write_text(TEXT, encoding="utf-8")
    saving(monkeypatch)
    with pytest.raises(TooManyFailures, match="not one reply"):
        watch(watched(tmp_path, PromptedModel(PAIRS, BROKEN)))


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ([], UsageError, "--rubric NAME, or --watch FILE"),
        (["--watch", "FILE", "--judge", "mock:wrong"], UsageError, "one prompt of one judge"),
        (["--watch", "BAD"], ConfigError, "bad.toml:1"),
    ],
)
def test_what_cannot_be_watched_is_told(
    tmp_path: Path, arguments: Sequence[str], error: type[HarnessError], says: str
) -> None:
    (tmp_path / "mine.toml").write_text(TEXT, encoding="utf-8")
    (tmp_path / "bad.toml").write_text("kind = 3", encoding="utf-8")
    rows = [{"question": p.turns[0], "a": p.a[0], "b": p.b[0], "label": p.label} for p in PAIRS[:5]]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    names = {"FILE": tmp_path / "mine.toml", "BAD": tmp_path / "bad.toml"}
    said = ["--set", str(tmp_path / "pairs.jsonl"), "--judge", "mock:judge", *(str(names.get(w, w)) for w in arguments)]
    done = CliRunner().invoke(command, [*said, "--results-dir", str(tmp_path / "results")])
    assert isinstance(done.exception, error) and says in str(done.exception), done.output


def test_the_command_watches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.toml").write_text(TEXT, encoding="utf-8")
    rows = [{"question": p.turns[0], "a": p.a[0], "b": p.b[0], "label": p.label} for p in PAIRS[:25]]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    saving(monkeypatch, edit("Be kind."))
    said = ["--set", str(tmp_path / "pairs.jsonl"), "--judge", "mock:judge", "--watch", str(tmp_path / "mine.toml")]
    done = CliRunner().invoke(command, [*said, "--results-dir", str(tmp_path / "results"), "--quiet"])
    assert done.exit_code == 0, done.output
    assert done.stdout.count("Versions") == 2 and "versions are kept in" in done.stderr
