"""What the configuration of a cluster means for its identity service: settings, where the database is, the catalog."""

from pathlib import Path

from sqlalchemy import URL

from cluster.config import Config, IdentityConfig, services
from cluster.config.urls import s3_url, swift_url
from cluster.controlplane.service_user import ServiceUser, service_user
from cluster.errors import ConfigError
from cluster.layout import Layout
from identity.keystone.bootstrap import Beginning, ServiceAt
from identity.keystone.lockout import LockoutRules
from identity.keystone.passwords import PasswordRules
from identity.keystone.settings import Settings
from identity.keystone.tokens.rules import TokenRules


def settings_of(config: Config) -> Settings:
    """Return how the service behaves."""
    identity = config.identity
    return Settings(
        public_url=identity.public_url.rstrip("/"),
        passwords=PasswordRules(
            pattern=identity.password_pattern,
            pattern_words=identity.password_words,
            lifetime_days=identity.password_days,
            history=identity.password_history,
        ),
        lockout=LockoutRules(identity.lockout_failures, identity.lockout_s),
        tokens=TokenRules(identity.token_ttl_s),
    )


def database_url(identity: IdentityConfig, layout: Layout) -> str | URL:
    """Return where the service keeps what it knows."""
    return identity.database or URL.create("sqlite", database=str(layout.identity_database))


def beginning(config: Config, layout: Layout) -> Beginning:
    """Return what there shall be in a new cluster. Raise ConfigError without the administrator's password."""
    return Beginning(
        password=_password(layout.admin_password),
        region=config.identity.region,
        services=services_of(config),
    )


def services_of(config: Config) -> tuple[ServiceAt, ...]:
    """Return the services of the cluster, as the catalog has them."""
    identity = config.identity
    own = [
        ServiceAt(entry.type, entry.name, service.base_url(config) + entry.path)
        for service in services.running(config)
        for entry in service.catalog
    ]
    swift = (identity.swift_url or swift_url(config)).rstrip("/")
    return (
        *own,
        ServiceAt("object-store", "swift", f"{swift}/v1/AUTH_$(project_id)s"),
        ServiceAt("s3", "s3", identity.s3_url.rstrip("/") or s3_url(config)),
    )


def users_of(config: Config) -> list[ServiceUser]:
    """Return the users of the other services of the cluster."""
    names = [service.name for service in services.running(config) if service is not services.IDENTITY]
    return [service_user(config.cluster.key_bytes, name) for name in names]


def _password(path: Path) -> str:
    try:
        password = path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        password = ""
    if not password:
        raise ConfigError(f"{path} lacks the administrator's first password: `holdfast up` makes it")
    return password
