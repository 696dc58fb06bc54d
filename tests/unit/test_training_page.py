"""`harness models show --plot`: what a training logged, as a page that is whole and safe."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner
from registry_cards import add_card

from harness.bench.logged import write_training_page
from harness.cli.models import command
from harness.errors import StoreError, UsageError


def logged(path: Path, stages: tuple[str, ...] = ("train",)) -> Path:
    rows = [
        {
            "stage": stage, "step": step, "loss": 1 / (step + 1), "reward": 0.1 * step, "reward/accuracy": 0.2,
            "reward/<b>": 0.3, "variance/accuracy": 1.0, "length": 40, "entropy": float("nan"), "grad_norm": "x",
            **({"alarms": ["step 3: <i>hacking</i> \x1b[2J"]} if step == 3 else {}),
        }
        for stage in stages
        for step in range(1, 6)
    ]  # fmt: skip
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + "{torn\n[1]\n")
    return path


def test_the_page_is_whole_and_safe(tmp_path: Path) -> None:
    write_training_page(tmp_path / "p.html", "tiny-grpo", logged(tmp_path / "metrics.jsonl"))
    page = (tmp_path / "p.html").read_text()
    figures = re.findall(r"<figure>.*?</figure>", page, re.DOTALL)
    titles = [ElementTree.fromstring(figure).findtext("h2") for figure in figures]
    assert titles == ["Loss", "Reward and its parts", "Share of the advantage's variance", "Tokens of a completion"]
    assert figures[1].count("<polyline") == 3 and "optimiser steps" in figures[1]
    assert "<script" not in page and "\x1b" not in page and "<i>" not in page and "<b>" not in page
    assert "alarm: step 3" in page and "&lt;i&gt;hacking" in page


def test_stages_have_pictures_of_their_own(tmp_path: Path) -> None:
    write_training_page(tmp_path / "p.html", "x", logged(tmp_path / "m.jsonl", ("sft", "rl")))
    page = (tmp_path / "p.html").read_text()
    assert "<h2>sft: Loss</h2>" in page and "<h2>rl: Loss</h2>" in page


def test_the_command_writes_it(tmp_path: Path) -> None:
    folder = add_card(tmp_path, "tiny-grpo-00000000")
    logged(folder / "metrics.jsonl")
    given = ["show", "tiny-grpo", "--plot", str(tmp_path / "p.html"), "--results-dir", str(tmp_path)]
    done = CliRunner().invoke(command, given, standalone_mode=False, catch_exceptions=False)
    assert "tiny-grpo-00000000" in done.stdout and (tmp_path / "p.html").is_file()


def test_what_cannot_be_drawn_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\.html"):
        write_training_page(tmp_path / "p.pdf", "x", logged(tmp_path / "m.jsonl"))
    with pytest.raises(StoreError, match="nothing that could be drawn"):
        write_training_page(tmp_path / "p.html", "x", tmp_path / "nowhere.jsonl")
