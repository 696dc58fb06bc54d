"""What is said of replies that are being written: which go in circles, how far engines say they are, and a line."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from harness.cli import progress
from harness.cli.progress import JudgeProgress, RunProgress
from harness.models import load_model, under_way
from harness.models.under_way import UnderWay, beating, circle
from harness.types import Completion, Message, Request
from tests.tiny_model import write_model


def reply(name: str = "p#0", seconds: float = 20.0, tokens: int | None = 1000, **more: object) -> UnderWay:
    return replace(UnderWay(name, seconds, tokens, 4000), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("period", [1, 2, 7, 40, 127, 128])
def test_a_text_that_repeats_is_found_with_its_period(period: int) -> None:
    draw = random.Random(period)
    part = list(dict.fromkeys(draw.sample(range(50_000), period)))
    assert circle((part * 600)[-512:]) == period
    assert circle(([9] * 3 + part * 600)[:511]) is None  # too short to tell
    for place in draw.sample(range(512), 12):  # one other token anywhere: it goes on
        other = (part * 600)[-512:]
        other[place] = 60_000
        assert circle(other) is None, place


def test_texts_that_go_on_are_none_of_them() -> None:
    draw = random.Random(0)
    for _ in range(200):
        words = draw.sample(range(1000), draw.randint(2, 40))
        assert circle([draw.choice(words) for _ in range(512)]) is None
    assert circle([token for line in range(64) for token in (1, 2, 3, 4, 5, 6, 7, line)]) is None  # it counts
    assert circle(list(range(171)) * 3) is None  # three times is a chorus


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress.Display, "_due", lambda self: not self._quiet)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().err.splitlines()


def test_long_rows_are_told_though_nothing_ends(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, clock: list[float], always: None
) -> None:
    show = RunProgress()
    show.start("hf:x", 3)
    clock[0] += 10
    monkeypatch.setattr(show, "_shown", clock[0])
    show.advance(Completion("", "stop", tokens_out=500))
    show.beat([reply(), reply("p#1", 18.0, 900)])
    last = lines(capsys)[-1]
    assert "1/3" in last and "240 tokens/s" in last, last  # (500 + 1000 + 900) / 10
    assert "2 open (1,900 tokens), the longest 1,000 tokens, 20 s" in last
    assert "ETA up to 1:02 min" in last  # 3,100 tokens more, at 50 tokens/s
    show.beat([reply(seconds=2.0, tokens=10)])
    assert "1 open" in (last := lines(capsys)[-1]) and "longest" not in last
    show.beat([reply(tokens=None)])  # a server
    assert "1 open, the longest 20 s" in (last := lines(capsys)[-1]) and "ETA up" not in last
    RunProgress(quiet=True).beat([reply()])
    assert lines(capsys) == []


def test_while_others_wait_the_end_is_told_from_the_pace(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, clock: list[float], always: None
) -> None:
    show = JudgeProgress()
    show.start("openai:judge", 11)
    show.beat([reply(tokens=None)])
    assert "ETA" not in lines(capsys)[-1]  # nothing has come yet
    clock[0] += 10
    monkeypatch.setattr(show, "_shown", clock[0])
    show._step(10, False)
    assert "ETA 1:40 min" in lines(capsys)[-1]


def test_rows_in_circles_are_named_three_of_them_and_once(capsys: pytest.CaptureFixture[str], always: None) -> None:
    show = RunProgress()
    show.start("hf:x", 9)
    rows = [reply(f"p{n}#0", tail=(5, 6) * 256) for n in range(5)]
    show.beat(rows)
    show.beat(rows)
    told = lines(capsys)
    assert [line.partition(" again")[0] for line in told if "again and again" in line] == [
        f"hf:x: p{n}#0 repeats its last 2 tokens" for n in range(3)
    ]
    assert "5 in circles" in told[-1]


class Heard:
    def __init__(self) -> None:
        self.beats: list[list[UnderWay]] = []

    def beat(self, open_now: Sequence[UnderWay]) -> None:
        self.beats.append(list(open_now))


def ask(spec: str, options: dict[str, str], max_tokens: int, monkeypatch: pytest.MonkeyPatch) -> list[list[UnderWay]]:
    monkeypatch.setattr(under_way, "EVERY_S", 0.005)
    heard = Heard()

    async def both() -> None:
        model = load_model(spec, options, None)
        asked = [Request(f"q{n}", (Message("user", "1 + 1?"),), 1.0, 1.0, max_tokens, (), n) for n in range(2)]
        try:
            async with beating(heard, model):
                await asyncio.gather(*map(model.answer, asked))
            assert under_way.under_way(model) == []
        finally:
            await model.close()

    asyncio.run(both())
    return heard.beats


def test_the_hf_engine_says_how_far_each_row_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    student = write_model(tmp_path / "m", context=2048)
    told = [row for beat in ask(f"hf:{student}", {"dtype": "float32"}, 150, monkeypatch) for row in beat]
    assert {row.id for row in told} == {"q0", "q1"}
    assert all(row.tokens == len(row.tail) <= 150 == row.most and row.seconds > 0 for row in told)  # type: ignore[operator]
    counts = [row.tokens or 0 for row in told if row.id == "q0"]
    assert counts == sorted(counts) and counts[-1] > counts[0]


@pytest.mark.parametrize(
    ("spec", "option", "most"), [("mock:slow", "latency", 50), ("cot:mock:slow", "model.latency", None)]
)
def test_who_cannot_say_how_far_says_since_when(
    spec: str, option: str, most: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = max(ask(spec, {option: "0.1"}, 50, monkeypatch), key=len)
    assert len(told) == 2 and all(row.tokens is None and row.most == most for row in told)


def test_what_a_display_raises_is_raised_and_a_cancellation_stays_one() -> None:
    class Broken:
        def beat(self, open_now: object) -> None:
            raise ValueError("cannot draw")

    async def go(wait: float) -> None:
        async with beating(Broken(), load_model("mock:gold", {}, None)):
            await asyncio.sleep(wait)

    async def cancelled() -> None:
        task = asyncio.create_task(go(60))
        await asyncio.sleep(0)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled())
    with pytest.MonkeyPatch.context() as patch, pytest.raises(ValueError, match="cannot draw"):
        patch.setattr(under_way, "EVERY_S", 0.0)
        asyncio.run(go(0.01))
