"""Conditional writes whose outcome proves whether they were decided in one step, for a load that is hurt meanwhile.

Two games, each played by several threads on the same few keys, by PUT and by CompleteMultipartUpload alike:

- Appending. An object is a list of tokens. Who reads it under an ETag writes it back with a token more, If-Match that
  ETag (If-None-Match: * the first time). Each list that anybody reads must be the beginning of any longer one, with
  every append in it that was acknowledged before the read began, and none that was refused. So the final list counts:
  acknowledged appends, and such as are in doubt, each once.
- Holding. Who creates an object If-None-Match: * holds the key until he deletes it, If-Match its ETag. Nobody else
  may come to hold it meanwhile, and what was deleted must not come back.

Nothing is tried again here: a 412 that answers a second try may be about the first one. A request that fails otherwise
is in doubt: it may take effect at any time.
"""

import itertools
import random
import threading
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

_NOT_SO = ("PreconditionFailed", "NoSuchKey")  # the condition was looked at, and did not hold
_LARGE_BYTES = 1_300_000  # of padding: such a body is an upload to files
_LARGE_ONE_IN = 12
_MULTIPART_ONE_IN = 4
APPENDERS, HOLDERS = 3, 3
_KEYS = 2  # of each game

Observed = tuple[tuple[str, ...], str | None]  # the tokens, and the ETag; None: there is no object


class Lists:
    """What is known of the lists of one game of appending: pure, but for its lock."""

    def __init__(self, violations: list[str]) -> None:
        self.violations = violations
        self._lock = threading.Lock()
        self._longest: dict[str, tuple[str, ...]] = defaultdict(tuple)
        self.acknowledged: dict[str, set[str]] = defaultdict(set)
        self.refused: set[str] = set()

    def begin(self, key: str) -> tuple[int, frozenset[str]]:
        """Return what a read that begins now must show: so many tokens, and these among them."""
        with self._lock:
            return len(self._longest[key]), frozenset(self.acknowledged[key])

    def saw(self, key: str, tokens: tuple[str, ...], begun: tuple[int, frozenset[str]]) -> None:
        """Judge what a read gave that had `begun` so."""
        length, acknowledged = begun
        with self._lock:
            longest = self._longest[key]
            shorter, longer = sorted((tokens, longest), key=len)
            if longer[: len(shorter)] != shorter:
                self.violations.append(f"{key}: two lists part at {_parting(shorter, longer)}: {tokens[-3:]}")
            self._longest[key] = longer
            if len(tokens) < length:
                self.violations.append(f"{key}: {len(tokens)} tokens after {length} were read")
            if missing := acknowledged - set(tokens):
                self.violations.append(f"{key}: appended and not there: {sorted(missing)[:3]}")
            if wrong := self.refused & set(tokens):
                self.violations.append(f"{key}: refused and there: {sorted(wrong)[:3]}")
            if len(set(tokens)) < len(tokens):
                self.violations.append(f"{key}: a token is there twice")

    def acknowledge(self, key: str, token: str) -> None:
        """Note that an append was answered well."""
        with self._lock:
            self.acknowledged[key].add(token)

    def refuse(self, token: str) -> None:
        """Note that an append was answered with 412."""
        with self._lock:
            self.refused.add(token)


def _parting(shorter: tuple[str, ...], longer: tuple[str, ...]) -> int:
    return next((index for index, token in enumerate(shorter) if token != longer[index]), len(shorter))


class Holdings:
    """Who holds what in one game of holding: pure, but for its lock."""

    def __init__(self, violations: list[str]) -> None:
        self.violations = violations
        self._lock = threading.Lock()
        self._holder: dict[str, str] = {}
        self._gone: set[str] = set()  # deleted, or refused: not to be seen again
        self.abandoned: set[str] = set()  # in doubt: anybody may clear them away

    def took(self, key: str, token: str) -> None:
        """Note that a creation was answered well."""
        with self._lock:
            holder = self._holder.setdefault(key, token)
            if holder != token:
                self.violations.append(f"{key}: {token} was created while {holder} held it")

    def leave(self, key: str, token: str) -> None:
        """Note that the holder is about to delete: from here on another may come."""
        with self._lock:
            if self._holder.get(key) == token:
                del self._holder[key]

    def gone(self) -> frozenset[str]:
        """Return what a read that begins now must not show."""
        with self._lock:
            return frozenset(self._gone)

    def finish(self, token: str) -> None:
        """Note that a token was deleted, or refused."""
        with self._lock:
            self._gone.add(token)

    def abandon(self, token: str) -> None:
        """Note that nobody knows whether a token is there."""
        with self._lock:
            self.abandoned.add(token)

    def saw(self, key: str, token: str | None, gone: frozenset[str]) -> None:
        """Judge what a read gave that began when these were `gone`."""
        with self._lock:
            if token in gone:
                self.violations.append(f"{key}: {token} is there after it was deleted or refused")

    def missed(self, key: str, token: str, found: str | None) -> None:
        """Note that its holder does not find a token."""
        with self._lock:
            self.violations.append(f"{key}: its holder {token} finds {found}")


class Conditions:
    """The threads' work; `stop` ends it."""

    def __init__(self, bucket: str, connect: Callable[[], Any], stop: threading.Event, violations: list[str]) -> None:
        """`connect` makes a client that tries nothing again."""
        self._bucket = bucket
        self._connect = connect
        self._stop = stop
        self._violations = violations
        self._lists = Lists(violations)
        self._holdings = Holdings(violations)
        self._numbers = itertools.count(1)
        self._in_doubt = 0
        self._refused = 0
        self._held = 0

    def go_on_from(self, earlier: "Conditions") -> None:
        """Know what an earlier one knew, of the same bucket; that must have come to its end."""
        self._lists, self._holdings, self._numbers = earlier._lists, earlier._holdings, earlier._numbers
        self._lists.violations = self._holdings.violations = self._violations

    def report(self) -> str:
        """Return what was done, in words."""
        appended = sum(len(tokens) for tokens in self._lists.acknowledged.values())
        return f"{appended} appended, {self._held} held, {self._refused} refused, {self._in_doubt} in doubt"

    def append(self, index: int) -> None:
        """Play the game of appending."""
        client, chance = self._connect(), random.Random(2000 + index)
        while not self._stop.is_set():
            self._append_once(client, chance, f"append/{chance.randrange(_KEYS)}", f"a{index}-{next(self._numbers)}")

    def hold(self, index: int) -> None:
        """Play the game of holding."""
        client, chance = self._connect(), random.Random(3000 + index)
        while not self._stop.is_set():
            self._hold_once(client, chance, f"hold/{chance.randrange(_KEYS)}", f"h{index}-{next(self._numbers)}")

    def check(self) -> None:
        """With nothing going on: the lists are what they must be."""
        client = self._connect()
        for index in range(_KEYS):
            key = f"append/{index}"
            begun = self._lists.begin(key)
            tokens, _etag = self._read(client, key)
            self._lists.saw(key, tokens, begun)

    def _append_once(self, client: Any, chance: random.Random, key: str, token: str) -> None:
        begun = self._lists.begin(key)
        try:
            tokens, etag = self._read(client, key)
        except (ClientError, BotoCoreError):
            return
        self._lists.saw(key, tokens, begun)
        outcome = self._write(client, chance, key, (*tokens, token), etag)
        if outcome is None:
            return
        if outcome:
            self._lists.acknowledge(key, token)
        else:
            self._lists.refuse(token)

    def _hold_once(self, client: Any, chance: random.Random, key: str, token: str) -> None:
        outcome = self._write(client, chance, key, (token,), None)
        if outcome is None:
            self._holdings.abandon(token)
        elif outcome:
            self._holdings.took(key, token)
            self._held += 1
            self._let_go(client, key, token)
        else:
            self._holdings.finish(token)
            self._clear_away(client, key)

    def _let_go(self, client: Any, key: str, token: str) -> None:
        """Look at what one holds, and delete it."""
        try:
            tokens, etag = self._read(client, key)
        except (ClientError, BotoCoreError):
            self._holdings.leave(key, token)
            self._holdings.abandon(token)
            return
        found = tokens[0] if tokens else None
        if found != token:
            self._holdings.missed(key, token, found)
        self._holdings.leave(key, token)
        if etag is not None and self._delete(client, key, token, etag) is False:
            self._holdings.missed(key, token, "another, and cannot delete")

    def _clear_away(self, client: Any, key: str) -> None:
        """Delete what is in the way when nobody holds it."""
        gone = self._holdings.gone()
        try:
            tokens, etag = self._read(client, key)
        except (ClientError, BotoCoreError):
            return
        found = tokens[0] if tokens else None
        self._holdings.saw(key, found, gone)
        if found in self._holdings.abandoned and found is not None and etag is not None:
            self._delete(client, key, found, etag)

    # requests

    def _read(self, client: Any, key: str) -> Observed:
        try:
            reply = client.get_object(Bucket=self._bucket, Key=key)
            return tuple(reply["Body"].read().split(b"\n", 1)[0].decode().split()), reply["ETag"]
        except ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchKey":
                return (), None
            raise

    def _write(
        self, client: Any, chance: random.Random, key: str, tokens: tuple[str, ...], etag: str | None
    ) -> bool | None:
        """Write tokens if the object is still that of the ETag; tell whether it was; None: nobody knows."""
        padding = bytes(_LARGE_BYTES if not chance.randrange(_LARGE_ONE_IN) else 0)
        body = " ".join(tokens).encode() + b"\n" + padding
        condition = {"IfMatch": etag} if etag is not None else {"IfNoneMatch": "*"}
        about: dict[str, Any] = {"Bucket": self._bucket, "Key": key}
        if chance.randrange(_MULTIPART_ONE_IN):
            return self._decide(lambda: client.put_object(**about, Body=body, **condition))
        try:
            about["UploadId"] = client.create_multipart_upload(**about)["UploadId"]
            part = client.upload_part(**about, PartNumber=1, Body=body)
        except (ClientError, BotoCoreError):
            return False  # it was never asked for
        parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
        return self._decide(lambda: client.complete_multipart_upload(**about, MultipartUpload=parts, **condition))

    def _delete(self, client: Any, key: str, token: str, etag: str) -> bool | None:
        deleted = self._decide(lambda: client.delete_object(Bucket=self._bucket, Key=key, IfMatch=etag))
        if deleted:
            self._holdings.finish(token)
        elif deleted is None:
            self._holdings.abandon(token)
        return deleted

    def _decide(self, request: Callable[[], Any]) -> bool | None:
        try:
            request()
        except ClientError as error:
            if error.response["Error"]["Code"] in _NOT_SO:
                self._refused += 1
                return False
        except BotoCoreError:
            pass
        else:
            return True
        self._in_doubt += 1
        return None
