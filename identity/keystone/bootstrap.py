"""What a new cluster begins with: a domain, somebody who may do everything, the usual roles, and where services are.

Done again, it adds what is missing and sets URLs right, and takes nothing away: a password that was changed stays. At a
start of the service it is done while there is no user: an administrator who was renamed or removed does not come back.
After that only the catalog is set right, and the users of the cluster's own services are there again.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TypeVar

from sqlalchemy import Connection, select

from cluster.controlplane import service_user
from cluster.controlplane.service_user import ServiceUser
from cluster.telemetry.log import get_logger
from identity.keystone import (
    assignments,
    credentials,
    domains,
    endpoints,
    implied,
    projects,
    regions,
    roles,
    services,
    users,
)
from identity.keystone.assignments import Assignment
from identity.keystone.credentials import EC2, Credential
from identity.keystone.endpoints import INTERFACES, Endpoint
from identity.keystone.errors import NotFound
from identity.keystone.passwords import PasswordRules
from identity.keystone.projects import Project
from identity.keystone.published_key import hash_of_access
from identity.keystone.roles import Role
from identity.keystone.schema import users as users_table
from identity.keystone.sealing import Seal
from identity.keystone.services import Service
from identity.keystone.settings import Settings
from identity.keystone.users import User

T = TypeVar("T")

LADDER = ("admin", "manager", "member", "reader")  # each role implies the next
SERVICE_ROLE = "service"
_IMMUTABLE = {"immutable": True}

_log = get_logger("identity")


@dataclass(frozen=True, slots=True)
class ServiceAt:
    """A service of this cluster and its URL, in which `$(project_id)s` may stand."""

    type: str
    name: str
    url: str


@dataclass(frozen=True, slots=True)
class Beginning:
    """What there shall be."""

    password: str = field(repr=False)  # of the administrator
    user: str = "admin"
    project: str = "admin"
    region: str = "RegionOne"
    services: tuple[ServiceAt, ...] = ()


@dataclass(frozen=True, slots=True)
class Begun:
    """What there is."""

    user_id: str
    project_id: str
    role_ids: dict[str, str]  # by name


def ensure(connection: Connection, wish: Beginning, settings: Settings, now_us: int) -> Begun:
    """Make what is missing of `wish`."""
    domain_id = settings.default_domain_id
    _found_or(
        lambda: domains.get(connection, domain_id),
        lambda: domains.create(connection, Project(id=domain_id, name="Default", is_domain=True)),
    )
    project = _found_or(
        lambda: projects.find(connection, wish.project, domain_id),
        lambda: projects.create(connection, Project(wish.project, domain_id), settings.max_project_depth),
    )
    user = _found_or(
        lambda: users.find(connection, wish.user, domain_id),
        lambda: users.create(connection, User(wish.user, domain_id), wish.password, settings, now_us),
    )
    role_ids = _ensure_roles(connection)
    for target in (assignments.project(project.id), assignments.SYSTEM):
        assignments.grant(connection, Assignment(assignments.user(user.id), target, role_ids["admin"]))
    ensure_catalog(connection, wish.services, wish.region)
    return Begun(user.id, project.id, role_ids)


def has_begun(connection: Connection) -> bool:
    """Tell whether there is any user."""
    return connection.scalar(select(users_table.c.id).limit(1)) is not None


def ensure_catalog(connection: Connection, services_at: Iterable[ServiceAt], region: str) -> None:
    """Make the services that are missing, and set their URLs right."""
    regions.ensure(connection, region)
    for service in services_at:
        _ensure_service(connection, service, region)


def ensure_service_user(
    connection: Connection, seal: Seal, wish: ServiceUser, settings: Settings, now_us: int
) -> None:
    """Make the user of a service of this cluster, with its roles and its S3 key, unless it is there.

    Who has its name, and is not it, is left alone, and the service does without.
    """
    domain_id = settings.default_domain_id
    project = _found_or(
        lambda: projects.find(connection, service_user.PROJECT, domain_id),
        lambda: projects.create(connection, Project(service_user.PROJECT, domain_id), settings.max_project_depth),
    )
    try:
        if users.find(connection, wish.name, domain_id).id != wish.id:
            _log.error("service_user_name_taken", user=wish.name)
            return
    except NotFound:
        unruled = replace(settings, passwords=PasswordRules())  # people's rules: it neither chooses nor changes it
        user = User(wish.name, domain_id, options={"ignore_password_expiry": True}, id=wish.id)
        users.create(connection, user, wish.password, unruled, now_us)
    for name in service_user.ROLES:
        role = _ensure_role(connection, name)
        assignments.grant(
            connection, Assignment(assignments.user(wish.id), assignments.project(project.id), role.id)
        )
    if credentials.by_access_key(connection, seal, wish.access_key) is None:
        keys = json.dumps({"access": wish.access_key, "secret": wish.secret_key})
        key_id = hash_of_access(wish.access_key)
        credentials.create(connection, seal, Credential(wish.id, EC2, keys, project.id, now_us, id=key_id))


def _ensure_roles(connection: Connection) -> dict[str, str]:
    found = {name: _ensure_role(connection, name) for name in (*LADDER, SERVICE_ROLE)}
    for prior, following in pairwise(LADDER):
        implied.add(connection, found[prior], found[following])
    return {name: role.id for name, role in found.items()}


def _ensure_role(connection: Connection, name: str) -> Role:
    return _found_or(
        lambda: roles.find(connection, name),
        lambda: roles.create(connection, Role(name, options=_IMMUTABLE)),
    )


def _ensure_service(connection: Connection, wish: ServiceAt, region_id: str) -> None:
    known = services.list_all(connection, wish.type, wish.name)
    service = known[0] if known else services.create(connection, Service(wish.type, wish.name))
    for interface in INTERFACES:
        found = endpoints.list_all(connection, service.id, interface, region_id)
        if not found:
            endpoints.create(connection, Endpoint(service.id, interface, wish.url, region_id))
        elif found[0].url != wish.url:
            endpoints.replace(connection, replace(found[0], url=wish.url))


def _found_or(find: Callable[[], T], make: Callable[[], T]) -> T:
    try:
        return find()
    except NotFound:
        return make()
