"""The server process: a real one, on a port of its own."""

import http.client
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

Process = tuple["subprocess.Popen[str]", int]


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Process]:
    command = [sys.executable, "-m", "tests.unit.cluster.controlplane.served", str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    yield process, int(process.stdout.readline())
    process.kill()
    process.communicate()


def get(port: int, path: str, method: str = "GET", headers: dict[str, str] | None = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, path, headers=headers or {})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def test_probes_stand_beside_the_application(served: Process) -> None:
    _process, port = served
    assert get(port, "/anything") == (200, b"hello")
    assert get(port, "/healthcheck") == (200, b"OK")
    status, body = get(port, "/metrics")
    assert status == 200
    assert b'holdfast_http_requests_total{method="GET",status="200"} 1' in body


def test_slow_requests_do_not_hold_up_others_and_writers_take_turns(served: Process) -> None:
    _process, port = served
    with ThreadPoolExecutor(12) as threads:
        begun_s = time.monotonic()
        slow = [threads.submit(get, port, "/slow") for _ in range(4)]
        written = [threads.submit(get, port, "/write") for _ in range(8)]
        assert sorted(int(each.result()[1]) for each in written) == list(range(1, 9))
        assert [each.result() for each in slow] == [(200, b"hello")] * 4
        assert time.monotonic() - begun_s < 3.5  # one after the other they would take 4 s


def test_a_stop_lets_the_request_under_way_end(served: Process) -> None:
    process, port = served
    with ThreadPoolExecutor(1) as threads:
        slow = threads.submit(get, port, "/slow")
        time.sleep(0.4)
        process.send_signal(signal.SIGTERM)
        assert slow.result() == (200, b"hello")
    assert process.wait(10) == 0
    with pytest.raises(OSError):  # noqa: PT011 whichever it is
        get(port, "/")


def test_an_idle_connection_does_not_delay_a_stop(served: Process) -> None:
    process, port = served
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", "/")
    assert connection.getresponse().read() == b"hello"
    process.send_signal(signal.SIGTERM)
    assert process.wait(3) == 0
    connection.close()


def test_lines_have_limits(served: Process) -> None:
    _process, port = served
    assert get(port, "/" + "x" * 20_000)[0] == 414
    assert get(port, "/", headers={"X-Long": "x" * 20_000})[0] == 400
