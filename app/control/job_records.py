"""Jobs in `service.sqlite`, which keeps what cannot be made again from the store.

The standard library's sqlite3 and not SQLAlchemy as for the catalogue: it is one table of one owner, which no other
database is to hold, and four statements.
"""

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from app.control.job_states import Event, State, after
from app.errors import JobNotFound

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
    ended_at TEXT
)
"""
_FORGET = """
DELETE FROM job WHERE id IN (SELECT id FROM job WHERE ended_at IS NOT NULL ORDER BY id DESC LIMIT -1 OFFSET ?)
"""


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


class JobRecords:
    """All jobs, for one thread.

    Written when a job's state changes, not at each step of its progress: what is committed survives the end of the
    process; only a power failure may take the last changes along.
    """

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.row_factory = sqlite3.Row
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=NORMAL")
        self._connection.execute(_TABLE)

    def add(self, model: str, version: str, wish: Mapping[str, Any]) -> Job:
        """A new job, queued. The oldest of those that are over may be forgotten for it."""
        self._connection.execute(_FORGET, (_MOST_ENDED,))
        added = self._connection.execute(
            "INSERT INTO job (model, version, wish, state, created_at) VALUES (?, ?, ?, ?, ?)",
            (model, version, json.dumps(wish), State.QUEUED, _now()),
        )
        assert added.lastrowid is not None
        return self.job(added.lastrowid)

    def job(self, number: int) -> Job:
        """One of them. Raises JobNotFound."""
        known = number <= _LARGEST_ID
        row = self._connection.execute("SELECT * FROM job WHERE id = ?", (number,)).fetchone() if known else None
        if row is None:
            raise JobNotFound(f"there is no job {number}; GET /v1/jobs lists them")
        return _job(row)

    def all(self) -> list[Job]:
        """Each of them, the oldest first."""
        return [_job(row) for row in self._connection.execute("SELECT * FROM job ORDER BY id")]

    def in_state(self, state: State) -> list[Job]:
        """Those that stand there, the oldest first."""
        found = self._connection.execute("SELECT * FROM job WHERE state = ? ORDER BY id", (state,))
        return [_job(row) for row in found]

    def change(
        self, job: Job, event: Event, *, error: str | None = None, result: list[dict[str, Any]] | None = None
    ) -> Job:
        """Let this happen to it; gives what it is then. Raises WrongMoment, and changes nothing then."""
        state = after(job.state, event)
        self._connection.execute(
            "UPDATE job SET state = ?, attempts = ?, error = ?, result = ?, started_at = ?, ended_at = ? WHERE id = ?",
            (
                state,
                job.attempts + (event is Event.START),
                error,
                None if result is None else json.dumps(result),
                _now() if event is Event.START else None if event is Event.RETRY else job.started_at,
                _now() if state.is_over else None,
                job.id,
            ),
        )
        return self.job(job.id)

    def counts(self) -> dict[str, int]:
        """How many are in each state."""
        found = dict(self._connection.execute("SELECT state, count(*) FROM job GROUP BY state").fetchall())
        return {state.value: found.get(state, 0) for state in State}

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _job(row: sqlite3.Row) -> Job:
    columns = dict(row)
    columns["state"] = State(columns["state"])
    columns["wish"] = json.loads(columns["wish"])
    columns["result"] = None if columns["result"] is None else json.loads(columns["result"])
    return Job(**columns)
