"""Calls between a peer and a server: answers, refusals, deadlines, bounds, and ends of connections."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from typing import Any

import pytest

from cluster.wire import INTERNAL, Peer, PeerUnavailable, RemoteError, Reply, Request, Server
from tests.unit.cluster.wire_cluster import KEY, RUNNERS, cluster, run, until

pytestmark = [
    pytest.mark.alone,  # it measures
    pytest.mark.parametrize("runner", RUNNERS, ids=["asyncio", "uvloop"]),
]
Runner = Callable[[Any], None]


def test_a_call_is_answered(runner: Runner) -> None:
    async def scenario() -> None:
        async with cluster() as c:
            reply = await c.peer.call(7, (b"key", None, {"a": [1, 2]}), b"payload")
            assert reply.metadata == (7, (b"key", None, {"a": (1, 2)}))
            assert reply.payload == b"payload"
            assert reply.body is None
            assert (await c.peer.call(8, ())).metadata == (8, ())
            assert (await c.peer.call(9, None)).metadata == (9, None)

    run(runner, scenario())


@pytest.mark.parametrize("size", [1, 20_000, 65_535, 65_536, 300_000, 4 << 20])
def test_payloads_of_all_sizes_come_back_whole(runner: Runner, size: int) -> None:
    async def scenario() -> None:
        async with cluster() as c:
            payload = os.urandom(size)
            calls = [c.peer.call(1, (i,), memoryview(payload)[i:]) for i in range(5)]
            for i, call in enumerate(calls):
                assert bytes((await call).payload) == payload[i:]

    run(runner, scenario())


def test_many_calls_are_answered_each_with_its_own(runner: Runner) -> None:
    async def scenario() -> None:
        async with cluster() as c:
            calls = [c.peer.call(i % 9, (i,), b"%d" % i * (i % 50)) for i in range(2000)]
            for i, call in enumerate(calls):
                reply = await call
                assert reply.metadata == (i % 9, (i,))
                assert reply.payload == b"%d" % i * (i % 50)

    run(runner, scenario())


def test_handlers_may_answer_now_later_or_as_a_coroutine(runner: Runner) -> None:
    async def slow() -> Reply:
        await asyncio.sleep(0.01)
        return Reply(("coroutine",))

    def handler(request: Request) -> Any:
        if request.operation == 1:
            return Reply(("now",))
        if request.operation == 2:
            future = asyncio.get_running_loop().create_future()
            asyncio.get_running_loop().call_later(0.02, future.set_result, Reply(("future",)))
            return future
        return slow()

    async def scenario() -> None:
        async with cluster(handler) as c:
            replies = await asyncio.gather(*(c.peer.call(i, ()) for i in (2, 3, 1)))
            assert [reply.metadata for reply in replies] == [("future",), ("coroutine",), ("now",)]

    run(runner, scenario())


def test_a_refusal_brings_code_and_detail_from_wherever_it_was_raised(runner: Runner) -> None:
    async def refuse() -> Reply:
        raise RemoteError(3, b"newer")

    def handler(request: Request) -> Any:
        if request.operation == 1:
            raise RemoteError(3, b"newer")
        if request.operation == 2:
            return refuse()
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        future.set_exception(RemoteError(3, b"newer"))
        return future

    async def scenario() -> None:
        async with cluster(handler) as c:
            for operation in (1, 2, 3):
                with pytest.raises(RemoteError) as caught:
                    await c.peer.call(operation, ())
                assert (caught.value.code, caught.value.detail) == (3, b"newer")

    run(runner, scenario())


def test_a_handler_that_fails_is_an_internal_refusal_and_a_log_line(
    runner: Runner, capsys: pytest.CaptureFixture[str]
) -> None:
    def handler(request: Request) -> Any:
        if request.operation == 1:
            raise ZeroDivisionError("oops")
        if request.operation == 2:
            return Reply(object())
        if request.operation == 3:
            raise RemoteError(9, object())
        return Reply((), bytes((4 << 20) + 1))

    async def scenario() -> None:
        async with cluster(handler) as c:
            codes = []
            for operation in range(1, 5):
                with pytest.raises(RemoteError) as caught:
                    await c.peer.call(operation, ())
                codes.append(caught.value.code)
            assert codes == [INTERNAL, INTERNAL, 9, INTERNAL]

    run(runner, scenario())
    assert "oops" in capsys.readouterr().err


def test_a_request_knows_its_deadline(runner: Runner) -> None:
    def handler(request: Request) -> Reply:
        return Reply((request.deadline - asyncio.get_running_loop().time(),))

    async def scenario() -> None:
        async with cluster(handler) as c:
            assert (await c.peer.call(1, (), timeout_s=2.5)).metadata[0] == pytest.approx(2.5, abs=0.05)

    run(runner, scenario())


async def hang(ended: list[str]) -> Reply:
    """Do not answer; say when that is cancelled."""
    try:
        await asyncio.sleep(30)
    finally:
        ended.append("cancelled")
    return Reply()


def test_a_call_that_is_not_answered_in_time_fails_and_is_taken_back(runner: Runner) -> None:
    ended: list[str] = []

    async def scenario() -> None:
        async with cluster(lambda request: hang(ended) if request.operation == 1 else Reply(())) as c:
            started = asyncio.get_running_loop().time()
            with pytest.raises(PeerUnavailable, match="no answer"):
                await c.peer.call(1, (), timeout_s=0.1)
            assert 0.09 < asyncio.get_running_loop().time() - started < 0.25
            await until(lambda: ended == ["cancelled"])
            assert c.peer.up
            await c.peer.call(2, ())

    run(runner, scenario())


def test_a_cancelled_call_is_taken_back(runner: Runner) -> None:
    ended: list[str] = []

    async def scenario() -> None:
        async with cluster(lambda request: hang(ended)) as c:
            call = c.peer.call(1, ())
            await asyncio.sleep(0.02)
            call.cancel()
            await until(lambda: ended == ["cancelled"])

    run(runner, scenario())


def test_a_future_of_the_handler_is_not_cancelled_with_its_call(runner: Runner) -> None:
    made: list[asyncio.Future[Reply]] = []

    def handler(request: Request) -> "asyncio.Future[Reply]":
        made.append(asyncio.get_running_loop().create_future())
        return made[-1]

    async def scenario() -> None:
        async with cluster(handler) as c:
            with pytest.raises(PeerUnavailable):
                await c.peer.call(1, (), timeout_s=0.05)
            await asyncio.sleep(0.05)
            made[0].set_result(Reply())  # a late reply: sent to nobody

    run(runner, scenario())


def test_a_late_reply_is_dropped(runner: Runner) -> None:
    def handler(request: Request) -> "asyncio.Future[Reply]":
        future = asyncio.get_running_loop().create_future()
        if request.operation == 1:  # answers while the CANCEL is under way
            asyncio.get_running_loop().call_later(0.09, lambda: future.set_result(Reply(("late",))))
        else:
            future.set_result(Reply(("next",)))
        return future

    async def scenario() -> None:
        async with cluster(handler) as c:
            for _ in range(4):
                call = c.peer.call(1, (), timeout_s=0.07)
                await asyncio.wait([call])
                assert (await c.peer.call(2, ())).metadata == ("next",)
            assert c.peer.up

    run(runner, scenario())


def test_calls_to_a_peer_that_is_down_fail_at_once_and_silently(runner: Runner) -> None:
    async def scenario() -> None:
        peer = Peer("unix:/nonexistent/socket", KEY, name="it")
        peer.start()
        call = peer.call(1, ())
        assert call.done()
        with pytest.raises(PeerUnavailable):
            call.result()
        peer.call(1, ())  # nobody looks at its error
        peer.send(1, ())
        upload = peer.open(1, (), 5.0)
        with pytest.raises(PeerUnavailable):
            await upload.send(b"x")
        with pytest.raises(PeerUnavailable):
            await upload.finish()
        upload.cancel()
        assert not await peer.ready(0.05)
        assert not peer.up
        await peer.close()

    run(runner, scenario())


def test_more_than_the_bound_of_outstanding_bytes_is_refused_at_once(runner: Runner) -> None:
    release: list[asyncio.Future[Reply]] = []

    def handler(request: Request) -> Any:
        release.append(asyncio.get_running_loop().create_future())
        return release[-1]

    async def scenario() -> None:
        async with cluster(handler, max_outstanding_bytes=100_000) as c:
            first = c.peer.call(1, (), bytes(90_000))
            with pytest.raises(PeerUnavailable, match="queue full"):
                await c.peer.call(1, (), bytes(20_000))
            await until(lambda: bool(release))
            release[0].set_result(Reply())
            await first
            second = c.peer.call(1, (), bytes(20_000))
            await until(lambda: len(release) == 2)
            release[1].set_result(Reply())
            await second

    run(runner, scenario())


def test_no_more_calls_are_sent_than_the_server_takes(runner: Runner) -> None:
    waiting: list[asyncio.Future[Reply]] = []

    def handler(request: Request) -> Any:
        waiting.append(asyncio.get_running_loop().create_future())
        return waiting[-1]

    async def scenario() -> None:
        async with cluster(handler, server={"request_limit": 3}) as c:
            calls = [c.peer.call(1, ()) for _ in range(5)]
            await until(lambda: len(waiting) == 3)
            assert [call.done() for call in calls] == [False] * 3 + [True] * 2
            with pytest.raises(PeerUnavailable, match="queue full"):
                await c.peer.open(1, (), 5.0).finish()
            for future in waiting:
                future.set_result(Reply())
            await asyncio.gather(*calls[:3])

    run(runner, scenario())


def test_one_way_requests_arrive_in_order_and_their_failures_are_logged(
    runner: Runner, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[int] = []

    async def fail_later() -> Reply:
        raise ValueError("later")

    def handler(request: Request) -> Any:
        seen.append(request.operation)
        if request.operation == 2:
            raise ValueError("at once")
        return fail_later() if request.operation == 3 else Reply()

    async def scenario() -> None:
        async with cluster(handler) as c:
            for operation in (1, 2, 3):
                c.peer.send(operation, ())
            await c.peer.call(4, ())
            assert seen == [1, 2, 3, 4]

    run(runner, scenario())
    logged = capsys.readouterr().err
    assert "at once" in logged
    assert "later" in logged


def test_a_lost_connection_fails_what_waits_and_comes_back(runner: Runner) -> None:
    states: list[bool] = []
    ended: list[str] = []

    async def hang() -> Reply:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise
        return Reply()

    async def scenario() -> None:
        async with cluster(lambda request: hang() if request.operation == 1 else Reply(), on_state=states.append) as c:
            call = c.peer.call(1, ())
            await c.peer.call(2, ())
            await c.server.close()
            started = asyncio.get_running_loop().time()
            with pytest.raises(PeerUnavailable, match="it: "):
                await call
            assert asyncio.get_running_loop().time() - started < 0.1
            assert not c.peer.up
            assert ended == ["cancelled"]
            await c.start_server(lambda request: Reply(("again",)))
            assert await c.peer.ready(2.0)
            assert (await c.peer.call(1, ())).metadata == ("again",)
            assert states == [True, False, True]

    run(runner, scenario())


def test_a_server_that_closes_gracefully_answers_what_is_under_way(runner: Runner) -> None:
    async def slow() -> Reply:
        await asyncio.sleep(0.05)
        return Reply(("done",))

    async def scenario() -> None:
        async with cluster(lambda request: slow()) as c:
            call = c.peer.call(1, ())
            await asyncio.sleep(0.02)
            await c.server.close(grace_s=2.0)
            assert (await call).metadata == ("done",)

    run(runner, scenario())


def test_latency_is_estimated(runner: Runner) -> None:
    async def slow() -> Reply:
        await asyncio.sleep(0.02)
        return Reply()

    async def scenario() -> None:
        async with cluster(lambda request: slow()) as c:
            await asyncio.gather(*(c.peer.call(1, ()) for _ in range(100)))
            assert 0.015 < c.peer.latency_s < 0.2

    run(runner, scenario())


def test_tcp_works_as_well(runner: Runner) -> None:
    async def scenario() -> None:
        server = Server(KEY, lambda request: Reply(("tcp",), request.payload))
        await server.start("tcp:127.0.0.1:0")
        peer = Peer(server.address, KEY)
        peer.start()
        assert await peer.ready(2.0)
        assert len((await peer.call(1, (), bytes(1 << 20))).payload) == 1 << 20
        await peer.close()
        await server.close()

    run(runner, scenario())


_SERVER = """
import asyncio, sys
from cluster.wire import Reply, Server
async def never():
    await asyncio.sleep(60)
async def main():
    await Server(b"k" * 32, lambda r: never() if r.operation == 1 else Reply(())).start(sys.argv[1])
    await asyncio.sleep(60)
asyncio.run(main())
"""


@pytest.mark.parametrize(("blow", "limit_s"), [(signal.SIGKILL, 0.5), (signal.SIGSTOP, 1.6)], ids=["kill", "stop"])
def test_a_server_process_that_is_gone_is_noticed(
    runner: Runner, blow: signal.Signals, limit_s: float, tmp_path: Any
) -> None:
    """At once, or within 1.2 s when it hangs; the rest is for a machine under load."""
    address = f"unix:{tmp_path}/s"
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(_SERVER), address])

    async def scenario() -> None:
        peer = Peer(address, KEY, name="it")
        peer.start()
        assert await peer.ready(15.0)
        await peer.call(2, ())
        call = peer.call(1, (), timeout_s=15.0)
        process.send_signal(blow)
        started = time.monotonic()
        with pytest.raises(PeerUnavailable):
            await call
        assert time.monotonic() - started < limit_s
        assert not peer.up
        assert peer.call(2, ()).done()
        if blow == signal.SIGSTOP:
            process.send_signal(signal.SIGCONT)
            assert await peer.ready(5.0)
            await peer.call(2, ())
        await peer.close()

    try:
        run(runner, scenario())
    finally:
        process.kill()
        process.wait()
