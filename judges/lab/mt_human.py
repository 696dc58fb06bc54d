"""MT-Bench human judgments (Zheng et al., arXiv 2306.05685): 3,355 votes on answers of six models to 80 questions.

Every vote of a pair is kept: the label is their majority, and how often two people agree is the ceiling for a judge.
A vote is about the first turn alone or about the whole conversation; the subsets are "turn1" and "turn2". Rows that
name the two models in the other order are turned round, so that they meet in one pair. Read from the hub's split
"human", or from `mt_bench_human.jsonl` with its rows in a data directory.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from harness.datasets import INDEX, clean_text, load_rows
from harness.types import DataRef, HubRef, Json
from judges.lab.labelled_pair import Label, LabelledPair, majority

SOURCE = "MT-Bench human judgments, arXiv 2306.05685"
_REVISION = "6085f5b73c2ea3dee52918d07ed6b399f6c51fea"
_WINNERS: dict[str, Label] = {"model_a": "a", "model_b": "b"}
_OTHER: dict[Label, Label] = {"a": "b", "b": "a", "tie": "tie"}


def load(data_dir: Path | None) -> tuple[list[LabelledPair], str]:
    """One pair per question, turn and two models, with all of its votes, and the source."""
    hub = (HubRef("lmsys/mt_bench_human_judgments", None, "human", _REVISION),)
    ref = DataRef(files=("mt_bench_human.jsonl",), rows=0, sha256="", from_local=_row, hub=hub, from_hub=_row)
    groups: dict[str, list[Mapping[str, Json]]] = defaultdict(list)
    for row in load_rows(ref, data_dir):
        groups[str(row["pair"])].append(row)
    return [_pair(name, rows) for name, rows in groups.items()], SOURCE


def _row(raw: Mapping[str, Json]) -> Mapping[str, Json]:
    winner, turn = str(raw["winner"]), raw["turn"]
    if winner not in _WINNERS and not winner.startswith("tie"):
        raise ValueError(f"winner must be model_a, model_b or tie, not {winner!r}")
    if turn not in (1, 2):
        raise ValueError(f"turn must be 1 or 2, not {turn!r}")
    label = _WINNERS.get(winner, "tie")
    sides = [(clean_text(raw[f"model_{side}"]), _texts(raw[f"conversation_{side}"], int(turn))) for side in "ab"]
    if sides[0][0] == sides[1][0]:
        raise ValueError("both answers are by the same model")
    if sides[0][0] > sides[1][0]:
        sides, label = sides[::-1], _OTHER[label]
    (model_a, (turns, a)), (model_b, (turns_b, b)) = sides
    if turns != turns_b:
        raise ValueError("the two conversations do not ask the same")
    pair = f"{raw['question_id']}-{turn}-{model_a}-{model_b}"
    return {
        "id": f"{pair}#{raw[INDEX]}",
        "pair": pair,
        "question": str(raw["question_id"]),
        "turn": int(turn),
        "turns": turns,
        "a": a,
        "b": b,
        "model_a": model_a,
        "model_b": model_b,
        "vote": label,
    }


def _texts(conversation: Json, turns: int) -> tuple[list[str], list[str]]:
    """What the user said and what the model answered, up to the turn that was voted on."""
    if not isinstance(conversation, list) or len(conversation) < 2 * turns:
        raise ValueError(f"a conversation has fewer than {2 * turns} messages")
    said: dict[str, list[str]] = {"user": [], "assistant": []}
    for position, message in enumerate(conversation[: 2 * turns]):
        expected = ("user", "assistant")[position % 2]
        if not isinstance(message, Mapping) or message.get("role") != expected:
            raise ValueError(f"message {position + 1} of a conversation is not by the {expected}")
        said[expected].append(clean_text(message["content"]))
    return said["user"], said["assistant"]


def _pair(name: str, rows: list[Mapping[str, Json]]) -> LabelledPair:
    first = rows[0]
    votes = tuple(_label(row["vote"]) for row in rows)
    return LabelledPair(
        id=name,
        turns=_strings(first["turns"]),
        a=_strings(first["a"]),
        b=_strings(first["b"]),
        label=majority(votes),
        subset=f"turn{first['turn']}",
        model_a=str(first["model_a"]),
        model_b=str(first["model_b"]),
        votes=votes,
        cluster=str(first["question"]),
    )


def _label(value: Json) -> Label:
    return "a" if value == "a" else "b" if value == "b" else "tie"


def _strings(value: Json) -> tuple[str, ...]:
    return tuple(str(item) for item in value) if isinstance(value, list) else ()
