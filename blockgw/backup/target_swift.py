"""A container of Swift, by its own API.

Why not python-swiftclient: its connections are not for several threads, Keystone takes another library with it, and
what is needed here are six requests. urllib3 comes with boto3 anyway.

Bodies go with their MD5 as ETag, so the cluster refuses what the network has spoiled. Reads ask for the newest of all
replicas. Who is answered 401 logs in again.
"""

import hashlib
import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode

import urllib3
from urllib3.exceptions import HTTPError

from blockgw.backup.errors import BackupError, NoSuchObject, TargetFailed
from blockgw.backup.swift_login import Session, log_in
from blockgw.backup.target import Address, Entry

TIMEOUT = urllib3.Timeout(connect=10, read=60)  # seconds
TRIES = 8
_PAUSE_S = 0.2  # before the second try; doubled each time, up to:
_LONGEST_PAUSE_S = 10.0
_WORTH_ANOTHER_TRY = (408, 422, 429)  # it was slow, it was spoiled on the way, there was too much; and all of 500
_PAGE = 10_000  # names in a listing; Swift gives no more


class SwiftTarget:
    """See Target."""

    def __init__(self, address: Address, endpoint: str | None, connections: int, env: Mapping[str, str]) -> None:
        """Raise BackupError when nobody is let in."""
        self._address, self._endpoint, self._env = address, endpoint, env
        self._http = urllib3.PoolManager(maxsize=connections, timeout=TIMEOUT, retries=False)
        self._mutex = threading.Lock()
        try:
            self._session = log_in(self._http, env, endpoint)
        except HTTPError as error:
            raise TargetFailed(f"nobody answers who would let us in to {address}: {error}") from error
        self.place = f"{self._session.url} {address}"

    def __repr__(self) -> str:
        return f"SwiftTarget({self._address})"

    def put(self, name: str, data: bytes) -> None:
        """See Target."""
        self._ask("PUT", name, data, _about(data))

    def put_new(self, name: str, data: bytes) -> bool:
        """See Target."""
        answer = self._ask("PUT", name, data, {**_about(data), "If-None-Match": "*"}, allow=(412,))
        return bool(answer.status != 412)

    def get(self, name: str) -> bytes:
        """See Target."""
        data: bytes = self._ask("GET", name, headers={"X-Newest": "true"}).data
        return data

    def size(self, name: str) -> int | None:
        """See Target."""
        answer = self._ask("HEAD", name, headers={"X-Newest": "true"}, allow=(404,))
        return None if answer.status == 404 else int(answer.headers["Content-Length"])

    def list(self, prefix: str) -> Iterator[Entry]:
        """See Target."""
        for each in self._listed(prefix):
            yield Entry(each["name"].removeprefix(self._address.prefix), each["bytes"])

    def folders(self) -> Sequence[str]:
        """See Target."""
        found = [each["subdir"] for each in self._listed("", delimiter="/") if "subdir" in each]
        return [each.removeprefix(self._address.prefix).rstrip("/") for each in found]

    def delete(self, names: Sequence[str]) -> None:
        """See Target."""
        for name in names:
            self._ask("DELETE", name, allow=(404,))

    def _listed(self, prefix: str, **options: str) -> Iterator[Any]:
        marker = ""
        while True:
            query = {"format": "json", "limit": str(_PAGE), "prefix": self._address.prefix + prefix, **options}
            answer = self._ask("GET", None, query={**query, "marker": marker})
            page = json.loads(answer.data) if answer.data else []
            yield from page
            if not page:
                return
            marker = page[-1].get("name") or page[-1]["subdir"]

    def _ask(
        self,
        method: str,
        name: str | None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        allow: Sequence[int] = (),
    ) -> urllib3.BaseHTTPResponse:
        """Ask for an object, or for the container; try again what may go away. `allow`: statuses that are answers."""
        path = f"/{quote(self._address.bucket)}" + (f"/{quote(self._address.prefix + name)}" if name else "")
        target = f"{path}?{urlencode(query)}" if query else path
        pause_s, status, why = _PAUSE_S, 0, ""
        for attempt in range(TRIES):
            if attempt:
                time.sleep(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            session = self._session
            try:
                answer = self._http.request(
                    method, session.url + target, body=body, headers={**(headers or {}), "X-Auth-Token": session.token}
                )
            except HTTPError as error:
                status, why = 0, str(error)
                continue
            status, why = answer.status, f"HTTP {answer.status} to {method}"
            if status < 300 or status in allow:
                return answer
            if status == 401:
                self._log_in_again(session)
            elif status not in _WORTH_ANOTHER_TRY and status < 500:
                break
        raise self._failed(name, status, why)

    def _log_in_again(self, stale: Session) -> None:
        with self._mutex:
            if self._session is stale:
                try:
                    self._session = log_in(self._http, self._env, self._endpoint)
                except HTTPError:
                    return  # the next try comes here again

    def _failed(self, name: str | None, status: int, why: str) -> BackupError:
        if status == 404:
            if name is None or not self._has_container():
                return BackupError(f"there is no container {self._address.bucket}: make it first")
            return NoSuchObject(name)
        return TargetFailed(f"{self._address} does not do what it is asked: {why}")

    def _has_container(self) -> bool:
        return self._ask("HEAD", None, allow=(404,)).status != 404


def opened(address: Address, endpoint: str | None, env: Mapping[str, str], connections: int) -> SwiftTarget:
    """See blockgw.backup.opening."""
    return SwiftTarget(address, endpoint, connections, env)


def _about(data: bytes) -> Mapping[str, str]:
    digest = hashlib.md5(data, usedforsecurity=False).hexdigest()
    return {"ETag": digest, "Content-Type": "application/octet-stream"}
