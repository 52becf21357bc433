"""Clients that die in the middle of their uploads leave nothing behind, and hold nobody up."""

import random
import socket
import threading
import time
import urllib.parse
from typing import Any

import pytest

from tests.cluster import Cluster

CLIENTS, DEATHS_EACH = 12, 12
SIZES = (4 << 10, 1 << 20, 3 << 20, 12 << 20)  # in packs, at their limit, in files
PAUSE_LIMIT_S = 2.0
_RESET = b"\1\0\0\0\0\0\0\0"  # struct linger: on, 0 s

pytestmark = pytest.mark.alone  # it measures


def _vanish(url: str, size: int, sent: int, how: str) -> None:
    """Send the head and a part of the body of a presigned PUT, and go."""
    parts = urllib.parse.urlsplit(url)
    assert parts.hostname
    head = f"PUT {parts.path}?{parts.query} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Length: {size}\r\n\r\n"
    with socket.create_connection((parts.hostname, parts.port or 80), 10) as connection:
        connection.sendall(head.encode() + bytes(sent))
        if how == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        elif how == "half-close":
            connection.shutdown(socket.SHUT_WR)
            connection.recv(1000)
        elif how == "linger":
            time.sleep(0.2)


class _BreaksOff:
    """A body whose reader fails half way: the SDK hangs up."""

    def __init__(self, size: int) -> None:
        self._left = size // 2
        self._size = size

    def __len__(self) -> int:
        return self._size

    def read(self, size: int = -1) -> bytes:
        if not self._left:
            raise InterruptedError("the client's disk fails")
        piece = bytes(min(self._left, size if size > 0 else self._left))
        self._left -= len(piece)
        return piece


def _die_often(cluster: Cluster, urls: dict[str, str], seed: int) -> None:
    chance = random.Random(seed)
    client = cluster.s3(retries={"total_max_attempts": 1}, request_checksum_calculation="when_required")
    for _ in range(DEATHS_EACH):
        key, size = chance.choice(list(urls)), chance.choice(SIZES)
        how = chance.choice(("reset", "close", "half-close", "linger", "sdk"))
        if how != "sdk":
            _vanish(urls[key], size, int(size * chance.uniform(0, 0.99)), how)
            continue
        try:
            client.put_object(Bucket="vanish", Key=key, Body=_BreaksOff(size))
        except Exception:
            continue  # whatever the SDK makes of it
        raise AssertionError("half a body was accepted")


def _uploads(cluster: Cluster) -> int:
    nodes: list[dict[str, Any]] = cluster.status()["nodes"]
    return sum(device["health"]["uploads"] for node in nodes for device in node["devices"])


def test_uploads_that_break_off_leave_nothing_and_hold_nobody_up(cluster: Cluster) -> None:
    client = cluster.s3(retries={"total_max_attempts": 1})
    client.create_bucket(Bucket="vanish")
    keys = [f"k{index}" for index in range(20)]
    urls = {key: client.generate_presigned_url("put_object", {"Bucket": "vanish", "Key": key}) for key in keys}
    dying = [threading.Thread(target=_die_often, args=(cluster, urls, seed), daemon=True) for seed in range(CLIENTS)]
    slowest_s = 0.0

    def put(key: str, size: int) -> None:
        nonlocal slowest_s
        begin = time.monotonic()
        client.put_object(Bucket="vanish", Key=key, Body=bytes(size))
        slowest_s = max(slowest_s, time.monotonic() - begin)

    for thread in dying:
        thread.start()
    while any(thread.is_alive() for thread in dying):
        put("live", 1 << 20)
    for size in SIZES * 3:
        put("live", size)
    print(f"slowest PUT meanwhile: {slowest_s:.2f} s")
    assert slowest_s < PAUSE_LIMIT_S
    assert [item["Key"] for item in client.list_objects_v2(Bucket="vanish")["Contents"]] == ["live"]
    deadline = time.monotonic() + 10
    while _uploads(cluster) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert _uploads(cluster) == 0
