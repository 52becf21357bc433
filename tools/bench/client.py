"""A system under test, and what has to be done to it before and after it is measured: buckets, objects.

Each request has a deadline; several connections work at once where there is much to do.
"""

import base64
import hashlib
import http.client
import re
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from urllib.parse import urlsplit
from xml.sax.saxutils import escape

from tools.bench.presign import Presigner
from tools.errors import OperatorError

TIMEOUT_S = 60.0
_WORKERS = 8
_PAGE = 1000  # keys of a listing, and of a DeleteObjects
_NAMESPACE = "{http://s3.amazonaws.com/doc/2006-03-01/}"


@dataclass(frozen=True, slots=True)
class System:
    """An S3 endpoint and somebody's keys for it."""

    name: str
    url: str  # http://HOST:PORT
    access_key: str
    secret_key: str = field(repr=False)
    region: str = "us-east-1"

    @property
    def host(self) -> str:
        """Return what a client sends as Host."""
        return urlsplit(self.url).netloc


def parse_peer(text: str) -> System:
    """Return the system that NAME=URL,ACCESS,SECRET describes. Raise ValueError."""
    name, _equals, rest = text.partition("=")
    fields = rest.split(",")
    if not name or len(fields) not in (3, 4) or not all(fields):
        raise ValueError(f"{text} is not NAME=URL,ACCESS,SECRET or NAME=URL,ACCESS,SECRET,REGION")
    parts = urlsplit(fields[0])
    if parts.scheme != "http" or not parts.hostname or parts.path.strip("/") or parts.query:
        raise ValueError(f"{fields[0]} is not of the form http://HOST:PORT")
    return System(name, fields[0].rstrip("/"), *fields[1:])


class Client:
    """Prepares and tidies one system."""

    def __init__(self, system: System) -> None:
        self.system = system
        timestamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        keys = (system.access_key, system.secret_key, system.region)
        self.presigner = Presigner(system.host, *keys, timestamp)

    def create_bucket(self, bucket: str) -> None:
        """Create a bucket. Raise OperatorError."""
        with _Connection(self.system) as connection:
            connection.send("PUT", self.presigner.target("PUT", f"/{bucket}"))

    def put(self, bucket: str, keys: Sequence[str], body: bytes) -> None:
        """Store `body` under each of `keys`. Raise OperatorError."""
        targets = [self.presigner.target("PUT", f"/{bucket}/{key}") for key in keys]

        def work(connection: "_Connection", target: str) -> None:
            connection.send("PUT", target, body)

        self._spread(work, targets)

    def remove_bucket(self, bucket: str) -> None:
        """Delete a bucket and what is in it. Raise OperatorError."""
        with _Connection(self.system) as connection:
            while keys := self._list(connection, bucket):
                self._delete(connection, bucket, keys)
            connection.send("DELETE", self.presigner.target("DELETE", f"/{bucket}"))

    def _list(self, connection: "_Connection", bucket: str) -> list[str]:
        query = (("list-type", "2"), ("max-keys", str(_PAGE)))
        answer = connection.send("GET", self.presigner.target("GET", f"/{bucket}", query))
        return keys_of(answer)

    def _delete(self, connection: "_Connection", bucket: str, keys: Iterable[str]) -> None:
        body = delete_document(keys)
        checksum = base64.b64encode(hashlib.md5(body).digest()).decode()
        target = self.presigner.target("POST", f"/{bucket}", (("delete", ""),))
        answer = connection.send("POST", target, body, {"Content-MD5": checksum})
        if b"<Error>" in answer:
            raise OperatorError(f"{self.system.name} did not delete all objects of the bucket {bucket}")

    def _spread(self, work: "Callable[[_Connection, str], None]", targets: Sequence[str]) -> None:
        def work_on(part: Sequence[str]) -> None:
            with _Connection(self.system) as connection:
                for target in part:
                    work(connection, target)

        parts = [targets[first::_WORKERS] for first in range(_WORKERS)]
        with ThreadPoolExecutor(_WORKERS) as pool:
            for future in [pool.submit(work_on, part) for part in parts if part]:
                future.result()


def keys_of(listing: bytes) -> list[str]:
    """Return the keys of a ListObjectsV2 answer."""
    root = ElementTree.fromstring(listing)  # noqa: S314  from a server that the operator names
    return [key.text or "" for key in root.iter(f"{_NAMESPACE}Key")]


def delete_document(keys: Iterable[str]) -> bytes:
    """Return the body of a DeleteObjects request that answers with errors only."""
    objects = "".join(f"<Object><Key>{escape(key)}</Key></Object>" for key in keys)
    return f"<Delete><Quiet>true</Quiet>{objects}</Delete>".encode()


class _Connection:
    """One HTTP connection; it is opened when it is first needed."""

    def __init__(self, system: System) -> None:
        self._name = system.name
        self._connection = http.client.HTTPConnection(system.host, timeout=TIMEOUT_S)

    def __enter__(self) -> "_Connection":
        return self

    def __exit__(self, *_exception: object) -> None:
        self._connection.close()

    def send(self, method: str, target: str, body: bytes = b"", headers: dict[str, str] | None = None) -> bytes:
        """Send a request and return the body of the answer. Raise OperatorError."""
        what = f"{method} {target.partition('?')[0]}"
        try:
            self._connection.request(method, target, body, headers or {})
            response = self._connection.getresponse()
            answer = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise OperatorError(f"{self._name} does not answer to {what}: {error}") from error
        if response.status >= 300:
            raise OperatorError(f"{self._name} answers {response.status} to {what}: {reason_of(answer)}")
        return answer


def reason_of(answer: bytes) -> str:
    """Return what an error document says; the beginning of any other."""
    text = answer.decode(errors="replace")
    found = re.search(r"<Code>(.*?)</Code>.*?<Message>(.*?)</Message>", text, re.DOTALL)
    return f"{found[1]}, {found[2]}" if found else " ".join(text[:200].split())
