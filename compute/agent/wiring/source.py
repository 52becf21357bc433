"""What this host shall have, as the network service told it last: kept on disk, followed, and answered to.

The host asks, and is answered when there is something new. While the service is away all goes on as it said last.
"""

import json
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

from cluster.telemetry.log import get_logger
from compute.agent.wiring.wanted import Wanted, wanted_of
from compute.asking import Asked, document_of
from compute.stored import BackendError, Unreachable

WAIT_S = 20.0  # for something new, in one request
_GRACE_S = 10.0  # more than that, until the service is given up
_AWAY_S = 2.0  # until it is asked again when it is away

_log = get_logger("wiring")


class NetworkService(Protocol):
    """The network service, as hosts ask it."""

    def wanted(self, tag: str, wait_s: float) -> Mapping[str, Any] | None:
        """Return {"tag", "wanted"}; None: it is still that of `tag`. Raise BackendError."""

    def tell(self, up: Sequence[str], configurations: Mapping[str, Any], started: bool) -> None:
        """Tell which ports' cards are there, and how they are wired. Raise BackendError."""


class AskedNetworkService:
    """The network service, over HTTP."""

    def __init__(self, service: Asked, host: str) -> None:
        self._service, self._path = service, f"/internal/hosts/{quote(host, safe='')}"

    def __repr__(self) -> str:
        return f"AskedNetworkService({self._service}{self._path})"

    def wanted(self, tag: str, wait_s: float) -> Mapping[str, Any] | None:
        """See `NetworkService`."""
        path = f"{self._path}?tag={tag}&wait_s={wait_s}"
        answer = self._service.ask("GET", path, expected=(200, 304), timeout_s=wait_s + _GRACE_S)
        return None if answer.status == 304 else document_of(answer)

    def tell(self, up: Sequence[str], configurations: Mapping[str, Any], started: bool) -> None:
        """See `NetworkService`."""
        document = {"up": list(up), "configurations": dict(configurations), "started": started}
        self._service.ask("PUT", self._path, document, expected=(204,))


class Source:
    """What the service told last."""

    def __init__(self, service: NetworkService, kept: Path) -> None:
        """`kept`: the file in which it outlives this process."""
        self._service, self._kept = service, kept
        self._lock = threading.Lock()
        self._tag, self._current = "", Wanted()
        self._count = 0  # of answers
        self._is_away = False
        with suppress(OSError, ValueError, KeyError, TypeError):
            found = json.loads(kept.read_text())
            self._current, self._tag = wanted_of(found["wanted"]), str(found["tag"])

    def __repr__(self) -> str:
        return f"Source({self._service}, {self._tag[:8]})"

    @property
    def current(self) -> Wanted:
        """Return what the host shall have."""
        return self._current

    @property
    def is_away(self) -> bool:
        """Tell whether the service did not answer when it was asked last."""
        return self._is_away

    def refresh(self, wait_s: float = 0.0) -> bool:
        """Ask for something new, and tell whether there was. Raise BackendError."""
        count = self._count
        found = self._service.wanted(self._tag, wait_s)
        if found is None:
            return False
        try:
            wanted, tag = wanted_of(found["wanted"]), str(found["tag"])
        except (ValueError, KeyError) as error:
            raise Unreachable(str(error)) from error
        with self._lock:
            if count != self._count:  # somebody else has asked meanwhile; whose answer is newer, the next one will tell
                return False
            new = self._kept.with_suffix(".new")
            new.write_text(json.dumps({"tag": tag, "wanted": found["wanted"]}))
            new.replace(self._kept)
            self._tag, self._current, self._count = tag, wanted, count + 1
        return True

    def follow(self) -> bool:
        """Wait for something new, and tell whether there was; while the service is away, wait for it."""
        try:
            is_new = self.refresh(WAIT_S)
        except BackendError as error:
            if not self._is_away:
                _log.warning("network_service_away", error=str(error), doing="what it said last goes on")
            self._is_away = True
            time.sleep(_AWAY_S)
            return False
        if self._is_away:
            _log.info("network_service_back")
        self._is_away = False
        return is_new


class Reporter:
    """Tells the service which cards are there: when that changes, and now and then."""

    def __init__(self, service: NetworkService, configurations: Mapping[str, Any], often_s: float = 25.0) -> None:
        self._service, self._configurations, self._often_s = service, configurations, often_s
        self._told: tuple[str, ...] | None = None  # None: nothing that it took in
        self._has_begun = False
        self._next_s = 0.0

    def __repr__(self) -> str:
        return f"Reporter({self._service}, {len(self._told or ())} up)"

    def tell(self, up: Sequence[str]) -> None:
        """Tell, if there is something to tell. What fails is done again a little later."""
        found, now_s = tuple(sorted(up)), time.monotonic()
        if now_s < self._next_s and self._told in (found, None):
            return
        try:
            self._service.tell(found, self._configurations, not self._has_begun)
        except BackendError:  # `Source` says that it is away
            self._told, self._next_s = None, now_s + _AWAY_S
            return
        self._told, self._has_begun, self._next_s = found, True, now_s + self._often_s
