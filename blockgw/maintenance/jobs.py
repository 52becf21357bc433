"""Work in the background that takes long: what there is, how far it is, how it ended."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum

from blockgw.catalog.errors import CatalogError
from blockgw.errors import HeldElsewhere, VolumeError
from cluster.clock import wall_us
from cluster.telemetry.log import get_logger

KEPT = 100  # jobs that have ended, and are still shown
_log = get_logger("blockgw")


class JobState(Enum):
    """Of a job."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"  # it is tried again, if what it is for is still wanted
    ELSEWHERE = "elsewhere"  # the gateway that has the volume does it


@dataclass(slots=True, eq=False)
class Job:
    """One of them."""

    kind: str
    volume: str
    started_us: int
    state: JobState = JobState.RUNNING
    done: int = 0  # chunks
    total: int = 0  # chunks, as far as they are known
    error: str = ""
    task: "asyncio.Task[None] | None" = None


Work = Callable[[Job], Awaitable[object]]


class Jobs:
    """Of one gateway; at most one of a kind for a volume at a time."""

    def __init__(self) -> None:
        self._jobs: dict[tuple[str, str], Job] = {}

    def all(self) -> list[Job]:
        """Return them, in the order in which they were begun, but for those that another gateway does."""
        return [job for job in self._jobs.values() if job.state is not JobState.ELSEWHERE]

    def find(self, kind: str, volume: str) -> Job | None:
        """Return the last job of a kind for a volume."""
        return self._jobs.get((kind, volume))

    def start(self, kind: str, volume: str, work: Work) -> Job:
        """Begin a job, unless it is running; return it."""
        job = self._jobs.get((kind, volume))
        if job is not None and job.state is JobState.RUNNING:
            return job
        self._jobs.pop((kind, volume), None)
        job = self._jobs[kind, volume] = Job(kind, volume, wall_us())
        job.task = asyncio.get_running_loop().create_task(_run(job, work))
        self._forget_some()
        return job

    def _forget_some(self) -> None:
        ended = [key for key, job in self._jobs.items() if job.state is not JobState.RUNNING]
        for key in ended[: max(0, len(ended) - KEPT)]:
            del self._jobs[key]

    async def close(self) -> None:
        """Break off what is running; it goes on when somebody begins it again."""
        tasks = [job.task for job in self._jobs.values() if job.task is not None and not job.task.done()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


async def _run(job: Job, work: Work) -> None:
    try:
        await work(job)
        job.state = JobState.DONE
        _log.info("job_done", kind=job.kind, volume=job.volume, chunks=job.done)
    except asyncio.CancelledError:
        job.state, job.error = JobState.FAILED, "it was broken off"
        raise
    except (VolumeError, CatalogError) as error:
        if isinstance(error, HeldElsewhere) and error.name == job.volume:
            job.state = JobState.ELSEWHERE
            return
        job.state, job.error = JobState.FAILED, str(error)
        _log.info("job_failed", kind=job.kind, volume=job.volume, error=str(error))
    except Exception as error:
        job.state, job.error = JobState.FAILED, f"internal error: {error!r}"
        _log.error("job_failed", kind=job.kind, volume=job.volume, error=error)
