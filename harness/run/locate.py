"""Finding runs on disk: every run of a results folder, or the one a person means by a few letters."""

from __future__ import annotations

import difflib
import os
from pathlib import Path

from harness.errors import StoreError, UsageError

RUNS = "runs"
JUDGED = "@"
"""In the id of a judged run: stands between the id of the run judged and what judged it. No other id has it."""


def written_by(directory: Path) -> str:
    """The command that writes scores and result of this run again."""
    return "`harness judge`" if JUDGED in directory.name else "`harness score`"


def runs_folder(results_dir: Path) -> Path:
    """`<results>/runs`, where every run has a folder named by its id."""
    return results_dir / RUNS


def list_runs(results_dir: Path) -> list[Path]:
    """Every run directory in order of name; hidden folders and stray files are no runs.

    Raises `StoreError` if the results folder itself does not exist or cannot be listed.
    """
    if not results_dir.is_dir():
        raise StoreError(f"there is no results folder {results_dir}: run something first, or say --results-dir")
    try:
        folder = runs_folder(results_dir)
        if not folder.exists():
            return []
        return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError as error:
        raise StoreError(f"cannot list the runs in {results_dir}: {error.strerror}") from error


def find_run(results_dir: Path, name: str) -> Path:
    """The run directory that `name` means: a path, a run id, or a unique beginning (or part) of one.

    Raises `UsageError` with the candidates if several match, or with the closest ids if none does.
    """
    path = Path(name)
    # os.path, unlike Path, takes a name that no file can have (too long, a null byte) for what it is: no file.
    if ("/" in name or name in (".", "..")) and os.path.isdir(name):
        return path if path.name not in ("", "..") else Path(os.path.abspath(name))  # a run's name is its folder's
    if "/" in name and path.name == "result.json" and os.path.isfile(name):
        return path.parent
    runs = {run.name: run for run in list_runs(results_dir)}
    if name in runs:
        return runs[name]
    # Few letters mean the run itself, not what was judged of it, unless they say so.
    run, judged, judge = name.partition(JUDGED)
    meant = [i for i in runs if (JUDGED in i) == bool(judged)]
    parts = {i: i.partition(JUDGED) for i in meant}
    begins = [i for i, part in parts.items() if part[0].startswith(run) and part[2].startswith(judge)]
    for matches in (begins, [i for i, part in parts.items() if run in part[0] and judge in part[2]]):
        if len(matches) == 1 and name:
            return runs[matches[0]]
        if matches and name:
            shown = ", ".join(matches[:8]) + (f" and {len(matches) - 8} more" if len(matches) > 8 else "")
            raise UsageError(f"{name!r} is the beginning or part of {len(matches)} runs: {shown}. Write more of it")
    if name and os.path.isdir(name):
        return path
    close = difflib.get_close_matches(name, runs, n=3, cutoff=0.4)
    hint = f" Did you mean {' or '.join(map(repr, close))}?" if close else ""
    raise UsageError(
        f"no run {name!r} among the {len(runs)} in {runs_folder(results_dir)}.{hint} `harness list runs` names them"
    )
