"""tools.bench.wrk: what is made of wrk's output, and how wrk is called."""

import asyncio
import shutil

import pytest

from tools.bench import wrk
from tools.errors import OperatorError

OUTPUT = """Running 1s test @ http://127.0.0.1:9000
  1 threads and 16 connections
  2012 requests in 1.00s, 420.12KB read
  Non-2xx or 3xx responses: 12
Requests/sec:   2012.00
RESULT {"requests": 2012, "refused": 12, "failed": 3, "duration_us": 500000, "p50_us": 7450, "p99_us": 22860}
"""


def test_the_rate_counts_what_was_answered_well_over_the_time_that_the_script_measured() -> None:
    assert wrk.parse(OUTPUT) == wrk.Sample(requests_per_s=4000.0, p50_ms=7.45, p99_ms=22.86, error_count=15)


def test_nothing_answered_is_a_rate_of_nothing() -> None:
    line = 'RESULT {"requests": 0, "refused": 0, "failed": 4, "duration_us": 0, "p50_us": 0, "p99_us": 0}'
    assert wrk.parse(line) == wrk.Sample(0.0, 0.0, 0.0, 4)


def test_what_wrk_says_instead_of_a_result_is_told() -> None:
    with pytest.raises(OperatorError, match="it said: unable to connect"):
        wrk.parse("", "unable to connect to 127.0.0.1:1: Connection refused\n")
    with pytest.raises(OperatorError, match="it said: nothing"):
        wrk.parse("", "")


def test_how_to_install_wrk_is_told_when_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(OperatorError, match="apt-get install wrk"):
        wrk.require()


class Recorder:
    """An HTTP server that notes what it is asked; every second answer is 503 if it is `failing`."""

    def __init__(self, failing: bool) -> None:
        self.failing = failing
        self.requests: list[tuple[str, bytes]] = []  # request line, body
        self.hosts: set[str] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                self.hosts.add(headers["host"])
                self.requests.append((head[0], body))
                bad = self.failing and len(self.requests) % 2 == 0
                status = "503 Service Unavailable" if bad else "200 OK"
                writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


def run_against(load: wrk.Load, failing: bool = False) -> tuple[wrk.Sample, Recorder]:
    recorder = Recorder(failing)

    async def measure() -> wrk.Sample:
        server = await asyncio.start_server(recorder.serve, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            return await asyncio.to_thread(wrk.run, f"http://127.0.0.1:{port}", "signed.example:80", load)

    return asyncio.run(measure()), recorder


needs_wrk = pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")


@needs_wrk
def test_each_target_is_sent_once_with_the_host_that_was_signed() -> None:
    targets = [f"/bucket/key-{index}?signature=a%2Fb" for index in range(40)]
    sample, recorder = run_against(wrk.Load("DELETE", targets, None, connections=1, seconds=1, once=True))
    assert [line for line, _body in recorder.requests] == [f"DELETE {target} HTTP/1.1" for target in targets]
    assert recorder.hosts == {"signed.example:80"}
    assert sample.requests_per_s > 40  # over the time that they took, not the whole second
    assert sample.error_count == 0


@needs_wrk
def test_targets_are_gone_over_again_until_the_time_is_up_and_errors_are_counted() -> None:
    body = bytes(range(256))
    load = wrk.Load("PUT", ["/bucket/a", "/bucket/b"], body, connections=2, seconds=1)
    sample, recorder = run_against(load, failing=True)
    assert len(recorder.requests) > 4
    assert {line for line, _body in recorder.requests} == {"PUT /bucket/a HTTP/1.1", "PUT /bucket/b HTTP/1.1"}
    assert {sent for _line, sent in recorder.requests} == {body}
    assert sample.error_count > 0
    assert sample.requests_per_s > 0
