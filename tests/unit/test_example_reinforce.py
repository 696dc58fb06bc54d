"""docs/examples/reinforce.py runs, learns, and stays short enough to be read."""

from __future__ import annotations

import runpy
from pathlib import Path

from tests.tiny_model import write_model

PATH = Path(__file__).resolve().parents[2] / "docs" / "examples" / "reinforce.py"


def test_the_loop_runs_and_the_reward_rises(tmp_path: Path) -> None:
    """Letters: a dense reward that random weights earn something of, and soon more."""
    student = write_model(tmp_path / "student", context=512)
    found = runpy.run_path(str(PATH))
    given = [
        *("--student", f"hf:{student}", "--weights", "letters=1", "--steps", "12", "--prompts", "4", "--group", "8"),
        *("--max-new", "8", "--per-level", "4", "--learning-rate", "1e-2", "--results-dir", str(tmp_path)),
    ]
    rewards = found["reinforce"](found["parser"]().parse_args(given))
    assert len(rewards) == 12
    assert sum(rewards[-4:]) > 2 * sum(rewards[:4]) > 0


def test_it_is_short_enough_to_be_read() -> None:
    assert len(PATH.read_text(encoding="utf-8").splitlines()) <= 300
