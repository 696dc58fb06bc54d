"""Rows of other tools as training records: chat messages, ShareGPT, preference pairs, questions with answers.

What is read, in this order; the first that fits decides, and every other column goes into `meta`:

    chosen, rejected [, prompt]              texts, or messages that begin alike
    messages [, system]                      {"role", "content"} or {"from", "value"}; the last turn of the assistant is
    conversations [, system]                 the response, what is before it the prompt
    prompt (messages), completion            as TRL has them
    a question and, where there is one, an answer: one column out of `QUESTIONS` and of `RESPONSES` or `ANSWERS`;
                                             `input` beside `instruction` belongs to the question

A row with a number for an id is read, one without is named by its content. Fields of a record ("gold", "rejected",
"think" …) keep their meaning in all of these.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

from backends.records.record import FIELDS, render_response
from harness.datasets.tables import as_json
from harness.errors import DataError
from harness.hashing import canonical_json, short_hash
from harness.types import Json

QUESTIONS = ("question", "prompt", "instruction", "problem", "query")
MORE_QUESTIONS = ("input", "inputs", "user", "human")
"""Columns that hold the question where none of the above is there."""
RESPONSES = ("response", "completion", "output", "solution", "chosen", "targets", "assistant")
"""Columns with a whole response."""
BESIDE = ("input", "context")
"""Columns that belong to the question, after it."""
ANSWERS = ("gold", "answer", "target")
"""Columns with an answer alone."""
THOUGHTS = ("think", "thinking", "thought", "reasoning", "reasoning_content", "cot", "complex_cot", "rationale")
_ROLES = {
    **dict.fromkeys(("user", "human", "prompter"), "user"),
    **dict.fromkeys(("assistant", "gpt", "model", "bot", "chatgpt"), "assistant"),
    "system": "system",
}
_TURNS = ("messages", "conversations", "conversation")
_FINAL = re.compile(r"####\s*(\S.*?)\s*\Z")

Row = Mapping[str, Json]
Fields = dict[str, Json]


_KNOWN = {*QUESTIONS, *MORE_QUESTIONS, *RESPONSES, *ANSWERS, *BESIDE, *THOUGHTS, *_TURNS, "rejected", "system", "id"}


def folded(row: Row) -> Row:
    """The row with the columns that are known in small letters ("Question", "Response")."""
    names = {name: name.lower() for name in row if name not in _KNOWN and name.lower() in _KNOWN - set(row)}
    return {names.get(name, name): value for name, value in row.items()} if names else row


def with_input(row: Row, name: str, question: str) -> str:
    """The question and what belongs to it: Alpaca's `input`, Dolly's `context`."""
    more = [row[other] for other in BESIDE if other != name and isinstance(row.get(other), str)]
    return "\n\n".join([question, *(text for text in map(str, more) if text.strip())])


def is_record(row: Row) -> bool:
    """Whether a row has the form of our own records: nothing of it is guessed, an unknown field is an error."""
    foreign = "completion" in row or {"chosen", "rejected"} <= set(row) or any(name in row for name in _TURNS)
    return isinstance(row.get("prompt"), list) and not foreign


def plain_question(row: Row) -> bool:
    """Whether a row has no turns at all: a question as text, and columns beside it."""
    pair = row.get("chosen") is not None and row.get("rejected") is not None
    turns = any(row.get(name) is not None for name in _TURNS) or isinstance(_opened(row.get("prompt")), list)
    return not pair and not turns


def named(row: Row, where: str) -> Fields:
    """The row with an id that is text: a number as it is written, the content's hash where there is none."""
    value = row.get("id")
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return {**row, "id": json.dumps(int(value) if value == int(value) else value)}
    if value is not None:
        return dict(row)
    try:
        return {**row, "id": short_hash(canonical_json(row), 16)}
    except ValueError as error:
        raise DataError(f"{where}: cannot be written as JSON again ({error})") from None


def from_row(row: Row, where: str) -> Fields:
    """The fields of a record out of a row of another tool's form.

    Raises `DataError` naming column and place for one that is malformed, and for columns of no form that is read.
    """
    used: set[str] = set()
    row = folded(row)
    if row.get("chosen") is not None and row.get("rejected") is not None:
        found = _pair(row, where, used)
    elif turns := next((name for name in _TURNS if row.get(name) is not None), None):
        found = _conversation(row, turns, where, used)
    elif isinstance(_opened(row.get("prompt")), list):
        found = _completed(row, where, used)
    else:
        found = _question(row, where, used)
    if "response" in found and row.get("gold") is None and (told := first_text(row, ("answer",), where, numbers=True)):
        used.add("answer")
        found.setdefault("gold", told[1])
    for name in FIELDS:
        if row.get(name) is not None and name not in found and name not in used:
            found[name] = row[name]
    if isinstance(found.get("gold"), int | float) and not isinstance(found["gold"], bool):
        found["gold"] = json.dumps(found["gold"])
    rest = {name: value for name, value in row.items() if name not in {*used, *found} and value is not None}
    meta = found.get("meta", {})
    if not isinstance(meta, Mapping):
        raise DataError(f"{where}: 'meta' must be an object")
    content = {**found, "id": None} if row.get("id") is None else {"id": row["id"]}
    return {**found, "id": named(content, where)["id"], "meta": {**rest, **meta}}


def _opened(value: Json) -> Json:
    """Turns that a table keeps as a text of JSON."""
    return as_json(value) if isinstance(value, str) and value.lstrip()[:1] == "[" else value


def _pair(row: Row, where: str, used: set[str]) -> Fields:
    used |= {"chosen", "rejected"}
    sides = {name: _opened(row[name]) for name in ("chosen", "rejected")}
    if all(isinstance(side, str) for side in sides.values()):
        asked_row = {name: value for name, value in row.items() if name not in sides}
        if first_text(asked_row, (*QUESTIONS, *MORE_QUESTIONS), where) is None:
            raise DataError(f"{where}: no 'prompt' to 'chosen' and 'rejected'")
        found = _question(asked_row, where, used, alone=True)
        return {**found, "response": sides["chosen"], "rejected": sides["rejected"]}
    prompt = _opened(row.get("prompt"))
    texts, asked = {}, []
    for name, side in sides.items():
        turns = turns_of(side, f"{where}: {name!r}")
        if not turns or turns[-1]["role"] != "assistant":
            raise DataError(f"{where}: {name!r} must end in a turn of the assistant")
        texts[name] = turns[-1]["content"]
        asked.append(turns[:-1])
    if asked[0] != asked[1]:
        raise DataError(f"{where}: 'chosen' and 'rejected' answer different conversations")
    if not asked[0]:
        used.add("prompt")
        asked[0] = turns_of(prompt, f"{where}: 'prompt'") if isinstance(prompt, list) else _turn(prompt, where)
    elif prompt is not None:
        used.add("prompt")  # it is in the conversation
    return {"prompt": cast(Json, asked[0]), "response": texts["chosen"], "rejected": texts["rejected"]}


def _turn(text: Json, where: str) -> list[dict[str, str]]:
    if not isinstance(text, str) or not text.strip():
        raise DataError(f"{where}: no 'prompt' to 'chosen' and 'rejected'")
    return [{"role": "user", "content": text}]


def _conversation(row: Row, name: str, where: str, used: set[str]) -> Fields:
    used |= {name, "system"}
    turns = turns_of(_opened(row[name]), f"{where}: {name!r}")
    if not turns:
        raise DataError(f"{where}: {name!r} is empty")
    system = row.get("system")
    if isinstance(system, str) and system.strip() and turns[0]["role"] != "system":
        turns.insert(0, {"role": "system", "content": system})
    return _last_answered(turns)


def _last_answered(turns: list[dict[str, str]]) -> Fields:
    if turns[-1]["role"] != "assistant":
        return {"prompt": cast(Json, turns)}
    return {"prompt": cast(Json, turns[:-1]), "response": turns[-1]["content"]}


def _completed(row: Row, where: str, used: set[str]) -> Fields:
    used |= {"prompt", "completion"}
    prompt = turns_of(_opened(row["prompt"]), f"{where}: 'prompt'")
    completion = _opened(row.get("completion"))
    if completion is None:
        return {"prompt": cast(Json, prompt)}
    if isinstance(completion, str):
        return {"prompt": cast(Json, prompt), "response": completion}
    return _last_answered([*prompt, *turns_of(completion, f"{where}: 'completion'")])


def _question(row: Row, where: str, used: set[str], *, alone: bool = False) -> Fields:
    """A question and what answers it; `alone`: the question only."""
    question = first_text(row, QUESTIONS, where) or first_text(row, MORE_QUESTIONS, where)
    if question is None:
        raise DataError(unread(row, where))
    text, system = with_input(row, *question), row.get("system")
    used |= {question[0], *(name for name in BESIDE if isinstance(row.get(name), str)), "system"}
    turns = [{"role": "system", "content": system}] if isinstance(system, str) and system.strip() else []
    found: Fields = {"prompt": cast(Json, [*turns, {"role": "user", "content": text}])}
    if alone:
        return found
    for field, names in (("response", RESPONSES), ("answer", ("answer", "target")), ("think", THOUGHTS)):
        told = first_text(row, names, where, numbers=field == "answer")
        if told is not None and not (field == "answer" and "response" in found):
            used.add(told[0])
            found[field] = told[1]
    if "think" in found and "response" in found and "answer" not in found:
        found["answer"] = found.pop("response")  # the chain has a column of its own: the response is made of both
    answer = found.get("answer", found.get("response"))
    if "gold" not in row and isinstance(answer, str) and (final := _FINAL.search(answer)):
        found["gold"] = final[1].replace(",", "")
        found["response"] = found.pop("answer", answer)
    return found


def first_text(row: Row, names: Sequence[str], where: str, *, numbers: bool = False) -> tuple[str, str] | None:
    """The first column out of these that holds anything, and its text. Raises `DataError` if it holds no text."""
    for name in names:
        value = row.get(name)
        if isinstance(value, str):
            if value.strip():
                return name, value
            continue
        if numbers and isinstance(value, int | float) and not isinstance(value, bool):
            return name, json.dumps(value)
        if value is not None:
            raise DataError(f"{where}: column {name!r} must be text, not {type(value).__name__}")
    return None


def turns_of(value: Json, where: str) -> list[dict[str, str]]:
    """Turns of a conversation with our roles. Raises `DataError` for what is no conversation of texts."""
    if not isinstance(value, list):
        raise DataError(f"{where} must be a list of turns, not {type(value).__name__}")
    found = []
    for number, item in enumerate(value):
        here = f"{where}[{number}]"
        if not isinstance(item, Mapping):
            raise DataError(f"{here} must be an object with 'role' and 'content', or 'from' and 'value'")
        said = item.get("role", item.get("from"))
        role = _ROLES.get(said.lower() if isinstance(said, str) else "")
        if role is None:
            raise DataError(f"{here}: the role {said!r} is none of {', '.join(sorted(_ROLES))}")
        content = _content(item.get("content", item.get("value")), here)
        thought = next((item[name] for name in THOUGHTS if isinstance(item.get(name), str)), None)
        if role == "assistant" and thought:
            content = render_response(str(thought), content)
        found.append({"role": role, "content": content})
    return found


def _content(value: Json, where: str) -> str:
    """A turn's text; a list of parts is joined, as long as all are text."""
    if isinstance(value, list) and all(isinstance(part, Mapping) and part.get("type") == "text" for part in value):
        parts = [part.get("text") for part in value if isinstance(part, Mapping)]
        if all(isinstance(part, str) for part in parts):
            return "".join(str(part) for part in parts)
    if not isinstance(value, str):
        raise DataError(
            f"{where}: the content must be text, not {'nothing' if value is None else type(value).__name__}"
        )
    return value


# --- what is not read -------------------------------------------------------------------------------------------------


def unread(row: Row, where: str) -> str:
    """Why a row cannot be read, and the one command that makes a file that can."""
    names = list(row)
    texts = [name for name, value in row.items() if isinstance(value, str) and name != "id"] or names
    place = where.partition(", ")[0]
    file, _, line = place.rpartition(":")
    path = file if file and line.isdigit() else place
    inside = next((name for name, value in row.items() if _rows_of(value)), None)
    found = f"{where}: no text in a column {', '.join(map(repr, QUESTIONS))}, and no 'messages' or 'conversations' "
    found += f"(found: {', '.join(map(repr, names)) or 'nothing'}). "
    if inside is not None:
        return found + f"The rows are under {inside!r}: jq -c '.[\"{inside}\"][]' {path} > train.jsonl"
    columns = (*texts[:2], *("QUESTION", "RESPONSE")[len(texts) :])[:2]
    return found + f"Rename the columns that hold question and response: {rename_command(path, *columns)}"


def _rows_of(value: Json) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, Mapping) for item in value)


def rename_command(file: str, question: str, response: str) -> str:
    """The command that renames two columns to "prompt" and "completion"."""
    ending = Path(file).suffix
    old = {question: "prompt", response: "completion"}
    if ending in (".csv", ".tsv"):
        return f"write prompt for {question} and completion for {response} in its first line"
    if ending == ".parquet":
        return (
            f'python -c "import pyarrow.parquet as p; t = p.read_table({file!r}); '
            f"p.write_table(t.rename_columns([{old}.get(n, n) for n in t.column_names]), 'train.parquet')\""
        )
    rows = ".[]" if ending == ".json" else "."
    return f'jq -c \'{rows} | .prompt = .["{question}"] | .completion = .["{response}"]\' {file} > train.jsonl'
