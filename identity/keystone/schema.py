"""All tables of the identity service.

Ids are 32 hexadecimal digits unless a client may choose them (regions, the default domain). Moments are integers:
microseconds since 1970, UTC. `extra` holds the attributes of a resource that have no column of their own: what a client
sent and we do not know is kept and shown. What belongs to a row goes with it (ON DELETE CASCADE) where nobody needs to
hear of it; tokens and published keys are ended by the modules before.

A change here comes with a migration; a test compares the two.
"""

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from cluster.controlplane.columns import new_metadata

ID_LIMIT = 64  # characters
NAME_LIMIT = 255

metadata = new_metadata()


def _id(name: str = "id") -> "Column[str]":
    return Column(name, String(ID_LIMIT), primary_key=True)


def _owner(name: str, target: str, nullable: bool = False) -> "Column[str]":
    """Return a reference to what a row belongs to, and goes with."""
    return Column(name, String(ID_LIMIT), ForeignKey(target, ondelete="CASCADE"), nullable=nullable, index=True)


def _part(name: str, target: str) -> "Column[str]":
    """Return a reference that is part of the primary key."""
    return Column(name, String(ID_LIMIT), ForeignKey(target, ondelete="CASCADE"), primary_key=True)


def _json(name: str) -> "Column[dict[str, Any]]":
    return Column(name, JSON, nullable=False)


def _unique_among(name: str, *columns: str, where: str) -> Index:
    """Return a unique index of the rows that fulfil `where`: NULL is never equal to NULL in others."""
    return Index(name, *columns, unique=True, sqlite_where=text(where), postgresql_where=text(where))


# Projects, and domains: a domain is a project with is_domain, without domain_id and parent_id. A project at the top has
# its domain as parent.
projects = Table(
    "projects",
    metadata,
    _id(),
    Column("name", String(NAME_LIMIT), nullable=False),
    Column("domain_id", String(ID_LIMIT), ForeignKey("projects.id"), nullable=True),
    Column("parent_id", String(ID_LIMIT), ForeignKey("projects.id"), nullable=True, index=True),
    Column("is_domain", Boolean, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("description", Text, nullable=False),
    _json("options"),
    _json("extra"),
    UniqueConstraint("domain_id", "name"),
    CheckConstraint("is_domain = (domain_id IS NULL)", name="domains_have_no_domain"),
    _unique_among("uq_projects_domain_name", "name", where="domain_id IS NULL"),
)

# Words that projects are found by.
project_tags = Table(
    "project_tags",
    metadata,
    _part("project_id", "projects.id"),
    Column("name", String(NAME_LIMIT), primary_key=True, index=True),
)

# Who can authenticate. default_project_id may name a project that is gone: it is then passed over.
users = Table(
    "users",
    metadata,
    _id(),
    Column("domain_id", String(ID_LIMIT), ForeignKey("projects.id"), nullable=False),
    Column("name", String(NAME_LIMIT), nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("default_project_id", String(ID_LIMIT), nullable=True, index=True),
    Column("created_at_us", BigInteger, nullable=False),
    _json("options"),
    _json("extra"),
    UniqueConstraint("domain_id", "name"),
)

# Hashes of a user's passwords. The newest counts; older ones are kept as history, so that they are not used again.
passwords = Table(
    "passwords",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    _owner("user_id", "users.id"),
    Column("hash", String(255), nullable=False),
    Column("created_at_us", BigInteger, nullable=False),
    Column("expires_at_us", BigInteger, nullable=True, index=True),  # NULL: never
    Column("self_service", Boolean, nullable=False),  # set by the user, not by an administrator
)

# Wrong passwords in a row, by user; no row: none.
failures = Table(
    "failures",
    metadata,
    _part("user_id", "users.id"),
    Column("count", Integer, nullable=False),
    Column("last_at_us", BigInteger, nullable=False),
)

groups = Table(
    "groups",
    metadata,
    _id(),
    Column("domain_id", String(ID_LIMIT), ForeignKey("projects.id"), nullable=False),
    Column("name", String(NAME_LIMIT), nullable=False),
    Column("description", Text, nullable=False),
    _json("extra"),
    UniqueConstraint("domain_id", "name"),
)

# Which users are in a group.
memberships = Table(
    "memberships",
    metadata,
    _part("group_id", "groups.id"),
    Column("user_id", String(ID_LIMIT), ForeignKey("users.id", ondelete="CASCADE"), primary_key=True, index=True),
)

# What can be assigned. With a domain_id a role is that domain's own: it is in no token, only what it implies.
roles = Table(
    "roles",
    metadata,
    _id(),
    Column("name", String(NAME_LIMIT), nullable=False),
    Column("domain_id", String(ID_LIMIT), ForeignKey("projects.id"), nullable=True),
    Column("description", Text, nullable=True),
    _json("options"),
    _json("extra"),
    UniqueConstraint("domain_id", "name"),
    _unique_among("uq_roles_global_name", "name", where="domain_id IS NULL"),
)

# Who has the first role has the second one, too.
implied_roles = Table(
    "implied_roles",
    metadata,
    _part("prior_role_id", "roles.id"),
    Column(
        "implied_role_id", String(ID_LIMIT), ForeignKey("roles.id", ondelete="CASCADE"), primary_key=True, index=True
    ),
)

# Who has which role where. actor_kind: "user" or "group". target_kind: "project", "domain", or "system" (whose id is
# "all"). inherited: not on the target itself, but on all projects below it.
assignments = Table(
    "assignments",
    metadata,
    Column("actor_kind", String(8), primary_key=True),
    Column("actor_id", String(ID_LIMIT), primary_key=True),
    Column("target_kind", String(8), primary_key=True),
    Column("target_id", String(ID_LIMIT), primary_key=True),
    _part("role_id", "roles.id"),
    Column("inherited", Boolean, primary_key=True),
    Index("ix_assignments_target", "target_kind", "target_id"),
    Index("ix_assignments_role_id", "role_id"),
)

# What users authenticate with elsewhere: EC2 keys, certificates, seeds of one-time passwords. The blob is sealed.
credentials = Table(
    "credentials",
    metadata,
    _id(),  # of an EC2 key: SHA-256 of the access key
    Column("user_id", String(ID_LIMIT), nullable=False, index=True),  # need not exist
    Column("project_id", String(ID_LIMIT), nullable=True, index=True),
    Column("type", String(NAME_LIMIT), nullable=False, index=True),
    Column("access_hash", String(64), nullable=True),  # of an EC2 key: SHA-256 of the access key; NULL: none
    Column("encrypted_blob", LargeBinary, nullable=False),
    Column("created_at_us", BigInteger, nullable=False),
    _json("extra"),
    UniqueConstraint("access_hash"),
)

# Passwords for programs: a user's, for one project, with some of the roles the user has there.
application_credentials = Table(
    "application_credentials",
    metadata,
    _id(),
    _owner("user_id", "users.id"),
    _owner("project_id", "projects.id"),
    Column("name", String(NAME_LIMIT), nullable=False),
    Column("description", Text, nullable=True),
    Column("secret_hash", String(255), nullable=False),
    Column("created_at_us", BigInteger, nullable=False),
    Column("expires_at_us", BigInteger, nullable=True),  # NULL: never
    Column("unrestricted", Boolean, nullable=False),  # may make application credentials and trusts itself
    UniqueConstraint("user_id", "name"),
)

application_credential_roles = Table(
    "application_credential_roles",
    metadata,
    _part("application_credential_id", "application_credentials.id"),
    _part("role_id", "roles.id"),
)

# A request that application credentials may be restricted to.
access_rules = Table(
    "access_rules",
    metadata,
    _id(),
    _owner("user_id", "users.id"),
    Column("service", String(NAME_LIMIT), nullable=False),
    Column("path", String(NAME_LIMIT), nullable=False),
    Column("method", String(16), nullable=False),
    UniqueConstraint("user_id", "service", "path", "method"),
)

application_credential_access_rules = Table(
    "application_credential_access_rules",
    metadata,
    _part("application_credential_id", "application_credentials.id"),
    Column("access_rule_id", String(ID_LIMIT), ForeignKey("access_rules.id"), primary_key=True, index=True),
)

# Tokens of a subject issued before a moment are void. Kinds: identity/keystone/revocations.py.
revocations = Table(
    "revocations",
    metadata,
    Column("kind", String(32), primary_key=True),
    Column("subject", String(ID_LIMIT), primary_key=True),
    Column("issued_before_us", BigInteger, nullable=False),
    Column("revoked_at_us", BigInteger, nullable=False, index=True),
)

# What is to be told to coordination, in order: written with the change that it tells of.
outbox = Table(
    "outbox",
    metadata,
    Column("sequence", Integer, primary_key=True, autoincrement=True),
    Column("key", String(NAME_LIMIT), nullable=False),
    Column("data", LargeBinary, nullable=True),  # NULL: the key is removed
    sqlite_autoincrement=True,  # a sequence number never comes back
)

# The catalog: where there is which service.
regions = Table(
    "regions",
    metadata,
    Column("id", String(NAME_LIMIT), primary_key=True),
    Column("parent_region_id", String(NAME_LIMIT), ForeignKey("regions.id"), nullable=True, index=True),
    Column("description", Text, nullable=False),
    _json("extra"),
)

services = Table(
    "services",
    metadata,
    _id(),
    Column("type", String(NAME_LIMIT), nullable=False, index=True),
    Column("name", String(NAME_LIMIT), nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("description", Text, nullable=True),
    _json("extra"),
)

endpoints = Table(
    "endpoints",
    metadata,
    _id(),
    _owner("service_id", "services.id"),
    Column("interface", String(8), nullable=False),  # public, internal, admin
    Column("region_id", String(NAME_LIMIT), ForeignKey("regions.id"), nullable=True, index=True),
    Column("url", Text, nullable=False),
    Column("enabled", Boolean, nullable=False),
    _json("extra"),
)
