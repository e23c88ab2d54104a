"""Jobs in `service.sqlite`, which keeps what cannot be made again from the store.

Every server of the store reads and writes them; what depends on what is there is one transaction. The standard
library's sqlite3 and not SQLAlchemy as for the catalogue: it is one table, which no other database is to hold, and a
few statements.
"""

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from app.control.job_states import Event, State, after
from app.errors import JobNotFound
from model_store.errors import StorageFailed

_MOST_ENDED = 100
_LARGEST_ID = 2**63 - 1
_TABLE = """
CREATE TABLE IF NOT EXISTS job (
    id INTEGER PRIMARY KEY AUTOINCREMENT,  -- no number is given twice, also after the job was forgotten
    model TEXT NOT NULL,
    version TEXT NOT NULL,
    wish TEXT NOT NULL,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    error TEXT,
    result TEXT,
    created_at TEXT NOT NULL,
    started_at TEXT,
    ended_at TEXT,
    progress TEXT
)
"""
# Columns that came later, for files of an older Octet.
_LATER_COLUMNS = ("progress TEXT",)
_FORGET = """
DELETE FROM job WHERE id IN (SELECT id FROM job WHERE ended_at IS NOT NULL ORDER BY id DESC LIMIT -1 OFFSET ?)
"""


Progress = dict[str, Any]
"""`variant`, what is being done with it (`doing`), and the share of all that is done (`done`), 0 to 1."""


@dataclass(frozen=True, slots=True)
class Job:
    """One quantization of one version."""

    id: int
    model: str
    version: str
    wish: Mapping[str, Any]
    """What is to be tried and on which rows, as the client said it."""
    state: State
    attempts: int
    error: str | None
    """Why it failed."""
    result: list[dict[str, Any]] | None
    """What came of each recipe, once it is done."""
    created_at: str
    started_at: str | None
    ended_at: str | None
    progress: Progress | None
    """How far it is, while it is running."""


class JobRecords:
    """All jobs, for one thread. Whatever it does raises StorageFailed where the disk or the file does not let it.

    What is committed survives the end of the process; only a power failure may take the last changes along.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._telling():
            self._connection = sqlite3.connect(path, isolation_level=None)
            self._connection.row_factory = sqlite3.Row
        self._execute("PRAGMA journal_mode=WAL")
        self._execute("PRAGMA synchronous=NORMAL")
        with self.alone():
            self._execute(_TABLE)
            known = {row["name"] for row in self._execute("PRAGMA table_info(job)")}
            for column in _LATER_COLUMNS:
                if column.split()[0] not in known:
                    self._execute(f"ALTER TABLE job ADD COLUMN {column}")

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Let nobody else change anything until the end; all that was changed holds then, or nothing where it fails."""
        if self._connection.in_transaction:
            yield
            return
        self._execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.rollback()
            raise
        self._execute("COMMIT")

    def add(self, model: str, version: str, wish: Mapping[str, Any]) -> Job:
        """A new job, queued. The oldest of those that are over may be forgotten for it."""
        with self.alone():
            self._execute(_FORGET, _MOST_ENDED)
            (added,) = self._execute(
                "INSERT INTO job (model, version, wish, state, created_at) VALUES (?, ?, ?, ?, ?) RETURNING *",
                *(model, version, json.dumps(wish), State.QUEUED, _now()),
            )
            return _job(added)

    def job(self, number: int) -> Job:
        """One of them. Raises JobNotFound."""
        found = self._execute("SELECT * FROM job WHERE id = ?", number) if number <= _LARGEST_ID else []
        if not found:
            raise JobNotFound(f"there is no job {number}; GET /v1/jobs lists them")
        return _job(found[0])

    def all(self) -> list[Job]:
        """Each of them, the oldest first."""
        return [_job(row) for row in self._execute("SELECT * FROM job ORDER BY id")]

    def in_state(self, state: State) -> list[Job]:
        """Those that stand there, the oldest first."""
        return [_job(row) for row in self._execute("SELECT * FROM job WHERE state = ? ORDER BY id", state)]

    def change(
        self, number: int, event: Event, *, error: str | None = None, result: list[dict[str, Any]] | None = None
    ) -> Job:
        """Let this happen to it; gives what it is then. Raises JobNotFound and WrongMoment, changing nothing then."""
        with self.alone():
            job = self.job(number)
            state = after(job.state, event)
            (changed,) = self._execute(
                "UPDATE job SET state = ?, attempts = ?, error = ?, result = ?, started_at = ?, ended_at = ?, "
                "progress = NULL WHERE id = ? RETURNING *",
                state,
                job.attempts + (event is Event.START),
                error,
                None if result is None else json.dumps(result),
                _now() if event is Event.START else None if event is Event.RETRY else job.started_at,
                _now() if state.is_over else None,
                number,
            )
            return _job(changed)

    def show(self, number: int, progress: Progress) -> None:
        """Write down how far it is, if it is running."""
        statement = "UPDATE job SET progress = ? WHERE id = ? AND state = ?"
        self._execute(statement, json.dumps(progress), number, State.RUNNING)

    def counts(self) -> dict[str, int]:
        """How many are in each state."""
        found = {row["state"]: row["jobs"] for row in self._execute("SELECT state, count(*) jobs FROM job GROUP BY 1")}
        return {state.value: found.get(state, 0) for state in State}

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def _execute(self, statement: str, *values: object) -> list[sqlite3.Row]:
        with self._telling():
            return self._connection.execute(statement, values).fetchall()

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StorageFailed(f"{self._path} cannot be used: {error}. Look at the disk and try again.") from error


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _job(row: sqlite3.Row) -> Job:
    columns = dict(row)
    columns["state"] = State(columns["state"])
    for name in ("wish", "result", "progress"):
        columns[name] = None if columns[name] is None else json.loads(columns[name])
    return Job(**columns)
