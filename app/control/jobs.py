"""Quantization on request: one job at a time, the others wait in a bounded queue; a job outlives the server's end.

Every server of the store takes jobs up and tells of them; one runs them, and another one when that has ended.

queued -> running -> done | failed | cancelled; the latter two may be retried. `job_states` is the table.
"""

import asyncio
import fcntl
import os
import shutil
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Self

import structlog

from app.control.job_process import JobFailed, command, run
from app.control.job_recipes import KnownRecipes
from app.control.job_records import Job, JobRecords, Progress
from app.control.job_rows import files_of
from app.control.job_states import Event, State
from app.errors import JobNotFound, OctetError, TooManyJobs, Unsupported, WrongMoment
from app.metrics import Metrics
from app.settings import Settings
from model_store.errors import StoreError
from model_store.store import Store

_MOST_QUEUED = 100
_CUT_OFF = "it was cut off: the server stopped, or could not write down how it ended; retry it"
# What its server may take to end a cancelled process and to remove its files, beyond the time to its next look.
_MOST_SECONDS_BEYOND = 10.0
_LOOK_SECONDS = 0.05


class Jobs:
    """The jobs of one server, in use between `async with` and its end. All of it happens on the event loop."""

    def __init__(self, store: Store, settings: Settings, metrics: Metrics, log: structlog.stdlib.BoundLogger) -> None:
        self._store = store
        self._settings = settings
        self._metrics = metrics
        self._log = log
        self._records: JobRecords | None = None
        self._why_off = "jobs are off: start the server with --rows FOLDER, the folder whose rows they may read"
        self._running: tuple[int, asyncio.Task[None]] | None = None
        self._progress: Progress | None = None
        self._lock: int | None = None
        self._runs_them = False
        """Whether this is the server of the store that runs its jobs."""
        self._recipes = KnownRecipes()
        self._wake = asyncio.Event()
        self._held = ExitStack()
        self._loop: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        if self._settings.rows is not None:
            try:
                self._open()
            except (OSError, StoreError) as error:
                self._stay_off(f"the store's jobs.lock or service.sqlite cannot be used ({error}); mend it, start anew")
        return self

    async def __aexit__(self, *_: object) -> None:
        """End what is running; it has failed and can be retried. What is queued runs when the server is back."""
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.wait({self._loop})
        self._held.close()

    async def quantize(self, model: str, version: str, wish: Mapping[str, Any]) -> Job:
        """Queue a job. Raises Unsupported, TooManyJobs, and as `files_of`, `KnownRecipes.judge` and `Store.resolve`."""
        records = self._open_records()
        assert self._settings.rows is not None
        files_of(wish, self._settings.rows)
        record = await asyncio.to_thread(self._store.resolve, model, version)
        await self._recipes.judge(wish)
        with records.alone():
            self._refuse_if_full()
            job = records.add(record.name, record.version, wish)
        self._changed(job)
        return job

    def all(self) -> list[Job]:
        """Every job that is remembered, the oldest first. Raises Unsupported."""
        return self._open_records().all()

    def job(self, number: int) -> Job:
        """One job. Raises JobNotFound, Unsupported."""
        return self._open_records().job(number)

    async def cancel(self, number: int) -> Job:
        """Take it out of the queue, or end its process; what it has stored by then stays.

        Raises JobNotFound, Unsupported, and WrongMoment where it is over.
        """
        records = self._open_records()
        job = records.change(number, Event.CANCEL)
        if self._running is not None and self._running[0] == number:
            task = self._running[1]
            task.cancel()
            await asyncio.wait({task})
        else:
            await self._ended_elsewhere(number)
        self._changed(job)
        return job

    def retry(self, number: int) -> Job:
        """Queue a job again that failed or was cancelled. Raises JobNotFound, Unsupported, WrongMoment, TooManyJobs."""
        records = self._open_records()
        with records.alone():
            self._refuse_if_full()
            job = records.change(number, Event.RETRY)
        self._changed(job)
        return job

    @property
    def _folder(self) -> Path:
        """For the temporary files of jobs; it is on the store's disk, since they may be as large as models."""
        return self._settings.store.absolute() / "jobs"

    def _folder_of(self, number: int) -> Path:
        """It is there while the job's process is."""
        return self._folder / str(number)

    def _open_records(self) -> JobRecords:
        if self._records is None:
            raise Unsupported(self._why_off)
        return self._records

    def _open(self) -> None:
        """Take up where an earlier server stopped."""
        self._lock = os.open(self._settings.store / "jobs.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        self._held.callback(os.close, self._lock)
        self._records = JobRecords(self._settings.store / "service.sqlite")
        self._held.callback(self._records.close)
        self._loop = asyncio.create_task(self._run_all())

    def _stay_off(self, reason: str) -> None:
        """Serve without jobs."""
        self._why_off = f"jobs are off: {reason}"
        self._log.warning("jobs are off", reason=reason)

    async def _may_run_them(self) -> bool:
        """Be the one server of this store that runs its jobs, if no other is; the kernel lets go when that ends."""
        if not self._runs_them:
            assert self._lock is not None
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            self._runs_them = True
            await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)
        return True

    def _refuse_if_full(self) -> None:
        if self._open_records().counts()[State.QUEUED] >= _MOST_QUEUED:
            raise TooManyJobs(
                f"{_MOST_QUEUED} jobs wait already, and one runs at a time: cancel some, or try again later"
            )

    def _changed(self, job: Job) -> None:
        """Tell of its new state, and look whether something is to be run."""
        self._count()
        self._log.info(f"job {job.state}", job=job.id, model=job.model, version=job.version, error=job.error)
        self._wake.set()

    def _count(self) -> None:
        """Have the metrics tell of all jobs; those of one server do, so that a sum is right."""
        if self._runs_them:
            self._metrics.jobs = self._open_records().counts()

    async def _run_all(self) -> None:
        """One after the other. Where their states cannot be kept, nothing runs until that is tried again."""
        while True:
            self._wake.clear()
            try:
                is_idle = not (await self._may_run_them() and await self._run_next())
            except Exception as error:  # noqa: BLE001  a loop that ended would leave all that wait behind
                self._log.error("the state of a job cannot be kept", error=str(error))
                is_idle = True
            if is_idle:
                await self._sleep()

    async def _sleep(self) -> None:
        """Until something happens to a job here, or may have elsewhere."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._settings.refresh_seconds):
                await self._wake.wait()

    async def _run_next(self) -> bool:
        """Run the job that waits the longest; tell whether there was one. Raises StorageFailed."""
        records = self._open_records()
        for cut_off in records.in_state(State.RUNNING):
            self._end(cut_off, Event.FAIL, error=_CUT_OFF)
        self._count()
        waiting = records.in_state(State.QUEUED)
        if not waiting:
            return False
        task = asyncio.create_task(self._run(waiting[0]))
        self._running = waiting[0].id, task
        try:
            await self._attend(waiting[0].id, task)
        finally:
            task.cancel()
            await asyncio.wait({task})
            self._running = self._progress = None
        if not task.cancelled():
            task.result()
        return True

    async def _attend(self, number: int, task: asyncio.Task[None]) -> None:
        """Until it is done: write down how far it is, and end it where another server has cancelled it."""
        records = self._open_records()
        while not (await asyncio.wait({task}, timeout=self._settings.refresh_seconds))[0]:
            self._count()
            if number not in (job.id for job in records.in_state(State.RUNNING)):
                return
            if self._progress is not None:
                records.show(number, self._progress)

    async def _ended_elsewhere(self, number: int) -> None:
        """Until the server that runs the job, if one does, has ended its process and removed its files."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._settings.refresh_seconds + _MOST_SECONDS_BEYOND):
                while self._folder_of(number).exists():  # noqa: ASYNC110  another process removes it
                    await asyncio.sleep(_LOOK_SECONDS)

    async def _run(self, job: Job) -> None:
        """From queued to an end. Cancelled, it ends the process; who cancels says first what the job is then."""
        records = self._open_records()
        with suppress(WrongMoment):  # it was cancelled a moment ago
            job = records.change(job.id, Event.START)
        if job.state is not State.RUNNING:
            return
        self._changed(job)
        folder = self._folder_of(job.id)
        try:
            assert self._settings.rows is not None
            folder.mkdir(parents=True, exist_ok=True)
            words = command(job, self._settings.store, self._settings.rows)
            result = await run(words, folder, self._show)
        except asyncio.CancelledError:
            self._end(job, Event.FAIL, error=_CUT_OFF)
        except (JobFailed, OctetError, StoreError, OSError) as error:
            self._end(job, Event.FAIL, error=str(error))
        except Exception as error:  # noqa: BLE001  the jobs after it are to run
            self._log.exception("a job failed in an unforeseen way", job=job.id)
            self._end(job, Event.FAIL, error=f"internal error, see the log: {error}")
        else:
            self._end(job, Event.FINISH, result=result)
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    def _end(self, job: Job, event: Event, **what: Any) -> None:
        """Say what became of it, unless somebody has cancelled it: then that holds."""
        with suppress(WrongMoment, JobNotFound):
            self._changed(self._open_records().change(job.id, event, **what))

    def _show(self, step: Progress) -> None:
        self._progress = step
