"""Requests that are broken, late, forged or slow: the right error, nothing stored, the worker lives on."""

import base64
import contextlib
import hashlib
import socket
import time
import zlib
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError

from tests.cluster import Cluster
from tests.signing import signed_headers


class Raw:
    """One connection to the S3 port, bytes by hand."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.host = urlsplit(cluster.s3_endpoint).netloc
        name, port = self.host.split(":")
        self.socket = socket.create_connection((name, int(port)), timeout=40)

    def head(self, method: str, path: str, headers: dict[str, str], **signing: float | str) -> bytes:
        """Return the head of a signed request."""
        env = self._cluster.env
        secret = str(signing.pop("secret", env["AWS_SECRET_ACCESS_KEY"]))
        signed = signed_headers(
            method, path, {"host": self.host, **headers}, env["AWS_ACCESS_KEY_ID"], secret, **signing  # type: ignore[arg-type]
        )
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in signed.items())]
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    def answer(self) -> tuple[int, str]:
        """Return the status and the rest of one answer, 0 when the connection was closed without any."""
        data = b""
        while b"\r\n\r\n" not in data:
            more = self._receive()
            if not more:
                return (int(data.split()[1]), data.decode()) if data else (0, "")
            data += more
        head, _blank, body = data.partition(b"\r\n\r\n")
        lengths = [int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if b"content-length:" in line]
        while lengths and len(body) < lengths[0] and (more := self._receive()):
            body += more
        return int(head.split()[1]), body.decode()

    def _receive(self) -> bytes:
        try:
            return self.socket.recv(65536)
        except ConnectionResetError:
            return b""


@pytest.fixture
def raw(cluster: Cluster) -> Raw:
    return Raw(cluster)


def _absent(cluster: Cluster, bucket: str, key: str = "k") -> None:
    """Assert that nothing was stored, nothing is listed, and the proxies answer."""
    client = cluster.s3()
    with pytest.raises(ClientError) as refused:
        client.head_object(Bucket=bucket, Key=key)
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404
    assert client.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


@pytest.mark.parametrize("size", [10_000, 5_000_000])
def test_a_body_that_ends_early_is_not_stored(cluster: Cluster, raw: Raw, bucket: str, size: int) -> None:
    raw.socket.sendall(raw.head("PUT", f"/{bucket}/k", {"content-length": str(size)}) + bytes(size // 2))
    raw.socket.shutdown(socket.SHUT_WR)
    status, _body = raw.answer()
    assert status in (0, 400)
    _absent(cluster, bucket)


def test_a_wrong_content_md5_is_bad_digest(cluster: Cluster, bucket: str) -> None:
    wrong = base64.b64encode(hashlib.md5(b"other").digest()).decode()
    for size in (10, 3_000_000):
        with pytest.raises(ClientError) as refused:
            cluster.s3().put_object(Bucket=bucket, Key="k", Body=bytes(size), ContentMD5=wrong)
        assert refused.value.response["Error"]["Code"] == "BadDigest"
    _absent(cluster, bucket)


def test_a_wrong_checksum_is_bad_digest(cluster: Cluster, bucket: str) -> None:
    wrong = base64.b64encode(zlib.crc32(b"other").to_bytes(4, "big")).decode()
    for size in (10, 3_000_000):
        with pytest.raises(ClientError) as refused:
            cluster.s3().put_object(Bucket=bucket, Key="k", Body=bytes(size), ChecksumCRC32=wrong)
        assert refused.value.response["Error"]["Code"] == "BadDigest"
    _absent(cluster, bucket)


def test_a_wrong_payload_hash_is_refused(cluster: Cluster, raw: Raw, bucket: str) -> None:
    head = raw.head("PUT", f"/{bucket}/k", {"content-length": "5"}, payload_hash=hashlib.sha256(b"other").hexdigest())
    raw.socket.sendall(head + b"hello")
    status, body = raw.answer()
    assert (status, "XAmzContentSHA256Mismatch" in body) == (400, True)
    _absent(cluster, bucket)


def test_a_wrong_signature_is_refused(cluster: Cluster, raw: Raw, bucket: str) -> None:
    raw.socket.sendall(raw.head("PUT", f"/{bucket}/k", {"content-length": "5"}, secret="forged") + b"hello")
    status, body = raw.answer()
    assert (status, "SignatureDoesNotMatch" in body) == (403, True)
    _absent(cluster, bucket)


@pytest.mark.parametrize("minutes", [-20, 20])
def test_a_clock_twenty_minutes_off_is_refused(cluster: Cluster, raw: Raw, bucket: str, minutes: int) -> None:
    head = raw.head("PUT", f"/{bucket}/k", {"content-length": "5"}, at_s=time.time() + minutes * 60)
    raw.socket.sendall(head + b"hello")
    status, body = raw.answer()
    assert (status, "RequestTimeTooSkewed" in body) == (403, True)
    _absent(cluster, bucket)


def test_100_kb_of_headers_are_refused(cluster: Cluster, raw: Raw, bucket: str) -> None:
    lines = "".join(f"x-filler-{index}: {'f' * 1000}\r\n" for index in range(100))
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # refused before it was all sent
        raw.socket.sendall(f"PUT /{bucket}/k HTTP/1.1\r\nhost: {raw.host}\r\n{lines}\r\n".encode())
    status, _body = raw.answer()
    assert status in (0, 400, 431)
    _absent(cluster, bucket)


def test_a_client_that_sends_a_byte_now_and_then_is_cut_off(cluster: Cluster, bucket: str) -> None:
    """Slow loris: the head must be there in time, however steadily it drips."""
    connections = [Raw(cluster) for _ in range(20)]
    begin = time.monotonic()
    open_connections = set(range(len(connections)))
    while open_connections and time.monotonic() - begin < 35:
        for index in list(open_connections):
            try:
                connections[index].socket.sendall(b"G" if index % 2 else b"GET / HTTP/1.1\r\nx: y\r\n")
            except (BrokenPipeError, ConnectionResetError):
                open_connections.discard(index)
        cluster.s3().list_objects_v2(Bucket=bucket)
        time.sleep(1)
    assert not open_connections, "drips for ever"


def test_two_lengths_are_refused(cluster: Cluster, raw: Raw, bucket: str) -> None:
    """RFC 9112 §6.1: what may smuggle a request is answered 400 and the connection closed."""
    head = raw.head("PUT", f"/{bucket}/k", {"content-length": "5", "transfer-encoding": "chunked"})
    raw.socket.sendall(head + b"5\r\nhello\r\n0\r\n\r\n")
    status, _body = raw.answer()
    assert status == 400
    assert raw.answer()[0] in (0, 400)
    _absent(cluster, bucket)
