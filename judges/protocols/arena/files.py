"""Arena-Hard's own files: answers and judgments, in the present layout, the one of v0.1, and as battles.

Answers:   {uid, ans_id, model, messages[user, {role: assistant, content: {answer}}], tstamp, metadata}
           {question_id, answer_id, model_id, choices[{turns[{content}]}]} (v0.1)
Judgments: {uid, category, judge, model, baseline, games[{score, judgment: {answer}, prompt} or null, twice]}
           {question_id, model, judge, games[{user_prompt, judgment, score}]} (v0.1)
Battles:   {question_id, model_a, model_b, winner}: one row per vote, the baseline as model_a

The baseline is answer A in the first game and answer B in the second. Rows are data of strangers: whatever does not fit
is refused with the name of its row.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness.datasets.local import Raw
from harness.hashing import short_hash
from harness.types import Json
from judges.protocols.stored_rows import Answer, checked
from judges.types import Judgment, Task

V01_BASELINE = "gpt-4-0314"
"""Opponent of v0.1, whose files do not name it."""
BATTLE_WINNERS = ("model_a", "model_b", "tie", "tie (bothbad)")
_Game = tuple[str | None, str | None]
"""Label and text of one game."""
_FAILED: _Game = (None, None)


@dataclass(frozen=True, slots=True)
class Games:
    """Both games about one answer."""

    uid: str
    category: str
    judge: str
    model: str
    baseline: str
    labels: tuple[str | None, str | None]
    """The verdicts that the file records, baseline first, then model first; None where none was found in the reply."""
    texts: tuple[str | None, str | None]
    """The judge's replies: empty where the file does not keep them, None for a game that failed."""
    where: str = ""
    """File and line, for messages."""


def read_answer(fields: Mapping[str, Json]) -> Answer:
    """An answer row of any layout; raises `KeyError`, `TypeError` or `ValueError` saying what is wrong with it.

    A plain {uid, model, answer} is read too. `metadata` holds the style counts where the file has them: token_len,
    header_count, list_count, bold_count.
    """
    uid, model = _uid(fields), _text(fields, "model_id" if "model" not in fields and "model_id" in fields else "model")
    metadata = fields.get("metadata")
    return Answer(uid, model, (_output(fields),), dict(metadata) if isinstance(metadata, Mapping) else {})


def read_answers(raws: Iterable[Raw]) -> list[Answer]:
    """Answer rows of files. Raises `DataError` naming the first row that is none."""
    return [checked(raw, read_answer, "Arena-Hard answer") for raw in raws]


def answer_row(answer: Answer, prompt: str, tstamp: float) -> dict[str, Json]:
    """An answer in the present layout; its `ans_id` is a hash of the content, so that writing twice changes nothing."""
    return {
        "uid": answer.question,
        "ans_id": short_hash(f"{answer.question}\n{answer.model}\n{answer.turns[-1]}"),
        "model": answer.model,
        "messages": [
            {"role": "user", "content": prompt},
            {"role": "assistant", "content": {"answer": answer.turns[-1]}},
        ],
        "tstamp": tstamp,
        "metadata": dict(answer.metadata),
    }


def read_pair(raw: Raw) -> Games:
    """A judgment row of either layout. Raises `DataError` naming the row."""
    return checked(raw, lambda fields: _pair(fields, raw.where), "Arena-Hard judgment")


def pair_row(pair: Games) -> dict[str, Json]:
    """A judgment in the present layout, without the prompts."""
    return {
        "uid": pair.uid,
        "category": pair.category,
        "judge": pair.judge,
        "model": pair.model,
        "baseline": pair.baseline,
        "games": [
            None if text is None else {"score": label, "judgment": {"answer": text}, "prompt": []}
            for label, text in zip(pair.labels, pair.texts, strict=True)
        ],
    }


def pair_of(task: Task, judgments: Sequence[Judgment], *, model: str, baseline: str) -> Games:
    """Our judgments of one answer, as the official files hold them: the first repeat of both games.

    Tools that read the verdict from the judge's text look for double brackets; where our rubric had it put otherwise,
    it is repeated in brackets below the reply.
    """
    games: list[_Game] = []
    for order in ("opponent_first", "candidate_first"):
        found = next((one for one in judgments if one.order == order and one.repeat == 0), None)
        if found is None or found.verdict is None:
            games.append(_FAILED)
            continue
        label = found.verdict.label
        bracketed = f"[[{label}]]"
        games.append((label, found.raw if bracketed in found.raw else f"{found.raw}\n\n{bracketed}"))
    category = str(task.meta.get("category") or "")
    judge = judgments[0].judge if judgments else ""
    (first, said_first), (second, said_second) = games
    return Games(task.problem_id, category, judge, model, baseline, (first, second), (said_first, said_second))


def read_battle(raw: Raw) -> tuple[str, str, str, float]:
    """A battle row -> (uid, model, baseline, what the model got: 1, 0.5 or 0). Raises `DataError` naming the row."""
    return checked(raw, _battle, "Arena-Hard battle")


def _battle(fields: Mapping[str, Json]) -> tuple[str, str, str, float]:
    uid, baseline, model = _uid(fields), _text(fields, "model_a"), _text(fields, "model_b")
    winner = _text(fields, "winner")
    if winner not in BATTLE_WINNERS:
        raise ValueError(f"winner {winner!r} is none of {', '.join(BATTLE_WINNERS)}")
    return uid, model, baseline, {"model_a": 0.0, "model_b": 1.0}.get(winner, 0.5)


def _pair(fields: Mapping[str, Json], where: str) -> Games:
    games = fields["games"]
    if not isinstance(games, Sequence) or isinstance(games, str) or len(games) != 2:
        raise ValueError("'games' must hold two games, baseline first and model first")
    uid, judge = _uid(fields), fields.get("judge")
    (first, said_first), (second, said_second) = map(_game, games)
    return Games(
        uid=uid,
        category=str(fields.get("category") or ""),
        judge=judge if isinstance(judge, str) else "",
        model=_text(fields, "model"),
        baseline=_text(fields, "baseline") if "baseline" in fields else V01_BASELINE,
        labels=(first, second),
        texts=(said_first, said_second),
        where=where,
    )


def _game(game: Json) -> _Game:
    if game is None:
        return _FAILED
    if not isinstance(game, Mapping):
        raise TypeError(f"a game is {type(game).__name__}, not an object or null")
    label, reply = game["score"], game.get("judgment")
    if label is not None and not isinstance(label, str):
        raise TypeError(f"a game's score {label!r} is neither a verdict such as 'A>B' nor null")
    text = reply.get("answer") if isinstance(reply, Mapping) else reply
    return label, text if isinstance(text, str) else ""


def _uid(fields: Mapping[str, Json]) -> str:
    uid = _text(fields, "question_id" if "uid" not in fields and "question_id" in fields else "uid")
    if not uid:
        raise ValueError("the uid is empty")
    return uid


def _output(fields: Mapping[str, Json]) -> str:
    if "messages" in fields:
        last = _last(fields["messages"], "messages")
        content = last["content"]
        return _text(content, "answer") if isinstance(content, Mapping) else _text(last, "content")
    if "choices" in fields:
        choices = fields["choices"]
        if not isinstance(choices, Sequence) or not choices or not isinstance(choices[0], Mapping):
            raise TypeError("'choices' should be a list that is not empty")
        return _text(_last(choices[0]["turns"], "turns"), "content")
    return _text(fields, "answer")


def _last(value: Json, name: str) -> Mapping[str, Json]:
    if not isinstance(value, Sequence) or isinstance(value, str) or not value or not isinstance(value[-1], Mapping):
        raise TypeError(f"{name!r} should be a list of objects that is not empty")
    return value[-1]


def _text(fields: Mapping[str, Json], key: str) -> str:
    value = fields[key]
    if not isinstance(value, str):
        raise TypeError(f"{key!r} should be text, is {type(value).__name__}")
    return value
