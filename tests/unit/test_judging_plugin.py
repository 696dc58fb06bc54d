"""A third party's judging protocol: what it says of itself decides, since no list here can know it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from harness import catalog
from harness.cli.main import entry
from harness.stats.agreement import Level
from harness.types import Completion, Json, Message, Request
from judges.summary import mean_summary
from judges.types import Ask, Judged, Judging, JudgingOptions, Judgment, Malformed, Part, Summary, Task, Verdict
from tests.scripted_model import ScriptedModel

Call = Callable[..., tuple[int, str, str]]
RUN = ("run", "--suite", "synth_easy", "--limit", "6", "--model", "mock:gold", "--judging", "sound")


def read_label(completion: Completion) -> Verdict:
    """One of two labels."""
    if completion.answer_text not in ("sound", "unsound"):
        raise Malformed("say sound or unsound")
    return Verdict(float(completion.answer_text == "sound"), completion.answer_text)


@dataclass(frozen=True)
class SoundJudging(Judging):
    """Is the whole reply sound? Labels, of everything that was generated."""

    rubric: str | None = None
    name: str = "sound"
    part: Part = "all"
    level: Level = "nominal"
    decides: bool = True

    def identity(self) -> Mapping[str, Json]:
        return {"judging": self.name, "rubric": self.rubric}

    def asks(self, task: Task) -> Sequence[Ask]:
        return [Ask((Message("user", f"Is this sound?\n{task.answers[-1]}"),), read_label)]

    def rubric_id(self, task: Task) -> str:
        return "sound@1#0"

    def fold(self, task: Task, judgments: Sequence[Judgment]) -> Judged:
        verdict = judgments[0].verdict
        assert verdict is not None
        return Judged(task.problem_id, task.attempt, verdict.value, "scored", cluster=task.cluster)

    def summarise(self, tasks: Sequence[Task], judged: Sequence[Judged]) -> Summary:
        return mean_summary(self.name, judged)


def build(options: JudgingOptions) -> Judging:
    """The factory that the entry point names."""
    return SoundJudging(options.rubric)


def build_for_answers(options: JudgingOptions) -> Judging:
    """The same of the answer alone."""
    return SoundJudging(options.rubric, part="answer")


class Begun(Judging):
    """Inherits, and says only its name."""

    name = "begun"


def build_begun(options: JudgingOptions) -> Judging:
    return Begun()  # type: ignore[abstract]


class Half:
    """A protocol that does not inherit, and forgot two members."""

    name = "half"
    part, needs_opponent, asks, rubric_id, fold, summarise, identity = "answer", *[print] * 6

    def __init__(self, options: JudgingOptions) -> None:
        """Nothing is kept."""


@pytest.fixture
def harness(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Call:
    """A command in this process, with the protocols as plugins: (exit code, stdout, stderr)."""
    monkeypatch.setenv("HARNESS_RESULTS_DIR", str(tmp_path / "results"))
    targets = {"sound": "build", "sound_answer": "build_for_answers", "half": "Half", "begun": "build_begun"}
    points = {
        f"judging.{name}": EntryPoint(name, f"{__name__}:{value}", "harness.plugins") for name, value in targets.items()
    }
    monkeypatch.setattr(catalog, "_plugins", lambda: points)

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["harness", *arguments])
        with pytest.raises(SystemExit) as stop:
            entry()
        said = capsys.readouterr()
        return int(stop.value.code or 0), said.out, said.err

    return call


@pytest.fixture
def prompts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the judges were shown; every other prompt is of a sound answer."""
    shown: list[str] = []

    def reply(request: Request) -> str:
        shown.append(request.messages[-1].content)
        return "sound" if len(shown) % 2 else "unsound"

    def load(name: str, options: Mapping[str, str], results_dir: str) -> ScriptedModel:
        return ScriptedModel(reply, name)

    monkeypatch.setattr("harness.run.judged.ask.load_model", load)
    monkeypatch.setattr("harness.run.judged.choose.load_model", load)
    return shown


def test_a_plugin_protocol_judges_a_run_and_stands_on_the_leaderboard(harness: Call, prompts: list[str]) -> None:
    code, out, err = harness(*RUN, "--judge", "openai:a", "--json")
    assert code == 0, err
    (judged,) = json.loads(out)["judging"]
    assert judged["judging"] == {"judging": "sound", "rubric": None} and judged["judgments"]["asked"] == 6
    assert "sound@1#0 by openai:a" in harness("leaderboard")[1]
    (row,) = [row for row in json.loads(harness("leaderboard", "--json")[1])["rows"] if row["metric"] == "sound"]
    assert (row["model"], row["value"]) == ("mock:gold", 0.5)


def test_the_part_of_the_reply_that_the_protocol_names_is_what_the_judge_sees(
    harness: Call, prompts: list[str]
) -> None:
    for name, alone in (("sound", False), ("sound_answer", True)):
        prompts.clear()
        command = (*RUN[:-1], name, "--model-arg", "think=true", "--judge", "openai:a")
        assert harness(*command)[0] == 0 and len(prompts) == 6
        assert {prompt.startswith("Is this sound?\nThe final answer is") for prompt in prompts} == {alone}


def test_what_the_protocol_says_of_its_values_decides_what_a_panel_may_do(harness: Call, prompts: list[str]) -> None:
    panel = ("--judge", "openai:a", "--judge", "openai:b", "--judge", "openai:c", "--aggregate", "majority")
    code, out, err = harness(*RUN, *panel, "--json")
    assert code == 0, err
    (judged,) = json.loads(out)["judging"]
    assert judged["aggregate"] == "majority" and judged["agreement"]["level"] == "nominal"


def test_a_protocol_without_a_member_is_told_in_one_line(harness: Call, prompts: list[str]) -> None:
    code, _, err = harness(*RUN[:-1], "half", "--judge", "openai:a")
    assert code == 2
    assert "judging protocol 'half' has no decides, level: inherit from `judges.types.Judging`" in err


def test_a_protocol_that_inherits_and_is_unfinished_is_told_in_one_line(harness: Call, prompts: list[str]) -> None:
    code, _, err = harness(*RUN[:-1], "begun", "--judge", "openai:a")
    assert code == 2 and "judging protocol 'begun' is unfinished: " in err and "asks" in err


def test_a_protocol_without_a_judge_is_refused(harness: Call) -> None:
    code, _, err = harness(*RUN)
    assert code == 2 and "a rubric, a protocol or a budget is for judging: say --judge NAME" in err
