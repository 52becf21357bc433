"""Services of the cluster that ask each other, over HTTP: as the asking service's own user.

    login = ServiceLogin(identity_url, name, password)
    service = Asked("the image service", "http://127.0.0.1:9292/v2", login)
    answer = service.ask("GET", "/images/ID", expected=(200, 404))
    answer.status, document_of(answer)

What does not answer, or not sensibly, is `Unreachable`; what refuses is `Refused` (`compute.stored`).
"""

import json
import time
from collections.abc import Callable, Mapping
from typing import Any

import urllib3

from compute.stored import Refused, Unreachable

TIMEOUT_S = 30.0
TOKEN_S = 600.0  # for which a token is used again
_SHOWN = 300  # bytes of an answer that nobody expected
_BUSY = frozenset((401, 408, 429))
Answer = urllib3.BaseHTTPResponse


class ServiceLogin:
    """Tokens of the service's own user."""

    def __init__(self, identity_url: str, name: str, password: str, monotonic_s: Callable[[], float] = time.monotonic):
        """`identity_url`: of the API, with its version."""
        self._url, self._name, self._password = identity_url, name, password
        self._monotonic_s = monotonic_s
        self._http = urllib3.PoolManager(maxsize=8)
        self._token, self._until_s = "", 0.0

    def token(self) -> str:
        """Return a token. Raise Unreachable."""
        if self._token and self._monotonic_s() < self._until_s:
            return self._token
        domain = {"id": "default"}
        user = {"name": self._name, "domain": domain, "password": self._password}
        auth = {
            "identity": {"methods": ["password"], "password": {"user": user}},
            "scope": {"project": {"name": "service", "domain": domain}},
        }
        answer = asked(self._http, "POST", f"{self._url}/auth/tokens", {}, {"auth": auth})
        if answer.status != 201:
            raise Unreachable(f"the identity service answers {answer.status}")
        self._token, self._until_s = str(answer.headers["X-Subject-Token"]), self._monotonic_s() + TOKEN_S
        return self._token

    def forget(self) -> None:
        """Log in anew the next time."""
        self._token = ""


class Asked:
    """A service that is asked."""

    def __init__(self, title: str, url: str, login: ServiceLogin, headers: Mapping[str, str] | None = None) -> None:
        """`title`: in a sentence. `headers`: that each request has."""
        self._title, self._url, self._login, self._headers = title, url.rstrip("/"), login, headers or {}
        self._http = urllib3.PoolManager(maxsize=8)

    def __repr__(self) -> str:
        return f"Asked({self._url})"

    def ask(
        self,
        method: str,
        path: str,
        document: Any = None,
        expected: tuple[int, ...] = (),
        token: str = "",
        timeout_s: float = TIMEOUT_S,
    ) -> Answer:
        """Return the answer, whose status is one of `expected`, where some are named.

        With a `token` it is asked in the name of whose it is. Raise Unreachable, Refused.
        """
        answer = self._asked(method, path, document, token or self._login.token(), timeout_s)
        if answer.status == 401 and not token:  # what was a good token is no more
            self._login.forget()
            answer = self._asked(method, path, document, self._login.token(), timeout_s)
        if expected and answer.status not in expected:
            said = f"{self._title} answers {answer.status}: {answer.data[:_SHOWN].decode(errors='replace')}"
            raise (Unreachable if answer.status in _BUSY or answer.status >= 500 else Refused)(said)
        return answer

    def _asked(self, method: str, path: str, document: Any, token: str, timeout_s: float) -> Answer:
        headers = {**self._headers, "X-Auth-Token": token}
        return asked(self._http, method, self._url + path, headers, document, timeout_s)


def asked(
    http: urllib3.PoolManager,
    method: str,
    url: str,
    headers: Mapping[str, str],
    document: Any,
    timeout_s: float = TIMEOUT_S,
) -> Answer:
    """Return what is answered, read to its end. Raise Unreachable."""
    body = None if document is None else json.dumps(document).encode()
    sent = {**headers, "Content-Type": "application/json"} if body is not None else dict(headers)
    try:
        return http.request(method, url, body=body, headers=sent, retries=False, timeout=urllib3.Timeout(timeout_s))
    except urllib3.exceptions.HTTPError as error:
        raise Unreachable(f"{url} does not answer: {error}") from error


def document_of(answer: Answer) -> dict[str, Any]:
    """Return the document of an answer. Raise Unreachable."""
    try:
        found = json.loads(answer.data)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise Unreachable("what a service answers is no document")
    return found


def safe(identifier: str) -> str:
    """Return an id as a part of a path; what could be no id is none."""
    return identifier if all(letter.isalnum() or letter == "-" for letter in identifier) and identifier else "-"
