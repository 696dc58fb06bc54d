"""Where a maker's records go: the file, and beside it what belongs to it.

`traces.jsonl` has its replies in `traces.jsonl.cache.sqlite` (never deleted), what became of everything in
`traces.jsonl.report.json`, and further sets of the maker in `traces.<set>.jsonl`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

from backends.makers.base import Made, Maker
from backends.records.record import data_hash, write_records
from harness import __version__
from harness.errors import UsageError
from harness.files import parse_json, write_output
from harness.models.replies import Asked
from harness.models.reply_cache import Cache
from harness.types import Json


class Output:
    """The files of one call of a maker; a context manager, which closes the replies."""

    def __init__(self, path: Path, maker: type[Maker], inputs: Sequence[Path], *, force: bool, dry_run: bool) -> None:
        """Raises `UsageError` for files that are an input, or that this maker did not make (unless `force`)."""
        self.path, self.maker, self._dry_run = path, maker.name, dry_run
        self.sets = {name: path.with_name(f"{path.stem}.{name}{path.suffix}") for name in maker.sets}
        self._report, self._replies = (path.with_name(path.name + end) for end in (".report.json", ".cache.sqlite"))
        self._old = self._read_report()
        ours = self._old.get("recipe") == self.maker
        owned = {path: ours} | {file: ours and name in self._old.get("sets", {}) for name, file in self.sets.items()}
        for file, made in owned.items():
            if file.exists() and not file.is_file():
                raise UsageError(f"{file} is a device, a pipe or a folder: name a file as --out")
            if any(one.exists() and file.exists() and os.path.samefile(one, file) for one in inputs):
                raise UsageError(f"{file}, which would be written, is an input: name another --out")
            if file.exists() and not made and not force:
                raise UsageError(
                    f"{file} is there and not made by `harness data {self.maker}`: name another --out, or say --force "
                    "to replace it"
                )

    def _read_report(self) -> dict[str, Any]:
        """What an earlier call reported of its work; {} where there is no report that can be read."""
        try:
            found = parse_json(self._report.read_bytes())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) and isinstance(found.get("sets", {}), dict) else {}

    @cached_property
    def cache(self) -> Cache:
        """The replies; a dry run makes no file of them."""
        if self._dry_run and not self._replies.exists():
            return Cache(None)
        return Cache(self._replies, what="file of replies", elsewhere="say another --out")

    def __enter__(self) -> Output:
        return self

    def __exit__(self, *_: object) -> None:
        if "cache" in vars(self):
            self.cache.close()

    def write(self, made: Made, facts: Mapping[str, Json], done: Asked | None = None) -> None:
        """The report, the further sets, the records; each file whole or not at all."""
        found = {name: records for name, records in made.others.items() if records}
        report = {
            "recipe": self.maker,
            "harness": __version__,
            "records": len(made.records),
            "data_hash": data_hash(made.records),
            "counts": dict(made.counts),
            "sets": {
                name: {"file": self.sets[name].name, "records": len(records), "data_hash": data_hash(records)}
                for name, records in found.items()
            },
            **facts,
            "asked": asdict(done) if done is not None else None,
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # The report goes first: whoever finds records without it could not tell who made them.
        write_output(self._report, json.dumps(report, indent=1, ensure_ascii=False) + "\n")
        for name, file in self.sets.items():
            if name in self._old.get("sets", {}) and name not in found:
                file.unlink(missing_ok=True)  # it would not belong to these records
        for name, records in found.items():
            write_records(self.sets[name], records)
        write_records(self.path, made.records)
