"""Jobs in their file, which outlives them, bounded and honest about a full disk."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.control.job_records import Job, JobRecords
from app.control.job_states import Event, State
from app.errors import JobNotFound, WrongMoment
from model_store.errors import StorageFailed

WISH = {"calibration": "rows.npz", "recipes": ["int8"]}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "service.sqlite"


@pytest.fixture
def records(path: Path) -> Iterator[JobRecords]:
    opened = JobRecords(path)
    yield opened
    opened.close()


def added(records: JobRecords) -> Job:
    return records.add("digits", "1.0.0", WISH)


def test_a_job_is_there_again_after_opening(records: JobRecords, path: Path) -> None:
    job = records.change(added(records).id, Event.START)
    assert (job.id, job.model, job.version, job.wish, job.attempts) == (1, "digits", "1.0.0", WISH, 1)
    job = records.change(job.id, Event.FINISH, result=[{"recipe": "int8"}])
    again = JobRecords(path)
    assert again.all() == [job] == [again.job(1)]
    assert again.counts() == {"queued": 0, "running": 0, "done": 1, "failed": 0, "cancelled": 0}
    again.close()


def test_what_cannot_happen_changes_nothing(records: JobRecords) -> None:
    job = added(records)
    with pytest.raises(WrongMoment):
        records.change(job.id, Event.RETRY)
    assert records.in_state(State.QUEUED) == [job]
    for number in (0, 2, 2**63, 10**30):
        with pytest.raises(JobNotFound, match=f"no job {number};"):
            records.job(number)


def test_what_another_server_did_meanwhile_counts(records: JobRecords, path: Path) -> None:
    job = records.change(added(records).id, Event.START)
    others = JobRecords(path)
    others.change(job.id, Event.CANCEL)
    for event in (Event.FINISH, Event.FAIL):
        with pytest.raises(WrongMoment):
            records.change(job.id, event)
    others.close()


def test_progress_is_of_what_runs_and_gone_afterwards(records: JobRecords) -> None:
    job, step = added(records), {"variant": "int8", "doing": "measuring", "done": 0.5}
    records.show(job.id, step)
    assert records.job(job.id).progress is None
    records.change(job.id, Event.START)
    records.show(job.id, step)
    assert records.job(job.id).progress == step
    assert records.change(job.id, Event.FINISH).progress is None


def test_what_fails_on_the_way_changes_nothing(records: JobRecords) -> None:
    waiting = added(records)
    with pytest.raises(WrongMoment), records.alone():
        records.change(added(records).id, Event.RETRY)
    assert records.all() == [waiting]


def test_a_file_of_an_older_octet_is_taken_over(records: JobRecords, path: Path) -> None:
    job = added(records)
    records._execute("ALTER TABLE job DROP COLUMN progress")
    again = JobRecords(path)
    assert again.all() == [job]
    again.close()


def test_only_the_last_hundred_that_are_over_are_remembered_and_no_number_is_given_twice(records: JobRecords) -> None:
    waiting = added(records)
    for _ in range(103):
        records.change(added(records).id, Event.CANCEL)
    last = added(records)
    assert last.id == 105
    assert [job.id for job in records.all()] == [waiting.id, *range(5, 105), last.id]


def test_a_full_disk_is_told_and_leaves_what_was_there(records: JobRecords) -> None:
    job = added(records)
    (pages,) = records._connection.execute("PRAGMA page_count").fetchone()
    records._connection.execute(f"PRAGMA max_page_count = {pages}")  # what SQLite then says is what a full disk says
    with pytest.raises(StorageFailed, match=r"service\.sqlite cannot be used: database or disk is full"):
        records.add("digits", "1.0.0", {"calibration": "x" * 10_000})
    assert records.all() == [job]


def test_what_is_no_database_is_told(path: Path) -> None:
    path.write_bytes(b"something else, longer than a header of SQLite is: " * 9)
    with pytest.raises(StorageFailed, match="file is not a database"):
        JobRecords(path)
