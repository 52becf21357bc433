"""Logging in to Swift: where a container is, and a token for it. Version 1 (Swift's own) and Keystone version 3.

What to log in with is in the environment, by the names that `swift` and `openstack` use: ST_AUTH, ST_USER and ST_KEY;
or OS_AUTH_URL with OS_USERNAME, OS_PASSWORD, OS_PROJECT_NAME and their domains, or with an application credential; or
OS_STORAGE_URL and OS_AUTH_TOKEN, which are taken as they are.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import urllib3

from blockgw.backup.errors import BackupError

_JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True, slots=True)
class Session:
    """What requests need."""

    url: str  # of the account
    token: str


def log_in(http: urllib3.PoolManager, env: Mapping[str, str], endpoint: str | None) -> Session:
    """Log in. `endpoint`, if there is one, is the service that gives tokens. Raise BackupError, urllib3's HTTPError."""
    if "OS_STORAGE_URL" in env and "OS_AUTH_TOKEN" in env:
        return Session(env["OS_STORAGE_URL"].rstrip("/"), env["OS_AUTH_TOKEN"])
    if "ST_USER" in env and "ST_KEY" in env:
        return _version_1(http, endpoint or _needed(env, "ST_AUTH"), env["ST_USER"], env["ST_KEY"])
    if "OS_AUTH_URL" in env or endpoint:
        return _version_3(http, (endpoint or env["OS_AUTH_URL"]).rstrip("/"), env)
    raise BackupError("Swift needs somebody to log in as: set ST_AUTH, ST_USER and ST_KEY, or OS_AUTH_URL and its like")


def _needed(env: Mapping[str, str], name: str) -> str:
    if not env.get(name):
        raise BackupError(f"{name} is not set, and it takes that to log in to Swift")
    return env[name]


def _version_1(http: urllib3.PoolManager, url: str, user: str, key: str) -> Session:
    answer = http.request("GET", url, headers={"X-Auth-User": user, "X-Auth-Key": key})
    if answer.status >= 300 or "X-Storage-Url" not in answer.headers:
        raise BackupError(f"{url} does not let {user} in: HTTP {answer.status}")
    return Session(answer.headers["X-Storage-Url"].rstrip("/"), answer.headers["X-Auth-Token"])


def _version_3(http: urllib3.PoolManager, url: str, env: Mapping[str, str]) -> Session:
    root = url if url.endswith("/v3") else f"{url}/v3"
    asked = json.dumps(request_of(env)).encode()
    answer = http.request("POST", f"{root}/auth/tokens", body=asked, headers=_JSON)
    if answer.status != 201:
        raise BackupError(f"{root} does not let anybody in who comes with this: HTTP {answer.status}")
    catalog = json.loads(answer.data)["token"].get("catalog", ())
    found = storage_url(catalog, env.get("OS_REGION_NAME"), env.get("OS_ENDPOINT_TYPE", "public").removesuffix("URL"))
    return Session(found.rstrip("/"), answer.headers["X-Subject-Token"])


def request_of(env: Mapping[str, str]) -> dict[str, Any]:
    """Return the body of a request for a token. Raise BackupError."""
    if env.get("OS_APPLICATION_CREDENTIAL_ID"):
        credential = {
            "id": env["OS_APPLICATION_CREDENTIAL_ID"],
            "secret": _needed(env, "OS_APPLICATION_CREDENTIAL_SECRET"),
        }
        return {"auth": {"identity": {"methods": ["application_credential"], "application_credential": credential}}}
    user = {
        "name": _needed(env, "OS_USERNAME"),
        "password": _needed(env, "OS_PASSWORD"),
        "domain": _domain(env, "OS_USER_DOMAIN"),
    }
    if env.get("OS_PROJECT_ID"):
        project: dict[str, Any] = {"id": env["OS_PROJECT_ID"]}
    else:
        project = {"name": _needed(env, "OS_PROJECT_NAME"), "domain": _domain(env, "OS_PROJECT_DOMAIN")}
    identity = {"methods": ["password"], "password": {"user": user}}
    return {"auth": {"identity": identity, "scope": {"project": project}}}


def _domain(env: Mapping[str, str], name: str) -> dict[str, str]:
    if env.get(f"{name}_NAME"):
        return {"name": env[f"{name}_NAME"]}
    return {"id": env.get(f"{name}_ID") or "default"}


def storage_url(catalog: Any, region: str | None, interface: str) -> str:
    """Return where the account is. Raise BackupError when the catalog does not say it."""
    for service in catalog:
        if service.get("type") != "object-store":
            continue
        for each in service.get("endpoints", ()):
            if each.get("interface") == interface and region in (None, each.get("region"), each.get("region_id")):
                return str(each["url"])
    raise BackupError(f"the catalog has no {interface} object store" + (f" in region {region}" if region else ""))
