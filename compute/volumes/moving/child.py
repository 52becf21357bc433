"""What runs in the process of a task. See the package."""

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import urllib3

from blockgw.backup.deleting import delete
from blockgw.backup.errors import BackupError, Busy, NoSuchBackup, TargetFailed
from blockgw.backup.gateway_volume import Ask, GatewayVolume
from blockgw.backup.key import Secret
from blockgw.backup.manifest import Manifest
from blockgw.backup.nbd import NbdFailed, NbdVolume
from blockgw.backup.opening import open_target
from blockgw.backup.piece import PIECE
from blockgw.backup.repository import Repository
from blockgw.backup.restoring import restore
from blockgw.backup.taking import Taking, Wishes
from blockgw.backup.target import Address, Target
from blockgw.backup.workers import WORKERS, spread
from blockgw.client import uri_of
from cluster.layout import Layout
from compute.gateway import Gateway, Told
from compute.stored import Unreachable
from compute.volumes.moving.place import ensure_bucket

Task = Mapping[str, Any]
Answer = dict[str, Any]

_ZEROED = 1 << 30  # bytes that are zeroed by a request
_FOR_EVER = ("NoSuchVolume", "NoSuchSnapshot", "InvalidRequest")  # kinds of the gateway's refusals
_PUT_S = 600.0  # for the image service to take what it is sent, or to answer


def known(task: Task) -> Answer:
    """Tell which backups a place has of a volume."""
    return {"known": _repository(task, is_sealed=False).backups()}


def take(task: Task) -> Answer:
    """Take a backup, unless an earlier attempt has left it whole."""
    repository = _repository(task, bool(task["sealed"]))
    left = sorted(set(repository.backups()) - set(task["known"]))
    for backup_id in reversed(left):
        try:
            return _taken(task, repository, repository.read(backup_id).manifest)
        except NoSuchBackup:
            continue  # it is in the index only
    wishes = Wishes(full=bool(task["full"]))
    outcome = Taking(_volume(task, task["volume"], task["snapshot"]), repository, wishes).run()
    return _taken(task, repository, outcome.manifest)


def bring_back(task: Task) -> Answer:
    """Make a volume what a backup has."""
    location = task["location"]
    repository = _repository_at(task)
    backup = repository.read(location["backup"])
    with _volume(task, task["volume"]).sink() as sink:
        if sink.size < backup.manifest.origin.size:
            raise BackupError(f"the backup has {backup.manifest.origin.size} bytes: the volume is too small")
        restore(repository, backup, sink, begun=True)
        _zero(sink, backup.manifest.origin.size, sink.size)
        sink.flush()
    return {}


def remove(task: Task) -> Answer:
    """Delete a backup."""
    try:
        delete(_repository_at(task), task["location"]["backup"])
    except NoSuchBackup:
        return {}  # it is gone already
    return {}


def copy(task: Task) -> Answer:
    """Make a volume what a snapshot is."""
    name, _at, snapshot = str(task["source"]).partition("@")
    source = _volume(task, name)
    chunks = sorted(source.changed(snapshot, None))
    with source.open(snapshot) as data, _volume(task, task["target"]).sink() as sink:

        def one(chunk: int) -> None:
            offset = chunk * PIECE
            sink.write(offset, data.read(offset, min(PIECE, data.size - offset)))

        position = 0
        for chunk in chunks:
            _zero(sink, position, chunk * PIECE)
            position = min((chunk + 1) * PIECE, data.size)
        _zero(sink, position, sink.size)
        for _done in spread(one, chunks, WORKERS):
            pass
        sink.flush()
    return {}


def send(task: Task) -> Answer:
    """Send a snapshot to the image service."""
    name, _at, snapshot = str(task["source"]).partition("@")
    if task["format"] == "raw":
        source_volume = _volume(task, name)
        chunks = frozenset(source_volume.changed(snapshot, None))
        with source_volume.open(snapshot) as data:
            _put(task, _Stream(data, chunks), data.size)
        return {}
    with tempfile.TemporaryDirectory(prefix="holdfast-image-") as directory:
        path = Path(directory) / "image"
        source = uri_of(Layout(Path(task["directory"])).nbd_socket(0), str(task["source"]))
        # it asks where there are data, and reads nothing else
        command = ["qemu-img", "convert", "-f", "raw", "-O", str(task["format"]), source, os.fspath(path)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 our own words
        except FileNotFoundError:
            raise BackupError("qemu-img is missing: volumes become images in the format raw only") from None
        if done.returncode:
            raise BackupError(f"qemu-img cannot convert it: {done.stderr.strip()}")
        with path.open("rb") as file:
            _put(task, file, path.stat().st_size)
    return {}


class _Stream:
    """A snapshot as a file that is read from its beginning to its end. What was never written to is not read."""

    def __init__(self, volume: NbdVolume, chunks: Set[int]) -> None:
        """`chunks` may be no zeros."""
        self._volume, self._chunks, self._position = volume, chunks, 0

    def read(self, limit: int = -1) -> bytes:
        """Return the next bytes, of one chunk at most."""
        begin, chunk = self._position, self._position // PIECE
        self._position = end = min((chunk + 1) * PIECE, self._volume.size, begin + (PIECE if limit < 0 else limit))
        if begin == end:
            return b""
        return self._volume.read(begin, end - begin) if chunk in self._chunks else bytes(end - begin)


def _put(task: Task, body: Any, size: int) -> None:
    headers = {
        "X-Auth-Token": str(task["token"]),
        "Content-Type": "application/octet-stream",
        "Content-Length": str(size),
    }
    try:
        answer = urllib3.PoolManager(blocksize=PIECE).request(
            "PUT",
            str(task["url"]),
            body=body,
            headers=headers,
            retries=False,
            timeout=urllib3.Timeout(_PUT_S),
        )
    except urllib3.exceptions.HTTPError as error:
        raise TargetFailed(f"the image service does not take it: {error}") from error
    if answer.status >= 500 or answer.status == 409:  # 409: it has not noticed yet that an earlier attempt broke off
        raise TargetFailed(f"the image service answers {answer.status}")
    if answer.status >= 300:
        raise BackupError(f"the image service answers {answer.status}: {answer.data[:200]!r}")


def _zero(sink: NbdVolume, start: int, end: int) -> None:
    for offset in range(start, end, _ZEROED):
        sink.zero(offset, min(_ZEROED, end - offset))


def _volume(task: Task, name: str, kept: str | None = None) -> GatewayVolume:
    layout = Layout(Path(task["directory"]))
    return GatewayVolume(_asking(Gateway(layout)), layout.nbd_socket(0), name, kept)


def _asking(gateway: Gateway) -> Ask:
    """Give a gateway's refusals the errors of backups: for ever, or to be tried again."""

    def ask(do: str, **about: Any) -> dict[str, Any]:
        try:
            return gateway.ask(do, **about)
        except (Unreachable, Told) as error:
            again = isinstance(error, Unreachable) or error.kind not in _FOR_EVER
            raise (TargetFailed if again else BackupError)(str(error)) from error

    return ask


def _target(place: Mapping[str, Any]) -> Target:
    address = Address.parse(place["url"])
    ensure_bucket(address, place["endpoint"])
    return open_target(address, place["endpoint"], os.environ, WORKERS + 2)


def _repository(task: Task, is_sealed: bool) -> Repository:
    """Return where the backups of a task's volume are."""
    return Repository(_target(task["place"]), _volume(task, task["volume"]).id, _secret(task, is_sealed))


def _repository_at(task: Task) -> Repository:
    """Return where the backup is that a task's location is of."""
    location = task["location"]
    secret = _secret(task, bool(location.get("sealed")))
    return Repository(_target(location["place"]), location["repository"], secret)


def _secret(task: Task, is_sealed: bool) -> Secret | None:
    return Secret.file(bytes.fromhex(task["seal"])) if is_sealed else None


def _taken(task: Task, repository: Repository, manifest: Manifest) -> Answer:
    location = {
        "place": task["place"],
        "repository": repository.volume_id,
        "backup": manifest.id,
        "sealed": bool(task["sealed"]),
    }
    return {"location": location, "object_count": len(set(manifest.pieces.values())) + 1}


ACTIONS: Mapping[str, Callable[[Task], Answer]] = {
    "known": known,
    "take": take,
    "restore": bring_back,
    "delete": remove,
    "copy": copy,
    "send": send,
}


def _end_with_parent() -> None:
    """End with the one who asks, whose end of the pipe is closed then; he writes nothing more."""
    while os.read(0, 4096):
        pass
    os._exit(1)


@contextmanager
def _answers_alone() -> Iterator[IO[str]]:
    """Give what the answer is written to; all else that is printed goes to the log."""
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)
        yield answers


def run(task: Task) -> Answer:
    """Return what comes of a task."""
    try:
        return ACTIONS[task["do"]](task)
    except (Busy, TargetFailed, NbdFailed, OSError) as error:
        return {"error": str(error), "again": True}
    except BackupError as error:
        return {"error": str(error)}


def main(_arguments: Sequence[str]) -> int:
    """Do the task that is on the standard input."""
    task = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with _answers_alone() as answers:
        answers.write(json.dumps(run(task)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
