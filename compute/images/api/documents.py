"""What clients see of images, members, tasks."""

from datetime import UTC, datetime
from typing import Any

from compute.images.imports import DIRECT, WEB
from compute.images.members import Member
from compute.images.records import Image
from compute.images.statuses import WITH_DATA, Status, TaskStatus
from compute.images.tasks import IMPORT, Task

Document = dict[str, Any]

STORE = "objects"  # the only one there is
IMPORT_METHODS = (DIRECT, WEB)


def of_image(image: Image) -> Document:
    """Return what clients see of an image: its properties beside its attributes."""
    path = f"/v2/images/{image.id}"
    importing = image.status is Status.IMPORTING
    shown: Document = {
        "name": image.name,
        "disk_format": image.disk_format,
        "container_format": image.container_format,
        "visibility": image.visibility.value,
        "size": image.size,
        "virtual_size": image.virtual_size,
        "status": image.status.value,
        "checksum": image.checksum,
        "protected": image.protected,
        "min_ram": image.min_ram,
        "min_disk": image.min_disk,
        "owner": image.owner,
        "os_hidden": image.hidden,
        "os_hash_algo": image.hash_algo,
        "os_hash_value": image.hash_value,
        "id": image.id,
        "created_at": moment(image.created_at_us),
        "updated_at": moment(image.updated_at_us),
        "tags": list(image.tags),
        "self": path,
        "file": f"{path}/file",
        "schema": "/v2/schemas/image",
    }
    if image.status in WITH_DATA:
        shown["stores"] = STORE
    if importing or image.failed_import:
        shown["os_glance_importing_to_stores"] = STORE if importing else ""
        shown["os_glance_failed_import"] = STORE if image.failed_import else ""
    return {**image.properties, **shown}


def of_member(member: Member) -> Document:
    """Return what clients see of a member."""
    return {
        "member_id": member.project_id,
        "image_id": member.image_id,
        "status": member.status.value,
        "created_at": moment(member.created_at_us),
        "updated_at": moment(member.updated_at_us),
        "schema": "/v2/schemas/member",
    }


def of_task(task: Task) -> Document:
    """Return what clients see of a task in listings."""
    shown = {
        "id": task.id,
        "type": IMPORT,
        "status": task.status.value,
        "owner": task.owner,
        "created_at": moment(task.created_at_us),
        "updated_at": moment(task.updated_at_us),
        "self": f"/v2/tasks/{task.id}",
        "schema": "/v2/schemas/task",
    }
    if task.expires_at_us is not None:
        shown["expires_at"] = moment(task.expires_at_us)
    return shown


def of_whole_task(task: Task) -> Document:
    """Return all that clients see of a task."""
    return {
        **of_task(task),
        "image_id": task.image_id,
        "request_id": task.request_id,
        "user_id": task.user_id,
        "input": {"image_id": task.image_id, "import_req": dict(task.input)},
        "result": {"image_id": task.image_id} if task.status is TaskStatus.SUCCESS else None,
        "message": task.message,
    }


def moment(moment_us: int) -> str:
    """Return a moment as Glance shows it: by the second."""
    return f"{datetime.fromtimestamp(moment_us // 1_000_000, UTC):%Y-%m-%dT%H:%M:%SZ}"
