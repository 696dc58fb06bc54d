"""Finding runs on disk: every run of a results folder, or the one a person means by a few letters."""

from __future__ import annotations

import difflib
import os
from pathlib import Path

from harness.errors import StoreError, UsageError
from harness.run.folder import JUDGED, RESULT, RUNS, RunFolder


def list_runs(results_dir: Path) -> list[RunFolder]:
    """Every run folder in order of name; hidden folders and stray files are no runs.

    Raises `StoreError` if the results folder itself does not exist or cannot be listed.
    """
    if not results_dir.is_dir():
        raise StoreError(f"there is no results folder {results_dir}: run something first, or say --results-dir")
    try:
        folder = results_dir / RUNS
        if not folder.exists():
            return []
        paths = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError as error:
        raise StoreError(f"cannot list the runs in {results_dir}: {error.strerror}") from error
    return [RunFolder(path) for path in paths]


def find_run(results_dir: Path, name: str) -> RunFolder:
    """The run that `name` means: a path, a run id, or a unique beginning (or part) of one.

    Raises `UsageError` with the candidates if several match, or with the closest ids if none does.
    """
    path = Path(name)
    # os.path, unlike Path, takes a name that no file can have (too long, a null byte) for what it is: no file.
    if ("/" in name or name in (".", "..")) and os.path.isdir(name):
        return RunFolder(path if path.name not in ("", "..") else Path(os.path.abspath(name)))  # its name is the run's
    if "/" in name and path.name == RESULT and os.path.isfile(name):
        return RunFolder(path.parent)
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
        return RunFolder(path)
    close = difflib.get_close_matches(name, runs, n=3, cutoff=0.4)
    hint = f" Did you mean {' or '.join(map(repr, close))}?" if close else ""
    raise UsageError(
        f"no run {name!r} among the {len(runs)} in {results_dir / RUNS}.{hint} `harness list runs` names them"
    )
