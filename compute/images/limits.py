"""How much a project may have, and how much it has. The names are those of Glance's unified limits.

Sizes are checked when data begins to come, while it comes, and when it is there: what several uploads bring at the same
time is together within the limit.
"""

from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, insert, select

from compute.errors import OverLimit
from compute.images import contents
from compute.images.schema import images, limits
from compute.images.settings import UNLIMITED, Quota
from compute.images.statuses import BRINGING_IN

MiB = 1 << 20
SIZE_TOTAL, STAGE_TOTAL = "image_size_total", "image_stage_total"  # MiB
COUNT_TOTAL, COUNT_UPLOADING = "image_count_total", "image_count_uploading"
NAMES = (SIZE_TOTAL, STAGE_TOTAL, COUNT_TOTAL, COUNT_UPLOADING)


@dataclass(frozen=True, slots=True)
class Use:
    """What a project has of something, and may have."""

    usage: int
    limit: int  # UNLIMITED: any amount


def of_project(connection: Connection, project_id: str, quota: Quota) -> dict[str, int]:
    """Return the limits of a project by name: those set for it, or the defaults."""
    defaults = {
        SIZE_TOTAL: quota.size_total_mib,
        STAGE_TOTAL: quota.stage_total_mib,
        COUNT_TOTAL: quota.count_total,
        COUNT_UPLOADING: quota.count_uploading,
    }
    query = select(limits.c.name, limits.c.value).where(limits.c.project_id == project_id)
    return {**defaults, **{row.name: row.value for row in connection.execute(query)}}


def set_for(connection: Connection, project_id: str, values: dict[str, int | None]) -> None:
    """Set limits of a project; None: the default holds again."""
    assert set(values) <= set(NAMES)
    for name, value in values.items():
        connection.execute(delete(limits).where(limits.c.project_id == project_id, limits.c.name == name))
        if value is not None:
            connection.execute(insert(limits).values(project_id=project_id, name=name, value=value))


def usage(connection: Connection, project_id: str, quota: Quota) -> dict[str, Use]:
    """Return what a project has and may have, by name."""
    allowed = of_project(connection, project_id, quota)
    used = {
        SIZE_TOTAL: -(-_data_total(connection, project_id) // MiB),
        STAGE_TOTAL: -(-contents.total(connection, project_id, contents.STAGED) // MiB),
        COUNT_TOTAL: _count(connection, project_id),
        COUNT_UPLOADING: _count_uploading(connection, project_id),
    }
    return {name: Use(used[name], allowed[name]) for name in NAMES}


def check_count(connection: Connection, project_id: str | None, quota: Quota) -> None:
    """Raise OverLimit unless a project may have one more image."""
    if project_id is not None:
        _check(connection, project_id, quota, COUNT_TOTAL, _count(connection, project_id) + 1)


def check_uploading(connection: Connection, project_id: str | None, quota: Quota) -> None:
    """Raise OverLimit unless a project may bring in one more image at the same time."""
    if project_id is not None:
        _check(connection, project_id, quota, COUNT_UPLOADING, _count_uploading(connection, project_id) + 1)


def room(connection: Connection, project_id: str | None, quota: Quota, purpose: str) -> int | None:
    """Return how many bytes more a project may have for `purpose`; None: any number."""
    if project_id is None:
        return None
    name = STAGE_TOTAL if purpose == contents.STAGED else SIZE_TOTAL
    limit = of_project(connection, project_id, quota)[name]
    if limit == UNLIMITED:
        return None
    if purpose == contents.STAGED:
        used = contents.total(connection, project_id, contents.STAGED)
    else:
        used = _data_total(connection, project_id)
    return max(0, limit * MiB - used)


def check_room(connection: Connection, project_id: str | None, quota: Quota, purpose: str, size: int) -> None:
    """Raise OverLimit unless a project may have `size` bytes more."""
    left = room(connection, project_id, quota, purpose)
    if left is not None and size > left:
        raise over_room(purpose)


def over_room(purpose: str) -> OverLimit:
    """Return the refusal of data for which there is no room."""
    name = STAGE_TOTAL if purpose == contents.STAGED else SIZE_TOTAL
    return OverLimit(f"The project is over its limit for {name}: delete images, or ask an administrator for more.")


def _check(connection: Connection, project_id: str, quota: Quota, name: str, wanted: int) -> None:
    limit = of_project(connection, project_id, quota)[name]
    if limit != UNLIMITED and wanted > limit:
        raise OverLimit(f"The project is over its limit for {name}: {wanted} are wanted, {limit} are allowed.")


def _data_total(connection: Connection, project_id: str) -> int:
    query = select(func.coalesce(func.sum(images.c.size), 0)).where(
        images.c.owner == project_id, images.c.deleted_at_us.is_(None)
    )
    return int(connection.scalar(query) or 0)


def _count(connection: Connection, project_id: str) -> int:
    query = select(func.count()).where(images.c.owner == project_id, images.c.deleted_at_us.is_(None))
    return connection.scalar(query) or 0


def _count_uploading(connection: Connection, project_id: str) -> int:
    query = select(func.count()).where(
        images.c.owner == project_id,
        images.c.deleted_at_us.is_(None),
        images.c.status.in_([status.value for status in BRINGING_IN]),
    )
    return connection.scalar(query) or 0
