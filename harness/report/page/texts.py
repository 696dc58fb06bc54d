"""Questions and answers for the item page, as many as fit: problems on which runs differ first, then a seeded sample.

One compressed block of JSON lines, a problem a line, which the page's script inflates when an item is first opened.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from harness.errors import StoreError
from harness.interop.common import CONFIDENTIAL
from harness.plain import UNSEEN, plural
from harness.reasoning import with_answer
from harness.report.page.data import as_json
from harness.report.page.gather import Gathered
from harness.run.folder import SCORES, VERDICTS, RunFolder
from harness.types import Completion, Json, Problem, Record, Score

Texts = Literal["all", "flips", "none"]
LONGEST = 12_000
"""Characters of one text; of a longer one its beginning and its end."""
_SHORT = 2_000
_ROUND = 64_000_000
"""Characters read at once, as estimated from tokens: bounds the memory that long chains of thought take."""
_TOKEN = 4
_GZIP = 31


@dataclass(frozen=True)
class Packed:
    """The block and what it lacks."""

    content: bytes
    left_out: tuple[str, ...]


def pack_texts(found: Sequence[Gathered], which: Texts, budget: int) -> Packed:
    """At most `budget` bytes."""
    left_out = [f"texts of {one.board.title}: its authors ask not to post them" for one in found if _secret(one)]
    wanted = [(place, problem) for place, problem, _ in _order(found, which)]
    total = sum(len(one.board.problems) for one in found if not _secret(one))
    if which == "none":
        return Packed(b"", (*left_out, "all questions and answers (--texts none)"))
    compressor = zlib.compressobj(9, zlib.DEFLATED, _GZIP)
    content, kept = b"", 0
    damaged: list[str] = []
    for some in _rounds(found, wanted):
        for line in _lines(found, some, damaged):
            before = compressor.copy()
            piece = compressor.compress(line) + compressor.flush(zlib.Z_SYNC_FLUSH)
            if len(content) + len(piece) + _SHORT > budget:
                compressor = before
                break
            content, kept = content + piece, kept + 1
        else:
            continue
        break
    if kept < total:
        why = "--texts flips" if which == "flips" and kept == len(wanted) else "--max-size"
        first = "those on which runs differ came first"
        left_out.append(f"questions and answers of {plural(total - kept, 'problem')} of {total:,} ({why}; {first})")
    return Packed(content + compressor.flush(), (*left_out, *dict.fromkeys(damaged)))


def _secret(one: Gathered) -> bool:
    return any(name in one.board.suite.lower() for name in CONFIDENTIAL)


def _order(found: Sequence[Gathered], which: Texts) -> list[tuple[int, int, float]]:
    """(board, problem, spread): the largest differences first, then the rest in an order that only ids decide."""
    places = []
    for place, one in enumerate(found):
        for problem in range(len(one.board.problems)) if not _secret(one) else ():
            means = [run.means[problem] for run in one.board.runs]
            known = [mean for mean in means if mean is not None]
            spread = max(known) - min(known) if known else 0.0
            if spread > 0.0 or which == "all":
                places.append((place, problem, spread))

    def key(at: tuple[int, int, float]) -> tuple[float, str]:
        name = f"texts:{found[at[0]].board.suite}:{found[at[0]].board.problems[at[1]]}"
        return -at[2], hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()

    return sorted(places, key=key)


def _rounds(found: Sequence[Gathered], wanted: Sequence[tuple[int, int]]) -> Iterator[list[tuple[int, int]]]:
    """As many problems at once as fit in memory; every round reads the runs once."""
    some: list[tuple[int, int]] = []
    size = 0.0
    for place, problem in wanted:
        runs = found[place].board.runs
        length = [min(2.0 * LONGEST, _TOKEN * (run.tokens[problem] or _SHORT)) for run in runs]
        more = sum(each * max(1, len(run.marks[problem])) for each, run in zip(length, runs, strict=True))
        if some and size + more > _ROUND:
            yield some
            some, size = [], 0.0
        some.append((place, problem))
        size += more
    if some:
        yield some


def _lines(found: Sequence[Gathered], wanted: Sequence[tuple[int, int]], damaged: list[str]) -> Iterator[bytes]:
    """A line for each of these problems, in this order; what could not be read is noted."""
    answers: dict[tuple[int, int], dict[str, list[Json]]] = {}
    for place in dict.fromkeys(place for place, _ in wanted):
        one = found[place]
        names = {one.board.problems[problem]: problem for at, problem in wanted if at == place}
        for run, folder in enumerate(one.folders):
            try:
                for name, row in _answers(folder, names):
                    answers.setdefault((place, names[name]), {}).setdefault(str(run), []).append(row)
            except StoreError as error:
                damaged.append(str(error))
    for place, problem in wanted:
        one = found[place]
        asked = one.asked.get(one.board.problems[problem])
        line = {"b": place, "p": problem, **_question(asked), "runs": answers.get((place, problem), {})}
        yield as_json(line) + b"\n"


def _question(asked: Problem | None) -> Mapping[str, Json]:
    if asked is None:
        return {}
    options = [f"{chr(65 + number)}. {text}" for number, text in enumerate(asked.choices)]
    return {
        "asked": [[message.role, shown(message.content)] for message in asked.messages],
        "gold": shown(asked.target, _SHORT),
        "options": [shown(option, _SHORT) for option in options],
    }


def _answers(folder: RunFolder, names: Mapping[str, int]) -> Iterator[tuple[str, dict[str, Json]]]:
    """Problem and sample, in order of attempts: what was said, and what was made of it."""
    scores: dict[tuple[str, int], Score] = {}
    for row in folder.graded if folder.has(SCORES) else ():
        if row.problem_id in names:
            scores[row.problem_id, row.attempt] = row.score
    origin = folder.result.judging.get("judged_from")
    source = folder.beside(origin) if isinstance(origin, str) and "/" not in origin else folder
    latest: dict[tuple[str, int], Record] = {}
    for record in source.records if source.path.is_dir() else ():
        if record.problem_id in names:
            latest[record.problem_id, record.attempt] = record
    judged = _judged(folder, names)
    for key in sorted({*scores, *latest}):
        kept = latest.get(key)
        score = scores.get(key)
        yield (
            key[0],
            {
                "k": key[1],
                **({} if kept is None else _reply(kept.completion)),
                **({} if score is None else _verdict(score)),
                **({"judged": judged[key]} if key in judged else {}),
            },
        )


def _judged(folder: RunFolder, names: Mapping[str, int]) -> dict[tuple[str, int], list[Json]]:
    """What judges said of each sample, and why."""
    found: dict[tuple[str, int], list[Json]] = {}
    for row in folder.judgments if folder.has(VERDICTS) else ():
        if row.problem_id not in names:
            continue
        facts: dict[str, Json] = {"judge": shown(row.judge, _SHORT), "order": row.order, "why": shown(row.why, _SHORT)}
        if row.verdict is not None:
            marks = [
                [mark.dimension, shown(f"{mark.label or mark.level} {mark.reason}".strip(), _SHORT)]
                for mark in row.verdict.marks
            ]
            facts |= {"label": shown(row.verdict.label, _SHORT), "reason": shown(row.verdict.reason), "marks": marks}
        found.setdefault((row.problem_id, row.attempt), []).append(facts)
    return found


def _reply(completion: Completion) -> dict[str, Json]:
    if completion.finish == "error":
        return {"error": shown(completion.error or "it failed", _SHORT)}
    read = with_answer(completion)
    facts: dict[str, Json] = {"finish": completion.finish, "tokens": completion.tokens_out}
    if read.reasoning is None:
        return facts | {"text": shown(completion.text)}
    return facts | {"thought": shown(read.reasoning), "text": shown(read.answer_text or "")}


def _verdict(score: Score) -> dict[str, Json]:
    facts: dict[str, Json] = {"value": score.value, "status": score.status}
    return facts | {k: shown(v, _SHORT) for k, v in (("answer", score.answer), ("why", score.why)) if v}


def shown(text: str, limit: int = LONGEST) -> str:
    """Text for people: what cannot be seen is named, and of a very long text the middle is left out."""
    if len(text) > limit:
        half = limit // 2
        text = f"{text[:half]}\n[… {len(text) - 2 * half:,} characters left out …]\n{text[-half:]}"
    plain = text.replace("\r\n", "\n").replace("\t", "    ")
    return UNSEEN.sub(lambda found: f"⟨U+{ord(found[0]):04X}⟩", plain)
