"""Sets of labelled pairs, by name or from a file.

    load_set("llmbar", data_dir)                    # LLMBar's 419 items
    load_set("llmbar", data_dir, subset="all")      # and its five side sets
    load_set("pairs.jsonl", None)                   # {"question", "a", "b", "label"} per line

What a set holds is decided here and never depends on the judge, so that two prompts are always held against each
other on the same frozen items.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.datasets import clean_text, content_hash
from harness.datasets.local import read_file
from harness.errors import DataError, UnknownName, UsageError
from harness.types import Json
from judges.lab import judgebench, llmbar, mt_human
from judges.lab.labelled_pair import LABELS, Label, LabelledPair


@dataclass(frozen=True)
class PairSet:
    """A loaded set and what identifies it."""

    name: str
    pairs: tuple[LabelledPair, ...]
    content: str
    """Content hash over the pairs: two reports with the same one are about the same items."""
    source: str
    """Paper or file."""
    notes: tuple[str, ...] = ()
    """What a reader of the numbers should know about the data."""


def load_set(
    name: str, data_dir: Path | None, *, subset: str | None = None, limit: int | None = None, seed: int = 0
) -> PairSet:
    """The pairs of a set: "llmbar", "mt_bench_human", "judgebench", or the path of a JSONL file.

    `subset` keeps one subset (by its name or the beginning of it; see each loader for its default). `limit` takes that
    many pairs by a hash of `seed` and their ids: not biased by the order of the file, and nested (20 hold the 10).
    Raises `UnknownName`, `DataError` or `MissingData` for what is not there or not as it should be.
    """
    loaders: dict[str, Callable[[Path | None], tuple[list[LabelledPair], str]]] = {
        "llmbar": llmbar.load,
        "mt_bench_human": mt_human.load,
        "judgebench": judgebench.load,
    }
    if limit is not None and limit < 1:
        raise UsageError(f"--limit {limit}: at least 1 pair")
    if name in loaders:
        pairs, source = loaders[name](data_dir)
    elif _is_path(name):
        pairs, source = load_file(Path(name)), name
    else:
        raise UnknownName("set", name, [*loaders, "<file>.jsonl"])
    pairs = _chosen(name, pairs, subset)
    if limit is not None and limit < len(pairs):
        kept = sorted(pairs, key=lambda pair: _rank(seed, pair.id))[:limit]
        names = {pair.id for pair in kept}
        pairs = [pair for pair in pairs if pair.id in names]
    rows = [{"id": p.id, "turns": p.turns, "a": p.a, "b": p.b, "label": p.label} for p in pairs]
    return PairSet(name, tuple(pairs), content_hash(rows)[:16], source, tuple(_notes(pairs)))


def _is_path(name: str) -> bool:
    return name.endswith((".jsonl", ".json")) or "/" in name or Path(name).is_file()


def _rank(seed: int, pair_id: str) -> str:
    return hashlib.sha256(f"limit:{seed}:{pair_id}".encode("utf-8", "surrogatepass")).hexdigest()


def batches(pairs: Sequence[LabelledPair], seed: int, size: int) -> list[list[LabelledPair]]:
    """All pairs in random order, `size` at a time or a few more: pairs about one question are never parted."""
    clusters: dict[str, list[LabelledPair]] = {}
    for pair in sorted(pairs, key=lambda pair: _rank(seed, pair.id)):
        clusters.setdefault(pair.cluster or f"\0{pair.id}", []).append(pair)
    found: list[list[LabelledPair]] = [[]]
    for cluster in clusters.values():
        if len(found[-1]) >= size:
            found.append([])
        found[-1] += cluster
    return found


def _chosen(name: str, pairs: Sequence[LabelledPair], subset: str | None) -> list[LabelledPair]:
    """The pairs of one subset; LLMBar proper is the default of "llmbar", everything is of the others."""
    if name == "llmbar" and subset is None:
        return [pair for pair in pairs if llmbar.is_core(pair.subset)]
    if subset is None or subset == "all":
        return list(pairs)
    wanted = subset.casefold()
    exact = [pair for pair in pairs if pair.subset.casefold() == wanted]
    found = exact or [pair for pair in pairs if pair.subset.casefold().startswith(wanted)]
    if not found:
        raise UnknownName(f"subset of {name}", subset, {pair.subset for pair in pairs} | {"all"})
    return found


def _notes(pairs: Sequence[LabelledPair]) -> list[str]:
    notes = []
    if same := [pair.id for pair in pairs if pair.a[-1] == pair.b[-1]]:
        pairs_have = "1 pair has" if len(same) == 1 else f"{len(same)} pairs have"
        notes.append(f"{pairs_have} two identical answers and yet a label (first: {same[0]}); kept")
    labels = Counter(pair.label for pair in pairs)
    if len(labels) == 1 and len(pairs) > 1:
        only = next(iter(labels))
        notes.append(f"every label is {only!r}: harmless, since both orders are judged and kappa is taken by position")
    return notes


_FIELDS = frozenset({"id", "question", "a", "b", "label", "subset", "model_a", "model_b", "cluster", "votes"})


def load_file(path: Path) -> list[LabelledPair]:
    """Pairs of a JSONL file of {question, a, b, label[, id, subset, model_a, model_b, cluster, votes]}.

    `question`, `a` and `b` are texts, or lists of texts of one length for several turns. Raises `DataError` naming
    file and line for anything else.
    """
    if not path.is_file():
        raise DataError(f"there is no file {str(path)!r}: name a JSONL file of question, a, b and label")
    pairs: list[LabelledPair] = []
    seen: dict[str, str] = {}
    for raw in read_file(path.parent, path.name, None):
        pair = _pair_of(raw.fields, raw.where, len(pairs) + 1)
        if pair.id in seen:
            raise DataError(f"{raw.where}: id {pair.id!r} is that of {seen[pair.id]} as well; ids must be unique")
        seen[pair.id] = raw.where
        pairs.append(pair)
    if not pairs:
        raise DataError(f"{path} holds no pairs")
    return pairs


def _pair_of(fields: Mapping[str, Json], where: str, number: int) -> LabelledPair:
    if unknown := sorted(set(fields) - _FIELDS):
        raise DataError(f"{where}: unknown field {unknown[0]!r}; known are {', '.join(sorted(_FIELDS))}")
    if missing := [name for name in ("question", "a", "b", "label") if name not in fields]:
        raise DataError(f"{where}: no field {missing[0]!r}; every line needs question, a, b and label")
    turns, a, b = (_texts(fields[name], name, where) for name in ("question", "a", "b"))
    if not len(turns) == len(a) == len(b):
        counts = f"{len(turns)} questions, {len(a)} answers in a and {len(b)} in b"
        raise DataError(f"{where}: {counts}; every turn needs one answer")
    votes = fields.get("votes", [])
    if not isinstance(votes, list):
        raise DataError(f"{where}: votes must be a list of labels")
    return LabelledPair(
        id=_text(fields.get("id", f"line-{number}"), "id", where),
        turns=turns,
        a=a,
        b=b,
        label=parse_label(fields["label"], where),
        votes=tuple(parse_label(vote, where) for vote in votes),
        **{name: _text(fields.get(name, ""), name, where) for name in ("subset", "model_a", "model_b", "cluster")},
    )


def _texts(value: Json, name: str, where: str) -> tuple[str, ...]:
    values = value if isinstance(value, list) and value else [value]
    return tuple(_text(item, name, where) for item in values)


def _text(value: Json, name: str, where: str) -> str:
    if name == "id" and isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise DataError(f"{where}: {name} must be text, not {type(value).__name__}")
    text = clean_text(value)
    if name in ("id", "question") and not text:
        raise DataError(f"{where}: {name} is empty")
    return text


def parse_label(value: Json, where: str) -> Label:
    """A label as "a", "b" or "tie", in any case; raises `DataError` for anything else."""
    text = value.strip().casefold() if isinstance(value, str) else ""
    if text not in LABELS:
        raise DataError(f'{where}: label must be "a", "b" or "tie", not {value!r}')
    return text
