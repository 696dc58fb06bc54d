"""What the shards of `harness run --shard` made, and which command comes next."""

from __future__ import annotations

from collections.abc import Sequence

from harness.report.table import Column, Row, Table, column
from harness.run.shards import Shard, ShardResult


def parts_table(parts: Sequence[ShardResult]) -> Table:
    """One row a run: what of this shard's part is there, and which shards have ended."""
    columns = (
        column("suite"),
        column("model"),
        column("shard"),
        _count("of its part", "asked"),
        _count("made now", "made"),
        column("failed", right=True),
        Column("ended", lambda row: _ended(row, parts), right=True),
        column("run", "run_id"),
    )
    return Table("", columns, tuple(part.to_json() for part in parts))


def _count(title: str, key: str) -> Column:
    return Column(title, lambda row: f"{row[key]:,}", right=True)


def _ended(row: Row, parts: Sequence[ShardResult]) -> str:
    ended = row["ended"]
    return f"{len(ended) if isinstance(ended, list) else 0} of {parts[0].shard.count}"


def parts_next(parts: Sequence[ShardResult]) -> str:
    """What to do when this shard has ended."""
    count = parts[0].shard.count
    waited = [f"{i}/{count}" for i in range(1, count + 1) if any(Shard(i, count) not in part.ended for part in parts)]
    if not waited:
        return f"all {count} shards have ended; next: the same command without --shard, which merges and scores"
    more = f" and {len(waited) - 8} more" if len(waited) > 8 else ""
    return (
        f"not ended (or not here): {', '.join(waited[:8])}{more}; then the same command without --shard merges and "
        "scores. It makes itself whatever no shard made"
    )
