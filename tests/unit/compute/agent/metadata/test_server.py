"""The metadata server, with guests that are not polite."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from compute.agent.guest import Guest
from compute.agent.metadata import relay, server
from compute.agent.metadata.listeners import Listeners
from compute.agent.metadata.server import MetadataServer
from tests.unit.compute.agent.memory import guest

WEB, OTHER = guest(), guest()
GUESTS = {WEB.id: WEB, OTHER.id: OTHER}


@pytest.fixture
def listeners(tmp_path: Path) -> Iterator[Listeners]:
    made = MetadataServer()
    made.start()
    found = Listeners(made, GUESTS.get, lambda _network, _address: None)
    found.open_for(WEB.id, tmp_path / "web")
    found.open_for(OTHER.id, tmp_path / "other")
    yield found
    made.close()


def said(path: Path, request: bytes, close: bool = False) -> bytes:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(30)
        connection.connect(os.fspath(path))
        connection.sendall(request)
        if close:
            connection.shutdown(socket.SHUT_WR)
        answer = b""
        while data := connection.recv(65_536):
            answer += data
    return answer


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: 169.254.169.254\r\n\r\n".encode()


@pytest.mark.usefixtures("listeners")
def test_each_guest_is_told_of_itself(tmp_path: Path) -> None:
    for name, each in (("web", WEB), ("other", OTHER)):
        answer = said(tmp_path / name, get("/latest/meta-data/instance-id"))
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert answer.endswith(each.id.encode())
        assert b"Content-Length: 36\r\n" in answer


@pytest.mark.usefixtures("listeners")
@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"\r\n\r\n", b"400"),
        (b"GET http://elsewhere/ HTTP/1.1\r\n\r\n", b"400"),
        (b"GET /nothing HTTP/1.1\r\n\r\n", b"404"),
        (b"HEAD /latest/meta-data/ HTTP/1.0\r\n\r\n", b"200"),
        (b"POST /openstack/latest/password HTTP/1.1\r\nContent-Length: 6\r\n\r\nsecret", b"403"),
        (b"PUT /latest/api/token HTTP/1.1\r\nContent-Length: 0\r\n\r\n", b"403"),
        (b"GET / HTTP/1.1\nHost: x\n\n", b"200"),
    ],
)
def test_what_is_no_sensible_request_is_told_so(tmp_path: Path, request_bytes: bytes, status: bytes) -> None:
    answer = said(tmp_path / "web", request_bytes)
    assert answer.split(b" ")[1] == status
    assert b"Traceback" not in answer


@pytest.mark.usefixtures("listeners")
def test_a_head_that_never_ends_is_given_up(tmp_path: Path) -> None:
    line = b"X: " + b"a" * 100 + b"\r\n"
    with pytest.raises(OSError):  # noqa: PT011 whatever the kernel makes of it
        raise OSError(said(tmp_path / "web", b"GET / HTTP/1.1\r\n" + line * 200))
    assert said(tmp_path / "web", get("/")).startswith(b"HTTP/1.1 200")


def test_guests_that_hold_connections_keep_nobody_else_from_an_answer(listeners: Listeners, tmp_path: Path) -> None:
    held = []
    for _ in range(3 * server.WORKERS):
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(os.fspath(tmp_path / "web"))
        held.append(connection)
    begun_s = time.monotonic()
    assert said(tmp_path / "other", get("/")).startswith(b"HTTP/1.1 200")
    assert time.monotonic() - begun_s < server.REQUEST_S
    for connection in held:
        connection.close()
    listeners.close_for(WEB.id)
    assert not (tmp_path / "web").exists()


@pytest.mark.usefixtures("listeners")
def test_qemus_way_to_it_carries_a_request_and_its_answer(tmp_path: Path) -> None:
    """qemu starts the relay with one socket as its input and output."""
    ours, its = socket.socketpair()
    command = [sys.executable, "-I", "-S", relay.__file__, os.fspath(tmp_path / "web")]
    with ours, its:
        process = subprocess.Popen(command, stdin=its, stdout=its, stderr=its)
        its.close()
        ours.settimeout(60)
        ours.sendall(get("/latest/meta-data/instance-id"))
        answer = b""
        while data := ours.recv(4096):
            answer += data
        assert process.wait(60) == 0
    assert answer.endswith(WEB.id.encode())


def test_the_relay_is_silent_where_nobody_listens(tmp_path: Path) -> None:
    command = [sys.executable, "-I", "-S", relay.__file__, os.fspath(tmp_path / "nobody")]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (1, b"", b"")


def test_a_guest_without_a_record_is_told_nothing() -> None:
    stranger: Guest | None = None
    status, _content = server.answer_of(stranger, "GET", "/")
    assert status == 404
