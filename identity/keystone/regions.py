"""Regions: names for places that endpoints are in; one may be part of another."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from identity.keystone.errors import BadRequest, Conflict, NotFound
from identity.keystone.records import columns_of, new_id
from identity.keystone.schema import endpoints, regions


@dataclass(frozen=True, slots=True)
class Region:
    """One place. Its id is chosen by who makes it, or random."""

    id: str = field(default_factory=new_id)
    description: str = ""
    parent_region_id: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


def get(connection: Connection, region_id: str) -> Region:
    """Return a region. Raise NotFound."""
    row = connection.execute(select(regions).where(regions.c.id == region_id)).one_or_none()
    if row is None:
        raise NotFound("region", region_id)
    return Region(**row._mapping)


def list_all(connection: Connection, parent_region_id: str | None = None) -> list[Region]:
    """Return the regions by id; those inside `parent_region_id` only, if it is given."""
    query = select(regions).order_by(regions.c.id)
    if parent_region_id is not None:
        query = query.where(regions.c.parent_region_id == parent_region_id)
    return [Region(**row._mapping) for row in connection.execute(query)]


def create(connection: Connection, region: Region) -> Region:
    """Store a new region. Raise Conflict when its id is taken, NotFound when its parent is not there."""
    if connection.scalar(select(regions.c.id).where(regions.c.id == region.id)) is not None:
        raise Conflict("region", f"Duplicate ID, {region.id}")
    _check_parent(connection, region)
    connection.execute(insert(regions).values(columns_of(region)))
    return region


def ensure(connection: Connection, region_id: str) -> None:
    """Store a region of this id unless there is one."""
    if connection.scalar(select(regions.c.id).where(regions.c.id == region_id)) is None:
        create(connection, Region(id=region_id))


def replace(connection: Connection, region: Region) -> Region:
    """Store `region` over the one with its id. Raise NotFound, and BadRequest when it would contain itself."""
    get(connection, region.id)
    _check_parent(connection, region)
    connection.execute(update(regions).where(regions.c.id == region.id).values(columns_of(region)))
    return region


def remove(connection: Connection, region_id: str) -> None:
    """Remove a region and those inside it. Raise NotFound, and Conflict while an endpoint is in one of them."""
    get(connection, region_id)
    outermost_first = [region_id]
    for outer in outermost_first:
        outermost_first.extend(inner.id for inner in list_all(connection, outer))
    used = connection.scalar(
        select(endpoints.c.region_id).where(endpoints.c.region_id.in_(outermost_first)).limit(1)
    )
    if used is not None:
        raise Conflict("region", f"there are endpoints in region {used}")
    for each in reversed(outermost_first):
        connection.execute(delete(regions).where(regions.c.id == each))


def _check_parent(connection: Connection, region: Region) -> None:
    parent_id = region.parent_region_id
    while parent_id is not None:
        if parent_id == region.id:
            raise BadRequest(f"region {region.id} would be inside itself")
        parent_id = get(connection, parent_id).parent_region_id
