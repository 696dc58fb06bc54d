"""Replies by what was asked: the same question to the same judge or teacher is never paid for twice.

One sqlite file. The key is a hash over everything that can change the reply (`judges.ask`, `makers.asking`); the value
is the reply as received, so that a better reader of replies needs no new requests. Each reply is committed as it comes:
a `kill -9` loses only what was in flight, and several processes may use the file at once. Failed requests are not kept.

    with Cache(Path("results/judge-cache.sqlite")) as cache:
        found = cache.get_many(keys)
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from harness.errors import StoreError
from harness.files import check_regular
from harness.hashing import canonical_json
from harness.redact import redact
from harness.types import Completion, Request

SCHEMA = 1
_APPLICATION = 0x4A554447  # "JUDG": tells this file from any other sqlite database
_BUSY_S = 30.0
_TRIES_FOR_WAL = 200
_CHUNK = 500
"""Keys in one query: sqlite's smallest limit on parameters is 999."""
_TABLE = """
CREATE TABLE replies (
    key TEXT PRIMARY KEY,
    judge TEXT NOT NULL,
    created REAL NOT NULL,
    text TEXT NOT NULL,
    finish TEXT NOT NULL,
    reasoning TEXT,
    opened_think INTEGER NOT NULL,
    tokens_in INTEGER,
    tokens_out INTEGER,
    alternatives TEXT,
    logprob REAL
)
"""
_COLUMNS = "text, finish, reasoning, opened_think, tokens_in, tokens_out, alternatives, logprob"
_ADDED = "logprob"
"""The column that older files lack: it is added to them, and older versions of this program go on without it."""


def storable(completion: Completion) -> Completion:
    """The reply as it is stored: secrets masked, and no half surrogate pairs, which UTF-8 cannot hold."""
    reasoning = completion.reasoning
    error = completion.error
    return replace(
        completion,
        text=_clean(completion.text),
        reasoning=_clean(reasoning) if reasoning is not None else None,
        error=_clean(error) if error is not None else None,
    )


def _clean(text: str) -> str:
    text = redact(text)
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def request_key(model: str, request: Request) -> str:
    """64 hex digits over all that can change the reply; `model`: canonical JSON of `Model.describe()`."""
    content = {
        "messages": [[message.role, message.content] for message in request.messages],
        "sampling": [float(request.temperature), float(request.top_p), request.max_tokens, list(request.stop)],
        "draw": [request.seed, request.attempt],
        # As text: the order of its properties is the order in which they are written.
        "schema": json.dumps(request.schema) if request.schema is not None else None,
        "top_logprobs": request.top_logprobs,
        "problem": [request.problem.id, request.problem.target] if request.problem is not None else None,
    }
    return hashlib.sha256(f"{model}\n{canonical_json(content)}".encode("utf-8", "surrogatepass")).hexdigest()


class Cache:
    """The file of replies; a context manager. `Cache(None)` lives in memory and ends with the process.

    Every method raises `StoreError` for a file that cannot be read or written, with what to do about it.
    """

    def __init__(
        self, path: Path | None, *, what: str = "judge cache", elsewhere: str = "say another --results-dir"
    ) -> None:
        """Open the file, or make it. `path`: a local file; network file systems lack the locks that sharing needs.

        `what` and `elsewhere` are for errors: what the file is, and what to say to have it in another place.
        """
        self.path, self._what, self._elsewhere = path, what, elsewhere
        self._name = str(path) if path is not None else f"the {what} in memory"
        with self._explained():
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
                for suffix in ("", "-wal", "-shm", "-journal"):  # sqlite itself would follow a link
                    check_regular(path.with_name(path.name + suffix))
            # Autocommit: every reply is its own transaction.
            self._db = sqlite3.connect(path if path is not None else ":memory:", timeout=_BUSY_S, isolation_level=None)
        try:
            with self._explained():
                self._prepare()
        except BaseException:
            self._db.close()
            raise

    def _prepare(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        version = self._number("user_version")
        tables = self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if version == 0 and tables == 0:
            self._db.execute(_TABLE)
            self._db.execute(f"PRAGMA application_id = {_APPLICATION}")
            self._db.execute(f"PRAGMA user_version = {SCHEMA}")
        elif self._number("application_id") != _APPLICATION:
            raise StoreError(f"{self._name} is another program's database: move it away, or {self._elsewhere}")
        elif version != SCHEMA:
            raise StoreError(
                f"{self._name} has schema {version}, this version of harness reads {SCHEMA}: "
                "move it away, or use the version that wrote it"
            )
        elif _ADDED not in {row[1] for row in self._db.execute("PRAGMA table_info(replies)")}:
            self._db.execute(f"ALTER TABLE replies ADD COLUMN {_ADDED} REAL")
        self._db.execute("COMMIT")
        self._use_wal()

    def _use_wal(self) -> None:
        """Let readers and a writer work side by side. The switch itself does not wait for other processes: we do."""
        for attempt in range(_TRIES_FOR_WAL):
            try:
                self._db.execute("PRAGMA journal_mode = WAL")
                break
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or attempt == _TRIES_FOR_WAL - 1:
                    raise
                time.sleep(0.05)
        # A commit survives the death of the process; only a power cut may take the last ones.
        self._db.execute("PRAGMA synchronous = NORMAL")

    def _number(self, pragma: str) -> int:
        value = self._db.execute(f"PRAGMA {pragma}").fetchone()[0]
        assert isinstance(value, int)
        return value

    def get_many(self, keys: Iterable[str]) -> dict[str, Completion]:
        """Key -> reply, for those that are stored."""
        wanted = list(dict.fromkeys(keys))
        found: dict[str, Completion] = {}
        for start in range(0, len(wanted), _CHUNK):
            chunk = wanted[start : start + _CHUNK]
            marks = ",".join("?" * len(chunk))
            with self._explained():
                query = f"SELECT key, {_COLUMNS} FROM replies WHERE key IN ({marks})"
                for key, *row in self._db.execute(query, chunk):
                    found[key] = self._completion(row)
        return found

    def get(self, key: str) -> Completion | None:
        """One reply, or None."""
        return self.get_many([key]).get(key)

    def put(self, key: str, judge: str, completion: Completion) -> Completion:
        """Store one reply, at once and for good, and give it back as stored; one that is there already is kept.

        Raises `ValueError` for a failed request (finish "error"): asked again, it may well be answered.
        """
        if completion.finish == "error":
            raise ValueError("a failed request is no reply and is not cached")
        return self.put_clean(key, judge, storable(completion))

    def put_clean(self, key: str, judge: str, stored: Completion) -> Completion:
        """The same of a reply that holds no text of others (numbers alone), which need not be searched for secrets."""
        alternatives = None
        if stored.alternatives is not None:
            alternatives = json.dumps({_clean(token): value for token, value in stored.alternatives.items()})
        row = (
            *(key, judge, time.time(), stored.text, stored.finish, stored.reasoning, int(stored.opened_think)),
            *(stored.tokens_in, stored.tokens_out, alternatives, stored.logprob),
        )
        with self._explained():
            self._db.execute(
                f"INSERT OR IGNORE INTO replies (key, judge, created, {_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?,?)", row
            )
        return stored

    def count(self) -> int:
        """Number of replies stored."""
        with self._explained():
            count = self._db.execute("SELECT count(*) FROM replies").fetchone()[0]
        assert isinstance(count, int)
        return count

    def close(self) -> None:
        """Close the file; everything is stored already."""
        self._db.close()

    def __enter__(self) -> Cache:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _completion(self, row: list[object]) -> Completion:
        text, finish, reasoning, opened_think, tokens_in, tokens_out, alternatives, logprob = row
        if not (
            isinstance(text, str)
            and (finish == "stop" or finish == "length")
            and isinstance(reasoning, str | None)
            and isinstance(tokens_in, int | None)
            and isinstance(tokens_out, int | None)
            and isinstance(logprob, float | None)
        ):
            raise sqlite3.DatabaseError("a stored reply has a field of the wrong type")
        return Completion(
            text=text,
            finish=finish,
            reasoning=reasoning,
            opened_think=bool(opened_think),
            tokens_in=tokens_in,
            tokens_out=tokens_out,
            alternatives=_alternatives(alternatives),
            logprob=logprob,
        )

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what sqlite and the file system say into one `StoreError` that tells what to do."""
        try:
            yield
        except sqlite3.OperationalError as error:
            if "locked" in str(error) or "busy" in str(error):
                advice = f"another process holds it: wait for that one, or {self._elsewhere}"
            else:
                advice = f"check that the folder is local, writable and not full, or {self._elsewhere}"
            raise StoreError(f"{self._name}, the {self._what}, cannot be used ({error}): {advice}") from error
        except sqlite3.DatabaseError as error:
            raise StoreError(
                f"{self._name} is damaged or no {self._what} ({error}): move it away, and what it held is asked again; "
                "verdicts of finished runs are stored with the runs"
            ) from error
        except OSError as error:
            raise StoreError(
                f"{self._name}, the {self._what}, cannot be used ({error.strerror or error}): {self._elsewhere}"
            ) from error


def _alternatives(text: object) -> dict[str, float] | None:
    if text is None:
        return None
    try:
        found = json.loads(text) if isinstance(text, str) else None
    except ValueError:
        found = None
    if not isinstance(found, dict) or not all(isinstance(value, int | float) for value in found.values()):
        raise sqlite3.DatabaseError("a stored reply's alternatives are no table of numbers")
    return {token: float(value) for token, value in found.items()}
