"""Fixtures shared by all tests."""

from __future__ import annotations

import gc
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# On a busy machine any example may take a second now and then; tests never assert wall time.
settings.register_profile("harness", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("harness")

# Tiny models gain nothing from more threads, two of these processes share two cores, and children inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# vLLM would bind the threads of both to the same core.
os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")

# No table depends on the terminal that the tests were started in, nor on what readline takes for its size.
for _name in ("COLUMNS", "LINES"):
    os.environ.pop(_name, None)

# A shell starts what it puts in the background with Ctrl-C ignored, and so would be every process that a test starts.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Torch, transformers and ten thousand collected tests stay; looking through all of them again and again finds nothing.
gc.set_threshold(20_000, 20, 20)

_ROOT = Path(__file__).resolve().parent.parent
_modules_frozen = 0


def pytest_runtest_logstart() -> None:
    """Between tests, if many modules came in: `gc.collect()`, which every training calls, need not walk them."""
    global _modules_frozen
    if len(sys.modules) > _modules_frozen + 200:
        gc.collect()
        gc.freeze()
        _modules_frozen = len(sys.modules)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder with the real benchmark files; the test is skipped where it is absent."""
    folder = Path(os.environ.get("HARNESS_TEST_DATA", _ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"real benchmark data not found at {folder}; set HARNESS_TEST_DATA to run this test")
    return folder


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A tiny `objective_steps.Student`."""
    from objective_steps import Student

    return Student(tmp_path_factory.mktemp("student"))


@pytest.fixture(autouse=True)
def _narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever table any test draws is held to the rule for terminals of 80, 100 and 120 columns."""
    from narrow_tables import checked_draw

    monkeypatch.setattr("harness.report.table.draw", checked_draw)
