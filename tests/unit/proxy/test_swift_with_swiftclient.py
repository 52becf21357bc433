"""The real `swift` command and python-swiftclient, over a socket, on the object service in memory."""

import asyncio
import contextlib
import io
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from swiftclient import client, shell

from proxy.http.server import HttpServer
from tests.unit.proxy.swift_cluster import Cluster


class _Served:
    """A cluster whose application listens on a port of this machine, on a thread of its own."""

    def __init__(self) -> None:
        self.cluster = Cluster()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = HttpServer(self.cluster.application)
        self.port = self._wait(self._server.listen("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.port}/auth/v1.0"

    def _wait(self, coroutine):  # type: ignore[no-untyped-def]
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    def close(self) -> None:
        """Stop it all."""
        self._wait(self._server.close(1.0))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def connection(self, user: str = "ann") -> client.Connection:
        """Return a client that logs in as Ann, or as another user."""
        known = getattr(self.cluster, user)
        return client.Connection(self.url, known.name, known.secret_key, retries=0)

    def swift(self, *arguments: str, cwd: Path) -> str:
        """Do what the `swift` command does, as Ann; return what it prints. Saves a new interpreter's start."""
        ann, printed = self.cluster.ann, io.StringIO()
        login = ("--auth", self.url, "--user", ann.name, "--key", ann.secret_key)
        with contextlib.chdir(cwd), contextlib.redirect_stdout(printed):
            shell.main(["swift", *login, *arguments])
        return printed.getvalue()


@pytest.fixture
def served() -> Iterator[_Served]:
    """Serve an empty cluster."""
    found = _Served()
    yield found
    found.close()


def test_the_client_stores_lists_and_deletes(served: _Served) -> None:
    swift = served.connection()
    swift.put_container("c", {"X-Container-Meta-Color": "red"})
    etag = swift.put_object(
        "c", "a/ö 1", b"hello", content_type="text/plain", headers={"X-Object-Meta-K": "v"}
    )
    headers, body = swift.get_object("c", "a/ö 1")
    assert body == b"hello"
    assert headers["etag"] == etag == "5d41402abc4b2a76b9719d911017c592"
    assert (headers["content-type"], headers["x-object-meta-k"]) == ("text/plain", "v")
    headers, rows = swift.get_container("c")
    assert [row["name"] for row in rows] == ["a/ö 1"]
    assert (headers["x-container-object-count"], headers["x-container-meta-color"]) == ("1", "red")
    headers, containers = swift.get_account()
    assert [(row["name"], row["count"]) for row in containers] == [("c", 1)]
    swift.delete_object("c", "a/ö 1")
    swift.delete_container("c")
    assert swift.head_account()["x-account-container-count"] == "0"


def test_the_client_stores_a_stream_of_unknown_length(served: _Served) -> None:
    swift = served.connection()
    swift.put_container("c")
    swift.put_object("c", "o", contents=io.BytesIO(b"x" * 300_000), chunk_size=65536)
    assert swift.head_object("c", "o")["content-length"] == "300000"


def test_the_client_sees_errors_as_swift_gives_them(served: _Served) -> None:
    swift = served.connection()
    with pytest.raises(client.ClientException) as caught:
        swift.get_object("nope", "o")
    assert caught.value.http_status == 404
    with pytest.raises(client.ClientException) as caught:
        client.get_auth(served.url, "photos:ann", "wrong")
    assert caught.value.http_status == 401


def test_bob_reads_what_ann_lets_him_read(served: _Served) -> None:
    ann, bob = served.connection(), served.connection("bob")
    ann.put_container("c", {"X-Container-Read": "bob"})
    ann.put_object("c", "o", b"data")
    _url, token = bob.get_auth()
    _headers, body = client.get_object(ann.get_auth()[0], token, "c", "o")
    assert body == b"data"
    with pytest.raises(client.ClientException) as caught:
        client.put_object(ann.get_auth()[0], token, "c", "o", b"mine")
    assert caught.value.http_status == 403


def test_the_command_uploads_segments_and_brings_the_whole_back(served: _Served, tmp_path: Path) -> None:
    """`swift upload --segment-size`, static and dynamic, download, stat, list, delete."""
    content = os.urandom(250_000)
    (tmp_path / "big").write_bytes(content)
    served.swift("upload", "c", "big", "--segment-size", "100000", cwd=tmp_path)
    served.swift("upload", "d", "big", "--segment-size", "100000", "--use-dlo", cwd=tmp_path)
    for container in ("c", "d"):
        served.swift("download", container, "big", "-o", f"{container}.out", cwd=tmp_path)
        assert (tmp_path / f"{container}.out").read_bytes() == content
    assert "Content Length: 250000" in served.swift("stat", "c", "big", cwd=tmp_path)
    assert served.swift("list", cwd=tmp_path).split() == ["c", "c_segments", "d", "d_segments"]
    served.swift("delete", "c", "big", cwd=tmp_path)
    assert served.swift("list", "c_segments", cwd=tmp_path) == ""
    served.swift("delete", "d", cwd=tmp_path)
    assert served.swift("list", cwd=tmp_path).split() == ["c", "c_segments", "d_segments"]


def test_the_command_copies_posts_and_uploads_a_tree(served: _Served, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "sub").mkdir(parents=True)
    for name in ("one.txt", "sub/two.txt"):
        (tree / name).write_text(name)
    served.swift("upload", "c", "tree", cwd=tmp_path)
    served.swift("upload", "c", "tree", "--skip-identical", cwd=tmp_path)
    served.swift("copy", "c", "tree/one.txt", "-d", "/other/copied", cwd=tmp_path)
    served.swift("post", "c", "tree/one.txt", "-m", "Color:red", cwd=tmp_path)
    assert "Meta Color: red" in served.swift("stat", "c", "tree/one.txt", cwd=tmp_path)
    assert served.swift("list", "c", cwd=tmp_path).split() == ["tree/one.txt", "tree/sub/two.txt"]
    assert served.swift("list", "c", "-d", "/", "-p", "tree/", cwd=tmp_path).split() == [
        "tree/one.txt",
        "tree/sub/",
    ]
    served.swift("download", "other", "copied", cwd=tmp_path)
    assert (tmp_path / "copied").read_text() == "one.txt"
    assert "bulk_delete" in served.swift("capabilities", cwd=tmp_path)
    served.swift("delete", "--all", cwd=tmp_path)
    assert served.swift("list", cwd=tmp_path) == ""
