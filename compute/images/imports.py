"""Imports: what was staged, or is fetched from elsewhere, becomes the data of an image. Asked for now, done soon.

The image is IMPORTING from the moment that it is asked for, and a task says so, in one transaction; whoever has the
time takes the task. It ends, in one transaction again, with the image ACTIVE and the task successful, or the image
QUEUED and the task failed. A task whose process died is done again by another, a few times.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from cluster.controlplane.database import retried
from cluster.controlplane.errors import Unavailable as DatabaseUnavailable
from cluster.telemetry.log import get_logger
from compute.errors import BadRequest, ComputeError, Conflict, Gone, Unavailable
from compute.images import contents, images, limits, tasks, uploads
from compute.images.errors import NoSuchImage, Refused
from compute.images.records import Image
from compute.images.statuses import Status
from compute.images.tasks import Asked, Task
from compute.images.uploads import Begun, Dock
from compute.images.web.fetching import Fetcher, NotFetched
from compute.images.web.uris import place_of

DIRECT, WEB = "glance-direct", "web-download"
_SECOND_US = 1_000_000

_log = get_logger("images")


def methods(dock: Dock) -> list[str]:
    """Return how images may be imported."""
    return [DIRECT, *([WEB] if dock.settings.web.enabled else [])]


def ask(connection: Connection, dock: Dock, image: Image, asked: Asked, request: Mapping[str, Any]) -> str:
    """Have an image imported; return the id of the task. Raise Conflict, BadRequest, OverLimit."""
    method = request["method"]
    name = method["name"]
    if name not in methods(dock):
        raise BadRequest(f"Unknown import method name '{name}'.")
    if image.disk_format is None or image.container_format is None:
        raise Conflict("'container_format' and 'disk_format' need to be set before import.")
    if name == DIRECT:
        content = contents.get(connection, image.content_key or "")
        if image.status is not Status.UPLOADING or content is None or content.state != contents.WHOLE:
            raise Conflict(f"Image needs to be staged before '{DIRECT}' method can be used")
    else:
        place_of(str(method.get("uri", "")), dock.settings.web)
        if image.status is not Status.QUEUED:
            raise Conflict(f"Image needs to be in 'queued' state to use '{WEB}' method")
        limits.check_uploading(connection, image.owner, dock.settings.quota)
    now_us = dock.clock_us()
    images.step(connection, image, Status.IMPORTING, now_us, failed_import=False)
    return tasks.add(connection, image.id, asked, request, now_us)


class Importer:
    """Does imports, one after the other."""

    def __init__(self, dock: Dock, fetcher: Fetcher) -> None:
        self._dock = dock
        self._fetcher = fetcher
        self._open: Task | None = None  # claimed, and not ended yet

    def __repr__(self) -> str:
        return f"Importer({self._fetcher})"

    def step(self) -> bool:
        """Do the import that has waited longest; tell whether there was one."""
        dock = self._dock
        if self._open is not None:  # the last step could not note how it ended
            self._not_now(self._open, "The import was interrupted too many times.")
            self._open = None
        with dock.database.reading() as connection:
            if not tasks.any_due(connection, dock.clock_us()):
                return False
        task = retried(dock.database, lambda connection: tasks.claim(connection, dock.worker_id, dock.clock_us()))
        if task is None:
            return False
        self._open = task
        self._end(task)
        self._open = None
        return True

    def _end(self, task: Task) -> None:
        """Do a task, and note how it ended."""
        try:
            self._do(task)
        except (NotFetched, BadRequest, Gone, NoSuchImage) as error:
            self._failed(task, str(error))
        except (Unavailable, DatabaseUnavailable) as error:
            self._not_now(task, str(error))
        except ComputeError as error:
            self._failed(task, str(error))
        except Exception as error:  # nobody waits for it: the task tells
            _log.error("import_failed", image=task.image_id, task=task.id, error=error)
            self._failed(task, "The import failed for a reason that the operator finds in the log.")

    def _do(self, task: Task) -> None:
        if task.input["method"]["name"] == DIRECT:
            retried(self._dock.database, lambda connection: self._take_over(connection, task))
        else:
            self._fetch(task, str(task.input["method"]["uri"]))

    def _take_over(self, connection: Connection, task: Task) -> None:
        """Make the staged content the image's."""
        image = images.get(connection, task.image_id)
        content = contents.get(connection, image.content_key or "")
        if image.status is not Status.IMPORTING or content is None or content.state != contents.WHOLE:
            raise Gone(f"Image {task.image_id} is not being imported any more.")
        if content.digest.refusal is not None:
            raise Refused(content.digest.refusal)
        contents.adopt(connection, content.key)
        uploads.activate(connection, self._dock, image, content.digest)
        self._succeeded(connection, task)

    def _fetch(self, task: Task, uri: str) -> None:
        dock = self._dock
        begun = retried(dock.database, lambda connection: self._begin(connection, task))
        with uploads.Undone(dock, begun.key):
            digest = uploads.bring_in(dock, begun, self._fetcher.fetch(uri), None)

            def note(connection: Connection) -> None:
                image = uploads.still(connection, begun.key, Status.IMPORTING)
                contents.complete(connection, begun.key, dock.worker_id, digest)
                uploads.activate(connection, dock, image, digest)
                self._succeeded(connection, task)

            retried(dock.database, note)

    def _begin(self, connection: Connection, task: Task) -> Begun:
        dock = self._dock
        image = images.get(connection, task.image_id)
        if image.status is not Status.IMPORTING:
            raise Gone(f"Image {task.image_id} is not being imported any more.")
        room = limits.room(connection, image.owner, dock.settings.quota, contents.DATA)
        key = contents.new_key(image.id)
        contents.begin(connection, key, image.owner, contents.DATA, dock.worker_id, dock.clock_us())
        images.set_content(connection, image, key)
        return Begun(image, key, contents.DATA, room)

    def _not_now(self, task: Task, message: str) -> None:
        if task.attempts >= tasks.ATTEMPTS:
            self._failed(task, message)
        else:
            retried(self._dock.database, lambda connection: self._put_back(connection, task))

    def _put_back(self, connection: Connection, task: Task) -> None:
        if tasks.is_claimed(connection, task):
            tasks.put_back(connection, task, self._dock.clock_us())

    def _failed(self, task: Task, message: str) -> None:
        _log.warning("import_refused", image=task.image_id, task=task.id, error=message)
        retried(self._dock.database, lambda connection: fail(connection, self._dock, task, message))

    def _succeeded(self, connection: Connection, task: Task) -> None:
        if not tasks.is_claimed(connection, task):
            raise Gone("The import took too long, and is done anew.")
        _finish(connection, self._dock, task, None)


def _finish(connection: Connection, dock: Dock, task: Task, failure: str | None) -> None:
    tasks.finish(connection, task, failure, dock.clock_us(), dock.settings.kept_task_s * _SECOND_US)


def fail(connection: Connection, dock: Dock, task: Task, message: str) -> None:
    """End a task that failed, and have its image as it was before data came; unless the task is another's by now."""
    if not tasks.is_claimed(connection, task):
        return
    _finish(connection, dock, task, message)
    try:
        image = images.get(connection, task.image_id)
    except NoSuchImage:
        return
    if image.status is Status.IMPORTING:
        contents.forsake(connection, image.content_key or "")
        images.step(connection, image, Status.QUEUED, dock.clock_us(), content_key=None, failed_import=True)
