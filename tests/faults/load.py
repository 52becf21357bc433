"""A mixed S3 load that knows what it may see, for tests that hurt the cluster meanwhile.

Each writer owns its keys and works on them one request after the other, so that at any time a key has
one acknowledged state, plus the states of later writes whose outcome nobody knows (their request failed).
A read or a listing that shows anything else is a violation. Readers look at all keys from outside:
a version below what was acknowledged before the read began, or below one seen before, is stale.

A write of unknown outcome may take effect later, as long as nothing that came after it was seen: that is
what linearizability says of a request that never returned. Its row is not acknowledged either: it follows
within ROW_PATIENCE_S, `check_everything` and `check_listing` do not look at it, `check_rows` does.
"""

import contextlib
import itertools
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, IncompleteReadError, ResponseStreamingError

from tests.cluster import Cluster
from tests.faults.conditions import APPENDERS, HOLDERS, Conditions

KiB = 1 << 10
DOWNLOAD_TRIES = 5  # s3transfer's
ABSENT = 0  # the version of a key that is not there
ROW_PATIENCE_S = 60.0  # in which storage nodes list what a dead proxy has not: three holders take turns at it
_STREAM_BYTES = 6 << 20  # of a paced upload
_PACE_BYTES, _PACE_S = 64 * KiB, 0.005  # how it is sent and fetched: a fault falls into the middle of one
_LARGE = 2_300_000  # bytes: streamed to files of their own


def body_of(key: str, version: int) -> bytes:
    """Return the bytes of a version of a key: they can be recognised and checked whole."""
    size = _LARGE if version % 23 == 22 else (version * 7919) % 9000
    head = f"{key}:{version}:".encode()
    return head + random.Random(f"{key}{version}").randbytes(size)


def version_of(key: str, body: bytes) -> int:
    """Return which version `body` is; -1 when it is none that was ever written whole."""
    try:
        name, number, _rest = body.split(b":", 2)
        version = int(number)
    except ValueError:
        return -1
    return version if name == key.encode() and body == body_of(key, version) else -1


@dataclass
class KeyState:
    """What a key may be found to be."""

    acknowledged: int = ABSENT  # by the answer to a write, or by a read
    in_doubt: list[int] = field(default_factory=list)  # of writes after that, in order
    row_in_doubt: bool = False  # the last write of the key was never acknowledged
    newest_started: int = 0
    deletions: int = 0  # that were begun
    deleted_or_in_doubt: bool = True  # readers from outside can't tell absent from stale then

    def allowed(self) -> set[int]:
        """Return the versions that a read may give."""
        return {self.acknowledged, *self.in_doubt}

    def saw(self, version: int) -> None:
        """Take note of what a read gave: writes before it are over, those after it are in doubt still."""
        if version != self.acknowledged:
            self.in_doubt = self.in_doubt[self.in_doubt.index(version) + 1 :]
        self.acknowledged = version
        self.deleted_or_in_doubt = version == ABSENT or bool(self.in_doubt)


class PacedBody:
    """A body that takes a while to send; notes the longest wait between two pieces that were asked for."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0
        self.longest_wait_s = 0.0
        self._since = time.monotonic()

    def __len__(self) -> int:
        return len(self._data)

    def read(self, size: int = -1) -> bytes:
        self.longest_wait_s = max(self.longest_wait_s, time.monotonic() - self._since)
        begin = self._position
        self._position = len(self._data) if size < 0 else min(len(self._data), begin + size)
        if begin // _PACE_BYTES != self._position // _PACE_BYTES:
            time.sleep(_PACE_S)
        self._since = time.monotonic()
        return self._data[begin : self._position]

    def seek(self, offset: int, whence: int = 0) -> int:
        self._position = offset + (0, self._position, len(self._data))[whence]
        return self._position

    def tell(self) -> int:
        return self._position


class Load:
    """Writers, readers, games of conditional writes, a stream of large objects and a user of buckets, each a thread.

    The clients use the endpoints of the cluster in turn.
    """

    def __init__(self, cluster: Cluster, bucket: str, writers: int = 6, readers: int = 2, keys: int = 12) -> None:
        self.bucket = bucket
        self._cluster = cluster
        self.violations: list[str] = []
        self.failures: list[str] = []
        self.retried: list[str] = []  # failures that the SDK hid
        self.slowest_s = 0.0
        self.slowest = ""
        self.counts: dict[str, int] = {}
        self._since = time.monotonic()
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._endpoints = itertools.cycle(cluster.endpoints)
        self.states = {
            f"w{writer}/k{index}": KeyState() for writer in range(writers) for index in range(keys)
        }
        self._threads = [
            threading.Thread(target=self._guard, args=(self._write, index), daemon=True) for index in range(writers)
        ] + [threading.Thread(target=self._guard, args=(self._read, index), daemon=True) for index in range(readers)]
        self._conditions = Conditions(bucket, lambda: self.client(attempts=1), self._stop, self.violations)
        for work, count in (
            (self._stream, 1),
            (self._buckets, 1),
            (self._conditions.append, APPENDERS),
            (self._conditions.hold, HOLDERS),
        ):
            for index in range(count):
                self._threads.append(threading.Thread(target=self._guard, args=(work, index), daemon=True))

    def go_on_from(self, earlier: "Load") -> None:
        """Know what an earlier load of the same bucket knew at its end: what was acknowledged then must still be so."""
        self.states = earlier.states
        self._conditions.go_on_from(earlier._conditions)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Go on within the block; at its end wait for the requests under way."""
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._end()

    def _end(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=60)
            assert not thread.is_alive(), "a request hangs"

    def client(self, attempts: int = 10) -> Any:
        """Return an S3 client that goes on for about as long as SDKs do which pause for a second before they try again.

        Nine pauses double from 50 ms on, less what chance takes off: some ten seconds in all.
        """
        with self._lock:
            endpoint = next(self._endpoints)
        retries = {"total_max_attempts": attempts}
        client = self._cluster.s3(endpoint=endpoint, retries=retries, connect_timeout=5, read_timeout=20)
        if attempts > 1:
            client.meta.events.register("needs-retry.s3", self._note_attempt)
        return client

    def _note_attempt(self, response: Any, caught_exception: Exception | None, **about: Any) -> None:
        what = f"{about['operation'].name} at {time.monotonic() - self._since:.1f} s"
        if caught_exception is not None:
            self.retried.append(f"{what}: {caught_exception!r}")
        elif response[0].status_code >= 500:
            self.retried.append(f"{what}: {response[0].status_code} {response[1].get('Error')}")

    def _guard(self, work: "Callable[[int], None]", index: int) -> None:
        try:
            work(index)
        except Exception as error:
            self.violations.append(f"thread {index}: {error!r}")
            raise

    def _timed(self, what: str, request: "Callable[[], Any]") -> Any:
        begin = time.monotonic()
        try:
            return request()
        finally:
            self._note_wait(what, time.monotonic() - begin)

    def _note_wait(self, what: str, took_s: float) -> None:
        with self._lock:
            self.counts[what] = self.counts.get(what, 0) + 1
            if took_s > self.slowest_s:
                self.slowest_s, self.slowest = took_s, what

    def _write(self, index: int) -> None:
        client = self.client()
        chance = random.Random(index)
        keys = [key for key in self.states if key.startswith(f"w{index}/")]
        while not self._stop.is_set():
            key = chance.choice(keys)
            what = chance.choices(("put", "create", "get", "delete", "list"), (5, 1, 4, 1, 1))[0]
            if what == "put":
                self._put(client, key)
            elif what == "create":
                self._create(client, key)
            elif what == "get":
                self.check_key(client, key)
            elif what == "delete":
                self._delete(client, key)
            else:
                self.check_listing(client, f"w{index}/", keys)

    def _put(self, client: Any, key: str) -> None:
        state = self.states[key]
        version = state.newest_started = state.newest_started + 1
        body = body_of(key, version)
        self._change(state, version, "put", lambda: client.put_object(Bucket=self.bucket, Key=key, Body=body))

    def _create(self, client: Any, key: str) -> None:
        """Write a key if it is absent: it must be decided as the key's state says."""
        state = self.states[key]
        before, row_in_doubt = state.allowed(), state.row_in_doubt
        version = state.newest_started = state.newest_started + 1
        refused = False

        def create() -> None:
            nonlocal refused
            try:
                client.put_object(Bucket=self.bucket, Key=key, Body=body_of(key, version), IfNoneMatch="*")
            except ClientError as error:
                refused = error.response["Error"]["Code"] == "PreconditionFailed"
                # a second try of the SDK may meet what the first one wrote
                if refused and before == {ABSENT} and not error.response["ResponseMetadata"]["RetryAttempts"]:
                    self.violations.append(f"{key}: said to be there, and is not")
                raise

        self._change(state, version, "create", create)
        if refused:
            self.failures.pop()
            if before == {ABSENT}:
                self.check_key(client, key)
            else:
                state.in_doubt.remove(version)
                state.row_in_doubt = row_in_doubt
                state.deleted_or_in_doubt = bool(state.in_doubt)
        elif ABSENT not in before and not state.in_doubt:
            self.violations.append(f"{key}: created over version {sorted(before)}")

    def _delete(self, client: Any, key: str) -> None:
        state = self.states[key]
        self._change(state, ABSENT, "delete", lambda: client.delete_object(Bucket=self.bucket, Key=key))

    def _change(self, state: KeyState, version: int, what: str, request: "Callable[[], Any]") -> None:
        if version == ABSENT:
            state.deleted_or_in_doubt = True
            state.deletions += 1
        state.in_doubt.append(version)
        try:
            self._timed(what, request)
        except (ClientError, BotoCoreError) as error:
            state.deleted_or_in_doubt = state.row_in_doubt = True
            self.failures.append(f"{what}: {error}")
            return
        state.acknowledged = version
        state.in_doubt, state.row_in_doubt = [], False
        state.deleted_or_in_doubt = version == ABSENT

    def fetch(self, client: Any, key: str) -> int:
        """Return the version that a GET gives, ABSENT when there is none."""
        try:
            return version_of(key, client.get_object(Bucket=self.bucket, Key=key)["Body"].read())
        except ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchKey":
                return ABSENT
            raise

    def check_key(self, client: Any, key: str) -> None:
        """Read a key of one's own: it must be in a state that it may be in."""
        state = self.states[key]
        try:
            version = self._timed("get", lambda: self.fetch(client, key))
        except (ClientError, BotoCoreError) as error:
            self.failures.append(f"get: {error}")
            return
        if version not in state.allowed():
            self.violations.append(f"{key}: read version {version}, allowed {sorted(state.allowed())}")
            return
        state.saw(version)

    def check_listing(self, client: Any, prefix: str, keys: list[str]) -> None:
        """List keys of one's own: all that must be there are, none that can't be."""
        try:
            reply = self._timed("list", lambda: client.list_objects_v2(Bucket=self.bucket, Prefix=prefix))
        except (ClientError, BotoCoreError) as error:
            self.failures.append(f"list: {error}")
            return
        listed = {item["Key"] for item in reply.get("Contents", ())}
        for key in keys:
            if self.states[key].row_in_doubt:
                continue
            allowed = self.states[key].allowed()
            if key not in listed and ABSENT not in allowed:
                self.violations.append(f"{key}: version {sorted(allowed)} is not listed")
            if key in listed and allowed == {ABSENT}:
                self.violations.append(f"{key}: deleted, and listed")

    def _read(self, index: int) -> None:
        client = self.client()
        chance = random.Random(1000 + index)
        keys = list(self.states)
        seen: dict[str, int] = {}
        while not self._stop.is_set():
            key = chance.choice(keys)
            state = self.states[key]
            before, unclear, deletions = state.acknowledged, state.deleted_or_in_doubt, state.deletions
            try:
                version = self._timed("get", lambda key=key: self.fetch(client, key))  # type: ignore[misc]
            except (ClientError, BotoCoreError) as error:
                self.failures.append(f"get: {error}")
                continue
            if version == -1:
                self.violations.append(f"{key}: torn")
            if unclear or state.deleted_or_in_doubt or state.deletions != deletions:
                seen.pop(key, None)
                continue
            if version == ABSENT:
                self.violations.append(f"{key}: absent after {before} was acknowledged")
                continue
            if version < max(before, seen.get(key, 0)):
                self.violations.append(f"{key}: read {version} after {max(before, seen.get(key, 0))}")
            seen[key] = version

    def _stream(self, _index: int) -> None:
        """Send and fetch an object of some size slowly, again and again: it may not stall either."""
        client = self.client()
        data = random.Random(7).randbytes(_STREAM_BYTES)
        while not self._stop.is_set():
            body = PacedBody(data)
            try:
                client.put_object(Bucket=self.bucket, Key="stream", Body=body)
                self._note_wait("upload", body.longest_wait_s)
                self._fetch_stream(client, data)
            except (ClientError, BotoCoreError) as error:
                self.failures.append(f"stream: {error}")

    def _fetch_stream(self, client: Any, data: bytes) -> None:
        """Fetch it, again when the connection breaks in the middle, as the SDK's own downloads do."""
        for tries_left in reversed(range(DOWNLOAD_TRIES)):
            try:
                self._drain(client.get_object(Bucket=self.bucket, Key="stream")["Body"], data)
                return
            except (IncompleteReadError, ResponseStreamingError) as error:
                if not tries_left:
                    raise
                self.retried.append(f"stream: {error!r}")

    def _drain(self, body: Any, expected: bytes) -> None:
        found, longest_s, since = bytearray(), 0.0, time.monotonic()
        for piece in body.iter_chunks(_PACE_BYTES):
            longest_s = max(longest_s, time.monotonic() - since)
            time.sleep(_PACE_S)
            found += piece
            since = time.monotonic()
        self._note_wait("download", longest_s)
        if found != expected:
            self.violations.append("stream: other bytes than were sent")

    def _buckets(self, _index: int) -> None:
        """Make, fill, empty and delete buckets; each request is timed, and all of them must agree."""
        client = self.client()
        number = 0
        while not self._stop.is_set():
            number += 1
            bucket = f"{self.bucket}-{number}"
            try:
                self._timed("create bucket", lambda: client.create_bucket(Bucket=bucket))  # noqa: B023
                self._timed("put", lambda: client.put_object(Bucket=bucket, Key="k", Body=b"k"))  # noqa: B023
                listed = self._timed("list", lambda: client.list_objects_v2(Bucket=bucket))  # noqa: B023
                if [item["Key"] for item in listed.get("Contents", ())] != ["k"]:
                    self.violations.append(f"{bucket}: its object is not listed")
                named = {item["Name"] for item in self._timed("list buckets", client.list_buckets)["Buckets"]}
                if bucket not in named:
                    self.violations.append(f"{bucket}: is not listed")
                self._timed("delete", lambda: client.delete_object(Bucket=bucket, Key="k"))  # noqa: B023
                self._timed("delete bucket", lambda: client.delete_bucket(Bucket=bucket))  # noqa: B023
            except ClientError as error:
                gone = error.response["Error"]["Code"] == "NoSuchBucket" and error.operation_name == "DeleteBucket"
                if not (gone and error.response["ResponseMetadata"]["RetryAttempts"]):  # the first try has done it
                    self.failures.append(f"buckets: {error}")
            except BotoCoreError as error:
                self.failures.append(f"buckets: {error}")

    def check_everything(self) -> None:
        """With nothing going on: each key and the whole listing are as they may be."""
        client = self.client()
        for key in self.states:
            self.check_key(client, key)
        in_doubt = {key for key, state in self.states.items() if state.row_in_doubt}
        for problem in self._wrong_rows(client, besides=in_doubt):
            self.violations.append(problem)
        self._conditions.check()

    def check_rows(self) -> None:
        """With nothing going on: in the end the listing is exact, also of what nobody has acknowledged."""
        client = self.client()
        deadline = time.monotonic() + ROW_PATIENCE_S
        while wrong := self._wrong_rows(client, besides=set()):
            if time.monotonic() > deadline:
                self.violations += [f"{problem}, for {ROW_PATIENCE_S:.0f} s" for problem in wrong]
                return
            time.sleep(0.5)
            for key in self.states:  # a write in doubt may still come to be seen
                self.check_key(client, key)

    def _wrong_rows(self, client: Any, besides: set[str]) -> list[str]:
        listed = set()
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket):
            listed |= {item["Key"] for item in page.get("Contents", ())} & self.states.keys()
        present = {key for key, state in self.states.items() if state.acknowledged != ABSENT}
        return [
            *(f"{key}: there, and not listed" for key in sorted(present - listed - besides)),
            *(f"{key}: listed, and not there" for key in sorted(listed - present - besides)),
        ]

    @property
    def sent_bytes(self) -> int:
        """About how much was written: nearly all of it in streams."""
        return self.counts.get("upload", 0) * _STREAM_BYTES + self.counts.get("put", 0) * _LARGE // 23

    def report(self) -> str:
        """Return what was done and seen, for a failing test's message."""
        seen = {"retried": self.retried, "failures": self.failures, "violations": self.violations}
        found = "; ".join(f"{len(what)} {name}: {what[:4]}" for name, what in seen.items())
        return f"{self.counts}; {self._conditions.report()}; slowest {self.slowest_s:.2f} s ({self.slowest}); {found}"
